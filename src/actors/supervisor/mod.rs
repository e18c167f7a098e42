//! The JobSupervisor: owns the roster and the ranking, an actor per live job, a proxy per connected worker. Child of the HeadRoot.
//!
//! Grants go from here to jobs, and so does the news that a session is over: in one mailbox, in this order, so that no job is granted a
//! slot of a session after it heard of its end.

mod actor;
mod deletion;
mod insight;
mod jobs;
mod msg;
mod quotas;
mod recovery;
mod sessions;
mod status;

pub use actor::{JobSupervisor, SupervisorArgs};
pub use deletion::{DatasetUsers, deletable};
pub use insight::OrderAnswer;
pub use msg::{Attaching, Submission, SupervisorMsg};
pub use status::{JobStatus, WorkerStatus};
