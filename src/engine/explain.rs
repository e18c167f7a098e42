//! Why a job is where it is, in one sentence. One implementation for command line, API and page.

use crate::domain::JobState;

use super::roster::{Place, Roster};
use super::view::JobView;

/// The sentence, and the place in the order that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// State, place and reason.
    pub sentence: String,
    /// Where it stands among the jobs that want slots.
    pub place: Option<Place>,
}

/// Explains a job by what the supervisor knows.
pub fn explain(view: &JobView, roster: &Roster) -> Explanation {
    let place = roster.place(view.id);
    Explanation { sentence: format!("{} {}", view.id, reason(view, roster, place)), place }
}

/// The sentence without the job's name: `is paused: …`.
pub fn reason(view: &JobView, roster: &Roster, place: Option<Place>) -> String {
    let counts = view.counts;
    let note = if view.note.is_empty() { String::new() } else { format!(" ({})", view.note) };
    match view.state {
        JobState::Succeeded => format!("has ended: all {} succeeded", tasks(counts.total)),
        JobState::Failed if counts.failed == 0 => format!("has failed: {}", view.note),
        JobState::Failed => format!("has ended: {} of {} failed{}", counts.failed, tasks(counts.total), gave_up(view)),
        JobState::Killed => format!("was killed{note}: {} succeeded, {} dropped", tasks(counts.succeeded), counts.killed),
        JobState::Ingesting => format!("is being split by its rule{}", held(view)),
        JobState::Finishing if view.killed && counts.running + counts.undispatched > 0 => {
            format!("is being killed{note}: {} still running", tasks(counts.running + counts.undispatched))
        }
        JobState::Finishing if counts.running + counts.undispatched > 0 => {
            format!("gives up, as too many of its tasks failed: {} being stopped", tasks(counts.running + counts.undispatched))
        }
        JobState::Finishing => "has run all its tasks; its end is being made durable".into(),
        JobState::Waiting | JobState::Running => format!("{}{}", live(view, roster, place, &note), suspicion(view, roster)),
    }
}

/// Who gets none of the tasks that wait, and why.
fn suspicion(view: &JobView, roster: &Roster) -> String {
    let suspected: Vec<String> = roster.suspected().take(3).map(|worker| worker.to_string()).collect();
    let more = roster.suspected().count().saturating_sub(suspected.len());
    if view.held || view.counts.undispatched == 0 || suspected.is_empty() {
        return String::new();
    }
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("; under suspicion, as tasks of several jobs failed there: {}{more} (see `millpond worker list`)", suspected.join(", "))
}

fn gave_up(view: &JobView) -> String {
    if view.counts.killed == 0 { String::new() } else { format!(", {} dropped: {}", view.counts.killed, view.note) }
}

fn tasks(n: u32) -> String {
    if n == 1 { "1 task".into() } else { format!("{n} tasks") }
}

fn held(view: &JobView) -> &'static str {
    if view.held { ", and paused" } else { "" }
}

fn live(view: &JobView, roster: &Roster, place: Option<Place>, note: &str) -> String {
    let counts = view.counts;
    let running = if counts.running > 0 { format!("{} running, ", tasks(counts.running)) } else { String::new() };
    if view.held {
        let still = if view.hold.freeze && counts.running > 0 { "standing still, " } else { "" };
        let until = if view.hold.until.is_some() { "its time is over, or it is resumed" } else { "it is resumed" };
        return format!("is paused{note}: {running}{still}{} not started until {until}", counts.undispatched);
    }
    if counts.undispatched == 0 {
        return format!("is running its last {}", tasks(counts.running));
    }
    if let Some(room) = roster.disk_full() {
        let not_started = counts.undispatched;
        return format!(
            "is waiting: {running}{not_started} not started; no new tasks: the head's disk is almost full, {room}: free some space"
        );
    }
    if roster.slots() == 0 {
        return format!("is waiting: {running}no worker is connected");
    }
    if let Some(short) = roster.shortfall(&view.spec.needs) {
        return format!("is waiting: {running}{} not started: each {short}", counts.undispatched);
    }
    if let Some(max) = view.max_running.filter(|max| view.out >= *max) {
        return format!("is at its limit of {} at once: {running}{} not started", tasks(max), counts.undispatched);
    }
    if view.limbo > 0 && view.wanted == 0 {
        return format!(
            "is waiting: {running}the head has restarted, and {} may still run on workers that have not reported",
            tasks(view.limbo)
        );
    }
    if view.delayed > 0 && view.wanted == 0 {
        return format!("is waiting: {running}{} failed and will be tried again shortly", tasks(view.delayed));
    }
    if let Some(max) = roster.quota_met(&view.spec.owner) {
        let (owner, held) = (&view.spec.owner, roster.held_by(&view.spec.owner));
        return format!(
            "is waiting: {running}{} not started: {owner} has {held} in workers' hands, and a quota of {max}",
            counts.undispatched
        );
    }
    let Some(place) = place else {
        return format!("is handing out: {running}{} on the way to workers", tasks(counts.undispatched));
    };
    let state = if counts.running > 0 { "is running" } else { "is waiting" };
    let order = match place.behind {
        None => "first in the order".to_owned(),
        Some(ahead) => format!("number {} in the order, behind {ahead} by {}", place.place, place.rule.name()),
    };
    let short = roster.short_now(view.id, &view.spec.needs).map(|short| format!("; each {short}"));
    let kept = roster.reservation().filter(|kept| kept.job == view.id);
    let kept = kept.map(|kept| format!("; {} is kept free for it since {} s", kept.worker, kept.lasts.as_secs()));
    let next = (place.behind.is_none() && short.is_none()).then(|| "; the next free slot is its own".to_owned());
    let why: String = [next, short, kept].into_iter().flatten().collect();
    format!("{state}: {running}{} not started, {order}{why}", counts.undispatched)
}

#[cfg(test)]
mod tests;
