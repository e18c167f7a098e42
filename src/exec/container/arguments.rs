//! What the container program is told, word by word. Pure.
//!
//! Everything that a job has a say in is an argument of its own: the image, whose name can't begin with `-`, what stands behind it, and variables, always
//! as `NAME=VALUE`: a name alone would be looked up in the environment of the container program.

use std::path::Path;

use super::grip::Grip;
use super::program::{Kind, Limits, Program};
use crate::domain::Resources;

/// The label of all containers of a worker; its value is the worker's key.
const LABEL: &str = "millpond.worker";
/// By its name in the Container Device Interface.
const GPU: &str = "nvidia.com/gpu";

/// What of the machine a container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Confined {
    /// Processes and threads.
    pub processes: u64,
    /// The same of its user, who may have others where he is the worker's own.
    pub user_processes: u64,
    /// Files that a process may have open.
    pub open_files: u64,
    /// The largest file, in bytes.
    pub file_bytes: Option<u64>,
    /// Memory of a task that asks for none, in bytes.
    pub mem_bytes: Option<u64>,
}

/// One task's container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'r> {
    pub program: &'r Program,
    /// Its own, of all that ever were.
    pub name: &'r str,
    pub worker_key: &'r str,
    pub image: &'r str,
    /// The argument vector.
    pub command: &'r [String],
    pub env: &'r [(String, String)],
    /// Folders at the same place inside, that it may write to; the first is its working folder.
    pub writable: [&'r str; 2],
    /// Folders that it may read.
    pub readable: &'r [&'r str],
    /// Standard input is passed on.
    pub stdin: bool,
    /// User and group inside.
    pub user: (u32, u32),
    /// The machine's network; or none.
    pub net: bool,
    pub needs: &'r Resources,
    /// Graphics processors, by their numbers.
    pub gpus: &'r [u32],
    /// None: with all that the container program gives by default.
    pub confined: Option<&'r Confined>,
}

struct Told(Vec<String>);

impl Told {
    fn say<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(str::to_owned));
    }
}

impl Run<'_> {
    /// `run … IMAGE COMMAND…`.
    pub fn arguments(&self) -> Vec<String> {
        let mut told = Told(Vec::new());
        told.say(["run", "--rm", "--pull", "never", "--name", self.name, "--label", &format!("{LABEL}={}", self.worker_key)]);
        // What it prints is in the slot's files, and need not be kept a second time; nor are there timers for its health.
        told.say(["--log-driver", "none", "--no-healthcheck", "--security-opt", "label=disable"]);
        if self.program.init {
            told.say(["--init"]);
        }
        if self.stdin {
            told.say(["--interactive"]);
        }
        told.say(["--network", if self.net { "host" } else { "none" }]);
        told.say(["--user", &format!("{}:{}", self.user.0, self.user.1), "--workdir", self.writable[0]]);
        for folder in self.writable {
            told.say(["--volume", &format!("{folder}:{folder}")]);
        }
        for folder in self.readable {
            told.say(["--volume", &format!("{folder}:{folder}:ro")]);
        }
        for (name, value) in self.env {
            told.say(["--env", &format!("{name}={value}")]);
        }
        for gpu in self.gpus {
            told.say(["--device", &format!("{GPU}={gpu}")]);
        }
        self.limits(&mut told);
        told.say([self.image]);
        told.0.extend_from_slice(self.command);
        told.0
    }

    fn limits(&self, told: &mut Told) {
        let Limits { memory, cpus } = self.program.limits;
        let asked = Some(self.needs.mem_bytes).filter(|bytes| *bytes > 0);
        if let Some(bytes) = asked.or(self.confined.and_then(|confined| confined.mem_bytes)).filter(|_| memory) {
            told.say(["--memory", &format!("{bytes}b")]);
        }
        if cpus && self.needs.cpus > 0 {
            told.say(["--cpus", &self.needs.cpus.to_string()]);
        }
        let Some(confined) = self.confined else { return };
        told.say(["--cap-drop", "all", "--security-opt", "no-new-privileges", "--ulimit", "core=0:0"]);
        // As soon as one is said the container program's own defaults are gone, and those that are left are beyond what some machines allow.
        for (limit, max) in [("nofile", confined.open_files), ("nproc", confined.user_processes)] {
            told.say(["--ulimit", &format!("{limit}={max}:{max}")]);
        }
        told.say(["--pids-limit", &confined.processes.to_string()]);
        if let Some(bytes) = confined.file_bytes {
            told.say(["--ulimit", &format!("fsize={bytes}:{bytes}")]);
        }
    }
}

/// How its launcher gets hold of it.
pub(super) fn grip(kind: Kind, name: &str) -> Grip {
    match kind {
        Kind::Podman => Grip { remove: vec![remove(&[name])], ..Grip::default() },
        Kind::Docker => {
            let say = |verb: &str| vec![verb.to_owned(), name.to_owned()];
            // What stands still may not hear that it is to end.
            Grip { remove: vec![say("unpause"), remove(&[name])], pause: say("pause"), unpause: say("unpause") }
        }
    }
}

/// Ends and removes these, with what they wrote to volumes of their own.
pub(super) fn remove(names: &[&str]) -> Vec<String> {
    let mut told = Told(Vec::new());
    told.say(["rm", "--force", "--volumes"]);
    told.0.extend(names.iter().map(ToString::to_string));
    told.0
}

/// The ids of all that this worker ever made and that are there.
pub(super) fn list(worker_key: &str) -> Vec<String> {
    ["ps", "--all", "--quiet", "--filter", &format!("label={LABEL}={worker_key}")].map(str::to_owned).into()
}

/// Succeeds if it is here.
pub(super) fn look_for(image: &str) -> Vec<String> {
    ["image", "inspect", "--format", "{{.Id}}", image].map(str::to_owned).into()
}

/// Fetches it.
pub(super) fn pull(image: &str) -> Vec<String> {
    ["pull", "--quiet", image].map(str::to_owned).into()
}

/// A path that can be said in `--volume`.
pub(super) fn can_be_said(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.contains([':', ',']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(kind: Kind) -> Program {
        Program { kind, path: "/usr/bin/x".into(), rootless: false, limits: Limits { memory: true, cpus: true }, init: true }
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn run<'r>(program: &'r Program, command: &'r [String], needs: &'r Resources) -> Run<'r> {
        Run {
            program,
            name: "millpond-k-j7-1-1-1",
            worker_key: "k",
            image: "debian:12",
            command,
            env: &[],
            writable: ["/d/work", "/d/out"],
            readable: &["/d/in", "/cache"],
            stdin: false,
            user: (70_000, 70_000),
            net: true,
            needs,
            gpus: &[],
            confined: None,
        }
    }

    #[test]
    fn a_task_is_told_word_by_word() {
        let (program, command, needs) = (program(Kind::Podman), words("wc -l"), Resources::default());
        let expected = words(
            "run --rm --pull never --name millpond-k-j7-1-1-1 --label millpond.worker=k --log-driver none --no-healthcheck --security-opt \
             label=disable --init --network host --user 70000:70000 --workdir /d/work --volume /d/work:/d/work --volume /d/out:/d/out \
             --volume /d/in:/d/in:ro --volume /cache:/cache:ro debian:12 wc -l",
        );
        assert_eq!(run(&program, &command, &needs).arguments(), expected);
    }

    #[test]
    fn what_is_asked_for_is_a_limit_and_a_sandbox_is_one_too() {
        let command = words("true");
        let needs = Resources { cpus: 2, mem_bytes: 1 << 30, ..Resources::default() };
        let full = program(Kind::Docker);
        let text = |run: Run<'_>| run.arguments().join(" ");
        assert!(text(run(&full, &command, &needs)).ends_with(" --memory 1073741824b --cpus 2 debian:12 true"));
        let weak = Program { limits: Limits::default(), init: false, ..full.clone() };
        let told = text(run(&weak, &command, &needs));
        assert!(!told.contains("--memory") && !told.contains("--cpus") && !told.contains("--init"), "{told}");
        let confined = Confined { processes: 64, user_processes: 70, open_files: 9, file_bytes: Some(8), mem_bytes: Some(5) };
        let nothing = Resources::default();
        let told = text(Run { confined: Some(&confined), net: false, gpus: &[0, 3], stdin: true, ..run(&full, &command, &nothing) });
        let says = "--device nvidia.com/gpu=0 --device nvidia.com/gpu=3 --memory 5b --cap-drop all --security-opt no-new-privileges --ulimit \
                    core=0:0 --ulimit nofile=9:9 --ulimit nproc=70:70 --pids-limit 64 --ulimit fsize=8:8 debian:12 true";
        assert!(told.ends_with(says) && told.contains("--network none") && told.contains("--interactive"), "{told}");
        assert!(
            text(Run { confined: Some(&confined), ..run(&full, &command, &needs) }).contains("--memory 1073741824b"),
            "its own word counts"
        );
    }

    #[test]
    fn nothing_of_a_job_can_be_an_option() {
        let (program, needs) = (program(Kind::Podman), Resources::default());
        let command = words("--privileged -v /:/host");
        let env = [("A".to_owned(), "b c\n--privileged".to_owned()), ("PATH".to_owned(), String::new())];
        let told = Run { env: &env, ..run(&program, &command, &needs) }.arguments();
        let image = told.iter().position(|word| word == "debian:12").unwrap();
        assert_eq!(told[image + 1..], command, "behind the image all is the command's");
        let variables: Vec<&String> = (0..image).filter(|at| told[*at] == "--env").map(|at| &told[at + 1]).collect();
        assert_eq!(variables, ["A=b c\n--privileged", "PATH="], "with a value, so that none is taken from the worker's environment");
        assert_eq!(told[..image].iter().filter(|word| word.contains("--privileged") && !word.starts_with("A=")).count(), 0);
    }

    #[test]
    fn docker_is_told_to_let_it_stand_still_and_podman_need_not_be() {
        let docker = grip(Kind::Docker, "n");
        assert_eq!((docker.pause, docker.unpause), (words("pause n"), words("unpause n")));
        assert_eq!(docker.remove, [words("unpause n"), words("rm --force --volumes n")]);
        assert_eq!(grip(Kind::Podman, "n"), Grip { remove: vec![words("rm --force --volumes n")], ..Grip::default() });
    }

    #[test]
    fn a_folder_that_can_not_be_said_is_known() {
        assert!(can_be_said(Path::new("/var/lib/mill pond")) && !can_be_said(Path::new("/a:b")) && !can_be_said(Path::new("/a,b")));
    }
}
