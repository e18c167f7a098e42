//! `GetScale`: what the jobs would use, beside the workers that there are.

use std::collections::{BTreeMap, BTreeSet};

use crate::actors::supervisor::WorkerStatus;
use crate::engine::WorkerPhase;
use crate::engine::scale::{Demand, Kind, Load};
use crate::rpc::pb;

/// What all jobs would use now, with workers like those that the head has ever seen.
pub fn demand(loads: &[Load], workers: &[WorkerStatus]) -> Demand {
    let kinds: BTreeSet<Kind> = workers.iter().map(|worker| Kind { slots: worker.info.slots, total: worker.info.total.clone() }).collect();
    Demand::of(loads, &kinds.into_iter().collect::<Vec<_>>())
}

/// The answer, of all loads and all workers that the head knows.
pub(super) fn message(loads: &[Load], workers: &[WorkerStatus], labels: &BTreeMap<String, String>) -> pb::Scale {
    let is_pool = |worker: &&WorkerStatus| labels.iter().all(|(name, value)| worker.info.total.labels.get(name) == Some(value));
    let is_connected = |worker: &&WorkerStatus| worker.phase != WorkerPhase::Away;
    let serves = |worker: &&WorkerStatus| is_connected(worker) && worker.phase != WorkerPhase::Draining;
    let slots_of = |some: &mut dyn Iterator<Item = &WorkerStatus>| some.fold(0u32, |sum, worker| sum.saturating_add(worker.info.slots));
    let demand = demand(loads, workers);
    let slots_elsewhere = slots_of(&mut workers.iter().filter(serves).filter(|worker| !is_pool(worker)));
    let newest_of_pool = workers.iter().filter(is_pool).max_by_key(|worker| worker.info.id);
    let slots_per_worker = newest_of_pool.map_or(0, |worker| worker.info.slots);
    let pool = workers.iter().filter(is_pool).filter(is_connected).map(|worker| pb::ScaleWorker {
        id: worker.info.id.to_string(),
        host: worker.info.host.clone(),
        slots: worker.info.slots,
        idle: worker.leases.is_empty(),
        draining: worker.phase == WorkerPhase::Draining,
    });
    pb::Scale {
        slots_wanted: demand.slots,
        tasks_out: demand.out,
        tasks_waiting: demand.waiting,
        tasks_unfit: demand.unfit,
        slots: slots_of(&mut workers.iter().filter(serves).filter(is_pool)),
        slots_elsewhere,
        slots_per_worker,
        workers_wanted: Demand::workers(demand.slots.saturating_sub(slots_elsewhere), slots_per_worker),
        workers: pool.collect(),
        newest_worker: workers.iter().map(|worker| worker.info.id).max().map(|id| id.to_string()).unwrap_or_default(),
    }
}
