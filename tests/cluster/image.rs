//! Tasks that run in an image: by a stand-in for podman and docker (`stand_in.sh`), which shows what a worker does with such a program; and by
//! podman itself where it is installed and can run a container.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};

use super::bundle::Bundle;
use super::cluster::{Cluster, NO_SANDBOX};
use super::process::{is_alive, until};

const STAND_IN: &str = include_str!("stand_in.sh");

/// Puts the stand-in under a name before all else in the PATH of workers that start from now on.
fn stands_in_for(cluster: &mut Cluster, name: &str) {
    let folder = cluster.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    fs::write(&file, STAND_IN).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("PATH={}:/usr/bin:/bin", folder.display());
    cluster.started_by = ["env", &path].map(str::to_owned).into();
}

/// Docker's daemon; ends with this.
struct Daemon(Child);

impl Daemon {
    fn starts(cluster: &Cluster) -> Self {
        let child = cluster.command(&cluster.text_path("bin/docker")).arg("serve").spawn().unwrap();
        until("the daemon serves", || cluster.path("containers/door").exists());
        Self(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// How often it was called so.
fn calls(cluster: &Cluster, log: &str, what: &str) -> usize {
    cluster.lines(log).iter().filter(|line| line.starts_with(what)).count()
}

/// The reason of a job's first failed task.
fn reason(cluster: &Cluster, job: &str) -> String {
    let tasks = cluster.tasks(job);
    tasks
        .iter()
        .find_map(|task| task["outcome"].as_str().filter(|text| text.len() > 10))
        .map_or_else(|| format!("{tasks:?}"), str::to_owned)
}

#[test]
fn an_image_waits_for_a_worker_that_runs_it_is_fetched_once_and_the_task_finds_all_that_it_was_promised() {
    let mut cluster = Cluster::start(&[]);
    cluster.add_worker(2, &["--sandbox", "none", "--containers", "none"]);
    let input = cluster.write("in.txt", "a\nb\nc\nd\n");
    let shared = cluster.write("ref.txt", "shared\n");
    let shell = "cat {input} {with:ref.txt}; echo $COLOUR $MILLPOND_INDEX; pwd; echo file > {output}/file";
    let options = ["--split", "lines:1", "--image", "lab/tool:1.4", "--env", "COLOUR=red green", "--with", &shared];
    let job = cluster.submit(&[&options[..], &[&input, "--", "sh", "-c", shell]].concat());
    let says = "no worker has podman or docker: install one of them";
    until("it waits for a worker that runs images", || cluster.ok(&["explain", &job]).contains(says));

    stands_in_for(&mut cluster, "podman");
    cluster.add_worker(2, NO_SANDBOX);
    let ended = cluster.ends(&job, 0);
    assert_eq!(ended["image"], "lab/tool:1.4");
    assert!(cluster.tasks(&job).iter().all(|task| task["worker"] == "w2"), "{:?}", cluster.tasks(&job));
    let bundle: Bundle = cluster.bundle(&job);
    for (index, letter) in ["a", "b", "c", "d"].iter().enumerate() {
        let out = bundle.text(&format!("{index:06}/stdout"));
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[..3], [*letter, "shared", &format!("red green {index}")], "{out}");
        assert!(lines[3].ends_with("/work"), "{out}");
        assert_eq!(bundle.text(&format!("{index:06}/file")), "file\n");
    }
    let manifest = bundle.text("manifest.json");
    assert!(manifest.contains("\"image\":\"lab/tool:1.4\"") && !manifest.contains("millpond.containers"), "{manifest}");
    assert_eq!((calls(&cluster, "podman.log", "pull"), calls(&cluster, "podman.log", "run")), (1, 4), "{:?}", cluster.lines("podman.log"));
    assert_eq!(calls(&cluster, "podman.log", "rm"), 0, "what ended by itself removes itself");

    // On its standard input, and by a job file.
    let file = cluster.write("job.toml", "image = \"lab/tool:1.4\"\nsplit = \"lines:4\"\ncommand = [\"wc\", \"-l\"]\n");
    let job = cluster.submit(&["-f", &file, &input]);
    cluster.ends(&job, 0);
    assert_eq!(cluster.bundle(&job).text("000000/stdout").trim(), "4");
    cluster.millpond(&["submit", "--image", "-v=/:/x", "--array", "1", "--", "true"]).refused(2, &["unexpected argument"]);
    cluster.millpond(&["submit", "--image=-v=/:/x", "--array", "1", "--", "true"]).refused(2, &["image `-v=/:/x`"]);
}

#[test]
fn what_goes_wrong_with_an_image_fails_its_task_with_the_reason_and_nothing_else() {
    let mut cluster = Cluster::start(&[]);
    stands_in_for(&mut cluster, "podman");
    cluster.add_worker(1, NO_SANDBOX);
    let fails = |image: &str, command: &[&str], says: &[&str]| {
        let job = cluster.submit(&[&["--array", "1", "--image", image, "--"], command].concat());
        let code = cluster.ends(&job, 10);
        assert_eq!(code["tasks"]["failed"], 1);
        let reason = reason(&cluster, &job);
        println!("{reason}");
        says.iter().for_each(|word| assert!(reason.contains(word), "`{word}` is missing in: {reason}"));
    };
    fails("missing/tool:1", &["true"], &["image missing/tool:1 can't be pulled on ", "by podman", "name unknown"]);
    fails("debian:12", &["nope"], &["podman could not run `nope` in debian:12", "not found in $PATH"]);
    // The command's own exit codes stay its own.
    for code in ["1", "125", "127"] {
        let job = cluster.submit_array("1", &["--image", "debian:12"], &format!("exit {code}"));
        cluster.ends(&job, 10);
        let task = &cluster.tasks(&job)[0];
        assert_eq!(task["exit_code"].to_string(), code, "{task}");
    }
    // An image that was removed meanwhile is fetched again after the task that met that.
    fs::remove_file(cluster.path("containers/image.debian:12")).unwrap();
    let job = cluster.submit_array("1", &["--image", "debian:12", "--retries", "1"], "true");
    cluster.ends(&job, 0);
    assert_eq!(calls(&cluster, "podman.log", "pull debian:12"), 2);
    cluster.ends(&cluster.submit_array("1-3", &[], "true"), 0);
    assert!(cluster.worker(1).is_alive());
}

#[test]
fn an_image_that_is_being_fetched_is_not_started_and_a_kill_ends_that() {
    let mut cluster = Cluster::start(&[]);
    stands_in_for(&mut cluster, "podman");
    cluster.add_worker(2, NO_SANDBOX);
    cluster.write("pull-waits", "");
    let job = cluster.submit_array("1-4", &["--image", "debian:12"], "true");
    until("it is fetched", || calls(&cluster, "podman.log", "pull") == 1);
    assert_eq!(cluster.count(&job, "running"), 0);
    let killed = cluster.json(&["kill", &job]);
    assert_eq!((&killed["dropped"], &killed["running"]), (&4.into(), &0.into()), "{killed}");
    cluster.ends(&job, 11);
    until("the fetching ends", || !cluster.processes().iter().any(|(_, line)| line.contains("pull --quiet")));
    fs::remove_file(cluster.path("pull-waits")).unwrap();
    cluster.ends(&cluster.submit_array("1-4", &["--image", "debian:12"], "true"), 0);
}

/// A job with a container at a daemon, which tells its process number.
fn container_of_docker(cluster: &Cluster, options: &[&str]) -> (String, u32) {
    let before = cluster.lines("pids").len();
    let shell = format!("trap '' TERM; echo $$ >> {}; while :; do sleep 0.05; done", cluster.text_path("pids"));
    let job = cluster.submit_array("1", &[&["--image", "debian:12", "--grace", "200ms"], options].concat(), &shell);
    cluster.has_lines("pids", before + 1);
    (job, cluster.lines("pids")[before].parse().unwrap())
}

#[test]
fn a_container_at_a_daemon_is_gone_with_its_task_however_that_ends() {
    let mut cluster = Cluster::start(&[]);
    stands_in_for(&mut cluster, "docker");
    let _daemon = Daemon::starts(&cluster);
    cluster.add_worker(1, &["--sandbox", "none", "--containers", "docker"]);
    let is_clean = |cluster: &Cluster| {
        fs::read_dir(cluster.path("containers"))
            .unwrap()
            .flatten()
            .all(|entry| entry.path().extension().is_none_or(|ending| ending != "here"))
    };

    let (job, pid) = container_of_docker(&cluster, &[]);
    cluster.ok(&["kill", &job, "--running", "stop"]);
    cluster.ends(&job, 11);
    until("it is gone", || !is_alive(pid));
    assert!(is_clean(&cluster));

    let (job, pid) = container_of_docker(&cluster, &["--timeout", "500ms"]);
    cluster.ends(&job, 10);
    assert!(!is_alive(pid) && is_clean(&cluster));

    // Its launcher, and so its client.
    let (job, pid) = container_of_docker(&cluster, &[]);
    let launcher = cluster.worker(1).descendants().into_iter().find(|(_, line)| line.contains("__launcher")).unwrap();
    super::process::signal(launcher.0, rustix::process::Signal::KILL);
    until("it is gone", || !is_alive(pid));
    until("and runs again", || cluster.lines("pids").len() == 4);
    let pid: u32 = cluster.lines("pids")[3].parse().unwrap();
    cluster.ok(&["kill", &job]);

    // The worker: its launcher sees to it.
    cluster.worker(1).dies();
    until("it is gone", || !is_alive(pid));
    cluster.worker_starts_again(1, &[]);
    cluster.worker_is_connected(1);

    // Both at once: the next start does.
    cluster.ends(&job, 11);
    let (job, pid) = container_of_docker(&cluster, &[]);
    let launchers = cluster.worker(1).descendants().into_iter().filter(|(_, line)| line.contains("__launcher"));
    let launchers: Vec<u32> = launchers.map(|(pid, _)| pid).collect();
    cluster.worker(1).stops();
    launchers.into_iter().for_each(|launcher| super::process::signal(launcher, rustix::process::Signal::KILL));
    cluster.worker(1).dies();
    assert!(is_alive(pid), "nobody could");
    cluster.worker_starts_again(1, &[]);
    until("it is gone", || !is_alive(pid));
    // The daemon ends before the rest of all this does.
    cluster.worker_is_connected(1);
    cluster.ok(&["kill", &job, "--running", "stop"]);
    until("no client waits for it", || !cluster.processes().iter().any(|(_, line)| line.contains("docker run")));
}

#[test]
fn a_container_at_a_daemon_stands_still_with_its_job() {
    let mut cluster = Cluster::start(&[]);
    stands_in_for(&mut cluster, "docker");
    let _daemon = Daemon::starts(&cluster);
    cluster.add_worker(1, &["--sandbox", "none", "--containers", "docker"]);
    let (job, pid) = container_of_docker(&cluster, &[]);
    cluster.ok(&["pause", &job, "--running", "freeze"]);
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    until("it stands still", || state().contains(") T "));
    cluster.ok(&["resume", &job]);
    until("it goes on", || !state().is_empty() && !state().contains(") T "));
    cluster.ok(&["pause", &job, "--running", "freeze"]);
    until("it stands still", || state().contains(") T "));
    cluster.ok(&["kill", &job, "--running", "stop"]);
    cluster.ends(&job, 11);
    assert!(!is_alive(pid));
}

#[test]
fn in_a_sandbox_images_are_run_where_the_admin_says_so_as_the_slots_user() {
    if !is_root() {
        println!("skipped: only root can give tasks users of their own");
        return;
    }
    let mut cluster = Cluster::start(&[]);
    stands_in_for(&mut cluster, "podman");
    cluster.add_worker(1, &["--sandbox", "basic"]);
    let job = cluster.submit_array("1", &["--image", "debian:12"], "id -u; id -u > $MILLPOND_OUTPUT/uid; echo $HOME; echo no >&2");
    until("it waits", || cluster.ok(&["explain", &job]).contains("no worker has podman or docker"));
    assert_eq!(calls(&cluster, "podman.log", "version"), 0, "it is not even looked for");
    cluster.add_worker(1, &["--sandbox", "basic", "--containers", "podman", "--task-processes", "64"]);
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    let out = bundle.text("000001/stdout");
    let uid: u32 = out.lines().next().unwrap().parse().unwrap();
    assert!(uid >= 61_184 && out.contains("/work"), "{out}");
    assert_eq!(bundle.text("000001/uid"), format!("{uid}\n"));
    let slot = fs::metadata(cluster.path("worker-2/slots/slot-0/stdout")).unwrap();
    assert_eq!(slot.uid(), uid, "what it prints is its own");
    let told = cluster.lines("podman.log").into_iter().find(|line| line.starts_with("run ")).unwrap();
    for words in ["--cap-drop all", "no-new-privileges", "--pids-limit 64", "--network host", &format!("--user {uid}:{uid}")] {
        assert!(told.contains(words), "`{words}` is missing in: {told}");
    }
    // The slot's other tasks are where they were.
    cluster.ok(&["worker", "drain", "w1"]);
    cluster.ends(&cluster.submit_array("1", &[], "echo $(id -u)"), 0);

    if Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: `strict`, as bubblewrap is not installed");
        return;
    }
    cluster.add_worker(1, &["--sandbox", "strict", "--containers", "podman", "--label", "walls=yes"]);
    cluster.ends(&cluster.submit_array("1", &["--image", "debian:12", "--label", "walls=yes"], "true"), 0);
    let told = cluster.lines("podman.log").into_iter().rfind(|line| line.starts_with("run ")).unwrap();
    assert!(told.contains("--network none"), "{told}");
}

#[test]
fn a_container_program_that_was_asked_for_and_is_unwell_is_a_reason_not_to_start() {
    let mut cluster = Cluster::start(&[]);
    stands_in_for(&mut cluster, "podman");
    cluster.write("unwell", "");
    let url = cluster.url.clone();
    let number = cluster.push_worker(&url, 1, &["--containers", "podman"]);
    assert!(!cluster.worker(number).ends().success());
    let log = cluster.tail("worker-1.log");
    assert!(log.contains("--containers podman: podman does not answer: Error: it is unwell"), "{log}");
    // Otherwise none is offered; the head has not met the first one.
    cluster.push_worker(&url, 1, NO_SANDBOX);
    cluster.worker_is_connected(1);
    assert!(cluster.show_worker(1)["labels"]["millpond.containers"].is_null());
}

const IMAGE: &str = "localhost/pond/busybox:1";

/// Podman on the ground of a test, with an image of one static program; why that can't be had, otherwise.
struct Podman {
    env: Vec<(String, String)>,
}

impl Podman {
    fn settles(cluster: &Cluster) -> Result<Self, String> {
        if Command::new("podman").arg("--version").stdout(Stdio::null()).status().is_err() {
            return Err("podman is not installed".to_owned());
        }
        let path = |name: &str| cluster.text_path(name);
        let storage = format!("[storage]\ndriver = \"vfs\"\nrunroot = \"{}\"\ngraphroot = \"{}\"\n", path("run"), path("graph"));
        cluster.write("storage.conf", storage);
        let env = [("CONTAINERS_CONF", path("containers.conf")), ("CONTAINERS_STORAGE_CONF", path("storage.conf"))];
        let podman = Self { env: env.map(|(name, value)| (name.to_owned(), value)).into() };
        let pack = "set -e; mkdir -p root/bin root/tmp; chmod 1777 root/tmp; cp /bin/busybox root/bin/; \
                    for name in sh cat id sleep wc true; do ln -s busybox root/bin/$name; done; tar -C root -cf root.tar .";
        let packed = cluster.command("sh").args(["-c", pack]).output().unwrap();
        if !packed.status.success() {
            return Err(format!("there is no /bin/busybox: install busybox-static: {}", String::from_utf8_lossy(&packed.stderr)));
        }
        let mut why = String::new();
        for runtime in ["crun", "runc"] {
            let limits = "default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]";
            let engine = format!(
                "runtime = \"{runtime}\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\ntmp_dir = \"{}\"",
                path("libpod")
            );
            cluster.write("containers.conf", format!("[containers]\n{limits}\n[engine]\n{engine}\n"));
            let tried = podman.says(cluster, &["import", "root.tar", IMAGE]);
            let tried = tried.and_then(|_| podman.says(cluster, &["run", "--rm", "--init", "--network", "host", IMAGE, "true"]));
            match tried {
                Ok(_) => return Ok(podman),
                Err(said) => why = format!("{why}; by {runtime}: {}", said.trim()),
            }
        }
        Err(format!("podman can't run a container here{why}"))
    }

    fn says(&self, cluster: &Cluster, args: &[&str]) -> Result<String, String> {
        let output = cluster.command("podman").args(args).envs(self.env.iter().cloned()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Workers that start from now on find it.
    fn is_at_hand(&self, cluster: &mut Cluster) {
        let set = self.env.iter().map(|(name, value)| format!("{name}={value}"));
        cluster.started_by = ["env".to_owned()].into_iter().chain(set).collect();
    }

    /// Containers that there are, dead ones too.
    fn containers(&self, cluster: &Cluster) -> usize {
        self.says(cluster, &["ps", "--all", "--quiet"]).unwrap().lines().count()
    }
}

/// The process of this command line, wherever it is.
fn process_of(line: &str) -> Option<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == line.replace(' ', "\0").as_bytes());
    pids.into_iter().find(is_it)
}

/// A job that sleeps in a container for so many seconds, a number of its own; its process.
fn sleeper(cluster: &Cluster, seconds: &str, options: &[&str]) -> (String, u32) {
    let job = cluster.submit(&[&["--array", "1", "--image", IMAGE, "--grace", "300ms"], options, &["--", "sleep", seconds]].concat());
    let line = format!("sleep {seconds}\0");
    until("it sleeps", || process_of(&line).is_some());
    (job, process_of(&line).unwrap())
}

#[test]
fn podman_itself_runs_tasks_and_leaves_nothing_of_them() {
    let mut cluster = Cluster::start(&[]);
    let podman = match Podman::settles(&cluster) {
        Ok(podman) => podman,
        Err(why) => return println!("skipped: {why}"),
    };
    podman.is_at_hand(&mut cluster);
    let kind = if is_root() { "basic" } else { "none" };
    cluster.add_worker(1, &["--sandbox", kind, "--containers", "podman"]);
    assert_eq!(cluster.show_worker(1)["labels"]["millpond.containers"], "yes", "{}", cluster.logs());

    let (input, shared) = (cluster.write("in.txt", "a\nb\n"), cluster.write("ref.txt", "shared\n"));
    let shell = "cat {input} {with:ref.txt}; echo $COLOUR; id -u; echo file > {output}/file; cat >&2 /etc/hostname; echo x > $HOME/x";
    let options = ["--split", "lines:1", "--image", IMAGE, "--env", "COLOUR=red green", "--with", &shared];
    let job = cluster.submit(&[&options[..], &[&input, "--", "sh", "-c", shell]].concat());
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    assert!(bundle.text("000001/stdout").starts_with("b\nshared\nred green\n"), "{}", bundle.text("000001/stdout"));
    assert_eq!(bundle.text("000000/file"), "file\n");
    let job = cluster.submit(&["--split", "lines:2", "--image", IMAGE, &input, "--", "wc", "-l"]);
    cluster.ends(&job, 0);
    assert_eq!(cluster.bundle(&job).text("000000/stdout").trim(), "2");

    for (image, command, says) in
        [(IMAGE, "nope", "podman could not run `nope` in"), ("localhost/pond/missing:1", "true", "can't be pulled on ")]
    {
        let job = cluster.submit(&["--array", "1", "--image", image, "--", command]);
        cluster.ends(&job, 10);
        let reason = reason(&cluster, &job);
        println!("{reason}");
        assert!(reason.contains(says), "{reason}");
    }
    let job = cluster.submit_array("1", &["--image", IMAGE], "exit 127");
    cluster.ends(&job, 10);
    assert_eq!(cluster.tasks(&job)[0]["exit_code"], 127);
    assert_eq!(podman.containers(&cluster), 0);

    let (job, pid) = sleeper(&cluster, "70001", &[]);
    cluster.ok(&["pause", &job, "--running", "freeze"]);
    until("it stands still", || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T ")));
    cluster.ok(&["resume", &job]);
    until("it goes on", || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") S ")));
    cluster.ok(&["kill", &job, "--running", "stop"]);
    cluster.ends(&job, 11);
    assert!(!is_alive(pid));
    assert_eq!(podman.containers(&cluster), 0);

    let (job, pid) = sleeper(&cluster, "70002", &["--timeout", "1s"]);
    cluster.ends(&job, 10);
    assert!(!is_alive(pid));
    assert_eq!(podman.containers(&cluster), 0);

    let (job, pid) = sleeper(&cluster, "70003", &[]);
    cluster.ok(&["kill", &job]);
    cluster.worker(1).dies();
    until("it is gone", || !is_alive(pid));
    until("and its container", || podman.containers(&cluster) == 0);
    cluster.worker_starts_again(1, &[]);
    cluster.ends(&job, 11);

    // Launcher and worker at once: the next start removes what podman keeps of it.
    let (job, pid) = sleeper(&cluster, "70004", &[]);
    cluster.ok(&["kill", &job]);
    let launchers = cluster.worker(1).descendants().into_iter().filter(|(_, line)| line.contains("__launcher"));
    let launchers: Vec<u32> = launchers.map(|(pid, _)| pid).collect();
    cluster.worker(1).stops();
    launchers.into_iter().for_each(|launcher| super::process::signal(launcher, rustix::process::Signal::KILL));
    cluster.worker(1).dies();
    cluster.worker_starts_again(1, &[]);
    until("it is gone", || !is_alive(pid));
    until("and its container", || podman.containers(&cluster) == 0);
    cluster.ends(&job, 11);
}
