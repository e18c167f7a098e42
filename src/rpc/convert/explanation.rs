//! Explanations, and when a job will have ended.

use super::time::time_to_pb;
use crate::domain::EtaScore;
use crate::engine::eta::Range;
use crate::engine::explain::Explanation;
use crate::rpc::pb;

/// What is said of the thing of this id; of a job its state has to be put in.
pub fn explanation_to_pb(id: String, explanation: Explanation) -> pb::Explanation {
    let Explanation { sentence, state, place, since, change } = explanation;
    pb::Explanation {
        id,
        sentence,
        state: pb::JobState::Unspecified.into(),
        place: place.map_or(0, |place| place.place),
        rule: place.map(|place| place.rule.name().to_owned()).unwrap_or_default(),
        behind: place.and_then(|place| place.behind).map(|job| job.to_string()).unwrap_or_default(),
        status: state.to_owned(),
        since: since.map(time_to_pb),
        change: change.unwrap_or_default(),
        eta: None,
        eta_score: None,
    }
}

/// To seconds.
pub fn eta_to_pb(range: Range) -> pb::Eta {
    pb::Eta { low_seconds: range.low, high_seconds: range.high }
}

/// None where nothing was checked.
pub fn eta_score_to_pb(score: EtaScore) -> Option<pb::EtaScore> {
    let EtaScore { checks, inside } = score;
    (checks > 0).then_some(pb::EtaScore { checks, inside })
}
