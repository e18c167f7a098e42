//! The services of a head with identities, called as the door calls them: who gets what, and what the audit says of it.

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::{Code, Request, Response, Status};

use super::datasets::stored_by;
use super::who::Who;
use super::{Audits, Clusters, Datasets, Identities, Jobs, Leases, Transfers, Uploads};
use crate::actors::clock::wall_now;
use crate::actors::head_root::RunningHead;
use crate::actors::intake::{Intake, Label};
use crate::actors::{Head, HeadOptions, HeadRoot, Registrar};
use crate::audit::{AUDIT_DIR, Chain, Link, verify};
use crate::domain::{Caller, Digest, Keep, Principal, Role};
use crate::engine::Watermarks;
use crate::pki::{Credentials, NewIdentity, new_request, new_secret};
use crate::rpc::convert::role_to_pb;
use crate::rpc::pb;
use crate::rpc::pb::audit_service_server::AuditService;
use crate::rpc::pb::cluster_service_server::ClusterService;
use crate::rpc::pb::dataset_service_server::DatasetService;
use crate::rpc::pb::identity_service_server::IdentityService;
use crate::rpc::pb::job_service_server::JobService;

mod following;

struct World {
    dir: tempfile::TempDir,
    running: RunningHead,
    admin: Principal,
}

async fn start(dir: &std::path::Path) -> RunningHead {
    let options = HeadOptions {
        data_dir: dir.to_owned(),
        reattach: Duration::from_secs(1),
        reserve_after: Duration::from_secs(60),
        keep: Keep::default(),
        watermarks: Watermarks::new(Some(2), Some(1)).unwrap(),
        upload_silence: Duration::from_secs(60),
        names: Vec::new(),
        traces: None,
    };
    HeadRoot::start(options).await.unwrap()
}

/// A call as the door passes it on.
fn by<T>(who: &Principal, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::Known(who.clone()));
    request
}

#[track_caller]
fn refused<T>(answer: Result<Response<T>, Status>, code: Code) -> String {
    let status = answer.err().expect("it is refused");
    assert_eq!(status.code(), code, "{}", status.message());
    status.message().to_owned()
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = NewIdentity::make(dir.path(), "root", "", wall_now()).unwrap();
        let admin = made.credentials.peer.principal.clone();
        made.keep().unwrap();
        Self { running: start(dir.path()).await, dir, admin }
    }

    fn head(&self) -> Head {
        self.running.head.clone()
    }

    fn registrar(&self) -> Registrar {
        self.head().registrar.unwrap()
    }

    fn identities(&self) -> Identities {
        Identities::new(self.head())
    }

    fn jobs(&self) -> Jobs {
        Jobs::new(self.head(), Transfers::new(Duration::from_secs(60)))
    }

    fn datasets(&self) -> Datasets {
        Datasets::new(self.head(), Uploads::new(self.head(), Transfers::new(Duration::from_secs(60))), Leases::default())
    }

    /// A token, as an admin makes it, and its secret.
    async fn token(&self, role: Role, name: &str) -> (pb::Token, [u8; 32]) {
        let (secret, digest) = new_secret().unwrap();
        let request = pb::CreateTokenRequest {
            secret_sha256: digest.0.to_vec().into(),
            role: role_to_pb(role).into(),
            name: name.into(),
            ..Default::default()
        };
        let made = self.identities().create_token(by(&self.admin, request.clone())).await.unwrap().into_inner();
        let again = self.identities().create_token(by(&self.admin, request)).await.unwrap().into_inner();
        assert_eq!((&again.id, made.authority_sha256.len()), (&made.id, 32), "the same request makes one token");
        (made, secret)
    }

    async fn joins(&self, role: Role, name: &str) -> Principal {
        let (token, secret) = self.token(role, name).await;
        let made = new_request().unwrap();
        let request = enroll(&token.id, &secret, &made.request);
        let answer = self.identities().enroll(Request::new(request)).await.unwrap().into_inner();
        let credentials = Credentials::new(String::new(), &made.key, answer.certificate.to_vec(), answer.authority.to_vec()).unwrap();
        assert!(self.registrar().identity().authority().has_signed(&credentials.certificate));
        let who = self.registrar().caller(&credentials.certificate).unwrap();
        assert_eq!((&who, who.role), (&credentials.peer.principal, role));
        who
    }

    async fn submits(&self, who: &Principal, owner: &str) -> Result<pb::Job, Status> {
        let array = pb::ArrayInput { first: 1, last: 3, step: 1 };
        let spec = pb::JobSpec {
            name: "search".into(),
            owner: owner.into(),
            input: Some(pb::job_spec::Input::Array(array)),
            command: vec!["true".into()],
            ..Default::default()
        };
        let request = pb::SubmitJobRequest { spec: Some(spec), request_id: uuid::Uuid::new_v4().to_string(), ..Default::default() };
        self.jobs().submit_job(by(who, request)).await.map(Response::into_inner)
    }

    /// Stores these bytes for somebody, as an upload does.
    async fn stores(&self, who: &Principal, bytes: &[u8]) -> Digest {
        let head = self.head();
        let intake = Intake::new(head.datasets.clone(), head.disk.clone());
        let mut upload = head.datasets.begin_upload().unwrap();
        intake.write(&mut upload, bytes).unwrap();
        let (stored, name) =
            intake.store(&mut upload, &Label { name: "x.txt".into(), digest: None, unpack: false }, &mut |_| Ok(())).unwrap();
        let who = Who::of(&by(who, ()), &head, "/millpond.v1.DatasetService/UploadDataset").await.unwrap();
        stored_by(&head, &who, stored, name).await.unwrap().0
    }

    /// Every line of the audit, as the head sends it, after a check of the chain.
    async fn audit(&self) -> Vec<serde_json::Value> {
        let audits = Audits::new(self.head(), Transfers::new(Duration::from_secs(60)));
        let answer = audits.read_audit(by(&self.admin, pb::ReadAuditRequest { first: 1 })).await.unwrap();
        let pieces: Vec<pb::AuditLines> = answer.into_inner().map(Result::unwrap).collect().await;
        let text: Vec<u8> = pieces.iter().flat_map(|piece| piece.lines.to_vec()).collect();
        let end = pieces.last().unwrap();
        let mut chain = Chain::new(1);
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        lines.iter().for_each(|line| chain.line(line));
        let hash = Digest(end.last_sha256.as_ref().try_into().unwrap());
        assert_eq!(chain.finish(Link { seq: end.last, hash }), Vec::<String>::new());
        lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    /// How often the audit has such a line.
    async fn noted(&self, who: &str, method: &str, outcome: &str) -> usize {
        let is_it = |line: &&serde_json::Value| {
            line["who"]["name"].as_str().unwrap_or_default() == who
                && line["method"].as_str().unwrap().ends_with(&format!("/{method}"))
                && line["outcome"] == outcome
        };
        self.audit().await.iter().filter(is_it).count()
    }
}

fn enroll(token: &str, secret: &[u8], request: &[u8]) -> pb::EnrollRequest {
    pb::EnrollRequest {
        token: token.into(),
        secret: secret.to_vec().into(),
        certificate_request: request.to_vec().into(),
        host: "host-1".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_traded_once_and_whoever_is_revoked_is_out_for_good() {
    let mut world = World::new().await;
    assert_eq!(world.registrar().check(world.admin.id).unwrap(), world.admin, "the first admin is known");
    let (token, secret) = world.token(Role::Worker, "").await;
    let made = new_request().unwrap();
    let first = enroll(&token.id, &secret, &made.request);
    let who = world.identities().enroll(Request::new(first.clone())).await.unwrap().into_inner().principal.unwrap();
    assert_eq!((who.name.as_str(), who.role()), ("host-1", pb::Role::Worker));
    let again = world.identities().enroll(Request::new(first.clone())).await.unwrap().into_inner().principal.unwrap();
    assert_eq!(again.id, who.id, "a lost answer is given again");
    let other = enroll(&token.id, &secret, &new_request().unwrap().request);
    refused(world.identities().enroll(Request::new(other)).await, Code::PermissionDenied);
    refused(world.identities().enroll(Request::new(enroll(&token.id, &[0; 32], &made.request))).await, Code::PermissionDenied);
    assert_eq!((world.noted("", "Enroll", "ok").await, world.noted("", "Enroll", "refused").await), (2, 2));

    let worker = world.registrar().check(who.id.parse().unwrap()).unwrap();
    let renew = || pb::RenewRequest { certificate_request: new_request().unwrap().request.into() };
    let renewed = world.identities().renew(by(&worker, renew())).await.unwrap().into_inner();
    assert_eq!(renewed.principal.unwrap().id, who.id);
    let mut revocations = world.registrar().revocations();
    let revoke = |id: String| pb::RevokePrincipalRequest { id, reason: "stolen".into(), ..Default::default() };
    world.identities().revoke_principal(by(&world.admin, revoke(who.id.clone()))).await.unwrap();
    assert_eq!(revocations.recv().await.unwrap(), worker.id);
    refused(world.identities().renew(by(&worker, renew())).await, Code::PermissionDenied);
    refused(world.identities().enroll(Request::new(first.clone())).await, Code::PermissionDenied);
    refused(world.identities().revoke_principal(by(&world.admin, revoke(world.admin.id.to_string()))).await, Code::FailedPrecondition);
    world.running.stop().await;
    world.running = start(world.dir.path()).await;
    assert!(world.registrar().check(worker.id).is_err(), "a start changes nothing");
    assert!(world.registrar().caller(&renewed.certificate).is_err());
    refused(world.identities().enroll(Request::new(first)).await, Code::PermissionDenied);
    let tokens = world.identities().list_tokens(by(&world.admin, pb::ListTokensRequest::default())).await.unwrap().into_inner().tokens;
    assert_eq!((tokens.len(), tokens[0].used, tokens[0].by.as_str()), (1, 1, "root"));
    let stolen = world.audit().await.into_iter().find(|line| line["reason"] == "stolen").unwrap();
    assert_eq!((&stolen["what"], &stolen["who"]["name"], &stolen["outcome"]), (&who.id.into(), &"root".into(), &"ok".into()));
    let (_, findings) = verify(&world.dir.path().join(AUDIT_DIR), None).unwrap();
    assert_eq!(findings, Vec::<String>::new());
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_nothing_is_done_but_enrolling() {
    let world = World::new().await;
    refused(world.jobs().list_jobs(Request::new(pb::ListJobsRequest::default())).await, Code::PermissionDenied);
    refused(world.jobs().kill_job(Request::new(pb::KillJobRequest::default())).await, Code::PermissionDenied);
    refused(world.identities().create_token(Request::new(pb::CreateTokenRequest::default())).await, Code::PermissionDenied);
    refused(world.identities().who_am_i(Request::new(pb::WhoAmIRequest {})).await, Code::PermissionDenied);
    refused(Clusters::new(world.head()).get_cluster(Request::new(pb::GetClusterRequest {})).await, Code::PermissionDenied);
    assert_eq!((world.noted("", "ListJobs", "refused").await, world.noted("", "KillJob", "refused").await), (1, 1));
    world.running.stop().await;

    let dir = tempfile::tempdir().unwrap();
    let open = start(dir.path()).await;
    let jobs = Jobs::new(open.head.clone(), Transfers::new(Duration::from_secs(60)));
    assert!(jobs.list_jobs(Request::new(pb::ListJobsRequest::default())).await.is_ok(), "a head without identities serves everybody");
    let none = Identities::new(open.head.clone()).list_tokens(Request::new(pb::ListTokensRequest::default())).await;
    assert!(refused(none, Code::FailedPrecondition).contains("millpond-head init"));
    assert!(!dir.path().join(AUDIT_DIR).exists());
    open.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_gone_do_not_open_a_head_to_everybody() {
    let world = World::new().await;
    world.running.stop().await;
    std::fs::rename(world.dir.path().join("identity"), world.dir.path().join("elsewhere")).unwrap();
    let options = HeadOptions {
        data_dir: world.dir.path().to_owned(),
        reattach: Duration::from_secs(1),
        reserve_after: Duration::from_secs(60),
        keep: Keep::default(),
        watermarks: Watermarks::default(),
        upload_silence: Duration::from_secs(60),
        names: Vec::new(),
        traces: None,
    };
    let error = HeadRoot::start(options).await.err().unwrap();
    assert!(error.message.contains("`identity` is gone: put it back"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_its_owners_and_others_neither_see_nor_steer_it() {
    let world = World::new().await;
    let (ana, ben) = (world.joins(Role::Submitter, "ana").await, world.joins(Role::Submitter, "ben").await);
    let (eve, worker) = (world.joins(Role::Reader, "eve").await, world.joins(Role::Worker, "").await);
    let job = world.submits(&ana, "").await.unwrap();
    assert_eq!(job.spec.as_ref().unwrap().owner, "ana");
    assert_eq!(world.submits(&ana, "ben").await.unwrap_err().code(), Code::PermissionDenied, "in another's name");
    assert_eq!(world.submits(&world.admin, "ben").await.unwrap().spec.unwrap().owner, "ben", "an admin may");
    for other in [&eve, &worker] {
        assert_eq!(world.submits(other, "").await.unwrap_err().code(), Code::PermissionDenied);
    }
    let (jobs, id) = (world.jobs(), job.id.clone());
    let get = || pb::GetJobRequest { id: id.clone() };
    assert!(jobs.get_job(by(&ana, get())).await.is_ok() && jobs.get_job(by(&eve, get())).await.is_ok());
    let denied = refused(jobs.get_job(by(&ben, get())).await, Code::PermissionDenied);
    assert_eq!(denied, "j1 belongs to another than ben: only its owner, or an admin, may GetJob");
    refused(jobs.get_job(by(&worker, get())).await, Code::PermissionDenied);
    let list = async |who: &Principal, owner: &str| {
        let request = pb::ListJobsRequest { owner: owner.into(), ..Default::default() };
        jobs.list_jobs(by(who, request)).await.unwrap().into_inner().jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!((list(&ana, "").await, list(&ben, "").await, list(&ben, "ana").await), (vec!["j1".into()], vec!["j2".into()], vec![]));
    assert_eq!((list(&eve, "").await.len(), list(&world.admin, "ana").await.len()), (2, 1));

    for who in [&ben, &eve, &worker] {
        let id = || id.clone();
        let request_id = || uuid::Uuid::new_v4().to_string();
        refused(jobs.pause_job(by(who, pb::PauseJobRequest { id: id(), ..Default::default() })).await, Code::PermissionDenied);
        refused(jobs.resume_job(by(who, pb::ResumeJobRequest { id: id(), ..Default::default() })).await, Code::PermissionDenied);
        let retry = pb::RetryJobRequest { id: id(), request_id: request_id(), ..Default::default() };
        refused(jobs.retry_job(by(who, retry)).await, Code::PermissionDenied);
        refused(jobs.kill_job(by(who, pb::KillJobRequest { id: id(), ..Default::default() })).await, Code::PermissionDenied);
        refused(jobs.delete_job(by(who, pb::DeleteJobRequest { id: id(), ..Default::default() })).await, Code::PermissionDenied);
        refused(jobs.set_job_priority(by(who, pb::SetJobPriorityRequest { id: id(), ..Default::default() })).await, Code::PermissionDenied);
        refused(jobs.set_job_limit(by(who, pb::SetJobLimitRequest { id: id(), ..Default::default() })).await, Code::PermissionDenied);
    }
    let clusters = Clusters::new(world.head());
    let watch = async |who: &Principal| clusters.watch_cluster(by(who, pb::WatchClusterRequest {})).await;
    assert!(watch(&ben).await.is_ok() && watch(&eve).await.is_ok(), "it tells nobody what has changed");
    assert_eq!(watch(&worker).await.err().unwrap().code(), Code::PermissionDenied);
    for who in [&ben, &worker] {
        let id = || id.clone();
        refused(jobs.get_task(by(who, pb::GetTaskRequest { id: format!("{}.1", id()) })).await, Code::PermissionDenied);
        refused(jobs.list_tasks(by(who, pb::ListTasksRequest { id: id(), ..Default::default() })).await, Code::PermissionDenied);
        refused(jobs.watch_job(by(who, pb::WatchJobRequest { id: id(), cursor: 0 })).await, Code::PermissionDenied);
        refused(jobs.explain_job(by(who, pb::ExplainJobRequest { id: format!("{}.1", id()) })).await, Code::PermissionDenied);
        refused(
            jobs.get_task_log(by(who, pb::GetTaskLogRequest { id: format!("{}.1", id()), ..Default::default() })).await,
            Code::PermissionDenied,
        );
        refused(jobs.download_bundle(by(who, pb::DownloadBundleRequest { id: id(), ..Default::default() })).await, Code::PermissionDenied);
        let verb = pb::preview_verb_request::Verb::Kill(pb::KillJobRequest { id: id(), ..Default::default() });
        refused(jobs.preview_verb(by(who, pb::PreviewVerbRequest { verb: Some(verb) })).await, Code::PermissionDenied);
        let verb = pb::preview_verb_request::Verb::Delete(pb::DeleteJobRequest { id: id(), ..Default::default() });
        refused(jobs.preview_verb(by(who, pb::PreviewVerbRequest { verb: Some(verb) })).await, Code::PermissionDenied);
    }
    let kill = pb::KillJobRequest { id: "1".into(), by: "somebody else".into(), reason: "a typo".into(), ..Default::default() };
    let killed = jobs.kill_job(by(&ana, kill)).await.unwrap().into_inner();
    assert_eq!(killed.job.unwrap().changes.last().unwrap().by, "ana", "whatever the request says");
    for who in ["ben", "eve", "host-1"] {
        assert_eq!(world.noted(who, "KillJob", "refused").await, 1, "{who}");
    }
    let line = world.audit().await.into_iter().find(|line| line["reason"] == "a typo").unwrap();
    assert_eq!((&line["what"], &line["outcome"], &line["who"]["name"]), (&"j1".into(), &"ok".into(), &"ana".into()));
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_is_of_whoever_has_sent_its_bytes() {
    let world = World::new().await;
    let (ana, ben) = (world.joins(Role::Submitter, "ana").await, world.joins(Role::Submitter, "ben").await);
    let worker = world.joins(Role::Worker, "ana").await;
    let digest = world.stores(&ana, b"one\ntwo\n").await.to_string();
    let data = world.datasets();
    let get = || pb::GetDatasetRequest { digest: digest.clone() };
    let read = || pb::ReadDatasetRequest { digest: digest.clone(), ranges: Vec::new() };
    let delete = || pb::DeleteDatasetRequest { digest: digest.clone(), request_id: uuid::Uuid::new_v4().to_string(), unused: false };
    let list = async |who: &Principal| data.list_datasets(by(who, Default::default())).await.unwrap().into_inner().datasets.len();
    assert!(data.get_dataset(by(&ana, get())).await.is_ok() && data.read_dataset(by(&ana, read())).await.is_ok());
    refused(data.get_dataset(by(&ben, get())).await, Code::NotFound);
    refused(data.read_dataset(by(&ben, read())).await, Code::NotFound);
    refused(data.delete_dataset(by(&ben, delete())).await, Code::NotFound);
    assert!(data.read_dataset(by(&worker, read())).await.is_err(), "a machine that is called as its owner is not its owner");
    assert_eq!((list(&ana).await, list(&ben).await, list(&world.admin).await), (1, 0, 1));
    let check = |who| data.check_upload(by(who, pb::CheckUploadRequest { len: 8, upload_id: String::new() }));
    assert!(!check(&ana).await.unwrap().into_inner().is_new && check(&ben).await.unwrap().into_inner().is_new);
    let over = |who: &Principal| {
        let input = pb::DatasetInput { digest: digest.clone(), split: "lines:1".into(), name: "x.txt".into() };
        let spec = pb::JobSpec {
            name: "count".into(),
            input: Some(pb::job_spec::Input::Dataset(input)),
            command: vec!["wc".into(), "{input}".into()],
            ..Default::default()
        };
        by(who, pb::SubmitJobRequest { spec: Some(spec), ..Default::default() })
    };
    refused(world.jobs().submit_job(over(&ben)).await, Code::NotFound);
    assert_eq!(world.stores(&ben, b"one\ntwo\n").await.to_string(), digest);
    assert!(data.get_dataset(by(&ben, get())).await.is_ok());
    data.delete_dataset(by(&ana, delete())).await.unwrap();
    refused(data.get_dataset(by(&ana, get())).await, Code::NotFound);
    assert!(data.read_dataset(by(&ben, read())).await.is_ok(), "ben's stay when ana gives up hers");
    data.delete_dataset(by(&ben, delete())).await.unwrap();
    refused(data.get_dataset(by(&world.admin, get())).await, Code::NotFound);
    assert_eq!((world.noted("ana", "UploadDataset", "ok").await, world.noted("ben", "DeleteDataset", "refused").await), (1, 1));
    world.running.stop().await;
}
