//! What came in, made what is stored: compressed data plain, a zip archive a tar. Runs in a thread that may wait for the disk.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::{Archive, is_zip, tar_name};
use crate::blobs::{DatasetStore, Stored, Upload};
use crate::domain::{Digest, Error, Packing};
use crate::limits::PIECE_BYTES;
use crate::unpack::Unpacker;

use super::disk::Disk;

/// What an uploader says of what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The file's name.
    pub name: String,
    /// Of what is to be stored, if it is known.
    pub digest: Option<Digest>,
    /// Whether it is a data set, to be stored plain; otherwise it is stored as it is.
    pub unpack: bool,
}

/// Whether its owner may have so many bytes stored.
pub type May<'m> = &'m mut dyn FnMut(u64) -> Result<(), Error>;

/// Where it goes.
#[derive(Debug)]
pub struct Intake {
    /// The stored data sets.
    pub datasets: Arc<DatasetStore>,
    /// Whether there is room.
    pub disk: Disk,
    /// One zip archive at a time: its directory is held in memory.
    zip: Mutex<()>,
}

impl Intake {
    /// Into these data sets, on this disk.
    pub fn new(datasets: Arc<DatasetStore>, disk: Disk) -> Self {
        Self { datasets, disk, zip: Mutex::default() }
    }

    /// Writes a piece. An upload that has begun goes on at yellow; at red the room is for what the tasks leave behind.
    pub fn write(&self, upload: &mut Upload, piece: &[u8]) -> Result<(), Error> {
        self.disk.gauge().lets_uploads_go_on()?;
        self.disk.noting(upload.write(piece))
    }

    /// The same, and leaves the hash to the caller.
    pub fn write_unhashed(&self, upload: &mut Upload, piece: &[u8]) -> Result<(), Error> {
        self.disk.gauge().lets_uploads_go_on()?;
        self.disk.noting(upload.write_unhashed(piece))
    }

    /// Stores what came in, durably, and says under which name; `may` is asked for all bytes of what becomes of it, as they grow. What came is
    /// given up if nothing else can become of it; otherwise it is the caller's, to be given up once the journal knows what is stored. Space is
    /// checked before where it can be known, and all along.
    ///
    /// # Errors
    /// `Invalid` for damaged data, or other data than the label says: `Exhausted` without room.
    pub fn store(&self, came: &mut Upload, label: &Label, may: May<'_>) -> Result<(Stored, String), Error> {
        let head = if label.unpack { head_of(came)? } else { Vec::new() };
        let kind = Kind::of(&head);
        if kind == Kind::Plain {
            if let Err(error) = kind.check(label.digest, came.digest(), came.digest()) {
                came.give_up();
                return Err(error);
            }
            self.note(came, came.digest(), &label.name)?;
            return Ok((self.disk.noting(came.finish())?, label.name.clone()));
        }
        let made = self.disk.noting(self.datasets.begin_upload()).and_then(|plain| self.convert(came, kind, plain, label, may));
        if made.is_err() {
            // Also what has found no room: others need it more.
            came.give_up();
        }
        made
    }

    fn convert(&self, came: &Upload, kind: Kind, mut plain: Upload, label: &Label, may: May<'_>) -> Result<(Stored, String), Error> {
        let mut write = |piece: &[u8]| {
            may(plain.len().saturating_add(piece.len() as u64))?;
            self.write(&mut plain, piece)
        };
        let name = if kind == Kind::Zip {
            let _one = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
            let archive = Archive::open(came.path())?;
            let mut archive = archive.ok_or_else(|| Error::internal("an upload has changed: this is a mistake in Millpond"))?;
            self.disk.gauge().has_room_for(archive.tar_len())?;
            archive.write(&mut write)?;
            tar_name(&label.name)
        } else {
            let mut unpacker = Unpacker::default();
            pieces(came, |piece| unpacker.feed(piece, &mut write))?;
            unpacker.finish(&mut write)?;
            Packing::plain_name(&label.name).into_owned()
        };
        kind.check(label.digest, plain.digest(), came.digest())?;
        self.note(came, plain.digest(), &name)?;
        Ok((self.disk.noting(plain.finish())?, name))
    }

    /// Before the content gets its place: so the client gets its answer, or goes on, whenever the head dies.
    fn note(&self, came: &Upload, digest: Digest, name: &str) -> Result<(), Error> {
        self.disk.noting(self.datasets.note_receipt(came, digest, name))
    }
}

/// What becomes of what came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It is stored as it is.
    Plain,
    /// It is unpacked.
    Packed(Packing),
    /// A tar is made of it.
    Zip,
}

impl Kind {
    fn of(head: &[u8]) -> Self {
        match Packing::of(head) {
            Some(packing) => Self::Packed(packing),
            None if is_zip(head) => Self::Zip,
            None => Self::Plain,
        }
    }

    /// `Invalid` if another digest was announced than that of what would be stored: which of the two is meant only the uploader knows.
    fn check(self, announced: Option<Digest>, stored: Digest, came: Digest) -> Result<(), Error> {
        let Some(announced) = announced.filter(|announced| *announced != stored) else { return Ok(()) };
        let (sent, made) = match self {
            Self::Plain => {
                return Err(Error::invalid(format!(
                    "{announced} was announced, and what came has the digest {stored}: it has changed meanwhile, or that is another file's \
                     digest; upload it with the digest of what is sent, or with none"
                )));
            }
            Self::Packed(packing) => (format!("the {packing} data"), "the plain data".to_owned()),
            Self::Zip => ("the zip archive".to_owned(), "the tar that is made of it".to_owned()),
        };
        Err(Error::invalid(if announced == came {
            format!(
                "{announced} is the digest of {sent} as it was sent, but with `unpack` that of {made} is meant: announce {stored}, or none"
            )
        } else {
            format!(
                "{announced} was announced, and {made} has the digest {stored} ({sent}, as it was sent: {came}): it has changed meanwhile, or \
                 that is another file's digest; with `unpack` announce that of {made}, or none"
            )
        }))
    }
}

fn head_of(came: &Upload) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::io(came.path(), &error);
    let (mut head, file) = (Vec::new(), File::open(came.path()).map_err(failed)?);
    file.take(Packing::HEAD_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
    Ok(head)
}

fn pieces(came: &Upload, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let failed = |error| Error::io(came.path(), &error);
    let (mut file, mut buffer) = (File::open(came.path()).map_err(failed)?, vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(()),
            len => take(&buffer[..len])?,
        }
    }
}
