//! Which role may call which method: one table, and what is not in it nobody may.
//!
//! Methods go by their gRPC path. HTTP routes, as `GET /path`, are either a method in other words, and count as that ([`ALIASES`]), or stand in a
//! table of their own. Whoever writes a service asks for the [`Access`],
//! and compares the owner with [`Access::covers`] where it is `Own`: there is no other place that knows who may do what.

use crate::domain::{Caller, Error, Principal, Role};

/// What of a method's things a caller may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// The method is not for him.
    No,
    /// A submitter what belongs to his name; a worker what is leased to it; anybody himself.
    Own,
    /// Everything.
    All,
}

/// One method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// `/millpond.v1.JobService/KillJob`, or `GET /path`.
    pub method: &'static str,
    /// By role, in the order of [`Role::ALL`]: reader, submitter, worker, admin.
    pub access: [Access; 4],
    /// Also for those who have shown no certificate.
    pub is_open: bool,
    /// Whether a call is written into the audit, also where it was allowed.
    pub is_change: bool,
}

use Access::{All, No, Own};

/// Something that is only looked at.
const fn read(method: &'static str, access: [Access; 4]) -> Row {
    Row { method, access, is_open: false, is_change: false }
}

/// Something that changes what others see.
const fn change(method: &'static str, access: [Access; 4]) -> Row {
    Row { method, access, is_open: false, is_change: true }
}

/// The same for those whom nobody knows yet.
const fn open(row: Row) -> Row {
    Row { is_open: true, ..row }
}

const READS_OWN: [Access; 4] = [All, Own, No, All];
const CHANGES_OWN: [Access; 4] = [No, Own, No, All];
const ADMIN: [Access; 4] = [No, No, No, All];
const WORKER: [Access; 4] = [No, No, Own, No];
const EVERYBODY: [Access; 4] = [All, All, All, All];
const HIMSELF: [Access; 4] = [Own, Own, Own, Own];

/// Every method of every service.
pub const METHODS: &[Row] = &[
    change("/millpond.v1.JobService/SubmitJob", CHANGES_OWN),
    read("/millpond.v1.JobService/GetJob", READS_OWN),
    read("/millpond.v1.JobService/ListJobs", READS_OWN),
    read("/millpond.v1.JobService/ListTasks", READS_OWN),
    read("/millpond.v1.JobService/GetTask", READS_OWN),
    read("/millpond.v1.JobService/WatchJob", READS_OWN),
    change("/millpond.v1.JobService/PauseJob", CHANGES_OWN),
    change("/millpond.v1.JobService/ResumeJob", CHANGES_OWN),
    change("/millpond.v1.JobService/RetryJob", CHANGES_OWN),
    change("/millpond.v1.JobService/KillJob", CHANGES_OWN),
    change("/millpond.v1.JobService/DeleteJob", CHANGES_OWN),
    change("/millpond.v1.JobService/SetJobPriority", CHANGES_OWN),
    change("/millpond.v1.JobService/SetJobLimit", CHANGES_OWN),
    read("/millpond.v1.JobService/PreviewVerb", READS_OWN),
    read("/millpond.v1.JobService/ExplainJob", READS_OWN),
    read("/millpond.v1.JobService/GetTaskLog", READS_OWN),
    read("/millpond.v1.JobService/FollowTaskLog", READS_OWN),
    read("/millpond.v1.JobService/DownloadBundle", READS_OWN),
    change("/millpond.v1.DatasetService/UploadDataset", CHANGES_OWN),
    change("/millpond.v1.DatasetService/ResumeUpload", CHANGES_OWN),
    read("/millpond.v1.DatasetService/CheckUpload", CHANGES_OWN),
    read("/millpond.v1.DatasetService/GetDataset", READS_OWN),
    read("/millpond.v1.DatasetService/ListDatasets", READS_OWN),
    change("/millpond.v1.DatasetService/DeleteDataset", CHANGES_OWN),
    read("/millpond.v1.DatasetService/PreviewSplit", READS_OWN),
    read("/millpond.v1.DatasetService/ReadDataset", [All, Own, Own, All]),
    read("/millpond.v1.ClusterService/GetCluster", [All, All, No, All]),
    read("/millpond.v1.ClusterService/GetScale", [All, All, No, All]),
    read("/millpond.v1.ClusterService/ListWorkers", READS_OWN),
    read("/millpond.v1.ClusterService/GetWorker", READS_OWN),
    read("/millpond.v1.ClusterService/ExplainWorker", READS_OWN),
    read("/millpond.v1.ClusterService/GetOrder", READS_OWN),
    read("/millpond.v1.ClusterService/WatchCluster", READS_OWN),
    change("/millpond.v1.ClusterService/DrainWorker", ADMIN),
    change("/millpond.v1.ClusterService/ResumeWorker", ADMIN),
    change("/millpond.v1.ClusterService/CreateBackup", ADMIN),
    change("/millpond.v1.ClusterService/SetQuota", ADMIN),
    read("/millpond.v1.ClusterService/ListQuotas", READS_OWN),
    change("/millpond.v1.WorkerService/Attend", WORKER),
    read("/millpond.v1.ResultService/UploadResult", WORKER),
    read("/millpond.v1.ResultService/SendOutput", WORKER),
    open(change("/millpond.v1.IdentityService/Enroll", [No, No, No, No])),
    change("/millpond.v1.IdentityService/Renew", HIMSELF),
    read("/millpond.v1.IdentityService/WhoAmI", HIMSELF),
    change("/millpond.v1.IdentityService/CreateToken", ADMIN),
    read("/millpond.v1.IdentityService/ListTokens", ADMIN),
    change("/millpond.v1.IdentityService/RevokeToken", ADMIN),
    read("/millpond.v1.IdentityService/ListPrincipals", ADMIN),
    change("/millpond.v1.IdentityService/RevokePrincipal", ADMIN),
    read("/millpond.v1.AuditService/ReadAudit", [All, No, No, All]),
    open(read("/grpc.health.v1.Health/Check", EVERYBODY)),
    open(read("/grpc.health.v1.Health/List", EVERYBODY)),
    open(read("/grpc.health.v1.Health/Watch", EVERYBODY)),
    read("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", EVERYBODY),
    read("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", EVERYBODY),
];

/// Every HTTP route that is no method.
pub const ROUTES: &[Row] = &[
    read("GET /v1/jobs/{id}/bundle", READS_OWN),
    change("PUT /v1/uploads/{id}", CHANGES_OWN),
    read("GET /v1/openapi.json", EVERYBODY),
    open(read("GET /login", EVERYBODY)),
    open(read("GET /assets/app.css", EVERYBODY)),
    open(read("GET /assets/app.js", EVERYBODY)),
    open(read("GET /assets/new_job.js", EVERYBODY)),
    open(read("GET /assets/icon.svg", EVERYBODY)),
    open(change("POST /v1/session", [No, No, No, No])),
    change("DELETE /v1/session", HIMSELF),
    // What is in it is of all jobs together.
    read("GET /metrics", [All, No, No, All]),
];

/// Every HTTP route that is a method in other words. One that also can say what it would come to counts as the method that does it.
pub const ALIASES: &[(&str, &str)] = &[
    ("GET /v1/jobs", "/millpond.v1.JobService/ListJobs"),
    ("POST /v1/jobs", "/millpond.v1.JobService/SubmitJob"),
    ("GET /v1/jobs/{id}", "/millpond.v1.JobService/GetJob"),
    ("DELETE /v1/jobs/{id}", "/millpond.v1.JobService/DeleteJob"),
    ("POST /v1/jobs/{id}/pause", "/millpond.v1.JobService/PauseJob"),
    ("POST /v1/jobs/{id}/resume", "/millpond.v1.JobService/ResumeJob"),
    ("POST /v1/jobs/{id}/kill", "/millpond.v1.JobService/KillJob"),
    ("POST /v1/jobs/{id}/retry", "/millpond.v1.JobService/RetryJob"),
    ("POST /v1/jobs/{id}/priority", "/millpond.v1.JobService/SetJobPriority"),
    ("POST /v1/jobs/{id}/limit", "/millpond.v1.JobService/SetJobLimit"),
    ("GET /v1/jobs/{id}/tasks", "/millpond.v1.JobService/ListTasks"),
    ("GET /v1/jobs/{id}/events", "/millpond.v1.JobService/WatchJob"),
    ("GET /v1/explain/{id}", "/millpond.v1.JobService/ExplainJob"),
    ("GET /v1/tasks/{id}", "/millpond.v1.JobService/GetTask"),
    ("GET /v1/tasks/{id}/follow", "/millpond.v1.JobService/FollowTaskLog"),
    ("GET /v1/tasks/{id}/stdout", "/millpond.v1.JobService/GetTaskLog"),
    ("GET /v1/tasks/{id}/stderr", "/millpond.v1.JobService/GetTaskLog"),
    ("GET /v1/datasets", "/millpond.v1.DatasetService/ListDatasets"),
    ("GET /v1/datasets/{digest}", "/millpond.v1.DatasetService/GetDataset"),
    ("DELETE /v1/datasets/{digest}", "/millpond.v1.DatasetService/DeleteDataset"),
    ("GET /v1/datasets/{digest}/split", "/millpond.v1.DatasetService/PreviewSplit"),
    ("GET /v1/workers", "/millpond.v1.ClusterService/ListWorkers"),
    ("GET /v1/workers/{id}", "/millpond.v1.ClusterService/GetWorker"),
    ("GET /v1/workers/{id}/explain", "/millpond.v1.ClusterService/ExplainWorker"),
    ("POST /v1/workers/{id}/drain", "/millpond.v1.ClusterService/DrainWorker"),
    ("POST /v1/workers/{id}/resume", "/millpond.v1.ClusterService/ResumeWorker"),
    ("GET /v1/cluster", "/millpond.v1.ClusterService/GetCluster"),
    ("GET /v1/order", "/millpond.v1.ClusterService/GetOrder"),
    ("GET /v1/scale", "/millpond.v1.ClusterService/GetScale"),
    ("GET /v1/quotas", "/millpond.v1.ClusterService/ListQuotas"),
    ("PUT /v1/quotas/{owner}", "/millpond.v1.ClusterService/SetQuota"),
    ("DELETE /v1/quotas/{owner}", "/millpond.v1.ClusterService/SetQuota"),
    ("GET /v1/whoami", "/millpond.v1.IdentityService/WhoAmI"),
    ("GET /v1/tokens", "/millpond.v1.IdentityService/ListTokens"),
    ("DELETE /v1/tokens/{id}", "/millpond.v1.IdentityService/RevokeToken"),
    ("GET /v1/principals", "/millpond.v1.IdentityService/ListPrincipals"),
    ("DELETE /v1/principals/{id}", "/millpond.v1.IdentityService/RevokePrincipal"),
    ("GET /v1/audit", "/millpond.v1.AuditService/ReadAudit"),
    ("GET /", "/millpond.v1.JobService/ListJobs"),
    ("GET /live", "/millpond.v1.JobService/ListJobs"),
    ("GET /jobs/{id}", "/millpond.v1.JobService/GetJob"),
    ("GET /live/jobs/{id}", "/millpond.v1.JobService/GetJob"),
    ("GET /tasks/{id}", "/millpond.v1.JobService/GetTask"),
    ("GET /live/tasks/{id}", "/millpond.v1.JobService/GetTask"),
    ("GET /order", "/millpond.v1.ClusterService/GetOrder"),
    ("GET /live/order", "/millpond.v1.ClusterService/GetOrder"),
    ("GET /workers/{id}", "/millpond.v1.ClusterService/GetWorker"),
    ("GET /live/workers/{id}", "/millpond.v1.ClusterService/GetWorker"),
    ("GET /workers", "/millpond.v1.ClusterService/ListWorkers"),
    ("GET /live/workers", "/millpond.v1.ClusterService/ListWorkers"),
    ("GET /timeline", "/millpond.v1.ClusterService/ListWorkers"),
    ("GET /live/timeline", "/millpond.v1.ClusterService/ListWorkers"),
    ("GET /data", "/millpond.v1.DatasetService/ListDatasets"),
    ("GET /live/data", "/millpond.v1.DatasetService/ListDatasets"),
    ("GET /system", "/millpond.v1.ClusterService/GetCluster"),
    ("GET /live/system", "/millpond.v1.ClusterService/GetCluster"),
    ("GET /new", "/millpond.v1.DatasetService/ListDatasets"),
];

/// What is known of a method, or of what is one in other words; none for one that is in no table.
pub fn row(method: &str) -> Option<&'static Row> {
    let method = ALIASES.iter().find(|(route, _)| *route == method).map_or(method, |(_, method)| method);
    METHODS.iter().chain(ROUTES).find(|row| row.method == method)
}

/// Where in the two tables of methods and routes, one behind the other, stands what a request is for: a method by its path, a route by its
/// pattern, and one that is a method in other words at the method.
pub fn place(verb: &str, path: &str) -> Option<usize> {
    let is_part = |(pattern, part): (&str, &str)| pattern == part || pattern.starts_with('{') && !part.is_empty();
    let is_route = |route: &str| {
        route.split_once(' ').is_some_and(|(of, pattern)| {
            let is_verb = of == verb || (of, verb) == ("GET", "HEAD");
            is_verb && pattern.split('/').count() == path.split('/').count() && pattern.split('/').zip(path.split('/')).all(is_part)
        })
    };
    let method = |path: &str| METHODS.iter().position(|row| row.method == path);
    let route = || ROUTES.iter().position(|row| is_route(row.method)).map(|at| METHODS.len() + at);
    let alias = || ALIASES.iter().find(|(route, _)| is_route(route)).and_then(|(_, path)| method(path));
    method(path).or_else(route).or_else(alias)
}

/// What a role may reach of a method.
pub fn of(method: &str, role: Role) -> Access {
    row(method).map_or(Access::No, |row| {
        let [reader, submitter, worker, admin] = row.access;
        match role {
            Role::Reader => reader,
            Role::Submitter => submitter,
            Role::Worker => worker,
            Role::Admin => admin,
        }
    })
}

/// What a caller may reach. `has_identities`: whether the head was told whom to let in; one that was not serves everybody, on its own machine.
///
/// # Errors
/// `Denied`, with what would have to be different.
pub fn decide(method: &str, caller: &Caller, has_identities: bool) -> Result<Access, Error> {
    match caller {
        Caller::Anyone if !has_identities => match row(method) {
            Some(_) => Ok(Access::All),
            None => Err(not_listed(method)),
        },
        Caller::Anyone if row(method).is_some_and(|row| row.is_open) => Ok(Access::Own),
        Caller::Anyone => Err(Error::denied(format!(
            "{} needs credentials, and none came: `millpond login TOKEN`, with a token that an admin has made (`millpond token create`)",
            short(method)
        ))),
        Caller::Known(principal) => match of(method, principal.role) {
            Access::No if row(method).is_some_and(|row| row.is_open) => Ok(Access::Own),
            Access::No if row(method).is_none() => Err(not_listed(method)),
            Access::No => Err(may_not(principal, short(method))),
            access => Ok(access),
        },
    }
}

fn not_listed(method: &str) -> Error {
    Error::denied(format!("{} is for nobody", short(method)))
}

fn may_not(principal: &Principal, method: &str) -> Error {
    let Principal { name, role, .. } = principal;
    Error::denied(format!("{name} is a {role}, and a {role} may not {method}: ask an admin for a token of another role"))
}

/// `KillJob` of `/millpond.v1.JobService/KillJob`; a route as it is.
pub fn short(method: &str) -> &str {
    if method.contains(' ') { method } else { method.rsplit('/').next().unwrap_or(method) }
}

impl Access {
    /// Whether this reaches what belongs to `owner`, for a caller of this name.
    pub fn covers(self, caller: &Caller, owner: Option<&str>) -> bool {
        match (self, caller) {
            (Self::No, _) => false,
            (Self::All, _) => true,
            (Self::Own, Caller::Anyone) => false,
            // A worker's name is its machine's, and nothing belongs to a machine.
            (Self::Own, Caller::Known(principal)) => principal.role != Role::Worker && owner == Some(principal.name.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ErrorKind, PrincipalId};

    fn known(role: Role) -> Caller {
        Caller::Known(Principal { id: PrincipalId::from_random(1), name: "ana".into(), role })
    }

    /// What is expected, written out once more: a letter for reader, submitter, worker, admin (`-` no, `o` own, `a` all).
    const EXPECTED: &str = "\
        JobService/SubmitJob -o-a
        JobService/GetJob ao-a
        JobService/ListJobs ao-a
        JobService/ListTasks ao-a
        JobService/GetTask ao-a
        JobService/WatchJob ao-a
        JobService/PauseJob -o-a
        JobService/ResumeJob -o-a
        JobService/RetryJob -o-a
        JobService/KillJob -o-a
        JobService/DeleteJob -o-a
        JobService/SetJobPriority -o-a
        JobService/SetJobLimit -o-a
        JobService/PreviewVerb ao-a
        JobService/ExplainJob ao-a
        JobService/GetTaskLog ao-a
        JobService/FollowTaskLog ao-a
        JobService/DownloadBundle ao-a
        DatasetService/UploadDataset -o-a
        DatasetService/ResumeUpload -o-a
        DatasetService/CheckUpload -o-a
        DatasetService/GetDataset ao-a
        DatasetService/ListDatasets ao-a
        DatasetService/DeleteDataset -o-a
        DatasetService/PreviewSplit ao-a
        DatasetService/ReadDataset aooa
        ClusterService/GetCluster aa-a
        ClusterService/GetScale aa-a
        ClusterService/ListWorkers ao-a
        ClusterService/GetWorker ao-a
        ClusterService/ExplainWorker ao-a
        ClusterService/GetOrder ao-a
        ClusterService/WatchCluster ao-a
        ClusterService/DrainWorker ---a
        ClusterService/ResumeWorker ---a
        ClusterService/CreateBackup ---a
        ClusterService/SetQuota ---a
        ClusterService/ListQuotas ao-a
        WorkerService/Attend --o-
        ResultService/UploadResult --o-
        ResultService/SendOutput --o-
        IdentityService/Enroll ----
        IdentityService/Renew oooo
        IdentityService/WhoAmI oooo
        IdentityService/CreateToken ---a
        IdentityService/ListTokens ---a
        IdentityService/RevokeToken ---a
        IdentityService/ListPrincipals ---a
        IdentityService/RevokePrincipal ---a
        AuditService/ReadAudit a--a
        GET /v1/jobs/{id}/bundle ao-a
        PUT /v1/uploads/{id} -o-a
        GET /v1/openapi.json aaaa
        GET /login aaaa
        GET /assets/app.css aaaa
        GET /assets/app.js aaaa
        GET /assets/new_job.js aaaa
        GET /assets/icon.svg aaaa
        POST /v1/session ----
        DELETE /v1/session oooo
        GET /metrics a--a";

    #[test]
    fn every_cell_is_as_it_is_written_out_here() {
        let mut ours = METHODS.iter().filter(|row| row.method.starts_with("/millpond.v1.")).chain(ROUTES);
        for line in EXPECTED.lines() {
            let (method, cells) = line.trim().rsplit_once(' ').unwrap();
            let row = ours.next().unwrap();
            assert!(row.method == method || row.method == format!("/millpond.v1.{method}"), "{method}");
            for (role, cell) in Role::ALL.into_iter().zip(cells.chars()) {
                let expected = match cell {
                    '-' => Access::No,
                    'o' => Access::Own,
                    'a' => Access::All,
                    other => panic!("{other}"),
                };
                assert_eq!(of(row.method, role), expected, "{method} {role}");
                let decided = decide(row.method, &known(role), true);
                match expected {
                    Access::No if row.is_open => assert_eq!(decided, Ok(Access::Own), "{method} {role}"),
                    Access::No => assert_eq!(decided.unwrap_err().kind, ErrorKind::Denied, "{method} {role}"),
                    access => assert_eq!(decided, Ok(access), "{method} {role}"),
                }
            }
            let without = decide(row.method, &Caller::Anyone, true);
            let is_door = ["IdentityService/Enroll", "POST /v1/session", "GET /login"].contains(&method) || method.contains("/assets/");
            assert_eq!(without.is_ok(), is_door, "{method} without credentials");
        }
        assert_eq!(ours.next(), None, "a method that is not written out here");
        assert_eq!([short("/millpond.v1.JobService/KillJob"), short("PUT /v1/uploads/{id}")], ["KillJob", "PUT /v1/uploads/{id}"]);
    }

    #[test]
    fn a_route_that_is_a_method_in_other_words_is_for_whom_the_method_is() {
        for (at, (route, method)) in ALIASES.iter().enumerate() {
            assert!(METHODS.iter().any(|row| row.method == *method), "{method}");
            assert!(ROUTES.iter().all(|row| row.method != *route), "{route}");
            assert!(ALIASES[..at].iter().all(|(other, _)| other != route), "{route}");
            let verb = route.split(' ').next().unwrap();
            assert_eq!(row(route).unwrap().is_change, verb != "GET", "{route}: what changes something is no GET");
            for role in Role::ALL {
                assert_eq!(of(route, role), of(method, role), "{route} {role}");
                assert_eq!(decide(route, &known(role), true).ok(), decide(method, &known(role), true).ok(), "{route} {role}");
            }
            assert_eq!(decide(route, &Caller::Anyone, true).unwrap_err().kind, ErrorKind::Denied, "{route}");
            assert_eq!(decide(route, &Caller::Anyone, false), Ok(Access::All), "{route}");
        }
    }

    #[test]
    fn a_request_is_known_by_its_path_and_a_route_by_its_pattern() {
        let shown = |verb: &str, path: &str| place(verb, path).map(|at| METHODS.iter().chain(ROUTES).nth(at).unwrap().method);
        for row in METHODS {
            assert_eq!(shown("POST", row.method), Some(row.method));
        }
        assert_eq!(shown("GET", "/metrics"), Some("GET /metrics"));
        assert_eq!(shown("HEAD", "/v1/jobs/j7/bundle"), Some("GET /v1/jobs/{id}/bundle"));
        assert_eq!(shown("PUT", "/v1/uploads/5"), Some("PUT /v1/uploads/{id}"));
        assert_eq!(shown("POST", "/v1/jobs/j7/kill"), Some("/millpond.v1.JobService/KillJob"), "a method in other words");
        assert_eq!(shown("GET", "/"), Some("/millpond.v1.JobService/ListJobs"));
        for (verb, path) in
            [("PUT", "/metrics"), ("GET", "/v1/jobs//bundle"), ("GET", "/v1/jobs/j7/bundle/"), ("GET", "/nothing"), ("GET", "")]
        {
            assert_eq!(shown(verb, path), None, "{verb} {path}");
        }
    }

    #[test]
    fn a_method_stands_there_once_and_a_reader_changes_nothing() {
        let mut methods: Vec<&str> = METHODS.iter().chain(ROUTES).map(|row| row.method).collect();
        let count = methods.len();
        methods.sort_unstable();
        methods.dedup();
        assert_eq!(methods.len(), count);
        // What somebody does to himself alone apart.
        for row in METHODS.iter().chain(ROUTES).filter(|row| row.is_change && row.access != HIMSELF) {
            assert_eq!(of(row.method, Role::Reader), Access::No, "{}", row.method);
        }
    }

    #[test]
    fn what_is_in_no_table_is_for_nobody() {
        for method in
            ["/millpond.v1.JobService/Nope", "", "/", "GET /etc", "/millpond.v1.JobService/KillJob/", "/MILLPOND.v1.JobService/KillJob"]
        {
            assert_eq!(decide(method, &Caller::Anyone, false).unwrap_err().kind, ErrorKind::Denied, "{method}");
            assert_eq!(decide(method, &Caller::Anyone, true).unwrap_err().kind, ErrorKind::Denied, "{method}");
            for role in Role::ALL {
                assert_eq!(decide(method, &known(role), true).unwrap_err().kind, ErrorKind::Denied, "{method} {role}");
            }
        }
    }

    #[test]
    fn health_is_for_everybody_and_a_head_without_identities_is_open() {
        assert!(decide("/grpc.health.v1.Health/Check", &Caller::Anyone, true).is_ok());
        assert!(decide("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &Caller::Anyone, true).is_err());
        assert_eq!(decide("/millpond.v1.JobService/KillJob", &Caller::Anyone, false), Ok(Access::All));
        let error = decide("/millpond.v1.JobService/KillJob", &known(Role::Reader), true).unwrap_err();
        assert_eq!(error.message, "ana is a reader, and a reader may not KillJob: ask an admin for a token of another role");
    }

    #[test]
    fn own_is_what_bears_the_name_and_a_machine_owns_nothing() {
        let submitter = known(Role::Submitter);
        assert!(Access::Own.covers(&submitter, Some("ana")) && !Access::Own.covers(&submitter, Some("ben")));
        assert!(!Access::Own.covers(&submitter, None) && !Access::Own.covers(&Caller::Anyone, Some("ana")));
        assert!(!Access::Own.covers(&known(Role::Worker), Some("ana")), "a machine may be called as a person is");
        assert!(Access::All.covers(&known(Role::Admin), None) && !Access::No.covers(&known(Role::Admin), Some("ana")));
    }
}
