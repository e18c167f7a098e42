//! Data sets.

use serde::Serialize;

use super::{VERSION, rfc3339};
use crate::rpc::pb;

/// One data set of `data list`, and what `data add` made.
#[derive(Serialize)]
pub(crate) struct Dataset<'a> {
    version: u32,
    digest: &'a str,
    name: &'a str,
    len: u64,
    created: Option<String>,
    used_by_count: u32,
    used_by: &'a [String],
}

impl<'a> Dataset<'a> {
    pub(crate) fn of(data: &'a pb::Dataset) -> Self {
        Self {
            version: VERSION,
            digest: &data.digest,
            name: &data.name,
            len: data.len,
            created: rfc3339(data.created.as_ref()),
            used_by_count: data.used_by_count,
            used_by: &data.used_by,
        }
    }
}
