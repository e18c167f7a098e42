//! Builds a [`Layout`]: takes entries in order and writes the headers between them.

use std::collections::HashSet;
use std::fs::File;

use sha2::{Digest as _, Sha256};

use super::deflate::{Deflated, Deflater};
use super::headers::{self, EntryHead};
use super::layout::{Extent, Layout, Place};
use super::spool::Spooled;
use crate::domain::Error;
use crate::domain::result::FINAL_BLOCK;

/// A name in an archive has a 16-bit length.
const NAME_MAX_BYTES: usize = u16::MAX as usize;

/// Packed bytes in the source: raw deflate that ends in a full flush, without a final block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where they begin in the source.
    pub offset: u64,
    /// How many there are.
    pub packed_len: u64,
    /// Bytes before packing.
    pub len: u64,
    /// CRC-32 (IEEE) of the unpacked bytes.
    pub crc32: u32,
}

/// Takes entries and makes a [`Layout`]. The same calls give the same bytes.
///
/// Names are taken as they are, and must be relative, without `..`, empty components or NUL, at most 65,535 bytes, and unlike each other.
/// After an error the builder is of no use.
pub struct LayoutBuilder {
    own: Vec<u8>,
    extents: Vec<Extent>,
    directory: Vec<u8>,
    entries: u64,
    len: u64,
    /// Half a SHA-256 stands for each name: a set of names would take several times the memory.
    names: HashSet<[u8; 16]>,
    deflater: Deflater,
    etag: Sha256,
}

impl Default for LayoutBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl LayoutBuilder {
    /// An archive without entries.
    pub fn new() -> Self {
        Self {
            own: Vec::new(),
            extents: Vec::new(),
            directory: Vec::new(),
            entries: 0,
            len: 0,
            names: HashSet::new(),
            deflater: Deflater::new(),
            etag: Sha256::new(),
        }
    }

    /// Adds a small content, which is kept, packed, in memory.
    ///
    /// # Errors
    /// `Invalid` for a bad name.
    pub fn add_bytes(&mut self, name: &str, content: &[u8]) -> Result<(), Error> {
        let mut packed = Vec::new();
        let written = self.deflater.write(content, &mut packed).and_then(|()| self.deflater.finish(&mut packed));
        let content_of = written.map_err(|error| Error::io(name, &error))?;
        self.etag.update(Sha256::digest(content));
        self.begin(name, content_of)?;
        self.push_own(&packed);
        self.push_own(&FINAL_BLOCK);
        Ok(())
    }

    /// Adds a content of the spool file that [`LayoutBuilder::finish`] will get.
    ///
    /// # Errors
    /// `Invalid` for a bad name.
    pub fn add_spooled(&mut self, name: &str, spooled: &Spooled) -> Result<(), Error> {
        self.etag.update(spooled.digest);
        self.begin(name, spooled.content)?;
        for &(offset, len) in &spooled.ranges {
            self.push(Place::Spool(offset), len)?;
        }
        self.push_own(&FINAL_BLOCK);
        Ok(())
    }

    /// Adds a content that lies in the source, in any number of pieces; of none it is empty.
    ///
    /// # Errors
    /// `Invalid` for a bad name, `Corrupt` if the lengths add up to nonsense.
    pub fn add_pieces(&mut self, name: &str, pieces: &[Piece]) -> Result<(), Error> {
        let mut crc = crc32fast::Hasher::new();
        let (mut len, mut packed_len) = (0u64, 0u64);
        for piece in pieces {
            // First of all: `combine` panics where lengths overflow.
            len = len.checked_add(piece.len).ok_or_else(|| nonsense(name))?;
            packed_len = packed_len.checked_add(piece.packed_len).ok_or_else(|| nonsense(name))?;
            crc.combine(&crc32fast::Hasher::new_with_initial_len(piece.crc32, piece.len));
            self.etag.update(piece.packed_len.to_le_bytes());
        }
        self.begin(name, Deflated { len, packed_len, crc32: crc.finalize() })?;
        for piece in pieces {
            self.push(Place::Source(piece.offset), piece.packed_len)?;
        }
        self.push_own(&FINAL_BLOCK);
        Ok(())
    }

    /// Writes the directory. The spool file is the one that all spooled contents lie in, if there are any.
    pub fn finish(mut self, spool: Option<File>) -> Layout {
        let directory = std::mem::take(&mut self.directory);
        let offset = self.len;
        self.push_own(&directory);
        let mut end = Vec::new();
        headers::write_end(&mut end, self.entries, offset, directory.len() as u64);
        self.push_own(&end);
        self.own.shrink_to_fit();
        self.extents.shrink_to_fit();
        let etag = self.etag.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Layout { own: self.own, extents: self.extents, spool, len: self.len, etag }
    }

    /// Writes an entry's headers. `content` is without the final block.
    fn begin(&mut self, name: &str, content: Deflated) -> Result<(), Error> {
        self.take_name(name)?;
        let packed_len = content.packed_len.checked_add(FINAL_BLOCK.len() as u64).ok_or_else(|| nonsense(name))?;
        let head = EntryHead { name, crc32: content.crc32, len: content.len, packed_len, offset: self.len };
        let mut local = Vec::with_capacity(64 + name.len());
        head.write_local(&mut local);
        self.push_own(&local);
        head.write_central(&mut self.directory);
        self.entries += 1;
        self.etag.update(&local);
        Ok(())
    }

    fn take_name(&mut self, name: &str) -> Result<(), Error> {
        let shown = || name.chars().take(80).collect::<String>();
        if name.len() > NAME_MAX_BYTES || name.contains('\0') || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::invalid(format!("archive entry {:?}: not a relative path of plain components, or too long", shown())));
        }
        let mut key = [0; 16];
        key.iter_mut().zip(Sha256::digest(name)).for_each(|(byte, of)| *byte = of);
        if self.names.insert(key) { Ok(()) } else { Err(Error::invalid(format!("archive entry {:?}: the name is there twice", shown()))) }
    }

    fn push_own(&mut self, bytes: &[u8]) {
        if !matches!(self.extents.last(), Some(Extent { place: Place::Own(_), .. })) {
            self.extents.push(Extent { start: self.len, place: Place::Own(self.own.len() as u64) });
        }
        self.own.extend_from_slice(bytes);
        self.len += bytes.len() as u64;
    }

    fn push(&mut self, place: Place, len: u64) -> Result<(), Error> {
        if len == 0 {
            return Ok(());
        }
        let follows = self.extents.last().is_some_and(|last| last.place.after(self.len - last.start) == place);
        if !follows {
            self.extents.push(Extent { start: self.len, place });
        }
        self.len = self.len.checked_add(len).filter(|&len| len < 1 << 62).ok_or_else(|| Error::corrupt("archive is longer than can be"))?;
        Ok(())
    }
}

fn nonsense(name: &str) -> Error {
    Error::corrupt(format!("archive entry `{name}`: its lengths add up to nonsense"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Seek, SeekFrom, Write};

    use proptest::prelude::*;

    use super::super::layout::ReadAt;
    use super::super::spool::Spool;
    use super::super::testing::{Bytes, Reader, other_readers_accept, unpack, whole};
    use super::*;

    type Entries = Vec<(String, Vec<Vec<u8>>)>;

    /// Each entry of as many pieces as it has parts, in a source.
    fn built(entries: &Entries) -> (Layout, Bytes) {
        let (mut source, mut builder) = (Bytes::default(), LayoutBuilder::new());
        for (name, parts) in entries {
            let pieces: Vec<Piece> = parts.iter().map(|part| source.add(part)).collect();
            builder.add_pieces(name, &pieces).unwrap();
        }
        (builder.finish(None), source)
    }

    fn entries() -> impl Strategy<Value = Entries> {
        let part = prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), (0usize..200_000).prop_map(|len| vec![b'x'; len])];
        let parts = proptest::collection::vec(part, 0..4);
        proptest::collection::btree_map("[a-zé]{1,8}(/[a-z~ ]{1,5}){0,2}", parts, 0..12)
            .prop_map(|entries| entries.into_iter().map(|(name, parts)| (format!("d/{name}"), parts)).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_goes_in_comes_out(entries in entries()) {
            let (layout, source) = built(&entries);
            let archive = whole(&layout, &source);
            let joined: Vec<_> = entries.iter().map(|(name, parts)| (name.clone(), parts.concat())).collect();
            prop_assert_eq!(unpack(&archive), joined);
            let (again, source) = built(&entries);
            prop_assert_eq!(whole(&again, &source), archive);
            prop_assert_eq!(again.etag(), layout.etag());
        }
    }

    #[test]
    fn any_range_is_a_part_of_the_whole() {
        let parts = |parts: &[&str]| parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        let entries = vec![("a".into(), parts(&["one", "two"])), ("empty".into(), parts(&[])), ("é".into(), parts(&["", "three", ""]))];
        let (layout, source) = built(&entries);
        let archive = whole(&layout, &source);
        for offset in 0..=archive.len() + 1 {
            for len in 0..=archive.len() + 2 - offset.min(archive.len()) {
                let mut buf = vec![0xaa; len];
                let read = layout.read_at(offset as u64, &mut buf, &source).unwrap();
                let expected = &archive[offset.min(archive.len())..(offset + len).min(archive.len())];
                assert_eq!(&buf[..read], expected, "{len} bytes from {offset}");
            }
        }
        assert_eq!(layout.read_at(u64::MAX, &mut [0; 9], &source).unwrap(), 0);
        assert!(layout.read_at(0, &mut [0; 999], &Bytes::default()).is_err(), "a source that is too short is an error");
    }

    #[test]
    fn small_and_spooled_contents_lie_beside_pieces() {
        let (mut source, mut builder) = (Bytes::default(), LayoutBuilder::new());
        let spool = Spool::new(tempfile::tempfile().unwrap());
        let text = |seed: u64| (0..200_000).map(|i| format!("{:06}\n", (i * seed) % 999_983)).collect::<String>().into_bytes();
        let (one, other) = (text(7_919), text(104_729));
        let (mut writer, mut between) = (spool.writer(), spool.writer());
        for (a, b) in one.chunks(1000).zip(other.chunks(1000)) {
            writer.write_all(a).unwrap();
            between.write_all(b).unwrap();
        }
        let (writer, between) = (writer.finish().unwrap(), between.finish().unwrap());
        assert!(writer.ranges.len() > 1, "the two are interleaved in the file");
        builder.add_bytes("small", b"content").unwrap();
        builder.add_spooled("one", &writer).unwrap();
        builder.add_pieces("piece", &[source.add(b"p")]).unwrap();
        builder.add_spooled("other", &between).unwrap();
        builder.add_bytes("nothing", b"").unwrap();
        let layout = builder.finish(Some(spool.into_file()));
        let expected = [("small", b"content".to_vec()), ("one", one), ("piece", b"p".to_vec()), ("other", other), ("nothing", vec![])];
        assert!(unpack(&whole(&layout, &source)) == expected.map(|(name, content)| (name.to_owned(), content)));
    }

    #[test]
    fn bad_and_repeated_names_are_refused() {
        for bad in ["", "/a", "a/", "../a", "a/../b", "a//b", "./a", "a\0b", &"x".repeat(65_536)] {
            assert!(LayoutBuilder::new().add_bytes(bad, b"").is_err(), "{bad}");
        }
        let mut builder = LayoutBuilder::new();
        builder.add_bytes(&"x".repeat(65_535), b"").unwrap();
        builder.add_bytes("a", b"").unwrap();
        assert_eq!(builder.add_pieces("a", &[]).unwrap_err().message, "archive entry \"a\": the name is there twice");
    }

    #[test]
    fn lengths_that_add_up_to_nonsense_are_refused() {
        let piece = |packed_len, len| Piece { offset: 0, packed_len, len, crc32: 0 };
        for pieces in [vec![piece(u64::MAX, 1)], vec![piece(u64::MAX, 1); 2], vec![piece(1, u64::MAX); 2], vec![piece(1 << 62, 1)]] {
            assert!(LayoutBuilder::new().add_pieces("a", &pieces).is_err());
        }
    }

    #[test]
    fn an_etag_changes_with_names_and_contents() {
        let etag = |name: &str, content: &[u8]| built(&vec![(name.into(), vec![content.to_vec()])]).0.etag().to_owned();
        assert_eq!(etag("a", b"x").len(), 32);
        assert_ne!(etag("a", b"x"), etag("b", b"x"));
        assert_ne!(etag("a", b"x"), etag("a", b"y"));
    }

    #[test]
    fn seventy_thousand_entries_satisfy_all_readers() {
        let (mut source, mut builder) = (Bytes::default(), LayoutBuilder::new());
        let piece = source.add(b"the same for all\n");
        for index in 0..70_000 {
            builder.add_pieces(&format!("{index:06}/stdout"), &[piece]).unwrap();
        }
        builder.add_bytes("übrig.txt", "nicht ASCII".as_bytes()).unwrap();
        let layout = builder.finish(None);
        assert!(layout.own.capacity() + layout.extents.capacity() * size_of::<Extent>() < 70_001 * (150 + 13));
        let archive = whole(&layout, &source);
        assert_eq!(unpack(&archive).len(), 70_001);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("many.zip");
        fs::write(&path, archive).unwrap();
        other_readers_accept(&path, 70_001);
    }

    /// Zeros in stored blocks of deflate, without end.
    struct Stored;

    const BLOCK: u64 = 5 + 65_535;

    impl ReadAt for Stored {
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
            buf.fill(0);
            let first = offset - offset % BLOCK;
            for (at, byte) in
                (first..offset + buf.len() as u64).step_by(BLOCK as usize).flat_map(|block| [(block + 1, 255), (block + 2, 255)])
            {
                if let Some(place) = at.checked_sub(offset).and_then(|at| buf.get_mut(at as usize)) {
                    *place = byte;
                }
            }
            Ok(())
        }
    }

    fn zeros(blocks: u64) -> Piece {
        let len = blocks * 65_535;
        let one = crc32fast::Hasher::new_with_initial_len(crc32fast::hash(&[0; 65_535]), 65_535);
        let mut crc32 = crc32fast::Hasher::new();
        (0..blocks).for_each(|_| crc32.combine(&one));
        Piece { offset: 0, packed_len: blocks * BLOCK, len, crc32: crc32.finalize() }
    }

    /// `huge` is over 4 GiB, of four pieces; `behind` is small, but begins past 4 GiB.
    fn huge() -> Layout {
        let mut builder = LayoutBuilder::new();
        let quarter = zeros(16_400);
        builder.add_pieces("first", &[zeros(1)]).unwrap();
        builder.add_pieces("huge", &[quarter; 4]).unwrap();
        builder.add_pieces("behind", &[zeros(2)]).unwrap();
        builder.add_bytes("last", b"end").unwrap();
        builder.finish(None)
    }

    #[test]
    fn past_four_gibibytes_numbers_have_64_bits() {
        let layout = huge();
        assert!(layout.len() > 1 << 32);
        let mut archive = zip::ZipArchive::new(Reader { layout: &layout, source: &Stored, at: 0 }).unwrap();
        let mut seen = Vec::new();
        for number in 0..archive.len() {
            let mut entry = archive.by_index(number).unwrap();
            seen.push((entry.name().unwrap().into_owned(), entry.size(), entry.compressed_size(), entry.header_start() > 1 << 32));
            if number != 1 {
                std::io::copy(&mut entry, &mut std::io::sink()).unwrap();
            }
        }
        let of = |name: &str, blocks: u64, is_far| (name.to_owned(), blocks * 65_535, blocks * BLOCK + 2, is_far);
        assert_eq!(seen[..3], [of("first", 1, false), of("huge", 65_600, false), of("behind", 2, true)]);
        assert_eq!((seen[3].1, seen[3].3), (3, true));
    }

    #[test]
    #[ignore = "writes a sparse file of 300 MB and reads 4.3 GB of it twice"]
    fn past_four_gibibytes_other_readers_agree() {
        let layout = huge();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.zip");
        let mut file = fs::File::create(&path).unwrap();
        let mut reader = Reader { layout: &layout, source: &Stored, at: 0 };
        let mut page = [0; 4096];
        loop {
            match reader.read(&mut page).unwrap() {
                0 => break,
                read if page[..read].iter().all(|&b| b == 0) => drop(file.seek(SeekFrom::Current(read as i64)).unwrap()),
                read => file.write_all(&page[..read]).unwrap(),
            }
        }
        drop(file);
        other_readers_accept(&path, 4);
    }
}
