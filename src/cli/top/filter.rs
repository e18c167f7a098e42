//! Which jobs are shown: a few words, as they are typed behind `/`.

use crate::domain::glob::Glob;
use crate::domain::{Error, JobId};
use crate::rpc::pb;

const LIVE: &[pb::JobState] = &[pb::JobState::Ingesting, pb::JobState::Waiting, pb::JobState::Running, pb::JobState::Finishing];
const ENDED: &[pb::JobState] = &[pb::JobState::Succeeded, pb::JobState::Failed, pb::JobState::Killed];

/// Words, and what they mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filter {
    pub(super) text: String,
    owner: String,
    states: Vec<pb::JobState>,
    held: bool,
    name: String,
    jobs: Vec<pb::JobRange>,
}

impl Filter {
    /// `@ana` is an owner, `j7` a job, `failed` or `paused` what a job is; anything else is in its name, or a pattern for all of it.
    ///
    /// # Errors
    /// `Invalid` for a pattern that is none, and for two names or two owners.
    pub(super) fn new(text: &str) -> Result<Self, Error> {
        let mut filter = Self { text: text.trim().to_owned(), ..Self::default() };
        for word in text.split_whitespace() {
            if let Some(owner) = word.strip_prefix('@') {
                once(&mut filter.owner, owner)?;
            } else if let Some(state) = state(word) {
                filter.states.push(state);
            } else if word == "paused" {
                filter.held = true;
            } else if let Some(JobId(job)) = word.strip_prefix('j').and_then(|_| word.parse().ok()) {
                filter.jobs.push(pb::JobRange { first: job, last: job });
            } else {
                let is_pattern = word.contains(['*', '?', '[']);
                once(&mut filter.name, &if is_pattern { word.to_owned() } else { format!("*{word}*") })?;
            }
        }
        Glob::new(&filter.name)?;
        Ok(filter)
    }

    fn names_states(&self) -> bool {
        !self.states.is_empty() || self.held
    }

    /// The listing of a page of jobs: those that have not ended, where the words don't say.
    pub(super) fn request(&self, page_token: String, page_size: i32) -> pb::ListJobsRequest {
        let states = if self.names_states() { &self.states } else { LIVE };
        self.listing(states, self.held, page_token, page_size)
    }

    /// The listing of those that ended last; none where the words say which are meant.
    pub(super) fn ended(&self, page_size: i32) -> Option<pb::ListJobsRequest> {
        (!self.names_states()).then(|| self.listing(ENDED, false, String::new(), page_size))
    }

    fn listing(&self, states: &[pb::JobState], held: bool, page_token: String, page_size: i32) -> pb::ListJobsRequest {
        pb::ListJobsRequest {
            page_size,
            page_token,
            owner: self.owner.clone(),
            states: states.iter().map(|state| i32::from(*state)).collect(),
            held,
            name_glob: self.name.clone(),
            ranges: self.jobs.clone(),
            ..Default::default()
        }
    }
}

fn once(place: &mut String, word: &str) -> Result<(), Error> {
    if !place.is_empty() {
        return Err(Error::invalid(format!("`{word}`: one name and one @owner at most; several states and jobs")));
    }
    word.clone_into(place);
    Ok(())
}

fn state(word: &str) -> Option<pb::JobState> {
    LIVE.iter().chain(ENDED).copied().find(|state| crate::rpc::document::job_state(*state) == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_owners_states_jobs_and_names() {
        let request = Filter::new(" @ana failed j7 human ").unwrap().request("5".into(), 10);
        assert_eq!((request.owner.as_str(), request.name_glob.as_str(), request.page_token.as_str()), ("ana", "*human*", "5"));
        assert_eq!((request.states, request.ranges), (vec![6], vec![pb::JobRange { first: 7, last: 7 }]));
        assert!(Filter::new("failed").unwrap().ended(5).is_none());
        let all = Filter::new("").unwrap();
        assert_eq!((all.request(String::new(), 1).states.len(), all.ended(5).unwrap().states.len()), (4, 3));
        assert_eq!(Filter::new("run-?").unwrap().request(String::new(), 1).name_glob, "run-?");
        assert_eq!(Filter::new("june").unwrap().request(String::new(), 1).name_glob, "*june*");
        let paused = Filter::new("paused").unwrap().request(String::new(), 1);
        assert!(paused.held && paused.states.is_empty());
        for bad in ["a b", "@a @b", "x[", "[]"] {
            assert!(Filter::new(bad).is_err(), "{bad}");
        }
    }
}
