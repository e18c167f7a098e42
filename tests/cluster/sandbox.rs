//! What a sandbox stops: each way out of a task is tried under each profile, by real processes, and the table in `docs/security.md` must say
//! what was seen. Needs root, and for `strict` bubblewrap; without them, it says so.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::cluster::Cluster;
use super::process::until;

const PROFILES: [&str; 3] = ["none", "basic", "strict"];
/// The limits that the table speaks of.
const LIMITS: [&str; 6] = ["--task-processes", "64", "--task-file", "8M", "--task-mem", "256M"];
/// What no task is to see.
const SECRET: &str = "swordfish-of-the-pond";

/// A way out, as in the table.
struct Attempt {
    name: &'static str,
    /// Prints `OUT` if it has come out.
    shell: String,
}

/// Why a profile can't be tried here.
fn missing(profile: &str) -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can give tasks users of their own");
    }
    let has_bwrap = || Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok();
    (profile == "strict" && !has_bwrap()).then_some("bubblewrap is not installed")
}

fn under(profile: &str, slots: u32, options: &[&str]) -> Cluster {
    let mut cluster = Cluster::start(&[]);
    cluster.add_worker(slots, &[&["--sandbox", profile], options].concat());
    cluster
}

/// What the only task of a job has printed, once that has ended, however.
fn said(cluster: &Cluster, job: &str) -> String {
    let waited = cluster.millpond(&["wait", job, "--timeout", "60s"]);
    assert!([0, 10].contains(&waited.code), "{waited:?}\n{}", cluster.logs());
    let logs = cluster.millpond(&["logs", &format!("{job}.0")]);
    println!("{job}: {}{}", logs.out, logs.err);
    logs.out
}

/// The ways that need nobody but the task.
fn alone(cluster: &Cluster) -> Vec<Attempt> {
    let head = cluster.data_dir.join("journal.mark");
    let (head, worker) = (head.to_str().unwrap(), cluster.text_path("worker-1/key"));
    let address = cluster.url.strip_prefix("http://").unwrap().replace(':', "/");
    let mark = format!("/tmp/{}", cluster.path("left").to_str().unwrap().replace('/', "-"));
    let outside = cluster.text_path("written");
    let attempt = |name, shell: &str| Attempt { name, shell: shell.to_owned() };
    vec![
        attempt("more processes than `--task-processes`", "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; echo OUT"),
        attempt("a file larger than `--task-file`", "head -c 16777216 /dev/zero > big; [ $(stat -c %s big) = 16777216 ] && echo OUT"),
        attempt("more memory than `--task-mem`", "perl -e '$x = \"x\" x (512 << 20); print \"OUT\\n\"'"),
        attempt("reading the worker's key", &format!("[ -n \"$(cat {worker})\" ] && echo OUT")),
        attempt("reading the head's state on the same machine", &format!("[ -n \"$(od {head})\" ] && echo OUT")),
        attempt("a variable of the worker that nobody named", "[ -n \"$POND_SECRET\" ] && echo OUT"),
        attempt("new rights, by a program that has them", "grep -q 'NoNewPrivs:.0' /proc/self/status && echo OUT"),
        attempt("writing where everybody may", &format!("echo x > {outside} && echo OUT")),
        attempt("leaving something in `/tmp`, seen by others", &format!("umask 0; echo x > {mark}; echo {mark}")),
        attempt("the network: the head, other machines", &format!("bash -c 'exec 3<>/dev/tcp/{address}' && echo OUT")),
        attempt("a symbolic link out of the output folder", &format!("ln -s {worker} {{output}}/link")),
        attempt("a hard link to a file of the worker", &format!("ln {worker} {{output}}/link")),
    ]
}

/// Whether it came out. What is only seen from outside is looked at here.
fn comes_out(cluster: &Cluster, attempt: &Attempt) -> bool {
    let job = cluster.submit_array("0", &[], &format!("{}; true", attempt.shell));
    let said = said(cluster, &job);
    let names = cluster.bundle(&job).names().join(" ");
    match attempt.name {
        name if name.contains(" link ") => names.contains("/link"),
        name if name.contains("`/tmp`") => fs::remove_file(said.trim()).is_ok(),
        _ => said.contains("OUT"),
    }
}

/// A task beside the others, and what one of another job can do to it.
fn to_a_sibling(cluster: &Cluster) -> BTreeMap<&'static str, bool> {
    let sibling = cluster.submit(&["--array", "0", "--env", &format!("SIBLING={SECRET}"), "--", "sleep", "600.25"]);
    let mut pid = 0;
    until("the sibling runs", || {
        let found =
            cluster.processes().into_iter().find(|(_, line)| line.trim() == "/usr/bin/sleep 600.25" || line.trim() == "/bin/sleep 600.25");
        pid = found.map_or(0, |(pid, _)| pid);
        pid > 0
    });
    let shell = format!(
        "tr '\\0' '\\n' < /proc/{pid}/environ | grep -q {SECRET} && echo READ; (exec 3< /proc/{pid}/mem) && echo TRACED; \
         ls /proc/{pid}/fd/ >/dev/null && echo READ; kill -KILL {pid} && echo KILLED; true"
    );
    let said = said(cluster, &cluster.submit_array("0", &[], &shell));
    let is_alive = cluster.count(&sibling, "running") == 1;
    cluster.millpond(&["kill", &sibling, "--running", "stop"]);
    cluster.millpond(&["wait", &sibling, "--timeout", "60s"]);
    assert!(is_alive || said.contains("KILLED"), "{said}");
    let traced = said.contains("TRACED") || said.contains("READ");
    BTreeMap::from([
        ("tracing a task of another slot, reading its memory", traced),
        ("killing a task of another slot", said.contains("KILLED")),
    ])
}

/// Somebody who goes into the background, in sessions of his own.
fn stays(cluster: &Cluster) -> bool {
    let shell = "(setsid sh -c '(setsid sleep 601.5 &); trap \"\" TERM HUP; sleep 601.5' >/dev/null 2>&1 &); echo gone";
    let job = cluster.submit_array("0", &[], shell);
    assert_eq!(said(cluster, &job), "gone\n");
    cluster.processes().iter().any(|(_, line)| line.contains("sleep 601.5"))
}

/// What each way came to: whether it was stopped.
fn stopped(profile: &str) -> BTreeMap<&'static str, bool> {
    let mut cluster = Cluster::start(&[]);
    cluster.started_by = ["env", &format!("POND_SECRET={SECRET}")].map(str::to_owned).into();
    cluster.add_worker(2, &[&["--sandbox", profile], LIMITS.as_slice()].concat());
    let shown = cluster.show_worker(1);
    assert_eq!(shown["sandbox"], profile, "{shown}");
    let mut out: BTreeMap<&str, bool> = alone(&cluster).iter().map(|attempt| (attempt.name, comes_out(&cluster, attempt))).collect();
    out.extend(to_a_sibling(&cluster));
    out.insert("going on in the background after its end", stays(&cluster));
    out.into_iter().map(|(name, out)| (name, !out)).collect()
}

/// The table of the docs: a row's name, and for each profile whether it stops that.
fn table() -> BTreeMap<String, [String; 3]> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let (_, section) = text.split_once("## What a sandbox stops").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<String> = row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let [name, none, basic, strict] = cells.try_into().unwrap_or_else(|cells| panic!("four cells: {cells:?}"));
        (name, [none, basic, strict])
    })
    .collect()
}

const METADATA: &str = "the metadata address of a cloud";

#[test]
fn the_table_of_what_a_sandbox_stops_is_true() {
    let table = table();
    for (at, profile) in PROFILES.into_iter().enumerate() {
        if let Some(why) = missing(profile) {
            println!("skipped: {profile}: {why}");
            continue;
        }
        let seen = stopped(profile);
        let seen: BTreeMap<&str, &str> = seen.into_iter().map(|(name, stopped)| (name, if stopped { "yes" } else { "no" })).collect();
        let told = table.iter().filter(|(name, _)| *name != METADATA).map(|(name, cells)| (name.as_str(), cells[at].as_str()));
        assert_eq!(seen, told.collect(), "{profile}");
    }
}

#[test]
fn a_fork_bomb_ends_with_its_task_and_the_slot_goes_on() {
    for profile in ["basic", "strict"] {
        if let Some(why) = missing(profile) {
            println!("skipped: {profile}: {why}");
            continue;
        }
        let cluster = under(profile, 2, &["--task-processes", "300"]);
        let neighbour = cluster.submit_array("0", &[], "sleep 601.75");
        until("the neighbour runs", || cluster.count(&neighbour, "running") == 1);
        // Each in a session of its own, so that no signal to a group hits two of them.
        let bomb =
            "exec perl -MPOSIX -e '$SIG{TERM} = $SIG{HUP} = \"IGNORE\"; while (1) { my $p = fork; POSIX::setsid() if defined $p && !$p }'";
        let job = cluster.submit_array("0", &["--timeout", "2s", "--grace", "100ms"], bomb);
        let ended = cluster.ends(&job, 10);
        assert!(cluster.tasks(&job)[0]["outcome"].as_str().unwrap().contains("time limit"), "{ended}");
        assert!(!cluster.processes().iter().any(|(_, line)| line.contains("perl")), "{:?}", cluster.processes());
        let next = cluster.submit_array("0-9", &[], "echo next");
        cluster.ends(&next, 0);
        assert_eq!(cluster.count(&neighbour, "running"), 1);
        cluster.ok(&["kill", &neighbour, "--running", "stop"]);
    }
}

#[test]
fn a_task_behind_walls_has_its_inputs_its_folders_and_nothing_of_the_task_before() {
    if let Some(why) = missing("strict") {
        return println!("skipped: {why}");
    }
    let cluster = under("strict", 1, &[]);
    let shared = cluster.write("shared.txt", "shared\n");
    let input = cluster.write("in.txt", format!("small\n{}\n", "x".repeat(200_000)));
    let shell = "cat {input} | head -c 6; cat {with:shared.txt}; ls -A /tmp /dev/shm | grep -v -e : -e ^pond-; echo x > /tmp/left; echo x > /dev/shm/left; \
                 mkdir -p /var/tmp/a/b; echo work > file; cp file {output}/out; cat /proc/1/cmdline | tr '\\0' ' ' | grep -c launcher; \
                 rm -f {with:shared.txt} 2>/dev/null || echo kept; id -u >&2; [ \"$HOME$TMPDIR\" = \"$PWD$PWD\" ] && env | grep -c ^POND >&2";
    let job = cluster.submit(&[&input, "--split", "lines:1", "--with", &shared, "--", "sh", "-c", shell]);
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    for (index, begins) in [(0, "small\n"), (1, "xxxxxx")] {
        let text = bundle.text(&format!("{index:06}/stdout")).replace("\n\n", "\n");
        assert_eq!(text, format!("{begins}shared\n1\nkept\n"), "{index}");
        assert_eq!(bundle.text(&format!("{index:06}/out")), "work\n");
    }
    let launchers = cluster.submit_array("0-3", &[], "echo x > /tmp/left; readlink /proc/self/ns/pid");
    cluster.ends(&launchers, 0);
    let bundle = cluster.bundle(&launchers);
    let launchers: std::collections::BTreeSet<&str> = (0..4).map(|task| bundle.text(&format!("{task:06}/stdout"))).collect();
    assert_eq!(launchers.len(), 1, "the walls were built once: {launchers:?}");
    // It takes a stop, a time limit and a freeze as others do.
    let slow = cluster.submit_array("0", &["--timeout", "300ms"], "sleep 600");
    cluster.ends(&slow, 10);
    let killed = cluster.submit_array("0", &[], "trap 'echo bye; exit 3' TERM; while :; do sleep 0.05; done");
    until("it runs", || cluster.count(&killed, "running") == 1);
    cluster.ok(&["pause", &killed, "--running", "freeze"]);
    cluster.ok(&["resume", &killed]);
    cluster.ok(&["kill", &killed, "--running", "stop"]);
    cluster.ends(&killed, 11);
}

#[test]
fn a_worker_that_is_killed_takes_what_is_behind_its_walls_with_it() {
    if let Some(why) = missing("strict") {
        return println!("skipped: {why}");
    }
    for profile in ["basic", "strict"] {
        let mut cluster = under(profile, 2, &[]);
        let job = cluster.submit_array("0-1", &[], "(setsid sleep 600 &); sleep 600");
        until("both run", || cluster.count(&job, "running") == 2);
        cluster.worker(1).dies();
        until("nothing is left", || cluster.worker(1).descendants().is_empty());
        cluster.ok(&["kill", &job]);
        cluster.worker_starts_again(1, &[]);
        let next = cluster.submit_array("0-3", &[], "echo next");
        cluster.ends(&next, 0);
    }
}

#[test]
fn where_bubblewrap_is_missing_landlock_closes_the_system_and_the_worker_says_so() {
    if let Some(why) = missing("strict") {
        return println!("skipped: {why}");
    }
    let mut cluster = Cluster::start(&[]);
    // In a mount namespace in which it is no file.
    let hide = "mount --bind /dev/null \"$(readlink -f \"$(command -v bwrap)\")\" && exec \"$@\"";
    cluster.started_by = ["unshare", "-m", "sh", "-c", hide, "sh"].map(str::to_owned).into();
    let number = cluster.worker_joins(1);
    cluster.worker_is_connected(number);
    // By now it is known whether the kernel has Landlock: a worker that asks for it refuses to start, or says what is missing.
    cluster.worker(number).is_asked_to_end();
    cluster.worker(number).ends();
    let number = cluster.push_worker(&cluster.url.clone(), 1, &["--sandbox", "strict"]);
    let log = format!("worker-{number}.log");
    until("it is there, or refuses", || cluster.worker_state(number) == "available" || cluster.tail(&log).contains("can't be had here"));
    if cluster.tail(&log).contains("can't be had here") {
        cluster.worker(number).ends();
        return println!("skipped: this kernel has no Landlock: {}", cluster.tail(&log));
    }
    let shown = cluster.show_worker(number);
    let gaps = shown["sandbox_gaps"].as_array().unwrap().iter().map(Value::to_string).collect::<String>();
    assert!(shown["sandbox"] == "strict" && gaps.contains("by Landlock alone"), "{shown}");
    assert!(
        cluster.ok(&["worker", "show", &format!("w{number}")]).contains("but the system is closed by Landlock alone (bwrap is missing")
    );
    let (outside, address) = (cluster.text_path("written"), cluster.url.strip_prefix("http://").unwrap().replace(':', "/"));
    let shell = format!(
        "echo x > {outside} && echo WROTE; echo x > /tmp/pond-landlock && echo WROTE; bash -c 'exec 3<>/dev/tcp/{address}' && echo CALLED; \
         echo x > here; echo x > {{output}}/out; echo x > /dev/null && echo fine"
    );
    let job = cluster.submit_array("0", &[], &shell);
    cluster.ends(&job, 0);
    assert_eq!(cluster.bundle(&job).text("000000/stdout"), "fine\n");
}

#[test]
fn a_sandbox_that_can_not_be_had_is_refused_with_a_way_out() {
    if let Some(why) = missing("basic") {
        return println!("skipped: {why}");
    }
    let cluster = Cluster::start(&[]);
    let closed = cluster.path("closed");
    fs::create_dir(&closed).unwrap();
    std::os::unix::fs::chown(&closed, Some(0), Some(0)).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let start = |options: &[&str]| {
        let mut command = cluster.command(env!("CARGO_BIN_EXE_millpond-worker"));
        let dir = closed.join("w");
        command.args(["--head", &cluster.url, "--dir", dir.to_str().unwrap()]).args(options).env("RUST_LOG", "off");
        super::ground::Answer::from(command.output().unwrap())
    };
    start(&[]).refused(5, &["users of their own", "/closed is closed to others", "--sandbox none"]);
    start(&["--sandbox", "none", "--sandbox-net"]).refused(2, &["--sandbox-net needs"]);
    start(&["--sandbox", "lax"]).refused(2, &["none, basic or strict"]);
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    start(&["--slots", "4", "--task-uids", "70000-70002"]).refused(1, &["of the users 70000-70002", "--task-uids"]);
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A machine in a cloud: the worker's network, and behind it one where the metadata address is. Gone with this.
struct Cloud {
    /// The worker's namespace, and that of the metadata service.
    names: [String; 2],
    link: String,
    /// The head's address on our end of the link.
    head: String,
}

impl Cloud {
    fn new() -> Self {
        let id = std::process::id();
        let names = [format!("pond-vm-{id}"), format!("pond-md-{id}")];
        let (link, inner) = (format!("sv{id}"), format!("sw{id}"));
        // Of 198.18.0.0/15, which is set aside for tests of networks; `namespaces` has the lower half of the last number's range.
        let head = format!("198.19.{}.129", id % 256);
        let cloud = Self { names, link, head };
        let [vm, metadata] = &cloud.names;
        ip(&["netns", "add", vm]);
        ip(&["netns", "add", metadata]);
        ip(&["link", "add", &cloud.link, "type", "veth", "peer", "name", &inner, "netns", vm]);
        ip(&["addr", "add", &format!("{}/30", cloud.head), "dev", &cloud.link]);
        ip(&["link", "set", &cloud.link, "up"]);
        ip(&["-n", vm, "addr", "add", &format!("198.19.{}.130/30", id % 256), "dev", &inner]);
        ip(&["-n", vm, "link", "set", &inner, "up"]);
        ip(&["-n", vm, "link", "set", "lo", "up"]);
        ip(&["-n", vm, "link", "add", "md0", "type", "veth", "peer", "name", "md1", "netns", metadata]);
        ip(&["-n", vm, "addr", "add", "169.254.7.1/16", "dev", "md0"]);
        ip(&["-n", vm, "link", "set", "md0", "up"]);
        ip(&["-n", metadata, "addr", "add", "169.254.169.254/16", "dev", "md1"]);
        ip(&["-n", metadata, "link", "set", "md1", "up"]);
        cloud
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        for args in [["link", "del", &self.link], ["netns", "del", &self.names[0]], ["netns", "del", &self.names[1]]] {
            let _ = Command::new("ip").args(args).stderr(Stdio::null()).status();
        }
    }
}

#[test]
fn the_metadata_address_is_closed_where_the_network_is_not() {
    let has_ip = Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_ok();
    if let Some(why) = missing("strict").or((!has_ip).then_some("`ip` is not installed")) {
        return println!("skipped: {why}");
    }
    let cloud = Cloud::new();
    let mut cluster = Cluster::without_head(&["--insecure"]);
    cluster.head_starts_at(&format!("{}:0", cloud.head));
    // Something that listens at the metadata address.
    let mut service = cluster.command("ip");
    service.args(["netns", "exec", &cloud.names[1], env!("CARGO_BIN_EXE_millpond-head"), "--insecure", "--listen", "169.254.169.254:80"]);
    let mut service =
        service.args(["--data-dir", &cluster.text_path("service")]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let head = cluster.url.strip_prefix("http://").unwrap().replace(':', "/");
    let shell =
        format!("bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' && echo METADATA; bash -c 'exec 3<>/dev/tcp/{head}' && echo HEAD; true");
    cluster.started_by = ["ip", "netns", "exec", &cloud.names[0]].map(str::to_owned).into();
    let table = table();
    let cases = [("none", false), ("basic", false), ("strict", false), ("basic", true), ("strict", true)];
    for (number, (profile, net)) in (1..).zip(cases) {
        let options = if net { vec!["--sandbox", profile, "--sandbox-net"] } else { vec!["--sandbox", profile] };
        assert_eq!(cluster.add_worker(1, &options), number);
        if number == 1 {
            until("the service listens", || said(&cluster, &cluster.submit_array("0", &[], &shell)).contains("METADATA"));
        }
        let said = said(&cluster, &cluster.submit_array("0", &[], &shell));
        if net {
            assert_eq!(said, "HEAD\n", "{profile} with --sandbox-net");
        } else {
            let at = PROFILES.iter().position(|name| *name == profile).unwrap();
            let stopped = if said.contains("METADATA") { "no" } else { "yes" };
            assert_eq!((stopped, said.contains("HEAD")), (table[METADATA][at].as_str(), profile != "strict"), "{profile}");
        }
        cluster.worker(number).is_asked_to_end();
        cluster.worker(number).ends();
    }
    service.kill().unwrap();
    service.wait().unwrap();
}
