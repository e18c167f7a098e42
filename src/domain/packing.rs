//! How a file is compressed: what it begins with says it, what its name ends with suggests it.

use std::borrow::Cow;
use std::fmt;

/// A compression that is undone when a data set comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Of bzip2, from version 1.0 on.
    Bzip2,
}

impl Packing {
    /// So many first bytes say it.
    pub const HEAD_BYTES: usize = 10;

    /// The compression of data that begins so; none for plain data. [`Self::HEAD_BYTES`] are needed, unless there are fewer.
    pub fn of(head: &[u8]) -> Option<Self> {
        const BLOCK: &[u8] = b"\x31\x41\x59\x26\x53\x59";
        const END: &[u8] = b"\x17\x72\x45\x38\x50\x90";
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            // A text may begin with these letters, so what follows them counts as well.
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] if rest.starts_with(BLOCK) || rest.starts_with(END) => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// A file's name without the ending that says how it is compressed: `x.fasta` for `x.fasta.gz`, `x.tar` for `x.tgz`.
    pub fn plain_name(name: &str) -> Cow<'_, str> {
        let Some((stem, ending)) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else { return name.into() };
        let is = |all: &[&str]| all.iter().any(|known| ending.eq_ignore_ascii_case(known));
        match () {
            () if is(&["gz", "zst", "bz2"]) => stem.into(),
            () if is(&["tgz", "tzst", "tbz2", "tbz"]) => format!("{stem}.tar").into(),
            () => name.into(),
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_bytes_count() {
        assert_eq!(Packing::of(b"\x1f\x8b\x08\0"), Some(Packing::Gzip));
        assert_eq!(Packing::of(b"\x28\xb5\x2f\xfd"), Some(Packing::Zstd));
        assert_eq!(Packing::of(b"\x50\x2a\x4d\x18\0\0\0\0"), Some(Packing::Zstd), "what may be skipped comes first");
        assert_eq!(Packing::of(b"BZh9\x31\x41\x59\x26\x53\x59"), Some(Packing::Bzip2));
        for plain in [&b""[..], b"\x1f\x8b", b">a", b"BZh9 is a file type", b"BZh0\x31\x41\x59\x26\x53\x59"] {
            assert_eq!(Packing::of(plain), None);
        }
    }

    #[test]
    fn a_name_loses_one_ending() {
        for (name, plain) in [
            ("x.fasta.gz", "x.fasta"),
            ("x.gz.ZST", "x.gz"),
            ("x.bz2", "x"),
            (".gz", ".gz"),
            ("x.zip", "x.zip"),
            ("gz", "gz"),
            ("x.y.TGZ", "x.y.tar"),
            ("x.tbz2", "x.tar"),
            (".tgz", ".tgz"),
        ] {
            assert_eq!(Packing::plain_name(name), plain);
        }
    }
}
