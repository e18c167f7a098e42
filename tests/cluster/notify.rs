//! Who wants to be told of jobs is: by a command, by a webhook that is not always there, through a death of the one that tells.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::{Arc, Mutex};

use ring::hmac;
use rustix::process::Signal;
use serde_json::Value;

use super::cluster::Cluster;
use super::identities::{logged_in, token};
use super::process::{self, until, wait};

/// What a receiver was sent, and how many of what comes next it refuses.
#[derive(Default)]
struct Mail {
    tried: usize,
    refuses: usize,
    /// Those that it took, with their signatures.
    taken: Vec<(String, String)>,
}

/// A receiver of webhooks. Its thread ends with the test's process.
struct Receiver {
    url: String,
    mail: Arc<Mutex<Mail>>,
}

impl Receiver {
    fn new(refuses: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/told", listener.local_addr().unwrap());
        let mail = Arc::new(Mutex::new(Mail { refuses, ..Mail::default() }));
        let inside = mail.clone();
        std::thread::spawn(move || listener.incoming().for_each(|socket| drop(serve(&mut socket.unwrap(), &inside))));
        Self { url, mail }
    }

    fn tried(&self) -> usize {
        self.mail.lock().unwrap().tried
    }

    fn refuses(&self, next: usize) {
        self.mail.lock().unwrap().refuses = next;
    }

    fn taken(&self) -> Vec<Value> {
        self.mail.lock().unwrap().taken.iter().map(|(body, _)| serde_json::from_str(body).unwrap()).collect()
    }

    /// Their ids, in the order in which they came.
    fn ids(&self) -> Vec<String> {
        self.taken().iter().map(|notice| notice["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn serve(socket: &mut TcpStream, mail: &Mutex<Mail>) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let (mut len, mut signature) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name {
            "content-length" => len = value.parse().unwrap(),
            "x-millpond-signature" => value.clone_into(&mut signature),
            _ => {}
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    let mut mail = mail.lock().unwrap();
    mail.tried += 1;
    if mail.refuses > 0 {
        mail.refuses -= 1;
        return socket.write_all(b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n");
    }
    mail.taken.push((String::from_utf8(body).unwrap(), signature));
    socket.write_all(b"HTTP/1.1 204 Fine\r\n\r\n")
}

fn notify(cluster: &Cluster, log: &str, args: &[&str]) -> Child {
    let mut command = cluster.client(&["notify", "--every", "100ms"]);
    command.args(args).stdout(std::process::Stdio::null()).stderr(cluster.log(log)).spawn().unwrap()
}

fn is_asked_to_end(mut child: Child) {
    process::signal(child.id(), Signal::TERM);
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[test]
fn a_webhook_that_refuses_twice_gets_all_in_order_and_signed() {
    let cluster = Cluster::start(&[2]);
    let receiver = Receiver::new(2);
    cluster.write("secret", "a secret\n");
    let before = cluster.submit_array("1", &[], "true");
    cluster.ends(&before, 0);
    let state = cluster.text_path("state");
    let secret = cluster.text_path("secret");
    let notifier = notify(&cluster, "notify.log", &["--state", &state, "--webhook", &receiver.url, "--webhook-secret-file", &secret]);
    until("it has looked for the first time", || cluster.path("state/notices.json").exists());
    let fine = cluster.submit_array("1-3", &["--name", "fine"], "true");
    cluster.ends(&fine, 0);
    until("it is told of the first", || receiver.ids() == ["j2-r1-1-succeeded"]);
    assert_eq!(receiver.tried(), 3, "{}", cluster.tail("notify.log"));
    let bad = cluster.submit_array("1-3", &[], "[ $MILLPOND_INDEX != 2 ]");
    cluster.ends(&bad, 10);
    until("it is told of the failure", || receiver.ids().len() == 3);
    assert_eq!(receiver.ids()[1..], ["j3-r1-1-task-failed", "j3-r1-2-failed"]);
    let taken = receiver.taken();
    let (first, last) = (&taken[0], &taken[2]);
    assert_eq!((&first["version"], &first["event"], &first["job"]["name"]), (&1.into(), &"succeeded".into(), &"fine".into()), "{first}");
    assert_eq!((&last["text"], &last["job"]["tasks"]["failed"]), (&"j3 failed: 1 of 3 tasks failed".into(), &1.into()), "{last}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret");
    for (body, signature) in &receiver.mail.lock().unwrap().taken {
        let tag = hmac::sign(&key, body.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(*signature, format!("sha256={hex}"));
    }
    let log = cluster.tail("notify.log");
    assert!(log.contains("it answers 503") && log.contains("it is tried again") && !log.contains("/told"), "{log}");
    is_asked_to_end(notifier);
}

#[test]
fn a_hook_is_told_of_the_jobs_that_are_named_and_then_it_ends() {
    let cluster = Cluster::start(&[2]);
    let job = cluster.submit_array("1-3", &[], "[ $MILLPOND_INDEX != 2 ]");
    let other = cluster.submit_array("1", &[], "true");
    cluster.ends(&other, 0);
    // The first call of it fails.
    let hook = "[ -e tried ] || { touch tried; exit 3; }; echo \"$MILLPOND_EVENT $MILLPOND_JOB $MILLPOND_TEXT\" >> told; cat >> bodies";
    let answer = cluster.millpond(&["notify", &job, "--every", "100ms", "--on", "ended,task-failed", "--hook", hook]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let told = cluster.lines("told");
    assert!(told.len() == 2 && told[0].starts_with("task-failed j1 j1: 1 of 3 tasks failed so far"), "{told:?}");
    assert_eq!(told[1], "failed j1 j1 failed: 1 of 3 tasks failed");
    let bodies: Vec<Value> = cluster.lines("bodies").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((bodies.len(), &bodies[1]["job"]["id"]), (2, &"j1".into()));
    assert!(answer.err.contains("--hook: it ended with exit code 3; it is tried again"), "{answer:?}");
    cluster.millpond(&["notify", "j9", "--hook", "true"]).refused(3, &["j9"]);
}

#[test]
fn a_notifier_that_dies_misses_nothing() {
    let cluster = Cluster::start(&[2]);
    let receiver = Receiver::new(0);
    let state = cluster.text_path("state");
    let args = ["--state", &state, "--on", "ended", "--webhook", &receiver.url];
    let mut first = notify(&cluster, "notify.log", &args);
    until("it has looked for the first time", || cluster.path("state/notices.json").exists());
    let gate = cluster.text_path("gate");
    let long = cluster.submit_array("1", &[], &format!("until [ -e {gate} ]; do sleep 0.02; done"));
    let bad = cluster.submit_array("1-2", &[], "[ $MILLPOND_INDEX != 2 ] || [ -e mended ]");
    cluster.ends(&bad, 10);
    until("it is told of the first", || receiver.ids() == ["j2-r1-2-failed"]);
    // The next can't be delivered, and the notifier dies over it.
    receiver.refuses(usize::MAX);
    let tried = receiver.tried();
    let another = cluster.submit_array("1", &[], "true");
    cluster.ends(&another, 0);
    until("it tries", || receiver.tried() > tried);
    first.kill().unwrap();
    wait(&mut first);
    // Meanwhile one ends that it had seen, one comes and ends, and one is tried again and ends again.
    cluster.write("gate", "");
    cluster.ends(&long, 0);
    let short = cluster.submit_array("1", &[], "true");
    cluster.ends(&short, 0);
    cluster.ok(&["retry", &bad]);
    cluster.ends(&bad, 10);
    receiver.refuses(0);
    let second = notify(&cluster, "notify-2.log", &args);
    until("it is told of all of them", || receiver.ids().len() >= 5);
    let mut ids = receiver.ids();
    assert_eq!(ids[..2], ["j2-r1-2-failed", "j3-r1-1-succeeded"], "what waited goes first");
    ids.sort();
    assert_eq!(ids, ["j1-r1-1-succeeded", "j2-r1-2-failed", "j2-r2-2-failed", "j3-r1-1-succeeded", "j4-r1-1-succeeded"]);
    cluster.millpond(&["notify", "--state", &state]).refused(4, &["another `millpond notify`", "--state"]);
    is_asked_to_end(second);
}

#[test]
fn a_job_that_waits_for_room_is_told_of_and_that_it_goes_on() {
    let mut cluster = Cluster::start(&[]);
    let receiver = Receiver::new(0);
    let job = cluster.submit_array("1-2", &[], "true");
    let notifier = notify(&cluster, "notify.log", &["--waiting-after", "300ms", "--webhook", &receiver.url]);
    until("it is told that the job waits", || receiver.ids() == ["j1-r1-1-waiting"]);
    let text = receiver.taken()[0]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("j1 is waiting: no worker is connected"), "{text}");
    cluster.add_worker(1, &[]);
    cluster.ends(&job, 0);
    until("it is told of the end", || receiver.ids().last().is_some_and(|last| last.ends_with("-succeeded")));
    is_asked_to_end(notifier);
}

#[test]
fn a_job_of_which_nothing_moves_has_stalled_until_something_does() {
    let cluster = Cluster::start(&[1]);
    let receiver = Receiver::new(0);
    let gate = cluster.text_path("gate");
    let shell = format!("until [ -e {gate}-$MILLPOND_INDEX ]; do sleep 0.02; done");
    let job = cluster.submit_array("1-2", &[], &shell);
    let notifier = notify(&cluster, "notify.log", &["--stalled-after", "300ms", "--webhook", &receiver.url]);
    until("it is told that the job has stalled", || receiver.ids() == ["j1-r1-1-stalled"]);
    let text = receiver.taken()[0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("j1 has stalled: for ") && text.contains("no task has started or ended; 1 running"), "{text}");
    cluster.write("gate-1", "");
    until("it is told that it goes on", || receiver.ids().get(1).is_some_and(|id| id == "j1-r1-2-resumed"));
    until("the second task is as slow", || receiver.ids().get(2).is_some_and(|id| id == "j1-r1-3-stalled"));
    cluster.write("gate-2", "");
    cluster.ends(&job, 0);
    until("it is told of the end", || receiver.ids().last().is_some_and(|last| last.ends_with("-succeeded")));
    is_asked_to_end(notifier);
}

#[test]
fn a_submitter_is_told_of_his_own_jobs() {
    let mut cluster = Cluster::with_identity();
    let joins = token(&cluster, &["--role", "worker"]);
    let worker = cluster.worker_joins_by(&joins, 2);
    cluster.worker_is_connected(worker);
    let ana = logged_in(&mut cluster, "submitter", "ana");
    let admin = cluster.credentials.replace(ana.clone());
    let receiver = Receiver::new(0);
    let state = cluster.text_path("state");
    let notifier = notify(&cluster, "notify.log", &["--state", &state, "--webhook", &receiver.url]);
    until("it has looked for the first time", || cluster.path("state/notices.json").exists());
    cluster.credentials = admin;
    let others = cluster.submit_array("1", &[], "true");
    cluster.ends(&others, 0);
    cluster.credentials = Some(ana);
    let own = cluster.submit_array("1", &[], "true");
    cluster.ends(&own, 0);
    until("she is told", || !receiver.ids().is_empty());
    assert_eq!(receiver.ids(), [format!("{own}-r1-1-succeeded")]);
    is_asked_to_end(notifier);
}
