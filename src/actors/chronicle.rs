//! Chronicle: who has worked for whom, lately. Child of the HeadRoot. Each job tells it what has ended, all that came together in one message.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::domain::{JobId, WallTime, WorkerId};
use crate::engine::timeline::Timeline;

/// What it is told and asked.
pub enum ChronicleMsg {
    /// A worker has used slots for a job: up to when, and for how many microseconds each.
    Used {
        /// Where.
        worker: WorkerId,
        /// For whom.
        job: JobId,
        /// Up to when, by the head's clock.
        now: WallTime,
        /// Each attempt's time.
        micros: Vec<u64>,
    },
    /// All that is remembered.
    Get(RpcReplyPort<Timeline>),
}

/// See the module.
pub struct Chronicle;

impl Actor for Chronicle {
    type Msg = ChronicleMsg;
    type State = Timeline;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ChronicleMsg>, (): ()) -> Result<Timeline, ActorProcessingErr> {
        Ok(Timeline::default())
    }

    async fn handle(&self, _: ActorRef<ChronicleMsg>, message: ChronicleMsg, state: &mut Timeline) -> Result<(), ActorProcessingErr> {
        match message {
            ChronicleMsg::Used { worker, job, now, micros } => micros.into_iter().for_each(|micros| state.used(worker, job, micros, now)),
            ChronicleMsg::Get(reply) => {
                let _ = reply.send(state.clone());
            }
        }
        Ok(())
    }
}
