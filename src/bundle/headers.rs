//! The records of a zip archive, as bytes. After PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3.
//!
//! Sizes are always known, so there are no data descriptors. The time is the earliest that the format can say, every entry is a regular
//! file with mode 0644, and every content is deflated.

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;

/// 2.0: deflate. 4.5: Zip64.
const NEEDS_DEFLATE: u16 = 20;
const NEEDS_ZIP64: u16 = 45;
/// Made by: Unix, so that the attributes' upper half is a mode; version 4.5.
const MADE_BY: u16 = 3 << 8 | NEEDS_ZIP64;
const METHOD_DEFLATE: u16 = 8;
/// 1980-01-01, 00:00.
const TIME: u16 = 0;
const DATE: u16 = 1 << 5 | 1;
const REGULAR_FILE_0644: u32 = 0o100_644 << 16;
const EXTRA_ZIP64: u16 = 1;
/// In a 16- or 32-bit field: look in the Zip64 record.
const SEE_64: u32 = u32::MAX;
const SEE_64_SHORT: u16 = u16::MAX;

/// What the two headers of an entry say.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryHead<'a> {
    /// At most 65,535 bytes.
    pub name: &'a str,
    /// CRC-32 of the unpacked bytes.
    pub crc32: u32,
    /// Bytes before packing.
    pub len: u64,
    /// Bytes as packed, with the final block.
    pub packed_len: u64,
    /// Where its local header begins.
    pub offset: u64,
}

impl EntryHead<'_> {
    /// The header before the content.
    pub fn write_local(&self, to: &mut Vec<u8>) {
        let extra = if self.is_large() { &[self.len, self.packed_len][..] } else { &[] };
        put32(to, LOCAL);
        self.write_common(to, if self.is_large() { NEEDS_ZIP64 } else { NEEDS_DEFLATE });
        put16(to, extra_len(extra));
        to.extend_from_slice(self.name.as_bytes());
        put_extra(to, extra);
    }

    /// The header in the directory at the end.
    pub fn write_central(&self, to: &mut Vec<u8>) {
        let mut extra = Vec::new();
        if self.is_large() {
            extra.extend([self.len, self.packed_len]);
        }
        if is_large(self.offset) {
            extra.push(self.offset);
        }
        put32(to, CENTRAL);
        put16(to, MADE_BY);
        self.write_common(to, if extra.is_empty() { NEEDS_DEFLATE } else { NEEDS_ZIP64 });
        put16(to, extra_len(&extra));
        put16(to, 0); // no comment
        put16(to, 0); // on the first disk
        put16(to, 0); // internal attributes: says nothing about text
        put32(to, REGULAR_FILE_0644);
        put32(to, short(self.offset));
        to.extend_from_slice(self.name.as_bytes());
        put_extra(to, &extra);
    }

    /// What both headers share, so that they can't disagree: readers warn if they do.
    fn write_common(&self, to: &mut Vec<u8>, needs: u16) {
        let (packed_len, len) = if self.is_large() { (SEE_64, SEE_64) } else { (short(self.packed_len), short(self.len)) };
        put16(to, needs);
        put16(to, self.flags());
        put16(to, METHOD_DEFLATE);
        put16(to, TIME);
        put16(to, DATE);
        put32(to, self.crc32);
        put32(to, packed_len);
        put32(to, len);
        put16(to, self.name.len() as u16);
    }

    /// Bit 11, "the name is UTF-8", only where it makes a difference: old readers know ASCII anyway.
    fn flags(&self) -> u16 {
        if self.name.is_ascii() { 0 } else { 1 << 11 }
    }

    /// Whether its sizes need 64 bits; both or none, since a local header has to have both.
    fn is_large(&self) -> bool {
        is_large(self.len) || is_large(self.packed_len)
    }
}

/// What comes behind the directory: with Zip64 records if a number asks for it.
pub(super) fn write_end(to: &mut Vec<u8>, entries: u64, directory_offset: u64, directory_len: u64) {
    let is_many = entries >= u64::from(SEE_64_SHORT);
    if is_many || is_large(directory_offset) || is_large(directory_len) {
        put32(to, END_64);
        put64(to, 44); // bytes that follow in this record
        put16(to, MADE_BY);
        put16(to, NEEDS_ZIP64);
        put32(to, 0); // this disk
        put32(to, 0); // the directory's disk
        put64(to, entries); // on this disk
        put64(to, entries);
        put64(to, directory_len);
        put64(to, directory_offset);
        put32(to, END_64_LOCATOR);
        put32(to, 0); // the disk of the record above
        put64(to, directory_offset.saturating_add(directory_len));
        put32(to, 1); // disks
    }
    let entries = if is_many { SEE_64_SHORT } else { entries as u16 };
    put32(to, END);
    put16(to, 0); // this disk
    put16(to, 0); // the directory's disk
    put16(to, entries); // on this disk
    put16(to, entries);
    put32(to, short(directory_len));
    put32(to, short(directory_offset));
    put16(to, 0); // no comment
}

fn is_large(number: u64) -> bool {
    number >= u64::from(SEE_64)
}

fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(SEE_64)
}

fn extra_len(numbers: &[u64]) -> u16 {
    if numbers.is_empty() { 0 } else { 4 + 8 * numbers.len() as u16 }
}

fn put_extra(to: &mut Vec<u8>, numbers: &[u64]) {
    if !numbers.is_empty() {
        put16(to, EXTRA_ZIP64);
        put16(to, 8 * numbers.len() as u16);
        numbers.iter().for_each(|&number| put64(to, number));
    }
}

fn put16(to: &mut Vec<u8>, number: u16) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn put32(to: &mut Vec<u8>, number: u32) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn put64(to: &mut Vec<u8>, number: u64) {
    to.extend_from_slice(&number.to_le_bytes());
}
