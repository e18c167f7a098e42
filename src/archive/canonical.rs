//! The tar that Millpond makes: the same bytes for the same files.

use crate::domain::Error;
use crate::split::member::{MemberPath, Names, shown};
use crate::split::tar::{BLOCK_BYTES, header_of};

/// Takes bytes, in order.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Error>;

/// One file to be: where it comes from is `from`'s business.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member<T> {
    pub path: MemberPath,
    /// Its length in bytes.
    pub len: u64,
    pub from: T,
}

/// Sorts by name, and refuses names that are there twice, or none at all.
pub(super) fn sorted<T: Ord>(mut members: Vec<Member<T>>) -> Result<Vec<Member<T>>, Error> {
    members.sort_unstable();
    let mut names = Names::default();
    for member in &members {
        names.add(&member.path).map_err(|fault| Error::invalid(format!("`{}` {fault}", shown(member.path.as_bytes()))))?;
    }
    if members.is_empty() {
        return Err(Error::invalid("there is no file in it, so nothing to run on"));
    }
    Ok(members)
}

/// How long the tar of these is.
pub(super) fn tar_len<T>(members: &[Member<T>]) -> u64 {
    let of = |member: &Member<T>| header_of(&member.path, member.len).len() as u64 + member.len.next_multiple_of(BLOCK_BYTES as u64);
    members.iter().map(of).sum::<u64>() + 2 * BLOCK_BYTES as u64
}

/// Writes one file: `data` gives its bytes, exactly as many as announced; otherwise `changed` says what has happened to it.
pub(super) fn write_file<T>(
    member: &Member<T>,
    changed: &str,
    sink: Sink<'_>,
    data: impl FnOnce(Sink<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    sink(&header_of(&member.path, member.len))?;
    let mut left = member.len;
    let changed = || {
        Error::invalid(format!("`{}` has not the {} bytes that it should have, it {changed}", shown(member.path.as_bytes()), member.len))
    };
    data(&mut |bytes| {
        left = left.checked_sub(bytes.len() as u64).ok_or_else(changed)?;
        sink(bytes)
    })?;
    if left > 0 {
        return Err(changed());
    }
    let filling = member.len.next_multiple_of(BLOCK_BYTES as u64) - member.len;
    sink(&[0; BLOCK_BYTES][..filling as usize])
}

/// Ends the tar.
pub(super) fn write_end(sink: Sink<'_>) -> Result<(), Error> {
    sink(&[0; 2 * BLOCK_BYTES])
}

/// What a folder or a zip archive is called as a tar: `x.tar` for `x` and `x.zip`.
pub fn tar_name(name: &str) -> String {
    let stem = match name.rsplit_once('.') {
        Some((stem, ending)) if ending.eq_ignore_ascii_case("zip") && !stem.is_empty() => stem,
        _ => name,
    };
    format!("{stem}.tar")
}
