//! What a worker has and a task asks for.

use std::collections::{BTreeMap, HashMap};

use super::check::{Within, at_most, line, name};
use crate::domain::{Error, Resources};
use crate::limits::{self, NAME_MAX_BYTES};
use crate::rpc::pb;

/// To the message.
pub fn resources_to_pb(resources: &Resources) -> pb::Resources {
    pb::Resources {
        cpus: resources.cpus,
        mem_bytes: resources.mem_bytes,
        gpus: resources.gpus,
        labels: resources.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

/// From the message. Any amount is allowed: a demand that no worker can meet waits, with that as its reason.
///
/// # Errors
/// As [`labels_from_pb`].
pub fn resources_from_pb(resources: pb::Resources) -> Result<Resources, Error> {
    let labels = labels_from_pb(resources.labels)?;
    Ok(Resources { cpus: resources.cpus, mem_bytes: resources.mem_bytes, gpus: resources.gpus, labels })
}

/// What a worker has, a job asks for, or one looks for.
///
/// # Errors
/// `Invalid` for more than [`limits::LABELS_MAX`], an empty name, a name or value over [`NAME_MAX_BYTES`] or with control characters.
pub fn labels_from_pb(labels: HashMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
    at_most("labels", labels.len(), limits::LABELS_MAX)?;
    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    for (label, value) in &labels {
        name("name", label).and_then(|()| line("value", value, NAME_MAX_BYTES)).within("labels")?;
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(labels: impl IntoIterator<Item = (String, String)>) -> String {
        resources_from_pb(pb::Resources { labels: labels.into_iter().collect(), ..Default::default() }).unwrap_err().message
    }

    #[test]
    fn labels_are_names() {
        assert_eq!(refusal([(String::new(), "x".into())]), "labels.name: empty; 1 to 255 bytes are needed");
        assert_eq!(refusal([("zone".into(), "a\nb".into())]), r#"labels.value: "a\nb" has a control character, none is allowed"#);
        assert_eq!(refusal([("zone".into(), "x".repeat(300))]), "labels.value: 300 bytes, at most 255 are allowed");
        assert_eq!(refusal((0..65).map(|i| (i.to_string(), String::new()))), "labels: 65 items, at most 64 are allowed");
    }
}
