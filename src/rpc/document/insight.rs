//! Why things are where they are, what comes next, and how often what was foretold came true.

use serde::Serialize;

use super::{VERSION, job_state, rfc3339, some};
use crate::rpc::pb;

/// How often an ETA was right.
#[derive(Serialize)]
pub(super) struct EtaRecord {
    checks: u32,
    inside: u32,
}

impl EtaRecord {
    pub(super) fn of(score: pb::EtaScore) -> Self {
        Self { checks: score.checks, inside: score.inside }
    }
}

/// `explain`.
#[derive(Serialize)]
pub(crate) struct Explanation<'a> {
    version: u32,
    id: &'a str,
    /// Of the job; none of a worker.
    state: Option<&'static str>,
    /// Of what was asked about.
    status: &'a str,
    sentence: &'a str,
    place: Option<u32>,
    rule: Option<&'a str>,
    behind: Option<&'a str>,
    since: Option<String>,
    change: Option<&'a str>,
    eta_seconds: Option<[f64; 2]>,
    eta_record: Option<EtaRecord>,
}

impl<'a> Explanation<'a> {
    pub(crate) fn of(it: &'a pb::Explanation) -> Self {
        Self {
            version: VERSION,
            id: &it.id,
            state: (it.state() != pb::JobState::Unspecified).then(|| job_state(it.state())),
            status: &it.status,
            sentence: &it.sentence,
            place: (it.place > 0).then_some(it.place),
            rule: some(&it.rule),
            behind: some(&it.behind),
            since: rfc3339(it.since.as_ref()),
            change: some(&it.change),
            eta_seconds: it.eta.map(|eta| [eta.low_seconds, eta.high_seconds]),
            eta_record: it.eta_score.map(EtaRecord::of),
        }
    }
}

/// `order`.
#[derive(Serialize)]
pub(crate) struct Order<'a> {
    version: u32,
    what_if: Option<WhatIf<'a>>,
    next: Vec<HandOut<'a>>,
    by_quota: &'a [String],
    unfit: &'a [String],
}

#[derive(Serialize)]
struct WhatIf<'a> {
    job: &'a str,
    priority: i32,
    place: Option<u32>,
    place_if: Option<u32>,
}

#[derive(Serialize)]
struct HandOut<'a> {
    first: u32,
    count: u32,
    job: &'a str,
    owner: Option<&'a str>,
    name: Option<&'a str>,
    priority: i32,
    rule: Option<&'a str>,
    before: Option<&'a str>,
}

impl<'a> Order<'a> {
    pub(crate) fn of(order: &'a pb::Order, what_if: Option<&'a pb::WhatIf>) -> Self {
        let place = |place: u32| (place > 0).then_some(place);
        let what_if =
            what_if.map(|it| WhatIf { job: &it.job, priority: it.priority, place: place(order.place), place_if: place(order.place_if) });
        let next = order.next.iter().map(|it| HandOut {
            first: it.first,
            count: it.count,
            job: &it.job,
            owner: some(&it.owner),
            name: some(&it.name),
            priority: it.priority,
            rule: some(&it.rule),
            before: some(&it.before),
        });
        Self { version: VERSION, what_if, next: next.collect(), by_quota: &order.by_quota, unfit: &order.unfit }
    }
}
