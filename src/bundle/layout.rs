//! An archive that exists only as a list of where its bytes lie; any range of it can be read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Something with bytes at offsets: the segment file that holds a job's packed results.
pub trait ReadAt {
    /// Fills the buffer from an offset.
    ///
    /// # Errors
    /// `UnexpectedEof` if it ends before the buffer is full.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }
}

/// Where a run of the archive's bytes lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In memory: headers, final blocks, small contents.
    Own(u64),
    /// In the layout's spool file.
    Spool(u64),
    /// In the source that the reader brings along.
    Source(u64),
}

impl Place {
    /// The place so many bytes further on.
    pub fn after(self, bytes: u64) -> Self {
        match self {
            Self::Own(at) => Self::Own(at.saturating_add(bytes)),
            Self::Spool(at) => Self::Spool(at.saturating_add(bytes)),
            Self::Source(at) => Self::Source(at.saturating_add(bytes)),
        }
    }
}

/// From `start` up to the next extent's start, or the end, the bytes lie from `place` on. 24 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub start: u64,
    pub place: Place,
}

/// A zip archive, ready to be read at any offset. Made by [`super::LayoutBuilder`]; immutable.
///
/// Memory: per entry 76 bytes of headers, twice its name, and two extents of 24 bytes.
#[derive(Debug)]
pub struct Layout {
    pub(super) own: Vec<u8>,
    pub(super) extents: Vec<Extent>,
    pub(super) spool: Option<File>,
    pub(super) len: u64,
    pub(super) etag: String,
}

#[expect(clippy::len_without_is_empty, reason = "an archive has at least an end record")]
impl Layout {
    /// The length of the archive in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// 32 hexadecimal digits, without quotes, that stand for the archive's bytes: from names, lengths, checksums and the digests of what is
    /// not results.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Reads from an offset on until the buffer is full or the archive ends; says how much. At or past the end: nothing.
    ///
    /// # Errors
    /// Those of the source, and of the spool file.
    pub fn read_at(&self, offset: u64, buf: &mut [u8], source: &dyn ReadAt) -> io::Result<usize> {
        let want = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let mut rest = buf.get_mut(..want).unwrap_or_default();
        let mut at = offset;
        let mut number = self.extents.partition_point(|extent| extent.start <= offset).saturating_sub(1);
        while !rest.is_empty() {
            let extent = self.extents.get(number).ok_or_else(|| io::Error::other("archive layout has a gap"))?;
            let end = self.extents.get(number + 1).map_or(self.len, |next| next.start);
            let here = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(here);
            self.read_place(extent.place.after(at.saturating_sub(extent.start)), now, source)?;
            rest = later;
            at += here as u64;
            number += 1;
        }
        Ok(want)
    }

    fn read_place(&self, place: Place, buf: &mut [u8], source: &dyn ReadAt) -> io::Result<()> {
        match (place, &self.spool) {
            (Place::Source(at), _) => source.read_exact_at(buf, at),
            (Place::Spool(at), Some(spool)) => FileExt::read_exact_at(spool, buf, at),
            (Place::Spool(_), None) => Err(io::Error::other("archive layout without its spool file")),
            (Place::Own(at), _) => {
                let own = usize::try_from(at).ok().and_then(|at| self.own.get(at..at.checked_add(buf.len())?));
                buf.copy_from_slice(own.ok_or_else(|| io::Error::other("archive layout is shorter than it says"))?);
                Ok(())
            }
        }
    }
}
