//! The files that every task of a job can read.

use std::collections::BTreeSet;

use super::check::{digest, each, file_name, refuse, shown};
use crate::domain::{Error, SharedFile};
use crate::limits::SHARED_FILES_MAX;
use crate::rpc::pb;

pub(super) fn shared_files_to_pb(files: &[SharedFile]) -> Vec<pb::SharedFile> {
    let to_pb = |file: &SharedFile| pb::SharedFile { name: file.name.clone(), digest: file.digest.to_string(), len: file.len };
    files.iter().map(to_pb).collect()
}

/// The field `with`. The lengths are as sent: a head replaces a client's by what it has stored.
pub(super) fn shared_files_from_pb(files: Vec<pb::SharedFile>) -> Result<Vec<SharedFile>, Error> {
    let files = each("with", files, SHARED_FILES_MAX, shared_file_from_pb)?;
    let mut names = BTreeSet::new();
    for (i, file) in files.iter().enumerate() {
        if !names.insert(&file.name) {
            let problem = format!("{} is there twice; each name is allowed once", shown(&file.name));
            return Err(refuse(format_args!("with[{i}].name"), problem));
        }
    }
    Ok(files)
}

fn shared_file_from_pb(file: pb::SharedFile) -> Result<SharedFile, Error> {
    file_name("name", &file.name)?;
    // It would end the placeholder `{with:NAME}` too early.
    if file.name.contains('}') {
        return Err(refuse("name", format_args!("{} has a `}}`, which a placeholder can't name", shown(&file.name))));
    }
    Ok(SharedFile { digest: digest("digest", &file.digest)?, name: file.name, len: file.len })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> pb::SharedFile {
        pb::SharedFile { name: name.into(), digest: "0".repeat(64), len: 1 }
    }

    #[test]
    fn shared_files_are_refused_by_name_place_and_number() {
        for (files, says) in [
            (vec![file("a"), file("a")], r#"with[1].name: "a" is there twice; each name is allowed once"#),
            (vec![file("a/b")], r#"with[0].name: "a/b" can't be a file's name: `/`, `.` and `..` are not allowed"#),
            (vec![file("a}")], r#"with[0].name: "a}" has a `}`, which a placeholder can't name"#),
            (vec![file("")], "with[0].name: empty; 1 to 255 bytes are needed"),
            (
                vec![pb::SharedFile { digest: "12".into(), ..file("a") }],
                r#"with[0].digest: "12" is not a SHA-256: 64 hexadecimal digits are needed"#,
            ),
            ((0..65).map(|i| file(&i.to_string())).collect(), "with: 65 items, at most 64 are allowed"),
        ] {
            assert_eq!(shared_files_from_pb(files).unwrap_err().message, says);
        }
    }
}
