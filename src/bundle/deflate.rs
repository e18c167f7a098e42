//! Raw deflate in the one way that gives the same bytes for the same content, whoever compresses it and however it is handed over.

use std::io::{self, Write};

use flate2::{Compress, Compression, FlushCompress};

use crate::limits;

/// The one compression level. On tables of numbers and spectra (zlib-rs, one core) level 1 makes 60–100 MB/s but its static codes leave
/// 40–55 % more bytes; level 6 makes 22–33 MB/s for 1 % fewer bytes than level 3, which makes 36–47 MB/s. On source text: 199, 47, 109 MB/s.
/// Besides, levels 1 and 6 depend on the sizes of writes; 3 was not seen to. A change of level changes every archive's bytes.
const LEVEL: u32 = 3;

/// Room for what one block can give: twice the block, since up to 16 KiB of earlier input may come out with it. More room than needed
/// keeps the compressor from stopping midway, and from repeating a flush marker.
const OUT_BYTES: usize = 2 * limits::DEFLATE_BLOCK_BYTES;

/// One content as it was packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deflated {
    /// Bytes before packing.
    pub len: u64,
    /// Bytes as packed.
    pub packed_len: u64,
    /// CRC-32 (IEEE) of the unpacked bytes.
    pub crc32: u32,
}

/// Packs one content after another; the buffers are kept.
pub(super) struct Deflater {
    compress: Compress,
    block: Vec<u8>,
    out: Vec<u8>,
    crc: crc32fast::Hasher,
    len: u64,
    packed_len: u64,
}

impl Deflater {
    pub fn new() -> Self {
        Self {
            compress: Compress::new(Compression::new(LEVEL), false),
            block: Vec::with_capacity(limits::DEFLATE_BLOCK_BYTES),
            out: vec![0; OUT_BYTES],
            crc: crc32fast::Hasher::new(),
            len: 0,
            packed_len: 0,
        }
    }

    /// Takes more of the current content. Only whole blocks are compressed, so that the sizes of writes don't show.
    pub fn write(&mut self, mut bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = limits::DEFLATE_BLOCK_BYTES.saturating_sub(self.block.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() >= limits::DEFLATE_BLOCK_BYTES {
                self.compress_block(FlushCompress::None, to)?;
            }
        }
        Ok(())
    }

    /// Ends the current content with a full flush and gets ready for the next. A content without bytes packs to no bytes.
    pub fn finish(&mut self, to: &mut impl Write) -> io::Result<Deflated> {
        if self.len > 0 || !self.block.is_empty() {
            self.compress_block(FlushCompress::Full, to)?;
        }
        let deflated = Deflated { len: self.len, packed_len: self.packed_len, crc32: std::mem::take(&mut self.crc).finalize() };
        self.compress.reset();
        (self.len, self.packed_len) = (0, 0);
        Ok(deflated)
    }

    fn compress_block(&mut self, flush: FlushCompress, to: &mut impl Write) -> io::Result<()> {
        let mut rest = self.block.as_slice();
        self.crc.update(rest);
        self.len += rest.len() as u64;
        loop {
            let (read, written) = (self.compress.total_in(), self.compress.total_out());
            self.compress.compress(rest, &mut self.out, flush).map_err(io::Error::other)?;
            let read = (self.compress.total_in() - read) as usize;
            let written = (self.compress.total_out() - written) as usize;
            let packed = self.out.get(..written).unwrap_or_default();
            to.write_all(packed)?;
            self.packed_len += packed.len() as u64;
            rest = rest.get(read..).unwrap_or_default();
            if rest.is_empty() && written < OUT_BYTES {
                break;
            }
            if read == 0 && written == 0 {
                return Err(io::Error::other("the compressor made no progress"));
            }
        }
        self.block.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::result::FINAL_BLOCK;

    fn packed(parts: &[&[u8]], deflater: &mut Deflater) -> (Vec<u8>, Deflated) {
        let mut to = Vec::new();
        for part in parts {
            deflater.write(part, &mut to).unwrap();
        }
        let deflated = deflater.finish(&mut to).unwrap();
        assert_eq!(deflated.packed_len, to.len() as u64);
        (to, deflated)
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 88172645463325252u64;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(len)
        .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn how_a_content_is_handed_over_does_not_show(len in 0usize..400_000, cuts in proptest::collection::vec(1usize..90_000, 0..12)) {
            let content: Vec<u8> = noise(len).into_iter().map(|b| b & 0x1f).collect();
            let mut deflater = Deflater::new();
            let (whole, deflated) = packed(&[&content], &mut deflater);
            let mut parts = Vec::new();
            let mut rest = content.as_slice();
            for cut in cuts {
                let (part, after) = rest.split_at(cut.min(rest.len()));
                parts.push(part);
                rest = after;
            }
            parts.push(rest);
            prop_assert_eq!(&packed(&parts, &mut deflater).0, &whole);
            prop_assert_eq!(&packed(&parts, &mut Deflater::new()).0, &whole);
            prop_assert_eq!(deflated.len, content.len() as u64);
            prop_assert_eq!(deflated.crc32, crc32fast::hash(&content));
        }
    }

    #[test]
    fn joined_pieces_inflate_to_the_joined_contents() {
        let contents = [b"one\n".to_vec(), noise(300_000), Vec::new(), vec![7; 65_536], noise(131_072)];
        let (mut joined, mut deflater) = (Vec::new(), Deflater::new());
        for content in &contents {
            joined.extend(packed(&[content], &mut deflater).0);
        }
        joined.extend(FINAL_BLOCK);
        let mut inflated = Vec::new();
        DeflateDecoder::new(joined.as_slice()).read_to_end(&mut inflated).unwrap();
        assert_eq!(inflated, contents.concat());
    }

    #[test]
    fn a_piece_ends_in_a_flush_and_nothing_gives_nothing() {
        let mut deflater = Deflater::new();
        assert!(packed(&[b"text"], &mut deflater).0.ends_with(&[0, 0, 0xff, 0xff]));
        assert_eq!(packed(&[b""], &mut deflater), (Vec::new(), Deflated::default()));
    }
}
