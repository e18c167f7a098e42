//! `GetOrder`: the hand-outs to come, as the caller may see them.

use std::collections::BTreeMap;

use crate::actors::Head;
use crate::actors::supervisor::{JobStatus, OrderAnswer};
use crate::domain::{Error, ErrorKind, JobId};
use crate::engine::roster::{HandOut, Order, Place};
use crate::limits::PAGE_MAX_ITEMS;
use crate::rpc::pb;

use super::who::Who;

/// When the request does not say.
const HAND_OUTS: u32 = 50;

/// The answer. What if: only of a job within reach, that has not ended.
pub(super) async fn get(head: &Head, who: &Who, request: pb::GetOrderRequest) -> Result<pb::Order, Error> {
    let limit = if request.limit == 0 { HAND_OUTS } else { request.limit.min(PAGE_MAX_ITEMS as u32) };
    let what_if = match request.what_if {
        None => None,
        Some(pb::WhatIf { job, priority }) => {
            let job: JobId = job.parse()?;
            who.reaches_job(head, job).await?;
            if head.job(job).await?.view.state.is_final() {
                return Err(Error::conflict(format!("{job} has ended: it stands in no order")));
            }
            Some((job, priority))
        }
    };
    let OrderAnswer { order: Order { next, by_quota, unfit }, place, place_if } = head.order(limit, what_if).await?;
    let mut jobs = BTreeMap::new();
    for HandOut { job, .. } in &next {
        match head.job(*job).await {
            Ok(status) => drop(jobs.insert(*job, status)),
            // It has ended, and is deleted, since.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let priority_if = |job: JobId| what_if.filter(|(id, _)| *id == job).map(|(_, priority)| priority);
    let of = |place: Option<Place>| place.map_or(0, |place| place.place);
    let names = |jobs: Vec<JobId>| jobs.iter().map(ToString::to_string).collect();
    Ok(pb::Order {
        next: next.into_iter().map(|it| hand_out(who, jobs.get(&it.job), priority_if(it.job), &it)).collect(),
        by_quota: names(by_quota),
        unfit: names(unfit),
        place: of(place),
        place_if: of(place_if),
    })
}

fn hand_out(who: &Who, status: Option<&JobStatus>, priority_if: Option<i32>, it: &HandOut) -> pb::HandOut {
    let view = status.map(|status| &status.view);
    let seen = view.filter(|view| who.access.covers(&who.caller, Some(view.spec.owner.as_str())));
    pb::HandOut {
        first: it.first,
        count: it.count,
        job: it.job.to_string(),
        owner: seen.map(|view| view.spec.owner.clone()).unwrap_or_default(),
        name: seen.map(|view| view.spec.name.clone()).unwrap_or_default(),
        priority: priority_if.or(view.map(|view| view.priority)).unwrap_or(0),
        rule: it.rule.map(|rule| rule.name().to_owned()).unwrap_or_default(),
        before: it.before.map(|job| job.to_string()).unwrap_or_default(),
    }
}
