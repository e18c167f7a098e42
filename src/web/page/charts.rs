//! How a job's attempts have gone, as charts: throughput over time, task times, reasons of failures, the last and the slowest tasks.

use maud::{Markup, html};

use crate::actors::job::JobSnapshot;
use crate::domain::TaskNo;
use crate::engine::pulse::{Past, Pulse, Stretch, class_begins};
use crate::rpc::convert::time_to_pb;

use super::words::{counted, short_span, time};

/// A chart's coordinates; it is drawn as wide as the page allows.
const HEIGHT: f64 = 100.0;

pub(super) fn charts(job: &JobSnapshot) -> Markup {
    let pulse = &job.pulse;
    html! {
        (throughput(pulse))
        (times(job))
        (reasons(job))
        (last(job))
    }
}

/// Times, from microseconds, as short as they can be told apart.
fn short_micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
        _ => short_span(micros as f64 / 1e6),
    }
}

fn throughput(pulse: &Pulse) -> Markup {
    let Some((began, secs, stretches)) = pulse.stretches() else { return Markup::default() };
    let total = |one: &Stretch| one.succeeded + one.failed;
    let most = stretches.iter().map(total).max().unwrap_or(0).max(1);
    let rate = f64::from(most) / f64::from(secs);
    let unit = HEIGHT / f64::from(most);
    let shown = stretches.len().max(20);
    html! {
        h2 { "Throughput" }
        svg.chart viewBox={ "0 0 " (shown) " " (HEIGHT) } preserveAspectRatio="none" role="img"
            aria-label={ "tasks that ended, at most " (format!("{rate:.1}")) " a second" } {
            @for (at, one) in stretches.iter().enumerate() {
                @let (good, bad) = (f64::from(one.succeeded) * unit, f64::from(one.failed) * unit);
                @if one.succeeded > 0 {
                    rect class="fill-done" x=(at) width="1" y=(format!("{:.2}", HEIGHT - good)) height=(format!("{good:.2}")) {}
                }
                @if one.failed > 0 {
                    rect class="fill-failed" x=(at) width="1" y=(format!("{:.2}", HEIGHT - good - bad)) height=(format!("{bad:.2}")) {}
                }
            }
        }
        p.faint {
            "From " (time(Some(&time_to_pb(began)))) " on, " (short_span(f64::from(secs))) " a bar; the highest is " (format!("{rate:.1}")) " tasks a second."
        }
    }
}

fn times(job: &JobSnapshot) -> Markup {
    let classes = job.pulse.classes();
    let first = classes.iter().position(|count| *count > 0);
    let Some((first, last)) = first.zip(classes.iter().rposition(|count| *count > 0)) else { return Markup::default() };
    let shown = classes.get(first..=last).unwrap_or_default();
    let most = shown.iter().copied().max().unwrap_or(1).max(1);
    let width = shown.len().max(6);
    let (low, high) = (short_micros(class_begins(first)), short_micros(class_begins(last + 1)));
    let slowest = job.pulse.slowest();
    html! {
        h2 { "Task times" }
        svg.chart viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img"
            aria-label={ "how long tasks took, from " (low) " to " (high) } {
            @for (at, count) in shown.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = (f64::from(*count) / f64::from(most) * HEIGHT).max(1.0);
                rect class="fill-running" x=(format!("{:.2}", at as f64 + 0.05)) width="0.9" y=(format!("{:.2}", HEIGHT - height)) height=(format!("{height:.2}")) {
                    title { (count) ": " (short_micros(class_begins(first + at))) " to " (short_micros(class_begins(first + at + 1))) }
                }
            }
        }
        p.faint { "From " (low) " at the left to " (high) ", each bar half as long again as the one before, or a third." }
        @if !slowest.is_empty() {
            p { "Slowest: " @for (at, past) in slowest.iter().enumerate() { @if at > 0 { ", " } (link(job, past.no)) " " (short_micros(past.micros())) } }
        }
    }
}

/// A task by its name.
fn link(job: &JobSnapshot, no: TaskNo) -> Markup {
    let id = format!("{}.{}", job.record.id, job.record.spec.index_of(no));
    html! { a href={ "/tasks/" (id) } { (id) } }
}

fn reasons(job: &JobSnapshot) -> Markup {
    let (reasons, others) = job.pulse.reasons();
    html! {
        @if !reasons.is_empty() {
            h2 { "Why attempts failed" }
            div.wide { table {
                thead { tr { th.number scope="col" { "Attempts" } th scope="col" { "Reason" } th scope="col" { "First" } th scope="col" { "Latest" } } }
                tbody {
                    @for reason in reasons {
                        tr { td.number { (reason.count) } td { (reason.text) } td { (link(job, reason.first)) } td { (link(job, reason.last)) } }
                    }
                }
            } }
            @if others > 0 { p.faint { "and " (counted(others.into(), "attempt")) " for other reasons" } }
        }
    }
}

fn last(job: &JobSnapshot) -> Markup {
    let shown: Vec<&Past> = job.pulse.last().take(10).collect();
    html! {
        @if !shown.is_empty() {
            h2 { "Ended last" }
            div.wide { table {
                thead { tr {
                    th scope="col" { "Task" } th scope="col" { "Outcome" } th scope="col" { "Worker" } th.number scope="col" { "Took" } th scope="col" { "Ended" }
                } }
                tbody { @for past in shown {
                    tr {
                        td { (link(job, past.no)) }
                        td { @if past.is_success { "succeeded" } @else { "failed" } @if past.attempt.0 > 1 { ", attempt " (past.attempt.0) } }
                        td { (past.worker) }
                        td.number { (short_micros(past.micros())) }
                        td { (time(Some(&time_to_pb(past.timing.ended)))) }
                    }
                } }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_as_short_as_it_can_be() {
        assert_eq!([0, 999, 1_500, 59_900_000, 90_000_000].map(short_micros), ["0 µs", "999 µs", "1 ms", "59.9 s", "1m30s"]);
    }
}
