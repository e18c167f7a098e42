//! An upload by plain HTTP, as both ends know it: `PUT /v1/uploads/UUID?name=…`, with the bytes as the request's body.
//!
//! ```text
//! PUT …, upload-offset: *   ─►              the answer begins before the body does, and goes on beside it
//!                           ◄─  {"durable":8388608}                          from there on the bytes are wanted
//! bytes …                   ─►
//!                           ◄─  {"durable":12582912}                         so many are on the head's disk
//! upload-crc32: 1c291ca3    ─►                                               in the trailer, behind the last byte
//!                           ◄─  {"dataset":{"digest":…}}  or  {"error":{"kind":"Invalid","message":…}}
//! ```
//! Empty lines say that the head is still at it. It is the `ResumeUpload` of gRPC, at half the cost: what is said there of ids, offsets and
//! digests holds here. A script sends a file that it has not sent before with `curl -T FILE`, and looks at the last line.

use form_urlencoded::{Serializer, parse};
use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::http::ErrorText;
use crate::domain::Error;

/// Of an upload; the id is a UUID of the client's.
pub const UPLOAD_ROUTE: &str = "/v1/uploads/{id}";
/// From which byte on the body has the data; 0 if it is not said.
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// In its place: from where the first line of the answer says.
pub const FROM_WHERE_YOU_SAY: &str = "*";
/// CRC-32 of the whole upload, with what earlier requests have brought, as eight hexadecimal digits: a trailer.
pub const UPLOAD_CRC32: HeaderName = HeaderName::from_static("upload-crc32");
/// What the answer is.
pub const LINES: &str = "application/x-ndjson";

/// What is said of an upload, in the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadAsk {
    /// Of the file.
    pub name: String,
    /// Whether it is a data set, to be stored plain.
    pub unpack: bool,
    /// Bytes that will come, with those that have come.
    pub len: Option<u64>,
    /// Of what is to be stored.
    pub digest: String,
    /// The same, where it was not known when the upload began.
    pub end_digest: String,
}

impl UploadAsk {
    /// The address of an upload.
    pub fn path(&self, id: &str) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("name", &self.name);
        if self.unpack {
            query.append_pair("unpack", "true");
        }
        if let Some(len) = self.len {
            query.append_pair("len", &len.to_string());
        }
        for (key, digest) in [("digest", &self.digest), ("end_digest", &self.end_digest)] {
            if !digest.is_empty() {
                query.append_pair(key, digest);
            }
        }
        format!("{}?{}", UPLOAD_ROUTE.replace("{id}", id), query.finish())
    }

    /// Reads a query.
    ///
    /// # Errors
    /// `Invalid` for a word that it does not know, or that is there twice: what is not understood would be done otherwise than it was meant.
    pub fn of_query(query: &str) -> Result<Self, Error> {
        let mut ask = Self::default();
        let mut seen = Vec::new();
        for (key, value) in parse(query.as_bytes()) {
            if seen.contains(&key) {
                return Err(Error::invalid(format!("{key}: is there twice")));
            }
            let wrong = |needed: &str| Error::invalid(format!("{key}={value}: {needed} is needed"));
            match &*key {
                "name" => ask.name = value.into_owned(),
                "unpack" => ask.unpack = value.parse().map_err(|_| wrong("true or false"))?,
                "len" => ask.len = Some(value.parse().map_err(|_| wrong("a number of bytes"))?),
                "digest" => ask.digest = value.into_owned(),
                "end_digest" => ask.end_digest = value.into_owned(),
                _ => return Err(Error::invalid(format!("{key}: unknown; there are name, unpack, len, digest and end_digest"))),
            }
            seen.push(key);
        }
        Ok(ask)
    }
}

/// A line of the answer, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadLine {
    /// So many bytes are on the head's disk. The first line is also the offset to go on from.
    Durable(u64),
    /// Stored: the last line.
    Dataset(StoredText),
    /// Refused: the last line, unless the whole answer is an error.
    Error(ErrorText),
}

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredText {
    /// SHA-256 as 64 hexadecimal digits.
    pub digest: String,
    /// As it is called now.
    pub name: String,
    /// In bytes.
    pub len: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_asked_is_read_as_it_was_written(
            name in any::<String>(), unpack in any::<bool>(), len in any::<Option<u64>>(), digest in "[0-9a-f]{0,64}", end_digest in "[0-9a-f]{0,64}",
        ) {
            let ask = UploadAsk { name, unpack, len, digest, end_digest };
            let path = ask.path("9f1c2c5e-0000-4000-8000-000000000001");
            let (route, query) = path.split_once('?').unwrap();
            prop_assert_eq!(route, "/v1/uploads/9f1c2c5e-0000-4000-8000-000000000001");
            prop_assert!(path.parse::<http::Uri>().is_ok());
            prop_assert_eq!(UploadAsk::of_query(query).unwrap(), ask);
        }

        #[test]
        fn any_query_is_read_or_refused(query in any::<String>()) {
            let _ = UploadAsk::of_query(&query);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (query, says) in
            [("nmae=x", "nmae"), ("len=many", "len=many"), ("unpack=1", "unpack=1"), ("len=1&len=2", "len: is there twice")]
        {
            let error = UploadAsk::of_query(query).unwrap_err();
            assert!(error.message.contains(says), "{error}");
        }
    }

    #[test]
    fn lines_are_as_documented() {
        let stored = StoredText { digest: "ab".into(), name: "x".into(), len: 3 };
        for (line, text) in [
            (UploadLine::Durable(7), r#"{"durable":7}"#),
            (UploadLine::Dataset(stored), r#"{"dataset":{"digest":"ab","name":"x","len":3}}"#),
            (UploadLine::Error(ErrorText::of(&Error::invalid("no"))), r#"{"error":{"kind":"Invalid","message":"no"}}"#),
        ] {
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
            assert_eq!(serde_json::from_str::<UploadLine>(text).unwrap(), line);
        }
    }
}
