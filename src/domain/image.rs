//! The image that a job's tasks run in, by its name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::resources::Resources;
use crate::limits::IMAGE_MAX_BYTES;

/// The label that a worker with a container program carries, and a job with an image demands.
pub const CONTAINERS_LABEL: &str = "millpond.containers";
/// Its value.
const CONTAINERS_YES: &str = "yes";
/// What a container program takes for the place that an image is in, where it stands before the first `:`. Of a worker's own files, in the end.
const TRANSPORTS: [&str; 11] =
    ["atomic", "containers-storage", "dir", "docker", "docker-archive", "docker-daemon", "oci", "oci-archive", "ostree", "sif", "tarball"];
/// The longest tag.
const TAG_MAX_BYTES: usize = 128;
/// The shortest digest, in hexadecimal digits.
const DIGEST_MIN_DIGITS: usize = 32;

/// An image as a registry names it: `debian:12`, `ghcr.io/lab/tool@sha256:…`. It can't be taken for an option, nor for a path of a worker's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image(String);

impl Image {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Image {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > IMAGE_MAX_BYTES {
            return Err(Error::invalid(format!("the image's name is {} bytes long, at most {IMAGE_MAX_BYTES} are allowed", text.len())));
        }
        if is_reference(text) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
        Err(Error::invalid(format!(
            "image `{shown}`: write it as a registry names it: debian:12, ghcr.io/lab/tool:1.4 or NAME@sha256:DIGEST"
        )))
    }
}

/// `[REGISTRY[:PORT]/]PATH[:TAG][@DIGEST]`.
fn is_reference(text: &str) -> bool {
    let (named, digest) = text.split_once('@').map_or((text, None), |(named, digest)| (named, Some(digest)));
    let last = named.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match named.get(last..).and_then(|last| last.split_once(':')) {
        Some((stem, tag)) => (named.get(..last + stem.len()).unwrap_or_default(), Some(tag)),
        None => (named, None),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let (registry, repository) = match parts.split_first() {
        Some((first, rest)) if !rest.is_empty() && (first.contains(['.', ':']) || *first == "localhost") => (Some(*first), rest),
        _ => (None, parts.as_slice()),
    };
    let is_transport = TRANSPORTS.contains(&path) && tag.is_some();
    !is_transport
        && registry.is_none_or(is_registry)
        && repository.iter().all(|part| is_word(part) && !part.contains(|c: char| c.is_ascii_uppercase()))
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// Letters and digits, with `.`, `_` and `-` between them.
fn is_word(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    is_end(text.chars().next()) && is_end(text.chars().next_back()) && text.chars().all(is_inner)
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    is_word(host) && port.is_none_or(|port| port.parse::<u16>().is_ok() && port.chars().all(|c| c.is_ascii_digit()))
}

fn is_tag(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_MAX_BYTES && text.starts_with(is_first) && text.chars().all(|c| is_first(c) || matches!(c, '.' | '-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else { return false };
    algorithm.starts_with(|c: char| c.is_ascii_lowercase())
        && algorithm.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && digits.len() >= DIGEST_MIN_DIGITS
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, 'a'..='f'))
}

impl Resources {
    /// Whether it runs images, or, of a task, needs a worker that does.
    pub fn has_containers(&self) -> bool {
        self.labels.get(CONTAINERS_LABEL).is_some_and(|value| value == CONTAINERS_YES)
    }

    /// With the label for images, or without it.
    #[must_use]
    pub fn with_containers(mut self, has: bool) -> Self {
        if has {
            self.labels.insert(CONTAINERS_LABEL.to_owned(), CONTAINERS_YES.to_owned());
        } else {
            self.labels.remove(CONTAINERS_LABEL);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_as_registries_name_it() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for good in [
            "debian",
            "debian:12",
            "lab/tool:1.4-rc_1",
            "localhost/tool",
            "localhost:5000/tool:v1",
            "Registry.Example.org:443/a/b-c/d__e:_x",
            "oci",
            "ghcr.io/docker/oci:1",
            &format!("debian@{digest}"),
            &format!("ghcr.io/lab/tool:1@{digest}"),
        ] {
            assert_eq!(good.parse::<Image>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_could_be_an_option_or_a_file_is_no_image() {
        let long = format!("a{}", "b".repeat(IMAGE_MAX_BYTES));
        for bad in [
            "",
            "-v",
            "--privileged",
            "-v=/:/host",
            "a b",
            "a\n",
            "/etc/passwd",
            "./a",
            "../a",
            "a//b",
            "a/",
            "docker-archive:/x.tar",
            "docker://debian",
            "dir:x",
            "oci:x",
            "containers-storage:x",
            "Debian",
            "a:",
            "a:-x",
            "a:b:c",
            "a@sha256",
            "a@sha256:zz",
            "reg.io:99999/a",
            "reg.io:+80/a",
            "é",
            "a,b",
            "$(x)",
            &long,
        ] {
            assert!(bad.parse::<Image>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_need_of_containers_fits_who_has_them() {
        let (needs, plain) = (Resources::default().with_containers(true), Resources::default());
        assert!(needs.has_containers() && !needs.fits(&plain) && plain.fits(&needs) && needs.fits(&needs));
        assert_eq!(needs.with_containers(false), plain);
    }
}
