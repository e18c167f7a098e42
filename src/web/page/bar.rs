//! How far a job is, as one bar.

use maud::{Markup, html};

use crate::rpc::pb::TaskCounts;

/// A look of tasks: its class in the style, and what it is called.
pub(super) type Look = (&'static str, &'static str);

/// Done, failed, dropped, running; what is left of the bar waits.
fn parts(counts: &TaskCounts) -> [(Look, u32); 5] {
    [
        (("fill-done", "done"), counts.succeeded),
        (("fill-failed", "failed"), counts.failed),
        (("fill-dropped", "dropped"), counts.killed),
        (("fill-running", "running"), counts.running),
        (("fill-waiting", "not started"), counts.undispatched),
    ]
}

/// The bar. What is not nothing is seen: at least half a hundredth wide.
pub(super) fn bar(counts: &TaskCounts) -> Markup {
    let total = f64::from(counts.total.max(1));
    let mut at = 0.0;
    let mut rects = Vec::new();
    for ((class, _), count) in parts(counts) {
        if count > 0 {
            let width = (f64::from(count) / total * 100.0).max(0.5).min(100.0 - at);
            rects.push((class, at, width));
            at += width;
        }
    }
    html! {
        svg.bar viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label=(sentence(counts)) {
            @for (class, at, width) in rects {
                rect class=(class) x=(format!("{at:.3}")) width=(format!("{width:.3}")) y="0" height="1" {}
            }
        }
    }
}

/// `5 done, 2 running, 93 not started`.
pub(super) fn sentence(counts: &TaskCounts) -> String {
    let said: Vec<String> =
        parts(counts).into_iter().filter(|(_, count)| *count > 0).map(|((_, name), count)| format!("{count} {name}")).collect();
    if said.is_empty() { "no tasks yet".into() } else { said.join(", ") }
}

/// The bar's parts with their numbers.
pub(super) fn key(counts: &TaskCounts) -> Markup {
    html! {
        ul.key {
            @for ((class, name), count) in parts(counts) {
                @if count > 0 { li { (swatch(class)) (count) " " (name) } }
            }
        }
    }
}

/// A patch of a look.
pub(super) fn swatch(class: &str) -> Markup {
    html! { svg viewBox="0 0 1 1" aria-hidden="true" { rect class=(class) width="1" height="1" {} } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_little_is_seen_and_the_bar_ends_where_it_ends() {
        let counts = TaskCounts { total: 1_000_000, undispatched: 999_998, running: 1, succeeded: 0, failed: 1, killed: 0 };
        let text = bar(&counts).into_string();
        assert!(
            text.contains(r#"<rect class="fill-failed" x="0.000" width="0.500""#) && text.contains(r#"x="1.000" width="99.000""#),
            "{text}"
        );
        assert_eq!(sentence(&counts), "1 failed, 1 running, 999998 not started");
        assert_eq!(sentence(&TaskCounts::default()), "no tasks yet");
    }
}
