//! Which jobs a listing is asked for.

use super::check::{Within, each, line, refuse};
use super::job::state_from_pb;
use super::resources::labels_from_pb;
use crate::domain::Error;
use crate::domain::glob::Glob;
use crate::engine::JobFilter;
use crate::limits::{JOB_RANGES_MAX, NAME_MAX_BYTES};
use crate::rpc::pb;

/// From the message; pages are no part of it.
///
/// # Errors
/// `Invalid` for the first field that is not as `jobs.proto` and [`crate::limits`] allow.
pub fn filter_from_pb(request: pb::ListJobsRequest) -> Result<JobFilter, Error> {
    let pb::ListJobsRequest { page_size: _, page_token: _, owner, live, states, held, labels, name_glob, ranges } = request;
    line("owner", &owner, NAME_MAX_BYTES)?;
    let labels = labels_from_pb(labels)?;
    let name = if name_glob.is_empty() { None } else { Some(Glob::new(&name_glob).map_err(|error| error.context("name_glob"))?) };
    let ids = each("ranges", ranges, JOB_RANGES_MAX, |range| match range.first <= range.last {
        true => Ok(range.first..=range.last),
        false => Err(refuse("last", format_args!("{} stands before the first, {}", range.last, range.first))),
    })?;
    Ok(JobFilter {
        owner: (!owner.is_empty()).then_some(owner),
        live,
        states: states.into_iter().map(state_from_pb).collect::<Result<_, _>>().within("states")?,
        held,
        labels,
        name,
        ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::JobState;

    #[test]
    fn a_filter_says_which_field_is_wrong() {
        let refused = |request| filter_from_pb(request).unwrap_err().message;
        let all = pb::ListJobsRequest::default;
        assert!(refused(pb::ListJobsRequest { states: vec![99], ..all() }).starts_with("states.state: "));
        assert!(refused(pb::ListJobsRequest { states: vec![0], ..all() }).starts_with("states.state: "));
        assert!(refused(pb::ListJobsRequest { name_glob: "[".into(), ..all() }).starts_with("name_glob: "));
        let backwards = pb::JobRange { first: 3, last: 2 };
        assert!(refused(pb::ListJobsRequest { ranges: vec![backwards], ..all() }).starts_with("ranges[0].last: 2 "));
        assert!(refused(pb::ListJobsRequest { ranges: vec![backwards; JOB_RANGES_MAX + 1], ..all() }).contains("at most 1000"));
        let states = vec![pb::JobState::Failed.into()];
        let filter = filter_from_pb(pb::ListJobsRequest { states, live: true, ..all() }).unwrap();
        assert_eq!(filter, JobFilter { live: true, states: [JobState::Failed].into(), ..JobFilter::default() });
    }
}
