//! A head, three workers and a submitter, each on a host of its own: network namespaces behind one switch, on which all that passes is recorded.
//! Needs root, `ip` and `tcpdump`; without them, it says so.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::ground::Ground;
use super::process::{self, until, wait};

/// In the data, the command and the results: what must not be read on the way.
const SECRET: &str = "in-plain-sight-4711";

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    let why = || format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(why()) }
}

/// Hosts, numbered from 1, and a switch between them; gone with this.
struct Lan {
    /// Of this test alone.
    id: String,
    hosts: u32,
}

impl Lan {
    fn new(name: &str, hosts: u32) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can make a network namespace".to_owned());
        }
        run("tcpdump", &["--version"])?;
        let lan = Self { id: format!("{name}{}", std::process::id()), hosts };
        let switch = lan.switch();
        run("ip", &["netns", "add", &switch])?;
        run("ip", &["-n", &switch, "link", "add", "bridge", "type", "bridge"])?;
        run("ip", &["-n", &switch, "link", "set", "bridge", "up"])?;
        for host in 1..=hosts {
            let (name, port) = (lan.host(host), format!("port{host}"));
            run("ip", &["netns", "add", &name])?;
            run("ip", &["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth", "netns", &name])?;
            run("ip", &["-n", &switch, "link", "set", &port, "master", "bridge", "up"])?;
            run("ip", &["-n", &name, "addr", "add", &format!("{}/24", address(host)), "dev", "eth"])?;
            run("ip", &["-n", &name, "link", "set", "eth", "up"])?;
            run("ip", &["-n", &name, "link", "set", "lo", "up"])?;
        }
        Ok(lan)
    }

    fn switch(&self) -> String {
        format!("pond-{}-switch", self.id)
    }

    fn host(&self, number: u32) -> String {
        format!("pond-{}-host{number}", self.id)
    }
}

/// Of 198.18.0.0/15, which is set aside for tests of networks; nobody else is in these namespaces.
fn address(host: u32) -> String {
    format!("198.18.7.{host}")
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in 1..=self.hosts {
            let _ = run("ip", &["netns", "del", &self.host(host)]);
        }
        let _ = run("ip", &["netns", "del", &self.switch()]);
    }
}

/// A process that ends with this.
struct Running(Child);

impl Running {
    fn ends(&mut self) {
        process::signal(self.0.id(), Signal::TERM);
        wait(&mut self.0);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// The hosts with what runs on them.
struct Site<'a> {
    lan: &'a Lan,
    ground: Ground,
}

impl Site<'_> {
    /// A program on a host, whose home is a folder of its own.
    fn on(&self, host: u32, program: &str) -> Command {
        let home = self.ground.path(&format!("home{host}"));
        fs::create_dir_all(&home).unwrap();
        let mut command = self.ground.command("ip");
        command.args(["netns", "exec", &self.lan.host(host), program]).env("HOME", &home).current_dir(home);
        command
    }

    fn says(&self, host: u32, args: &[&str]) -> String {
        let output = self.on(host, env!("CARGO_BIN_EXE_millpond")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Starts a program; with words to wait for, once its first line has them.
    fn starts(&self, host: u32, program: &str, args: &[&str], words: &str) -> Running {
        let log = format!("{host}.log");
        let mut child = self.on(host, program).args(args).stdout(Stdio::piped()).stderr(self.ground.log(&log)).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let running = Running(child);
        if !words.is_empty() {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            assert!(line.contains(words), "{line}{}", self.ground.tail(&log));
        }
        running
    }

    /// Everything that passes the switch, until the value ends; the file.
    fn recorded(&self) -> (Running, std::path::PathBuf) {
        let file = self.ground.path("passed.pcap");
        let mut command = self.ground.command("ip");
        command.args(["netns", "exec", &self.lan.switch(), "tcpdump", "-Z", "root", "-i", "bridge", "-s", "0", "-U", "-w"]).arg(&file);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let recorder = Running(child);
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump has ended");
        }
        // It goes on to say how much it has seen.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        (recorder, file)
    }

    /// A job from the fifth host, whose data, command and results hold the secret; what all three workers did of it is in its bundle.
    fn works(&self, options: &[&str]) {
        let input = self.ground.write("numbers.txt", (0..300).map(|n| format!("{n} {SECRET}\n")).collect::<String>());
        let submit = [
            &["submit"],
            options,
            &["--split", "lines:1", "--env", &format!("WORD={SECRET}"), &input, "--", "sh", "-c", "sleep 0.02; cat"],
        ];
        let job = self.says(5, &submit.concat());
        self.says(5, &[&["wait", &job, "--timeout", "60s"], options].concat());
        let bundle = self.ground.text_path("bundle.zip");
        self.says(5, &[&["results", &job, "-o", &bundle], options].concat());
        let bundle = super::bundle::Bundle::of(fs::read(bundle).unwrap());
        assert_eq!(bundle.states()["succeeded"], 300);
        let run = bundle.text("run.json");
        assert!(["w1 ", "w2 ", "w3 "].iter().all(|worker| run.contains(worker)), "all three work");
    }
}

fn passed(recorder: (Running, std::path::PathBuf)) -> Vec<u8> {
    let (mut running, file) = recorder;
    running.ends();
    fs::read(file).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// By the commands of `deploy/README.md`, from nothing to a finished job.
#[test]
fn nothing_that_passes_between_the_machines_can_be_read() {
    let lan = match Lan::new("tls", 5) {
        Ok(lan) => lan,
        Err(why) => return println!("skipped: {why}"),
    };
    let site = Site { lan: &lan, ground: Ground::new() };
    let recorder = site.recorded();
    let (data, url) = (site.ground.text_path("head"), format!("https://{}:7663", address(1)));
    let init = ["init", "--data-dir", &data, "--head", &url];
    assert!(site.on(1, env!("CARGO_BIN_EXE_millpond-head")).args(init).stdout(Stdio::null()).status().unwrap().success());
    let head = ["--data-dir", &data, "--listen", "0.0.0.0:7663"];
    let mut head = site.starts(1, env!("CARGO_BIN_EXE_millpond-head"), &head, "listening on https://");
    let join = site.says(1, &["token", "create", "--role", "worker", "--uses", "3", "-q"]);
    let mut workers: Vec<Running> = (2..=4)
        .map(|host| {
            let dir = site.ground.text_path(&format!("worker{host}"));
            site.starts(host, env!("CARGO_BIN_EXE_millpond-worker"), &["--join", &join, "--slots", "1", "--dir", &dir], "")
        })
        .collect();
    until("the workers are there", || site.says(1, &["worker", "list", "-q"]).lines().count() == 3);
    let token = site.says(1, &["token", "create", "--role", "submitter", "--name", "ana", "-q"]);
    site.says(5, &["login", &token]);
    site.works(&[]);
    workers.iter_mut().for_each(Running::ends);
    head.ends();
    let bytes = passed(recorder);
    assert!(bytes.len() > 100_000, "{} bytes", bytes.len());
    for text in [SECRET, "numbers.txt", &join[4..40]] {
        assert!(!holds(&bytes, text), "`{text}` could be read");
    }
}

/// The same without an identity, to see that what can be read is found.
#[test]
fn what_passes_without_an_identity_is_found_by_the_same_look() {
    let lan = match Lan::new("plain", 5) {
        Ok(lan) => lan,
        Err(why) => return println!("skipped: {why}"),
    };
    let site = Site { lan: &lan, ground: Ground::new() };
    let recorder = site.recorded();
    let (data, listen) = (site.ground.text_path("head"), format!("{}:7663", address(1)));
    let url = format!("http://{listen}");
    let head = ["--data-dir", &data, "--listen", &listen, "--insecure"];
    let mut head = site.starts(1, env!("CARGO_BIN_EXE_millpond-head"), &head, "listening on http://");
    let mut workers: Vec<Running> = (2..=4)
        .map(|host| {
            let dir = site.ground.text_path(&format!("worker{host}"));
            site.starts(host, env!("CARGO_BIN_EXE_millpond-worker"), &["--head", &url, "--slots", "1", "--dir", &dir], "")
        })
        .collect();
    until("the workers are there", || site.says(1, &["worker", "list", "-q", "--head", &url]).lines().count() == 3);
    site.works(&["--head", &url]);
    workers.iter_mut().for_each(Running::ends);
    head.ends();
    let bytes = passed(recorder);
    assert!(holds(&bytes, SECRET) && holds(&bytes, "numbers.txt"));
}
