//! What is done at a key, what it would come to, and what came of it.

use super::super::controlled::{preview, request_id, told};
use super::super::kill::{self, Running, kill};
use super::super::{pause, priority, resume, worker};
use crate::domain::Error;
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

/// A verb, and to what: a job as `j7`, a worker as `w3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Pause(String),
    Resume(String),
    /// Running tasks finish.
    Kill(String),
    Priority(String, i32),
    Drain(String),
    /// A worker takes tasks again.
    Undrain(String),
}

/// Does it. In words, what really happened.
///
/// Errors: the head's refusal.
pub(super) async fn perform(deed: Deed, client: &Client) -> Result<String, Error> {
    match deed {
        Deed::Pause(id) => {
            let request = pb::PauseJobRequest { id, request_id: request_id(), ..Default::default() };
            told(client, Verb::Pause(request), pause::sentence).await
        }
        Deed::Resume(id) => {
            let request = pb::ResumeJobRequest { id, request_id: request_id(), ..Default::default() };
            told(client, Verb::Resume(request), resume::sentence).await
        }
        Deed::Kill(id) => {
            let request = kill(id, request_id(), Running::Finish, String::new());
            told(client, Verb::Kill(request), |job, reply| kill::sentence(Running::Finish, job, reply)).await
        }
        Deed::Priority(id, priority) => {
            let request = pb::SetJobPriorityRequest { id, request_id: request_id(), priority, ..Default::default() };
            told(client, Verb::Priority(request), |job, reply| priority::sentence(priority, job, reply)).await
        }
        Deed::Drain(id) => {
            let request = pb::DrainWorkerRequest { id, request_id: request_id() };
            let worker = client.repeat(async || client.cluster().drain_worker(request.clone()).await).await?;
            Ok(worker::drained(&worker))
        }
        Deed::Undrain(id) => {
            let request = pb::ResumeWorkerRequest { id, request_id: request_id() };
            let worker = client.repeat(async || client.cluster().resume_worker(request.clone()).await).await?;
            Ok(worker::resumed(&worker))
        }
    }
}

/// What it would come to, as a person is asked.
///
/// Errors: the head's refusal.
pub(super) async fn foretell(deed: &Deed, client: &Client) -> Result<String, Error> {
    match deed {
        Deed::Kill(id) => {
            let request = kill(id.clone(), request_id(), Running::Finish, String::new());
            let reply = preview(client, Verb::Kill(request)).await?;
            Ok(format!("kill {id}: {}", killed(&reply)))
        }
        Deed::Drain(id) => {
            let worker = worker::connected(id.clone(), client).await?;
            let runs = worker.slots.saturating_sub(worker.free);
            Ok(format!("drain {id}: {runs} of {} slots finish what they run, then it leaves", worker.slots))
        }
        // These are taken back as quickly as they are done: nobody is asked.
        Deed::Pause(_) | Deed::Resume(_) | Deed::Priority(..) | Deed::Undrain(_) => Err(Error::internal("nobody asks what this comes to")),
    }
}

/// `drops 812; 16 running finish`.
fn killed(reply: &pb::ControlReply) -> String {
    match (reply.dropped, reply.running) {
        (0, 0) => "it has nothing left to do".into(),
        (dropped, 0) => format!("drops {dropped}; none is running"),
        (dropped, 1) => format!("drops {dropped}; 1 running finishes"),
        (dropped, running) => format!("drops {dropped}; {running} running finish"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_foretold_by_its_counts() {
        let text = |dropped, running| killed(&pb::ControlReply { dropped, running, ..Default::default() });
        assert_eq!(
            [text(812, 16), text(5, 0), text(0, 1)],
            ["drops 812; 16 running finish", "drops 5; none is running", "drops 0; 1 running finishes"]
        );
    }
}
