//! Whether a description that came over the network can be believed: what [`super::pack()`] writes, and nothing else.

use std::collections::HashSet;

use super::names;
use crate::domain::{EntryKind, Error, Packed};
use crate::limits;

/// Checks a description before it is kept: order, number and names of its entries, and that its lengths add up. Bundles made from checked
/// descriptions can't fail for a name.
///
/// # Errors
/// `Invalid`, naming the entry.
pub fn check_packed(packed: &Packed) -> Result<(), Error> {
    let max = limits::OUTPUT_FILES_MAX + 2;
    if packed.entries.len() > max {
        return Err(Error::invalid(format!("result with {} entries: at most {max} are taken", packed.entries.len())));
    }
    if packed.packed_len().is_none() {
        return Err(Error::invalid("result whose lengths add up to nonsense"));
    }
    if !packed.entries.is_sorted_by(|a, b| a.kind < b.kind) {
        return Err(Error::invalid("result whose entries are out of order, or twice there"));
    }
    let files =
        || packed.entries.iter().filter_map(|entry| if let EntryKind::File(name) = &entry.kind { Some(name.as_str()) } else { None });
    files().try_for_each(check_name)?;
    let names: HashSet<&str> = files().collect();
    match files().find(|name| folders(name).any(|folder| names.contains(folder))) {
        Some(name) => Err(Error::invalid(format!("result file `{name}`: one of its folders is a file too"))),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_good = name.len() <= limits::OUTPUT_PATH_MAX_BYTES
        && name.matches('/').count() <= limits::OUTPUT_DEPTH_MAX_FOLDERS
        && names::is_clean(name);
    if is_good {
        return Ok(());
    }
    let start: String = name.chars().take(80).collect();
    Err(Error::invalid(format!("result file {start:?}: not a relative path of plain components, or too long")))
}

/// The folders above a path: `a` and `a/b` of `a/b/c`.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ResultEntry;

    fn packed(kinds: &[EntryKind]) -> Packed {
        let entry = |kind: &EntryKind| ResultEntry { kind: kind.clone(), len: 1, packed_len: 8, crc32: 0 };
        Packed { entries: kinds.iter().map(entry).collect(), digest: None }
    }

    fn files(names: &[&str]) -> Packed {
        packed(&names.iter().map(|name| EntryKind::File((*name).into())).collect::<Vec<_>>())
    }

    #[test]
    fn what_pack_writes_is_believed() {
        check_packed(&packed(&[])).unwrap();
        check_packed(&packed(&[EntryKind::Stdout, EntryKind::Stderr, EntryKind::File("a".into()), EntryKind::File("b/c".into())])).unwrap();
        check_packed(&files(&["a", "a.d/x", "a0"])).unwrap();
    }

    #[test]
    fn anything_else_is_not() {
        assert!(check_packed(&packed(&[EntryKind::Stderr, EntryKind::Stdout])).is_err());
        assert!(check_packed(&packed(&[EntryKind::Stdout, EntryKind::Stdout])).is_err());
        for names in [&["b", "a"][..], &["a", "a"], &["../a"], &["/a"], &[""], &["a\nb"], &["a", "a!", "a/b/c"], &["a/b", "a/b/c"]] {
            assert!(check_packed(&files(names)).is_err(), "{names:?}");
        }
        assert!(check_packed(&files(&[&"x".repeat(1025)])).is_err());
        let mut huge = files(&["a", "b"]);
        huge.entries.iter_mut().for_each(|entry| entry.packed_len = u64::MAX);
        assert!(check_packed(&huge).is_err());
    }
}
