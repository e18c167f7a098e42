//! Jobs as rows.

use super::canvas::Look;
use super::columns::{Column, Kind};
use crate::cli::document::job_state;
use crate::cli::job_text::{done, is_final, range};
use crate::cli::units::short_span;
use crate::rpc::pb;

pub(super) const COLUMNS: &[Column] = &[
    Column { name: "JOB", kind: Kind::Word, goes: 0 },
    Column { name: "STATE", kind: Kind::Word, goes: 0 },
    Column { name: "", kind: Kind::Bar(8, 40), goes: 1 },
    Column { name: "DONE", kind: Kind::Number, goes: 0 },
    Column { name: "RUN", kind: Kind::Number, goes: 3 },
    Column { name: "FAIL", kind: Kind::Number, goes: 5 },
    Column { name: "PRIO", kind: Kind::Number, goes: 6 },
    Column { name: "NEXT", kind: Kind::Number, goes: 7 },
    Column { name: "LEFT", kind: Kind::Word, goes: 4 },
    Column { name: "OWNER", kind: Kind::Text, goes: 8 },
    Column { name: "AGE", kind: Kind::Number, goes: 9 },
    Column { name: "NAME", kind: Kind::Text, goes: 2 },
];

/// The cells of a job; the bar's is empty. `now`: seconds since 1970.
pub(super) fn cells(job: &pb::Job, rank: Option<u32>, now: i64) -> Vec<String> {
    let counts = job.tasks.unwrap_or_default();
    let (name, owner) = job.spec.as_ref().map(|spec| (spec.name.as_str(), spec.owner.as_str())).unwrap_or_default();
    let left = job.eta.filter(|_| !is_final(job)).map(|eta| range(&eta).replace(" to ", "-").replace("about ", "~"));
    let age = job.created.map(|created| short_span(now.saturating_sub(created.seconds).max(0) as f64));
    vec![
        job.id.clone(),
        state(job).to_owned(),
        String::new(),
        if counts.total > 0 { format!("{}/{}", done(&counts), counts.total) } else { String::new() },
        counts.running.to_string(),
        counts.failed.to_string(),
        job.priority.to_string(),
        rank.map(|rank| rank.to_string()).unwrap_or_default(),
        left.unwrap_or_default(),
        owner.to_owned(),
        age.unwrap_or_default(),
        name.to_owned(),
    ]
}

fn state(job: &pb::Job) -> &'static str {
    match (job.held && !is_final(job), job.frozen) {
        (true, true) => "frozen",
        (true, false) => "paused",
        (false, _) => job_state(job.state()),
    }
}

pub(super) fn look(job: &pb::Job) -> Look {
    match job.state() {
        _ if job.held && !is_final(job) => Look::Careful,
        pb::JobState::Running | pb::JobState::Finishing => Look::Good,
        pb::JobState::Failed => Look::Bad,
        pb::JobState::Succeeded | pb::JobState::Killed => Look::Dim,
        pb::JobState::Unspecified | pb::JobState::Ingesting | pb::JobState::Waiting => Look::Plain,
    }
}

/// `=====x>>-....`: done, failed, running, dropped, to come. What is not nothing is seen, where there is room.
pub(super) fn bar(counts: &pb::TaskCounts, width: usize) -> String {
    if counts.total == 0 {
        return String::new();
    }
    let parts = [('=', counts.succeeded), ('x', counts.failed), ('>', counts.running), ('-', counts.killed)];
    let mut bar = String::new();
    for (sign, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
        let share = u64::from(count) * width as u64 / u64::from(counts.total);
        bar.extend(std::iter::repeat_n(sign, (share as usize).max(1)));
    }
    let rest = if counts.undispatched > 0 { '.' } else { bar.chars().next().unwrap_or('.') };
    let at_least = usize::from(counts.undispatched > 0).min(width);
    let mut bar: String = bar.chars().take(width - at_least).collect();
    if rest == '.' {
        bar.extend(std::iter::repeat_n('.', width - bar.len()));
    } else {
        // What rounding has left belongs to the first part.
        bar.insert_str(0, &rest.to_string().repeat(width - bar.len()));
    }
    bar
}

/// Why it is where it is.
pub(super) fn reason(job: &pb::Job) -> String {
    let name = job.spec.as_ref().map(|spec| spec.name.as_str()).filter(|name| !name.is_empty());
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    let reason = if job.reason.is_empty() { state(job) } else { &job.reason };
    format!("{}{name}: {reason}", job.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_whatever_is_not_nothing() {
        let of = |succeeded, failed, running, killed, undispatched| {
            let total = succeeded + failed + running + killed + undispatched;
            bar(&pb::TaskCounts { total, succeeded, failed, running, killed, undispatched }, 10)
        };
        assert_eq!(of(170, 2, 16, 0, 812), "=x>.......");
        assert_eq!([of(0, 0, 0, 0, 5), of(5, 0, 0, 0, 0), of(0, 0, 0, 0, 0)], ["..........", "==========", ""]);
        assert_eq!([of(2, 1, 0, 0, 0), of(999, 0, 0, 0, 1)], ["=======xxx", "=========."]);
        for width in 0..12 {
            assert_eq!(
                bar(&pb::TaskCounts { total: 5, succeeded: 1, failed: 1, running: 1, killed: 1, undispatched: 1 }, width).len(),
                width
            );
        }
    }
}
