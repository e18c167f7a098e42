//! What tests begin with.

use super::entry::Submitted;
use super::{ArrayRange, Input, JobId, JobSpec, Merge, Policy, Resources, WallTime};

/// An array of ten tasks that ask for nothing; with everything else as it is by default.
pub(crate) fn job_spec() -> JobSpec {
    JobSpec {
        name: "squares".into(),
        owner: "ada".into(),
        input: Input::Array(ArrayRange { first: 0, last: 9, step: 1 }),
        command: vec!["true".into()],
        env: Vec::new(),
        with: Vec::new(),
        needs: Resources::default(),
        timeout: None,
        grace: crate::limits::DEFAULT_GRACE,
        retries: 0,
        merge: Merge::None,
        policy: Policy::default(),
        image: None,
    }
}

/// A job of [`job_spec`], with no request id, as it is by default.
pub(crate) fn submitted(job: u64) -> Submitted {
    Submitted { job: JobId(job), spec: job_spec(), request_id: String::new(), priority: 0, max_running: None, held: false, at: WallTime(0) }
}
