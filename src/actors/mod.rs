//! Floor 3: the actors. Each wraps a machine of `engine/` and performs its effects, or owns one kind of I/O.
//!
//! ```text
//! head:   HeadRoot ─ Journal · JobSupervisor ─ JobActor per job, WorkerProxy per session · Ingest · Bundler · Watch · Chronicle · DiskGuard
//! worker: WorkerRoot ─ WorkerActor ─ Runner per slot · Cache · Images          (the Link to the head is in rpc/)
//! ```
//! Invariant: nothing here knows gRPC or HTTP: sessions are channels of domain messages. Nothing here decides what a machine could.
//!
//! An `Err` out of `handle` means "my state can't be trusted": the actor ends, and its supervisor says what becomes of that.

mod ask;
pub mod audience;
pub mod backup;
pub mod bundler;
pub mod cache;
pub mod chronicle;
pub mod clock;
mod collection;
pub mod data_port;
pub mod disk;
pub mod handover;
pub mod head;
pub mod head_root;
mod images;
pub mod ingest;
pub mod inspection;
pub mod intake;
pub mod job;
pub mod job_snapshot;
pub mod job_store;
pub mod journal;
mod launchers;
mod new_folder;
mod outgoing;
mod output_sender;
pub mod prepare;
pub mod preview;
pub mod proxy;
pub mod read_ahead;
pub mod registrar;
mod reminder;
pub mod result_box;
pub mod room_report;
pub mod runner;
pub mod salvage;
pub mod sights;
mod small_file;
mod speaker;
pub mod supervisor;
pub mod task_result;
pub mod tracer;
mod turns;
pub mod watch;
pub mod worker;
pub mod worker_root;

pub use head::Head;
pub use head_root::{HeadOptions, HeadRoot};
pub use registrar::Registrar;
pub use worker_root::{WorkerOptions, WorkerRoot};
