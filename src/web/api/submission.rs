//! A job as a body describes it: by the names of the options of the command line, with `_` for `-`.

use std::path::Path;

use serde::Deserialize;

use super::ask::request_id;
use super::values::{Array, Failed, KeepFor, Object, Pairs, Size, Span};
use crate::domain::{ArrayRange, Error, Keep};
use crate::rpc::pb;
use crate::rpc::units::{wire_duration, wire_keep};

/// See the module. What is left out, or null, is as on the command line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    command: Vec<String>,
    /// A digest.
    dataset: Option<String>,
    array: Option<Array>,
    split: Option<String>,
    name: Option<String>,
    owner: Option<String>,
    with: Option<Vec<Object<With>>>,
    env: Option<Pairs>,
    labels: Option<Pairs>,
    cpus: Option<u32>,
    mem: Option<Size>,
    gpus: Option<u32>,
    timeout: Option<Span>,
    grace: Option<Span>,
    retries: Option<u32>,
    retry_on: Option<Vec<i32>>,
    retry_delay: Option<Span>,
    max_failed: Option<Failed>,
    keep: Option<KeepFor>,
    merge: Option<Merge>,
    image: Option<String>,
    priority: Option<i32>,
    max_running: Option<u32>,
    hold: Option<bool>,
    request_id: Option<String>,
}

/// A stored file that every task can read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct With {
    name: String,
    digest: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Merge {
    Concat,
}

impl Submission {
    /// Of its data set, if it has one.
    pub(super) fn digest(&self) -> Result<Option<&str>, Error> {
        match (&self.dataset, self.array) {
            (Some(_), Some(_)) => Err(Error::invalid("dataset and array exclude each other: leave one out")),
            (None, None) => Err(Error::invalid("no input: name a dataset by its digest, or an array, as \"1-100\"")),
            (None, Some(_)) if self.split.is_some() => Err(Error::invalid("split needs a dataset; an array has nothing to cut")),
            (dataset, _) => Ok(dataset.as_deref()),
        }
    }

    /// As the message; `stored` is what its data set is called.
    pub(super) fn into_request(self, stored: Option<String>) -> Result<pb::SubmitJobRequest, Error> {
        let name = self.name.clone().unwrap_or_else(|| default_name(stored.as_deref(), &self.command));
        let input = match (self.array, self.dataset, stored) {
            (Some(Array(ArrayRange { first, last, step })), ..) => pb::job_spec::Input::Array(pb::ArrayInput { first, last, step }),
            (None, digest, name) => pb::job_spec::Input::Dataset(pb::DatasetInput {
                digest: digest.unwrap_or_default(),
                split: self.split.unwrap_or_default(),
                name: name.unwrap_or_default(),
            }),
        };
        let owner_by_default = self.owner.is_none();
        let keep = self.keep.map(|KeepFor(keep)| keep);
        let spec = pb::JobSpec {
            name,
            owner: self.owner.unwrap_or_default(),
            input: Some(input),
            command: self.command,
            env: self.env.unwrap_or_default().0.into_iter().map(|(name, value)| pb::EnvVar { name, value }).collect(),
            shared_files: self
                .with
                .into_iter()
                .flatten()
                .map(|Object(With { name, digest })| pb::SharedFile { name, digest, len: 0 })
                .collect(),
            needs: Some(pb::Resources {
                cpus: self.cpus.unwrap_or_default(),
                mem_bytes: self.mem.map_or(0, |Size(bytes)| bytes),
                gpus: self.gpus.unwrap_or_default(),
                labels: self.labels.unwrap_or_default().0.into_iter().collect(),
            }),
            timeout: self.timeout.map(|Span(span)| wire_duration(span)),
            grace: self.grace.map(|Span(span)| wire_duration(span)),
            retries: self.retries.unwrap_or_default(),
            merge: self.merge.map_or(pb::Merge::Unspecified, |Merge::Concat| pb::Merge::Concat).into(),
            retry_on: self.retry_on.unwrap_or_default(),
            retry_delay: self.retry_delay.map(|Span(span)| wire_duration(span)),
            max_failed: self.max_failed.map(|Failed(max)| max.to_string()).unwrap_or_default(),
            keep: keep.and_then(wire_keep),
            keep_forever: keep == Some(Keep::Forever),
            image: self.image.unwrap_or_default(),
        };
        Ok(pb::SubmitJobRequest {
            request_id: request_id(self.request_id),
            spec: Some(spec),
            priority: self.priority.unwrap_or_default(),
            max_running: self.max_running.unwrap_or_default(),
            hold: self.hold.unwrap_or_default(),
            owner_by_default,
        })
    }
}

/// As on the command line: the data set's name without its ending, or the program's.
fn default_name(stored: Option<&str>, command: &[String]) -> String {
    let name = match stored {
        Some(stored) => Path::new(stored).file_stem(),
        None => command.first().and_then(|program| Path::new(program).file_name()),
    };
    name.map_or_else(|| "job".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Submission, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    fn request(text: &str, stored: Option<&str>) -> pb::SubmitJobRequest {
        let submission = read(text).unwrap();
        submission.digest().unwrap();
        submission.into_request(stored.map(str::to_owned)).unwrap()
    }

    #[test]
    fn options_mean_what_they_mean_on_the_command_line() {
        let text = r#"{"command":["/usr/bin/search","{input}"],"dataset":"ab","split":"mgf:200","mem":"4G","timeout":"2h","keep":"forever",
            "env":{"B":"2","A":"1"},"labels":{"gpu":"a100"},"with":[{"name":"x","digest":"cd"}],"max_failed":"10%","merge":"concat","hold":true,
            "priority":-3,"retry_on":[75],"owner":null}"#;
        let made = request(text, Some("human.liver.mgf"));
        let spec = made.spec.unwrap();
        assert_eq!((spec.name.as_str(), spec.timeout.unwrap().seconds, spec.keep_forever, spec.keep), ("human.liver", 7200, true, None));
        assert_eq!((spec.needs.unwrap().mem_bytes, spec.max_failed.as_str(), spec.env[0].name.as_str()), (4 << 30, "10%", "B"));
        assert_eq!((made.priority, made.hold, made.owner_by_default, made.request_id.len()), (-3, true, true, 36));
        let array = request(r#"{"command":["/bin/true"],"array":"0-90:10","owner":"ana","request_id":"x"}"#, None);
        let spec = array.spec.unwrap();
        assert_eq!(
            (spec.name.as_str(), spec.owner.as_str(), array.owner_by_default, array.request_id.as_str()),
            ("true", "ana", false, "x")
        );
        assert_eq!(spec.input, Some(pb::job_spec::Input::Array(pb::ArrayInput { first: 0, last: 90, step: 10 })));
        assert_eq!(default_name(None, &[]), "job");
    }

    #[test]
    fn what_is_misspelt_or_contradicts_is_refused() {
        for (text, says) in [
            (r#"{"command":["true"],"array":"1","tiemout":"2h"}"#, "unknown field `tiemout`"),
            (r#"{"array":"1"}"#, "missing field `command`"),
            (r#"{"command":"true","array":"1"}"#, "expected a sequence"),
            (r#"{"command":["true"],"array":"9-1"}"#, "array `9-1`"),
            (r#"{"command":["true"],"array":"1","array":"2"}"#, "duplicate field `array`"),
            (r#"{"command":["true"],"array":"1","with":[{"name":"x","digest":"y","len":3}]}"#, "unknown field `len`"),
            (r#"{"command":["true"],"array":"1","with":[["x","y"]]}"#, "expected an object"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
        for text in [
            r#"{"command":["true"]}"#,
            r#"{"command":["true"],"array":"1","dataset":"ab"}"#,
            r#"{"command":["true"],"array":"1","split":"lines:1"}"#,
        ] {
            assert!(read(text).unwrap().digest().is_err(), "{text}");
        }
    }
}
