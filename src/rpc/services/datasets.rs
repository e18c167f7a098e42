//! `DatasetService`.

use bytes::Bytes;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use crate::actors::Head;
use crate::actors::ingest::DatasetEntry;
use crate::actors::intake::Label;
use crate::blobs::{Dataset, Stored};
use crate::domain::deletion::DeletionRequest;
use crate::domain::{Digest, Error, ErrorKind, Role};
use crate::engine::access::Access;
use crate::limits::{NAME_MAX_BYTES, PIECE_BYTES};
use crate::rpc::convert::{preview_to_pb, time_to_pb};
use crate::rpc::pb;
use crate::rpc::pb::dataset_service_server::DatasetService;
use crate::rpc::status::to_status;

use super::jobs::{check_request_id, page_size, page_token};
use super::leases::Leases;
use super::pieces::{self, PieceStream};
use super::stored_room::Room;
use super::upload_stream;
use super::uploads::{Uploads, id_of};
use super::who::{About, Who};

macro_rules! method {
    ($name:literal) => {
        concat!("/millpond.v1.DatasetService/", $name)
    };
}

/// See `proto/millpond/v1/datasets.proto`.
pub struct Datasets {
    head: Head,
    uploads: Uploads,
    leases: Leases,
}

pub(super) fn message((digest, record): DatasetEntry) -> pb::Dataset {
    pb::Dataset {
        digest: digest.to_string(),
        name: record.name,
        len: record.len,
        created: Some(time_to_pb(record.at)),
        used_by_count: 0,
        used_by: Vec::new(),
    }
}

impl Datasets {
    /// The service of a head.
    pub fn new(head: Head, uploads: Uploads, leases: Leases) -> Self {
        Self { head, uploads, leases }
    }

    async fn upload(&self, who: &Who, mut requests: Streaming<pb::UploadDatasetRequest>) -> Result<pb::Dataset, Status> {
        let (wrong, patience) = (|error: Error| to_status(&error), self.uploads.transfers.patience);
        let first = patience
            .hears(requests.message())
            .await
            .map_err(wrong)??
            .ok_or_else(|| wrong(Error::invalid("an upload begins with a message that has the header")))?;
        let label = label_of(first.header.ok_or_else(|| wrong(Error::invalid("header: missing in the first message")))?).map_err(wrong)?;
        self.head.disk.gauge().takes_uploads().map_err(wrong)?;
        let permit = self.uploads.transfers.begin().await.map_err(wrong)?;
        let mut room = self.uploads.coming.room_for(who, &self.head).await.map_err(wrong)?;
        let intake = self.uploads.intake.clone();
        let rest = requests.map(|request| request.map(|request| request.data));
        let ((stored, name), room): ((Stored, String), Room) = pieces::receive(permit, patience, first.data, rest, move |inflow| {
            let mut upload = intake.disk.noting(intake.datasets.begin_upload())?;
            inflow.by_ref().try_for_each(|piece: Bytes| {
                room.takes(upload.len().saturating_add(piece.len() as u64))?;
                intake.write(&mut upload, &piece)
            })?;
            if !inflow.is_whole() {
                return Err(pieces::broke_off());
            }
            let stored = intake.store(&mut upload, &label, &mut |bytes| room.takes(bytes))?;
            Ok((stored, room))
        })
        .await?;
        let dataset = stored_by(&self.head, who, stored, name).await.map(message).map_err(wrong);
        drop(room);
        dataset
    }

    /// Whether he owns it, or, a worker, needs what he asks for.
    async fn may_read(&self, who: &Who, digest: Digest, request: &pb::ReadDatasetRequest) -> Result<(), Error> {
        let Some(worker) = who.principal().filter(|principal| principal.role == Role::Worker) else {
            return who.reaches_dataset(&self.head, digest).await;
        };
        let ranges: Vec<(u64, u64)> = request.ranges.iter().map(|range| (range.offset, range.len)).collect();
        let may = self.leases.may_read(worker.id, digest, &ranges);
        if let Err(error) = &may {
            who.turns_away(&self.head, About::just(digest.to_string()), error).await;
        }
        may
    }

    /// What there is within reach.
    async fn all(&self, who: &Who) -> Result<Vec<DatasetEntry>, Error> {
        match (who.access, who.owner()) {
            (Access::All, _) => self.head.all_datasets().await,
            (Access::Own, Some(owner)) => self.head.datasets_of(owner).await,
            (Access::Own | Access::No, _) => Ok(Vec::new()),
        }
    }

    /// Data sets as they are shown, with the jobs that use them.
    async fn messages(&self, entries: Vec<DatasetEntry>) -> Result<Vec<pb::Dataset>, Error> {
        let users = self.head.users_of(entries.iter().map(|(digest, _)| *digest).collect()).await?;
        let used = entries.into_iter().map(|(digest, record)| {
            let users = users.get(&digest).cloned().unwrap_or_default();
            let used_by = users.first.iter().map(ToString::to_string).collect();
            pb::Dataset { used_by_count: u32::try_from(users.count).unwrap_or(u32::MAX), used_by, ..message((digest, record)) }
        });
        Ok(used.collect())
    }

    async fn read(&self, who: &Who, request: pb::ReadDatasetRequest) -> Result<PieceStream<pb::ReadDatasetResponse>, Error> {
        const RANGES_MAX: usize = 16;
        let digest: Digest = request.digest.parse()?;
        if request.ranges.len() <= RANGES_MAX {
            self.may_read(who, digest, &request).await?;
        }
        let dataset = self.head.datasets.open_dataset(digest)?;
        if request.ranges.len() > RANGES_MAX {
            return Err(Error::invalid(format!("ranges: {} items, at most {RANGES_MAX} are allowed", request.ranges.len())));
        }
        let len = dataset.len();
        let mut ranges: Vec<(u64, u64)> = request.ranges.iter().map(|range| (range.offset, range.len)).collect();
        if ranges.is_empty() {
            ranges.push((0, len));
        }
        if ranges.iter().any(|(offset, count)| offset.checked_add(*count).is_none_or(|end| end > len)) {
            return Err(Error::invalid(format!("ranges: the data set has {len} bytes")));
        }
        let permit = self.uploads.transfers.begin().await?;
        Ok(pieces::send(permit, move |send| ranges.iter().try_for_each(|range| send_range(&dataset, *range, send))))
    }
}

/// Notes stored bytes as a data set, and whose they are; returns once both is durable.
pub(super) async fn stored_by(head: &Head, who: &Who, stored: Stored, name: String) -> Result<DatasetEntry, Error> {
    let about = About::just(format!("{} ({name})", stored.digest));
    let add = async {
        let entry = head.add_dataset(stored, name).await?;
        if let Some(owner) = who.owner() {
            head.own_dataset(entry.0, owner, true).await?;
        }
        Ok(entry)
    };
    who.changes(head, about, add).await
}

fn send_range(dataset: &Dataset, (offset, len): (u64, u64), send: &mut dyn FnMut(pb::ReadDatasetResponse) -> bool) -> Result<(), Error> {
    let (mut at, end) = (offset, offset + len);
    while at < end {
        let mut data = vec![0; PIECE_BYTES.min(usize::try_from(end - at).unwrap_or(PIECE_BYTES))];
        let read = dataset.read_at(at, &mut data)?;
        if read == 0 {
            return Err(Error::corrupt("a data set is shorter than when it was stored"));
        }
        data.truncate(read);
        at += read as u64;
        if !send(pb::ReadDatasetResponse { data: Bytes::from(data) }) {
            return Ok(());
        }
    }
    Ok(())
}

/// What a header says, checked.
pub(super) fn label_of(header: pb::upload_dataset_request::Header) -> Result<Label, Error> {
    check_name(&header.name)?;
    let digest = (!header.digest.is_empty()).then(|| header.digest.parse::<Digest>()).transpose()?;
    Ok(Label { name: header.name, digest, unpack: header.unpack })
}

fn check_name(name: &str) -> Result<(), Error> {
    let usable = !name.is_empty() && name.len() <= NAME_MAX_BYTES && !name.contains('/') && !name.chars().any(char::is_control);
    if usable { Ok(()) } else { Err(Error::invalid(format!("name: a file name of 1 to {NAME_MAX_BYTES} bytes is needed"))) }
}

#[tonic::async_trait]
impl DatasetService for Datasets {
    async fn upload_dataset(&self, request: Request<Streaming<pb::UploadDatasetRequest>>) -> Result<Response<pb::Dataset>, Status> {
        let who = Who::of(&request, &self.head, method!("UploadDataset")).await?;
        self.upload(&who, request.into_inner()).await.map(Response::new)
    }

    type ResumeUploadStream = PieceStream<pb::ResumeUploadResponse>;

    async fn resume_upload(
        &self,
        request: Request<Streaming<pb::ResumeUploadRequest>>,
    ) -> Result<Response<Self::ResumeUploadStream>, Status> {
        let who = Who::of(&request, &self.head, method!("ResumeUpload")).await?;
        let patience = self.uploads.transfers.patience;
        upload_stream::take(self.uploads.clone(), patience, who, request.into_inner()).await.map(Response::new)
    }

    async fn check_upload(&self, request: Request<pb::CheckUploadRequest>) -> Result<Response<pb::CheckUploadResponse>, Status> {
        let who = Who::of(&request, &self.head, method!("CheckUpload")).await?;
        let pb::CheckUploadRequest { len, upload_id } = request.into_inner();
        let check = async {
            let gauge = self.head.disk.gauge();
            let has_come =
                if upload_id.is_empty() { None } else { self.head.datasets.len_of_upload(id_of(&upload_id, "upload_id", &who)?)? };
            let room = has_come.map_or_else(|| gauge.takes_uploads(), |_| gauge.lets_uploads_go_on());
            let is_new = !self.all(&who).await?.iter().any(|(_, record)| record.len == len);
            if is_new {
                // What may be there needs no room.
                room.and_then(|()| gauge.has_room_for(len.saturating_sub(has_come.unwrap_or_default())))?;
                self.uploads.coming.room_for(&who, &self.head).await?.takes(len)?;
            }
            Ok(pb::CheckUploadResponse { is_new })
        };
        check.await.map(Response::new).map_err(|error: Error| to_status(&error))
    }

    async fn get_dataset(&self, request: Request<pb::GetDatasetRequest>) -> Result<Response<pb::Dataset>, Status> {
        let who = Who::of(&request, &self.head, method!("GetDataset")).await?;
        let get = async {
            let digest = request.into_inner().digest.parse()?;
            who.reaches_dataset(&self.head, digest).await?;
            let entry = self.head.dataset(digest).await?;
            self.messages(vec![entry]).await?.pop().ok_or_else(|| Error::internal("a data set that is none"))
        };
        get.await.map(Response::new).map_err(|error: Error| to_status(&error))
    }

    async fn delete_dataset(&self, request: Request<pb::DeleteDatasetRequest>) -> Result<Response<pb::Dataset>, Status> {
        let who = Who::of(&request, &self.head, method!("DeleteDataset")).await?;
        let request = request.into_inner();
        let about = About { what: request.digest.clone(), request_id: request.request_id.clone(), ..About::default() };
        let delete = async {
            check_request_id(&request.request_id)?;
            let digest = request.digest.parse()?;
            match who.reaches_dataset(&self.head, digest).await {
                // Deleted, perhaps by this request: whoever has its id has made it.
                Err(error) if error.kind == ErrorKind::NotFound && self.head.dataset(digest).await.is_err() => {}
                reached => reached?,
            }
            if let Some(owner) = who.owner().filter(|_| who.access == Access::Own)
                && self.head.dataset_owners(digest).await? > 1
            {
                // Others have sent the same bytes: theirs stay.
                let entry = self.head.dataset(digest).await?;
                return self.head.own_dataset(digest, owner, false).await.map(|()| entry);
            }
            let wish = DeletionRequest { id: request.request_id, by: who.name(String::new()), ..DeletionRequest::default() };
            self.head.delete_dataset(digest, request.unused, wish).await
        };
        who.changes(&self.head, about, delete).await.map(|entry| Response::new(message(entry))).map_err(|error: Error| to_status(&error))
    }

    async fn list_datasets(&self, request: Request<pb::ListDatasetsRequest>) -> Result<Response<pb::ListDatasetsResponse>, Status> {
        let who = Who::of(&request, &self.head, method!("ListDatasets")).await?;
        let request = request.into_inner();
        let list = async {
            let limit = page_size(request.page_size)?;
            let skip: usize = page_token(&request.page_token)?.unwrap_or(0);
            let mut all = self.all(&who).await?;
            all.sort_by(|a, b| (&a.1.name, a.0).cmp(&(&b.1.name, b.0)));
            let more = all.len() > skip.saturating_add(limit);
            let datasets = self.messages(all.into_iter().skip(skip).take(limit).collect()).await?;
            let next_page_token = if more { (skip + limit).to_string() } else { String::new() };
            Ok(pb::ListDatasetsResponse { datasets, next_page_token })
        };
        list.await.map(Response::new).map_err(|error: Error| to_status(&error))
    }

    async fn preview_split(&self, request: Request<pb::PreviewSplitRequest>) -> Result<Response<pb::SplitPreview>, Status> {
        let who = Who::of(&request, &self.head, method!("PreviewSplit")).await?;
        let pb::PreviewSplitRequest { digest, split } = request.into_inner();
        let look = async {
            let digest = digest.parse()?;
            who.reaches_dataset(&self.head, digest).await?;
            let name = self.head.dataset(digest).await?.1.name;
            let rule = if split.is_empty() { self.head.default_rule(&name).await? } else { split.parse()? };
            let preview = self.head.preview_split(digest, name.clone(), rule.clone()).await?;
            Ok(preview_to_pb(name, rule.to_string(), &preview))
        };
        look.await.map(Response::new).map_err(|error: Error| to_status(&error))
    }

    type ReadDatasetStream = PieceStream<pb::ReadDatasetResponse>;

    async fn read_dataset(&self, request: Request<pb::ReadDatasetRequest>) -> Result<Response<Self::ReadDatasetStream>, Status> {
        let who = Who::of(&request, &self.head, method!("ReadDataset")).await?;
        self.read(&who, request.into_inner()).await.map(Response::new).map_err(|error| to_status(&error))
    }
}
