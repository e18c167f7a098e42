//! `millpond`: the command line, for users and admins.

use std::process::ExitCode;

use millpond::{cli, daemon};

fn main() -> ExitCode {
    if daemon::launcher_asked_for() {
        return daemon::launcher_main();
    }
    cli::main(daemon::Embedded, daemon::commands)
}
