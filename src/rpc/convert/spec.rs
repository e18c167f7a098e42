//! What a submitter states about a job.

use std::time::Duration;

use super::check::{Within, at_most, between, file_name, line, refuse};
use super::command::{check_command, env_from_pb, env_to_pb};
use super::input::{input_from_pb, input_to_pb};
use super::resources::{resources_from_pb, resources_to_pb};
use super::shared_file::{shared_files_from_pb, shared_files_to_pb};
use super::time::{duration_from_pb, duration_to_pb};
use crate::domain::{Error, Image, JobSpec, Keep, Merge, Policy, SplitRule};
use crate::limits::{self, DEFAULT_GRACE, NAME_MAX_BYTES};
use crate::rpc::pb;

/// To the message; everything is spelled out, the split rule and the grace too.
pub fn spec_to_pb(spec: &JobSpec) -> pb::JobSpec {
    pb::JobSpec {
        name: spec.name.clone(),
        owner: spec.owner.clone(),
        input: Some(input_to_pb(&spec.input)),
        command: spec.command.clone(),
        env: env_to_pb(&spec.env),
        shared_files: shared_files_to_pb(&spec.with),
        // The label for images follows from the image.
        needs: Some(resources_to_pb(&spec.needs.clone().with_containers(false))),
        timeout: spec.timeout.map(duration_to_pb),
        grace: Some(duration_to_pb(spec.grace)),
        retries: spec.retries,
        merge: merge_to_pb(spec.merge) as i32,
        retry_on: spec.policy.retry_on.iter().copied().collect(),
        retry_delay: Some(duration_to_pb(spec.policy.retry_delay)),
        max_failed: spec.policy.max_failed.map(|max| max.to_string()).unwrap_or_default(),
        keep: match spec.policy.keep {
            Some(Keep::For(span)) => Some(duration_to_pb(span)),
            Some(Keep::Forever) | None => None,
        },
        keep_forever: spec.policy.keep == Some(Keep::Forever),
        image: spec.image.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// From the message. `resolve` gives the split rule for a data set's file name when none is stated; it is not called otherwise.
///
/// The owner may be empty, and shared files have the lengths that were sent: whoever takes a submission states the one from the caller's
/// identity and the others from what is stored.
///
/// # Errors
/// `Invalid` for the first field that is not as `jobs.proto` and [`crate::limits`] allow.
pub fn spec_from_pb(spec: pb::JobSpec, resolve: impl FnOnce(&str) -> SplitRule) -> Result<JobSpec, Error> {
    file_name("name", &spec.name)?;
    line("owner", &spec.owner, NAME_MAX_BYTES)?;
    let with = shared_files_from_pb(spec.shared_files)?;
    check_command(&spec.command, &with)?;
    let image = image_from_pb(&spec.image)?;
    Ok(JobSpec {
        name: spec.name,
        owner: spec.owner,
        input: input_from_pb(spec.input, resolve)?,
        command: spec.command,
        env: env_from_pb(spec.env)?,
        with,
        needs: resources_from_pb(spec.needs.unwrap_or_default()).within("needs")?.with_containers(image.is_some()),
        timeout: timeout_from_pb(spec.timeout)?,
        grace: grace_from_pb(spec.grace)?,
        retries: between("retries", spec.retries, 0..=limits::RETRIES_MAX)?,
        merge: merge_from_pb(spec.merge)?,
        policy: Policy {
            keep: keep_from_pb(spec.keep, spec.keep_forever)?,
            ..policy_from_pb(spec.retry_on, spec.retry_delay, &spec.max_failed)?
        },
        image,
    })
}

fn timeout_from_pb(timeout: Option<prost_types::Duration>) -> Result<Option<Duration>, Error> {
    let Some(timeout) = timeout else { return Ok(None) };
    let timeout = duration_from_pb(timeout).within("timeout")?;
    if timeout.is_zero() || timeout > limits::TASK_TIMEOUT_MAX {
        let problem =
            format!("{timeout:?} is not allowed: more than 0, at most {} s; leave it out for no limit", limits::TASK_TIMEOUT_MAX.as_secs());
        return Err(refuse("timeout", problem));
    }
    Ok(Some(timeout))
}

fn grace_from_pb(grace: Option<prost_types::Duration>) -> Result<Duration, Error> {
    let Some(grace) = grace else { return Ok(DEFAULT_GRACE) };
    let grace = duration_from_pb(grace).within("grace")?;
    if grace > limits::GRACE_MAX {
        return Err(refuse("grace", format_args!("{grace:?} is not allowed: at most {} s", limits::GRACE_MAX.as_secs())));
    }
    Ok(grace)
}

fn policy_from_pb(retry_on: Vec<i32>, delay: Option<prost_types::Duration>, max_failed: &str) -> Result<Policy, Error> {
    at_most("retry_on", retry_on.len(), limits::RETRY_ON_MAX)?;
    let retry_on = retry_on.into_iter().map(|code| between("retry_on", code, -1..=255)).collect::<Result<_, _>>()?;
    let retry_delay = delay.map_or(Ok(limits::DEFAULT_RETRY_DELAY), duration_from_pb).within("retry_delay")?;
    if retry_delay > limits::RETRY_DELAY_MAX {
        let max = limits::RETRY_DELAY_MAX.as_secs();
        return Err(refuse("retry_delay", format_args!("{retry_delay:?} is not allowed: at most {max} s")));
    }
    let max_failed = Some(max_failed).filter(|text| !text.is_empty()).map(str::parse).transpose();
    let max_failed = max_failed.map_err(|error: Error| refuse("max_failed", error.message))?;
    Ok(Policy { retry_on, retry_delay, max_failed, keep: None })
}

fn image_from_pb(image: &str) -> Result<Option<Image>, Error> {
    let image = Some(image).filter(|text| !text.is_empty()).map(str::parse).transpose();
    image.map_err(|error: Error| refuse("image", error.message))
}

fn keep_from_pb(keep: Option<prost_types::Duration>, forever: bool) -> Result<Option<Keep>, Error> {
    match (keep, forever) {
        (Some(_), true) => Err(refuse("keep_forever", "not beside keep: set one of them")),
        (None, true) => Ok(Some(Keep::Forever)),
        (keep, false) => keep.map(duration_from_pb).transpose().within("keep").map(|span| span.map(Keep::For)),
    }
}

fn merge_to_pb(merge: Merge) -> pb::Merge {
    match merge {
        Merge::None => pb::Merge::Unspecified,
        Merge::Concat => pb::Merge::Concat,
    }
}

fn merge_from_pb(merge: i32) -> Result<Merge, Error> {
    match pb::Merge::try_from(merge) {
        Ok(pb::Merge::Unspecified) => Ok(Merge::None),
        Ok(pb::Merge::Concat) => Ok(Merge::Concat),
        Err(_) => Err(refuse("merge", format_args!("{merge} is unknown; none is 0, concat is 1"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::super::samples;
    use super::*;
    use crate::domain::CONTAINERS_LABEL;

    proptest! {
        #[test]
        fn a_spec_comes_back_as_it_was(spec in samples::spec()) {
            let bytes = spec_to_pb(&spec).encode_to_vec();
            let read = spec_from_pb(pb::JobSpec::decode(bytes.as_slice()).unwrap(), |_| unreachable!("the rule is stated"));
            prop_assert_eq!(read, Ok(spec));
        }
    }

    fn spec() -> pb::JobSpec {
        pb::JobSpec {
            name: "count".into(),
            command: vec!["wc".into(), "-l".into()],
            input: Some(pb::job_spec::Input::Array(pb::ArrayInput { first: 1, last: 3, step: 1 })),
            ..Default::default()
        }
    }

    fn read(spec: pb::JobSpec) -> Result<JobSpec, Error> {
        spec_from_pb(spec, |name| SplitRule::for_name(name, 4))
    }

    fn span(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let spec = read(spec()).unwrap();
        assert_eq!((spec.timeout, spec.grace, spec.retries, spec.merge), (None, DEFAULT_GRACE, 0, Merge::None));
        assert!(spec.owner.is_empty() && spec.with.is_empty() && spec.env.is_empty());
        assert!(spec.image.is_none() && !spec.needs.has_containers());
    }

    #[test]
    fn a_job_with_an_image_needs_a_worker_that_runs_images_and_no_other_does() {
        let label = pb::Resources { labels: [(CONTAINERS_LABEL.into(), "yes".into())].into(), ..Default::default() };
        let with = read(pb::JobSpec { image: "debian:12".into(), ..spec() }).unwrap();
        assert!(with.needs.has_containers());
        assert!(spec_to_pb(&with).needs.unwrap().labels.is_empty(), "it is no label of the submitter's");
        assert!(!read(pb::JobSpec { needs: Some(label), ..spec() }).unwrap().needs.has_containers());
    }

    #[test]
    fn a_spec_is_refused_by_the_field_that_is_wrong() {
        type Change = fn(&mut pb::JobSpec);
        let cases: Vec<(Change, &str)> = vec![
            (|s| s.name.clear(), "name: empty; 1 to 255 bytes are needed"),
            (|s| s.name = "a/b".into(), r#"name: "a/b" can't be a file's name: `/`, `.` and `..` are not allowed"#),
            (|s| s.owner = "a\n".into(), r#"owner: "a\n" has a control character, none is allowed"#),
            (|s| s.owner = "x".repeat(256), "owner: 256 bytes, at most 255 are allowed"),
            (|s| s.command.clear(), "command: empty; a program is needed, then its arguments"),
            (|s| s.input = None, "input: missing; a dataset or an array is needed"),
            (|s| s.timeout = span(0), "timeout: 0ns is not allowed: more than 0, at most 31536000 s; leave it out for no limit"),
            (
                |s| s.timeout = span(31_536_001),
                "timeout: 31536001s is not allowed: more than 0, at most 31536000 s; leave it out for no limit",
            ),
            (|s| s.timeout = span(-1), "timeout.seconds: -1 is not allowed: from 0 to 315576000000"),
            (|s| s.grace = span(3601), "grace: 3601s is not allowed: at most 3600 s"),
            (|s| s.retries = 1001, "retries: 1001 is not allowed: from 0 to 1000"),
            (|s| s.retry_on = vec![256], "retry_on: 256 is not allowed: from -1 to 255"),
            (|s| s.retry_on = vec![1; 257], "retry_on: 257 items, at most 256 are allowed"),
            (|s| s.retry_delay = span(3601), "retry_delay: 3601s is not allowed: at most 3600 s"),
            (|s| s.max_failed = "many".into(), "max_failed: `many`: write it as 5 or 10%"),
            (
                |s| s.image = "-v=/:/x".into(),
                "image: image `-v=/:/x`: write it as a registry names it: debian:12, ghcr.io/lab/tool:1.4 or NAME@sha256:DIGEST",
            ),
            (|s| s.merge = 2, "merge: 2 is unknown; none is 0, concat is 1"),
            (
                |s| s.needs = Some(pb::Resources { labels: [(String::new(), String::new())].into(), ..Default::default() }),
                "needs.labels.name: empty; 1 to 255 bytes are needed",
            ),
        ];
        for (change, says) in cases {
            let mut spec = spec();
            change(&mut spec);
            let error = read(spec).unwrap_err();
            assert_eq!((error.message.as_str(), error.kind), (says, crate::domain::ErrorKind::Invalid));
        }
    }
}
