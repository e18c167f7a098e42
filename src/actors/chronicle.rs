//! Chronicle: who has worked for whom, lately, and how well. Child of the HeadRoot. Each job tells it what has ended, all that came together in one
//! message.

use std::collections::BTreeMap;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::domain::{JobId, WallTime, WorkerId};
use crate::engine::timeline::Timeline;
use crate::engine::worker_record::{Stint, WorkerRecord, WorkerScore};
use crate::limits::WORKERS_MAX;

/// What it is told and asked.
pub enum ChronicleMsg {
    /// Attempts have ended.
    Ended {
        /// Where.
        worker: WorkerId,
        /// For whom.
        job: JobId,
        /// Up to when, by the head's clock.
        now: WallTime,
        /// Each attempt.
        stints: Vec<Stint>,
    },
    /// Who has worked for whom.
    GetTimeline(RpcReplyPort<Timeline>),
    /// How well these workers do, of those that have done anything.
    GetScores(Vec<WorkerId>, RpcReplyPort<BTreeMap<WorkerId, WorkerScore>>),
}

/// What is remembered.
#[derive(Default)]
pub struct ChronicleState {
    timeline: Timeline,
    /// Of as many workers as may be attached; the newest ones.
    records: BTreeMap<WorkerId, WorkerRecord>,
}

/// See the module.
pub struct Chronicle;

impl Actor for Chronicle {
    type Msg = ChronicleMsg;
    type State = ChronicleState;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ChronicleMsg>, (): ()) -> Result<ChronicleState, ActorProcessingErr> {
        Ok(ChronicleState::default())
    }

    async fn handle(&self, _: ActorRef<ChronicleMsg>, message: ChronicleMsg, state: &mut ChronicleState) -> Result<(), ActorProcessingErr> {
        match message {
            ChronicleMsg::Ended { worker, job, now, stints } => {
                stints.iter().for_each(|stint| state.timeline.used(worker, job, stint.micros, now));
                let record = state.records.entry(worker).or_default();
                stints.iter().for_each(|stint| record.ended(stint));
                if state.records.len() > WORKERS_MAX {
                    state.records.pop_first();
                }
            }
            ChronicleMsg::GetTimeline(reply) => {
                let _ = reply.send(state.timeline.clone());
            }
            ChronicleMsg::GetScores(workers, reply) => {
                let score = |worker| Some((worker, state.records.get(&worker)?.score()));
                let _ = reply.send(workers.into_iter().filter_map(score).collect());
            }
        }
        Ok(())
    }
}
