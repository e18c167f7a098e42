//! `ClusterService`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use tonic::{Request, Response, Status};

use crate::actors::Head;
use crate::actors::backup::BackedUp;
use crate::actors::supervisor::WorkerStatus;
use crate::domain::{Error, JobId, JobSpec, WorkerId};
use crate::engine::WorkerPhase;
use crate::engine::access::Access;
use crate::engine::meters::Histogram;
use crate::engine::session::LeaseStatus;
use crate::engine::worker_record::WorkerScore;
use crate::limits::CLUSTER_CHANGE_EVERY;
use crate::rpc::convert::{confines_to_pb, eta_score_to_pb, explanation_to_pb, labels_from_pb, quota_from_pb, resources_to_pb, time_to_pb};
use crate::rpc::pb;
use crate::rpc::pb::cluster_service_server::ClusterService;
use crate::rpc::status::to_status;

use super::changes::{self, Watchers};
use super::jobs::{check_request_id, page_size, page_token};
use super::order;
use super::pieces::PieceStream;
use super::quotas;
use super::scale;
use super::steering::check_words;
use super::who::{About, Who};

macro_rules! method {
    ($name:literal) => {
        concat!("/millpond.v1.ClusterService/", $name)
    };
}

/// Tasks listed of one worker.
const TASKS_MAX: usize = 1000;

/// In the folder of a backup that a caller asks for.
pub const BACKUP_KEY_FILE: &str = "backup.key";
/// Not to be guessed.
const BACKUP_KEY_MIN_BYTES: usize = 32;

/// See `proto/millpond/v1/cluster.proto`.
pub struct Clusters {
    head: Head,
    watchers: Watchers,
}

fn worker_id(text: &str) -> Result<WorkerId, Error> {
    let digits = text.strip_prefix('w').unwrap_or(text);
    let number = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    number.map(WorkerId).ok_or_else(|| Error::invalid(format!("`{text}` is not a worker: write it as w3")))
}

/// The folder of a backup, if it is one that the caller has just made: so nobody can have the head write where he may not write himself.
fn backup_folder(request: &pb::CreateBackupRequest) -> Result<PathBuf, Error> {
    let folder = PathBuf::from(&request.directory);
    if !folder.is_absolute() || request.key.len() < BACKUP_KEY_MIN_BYTES {
        return Err(Error::invalid("directory: an absolute path is needed, with the key that is in its file `backup.key`"));
    }
    let key = folder.join(BACKUP_KEY_FILE);
    // Whatever lies there: a pipe must not hold us up, a link not lead us on.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = rustix::fs::open(&key, flags, Mode::empty()).map(File::from).map_err(std::io::Error::from).and_then(|file| {
        let mut found = String::new();
        file.take(1024).read_to_string(&mut found).map(|_| found)
    });
    let is_there = open.is_ok_and(|found| found == request.key);
    let is_empty = || std::fs::read_dir(&folder).is_ok_and(|entries| entries.count() == 1);
    if !is_there || !is_empty() {
        let folder = folder.display();
        return Err(Error::denied(format!("the head does not find your key in {folder}: make the backup on the head's machine")));
    }
    Ok(folder)
}

fn latency(histogram: &Histogram) -> Option<pb::Latency> {
    let read = histogram.read();
    let (p50_seconds, p99_seconds) = (read.quantile(0.5)?, read.quantile(0.99)?);
    Some(pb::Latency { count: read.count(), p50_seconds, p99_seconds })
}

type Scores = BTreeMap<WorkerId, WorkerScore>;

impl Clusters {
    /// The service of a head.
    pub fn new(head: Head) -> Self {
        Self { head, watchers: Watchers::default() }
    }

    /// As the caller may see it: of the tasks of others nothing but what they take.
    async fn message(&self, who: &Who, status: &WorkerStatus, scores: &Scores) -> pb::Worker {
        let mut specs: BTreeMap<JobId, Option<std::sync::Arc<JobSpec>>> = BTreeMap::new();
        let mut holds = Vec::new();
        for LeaseStatus { lease, started, since } in status.leases.iter().take(TASKS_MAX) {
            if let Entry::Vacant(unknown) = specs.entry(lease.job) {
                unknown.insert(self.head.job(lease.job).await.ok().map(|status| status.view.spec));
            }
            let spec = specs.get(&lease.job).and_then(Option::as_ref);
            if !who.access.covers(&who.caller, spec.map(|spec| spec.owner.as_str())) {
                continue;
            }
            let index = spec.map_or(u64::from(lease.no.0), |spec| spec.index_of(lease.no));
            holds.push(pb::WorkerTask { id: format!("{}.{index}", lease.job), started: *started, since: since.map(time_to_pb) });
        }
        let state = match status.phase {
            WorkerPhase::Available => pb::WorkerState::Available,
            WorkerPhase::Busy => pb::WorkerState::Busy,
            WorkerPhase::Draining => pb::WorkerState::Draining,
            WorkerPhase::Joining => pb::WorkerState::Joining,
            WorkerPhase::Resting => pb::WorkerState::Resting,
            WorkerPhase::Suspected => pb::WorkerState::Suspected,
            WorkerPhase::Away => pb::WorkerState::Away,
        };
        let kept_for = status.kept_for.filter(|_| who.access == Access::All);
        pb::Worker {
            id: status.info.id.to_string(),
            host: status.info.host.clone(),
            state: state.into(),
            note: status.note.clone(),
            slots: status.info.slots,
            free: status.free,
            total: Some(resources_to_pb(&status.info.total)),
            tasks: holds.iter().map(|task| task.id.clone()).collect(),
            attached: status.attached.map(time_to_pb),
            used: Some(resources_to_pb(&status.used)),
            holds,
            kept_for: kept_for.map(|(job, _)| job.to_string()).unwrap_or_default(),
            kept_since: kept_for.map(|(_, since)| time_to_pb(since)),
            sandbox: status.confines.as_ref().map(confines_to_pb),
            left: status.left,
            record: scores.get(&status.info.id).map(|&WorkerScore { succeeded, failed, speed }| pb::WorkerRecord {
                succeeded,
                failed,
                speed,
            }),
        }
    }

    async fn drain(&self, who: &Who, about: About, drain: bool) -> Result<Response<pb::Worker>, Status> {
        let (id, request_id) = (about.what.clone(), about.request_id.clone());
        let drained = async {
            check_request_id(&request_id)?;
            self.head.drain(worker_id(&id)?, drain).await
        };
        let status = who.changes(&self.head, about, drained).await.map_err(|error| to_status(&error))?;
        let scores = self.head.worker_scores(vec![status.info.id]).await;
        Ok(Response::new(self.message(who, &status, &scores).await))
    }
}

#[tonic::async_trait]
impl ClusterService for Clusters {
    async fn get_cluster(&self, request: Request<pb::GetClusterRequest>) -> Result<Response<pb::Cluster>, Status> {
        Who::of(&request, &self.head, method!("GetCluster")).await?;
        let asked = async { Ok((self.head.slots().await?, self.head.eta_score().await?)) };
        let ((workers, slots), eta_score) = asked.await.map_err(|error: Error| to_status(&error))?;
        let room = self.head.disk.gauge().room;
        Ok(Response::new(pb::Cluster {
            version: env!("CARGO_PKG_VERSION").into(),
            epoch: self.head.epoch.0,
            workers,
            slots,
            started: Some(time_to_pb(self.head.started)),
            eta_score: eta_score_to_pb(eta_score),
            dispatch: latency(&self.head.meters.dispatch),
            journal_sync: latency(&self.head.meters.journal_sync),
            journal_written_bytes: self.head.meters.journal_written_bytes.get(),
            disk_free_bytes: room.free,
            disk_size_bytes: room.total,
        }))
    }

    async fn get_scale(&self, request: Request<pb::GetScaleRequest>) -> Result<Response<pb::Scale>, Status> {
        Who::of(&request, &self.head, method!("GetScale")).await?;
        let labels = labels_from_pb(request.into_inner().labels).map_err(|error| to_status(&error))?;
        let seen = async { Ok((self.head.loads().await?, self.head.workers().await?)) };
        let (loads, workers) = seen.await.map_err(|error: Error| to_status(&error))?;
        Ok(Response::new(scale::message(&loads, &workers, &labels)))
    }

    async fn create_backup(&self, request: Request<pb::CreateBackupRequest>) -> Result<Response<pb::CreateBackupResponse>, Status> {
        let who = Who::of(&request, &self.head, method!("CreateBackup")).await?;
        let request = request.into_inner();
        let about = About::just(request.directory.clone());
        let made = async {
            let looked = tokio::task::spawn_blocking(move || backup_folder(&request)).await;
            let folder = looked.map_err(|error| Error::internal(format!("the folder can't be looked at: {error}")))??;
            tracing::info!(folder = %folder.display(), "a backup is being made");
            self.head.back_up(folder).await
        };
        let BackedUp { jobs, results, datasets, bytes } = who.changes(&self.head, about, made).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(pb::CreateBackupResponse { jobs, results, datasets, bytes }))
    }

    async fn set_quota(&self, request: Request<pb::SetQuotaRequest>) -> Result<Response<pb::OwnerQuota>, Status> {
        let who = Who::of(&request, &self.head, method!("SetQuota")).await?;
        let pb::SetQuotaRequest { owner, quota, request_id, reason } = request.into_inner();
        let quota = quota.map(quota_from_pb);
        let what = quota.map_or_else(|| format!("{owner}: none of its own"), |quota| format!("{owner}: {quota}"));
        let about = About { what, request_id: request_id.clone(), reason: reason.clone() };
        let set = async {
            check_request_id(&request_id)?;
            check_words(&reason, "")?;
            self.head.set_quota(owner.clone(), quota).await?;
            quotas::of(&self.head, &owner).await
        };
        who.changes(&self.head, about, set).await.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn list_quotas(&self, request: Request<pb::ListQuotasRequest>) -> Result<Response<pb::ListQuotasResponse>, Status> {
        let who = Who::of(&request, &self.head, method!("ListQuotas")).await?;
        let list = quotas::list(&self.head, &who, request.into_inner()).await;
        list.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn list_workers(&self, request: Request<pb::ListWorkersRequest>) -> Result<Response<pb::ListWorkersResponse>, Status> {
        let who = Who::of(&request, &self.head, method!("ListWorkers")).await?;
        let request = request.into_inner();
        let list = async {
            let limit = page_size(request.page_size)?;
            let after: u32 = page_token(&request.page_token)?.unwrap_or(0);
            let all = self.head.workers().await?;
            let mut page: Vec<WorkerStatus> = all.into_iter().filter(|status| status.info.id.0 > after).take(limit + 1).collect();
            let more = page.len() > limit;
            page.truncate(limit);
            let next = page.last().filter(|_| more).map(|status| status.info.id.0.to_string()).unwrap_or_default();
            Ok((page, next))
        };
        let (page, next_page_token) = list.await.map_err(|error: Error| to_status(&error))?;
        let scores = self.head.worker_scores(page.iter().map(|status| status.info.id).collect()).await;
        let mut workers = Vec::new();
        for status in &page {
            workers.push(self.message(&who, status, &scores).await);
        }
        Ok(Response::new(pb::ListWorkersResponse { workers, next_page_token }))
    }

    async fn get_worker(&self, request: Request<pb::GetWorkerRequest>) -> Result<Response<pb::Worker>, Status> {
        let who = Who::of(&request, &self.head, method!("GetWorker")).await?;
        let get = async { self.head.worker(worker_id(&request.into_inner().id)?).await };
        let status = get.await.map_err(|error| to_status(&error))?;
        let scores = self.head.worker_scores(vec![status.info.id]).await;
        Ok(Response::new(self.message(&who, &status, &scores).await))
    }

    async fn explain_worker(&self, request: Request<pb::ExplainWorkerRequest>) -> Result<Response<pb::Explanation>, Status> {
        Who::of(&request, &self.head, method!("ExplainWorker")).await?;
        let explain = async {
            let id = worker_id(&request.into_inner().id)?;
            let explanation = self.head.explain_worker(id).await?;
            Ok(explanation_to_pb(id.to_string(), explanation))
        };
        explain.await.map(Response::new).map_err(|error: Error| to_status(&error))
    }

    async fn get_order(&self, request: Request<pb::GetOrderRequest>) -> Result<Response<pb::Order>, Status> {
        let who = Who::of(&request, &self.head, method!("GetOrder")).await?;
        order::get(&self.head, &who, request.into_inner()).await.map(Response::new).map_err(|error| to_status(&error))
    }

    type WatchClusterStream = PieceStream<pb::ClusterChange>;

    async fn watch_cluster(&self, request: Request<pb::WatchClusterRequest>) -> Result<Response<Self::WatchClusterStream>, Status> {
        Who::of(&request, &self.head, method!("WatchCluster")).await?;
        let place = self.watchers.place().map_err(|error| to_status(&error))?;
        Ok(Response::new(changes::told(self.head.changes(), place, CLUSTER_CHANGE_EVERY)))
    }

    async fn drain_worker(&self, request: Request<pb::DrainWorkerRequest>) -> Result<Response<pb::Worker>, Status> {
        let who = Who::of(&request, &self.head, method!("DrainWorker")).await?;
        let pb::DrainWorkerRequest { id: what, request_id } = request.into_inner();
        self.drain(&who, About { what, request_id, ..About::default() }, true).await
    }

    async fn resume_worker(&self, request: Request<pb::ResumeWorkerRequest>) -> Result<Response<pb::Worker>, Status> {
        let who = Who::of(&request, &self.head, method!("ResumeWorker")).await?;
        let pb::ResumeWorkerRequest { id: what, request_id } = request.into_inner();
        self.drain(&who, About { what, request_id, ..About::default() }, false).await
    }
}
