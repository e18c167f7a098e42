//! Times, spans and sizes on a page.

use maud::{Markup, html};

use crate::domain::shell_word;
use crate::rpc::pb;

pub(super) use crate::domain::{counted, short_size, short_span};

/// RFC 3339; empty for a time that no calendar has.
pub(super) fn rfc3339(time: &prost_types::Timestamp) -> String {
    jiff::Timestamp::new(time.seconds, time.nanos).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// A time, to the second, UTC.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> Markup {
    let read = time.and_then(|time| Some((time, jiff::Timestamp::new(time.seconds, time.nanos).ok()?)));
    html! { @if let Some((time, read)) = read { time datetime=(rfc3339(time)) { (read.strftime("%Y-%m-%d %H:%M:%S")) } } }
}

/// How long ago something was; the script keeps it true. `after`: what stands behind it.
pub(super) fn age(time: Option<&prost_types::Timestamp>, after: &str) -> Markup {
    html! {
        @if let Some(time) = time {
            time datetime=(rfc3339(time)) data-age=(after) { (short_span(seconds_since(time))) (after) }
        }
    }
}

/// How long ago that was, in seconds.
pub(super) fn seconds_since(time: &prost_types::Timestamp) -> f64 {
    let at = jiff::Timestamp::new(time.seconds, time.nanos);
    at.map_or(0.0, |at| (jiff::Timestamp::now() - at).total(jiff::Unit::Second).unwrap_or(0.0).max(0.0))
}

/// As a range: `2m10s to 4m00s`.
pub(super) fn eta(eta: pb::Eta) -> String {
    let [low, high] = [eta.low_seconds, eta.high_seconds].map(short_span);
    if low == high { format!("about {low}") } else { format!("{low} to {high}") }
}

/// `j7` of `j7.42`.
pub(super) fn job_of(task: &str) -> &str {
    task.split('.').next().unwrap_or(task)
}

/// A command as it would be typed.
pub(super) fn command_line(command: &[String]) -> String {
    command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_as_it_is_shown() {
        let command = ["sh", "-c", "it's $HOME", "", "{input}"].map(String::from);
        assert_eq!(command_line(&command), "sh -c 'it'\\''s $HOME' '' {input}");
    }
}
