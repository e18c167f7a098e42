//! `millpond-head`: the daemon that owns jobs.

fn main() -> std::process::ExitCode {
    millpond::daemon::head_main()
}
