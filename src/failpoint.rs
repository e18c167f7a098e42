//! Named places at which a debug build can be told to die, for tests of what a crash just there leaves behind.
//!
//! `MILLPOND_FAILPOINT=journal.before_append=kill` ends the process by SIGKILL when it comes to that place, `…append:3=kill` when it comes
//! there for the third time. A release build has none of this: [`hit`] is empty there.

/// Every place, for tests that try each.
pub const NAMES: &[&str] = &[
    "journal.before_append",
    "journal.before_acknowledge",
    "segment.before_sync",
    "snapshot.before_write",
    "snapshot.before_switch",
    "snapshot.before_truncate",
    "upload.before_rename",
    "upload.after_rename",
    "upload.before_reply",
    "result.before_sync",
    "result.before_receipt",
    "worker.before_rename",
    "worker.before_upload",
    "worker.before_finished",
    "worker.after_finished",
    "worker.before_forget",
];

/// Says that the process has come to this place.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    static HITS: AtomicU64 = AtomicU64::new(0);

    debug_assert!(NAMES.contains(&name), "{name} is missing in NAMES");
    let plan = PLAN.get_or_init(|| std::env::var("MILLPOND_FAILPOINT").ok().and_then(|text| parse(&text)));
    let Some(plan) = plan.as_ref().filter(|plan| plan.name == name) else { return };
    if HITS.fetch_add(1, Ordering::SeqCst) + 1 == plan.at {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_: &str) {}

/// At which place, and at which time there, the process dies.
#[cfg(debug_assertions)]
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    name: String,
    at: u64,
}

#[cfg(debug_assertions)]
fn parse(text: &str) -> Option<Plan> {
    let (place, at) = match text.strip_suffix("=kill")?.split_once(':') {
        Some((place, at)) => (place, at.parse().ok()?),
        None => (text.strip_suffix("=kill")?, 1),
    };
    NAMES.contains(&place).then(|| Plan { name: place.to_owned(), at })
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_a_place_and_a_time() {
        let plan = |name: &str, at| Some(Plan { name: name.to_owned(), at });
        assert_eq!(parse("segment.before_sync=kill"), plan("segment.before_sync", 1));
        assert_eq!(parse("segment.before_sync:3=kill"), plan("segment.before_sync", 3));
        for nonsense in ["", "segment.before_sync", "segment.before_sync=wait", "elsewhere=kill", "segment.before_sync:x=kill"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
