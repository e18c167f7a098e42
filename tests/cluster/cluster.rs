//! A cluster of real processes on a ground of its own. Dropping it ends every process that it started, by its own number.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::bundle::Bundle;
use super::ground::{Answer, Ground, MARK};
use super::process::{self, PATIENCE, until, wait};

/// Of a worker: its tasks may do what it may itself.
pub const NO_SANDBOX: &[&str] = &["--sandbox", "none"];

/// A head, workers, and the folder that all of it lives in.
pub struct Cluster {
    /// The head's address; the same after a restart.
    pub url: String,
    head: Option<Child>,
    head_options: Vec<String>,
    /// Where the head's state lies; a folder of the ground, unless a test says otherwise.
    pub data_dir: PathBuf,
    /// In the head's environment from its next start on.
    pub head_env: Vec<(String, String)>,
    /// The file of credentials of whoever types the next command line; none for a head without an identity.
    pub credentials: Option<PathBuf>,
    workers: Vec<Worker>,
    /// What starts the next worker, if it does not start by itself: a command that replaces itself by what follows.
    pub started_by: Vec<String>,
    ground: Ground,
}

/// A worker process, dead or alive.
pub struct Worker {
    child: Child,
    folder: PathBuf,
    /// As it was started.
    args: Vec<String>,
}

impl Cluster {
    /// A head, and a worker for each number of slots, all connected.
    pub fn start(slots: &[u32]) -> Self {
        Self::start_with(slots, &[])
    }

    /// The same, with a worker whose tasks have its own rights, whoever has started it.
    pub fn start_open(slots: u32) -> Self {
        let mut cluster = Self::start(&[]);
        cluster.add_worker(slots, NO_SANDBOX);
        cluster
    }

    /// The same, with options of the head.
    pub fn start_with(slots: &[u32], head_options: &[&str]) -> Self {
        let mut cluster = Self::without_head(head_options);
        cluster.head_starts_at("127.0.0.1:0");
        for slots in slots {
            cluster.add_worker(*slots, &[]);
        }
        cluster
    }

    /// The ground alone, for a test that has something to say before the head starts.
    pub fn without_head(head_options: &[&str]) -> Self {
        let ground = Ground::new();
        Self {
            url: String::new(),
            head: None,
            head_options: head_options.iter().map(ToString::to_string).collect(),
            data_dir: ground.path("head"),
            head_env: Vec::new(),
            credentials: None,
            workers: Vec::new(),
            started_by: Vec::new(),
            ground,
        }
    }

    /// A head with an identity, and its admin at the command line.
    pub fn with_identity() -> Self {
        let mut cluster = Self::without_head(&[]);
        let file = cluster.path("admin.pem");
        let init = ["init", "--data-dir", cluster.data_dir.to_str().unwrap(), "--credentials", file.to_str().unwrap()];
        let made = cluster.command(env!("CARGO_BIN_EXE_millpond-head")).args(init).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        cluster.credentials = Some(file);
        cluster.head_starts_at("127.0.0.1:0");
        cluster
    }

    /// One more worker, which joins by a token.
    pub fn worker_joins_by(&mut self, token: &str, slots: u32) -> usize {
        let number = self.workers.len() + 1;
        let folder = self.path(&format!("worker-{number}"));
        let args = ["--join", token, "--slots", &slots.to_string(), "--dir", folder.to_str().unwrap()].map(str::to_owned).to_vec();
        let child = self.spawn_worker(number, &args, &[]);
        self.workers.push(Worker { child, folder, args });
        number
    }

    /// The first start of the head.
    #[track_caller]
    pub fn head_starts_at(&mut self, listen: &str) {
        self.head_starts(listen).unwrap_or_else(|answer| panic!("the head did not start: {answer}"));
    }

    /// One more worker, connected; its number, from 1, which is the head's too.
    pub fn add_worker(&mut self, slots: u32, options: &[&str]) -> usize {
        self.add_worker_by(&self.url.clone(), slots, options)
    }

    /// The same, by another way to the head.
    pub fn add_worker_by(&mut self, url: &str, slots: u32, options: &[&str]) -> usize {
        let number = self.push_worker(url, slots, options);
        self.worker_is_connected(number);
        number
    }

    /// One more worker, connected, in a network namespace.
    pub fn add_worker_in(&mut self, namespace: &str, slots: u32) -> usize {
        self.started_by = ["ip", "netns", "exec", namespace].map(str::to_owned).into();
        let number = self.add_worker(slots, &[]);
        self.started_by.clear();
        number
    }

    /// One more worker, whether or not a head is there.
    pub fn worker_joins(&mut self, slots: u32) -> usize {
        self.push_worker(&self.url.clone(), slots, &[])
    }

    /// One more worker with options, whether or not it comes to connect.
    pub fn push_worker(&mut self, url: &str, slots: u32, options: &[&str]) -> usize {
        let number = self.workers.len() + 1;
        let folder = self.path(&format!("worker-{number}"));
        let args = ["--head", url, "--slots", &slots.to_string(), "--dir", folder.to_str().unwrap()];
        // Tasks bear the mark too, whatever else they are kept from.
        let args: Vec<String> = args.iter().chain(&["--task-env", MARK]).chain(options).map(ToString::to_string).collect();
        let child = self.spawn_worker(number, &args, &[]);
        self.workers.push(Worker { child, folder, args });
        number
    }

    fn spawn_worker(&self, number: usize, args: &[String], env: &[(&str, &str)]) -> Child {
        // Each replaces itself by the next. Without a mask the users of slots can write to each other's files: what tasks tell a test.
        let mut command = self.command("sh");
        command.args(["-c", "umask 0; exec \"$@\"", "sh"]);
        command.args(&self.started_by).arg(env!("CARGO_BIN_EXE_millpond-worker"));
        command.args(args).envs(env.iter().copied()).stderr(self.log(&format!("worker-{number}.log"))).spawn().unwrap()
    }

    /// In the same folder, so as the same worker; with this in its environment. Does not wait for it.
    pub fn worker_starts_again(&mut self, number: usize, env: &[(&str, &str)]) {
        let child = self.spawn_worker(number, &self.workers[number - 1].args.clone(), env);
        self.worker(number).child = child;
    }

    /// From its next start on a worker has another value for one of its options.
    pub fn worker_is_equipped(&mut self, number: usize, option: &str, value: &str) {
        let args = &mut self.worker(number).args;
        let at = args.iter().position(|arg| arg == option).expect("the option");
        args[at + 1] = value.to_owned();
    }

    /// Waits for a worker's first announcement.
    #[track_caller]
    pub fn worker_is_connected(&self, number: usize) {
        until("the worker is connected", || !["", "away", "joining"].contains(&self.worker_state(number).as_str()));
    }

    fn head_starts(&mut self, listen: &str) -> Result<(), String> {
        let mut command = self.command(env!("CARGO_BIN_EXE_millpond-head"));
        command.args(["--listen", listen, "--data-dir"]).arg(&self.data_dir).args(&self.head_options);
        command.envs(self.head_env.iter().map(|(name, value)| (name, value)));
        let log = self.log("head.log");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match line.trim_end().strip_prefix("listening on ") {
            Some(url) => {
                self.url = url.to_owned();
                self.head = Some(child);
                Ok(())
            }
            None => Err(format!("{}: {}", child.wait().unwrap(), self.tail("head.log"))),
        }
    }

    /// `kill -9`.
    pub fn head_dies(&mut self) {
        let mut head = self.head.take().expect("a living head");
        head.kill().unwrap();
        head.wait().unwrap();
    }

    /// On the same data and the same port.
    pub fn head_starts_again(&mut self) {
        // A client of another test may hold the port for a moment.
        until("the head has its port again", || self.head_tries_to_start().is_ok());
    }

    /// Like [`Self::head_starts_again`], once; why not, if it does not come to accept calls.
    pub fn head_tries_to_start(&mut self) -> Result<(), String> {
        let listen = self.url.split_once("://").unwrap().1.to_owned();
        self.head_starts(&listen)
    }

    /// The head's process.
    pub fn head_pid(&self) -> u32 {
        self.head.as_ref().expect("a living head").id()
    }

    /// Whether a head runs.
    pub fn head_is_alive(&mut self) -> bool {
        self.head.as_mut().is_some_and(|head| head.try_wait().unwrap().is_none())
    }

    /// SIGSTOP.
    pub fn head_stops(&self) {
        stop(self.head_pid());
    }

    /// SIGCONT.
    pub fn head_continues(&self) {
        process::signal(self.head_pid(), Signal::CONT);
    }

    /// Waits until the head has ended by itself.
    pub fn head_fails(&mut self) -> ExitStatus {
        wait(&mut self.head.take().expect("a head"))
    }

    /// Asks the head to end, and waits.
    pub fn head_ends(&mut self) -> ExitStatus {
        let mut head = self.head.take().expect("a living head");
        process::signal(head.id(), Signal::TERM);
        wait(&mut head)
    }

    /// A worker, by its number from 1.
    pub fn worker(&mut self, number: usize) -> &mut Worker {
        self.workers.get_mut(number - 1).expect("a worker of that number")
    }

    /// A worker as the head shows it; null while the head does not know it.
    pub fn show_worker(&self, number: usize) -> Value {
        let answer = self.millpond(&["worker", "show", &format!("w{number}"), "--format", "json"]);
        serde_json::from_str(&answer.out).unwrap_or_default()
    }

    /// As in `worker show`: `joining`, `available`, `busy`, `draining`, `resting`, `suspected`, `away`; empty while the head does not know it.
    pub fn worker_state(&self, number: usize) -> String {
        self.show_worker(number)["state"].as_str().unwrap_or_default().to_owned()
    }

    /// The command line, at this head, not started yet.
    pub fn client(&self, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_millpond"));
        command.envs(self.credentials.iter().map(|file| ("MILLPOND_CREDENTIALS", file)));
        command.env("MILLPOND_HEAD", &self.url).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command line to its end.
    pub fn millpond(&self, args: &[&str]) -> Answer {
        self.client(args).output().unwrap().into()
    }

    /// One that must succeed; its standard output without the last line end.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let answer = self.millpond(args);
        assert_eq!(answer.code, 0, "{args:?}: {answer:?}\n{}", self.tail("head.log"));
        answer.out.trim_end().to_owned()
    }

    /// One that must succeed and answers in JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--format", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// Submits a job; its id.
    #[track_caller]
    pub fn submit(&self, args: &[&str]) -> String {
        self.ok(&[&["submit"], args].concat())
    }

    /// Submits an array whose tasks are this shell text.
    #[track_caller]
    pub fn submit_array(&self, range: &str, options: &[&str], shell: &str) -> String {
        self.submit(&[&["--array", range], options, &["--", "sh", "-c", shell]].concat())
    }

    /// A job as it is.
    #[track_caller]
    pub fn show(&self, id: &str) -> Value {
        self.json(&["show", id])
    }

    /// A job's tasks by where they are: `running`, `undispatched`…
    #[track_caller]
    pub fn count(&self, id: &str, what: &str) -> u64 {
        self.show(id)["tasks"][what].as_u64().unwrap()
    }

    /// A job's tasks.
    #[track_caller]
    pub fn tasks(&self, id: &str) -> Vec<Value> {
        self.json(&["tasks", id])["tasks"].as_array().unwrap().clone()
    }

    /// Waits for a job's end, which must have this exit code; the job as it is then.
    #[track_caller]
    pub fn ends(&self, id: &str, code: i32) -> Value {
        let answer = self.millpond(&["wait", id, "--timeout", &format!("{}s", PATIENCE.as_secs())]);
        let reason = || format!("{answer:?}\n{}\n{}", self.millpond(&["show", id]).out, self.logs());
        assert_eq!(answer.code, code, "{}", reason());
        self.show(id)
    }

    /// A job's bundle as it is now.
    #[track_caller]
    pub fn bundle(&self, id: &str) -> Bundle {
        let file = self.text_path(&format!("{id}.zip"));
        self.ok(&["results", id, "-o", &file]);
        Bundle::of(fs::read(file).unwrap())
    }

    /// The ends of all logs, for a failure.
    pub fn logs(&self) -> String {
        let workers = (1..=self.workers.len()).map(|number| format!("worker-{number}.log"));
        let logs = ["head.log".to_owned()].into_iter().chain(workers);
        logs.map(|name| format!("--- {name}\n{}\n", self.tail(&name))).collect()
    }
}

impl Worker {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, which must find it alive.
    #[track_caller]
    pub fn dies(&mut self) {
        self.has_not_ended();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP: it stands still, and its connection with it.
    #[track_caller]
    pub fn stops(&mut self) {
        self.has_not_ended();
        stop(self.child.id());
    }

    /// No worker ends by itself: what it said last is in the failure.
    #[track_caller]
    fn has_not_ended(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            let log = fs::read_to_string(self.folder.with_extension("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            panic!("{} ended by itself, {status}:\n{}", self.folder.display(), last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }

    /// SIGCONT.
    pub fn continues(&self) {
        process::signal(self.child.id(), Signal::CONT);
    }

    /// SIGTERM: finish what runs, then leave.
    pub fn is_asked_to_end(&self) {
        process::signal(self.child.id(), Signal::TERM);
    }

    /// Waits for its end.
    pub fn ends(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What runs below it, itself left out: launchers and tasks, double-forked ones too.
    pub fn descendants(&self) -> Vec<(u32, String)> {
        let mut below = process::of(&self.folder);
        below.retain(|(pid, _)| *pid != self.child.id());
        below
    }
}

fn stop(pid: u32) {
    process::signal(pid, Signal::STOP);
    let stat = format!("/proc/{pid}/stat");
    until("the process stands still", || fs::read_to_string(&stat).unwrap_or_default().contains(") T "));
}

impl Drop for Cluster {
    /// Kills what the test started itself; everything below must end by itself, as after any `kill -9`: the ground checks that.
    fn drop(&mut self) {
        let workers = self.workers.iter_mut().map(|worker| &mut worker.child);
        for child in workers.chain(self.head.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl std::ops::Deref for Cluster {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}
