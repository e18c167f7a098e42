//! What of a task's needs is there, in numbers, for people.

use std::time::Duration;

use super::{Roster, Seat};
use crate::domain::{CONTAINERS_LABEL, JobId, Resources, WorkerId, short_size};

/// A worker that is kept free for a job whose tasks have waited long for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// For which job.
    pub job: JobId,
    /// Which worker.
    pub worker: WorkerId,
    /// For how long, by the last tick.
    pub lasts: Duration,
}

/// Workers that are named, each with what it lacks.
const NAMED_MAX: usize = 3;

/// Why tasks that run in an image have no worker.
const NO_CONTAINERS: &str = "runs in an image, and no worker has podman or docker: install one of them on a worker's machine and start \
                             millpond-worker again (with --containers podman or docker, where tasks are in a sandbox)";

/// The amounts, and how people say them.
fn amounts(of: &Resources) -> [(u64, String); 3] {
    let some = |count: u32, what: &str| (u64::from(count), format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
    [some(of.cpus, "cpu"), (of.mem_bytes, format!("{} of memory", short_size(of.mem_bytes))), some(of.gpus, "gpu")]
}

/// What of `needs` is not in `have`.
pub(super) fn lacks(needs: &Resources, have: &Resources) -> Vec<String> {
    let amounts = amounts(needs).into_iter().zip(amounts(have)).filter(|(need, have)| need.0 > have.0).map(|(need, _)| need.1);
    let labels = needs.labels.iter().filter(|(name, value)| have.labels.get(*name) != Some(value));
    let said = |(name, value): (&String, &String)| match name.as_str() {
        CONTAINERS_LABEL => "podman or docker".to_owned(),
        _ => format!("label {name}={value}"),
    };
    amounts.chain(labels.map(said)).collect()
}

/// Amounts of `needs` that none of these has, each with the most that one has.
fn beyond_all(needs: &Resources, have: &[(WorkerId, Resources)], most: &str) -> Vec<String> {
    let mut beyond = Vec::new();
    for (at, (need, said)) in amounts(needs).into_iter().enumerate() {
        let amount = |have: &Resources| amounts(have).into_iter().nth(at).unwrap_or_default();
        let best = have.iter().map(|(worker, have)| (amount(have), *worker)).max_by_key(|((amount, _), _)| *amount);
        if let Some(((amount, has), worker)) = best.filter(|((amount, _), _)| need > *amount) {
            let has = if amount == 0 { "none".to_owned() } else { format!("{has} ({worker})") };
            beyond.push(format!("needs {said}; {most} {has}"));
        }
    }
    beyond
}

impl Roster {
    /// Whether some connected worker could ever run tasks of these needs: by all it has, not by what is free.
    pub fn fits_somewhere(&self, needs: &Resources) -> bool {
        self.seats.values().any(|seat| seat.slots > 0 && needs.fits(&seat.total))
    }

    /// Why no connected worker could ever run tasks of these needs; none if one could.
    pub fn shortfall(&self, needs: &Resources) -> Option<String> {
        if self.fits_somewhere(needs) {
            return None;
        }
        let totals: Vec<(WorkerId, Resources)> = self.seats.values().map(|seat| (seat.worker, seat.total.clone())).collect();
        let mut short = beyond_all(needs, &totals, "the most any worker has is");
        let carried = |name: &String, value: &String| totals.iter().any(|(_, total)| total.labels.get(name) == Some(value));
        let labels = needs.labels.iter().filter(|(name, value)| !carried(name, value));
        short.extend(labels.map(|(name, value)| match name.as_str() {
            CONTAINERS_LABEL => NO_CONTAINERS.to_owned(),
            _ => format!("needs label {name}={value}; no worker carries it"),
        }));
        if !short.is_empty() {
            return Some(short.join("; "));
        }
        let each = totals.iter().take(NAMED_MAX).map(|(worker, total)| format!("{worker} lacks {}", lacks(needs, total).join(" and ")));
        let more = totals.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        Some(format!("needs what no single worker has: {}{more}", each.collect::<Vec<_>>().join(", ")))
    }

    /// Why tasks of these needs do not go to the slots that are free now; none if they would, or if there are none.
    pub fn short_now(&self, job: JobId, needs: &Resources) -> Option<String> {
        let kept = self.reservation().filter(|kept| kept.job != job);
        let is_kept = |seat: &Seat| kept.is_some_and(|kept| kept.worker == seat.worker);
        let open = self.seats.values().filter(|seat| seat.room_left(self.trusted).free > 0 && needs.fits(&seat.total));
        let open: Vec<(&Seat, Resources)> = open.map(|seat| (seat, seat.free_left())).collect();
        let fits: Vec<&Seat> = open.iter().filter(|(_, free)| needs.fits(free)).map(|(seat, _)| *seat).collect();
        match kept {
            Some(kept) if !fits.is_empty() && fits.iter().all(|seat| is_kept(seat)) => {
                return Some(format!(
                    "could go to {}, which is kept free for {}, whose tasks have waited long for room",
                    kept.worker, kept.job
                ));
            }
            _ if !fits.is_empty() || open.is_empty() => return None,
            _ => {}
        }
        let free: Vec<(WorkerId, Resources)> = open.into_iter().map(|(seat, free)| (seat.worker, free)).collect();
        let short = beyond_all(needs, &free, "the most that is free now is");
        // Each of it is free somewhere, but not together.
        Some(if short.is_empty() { "needs what is free, but not at one worker".into() } else { short.join("; ") })
    }

    /// The worker that is kept free, if one is.
    pub fn reservation(&self) -> Option<Reservation> {
        let kept = self.reserved?;
        let worker = self.seats.get(&kept.session)?.worker;
        Some(Reservation { job: kept.job, worker, lasts: self.now.map(|now| now.since(kept.since)).unwrap_or_default() })
    }
}
