//! What was deleted by which request, for a week: one that comes again, since its answer was lost, is answered as it was the first time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::deletion::{Deleted, Deletion};
use crate::domain::{JobId, WallTime};
use crate::limits::{DELETIONS_KNOWN_MAX, REQUEST_KNOWN_AFTER_DELETE};

/// See the module. Of too many the oldest are forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletions(BTreeMap<String, Deletion>);

impl Deletions {
    /// Takes one in. Those whose time is over go with it.
    pub fn note(&mut self, deletion: Deletion) {
        self.forget_before(deletion.at);
        if self.0.len() == DELETIONS_KNOWN_MAX
            && let Some(oldest) = self.0.values().min_by_key(|known| known.at).map(|oldest| oldest.request_id.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(deletion.request_id.clone(), deletion);
    }

    fn forget_before(&mut self, now: WallTime) {
        self.0.retain(|_, known| known.at.after(REQUEST_KNOWN_AFTER_DELETE) > now);
    }

    /// What this request has deleted.
    pub fn by_request(&self, request_id: &str) -> Option<&Deletion> {
        self.0.get(request_id)
    }

    /// Who has deleted a job.
    pub fn of_job(&self, job: JobId) -> Option<&Deletion> {
        self.0.values().find(|deletion| matches!(&deletion.what, Deleted::Job(deleted) if deleted.id == job))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Deletion> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Digest;
    use crate::domain::deletion::Deleted;

    #[test]
    fn they_are_known_for_a_week_and_not_more_than_so_many() {
        let deletion = |request_id: &str, at: i64| {
            let what = Deleted::Dataset { digest: Digest([1; 32]), name: "x".into(), len: 1, stored: WallTime(0) };
            Deletion { request_id: request_id.into(), at: WallTime(at), by: String::new(), reason: String::new(), what }
        };
        const WEEK: i64 = 7 * 24 * 3600 * 1_000_000;
        let mut known = Deletions::default();
        known.note(deletion("a", 0));
        known.note(deletion("b", WEEK - 1));
        assert!(known.by_request("a").is_some());
        known.note(deletion("c", WEEK));
        assert!(known.by_request("a").is_none() && known.by_request("b").is_some());
        for no in 0..DELETIONS_KNOWN_MAX {
            known.note(deletion(&no.to_string(), WEEK + 1 + no as i64));
        }
        assert_eq!(known.iter().count(), DELETIONS_KNOWN_MAX);
        assert!(known.by_request("c").is_none() && known.by_request("0").is_some());
    }
}
