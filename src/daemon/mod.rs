//! Floor 6: wires a head, a worker, or both inside one process. Decides nothing.

mod args;
mod backup;
mod doctor;
mod embedded;
mod head;
mod init;
mod logging;
mod process;
mod signals;
mod traces;
mod worker;

pub use args::commands;
pub use embedded::Embedded;
pub use head::main as head_main;
pub use process::{launcher_asked_for, launcher_main};
pub use worker::main as worker_main;
