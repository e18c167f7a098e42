//! Uploads that go on where they broke off.
//!
//! ```text
//! Begin ─► durable(offset) · Piece… ─► durable(…) · End ─► dataset           lost? the same Begin again
//! ```
//! Each piece has a CRC-32, or, by plain HTTP, all of them together: it is cheap, every language's standard library has it, and with the digest
//! of the whole that most uploads state, it need not be more: it only has to say that something between was damaged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::actors::Head;
use crate::actors::ingest::DatasetEntry;
use crate::actors::intake::{Intake, Label};
use crate::blobs::{Receipt, Stored, Upload, UploadKey};
use crate::domain::{Digest, Error};
use crate::failpoint;
use crate::rpc::pb::upload_dataset_request::Header;

use super::datasets::{label_of, stored_by};
use super::pieces::Transfers;
use super::receiving::{Answer, Answers, Door, Parts, QUEUE_PARTS, Receiver};
use super::stored_room::{Coming, Room};
use super::who::Who;

/// The uploads that go on now, and what they need.
#[derive(Clone)]
pub struct Uploads {
    head: Head,
    pub(super) transfers: Transfers,
    /// One stream at a time for each id.
    doors: Arc<Mutex<BTreeMap<u128, Arc<Door>>>>,
    pub(super) intake: Arc<Intake>,
    pub(super) coming: Coming,
}

/// An upload as its beginning says.
#[derive(Clone, Debug)]
pub struct Wanted {
    id: u128,
    label: Label,
    len: Option<u64>,
    from: Option<u64>,
}

impl Wanted {
    /// Of somebody: a UUID, as `field` has it, what is to be stored, and how many bytes will come, if that is known.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn new(who: &Who, id: &str, field: &str, header: Header, len: Option<u64>) -> Result<Self, Error> {
        Ok(Self { id: id_of(id, field, who)?, label: label_of(header)?, len, from: None })
    }

    /// Sent from that byte on, whatever the head has of it.
    pub fn sent_from(self, from: u64) -> Self {
        Self { from: Some(from), ..self }
    }

    /// With all that has to be the same for an upload to be gone on with.
    fn key(&self) -> UploadKey {
        let Self { id, label, len, .. } = self;
        let text = format!("{:?} {} {len:?}", label.digest.map(|digest| digest.to_string()), label.unpack);
        UploadKey { id: *id, about: Digest(Sha256::digest(text).into()), digest: label.digest }
    }
}

/// A client's id of an upload, as `field` has it. Where callers are known each has his own ids: nobody goes on with another's upload, or is
/// told what came of it.
pub(super) fn id_of(text: &str, field: &str, who: &Who) -> Result<u128, Error> {
    let id = text.parse::<uuid::Uuid>().map(|id| id.as_u128()).map_err(|_| Error::invalid(format!("{field}: a UUID is needed")))?;
    Ok(who.owner().map_or(id, |owner| {
        let digest: [u8; 32] = Sha256::new().chain_update(id.to_be_bytes()).chain_update(owner).finalize().into();
        digest.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))
    }))
}

impl Uploads {
    /// Those of a head.
    pub fn new(head: Head, transfers: Transfers) -> Self {
        let intake = Arc::new(Intake::new(head.datasets.clone(), head.disk.clone()));
        Self { head, transfers, doors: Arc::default(), intake, coming: Coming::default() }
    }

    /// How many clients are at one now, or wait to be.
    pub fn open(&self) -> usize {
        self.doors().len()
    }

    /// Takes an upload, in a task of its own. What comes of it is told by the answers, the last one a data set or an error; they end without
    /// either if the parts have ended before.
    pub fn take(&self, who: Who, wanted: Wanted, parts: Parts) -> mpsc::Receiver<Result<Answer, Error>> {
        let (answers, told) = mpsc::channel(QUEUE_PARTS);
        let uploads = self.clone();
        tokio::spawn(async move { uploads.receive(&who, wanted, parts, &answers).await });
        told
    }

    /// The same, to its end.
    pub(super) async fn receive(&self, who: &Who, wanted: Wanted, parts: Parts, answers: &Answers) {
        let door = self.doors().entry(wanted.id).or_default().clone();
        let stored = tokio::select! {
            passed = door.lock() => {
                let stored = self.receive_one(who, &wanted, Arc::downgrade(&door), parts, answers).await;
                drop(passed);
                stored
            }
            // The client has gone: he waits no more.
            () = answers.closed() => Ok(None),
        };
        drop(door);
        self.doors().retain(|_, door| Arc::strong_count(door) > 1);
        if let Some(last) = stored.transpose() {
            let _ = answers.send(last.map(Answer::Dataset)).await;
        }
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<u128, Arc<Door>>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data set; none if the parts have ended before.
    async fn receive_one(
        &self,
        who: &Who,
        wanted: &Wanted,
        door: Weak<Door>,
        parts: Parts,
        answers: &Answers,
    ) -> Result<Option<DatasetEntry>, Error> {
        // Another upload may have stored it while this one waited; or this one, before its connection broke.
        if let Some(dataset) = self.stored_before(who, wanted).await? {
            return Ok(Some(dataset));
        }
        let permit = tokio::select! {
            permit = self.transfers.begin() => permit?,
            () = answers.closed() => return Ok(None),
        };
        let mut room = self.coming.room_for(who, &self.head).await?;
        let (intake, out, patience) = (self.intake.clone(), answers.clone(), self.transfers.patience);
        let (wish, key) = (wanted.clone(), wanted.key());
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let Wanted { label, len, from, .. } = wish;
            let upload = begin(&intake, key, len, from, &mut room)?;
            let mut receiver = Receiver::new(upload, &intake, (len, label.digest), room, (patience, door), &out);
            if !receiver.all(parts)? {
                return Ok(None);
            }
            let Receiver { mut upload, digest, mut room, .. } = receiver;
            let (stored, name) = intake.store(&mut upload, &Label { digest, ..label }, &mut |bytes| room.takes(bytes))?;
            Ok(Some((stored, name, upload, room)))
        });
        let stored = work.await.unwrap_or_else(|_| Err(Error::internal("storing broke off: this is a mistake in Millpond")));
        let Ok(Some((stored, name, mut came, room))) = stored else {
            self.give_up_if_known(who, wanted).await;
            return stored.map(|_| None);
        };
        let dataset = stored_by(&self.head, who, stored, name).await?;
        drop(room);
        // From here on it is known by its receipt.
        came.give_up();
        let _ = tokio::task::spawn_blocking(move || drop(came)).await;
        failpoint::hit("upload.before_reply");
        Ok(Some(dataset))
    }

    /// What is stored of this already.
    async fn stored_before(&self, who: &Who, wanted: &Wanted) -> Result<Option<DatasetEntry>, Error> {
        // Whoever only knows a digest has to show that he has the bytes.
        if let Some(digest) = wanted.label.digest
            && who.reaches_dataset(&self.head, digest).await.is_ok()
            && let Ok(known) = self.head.dataset(digest).await
        {
            if let Some(owner) = who.owner() {
                self.head.own_dataset(digest, owner, true).await?;
            }
            return Ok(Some(known));
        }
        let Some(Receipt { digest, name, .. }) = self.head.datasets.receipt(wanted.key()) else { return Ok(None) };
        if let Ok(known) = self.head.dataset(digest).await {
            if let Some(owner) = who.owner() {
                self.head.own_dataset(digest, owner, true).await?;
            }
            return Ok(Some(known));
        }
        // Its bytes have their place, and the journal did not say that it knows of them.
        let len = self.head.datasets.open_dataset(digest)?.len();
        stored_by(&self.head, who, Stored { digest, len }, name).await.map(Some)
    }

    /// Another client may have stored the same while this one was sending it.
    async fn give_up_if_known(&self, who: &Who, wanted: &Wanted) {
        if let Some(digest) = wanted.label.digest
            && who.reaches_dataset(&self.head, digest).await.is_ok()
            && self.head.dataset(digest).await.is_ok()
            && let Err(error) = self.head.datasets.give_up_known(|known| known == digest)
        {
            tracing::warn!(%error, "an upload whose content is stored stays for a day");
        }
    }
}

/// Opens what is there of it. Space is checked before anything is taken; an upload that has begun goes on at yellow.
fn begin(intake: &Intake, key: UploadKey, len: Option<u64>, from: Option<u64>, quota: &mut Room) -> Result<Upload, Error> {
    let Intake { datasets, disk, .. } = intake;
    let mut upload = disk.noting(datasets.go_on_with_upload(key))?;
    if let Some(from) = from.filter(|from| *from != upload.len()) {
        if upload.is_empty() {
            upload.give_up();
        }
        return Err(Error::conflict(format!(
            "{} bytes of this upload are here, and byte {from} is the first that comes: send from there on",
            upload.len()
        )));
    }
    let gauge = disk.gauge();
    let room = if upload.is_empty() { gauge.takes_uploads() } else { gauge.lets_uploads_go_on() };
    let room = room.and_then(|()| quota.takes(len.unwrap_or_default()));
    let room = room.and_then(|()| gauge.has_room_for(len.unwrap_or_default().saturating_sub(upload.len())));
    match room {
        Err(error) if upload.is_empty() => {
            upload.give_up();
            Err(error)
        }
        room => room.map(|()| upload),
    }
}
