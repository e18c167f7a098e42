//! Why a job is where it is.

use crate::domain::verb::Verb;
use crate::domain::{DiskRoom, JobState, WallTime};
use crate::engine::rank::Rule;
use crate::engine::roster::{Lift, NextSlot, Place, Roster};
use crate::engine::view::JobView;
use crate::limits;

use super::remedy::{quota_with_slots, worker_options};
use super::{Explanation, tasks};

/// The one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has ended.
    Ended,
    /// Its data set is being split.
    Ingesting,
    /// It is being killed, and some of its tasks run.
    Killing,
    /// Too much of it has failed, and some of its tasks run.
    GivingUp,
    /// Its end is on its way to the disk.
    Ending,
    /// It is paused.
    Held,
    /// All its tasks have started.
    Last,
    /// Of what has not started nothing waits for a slot: it may still run since before a restart, waits for its next try, or is on its way.
    Limbo,
    /// See `Limbo`.
    Delayed,
    /// See `Limbo`.
    OnTheWay,
    /// Nothing is handed out: the head's disk is almost full.
    DiskFull(DiskRoom),
    /// No worker is connected.
    NoWorker,
    /// Its tasks fit no worker; why.
    Unfit(String),
    /// It has as many tasks out as it may.
    Limit(u32),
    /// What waits is not ready to be handed out.
    Preparing,
    /// Its owner has as many slots as he may.
    Quota(u32),
    /// It stands in the order.
    Placed(Place),
}

/// Explains a job by what the supervisor knows.
pub fn explain(view: &JobView, roster: &Roster) -> Explanation {
    let why = why(view, roster);
    Explanation {
        sentence: format!("{} {}", view.id, sentence(&why, view, roster)),
        state: view.state.name(),
        place: roster.place(view.id),
        since: since(&why, view),
        change: change(&why, view, roster),
    }
}

/// The sentence without the job's name: `is paused: …`.
pub fn reason(view: &JobView, roster: &Roster) -> String {
    sentence(&why(view, roster), view, roster)
}

/// Decides on the reason.
pub fn why(view: &JobView, roster: &Roster) -> Why {
    let counts = view.counts;
    let left = counts.running + counts.undispatched;
    match view.state {
        JobState::Succeeded | JobState::Failed | JobState::Killed => Why::Ended,
        JobState::Ingesting => Why::Ingesting,
        JobState::Finishing if view.killed && left > 0 => Why::Killing,
        JobState::Finishing if left > 0 => Why::GivingUp,
        JobState::Finishing => Why::Ending,
        JobState::Waiting | JobState::Running if view.held => Why::Held,
        JobState::Waiting | JobState::Running if counts.undispatched == 0 => Why::Last,
        JobState::Waiting | JobState::Running => waits(view, roster),
    }
}

/// Of a job that may go on, and of which something has not started.
fn waits(view: &JobView, roster: &Roster) -> Why {
    let on_the_way = view.out.saturating_sub(view.counts.running);
    let queued = view.counts.undispatched.saturating_sub(on_the_way).saturating_sub(view.limbo).saturating_sub(view.delayed);
    if queued == 0 {
        return match (view.limbo, view.delayed) {
            (1.., _) => Why::Limbo,
            (0, 1..) => Why::Delayed,
            (0, 0) => Why::OnTheWay,
        };
    }
    if let Some(room) = roster.disk_full() {
        return Why::DiskFull(room);
    }
    if roster.slots() == 0 {
        return Why::NoWorker;
    }
    if let Some(short) = roster.shortfall(&view.spec.needs) {
        return Why::Unfit(short);
    }
    if let Some(max) = view.max_running.filter(|max| view.out >= *max) {
        return Why::Limit(max);
    }
    if view.wanted == 0 {
        return Why::Preparing;
    }
    if let Some(max) = roster.quota_met(&view.spec.owner) {
        return Why::Quota(max);
    }
    // What is granted and has not been taken is on its way.
    roster.place(view.id).map_or(Why::OnTheWay, Why::Placed)
}

fn sentence(why: &Why, view: &JobView, roster: &Roster) -> String {
    let counts = view.counts;
    let note = if view.note.is_empty() { String::new() } else { format!(" ({})", view.note) };
    let running = if counts.running > 0 { format!("{} running, ", tasks(counts.running)) } else { String::new() };
    let not_started = counts.undispatched;
    let left = tasks(counts.running + counts.undispatched);
    let said = match why {
        Why::Ended => ended(view, &note),
        Why::Ingesting if view.held => "is being split by its rule, and paused".into(),
        Why::Ingesting => "is being split by its rule".into(),
        Why::Killing => format!("is being killed{note}: {left} still running"),
        Why::GivingUp => format!("gives up, as too many of its tasks failed: {left} being stopped"),
        Why::Ending => "has run all its tasks; its end is being made durable".into(),
        Why::Held => {
            let still = if view.hold.freeze && counts.running > 0 { "standing still, " } else { "" };
            let until = if view.hold.until.is_some() { "its time is over, or it is resumed" } else { "it is resumed" };
            format!("is paused{note}: {running}{still}{not_started} not started until {until}")
        }
        Why::Last => format!("is running its last {}", tasks(counts.running)),
        Why::Limbo => format!(
            "is waiting: {running}the head has restarted, and {} may still run on workers that have not reported",
            tasks(view.limbo)
        ),
        Why::Delayed => format!("is waiting: {running}{} failed and will be tried again shortly", tasks(view.delayed)),
        Why::OnTheWay => format!("is handing out: {running}{} on the way to workers", tasks(not_started)),
        Why::DiskFull(room) => {
            format!("is waiting: {running}{not_started} not started; no new tasks: the head's disk is almost full, {room}: free some space")
        }
        Why::NoWorker => format!("is waiting: {running}no worker is connected"),
        Why::Unfit(short) => format!("is waiting: {running}{not_started} not started: each {short}"),
        Why::Limit(max) => format!("is at its limit of {} at once: {running}{not_started} not started", tasks(*max)),
        Why::Preparing => format!("is waiting: {running}{not_started} not started: the head is making them ready"),
        Why::Quota(max) => {
            let (owner, held) = (&view.spec.owner, roster.held_by(&view.spec.owner));
            format!("is waiting: {running}{not_started} not started: {owner} has {held} in workers' hands, and a quota of {max}")
        }
        Why::Placed(place) => placed(place, view, roster, &running),
    };
    if wants_workers(why) { said + &suspicion(roster) } else { said }
}

fn ended(view: &JobView, note: &str) -> String {
    let counts = view.counts;
    let gave_up = if counts.killed == 0 { String::new() } else { format!(", {} dropped: {}", counts.killed, view.note) };
    match view.state {
        JobState::Succeeded => format!("has ended: all {} succeeded", tasks(counts.total)),
        JobState::Failed if counts.failed == 0 => format!("has failed: {}", view.note),
        JobState::Failed => format!("has ended: {} of {} failed{gave_up}", counts.failed, tasks(counts.total)),
        JobState::Killed | JobState::Ingesting | JobState::Waiting | JobState::Running | JobState::Finishing => {
            format!("was killed{note}: {} succeeded, {} dropped", tasks(counts.succeeded), counts.killed)
        }
    }
}

fn placed(place: &Place, view: &JobView, roster: &Roster, running: &str) -> String {
    let state = if view.counts.running > 0 { "is running" } else { "is waiting" };
    let order = match place.behind {
        None => "first in the order".to_owned(),
        Some(ahead) => format!("number {} in the order, behind {ahead} by {}", place.place, place.rule.name()),
    };
    let short = roster.short_now(view.id, &view.spec.needs).map(|short| format!("; each {short}"));
    let kept = roster.reservation().filter(|kept| kept.job == view.id);
    let kept = kept.map(|kept| format!("; {} is kept free for it since {} s", kept.worker, kept.lasts.as_secs()));
    let next = (place.behind.is_none() && short.is_none()).then(|| next_slot(view, roster)).flatten();
    let why: String = [next, short, kept].into_iter().flatten().collect();
    format!("{state}: {running}{} not started, {order}{why}", view.counts.undispatched)
}

/// What is sure of the next slot that comes free, for the first in the order.
fn next_slot(view: &JobView, roster: &Roster) -> Option<String> {
    let slot = if view.spec.needs == crate::domain::Resources::default() { "slot" } else { "slot with room for it" };
    match roster.next_slot(view.id) {
        NextSlot::Its => Some(format!("; the next free {slot} is its own")),
        NextSlot::UnlessOf(owner) => Some(format!("; the next free {slot} is its own, unless a task of {owner} ends")),
        NextSlot::Open => None,
    }
}

/// Whether a worker under suspicion would be of use.
fn wants_workers(why: &Why) -> bool {
    matches!(
        why,
        Why::Limbo | Why::Delayed | Why::DiskFull(_) | Why::NoWorker | Why::Unfit(_) | Why::Limit(_) | Why::Quota(_) | Why::Placed(_)
    )
}

/// Who gets none of the tasks that wait, and why.
fn suspicion(roster: &Roster) -> String {
    let suspected: Vec<String> = roster.suspected().take(3).map(|worker| worker.to_string()).collect();
    let more = roster.suspected().count().saturating_sub(suspected.len());
    if suspected.is_empty() {
        return String::new();
    }
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("; under suspicion, as tasks of several jobs failed there: {}{more} (see `millpond worker list`)", suspected.join(", "))
}

/// A pause, or a kill, began with the verb that said it; all else as the job itself has noted.
fn since(why: &Why, view: &JobView) -> Option<WallTime> {
    match why {
        Why::Ended => view.ended,
        Why::Held => paused_since(view).or(view.since),
        Why::Killing => view.said.iter().rev().find(|said| matches!(said.verb, Verb::Kill(_))).map(|said| said.at).or(view.since),
        _ => view.since,
    }
}

/// The first of the pauses behind which there is no resume, if the verbs that are remembered reach so far back.
fn paused_since(view: &JobView) -> Option<WallTime> {
    let resumed = view.said.iter().rposition(|said| matches!(said.verb, Verb::Resume));
    let from = resumed.map_or(0, |at| at + 1);
    let is_whole = resumed.is_some() || view.said.len() < limits::SAID_KEPT_MAX;
    let mut pauses = view.said.iter().skip(from).filter(|said| said.verb.hold().is_some());
    match (pauses.next(), resumed) {
        (Some(said), _) if is_whole => Some(said.at),
        // It was submitted so.
        (None, None) if is_whole => Some(view.created),
        _ => None,
    }
}

fn change(why: &Why, view: &JobView, roster: &Roster) -> Option<String> {
    let id = view.id;
    let nothing = |text: &str| Some(format!("nothing: {text}"));
    match why {
        Why::Ended => after_the_end(view),
        Why::Ingesting | Why::Held if view.held => Some(format!("`millpond resume {id}`")),
        Why::Ingesting | Why::Held => nothing("its tasks wait for slots as soon as it is split"),
        Why::Killing => nothing("it ends with its last running task"),
        Why::GivingUp => Some(format!("`millpond retry {id}`, once it has ended")),
        Why::Ending => nothing("it ends in a moment"),
        Why::Last => nothing("all its tasks have started"),
        Why::Limbo => nothing("what is not claimed by a worker goes out again by itself"),
        Why::Delayed => nothing("they are tried again by themselves"),
        Why::OnTheWay => nothing("they are about to start"),
        Why::Preparing => nothing("they are about to be handed out"),
        Why::DiskFull(_) => Some("free space on the head's disk".into()),
        Why::NoWorker => Some(start_a_worker(view)),
        Why::Unfit(_) => Some(start_a_worker(view)),
        Why::Limit(_) => Some(format!("`millpond limit {id} --max-running {}`, or more", view.out.saturating_add(1))),
        Why::Quota(_) => {
            let owner = &view.spec.owner;
            let slots = roster.held_by(owner).saturating_add(1);
            Some(format!("raise the quota of {owner}: `{}`, or more", quota_with_slots(owner, roster.quotas().of(owner), slots)))
        }
        Why::Placed(place) => Some(further_ahead(place, view, roster)),
    }
}

fn start_a_worker(view: &JobView) -> String {
    format!("start a worker: `millpond-worker --head URL{}`", worker_options(&view.spec.needs))
}

fn after_the_end(view: &JobView) -> Option<String> {
    match view.state {
        JobState::Failed if view.counts.failed > 0 => Some(format!("`millpond retry {}`", view.id)),
        JobState::Killed => Some("submit it again".into()),
        _ => None,
    }
}

/// For a job that stands in the order.
fn further_ahead(place: &Place, view: &JobView, roster: &Roster) -> String {
    let id = view.id;
    if let Some(kept) = roster.reservation().filter(|kept| kept.job == id) {
        return format!("nothing: {} is kept free for it", kept.worker);
    }
    match (place.behind, roster.lift(id)) {
        (None, _) if roster.short_now(id, &view.spec.needs).is_some() => format!("wait for room, or {}", start_a_worker(view)),
        (None, _) => "nothing: it is next".into(),
        (Some(_), Lift::First(priority)) => format!("`millpond priority {id} {priority}` puts it first"),
        (Some(_), Lift::BehindFinishing(priority, finishing)) => {
            format!("`millpond priority {id} {priority}` puts it just behind {finishing}, which is past its finish line")
        }
        (Some(ahead), Lift::None) if place.rule == Rule::FinishLine => {
            format!("nothing: no priority goes before {ahead}, which is past its finish line")
        }
        (Some(ahead), Lift::None) => format!("nothing: no priority puts it before {ahead}"),
    }
}
