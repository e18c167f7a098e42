//! The ways of tasks, as a collector of OpenTelemetry gets them, or does not.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millpond::rpc::otlp::any_value::Value;
use millpond::rpc::otlp::trace_service_server::{TraceService, TraceServiceServer};
use millpond::rpc::otlp::{ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue, StatusCode};
use rustix::process::Signal;
use tokio::net::TcpSocket;
use tonic::{Request, Response, Status};

use super::cluster::Cluster;
use super::exposition::Page;
use super::ground::{Answer, Ground};
use super::plain_http::ask;
use super::process::{self, until, until_within};

/// A span as it came, with the attributes of who sent it.
#[derive(Clone, Debug)]
struct Span {
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    name: String,
    from: u64,
    to: u64,
    has_failed: bool,
    said: BTreeMap<String, String>,
}

/// A collector. Its thread ends with the test's process.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

fn said(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.unwrap().value.unwrap()))).collect()
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap();
        for of_resource in request.into_inner().resource_spans {
            let sender = said(of_resource.resource.unwrap().attributes);
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let has_failed = span.status.is_some_and(|status| status.code() == StatusCode::Error);
                let said = sender.clone().into_iter().chain(said(span.attributes)).collect();
                let (trace, id, parent) = (span.trace_id, span.span_id, span.parent_span_id);
                let (from, to) = (span.start_time_unix_nano, span.end_time_unix_nano);
                spans.push(Span { trace, id, parent, name: span.name, from, to, has_failed, said });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A port of the system's choice, and its address; nobody listens there yet.
fn port() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

impl Collector {
    /// One that listens; its address.
    fn start() -> (Self, String) {
        let collector = Self::default();
        let (socket, url) = port();
        collector.serve(socket);
        (collector, url)
    }

    fn serve(&self, socket: TcpSocket) {
        let service = TraceServiceServer::new(self.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio_stream::wrappers::TcpListenerStream::new(socket.listen(64).unwrap());
                tonic::transport::Server::builder().add_service(service).serve_with_incoming(listener).await.unwrap();
            });
        });
    }

    /// Of one task, those that have come so far, by when they began.
    fn of(&self, task: &str) -> Vec<Span> {
        let of_task = |span: &&Span| span.said.get("millpond.task.id").is_some_and(|id| id == task);
        let mut spans: Vec<Span> = self.0.lock().unwrap().iter().filter(of_task).cloned().collect();
        spans.sort_by_key(|span| (span.from, std::cmp::Reverse(span.to)));
        spans
    }

    /// Waits for a task's end.
    #[track_caller]
    fn has_all_of(&self, task: &str) -> Vec<Span> {
        until(&format!("the way of {task} is there"), || self.of(task).iter().any(|span| span.name == "task"));
        let spans = self.of(task);
        is_one_way(&spans);
        spans
    }
}

/// One trace, with one root that all else hangs on and lies in; an attempt holds its parts.
#[track_caller]
fn is_one_way(spans: &[Span]) {
    let root = spans.iter().find(|span| span.parent.is_empty()).expect("a root");
    assert_eq!((root.name.as_str(), root.trace.len(), root.id.len()), ("task", 16, 8));
    for span in spans {
        assert_eq!(span.trace, root.trace);
        assert!(root.from <= span.from && span.from <= span.to && span.to <= root.to, "{span:?} in {root:?}");
        assert_eq!(spans.iter().filter(|other| other.id == span.id).count(), 1, "{span:?}");
        let parent = spans.iter().find(|other| other.id == span.parent);
        match span.name.as_str() {
            "task" => assert_eq!(span.id, root.id, "one root"),
            "waiting" | "attempt" => assert_eq!(span.parent, root.id),
            "sent" | "running" | "result" => {
                let attempt = parent.expect("an attempt");
                assert!(attempt.name == "attempt" && attempt.from <= span.from && span.to <= attempt.to, "{span:?} in {attempt:?}");
            }
            other => panic!("{other}"),
        }
    }
}

/// Names of spans by when they began; `!` is a failure.
fn names(spans: &[Span]) -> Vec<String> {
    spans.iter().map(|span| format!("{}{}", span.name, if span.has_failed { "!" } else { "" })).collect()
}

fn figure(cluster: &Cluster, outcome: &str) -> f64 {
    let answer = ask(&cluster.url, "GET", "/metrics", &[]);
    Page::read(&String::from_utf8(answer.body).unwrap()).unwrap().get("millpond_trace_spans_total", &[("outcome", outcome)])
}

#[test]
fn the_way_of_each_task_arrives_also_over_a_death_of_the_head() {
    let (collector, url) = Collector::start();
    let mut cluster = Cluster::start_with(&[2], &["--traces", &url]);
    let gate = cluster.text_path("gate");
    let shell = format!(
        "case $MILLPOND_INDEX-$MILLPOND_ATTEMPT in 1-1) exit 3;; 2-*) exit 4;; 3-*) until [ -e {gate} ]; do sleep 0.02; done;; esac; sleep 0.3"
    );
    let job = cluster.submit_array("1-3", &["--retries", "1", "--retry-delay", "0s", "--name", "ways"], &shell);
    until("only the last one runs", || cluster.count(&job, "running") == 1 && cluster.count(&job, "undispatched") == 0);
    let way = collector.has_all_of(&format!("{job}.1"));
    let expected = ["task", "waiting", "attempt!", "sent", "running!", "result", "waiting", "attempt", "sent", "running", "result"];
    let mut found = names(&way);
    assert_eq!(found.first().unwrap(), "task");
    found.sort();
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
    let running: Vec<&Span> = way.iter().filter(|span| span.name == "running").collect();
    let (failed, done) = (&running[0].said, &running[1].said);
    assert_eq!((&*failed["process.exit.code"], &*failed["millpond.attempt"], &*failed["error.type"]), ("3", "1", "exited"));
    assert_eq!((&*done["process.exit.code"], &*done["millpond.attempt"], &*done["millpond.worker.id"]), ("0", "2", "w1"));
    assert!(running[1].to - running[1].from >= 300_000_000, "it slept so long: {:?}", running[1]);
    assert_eq!((&*way[0].said["service.name"], &*way[0].said["millpond.job.name"]), ("millpond-head", "ways"));
    assert_eq!(done["host.name"], cluster.show_worker(1)["host"].as_str().unwrap());
    let way = collector.has_all_of(&format!("{job}.2"));
    assert_eq!(way.iter().filter(|span| span.has_failed).count(), 5, "the task, both attempts and what they ran: {way:?}");

    // It runs on; the next head finds it, and its trace is the same that it would have been.
    cluster.head_dies();
    cluster.head_starts_again();
    until("it is adopted", || cluster.count(&job, "running") == 1);
    cluster.write("gate", "");
    cluster.ends(&job, 10);
    let way = collector.has_all_of(&format!("{job}.3"));
    assert_eq!(names(&way), ["task", "attempt", "running", "result"], "when it was sent this head does not know");

    // All that a head has sent has come, and the last of it as it ends.
    let last = cluster.submit_array("7", &["--retries", "0"], "true");
    cluster.ends(&last, 0);
    assert_eq!(cluster.head_ends().code(), Some(0));
    collector.has_all_of(&format!("{last}.7"));
    assert_eq!(collector.of(&format!("{last}.7")).len(), 6);
}

#[test]
fn a_collector_that_never_answers_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut cluster = Cluster::start_with(&[2], &["--traces", &url]);
    // More than may wait for it.
    let job = cluster.submit_array("1-2000", &[], "true");
    cluster.ends(&job, 0);
    let lost = "the collector of traces does not take them";
    let logged = |cluster: &Cluster| std::fs::read_to_string(cluster.path("head.log")).unwrap().matches(lost).count();
    until("it is said", || logged(&cluster) == 1);
    assert!(figure(&cluster, "dropped") >= 2000.0 * 6.0 - 9000.0);
    assert_eq!(figure(&cluster, "sent"), 0.0);
    let again = cluster.submit_array("1-2", &[], "true");
    cluster.ends(&again, 0);
    let pid = cluster.head_pid();
    process::signal(pid, Signal::TERM);
    until_within(Duration::from_secs(10), "the head ends", || !process::is_alive(pid));
    assert_eq!((cluster.head_fails().code(), logged(&cluster)), (Some(0), 1), "it says so once");
    drop(listener);
}

#[test]
fn a_collector_that_comes_late_gets_what_has_gathered() {
    // It has its port already, and does not listen there.
    let (socket, url) = port();
    let mut cluster = Cluster::without_head(&[]);
    cluster.head_env = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".into(), url), ("OTEL_SERVICE_NAME".into(), "pond".into())];
    cluster.head_starts_at("127.0.0.1:0");
    cluster.add_worker(1, &[]);
    let job = cluster.submit_array("1-2", &[], "true");
    cluster.ends(&job, 0);
    until("it is missed", || cluster.tail("head.log").contains("does not take them"));
    let collector = Collector::default();
    collector.serve(socket);
    for no in [1, 2] {
        assert_eq!(collector.has_all_of(&format!("{job}.{no}"))[0].said["service.name"], "pond");
    }
    until("it is found", || cluster.tail("head.log").contains("takes them again"));
    until("all is counted", || figure(&cluster, "sent") == 12.0);
    assert_eq!(figure(&cluster, "dropped"), 0.0);
}

#[test]
fn nobody_is_called_where_nothing_is_to_be_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut cluster = Cluster::start_with(&[1], &["--traces", &url, "--traces-ratio", "0"]);
    let job = cluster.submit_array("1-5", &[], "true");
    cluster.ends(&job, 0);
    cluster.head_ends();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "no task is followed");
    // An empty variable is none.
    let mut cluster = Cluster::without_head(&[]);
    let names = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER_ARG", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_SERVICE_NAME"];
    cluster.head_env = names.map(|name| (name.to_owned(), String::new())).into();
    cluster.head_starts_at("127.0.0.1:0");
}

#[test]
fn what_is_no_collector_is_refused() {
    let ground = Ground::new();
    let head = |options: &[&str]| {
        let mut command = ground.command(env!("CARGO_BIN_EXE_millpond-head"));
        command.args(["--listen", "127.0.0.1:0", "--data-dir", &ground.text_path("head")]).args(options);
        Answer::from(command.env("RUST_LOG", "off").output().unwrap())
    };
    head(&["--traces", "lab:4317"]).refused(2, &["lab:4317", "http://HOST:4317"]);
    head(&["--traces", "http://lab:4318/v1/traces"]).refused(2, &["http://HOST:4317"]);
    head(&["--traces", "http://lab:4317", "--traces-ratio", "2"]).refused(2, &["`2`", "from 0 to 1"]);
    head(&["--traces", "https://lab:4317", "--traces-ca", "missing.pem"]).refused(3, &["missing.pem"]);
    assert!(!ground.path("head").exists(), "it has not begun");
}
