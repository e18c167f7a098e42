//! `millpond-worker`: the daemon that runs tasks.

use std::process::ExitCode;

use millpond::daemon;

fn main() -> ExitCode {
    if daemon::launcher_asked_for() {
        return daemon::launcher_main();
    }
    daemon::worker_main()
}
