//! Tar archives: the files in one, found while it streams past.
//!
//! Source: POSIX.1-2017, pax ("ustar Interchange Format", "pax Interchange Format"), and the GNU tar manual, "Basic Tar Format": a header of
//! one block of 512 bytes, then the data, filled up to whole blocks; two blocks of zeros at the end. Names that don't fit a header stand
//! in an extension before it: pax `path`, or GNU's `L`. Sizes are octal, or, of GNU, binary.
//!
//! Files and folders are all that is taken. Links, devices and pipes are refused with their names: what a task gets are files, and a file
//! that is silently missing would be worse. So are sparse files, whose data is not what it seems. Times, owners and permissions mean nothing here.

use super::member::{MemberPath, shown};
use crate::domain::Error;
use crate::limits::{ARCHIVE_FILE_MAX_BYTES, MEMBER_PATH_MAX_BYTES, TAR_EXTENSION_MAX_BYTES};

/// Everything in a tar is a multiple of it.
pub const BLOCK_BYTES: usize = 512;
/// Where the fields of a header are.
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..263;
const PREFIX: std::ops::Range<usize> = 345..500;

/// What is done with the files that are found.
pub trait Visitor {
    /// A file begins; so many bytes of data follow.
    fn file(&mut self, path: MemberPath, len: u64) -> Result<(), Fault>;

    /// The next bytes of the file.
    fn data(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// The file ends, with what fills up its last block, at this offset.
    fn end(&mut self, offset: u64) -> Result<(), Error>;

    /// The error for a fault that the bytes before `offset` prove.
    fn refuse(&self, _offset: u64, fault: Fault) -> Error {
        Error::invalid(fault)
    }
}

/// What is wrong with an archive; of a [`Visitor::file`], what completes "`NAME` …".
pub type Fault = String;

/// Where the reader stands.
#[derive(Debug)]
enum At {
    /// In a header: so many of its bytes are here.
    Header(usize),
    /// In what stands before a header: its kind, and what there is still of it, in bytes, with and without filling.
    Extension { kind: u8, len: usize, padded: u64 },
    /// In a file's data, likewise.
    File { len: u64, padded: u64 },
    /// In data that nobody wants.
    Skipped { padded: u64 },
    /// Behind the last file, among zeros.
    Ended,
}

/// What extensions have said of the file whose header comes next.
#[derive(Debug, Default)]
struct Said {
    name: Option<Vec<u8>>,
    len: Option<u64>,
}

/// Finds the files in a tar that is pushed through it. How the bytes are cut into pieces changes nothing.
#[derive(Debug)]
pub struct TarReader {
    at: At,
    /// The offset of the next byte.
    offset: u64,
    /// The header, as far as it is here.
    header: Box<[u8; BLOCK_BYTES]>,
    /// The extension, as far as it is here.
    extension: Vec<u8>,
    said: Said,
    /// The name of the file that is open, for messages.
    open: Vec<u8>,
}

impl Default for TarReader {
    fn default() -> Self {
        let (said, header) = (Said::default(), Box::new([0; BLOCK_BYTES]));
        Self { at: At::Header(0), offset: 0, header, extension: Vec::new(), said, open: Vec::new() }
    }
}

impl TarReader {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// `Invalid`, or what the visitor makes of it, for what is not in order; what the visitor says. After an error it is of no use any more.
    pub fn feed(&mut self, bytes: &[u8], visitor: &mut dyn Visitor) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.step(rest, visitor)?;
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// The archive ends here. `Invalid` if that is inside something. The two blocks of zeros may lack, as in a part of an archive.
    pub fn finish(&self, visitor: &dyn Visitor) -> Result<(), Error> {
        let inside = match self.at {
            At::Header(0) if self.said.name.is_none() && self.said.len.is_none() => return Ok(()),
            At::Ended => return Ok(()),
            At::Header(_) if self.offset < BLOCK_BYTES as u64 => return Err(visitor.refuse(self.offset, not_a_tar())),
            At::File { .. } => format!("inside `{}`", shown(&self.open)),
            At::Header(_) | At::Extension { .. } | At::Skipped { .. } => "inside a header".into(),
        };
        Err(visitor.refuse(self.offset, format!("the tar archive breaks off, at byte {}, {inside}: get or make it again", self.offset)))
    }

    /// Takes some of the bytes; how many.
    fn step(&mut self, bytes: &[u8], visitor: &mut dyn Visitor) -> Result<usize, Error> {
        match &mut self.at {
            At::Header(here) => {
                let taken = bytes.len().min(BLOCK_BYTES - *here);
                self.header[*here..*here + taken].copy_from_slice(&bytes[..taken]);
                *here += taken;
                let is_whole = *here == BLOCK_BYTES;
                self.offset += taken as u64;
                if is_whole {
                    self.header_is_here(visitor)?;
                }
                Ok(taken)
            }
            At::Extension { kind, len, padded } => {
                let kind = *kind;
                let taken = take(bytes, padded);
                let wanted = taken.min(*len);
                self.extension.extend_from_slice(&bytes[..wanted]);
                *len -= wanted;
                let is_whole = *padded == 0;
                self.offset += taken as u64;
                if is_whole {
                    self.at = At::Header(0);
                    let extension = std::mem::take(&mut self.extension);
                    self.extension_is_here(kind, &extension).map_err(|fault| visitor.refuse(self.offset, fault))?;
                }
                Ok(taken)
            }
            At::File { len, padded } => {
                let taken = take(bytes, padded);
                let data = &bytes[..taken.min(usize::try_from(*len).unwrap_or(usize::MAX))];
                *len -= data.len() as u64;
                let is_whole = *padded == 0;
                self.offset += taken as u64;
                if !data.is_empty() {
                    visitor.data(data)?;
                }
                if is_whole {
                    self.at = At::Header(0);
                    visitor.end(self.offset)?;
                }
                Ok(taken)
            }
            At::Skipped { padded } => {
                let taken = take(bytes, padded);
                self.offset += taken as u64;
                if *padded == 0 {
                    self.at = At::Header(0);
                }
                Ok(taken)
            }
            At::Ended => match bytes.iter().position(|byte| *byte != 0) {
                None => {
                    self.offset += bytes.len() as u64;
                    Ok(bytes.len())
                }
                Some(zeros) => {
                    let at = self.offset + zeros as u64;
                    Err(visitor
                        .refuse(at + 1, format!("something follows the end of the tar archive, at byte {at}: give one archive at a time")))
                }
            },
        }
    }

    fn header_is_here(&mut self, visitor: &mut dyn Visitor) -> Result<(), Error> {
        let begin = self.offset - BLOCK_BYTES as u64;
        let refuse = |visitor: &dyn Visitor, fault: Fault| visitor.refuse(begin + BLOCK_BYTES as u64, fault);
        if self.header.iter().all(|byte| *byte == 0) {
            if self.said.name.is_some() || self.said.len.is_some() {
                return Err(refuse(
                    visitor,
                    format!("the tar archive ends, at byte {begin}, between a name and its file: get or make it again"),
                ));
            }
            self.at = At::Ended;
            return Ok(());
        }
        if !checksum_fits(&self.header) {
            let fault = match begin {
                0 => not_a_tar(),
                _ => format!("no header of a file at byte {begin} of the tar archive, where one is due: get or make it again"),
            };
            return Err(refuse(visitor, fault));
        }
        let kind = self.header[TYPE];
        let number = number(&self.header[SIZE]).filter(|len| *len <= ARCHIVE_FILE_MAX_BYTES);
        let is_extension = matches!(kind, b'x' | b'X' | b'g' | b'L' | b'K');
        let said = if is_extension { Said::default() } else { std::mem::take(&mut self.said) };
        let name = said.name.unwrap_or_else(|| self.name());
        let about = |what: &str| format!("`{}` (byte {begin}) {what}", shown(&name));
        let Some(len) = said.len.or(number) else {
            return Err(refuse(visitor, about("has no size, or one over 1 TiB (ARCHIVE_FILE_MAX_BYTES)")));
        };
        let padded = len.next_multiple_of(BLOCK_BYTES as u64);
        let is_folder = matches!(kind, b'5' | b'D') || matches!(kind, b'0' | 0) && name.ends_with(b"/");
        match kind {
            _ if is_extension => match usize::try_from(len) {
                Ok(len) if (1..=TAR_EXTENSION_MAX_BYTES).contains(&len) => self.at = At::Extension { kind, len, padded },
                _ => {
                    return Err(refuse(
                        visitor,
                        format!(
                            "the header at byte {begin} of the tar archive has {len} bytes of names and attributes, \
                     1 to {TAR_EXTENSION_MAX_BYTES} are allowed (TAR_EXTENSION_MAX_BYTES)"
                        ),
                    ));
                }
            },
            // What an incremental backup says of a folder follows it; of others only a hint.
            _ if is_folder => self.skip(if kind == b'D' { padded } else { 0 }),
            b'0' | 0 | b'7' => {
                let path = MemberPath::new(&name).map_err(|fault| refuse(visitor, about(&fault)))?;
                visitor.file(path, len).map_err(|fault| refuse(visitor, about(&fault)))?;
                self.open = name;
                self.at = if padded == 0 { At::Header(0) } else { At::File { len, padded } };
                if padded == 0 {
                    visitor.end(self.offset)?;
                }
            }
            other => return Err(refuse(visitor, about(&unwanted(other)))),
        }
        Ok(())
    }

    fn skip(&mut self, padded: u64) {
        self.at = if padded == 0 { At::Header(0) } else { At::Skipped { padded } };
    }

    /// The name in the header; the prefix counts in ustar's only.
    fn name(&self) -> Vec<u8> {
        let (name, prefix) = (until_nul(&self.header[NAME]), until_nul(&self.header[PREFIX]));
        if &self.header[MAGIC] != b"ustar\0" || prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    fn extension_is_here(&mut self, kind: u8, extension: &[u8]) -> Result<(), Fault> {
        match kind {
            b'L' => self.said.name = Some(until_nul(extension).to_vec()),
            // Where a link leads to: the link itself is refused.
            b'K' => {}
            _ => {
                for (key, value) in pax_records(extension).ok_or_else(|| {
                    format!("pax attributes before byte {} of the tar archive are not in order: get or make it again", self.offset)
                })? {
                    self.pax(kind == b'g', key, value)?;
                }
            }
        }
        match &self.said.name {
            Some(name) if name.len() > 2 * MEMBER_PATH_MAX_BYTES => {
                Err(format!("`{}` is longer than {MEMBER_PATH_MAX_BYTES} bytes (MEMBER_PATH_MAX_BYTES): shorten it", shown(name)))
            }
            _ => Ok(()),
        }
    }

    /// One attribute. Of those that hold for all files from here on none may change what the files are: so nothing has to be repeated.
    fn pax(&mut self, for_all: bool, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let at = self.offset;
        match key {
            b"path" | b"size" if for_all => {
                Err(format!("a tar archive with one `{}` for all files, before byte {at}: make it without", shown(key)))
            }
            b"path" => {
                self.said.name = Some(value.to_vec());
                Ok(())
            }
            b"size" => {
                let len = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).filter(|len| *len <= ARCHIVE_FILE_MAX_BYTES);
                self.said.len = Some(len.ok_or_else(|| {
                    format!(
                        "before byte {at} of the tar archive: `{}` is no size of a file up to 1 TiB (ARCHIVE_FILE_MAX_BYTES)",
                        shown(value)
                    )
                })?);
                Ok(())
            }
            _ if key.starts_with(b"GNU.sparse.") => {
                Err(format!("before byte {at} of the tar archive: a sparse file; make the archive without --sparse"))
            }
            _ => Ok(()),
        }
    }
}

fn take(bytes: &[u8], left: &mut u64) -> usize {
    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= taken as u64;
    taken
}

fn not_a_tar() -> Fault {
    "this is no tar archive: files:N cuts folders, .tar and .zip files".into()
}

/// Why an entry of this type is refused.
fn unwanted(kind: u8) -> Fault {
    let (what, remedy) = match kind {
        b'1' => ("is a hard link", "make the archive with `tar --hard-dereference`"),
        b'2' => ("is a symbolic link", "make the archive with `tar -h`, which takes what it leads to"),
        b'3' => ("is a character device", "leave it out"),
        b'4' => ("is a block device", "leave it out"),
        b'6' => ("is a named pipe", "leave it out"),
        b'S' => ("is a sparse file", "make the archive without --sparse"),
        b'M' => ("goes on from another volume", "make the archive in one piece"),
        other => return format!("is of the unknown type `{}`: only files and folders are taken", char::from(other).escape_default()),
    };
    format!("{what}, and only files and folders are taken: {remedy}")
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The sum of all bytes, those of the sum itself taken as blanks; some old programs add them as signed.
fn checksum_fits(header: &[u8; BLOCK_BYTES]) -> bool {
    let stated = number(&header[CHECKSUM]);
    let bytes = || header.iter().enumerate().map(|(at, byte)| if CHECKSUM.contains(&at) { b' ' } else { *byte });
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    stated == Some(unsigned) || u64::try_from(signed).is_ok_and(|sum| stated == Some(sum))
}

/// A number: octal among blanks and NULs, or binary behind a set bit.
fn number(field: &[u8]) -> Option<u64> {
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        let positive = (first & 0x40 == 0).then_some(u64::from(first & 0x3f))?;
        return rest.iter().try_fold(positive, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let digits = field.trim_ascii_start();
    let digits = digits.split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default();
    digits.iter().try_fold(0u64, |sum, byte| match byte {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// The records `LENGTH KEY=VALUE\n`; the length counts all of it.
fn pax_records(mut rest: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !rest.is_empty() {
        let blank = rest.iter().position(|byte| *byte == b' ')?;
        let len: usize = std::str::from_utf8(&rest[..blank]).ok()?.parse().ok()?;
        let record = rest.get(blank + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
        rest = &rest[len..];
    }
    Some(records)
}

/// Whether a data set that begins like this is a tar: its first header is in order, and names the format.
pub fn is_tar(first: &[u8]) -> bool {
    first.first_chunk().is_some_and(|header| checksum_fits(header) && header[MAGIC].starts_with(b"ustar"))
}

/// What stands before a file's data in a tar that Millpond makes: always the same for the same name and length. A name that does not fit is
/// GNU's `L`, which takes any bytes.
pub fn header_of(path: &MemberPath, len: u64) -> Vec<u8> {
    let name = path.as_bytes();
    let mut headers = Vec::new();
    if name.len() > NAME.len() {
        let with_nul = [name, b"\0"].concat();
        headers.extend(header(b"././@LongLink", with_nul.len() as u64, b'L'));
        headers.extend(&with_nul);
        headers.resize(headers.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    headers.extend(header(name, len, b'0'));
    headers
}

fn header(name: &[u8], len: u64, kind: u8) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(NAME.start, &name[..name.len().min(NAME.len())]);
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    match len {
        0..=0o77_777_777_777 => put(SIZE.start, format!("{len:011o}\0").as_bytes()),
        _ => put(SIZE.start, &[&[0x80, 0, 0, 0][..], &len.to_be_bytes()].concat()),
    }
    put(136, b"00000000000\0");
    put(CHECKSUM.start, b"        ");
    put(TYPE, &[kind]);
    put(MAGIC.start, b"ustar  \0");
    let sum: u64 = header.iter().copied().map(u64::from).sum();
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
