//! `JobService`.

use bytes::Bytes;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::actors::Head;
use crate::actors::clock::wall_now;
use crate::actors::head::Gone;
use crate::actors::job::JobSnapshot;
use crate::actors::supervisor::{JobStatus, Submission};
use crate::domain::deletion::DeletionRequest;
use crate::domain::verb::{Change, Wish};
use crate::domain::wire::Printed;
use crate::domain::{Attempt, EntryKind, Error, ErrorKind, Input, JobId, JobSpec, SplitRule, TaskNo};
use crate::exec;
use crate::limits::{NAME_MAX_BYTES, PAGE_MAX_ITEMS, PIECE_BYTES};
use crate::rpc::convert::{eta_score_to_pb, eta_to_pb, explanation_to_pb, filter_from_pb, spec_from_pb, spec_to_pb, state_to_pb};
use crate::rpc::pb;
use crate::rpc::pb::job_service_server::JobService;
use crate::rpc::status::to_status;

use super::following::{Following, Seen};
use super::job_messages::{self, job_and_index};
use super::pieces::{self, PieceStream, Transfers};
use super::steering::{Asked, about, check_words, wish};
use super::who::{About, Who};
use super::{logs, task_list};

macro_rules! method {
    ($name:literal) => {
        concat!("/millpond.v1.JobService/", $name)
    };
}

/// Items of a page when the request does not say.
const PAGE_ITEMS: usize = 100;

/// See `proto/millpond/v1/jobs.proto`.
pub struct Jobs {
    head: Head,
    transfers: Transfers,
}

/// A page's size within its limits.
pub(super) fn page_size(asked: i32) -> Result<usize, Error> {
    match usize::try_from(asked) {
        Ok(0) => Ok(PAGE_ITEMS),
        Ok(size) => Ok(size.min(PAGE_MAX_ITEMS)),
        Err(_) => Err(Error::invalid(format!("page_size: {asked} is negative"))),
    }
}

/// A page's beginning: where the page before said to go on.
pub(super) fn page_token<T: std::str::FromStr>(token: &str) -> Result<Option<T>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    token.parse().map(Some).map_err(|_| Error::invalid("page_token: not one of ours; take it from the last reply as it is"))
}

/// What is remembered of a request is bounded.
pub(super) fn check_request_id(id: &str) -> Result<(), Error> {
    if id.len() > NAME_MAX_BYTES {
        return Err(Error::invalid(format!("request_id: {} bytes, at most {NAME_MAX_BYTES} are allowed", id.len())));
    }
    Ok(())
}

impl Jobs {
    /// The service of a head.
    pub fn new(head: Head, transfers: Transfers) -> Self {
        Self { head, transfers }
    }

    async fn submission(&self, who: &Who, request: pb::SubmitJobRequest) -> Result<Submission, Error> {
        let pb::SubmitJobRequest { request_id, spec, priority, max_running, hold, owner_by_default } = request;
        let mut spec = spec.ok_or_else(|| Error::invalid("spec: missing"))?;
        check_request_id(&request_id)?;
        spec.owner = owner_of(who, spec.owner, owner_by_default)?;
        let default = match &spec.input {
            Some(pb::job_spec::Input::Dataset(dataset)) if dataset.split.is_empty() => Some(self.head.default_rule(&dataset.name).await?),
            _ => None,
        };
        let resolve = |name: &str| default.unwrap_or_else(|| SplitRule::for_name(name, 1));
        let mut spec = spec_from_pb(spec, resolve)?;
        check_input(&spec)?;
        for file in &mut spec.with {
            who.reaches_dataset(&self.head, file.digest).await.map_err(|error| error.context(format!("shared file {}", file.name)))?;
            let (_, record) = self.head.dataset(file.digest).await.map_err(|error| error.context(format!("shared file {}", file.name)))?;
            file.len = record.len;
        }
        if let Input::Dataset { digest, name, .. } = &spec.input {
            who.reaches_dataset(&self.head, *digest).await.map_err(|error| error.context(format!("data set {name}")))?;
            let (_, record) = self.head.dataset(*digest).await.map_err(|error| error.context(format!("data set {name}")))?;
            if record.len == 0 {
                return Err(Error::invalid(format!("data set {name} is empty: there is nothing to split")));
            }
        }
        let max_running = (max_running > 0).then_some(max_running);
        Ok(Submission { spec, request_id, priority, max_running, held: hold })
    }

    async fn steer(&self, who: Result<Who, Status>, asked: Asked) -> Result<Response<pb::ControlReply>, Status> {
        let who = who?;
        let about = about(&asked);
        let control = async {
            let deletes = matches!(&asked, Asked::Kill(kill) if kill.delete);
            let (job, wish) = self.wish(&who, asked).await?;
            let answer = if deletes { self.head.kill_and_delete(job, wish).await } else { self.head.verb(job, wish).await };
            let status = self.head.job(job).await.ok();
            job_messages::control_reply(answer, status.as_ref())
        };
        who.changes(&self.head, about, control).await.map(Response::new).map_err(|error| to_status(&error))
    }

    /// Which job is told what.
    async fn wish(&self, who: &Who, asked: Asked) -> Result<(JobId, Wish), Error> {
        check_request_id(&about(&asked).request_id)?;
        let (job, wish) = wish(asked, wall_now())?;
        who.reaches_job(&self.head, job).await?;
        let wish = Wish { by: who.name(wish.by), ..wish };
        if let Some(change) = &wish.change {
            self.check_change(job, change).await?;
        }
        Ok((job, wish))
    }

    /// That a job of other commands or needs could have been submitted.
    async fn check_change(&self, job: JobId, change: &Change) -> Result<(), Error> {
        let mut spec = self.head.job(job).await?.view.spec.as_ref().clone();
        change.apply(&mut spec);
        check_input(&spec)?;
        spec_from_pb(spec_to_pb(&spec), |name| SplitRule::for_name(name, 1)).map(drop)
    }

    async fn tasks(&self, who: &Who, request: pb::ListTasksRequest) -> Result<pb::ListTasksResponse, Error> {
        let job: JobId = request.id.parse()?;
        who.reaches_job(&self.head, job).await?;
        let first = page_token(&request.page_token)?.unwrap_or(0);
        let limit = page_size(request.page_size)?;
        let wanted = pb::TaskState::try_from(request.state).map_err(|_| Error::invalid("state: not a task state"))?;
        let mut snapshot = self.head.snapshot(job).await?;
        self.head.open_files(&mut snapshot);
        let (tasks, next) = task_list::page(&self.head, &snapshot, first, limit, wanted).await?;
        Ok(pb::ListTasksResponse { tasks, next_page_token: next.map(|next| next.to_string()).unwrap_or_default() })
    }

    /// The first tasks that have failed; whoever asks has seen to it that he may know of them.
    ///
    /// # Errors
    /// If a result can't be read.
    pub async fn failed_tasks(&self, job: &JobSnapshot, limit: usize) -> Result<Vec<pb::Task>, Error> {
        let mut tasks = Vec::new();
        for no in job.record.failed.iter().take(limit) {
            tasks.push(task_list::one(&self.head, job, no).await?);
        }
        Ok(tasks)
    }

    async fn task(&self, who: &Who, id: &str) -> Result<pb::Task, Error> {
        let (mut snapshot, _, no) = self.task_of(who, id).await?;
        self.head.open_files(&mut snapshot);
        task_list::with_attempts(&self.head, &snapshot, no).await
    }

    async fn explanation(&self, who: &Who, id: &str) -> Result<pb::Explanation, Error> {
        let (job, index) = job_and_index(id)?;
        who.reaches_job(&self.head, job).await?;
        let (status, explanation) = match index {
            None => self.head.explain(job).await?,
            Some(index) => self.head.explain_task(job, index).await?,
        };
        let state = state_to_pb(status.view.state).into();
        let (eta, eta_score) = (status.eta.map(eta_to_pb), eta_score_to_pb(status.view.eta_score));
        Ok(pb::Explanation { state, eta, eta_score, ..explanation_to_pb(id.to_owned(), explanation) })
    }

    /// Which task somebody means, and its job.
    async fn task_of(&self, who: &Who, id: &str) -> Result<(JobSnapshot, u64, TaskNo), Error> {
        let (job, index) = job_and_index(id)?;
        who.reaches_job(&self.head, job).await?;
        let index = index.ok_or_else(|| Error::invalid(format!("`{id}` is a job: name a task, as in j7.42")))?;
        let snapshot = self.head.snapshot(job).await?;
        let no = snapshot.record.spec.task_at(index, snapshot.record.total.unwrap_or(0));
        let no = no.ok_or_else(|| Error::not_found(format!("{job} has no task {index}")))?;
        Ok((snapshot, index, no))
    }

    /// The same, and which of its outputs.
    async fn log_of(&self, who: &Who, id: &str, stream: i32) -> Result<(JobSnapshot, u64, TaskNo, Printed), Error> {
        use pb::get_task_log_request::Stream;
        let (snapshot, index, no) = self.task_of(who, id).await?;
        let printed = match Stream::try_from(stream).map_err(|_| Error::invalid("stream: not a stream"))? {
            Stream::Unspecified | Stream::Stdout => Printed::Stdout,
            Stream::Stderr => Printed::Stderr,
        };
        Ok((snapshot, index, no, printed))
    }

    async fn task_log(&self, who: &Who, request: pb::GetTaskLogRequest) -> Result<PieceStream<pb::DataPiece>, Error> {
        let (snapshot, index, no, printed) = self.log_of(who, &request.id, request.stream).await?;
        let kind = if printed == Printed::Stdout { EntryKind::Stdout } else { EntryKind::Stderr };
        let last = self.head.result(&snapshot, no).await?;
        let job = snapshot.record.id;
        let result = match Attempt(request.attempt) {
            Attempt(0) => last.ok_or_else(|| {
                Error::conflict(format!("{job}.{index} has not ended: `millpond logs {job}.{index} -f` follows it while it runs"))
            }),
            attempt => match last.filter(|last| last.meta.attempt == attempt) {
                Some(last) => Ok(last),
                None => self.head.earlier_result(&snapshot, no, attempt).await?.ok_or_else(|| {
                    let show = format!("`millpond show {job}.{index}` lists those that did not go well, and the last");
                    Error::not_found(format!("nothing is kept of an attempt {} of {job}.{index}: {show}", attempt.0))
                }),
            },
        };
        Ok(logs::log(result?, kind, self.transfers.begin().await?))
    }

    async fn follow_log(&self, who: &Who, request: pb::FollowTaskLogRequest) -> Result<PieceStream<pb::LogPiece>, Error> {
        let (snapshot, index, no, printed) = self.log_of(who, &request.id, request.stream).await?;
        let job = snapshot.record.id;
        let attempt = (request.attempt > 0).then_some(Attempt(request.attempt));
        let seen = Seen { attempt, at: attempt.map_or(0, |_| request.offset), over: None };
        let (head, transfers, tail) = (self.head.clone(), self.transfers.clone(), request.tail_bytes);
        let seat = self.head.audience.take_seat(job, no)?;
        Ok(Following { head, transfers, job, index, no, printed, tail, seen }.stream(seat))
    }

    async fn download(&self, who: &Who, request: pb::DownloadBundleRequest) -> Result<PieceStream<pb::DataPiece>, Error> {
        let job: JobId = request.id.parse()?;
        who.reaches_job(&self.head, job).await?;
        let bundle = self.head.bundle(job, &request.etag).await?;
        if request.offset > 0 && bundle.layout.etag() != request.etag {
            return Err(Error::conflict(format!("the bundle of {job} has changed since this download began: begin again")));
        }
        let total_len = bundle.layout.len();
        if request.offset > total_len {
            return Err(Error::invalid(format!("offset: {} is behind the end of the bundle at {total_len}", request.offset)));
        }
        let permit = self.transfers.begin().await?;
        Ok(pieces::send(permit, move |send| {
            let mut offset = request.offset;
            let etag = bundle.layout.etag().to_owned();
            if !send(pb::DataPiece { data: Bytes::new(), total_len, etag }) {
                return Ok(());
            }
            while offset < total_len {
                let mut data = vec![0; PIECE_BYTES];
                let read = bundle.read_at(offset, &mut data)?;
                data.truncate(read);
                offset += read as u64;
                if !send(pb::DataPiece { data: data.into(), total_len: 0, etag: String::new() }) {
                    break;
                }
            }
            Ok(())
        }))
    }
}

/// Whose a new job is: the caller's; an admin may state another. On a head without identities whoever the caller says.
fn owner_of(who: &Who, stated: String, by_default: bool) -> Result<String, Error> {
    let Some(principal) = who.principal() else {
        return Ok(if stated.is_empty() { "anonymous".into() } else { stated });
    };
    if stated.is_empty() || by_default || stated == principal.name {
        return Ok(principal.name.clone());
    }
    who.reaches(format_args!("a job of {stated}"), &stated).map(|()| stated)
}

/// A command that names `{input}` needs one; and one over several files names it.
fn check_input(spec: &JobSpec) -> Result<(), Error> {
    match &spec.input {
        Input::Array(_) if exec::uses_input(&spec.command) => {
            Err(Error::invalid("the command names {input}, but a job with --array has no data set: leave one of them out"))
        }
        Input::Array(_) => Ok(()),
        Input::Dataset { rule, .. } => exec::check_takes_files(&spec.command, rule),
    }
}

#[tonic::async_trait]
impl JobService for Jobs {
    async fn submit_job(&self, request: Request<pb::SubmitJobRequest>) -> Result<Response<pb::Job>, Status> {
        let who = Who::of(&request, &self.head, method!("SubmitJob")).await?;
        let request = request.into_inner();
        let (request_id, name) = (request.request_id.clone(), request.spec.as_ref().map(|spec| spec.name.clone()).unwrap_or_default());
        let submit = async {
            let submission = self.submission(&who, request).await?;
            self.head.submit(submission).await
        };
        let about = |job: &JobStatus| About { what: job.view.id.to_string(), request_id: request_id.clone(), ..About::default() };
        let refused = About { what: format!("a job {name}"), request_id: request_id.clone(), ..About::default() };
        who.makes(&self.head, about, refused, submit)
            .await
            .map(|status| Response::new(job_messages::job(&status)))
            .map_err(|error| to_status(&error))
    }

    async fn get_job(&self, request: Request<pb::GetJobRequest>) -> Result<Response<pb::Job>, Status> {
        let who = Who::of(&request, &self.head, method!("GetJob")).await?;
        let get = async {
            let job: JobId = request.into_inner().id.parse()?;
            who.reaches_job(&self.head, job).await?;
            self.head.job(job).await
        };
        get.await.map(|status| Response::new(job_messages::job(&status))).map_err(|error| to_status(&error))
    }

    async fn list_jobs(&self, request: Request<pb::ListJobsRequest>) -> Result<Response<pb::ListJobsResponse>, Status> {
        let who = Who::of(&request, &self.head, method!("ListJobs")).await?;
        let request = request.into_inner();
        let list = async {
            let limit = page_size(request.page_size)?;
            let before = page_token(&request.page_token)?.map(JobId);
            let Some(filter) = who.narrows(filter_from_pb(request)?) else { return Ok(job_messages::page(&[], limit)) };
            let jobs = self.head.jobs(filter, before, limit).await?;
            Ok(job_messages::page(&jobs, limit))
        };
        list.await.map(Response::new).map_err(|error: Error| to_status(&error))
    }

    async fn list_tasks(&self, request: Request<pb::ListTasksRequest>) -> Result<Response<pb::ListTasksResponse>, Status> {
        let who = Who::of(&request, &self.head, method!("ListTasks")).await?;
        self.tasks(&who, request.into_inner()).await.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Result<Response<pb::Task>, Status> {
        let who = Who::of(&request, &self.head, method!("GetTask")).await?;
        self.task(&who, &request.into_inner().id).await.map(Response::new).map_err(|error| to_status(&error))
    }

    type WatchJobStream = PieceStream<pb::JobEvent>;

    async fn watch_job(&self, request: Request<pb::WatchJobRequest>) -> Result<Response<Self::WatchJobStream>, Status> {
        let who = Who::of(&request, &self.head, method!("WatchJob")).await?;
        let request = request.into_inner();
        let watch = async {
            let job: JobId = request.id.parse()?;
            who.reaches_job(&self.head, job).await?;
            self.head.watch(job, request.cursor).await
        };
        let events = watch.await.map_err(|error| to_status(&error))?;
        let behind = to_status(&Error::exhausted("this watcher fell too far behind, and was cut: come back with the last cursor"));
        let mut ended = false;
        let events = ReceiverStream::new(events).map(Some).chain(tokio_stream::once(None));
        let stream = events.filter_map(move |event| match event {
            Some(event) => {
                ended |= event.kind == crate::actors::watch::Kind::Ended;
                Some(Ok(job_messages::event(&event)))
            }
            // The queue was closed on us before the end of the job.
            None if !ended => Some(Err(behind.clone())),
            None => None,
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn pause_job(&self, request: Request<pb::PauseJobRequest>) -> Result<Response<pb::ControlReply>, Status> {
        let who = Who::of(&request, &self.head, method!("PauseJob")).await;
        self.steer(who, Asked::Pause(request.into_inner())).await
    }

    async fn resume_job(&self, request: Request<pb::ResumeJobRequest>) -> Result<Response<pb::ControlReply>, Status> {
        let who = Who::of(&request, &self.head, method!("ResumeJob")).await;
        self.steer(who, Asked::Resume(request.into_inner())).await
    }

    async fn retry_job(&self, request: Request<pb::RetryJobRequest>) -> Result<Response<pb::ControlReply>, Status> {
        let who = Who::of(&request, &self.head, method!("RetryJob")).await;
        self.steer(who, Asked::Retry(request.into_inner())).await
    }

    async fn kill_job(&self, request: Request<pb::KillJobRequest>) -> Result<Response<pb::ControlReply>, Status> {
        let who = Who::of(&request, &self.head, method!("KillJob")).await;
        self.steer(who, Asked::Kill(request.into_inner())).await
    }

    async fn delete_job(&self, request: Request<pb::DeleteJobRequest>) -> Result<Response<pb::ControlReply>, Status> {
        let who = Who::of(&request, &self.head, method!("DeleteJob")).await?;
        let request = request.into_inner();
        let about = about(&Asked::Delete(request.clone()));
        let delete = async {
            check_words(&request.reason, &request.by)?;
            check_request_id(&request.request_id)?;
            let job: JobId = request.id.parse()?;
            match who.reaches_job(&self.head, job).await {
                // Deleted, perhaps by this request: whoever has its id has made it.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                reached => reached?,
            }
            let by = who.name(request.by);
            tracing::info!(%job, by, reason = request.reason, "to be deleted");
            let wish = DeletionRequest { id: request.request_id, by, reason: request.reason };
            Ok(match self.head.delete(job, wish).await? {
                Gone::Now(status) => job_messages::deleted(&status),
                Gone::Before(job) => job_messages::deleted_before(&job),
            })
        };
        who.changes(&self.head, about, delete).await.map(Response::new).map_err(|error: Error| to_status(&error))
    }

    async fn set_job_priority(&self, request: Request<pb::SetJobPriorityRequest>) -> Result<Response<pb::ControlReply>, Status> {
        let who = Who::of(&request, &self.head, method!("SetJobPriority")).await;
        self.steer(who, Asked::Priority(request.into_inner())).await
    }

    async fn set_job_limit(&self, request: Request<pb::SetJobLimitRequest>) -> Result<Response<pb::ControlReply>, Status> {
        let who = Who::of(&request, &self.head, method!("SetJobLimit")).await;
        self.steer(who, Asked::Limit(request.into_inner())).await
    }

    async fn preview_verb(&self, request: Request<pb::PreviewVerbRequest>) -> Result<Response<pb::ControlReply>, Status> {
        let who = Who::of(&request, &self.head, method!("PreviewVerb")).await?;
        let preview = async {
            let asked = request.into_inner().verb.ok_or_else(|| Error::invalid("verb: missing"))?;
            if let Asked::Delete(request) = &asked {
                let job: JobId = request.id.parse()?;
                who.reaches_job(&self.head, job).await?;
                return self.head.preview_delete(job).await.map(|status| job_messages::deleted(&status));
            }
            let (job, wish) = self.wish(&who, asked).await?;
            let answer = self.head.preview(job, wish).await;
            job_messages::control_reply(answer, None)
        };
        preview.await.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn explain_job(&self, request: Request<pb::ExplainJobRequest>) -> Result<Response<pb::Explanation>, Status> {
        let who = Who::of(&request, &self.head, method!("ExplainJob")).await?;
        self.explanation(&who, &request.into_inner().id).await.map(Response::new).map_err(|error| to_status(&error))
    }

    type GetTaskLogStream = PieceStream<pb::DataPiece>;

    async fn get_task_log(&self, request: Request<pb::GetTaskLogRequest>) -> Result<Response<Self::GetTaskLogStream>, Status> {
        let who = Who::of(&request, &self.head, method!("GetTaskLog")).await?;
        self.task_log(&who, request.into_inner()).await.map(Response::new).map_err(|error| to_status(&error))
    }

    type FollowTaskLogStream = PieceStream<pb::LogPiece>;

    async fn follow_task_log(&self, request: Request<pb::FollowTaskLogRequest>) -> Result<Response<Self::FollowTaskLogStream>, Status> {
        let who = Who::of(&request, &self.head, method!("FollowTaskLog")).await?;
        self.follow_log(&who, request.into_inner()).await.map(Response::new).map_err(|error| to_status(&error))
    }

    type DownloadBundleStream = PieceStream<pb::DataPiece>;

    async fn download_bundle(&self, request: Request<pb::DownloadBundleRequest>) -> Result<Response<Self::DownloadBundleStream>, Status> {
        let who = Who::of(&request, &self.head, method!("DownloadBundle")).await?;
        self.download(&who, request.into_inner()).await.map(Response::new).map_err(|error| to_status(&error))
    }
}
