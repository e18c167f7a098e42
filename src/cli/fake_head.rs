//! A head that answers from a script, on a real socket: what the tests of the verbs, and of the client below them, talk to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use ::http::{HeaderMap, header};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use http_body_util::BodyExt;
use tokio_stream::StreamExt;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::domain::Error;
use crate::rpc::http::{self, error_response};
use crate::rpc::http_upload::{StoredText, UPLOAD_CRC32, UPLOAD_ROUTE, UploadAsk, UploadLine};
use crate::rpc::pb::cluster_service_server::{ClusterService, ClusterServiceServer};
use crate::rpc::pb::dataset_service_server::{DatasetService, DatasetServiceServer};
use crate::rpc::pb::job_service_server::{JobService, JobServiceServer};
use crate::rpc::pb::{self, *};
use crate::rpc::status::to_status;

/// Items of a stream, and the error it ends with; none: a clean end.
pub(crate) type Episode<T> = (Vec<T>, Option<Error>);

/// What the head has, what it will answer, and what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) jobs: Vec<Job>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) scale: Scale,
    pub(crate) datasets: Vec<Dataset>,
    pub(crate) replies: VecDeque<Result<ControlReply, Error>>,
    pub(crate) watches: VecDeque<Episode<JobEvent>>,
    pub(crate) logs: VecDeque<Episode<LogPiece>>,
    pub(crate) bundles: VecDeque<Episode<DataPiece>>,
    /// Watches that follow only once the job is killed.
    pub(crate) after_kill: Vec<Episode<JobEvent>>,
    /// Whether a watch without a script waits for ever, instead of ending.
    pub(crate) hangs: bool,
    pub(crate) asked: Vec<String>,
    pub(crate) submitted: Option<SubmitJobRequest>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeHead {
    script: Arc<Mutex<Script>>,
}

impl FakeHead {
    /// Serves on loopback until the test ends; gives its URL.
    pub(crate) async fn serve(script: Script) -> (Self, String) {
        Self::serve_at("127.0.0.1:0", script).await
    }

    /// The same at an address of the test's choice.
    pub(crate) async fn serve_at(address: &str, script: Script) -> (Self, String) {
        let head = Self { script: Arc::new(Mutex::new(script)) };
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let services = Routes::new(JobServiceServer::new(head.clone()))
            .add_service(DatasetServiceServer::new(head.clone()))
            .add_service(ClusterServiceServer::new(head.clone()));
        let pages = Router::new().route(http::BUNDLE_ROUTE, get(bundle)).route(UPLOAD_ROUTE, put(upload)).with_state(head.clone());
        tokio::spawn(axum::serve(listener, services.into_axum_router().merge(pages)).into_future());
        (head, url)
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn ask(&self, what: impl Into<String>) {
        self.script().asked.push(what.into());
    }

    fn reply(&self, what: String) -> Result<Response<ControlReply>, Status> {
        self.ask(what);
        let reply = self.script().replies.pop_front().unwrap_or_else(|| Err(Error::internal("no reply in the script")));
        reply.map(Response::new).map_err(|error| to_status(&error))
    }

    fn worker(&self, id: &str) -> Result<Response<Worker>, Status> {
        let worker = self.script().workers.iter().find(|worker| worker.id == id).cloned();
        worker.map(Response::new).ok_or_else(|| to_status(&Error::not_found(format!("no worker {id}"))))
    }
}

/// The next episode of a bundle; one that ends in an error breaks off there, or, with no data before, says it.
async fn bundle(State(head): State<FakeHead>, Path(id): Path<String>, headers: HeaderMap) -> axum::response::Response {
    let said = |name: header::HeaderName| headers.get(name).map_or("", |value| value.to_str().unwrap());
    let offset = said(header::RANGE).trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap_or(0_u64);
    head.ask(format!("bundle {id} from {offset} of `{}`", said(header::IF_MATCH).trim_matches('"')));
    let episode = head.script().bundles.pop_front();
    let (pieces, end) = episode.unwrap_or_else(|| (Vec::new(), Some(Error::unavailable("no bundle in the script"))));
    let Some(first) = pieces.first().cloned() else { return error_response(&end.unwrap()) };
    let wanted = said(header::IF_MATCH).trim_matches('"');
    if !wanted.is_empty() && wanted != first.etag {
        return axum::http::StatusCode::PRECONDITION_FAILED.into_response();
    }
    let data = tokio_stream::iter(pieces.into_iter().map(|piece| Ok(piece.data)).collect::<Vec<_>>());
    // Only once the data is on its way.
    let breaks = async |error: Error| {
        tokio::task::yield_now().await;
        Err(std::io::Error::other(error.message))
    };
    let end = tokio_stream::iter(end).then(breaks);
    let status = if offset > 0 { 206 } else { 200 };
    let response = axum::response::Response::builder().status(status).header(header::ETAG, format!("\"{}\"", first.etag));
    let response = response.header(header::CONTENT_LENGTH, first.total_len - offset);
    response.body(axum::body::Body::from_stream(data.chain(end))).unwrap()
}

/// Takes an upload, from its first byte on, and keeps its name and length.
async fn upload(State(head): State<FakeHead>, request: axum::extract::Request) -> axum::response::Response {
    let ask = UploadAsk::of_query(request.uri().query().unwrap()).unwrap();
    let (lines, answer) = tokio::sync::mpsc::channel(4);
    let line = |line: &UploadLine| Ok::<_, std::convert::Infallible>(serde_json::to_string(line).unwrap() + "\n");
    lines.send(line(&UploadLine::Durable(0))).await.unwrap();
    tokio::spawn(async move {
        let (mut body, mut crc, mut said) = (request.into_body(), crc32fast::Hasher::new(), None);
        let mut len = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return head.ask(format!("upload {} broke off", ask.name)) };
            match frame.into_data() {
                Ok(data) => {
                    crc.update(&data);
                    len += data.len() as u64;
                }
                Err(trailers) => said = trailers.into_trailers().unwrap().get(UPLOAD_CRC32).cloned(),
            }
        }
        assert_eq!(said.unwrap(), format!("{:08x}", crc.finalize()));
        head.ask(format!("upload {} of {len} bytes", ask.name));
        let digest = if ask.digest.is_empty() { "0".repeat(64) } else { ask.digest };
        let _ = lines.send(line(&UploadLine::Dataset(StoredText { digest, name: ask.name, len }))).await;
    });
    axum::body::Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(answer)).into_response()
}

type Items<T> = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

fn stream<T: Send + 'static>((items, end): Episode<T>) -> Response<Items<T>> {
    let items = items.into_iter().map(Ok).chain(end.map(|error| Err(to_status(&error))));
    Response::new(Box::pin(tokio_stream::iter(items.collect::<Vec<_>>())))
}

#[tonic::async_trait]
impl JobService for FakeHead {
    type WatchJobStream = Items<JobEvent>;
    type GetTaskLogStream = Items<DataPiece>;
    type FollowTaskLogStream = Items<LogPiece>;
    type DownloadBundleStream = Items<DataPiece>;

    async fn submit_job(&self, request: Request<SubmitJobRequest>) -> Result<Response<Job>, Status> {
        let request = request.into_inner();
        self.ask("submit");
        self.script().submitted = Some(request.clone());
        Ok(Response::new(Job { id: "j7".into(), spec: request.spec, state: JobState::Waiting.into(), ..Default::default() }))
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<Job>, Status> {
        let id = request.into_inner().id;
        let job = self.script().jobs.iter().find(|job| job.id == id).cloned();
        job.map(Response::new).ok_or_else(|| to_status(&Error::not_found(format!("there is no job {id}: `millpond list` shows the jobs"))))
    }

    async fn list_jobs(&self, request: Request<ListJobsRequest>) -> Result<Response<ListJobsResponse>, Status> {
        // Pages of one, so that paging is always tried.
        let request = request.into_inner();
        let at: usize = request.page_token.parse().unwrap_or(0);
        let mut jobs = self.script().jobs.clone();
        let number = |job: &Job| job.id[1..].parse::<u64>().unwrap();
        jobs.retain(|job| request.states.is_empty() || request.states.contains(&job.state));
        jobs.retain(|job| {
            request.ranges.is_empty() || request.ranges.iter().any(|range| (range.first..=range.last).contains(&number(job)))
        });
        let next_page_token = if at + 1 < jobs.len() { (at + 1).to_string() } else { String::new() };
        Ok(Response::new(ListJobsResponse { jobs: jobs.into_iter().skip(at).take(1).collect(), next_page_token }))
    }

    async fn list_tasks(&self, _: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        Ok(Response::new(ListTasksResponse { tasks: self.script().tasks.clone(), next_page_token: String::new() }))
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Result<Response<pb::Task>, Status> {
        let id = request.into_inner().id;
        let task = self.script().tasks.iter().find(|task| task.id == id).cloned();
        task.map(Response::new).ok_or_else(|| to_status(&Error::not_found(format!("there is no task {id}"))))
    }

    async fn watch_job(&self, request: Request<WatchJobRequest>) -> Result<Response<Items<JobEvent>>, Status> {
        let request = request.into_inner();
        self.ask(format!("watch {} from {}", request.id, request.cursor));
        let episode = self.script().watches.pop_front();
        let hangs = self.script().hangs;
        match episode {
            Some(episode) => Ok(stream(episode)),
            None if hangs => Ok(Response::new(Box::pin(tokio_stream::pending()))),
            None => Err(to_status(&Error::unavailable("starting"))),
        }
    }

    async fn pause_job(&self, request: Request<PauseJobRequest>) -> Result<Response<ControlReply>, Status> {
        self.reply(format!("pause {}", request.into_inner().id))
    }

    async fn retry_job(&self, request: Request<pb::RetryJobRequest>) -> Result<Response<ControlReply>, Status> {
        self.reply(format!("retry {}", request.into_inner().id))
    }

    async fn resume_job(&self, request: Request<ResumeJobRequest>) -> Result<Response<ControlReply>, Status> {
        self.reply(format!("resume {}", request.into_inner().id))
    }

    async fn kill_job(&self, request: Request<KillJobRequest>) -> Result<Response<ControlReply>, Status> {
        let request = request.into_inner();
        let mut script = self.script();
        let after_kill = std::mem::take(&mut script.after_kill);
        script.watches.extend(after_kill);
        drop(script);
        self.reply(format!("kill {} {:?}", request.id, request.running()))
    }

    async fn delete_job(&self, request: Request<pb::DeleteJobRequest>) -> Result<Response<ControlReply>, Status> {
        self.reply(format!("delete {}", request.into_inner().id))
    }

    async fn set_job_priority(&self, request: Request<SetJobPriorityRequest>) -> Result<Response<ControlReply>, Status> {
        let request = request.into_inner();
        self.reply(format!("priority {} {}", request.id, request.priority))
    }

    async fn set_job_limit(&self, request: Request<SetJobLimitRequest>) -> Result<Response<ControlReply>, Status> {
        let request = request.into_inner();
        self.reply(format!("limit {} {}", request.id, request.max_running))
    }

    async fn preview_verb(&self, request: Request<pb::PreviewVerbRequest>) -> Result<Response<ControlReply>, Status> {
        self.reply(format!("preview {:?}", request.into_inner().verb))
    }

    async fn explain_job(&self, request: Request<ExplainJobRequest>) -> Result<Response<Explanation>, Status> {
        let id = request.into_inner().id;
        let sentence = format!("{id} waits: j3 has a higher priority");
        Ok(Response::new(Explanation {
            id,
            sentence,
            state: JobState::Waiting.into(),
            place: 2,
            rule: "priority".into(),
            ..Default::default()
        }))
    }

    async fn get_task_log(&self, request: Request<GetTaskLogRequest>) -> Result<Response<Items<DataPiece>>, Status> {
        let text = format!("{:?} of {}\n", request.get_ref().stream(), request.get_ref().id);
        Ok(stream((vec![DataPiece { data: text.into(), ..Default::default() }], None)))
    }

    async fn follow_task_log(&self, request: Request<FollowTaskLogRequest>) -> Result<Response<Items<LogPiece>>, Status> {
        let request = request.into_inner();
        let (stream_name, from) = (request.stream(), (request.attempt, request.offset, request.tail_bytes));
        self.ask(format!("follow {stream_name:?} of {} from {from:?}", request.id));
        let episode = self.script().logs.pop_front();
        episode.map(stream).ok_or_else(|| to_status(&Error::conflict("no log in the script")))
    }

    async fn download_bundle(&self, _: Request<DownloadBundleRequest>) -> Result<Response<Items<DataPiece>>, Status> {
        Err(to_status(&Error::internal("our client fetches bundles by plain HTTP")))
    }
}

#[tonic::async_trait]
impl DatasetService for FakeHead {
    type ReadDatasetStream = Items<ReadDatasetResponse>;

    async fn upload_dataset(&self, _: Request<Streaming<UploadDatasetRequest>>) -> Result<Response<Dataset>, Status> {
        Err(to_status(&Error::internal("our client uploads by plain HTTP")))
    }

    type ResumeUploadStream = Items<ResumeUploadResponse>;

    async fn resume_upload(&self, _: Request<Streaming<ResumeUploadRequest>>) -> Result<Response<Items<ResumeUploadResponse>>, Status> {
        Err(to_status(&Error::internal("our client uploads by plain HTTP")))
    }

    async fn check_upload(&self, _: Request<CheckUploadRequest>) -> Result<Response<CheckUploadResponse>, Status> {
        Ok(Response::new(CheckUploadResponse::default()))
    }

    async fn get_dataset(&self, request: Request<GetDatasetRequest>) -> Result<Response<Dataset>, Status> {
        let digest = request.into_inner().digest;
        let data = self.script().datasets.iter().find(|data| data.digest == digest).cloned();
        data.map(Response::new).ok_or_else(|| to_status(&Error::not_found("no such data set")))
    }

    async fn delete_dataset(&self, request: Request<pb::DeleteDatasetRequest>) -> Result<Response<Dataset>, Status> {
        let digest = request.into_inner().digest;
        self.ask(format!("delete data {digest}"));
        self.get_dataset(Request::new(GetDatasetRequest { digest })).await
    }

    async fn preview_split(&self, request: Request<pb::PreviewSplitRequest>) -> Result<Response<pb::SplitPreview>, Status> {
        let pb::PreviewSplitRequest { digest, split } = request.into_inner();
        self.ask(format!("preview the split of {digest} by {split}"));
        Ok(Response::new(pb::SplitPreview::default()))
    }

    async fn list_datasets(&self, _: Request<ListDatasetsRequest>) -> Result<Response<ListDatasetsResponse>, Status> {
        Ok(Response::new(ListDatasetsResponse { datasets: self.script().datasets.clone(), next_page_token: String::new() }))
    }

    async fn read_dataset(&self, _: Request<ReadDatasetRequest>) -> Result<Response<Items<ReadDatasetResponse>>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

#[tonic::async_trait]
impl ClusterService for FakeHead {
    async fn get_cluster(&self, _: Request<GetClusterRequest>) -> Result<Response<Cluster>, Status> {
        Ok(Response::new(Cluster::default()))
    }

    async fn list_workers(&self, _: Request<ListWorkersRequest>) -> Result<Response<ListWorkersResponse>, Status> {
        Ok(Response::new(ListWorkersResponse { workers: self.script().workers.clone(), next_page_token: String::new() }))
    }

    async fn get_worker(&self, request: Request<GetWorkerRequest>) -> Result<Response<Worker>, Status> {
        self.worker(&request.into_inner().id)
    }

    async fn explain_worker(&self, request: Request<pb::ExplainWorkerRequest>) -> Result<Response<Explanation>, Status> {
        let id = request.into_inner().id;
        let (sentence, change) = (format!("{id} is busy"), "nothing: it works".to_owned());
        Ok(Response::new(Explanation { id, sentence, change, status: "busy".into(), ..Default::default() }))
    }

    async fn get_order(&self, request: Request<pb::GetOrderRequest>) -> Result<Response<pb::Order>, Status> {
        self.ask(format!("order: {:?}", request.into_inner().what_if));
        let hand_out = |first, count, job: &str, before: &str| pb::HandOut {
            first,
            count,
            job: job.into(),
            rule: if before.is_empty() { String::new() } else { "priority".into() },
            before: before.into(),
            ..Default::default()
        };
        let next = vec![hand_out(1, 3, "j9", "j7"), hand_out(4, 1, "j7", "")];
        Ok(Response::new(pb::Order { next, by_quota: vec!["j8".into()], unfit: Vec::new(), place: 2, place_if: 1 }))
    }

    type WatchClusterStream = Items<ClusterChange>;

    async fn watch_cluster(&self, _: Request<WatchClusterRequest>) -> Result<Response<Items<ClusterChange>>, Status> {
        self.ask("watch the cluster");
        Ok(stream((vec![ClusterChange {}], Some(Error::unavailable("going away")))))
    }

    async fn drain_worker(&self, request: Request<DrainWorkerRequest>) -> Result<Response<Worker>, Status> {
        self.worker(&request.into_inner().id)
    }

    async fn resume_worker(&self, request: Request<ResumeWorkerRequest>) -> Result<Response<Worker>, Status> {
        self.worker(&request.into_inner().id)
    }

    async fn get_scale(&self, _: Request<pb::GetScaleRequest>) -> Result<Response<pb::Scale>, Status> {
        Ok(Response::new(self.script().scale.clone()))
    }

    async fn set_quota(&self, request: Request<pb::SetQuotaRequest>) -> Result<Response<pb::OwnerQuota>, Status> {
        let pb::SetQuotaRequest { owner, quota, .. } = request.into_inner();
        self.ask(format!("quota of {owner}: {quota:?}"));
        Ok(Response::new(pb::OwnerQuota { owner, is_own: quota.is_some(), quota, used: None }))
    }

    async fn list_quotas(&self, _: Request<pb::ListQuotasRequest>) -> Result<Response<pb::ListQuotasResponse>, Status> {
        Ok(Response::new(pb::ListQuotasResponse::default()))
    }

    async fn create_backup(&self, _: Request<pb::CreateBackupRequest>) -> Result<Response<pb::CreateBackupResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

/// A job as tests want it: `j7`, named human, 1000 tasks.
pub(crate) fn job(id: &str, state: JobState) -> Job {
    let dataset = DatasetInput { digest: "ab".repeat(32), split: "mgf:10".into(), name: "human.mgf".into() };
    let spec = JobSpec {
        name: "human".into(),
        owner: "ana".into(),
        input: Some(pb::job_spec::Input::Dataset(dataset)),
        command: ["search", "{input}"].map(String::from).into(),
        ..Default::default()
    };
    let tasks = TaskCounts { total: 1000, undispatched: 812, running: 16, succeeded: 170, failed: 2, killed: 0 };
    let created = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000 };
    Job { id: id.into(), spec: Some(spec), state: state.into(), tasks: Some(tasks), created: Some(created), ..Default::default() }
}
