//! Someone who goes on working while heads die: submits, steers, stores data, and remembers what was acknowledged.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

use super::cluster::Cluster;
use super::ground::{self, Answer};

/// The clerk at work.
pub struct Clerk {
    over: Arc<AtomicBool>,
    work: JoinHandle<Acknowledged>,
}

/// What was acknowledged.
#[derive(Default)]
pub struct Acknowledged {
    jobs: Vec<Job>,
    data: Vec<String>,
    pauses: usize,
    unanswered: usize,
}

/// A job that was acknowledged, and what was done to it.
struct Job {
    id: String,
    name: String,
    /// A verb's promise: what `show` has at this field from then on.
    promise: Option<(&'static str, Value)>,
}

/// Command lines at a head that may be dead.
struct Desk {
    folder: PathBuf,
    url: String,
    over: Arc<AtomicBool>,
}

impl Desk {
    /// A command line's standard output; none if the head did not answer. Any failure but those with these exit codes is one of the test.
    fn asks_unless(&self, args: &[&str], fine: &[i32]) -> Option<String> {
        let mut command = ground::command(&self.folder, env!("CARGO_BIN_EXE_millpond"));
        command.env("MILLPOND_HEAD", &self.url).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let answer: Answer = command.output().unwrap().into();
        assert!(matches!(answer.code, 0 | 6) || fine.contains(&answer.code), "{args:?}: {answer:?}");
        (answer.code != 6).then(|| answer.out.trim_end().to_owned())
    }

    fn asks(&self, args: &[&str]) -> Option<String> {
        self.asks_unless(args, &[])
    }

    /// Asks until it is answered. That a job has ended is an answer too.
    fn insists(&self, args: &[&str], unanswered: &mut usize) -> String {
        loop {
            match self.asks_unless(args, &[4]) {
                Some(out) => return out,
                None => *unanswered += 1,
            }
        }
    }

    fn works(&self, main: &str) -> Acknowledged {
        let mut done = Acknowledged::default();
        for round in 0u32.. {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            self.one_job(round, &mut done);
            if round % 5 == 4 {
                // The pause was acknowledged: whichever head answers knows of it.
                let unanswered = &mut done.unanswered;
                self.insists(&["pause", main], unanswered);
                let shown = self.insists(&["show", main, "--format", "json"], unanswered);
                let shown: Value = serde_json::from_str(&shown).unwrap();
                assert!(shown["held"] == true || shown["finished"].is_string(), "{shown}");
                self.insists(&["resume", main], unanswered);
                done.pauses += 1;
            }
        }
        done
    }

    fn one_job(&self, round: u32, done: &mut Acknowledged) {
        let (name, request) = (format!("clerk-{round}"), format!("00000000-0000-4000-8000-{round:012}"));
        let submit = ["submit", "--array", "0-4", "--hold", "--name", &name, "--request-id", &request, "--", "true"];
        let id = self.insists(&submit, &mut done.unanswered);
        let promise = match round % 3 {
            0 => self.asks(&["priority", &id, "7"]).map(|_| ("priority", 7.into())),
            1 => self.asks(&["kill", &id]).map(|_| ("state", "killed".into())),
            _ => {
                let file = self.folder.join(&name);
                std::fs::write(&file, format!("data of {name}\n")).unwrap();
                done.data.extend(self.asks(&["data", "add", file.to_str().unwrap()]));
                Some(("held", true.into()))
            }
        };
        done.jobs.push(Job { id, name, promise });
    }
}

impl Clerk {
    /// Begins to work, and pauses and resumes this job now and then.
    pub fn begins(cluster: &Cluster, job: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let desk = Desk { folder: cluster.path(""), url: cluster.url.clone(), over: over.clone() };
        let job = job.to_owned();
        Self { over, work: std::thread::spawn(move || desk.works(&job)) }
    }

    /// Ends the work; the job is not paused afterwards.
    pub fn ends(self) -> Acknowledged {
        self.over.store(true, Ordering::SeqCst);
        self.work.join().unwrap()
    }
}

impl Acknowledged {
    /// That all of it is there, each job once.
    pub fn all_there(&self, cluster: &Cluster) {
        let Self { jobs, data, pauses, unanswered } = self;
        println!("acknowledged: {} jobs, {} data sets, {pauses} pauses; {unanswered} calls without an answer", jobs.len(), data.len());
        let list = cluster.json(&["list"]);
        let list = list["jobs"].as_array().unwrap();
        for Job { id, name, promise } in jobs {
            let found: Vec<&Value> = list.iter().filter(|job| job["name"] == name.as_str()).collect();
            assert!(found.len() == 1 && found[0]["id"] == id.as_str(), "{name} is {id}: {found:?}");
            let shown = cluster.show(id);
            assert!(promise.as_ref().is_none_or(|(field, value)| shown[field] == *value), "{promise:?}: {shown}");
        }
        let stored = cluster.json(&["data", "list"]);
        let stored = stored["datasets"].as_array().unwrap();
        for digest in data {
            assert!(stored.iter().any(|data| data["digest"] == digest.as_str()), "{digest} is missing");
        }
        assert!(!jobs.is_empty() && !data.is_empty(), "nothing was acknowledged");
    }
}
