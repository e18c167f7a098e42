//! Commands that behave badly: what each comes to, in words that say what is wrong; a job beside them is untouched, nothing of them stays
//! behind, and the next task on the same slot finds all as new.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::cluster::Cluster;
use super::process::{peak_kib, until};
use super::small_disk::{MIB, SmallDisk};

/// What a head and a worker may use, whatever tasks do.
const PEAK_MAX_KIB: u64 = 200 * 1024;
const SLOTS: usize = 3;

/// A head and a worker, and a task that runs there all the while.
struct Street {
    /// Below the worker's folder, if it has one of its own. It goes before the cluster.
    disk: Option<SmallDisk>,
    cluster: Cluster,
    neighbour: String,
}

impl Street {
    fn new() -> Self {
        Self::over(None, Cluster::start(&[SLOTS as u32]))
    }

    /// Where tasks have the worker's own rights, and with them its folder.
    fn open() -> Self {
        Self::over(None, Cluster::start_open(SLOTS as u32))
    }

    /// With the worker's folder in memory, where that can be had: files by the hundred thousand take a busy disk half a minute.
    fn in_memory() -> Self {
        let mut cluster = Cluster::start(&[]);
        let disk = SmallDisk::mount(cluster.path("worker-1"), 512 * MIB);
        cluster.add_worker(SLOTS as u32, &[]);
        Self::over(disk, cluster)
    }

    fn over(disk: Option<SmallDisk>, cluster: Cluster) -> Self {
        let gate = cluster.text_path("gate");
        let shell = format!("echo x > $PWD/mine; until [ -e {gate} ]; do sleep 0.05; done; cat mine; ls; ls -A {{output}}");
        let neighbour = cluster.submit_array("0", &[], &shell);
        until("the neighbour is there", || cluster.count(&neighbour, "running") == 1);
        Self { disk, cluster, neighbour }
    }

    /// A task that is this shell text; its job.
    fn task(&self, shell: &str) -> String {
        self.cluster.submit_array("0", &[], shell)
    }

    /// The job's only task has failed, and this is said of it.
    #[track_caller]
    fn fails(&self, job: &str, words: &[&str]) {
        self.cluster.ends(job, 10);
        let task = self.cluster.tasks(job).remove(0);
        let outcome = task["outcome"].as_str().unwrap();
        println!("{outcome}");
        for word in words {
            assert!(outcome.contains(word), "`{word}` is missing in: {task}");
        }
        assert!(self.cluster.ok(&["explain", &format!("{job}.0")]).contains(outcome), "{task}");
    }

    /// The job's only task has done its work; what it wrote to standard output and error.
    #[track_caller]
    fn succeeds(&self, job: &str) -> (String, String) {
        self.cluster.ends(job, 0);
        self.said(job)
    }

    fn said(&self, job: &str) -> (String, String) {
        let logs = self.cluster.millpond(&["logs", &format!("{job}.0")]);
        assert_eq!(logs.code, 0, "{logs:?}");
        (logs.out, logs.err)
    }

    /// The neighbour was never disturbed, every slot is as new, nothing runs on, and nobody has grown.
    #[track_caller]
    fn ends_as_it_began(mut self) {
        let cluster = &mut self.cluster;
        cluster.write("gate", "");
        cluster.ends(&self.neighbour, 0);
        assert_eq!(cluster.tasks(&self.neighbour)[0]["attempt"], 1, "{}", cluster.logs());
        assert_eq!(cluster.ok(&["logs", &format!("{}.0", self.neighbour)]), "x\nmine");

        let seen = cluster.text_path("seen");
        let all = format!("echo $PWD >> {seen}; until [ $(sort -u {seen} | wc -l) = {SLOTS} ]; do sleep 0.02; done");
        let next = cluster.submit_array(&format!("1-{SLOTS}"), &[], &format!("{all}; [ -z \"$(ls -A . | cat)$(ls -A {{output}})\" ]"));
        cluster.ends(&next, 0);

        until("nothing but launchers is left", || cluster.worker(1).descendants().iter().all(|(_, line)| line.contains("__launcher")));
        for slot in 0..SLOTS {
            let folder = cluster.path(&format!("worker-1/slots/slot-{slot}"));
            let names = || -> BTreeSet<String> {
                fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
            };
            let of_a_slot = ["in", "out", "stderr", "stdout", "work"].map(str::to_owned);
            until("the slot is clean", || names().is_subset(&of_a_slot.clone().into()));
        }
        let (head, worker) = (cluster.head_pid(), cluster.worker(1).pid());
        let processes = cluster.worker(1).descendants();
        for pid in [head, worker].into_iter().chain(processes.iter().map(|(pid, _)| *pid)) {
            assert!(peak_kib(pid) < PEAK_MAX_KIB, "process {pid} has used {} KiB", peak_kib(pid));
        }
        assert!(!cluster.logs().contains("panicked"), "{}", cluster.logs());
        if self.disk.is_some() {
            cluster.worker(1).dies();
            until("nothing runs there", || cluster.worker(1).descendants().is_empty());
        }
    }
}

#[test]
fn a_program_that_cannot_be_started_says_what_is_wrong_with_it() {
    let street = Street::new();
    let program = |name: &str, mode: u32, content: &[u8]| {
        let path = street.cluster.write(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let mut foreign = fs::read("/bin/true").unwrap();
    // The machine it is for, in an ELF header.
    foreign[18] = !foreign[18];
    fs::create_dir(street.cluster.path("folder")).unwrap();
    let cases: Vec<(String, &[&str])> = vec![
        (program("locked", 0o600, b"#!/bin/sh\n"), &["locked", "is not executable", "chmod +x"]),
        (street.cluster.text_path("nowhere"), &["nowhere", "does not exist"]),
        ("no-such-program".into(), &["no-such-program", "not found in PATH"]),
        (street.cluster.text_path("folder"), &["folder", "is a folder, not a program"]),
        (program("text", 0o755, b"echo hello\n"), &["text", "`#!` line", "start it with its interpreter"]),
        (program("empty", 0o755, b""), &["empty", "it is empty"]),
        (program("foreign", 0o755, &foreign), &["foreign", "not a program for this machine"]),
        (program("lost", 0o755, b"#!/no/such/shell -e\n"), &["lost", "interpreter `/no/such/shell` does not exist"]),
        (program("windows", 0o755, b"#!/bin/sh\r\necho hello\r\n"), &["windows", "CR LF", "dos2unix"]),
    ];
    let jobs: Vec<String> = cases.iter().map(|(path, _)| street.cluster.submit(&["--array", "0", "--", path])).collect();
    for (job, (_, words)) in jobs.iter().zip(&cases) {
        street.fails(job, &[&["could not be started"], *words].concat());
        assert!(street.cluster.tasks(job)[0]["exit_code"].is_null(), "no process ended");
    }
    street.ends_as_it_began();
}

#[test]
fn what_one_task_printed_never_comes_with_another() {
    // It writes to the folder of all slots.
    let cluster = Cluster::start_open(1);
    let ended = |job: &str, code: i32| -> (String, String) {
        cluster.ends(job, code);
        let logs = cluster.millpond(&["logs", &format!("{job}.0")]);
        assert_eq!(logs.code, 0, "{logs:?}");
        (logs.out, logs.err)
    };
    let own = |out: &str, err: &str| (out.to_owned(), err.to_owned());
    let prints = "umask 077; echo first; echo first >&2; ";
    assert_eq!(ended(&cluster.submit_array("0", &[], prints), 0), own("first\n", "first\n"));
    assert_eq!(ended(&cluster.submit(&["--array", "0", "--", "no-such-program"]), 10), own("", ""));
    assert_eq!(ended(&cluster.submit_array("0", &[], &format!("{prints} exit 3")), 10), own("first\n", "first\n"));
    assert_eq!(ended(&cluster.submit_array("0", &[], "exit 3"), 10), own("", ""));
    // What it printed is its output as well, by another name, and is not written over.
    let linked = cluster.submit_array("0", &[], &format!("{prints} ln ../stdout {{output}}/kept; ln ../stdout ../../outside"));
    assert_eq!(ended(&linked, 0), own("first\n", "first\n"));
    assert_eq!(ended(&cluster.submit_array("0", &[], "printf 2; ls -A {output}"), 0), own("2", ""));
    assert_eq!(ended(&cluster.submit_array("0", &[], "cat ../../outside"), 0), own("first\n", ""));
}

#[test]
fn what_goes_into_the_background_or_keeps_the_outputs_open_ends_with_its_task() {
    let street = Street::new();
    let tasks = [
        "sleep 600 & echo main",
        "(setsid sh -c 'trap \"\" TERM HUP; sleep 600; echo late' &); echo main",
        "(setsid sh -c '(setsid sleep 600 &); sleep 600' >&2 &) ; echo main",
        "exec sh -c 'sleep 600 & echo main'",
        "exec 2>&-; exec <&-; echo main",
    ];
    let jobs = tasks.map(|shell| street.task(shell));
    jobs.iter().for_each(|job| assert_eq!(street.succeeds(job), ("main\n".to_owned(), String::new())));
    street.fails(&street.task("exec <&- >&- 2>&-; exit 3"), &["exit code 3"]);
    street.ends_as_it_began();
}

#[test]
fn a_command_that_a_signal_ends_gives_128_and_its_number() {
    let street = Street::new();
    // Those that end a process by default; 32 and 33 belong to the C library.
    let ends = |signal: i64| !matches!(signal, 17..=23 | 28 | 32 | 33);
    let job = street.cluster.submit_array("1-64", &[], "case {index} in 1[789]|2[01238]|3[23]) ;; *) kill -{index} $$ ;; esac");
    street.cluster.ends(&job, 10);
    let codes: Vec<i64> = street.cluster.tasks(&job).iter().map(|task| task["exit_code"].as_i64().unwrap()).collect();
    assert_eq!(codes, (1..=64).map(|signal| if ends(signal) { 128 + signal } else { 0 }).collect::<Vec<_>>());
    for (signal, name) in [(9, "SIGKILL"), (11, "SIGSEGV"), (34, "signal 34")] {
        let why = street.cluster.ok(&["explain", &format!("{job}.{signal}")]);
        assert!(why.contains(&format!("ended by signal {signal}")) && why.contains(name), "{why}");
    }
    street.ends_as_it_began();
}

#[test]
fn a_command_that_stops_itself_or_leaves_its_group_still_ends() {
    let street = Street::new();
    let limits = ["--timeout", "300ms", "--grace", "30s"];
    let stopped = street.cluster.submit_array("0", &limits, "kill -STOP $$");
    // It leads no group any more; TERM finds it all the same.
    let leaves = "perl -e '$p = fork; unless ($p) { sleep 600 } setpgrp($p, $p); setpgrp(0, $p) or die;
        $| = 1; $SIG{TERM} = sub { print \"bye\\n\"; exit 3 }; print \"hello\\n\"; sleep 600'";
    let moved = street.cluster.submit_array("0", &limits, &format!("exec {leaves}"));
    street.fails(&stopped, &["longer than its time limit"]);
    street.fails(&moved, &["longer than its time limit"]);
    assert_eq!(street.said(&moved).0, "hello\nbye\n");
    let endless = street.task("kill -STOP $$");
    until("it runs", || street.cluster.count(&endless, "running") == 1);
    street.cluster.ok(&["kill", &endless, "--running", "stop"]);
    street.cluster.ends(&endless, 11);
    street.ends_as_it_began();
}

#[test]
fn a_command_that_stops_or_kills_the_process_that_watches_it_holds_up_nobody() {
    let street = Street::new();
    let stops = street.task("kill -STOP $PPID; echo done");
    let kills = street.task("kill -KILL $PPID; sleep 600");
    assert_eq!(street.succeeds(&stops).0, "done\n");
    street.fails(&kills, &["3 times", "the process that watches it"]);
    street.ends_as_it_began();
}

#[test]
fn too_much_output_is_refused_and_a_gigabyte_is_not() {
    let street = Street::new();
    let most = street.task("echo begins >&2; exec head -c 1000000000 /dev/zero");
    let more = street.task("echo begins >&2; exec head -c 1200000000 /dev/zero");
    let errors = street.task("echo begins; exec head -c 1000000000 /dev/zero >&2");
    let sparse = street.task("echo begins; exec truncate -s 100G {output}/sparse");
    street.fails(&more, &["standard output is larger than 1073741824 bytes", "file in {output}"]);
    street.fails(&errors, &["standard error is larger than 268435456 bytes"]);
    street.fails(&sparse, &["more than 68719476736 bytes"]);
    assert_eq!((street.said(&errors).0, street.said(&sparse).0), ("begins\n".to_owned(), "begins\n".to_owned()));
    street.cluster.ends(&most, 0);
    street.ends_as_it_began();
}

#[test]
fn a_hundred_thousand_files_are_too_many_for_a_result_and_no_matter_elsewhere() {
    let street = Street::in_memory();
    let make = "seq 100000 | xargs touch; echo out; echo err >&2";
    let jobs = [street.task(&format!("cd {{output}}; {make}")), street.task(make)];
    street.fails(&jobs[0], &["it left more than 10000 files", "archive"]);
    let (out, err) = street.said(&jobs[0]);
    assert!(out == "out\n" && err.starts_with("err\n"), "what it said is kept: {out} {err}");
    assert_eq!(street.succeeds(&jobs[1]).0, "out\n");
    let deep = street.task("cd {output}; for n in $(seq 70); do mkdir d; cd d; done; echo x > f; echo out");
    street.fails(&deep, &["nested deeper than 64"]);
    assert_eq!(street.said(&deep).0, "out\n");
    street.ends_as_it_began();
}

#[test]
fn links_and_what_is_no_file_bring_nothing_in_from_outside() {
    let street = Street::new();
    let secret = street.cluster.write("secret", "secret\n");
    let shell = format!(
        "cd {{output}}; echo mine > mine; ln mine hard; ln -s mine near; ln -s {secret} far; ln -s /etc folder; ln -s ../stdout up; ln -s . self
         ln -s b a; ln -s a b; mkfifo pipe; mknod null c 1 3 2> /dev/null; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"socket\", Listen => 1)'; true"
    );
    let job = street.task(&shell);
    let (_, said) = street.succeeds(&job);
    let outside = "points out of the output folder";
    for line in [
        "a leads in a circle",
        "b leads in a circle",
        &format!("far {outside}"),
        &format!("folder {outside}"),
        "pipe is no file",
        "self points to a folder",
        "socket is no file",
        &format!("up {outside}"),
    ] {
        assert!(said.contains(&format!("millpond: left out of the result: {line}\n")), "{said}");
    }
    let bundle = street.cluster.bundle(&job);
    assert_eq!(bundle.names(), ["000000/hard", "000000/mine", "000000/near", "manifest.json", "run.json"]);
    assert!(bundle.entries.iter().filter(|(name, _)| name.starts_with('0')).all(|(_, content)| content == b"mine\n"));
    street.ends_as_it_began();
}

#[test]
fn odd_names_come_back_each_under_one_of_its_own() {
    let street = Street::new();
    let long = "7".repeat(255);
    let shell = format!(
        "cd {{output}}; echo printed; echo 1 > \"$(printf 'a\\nb')\"; echo 2 > \"$(printf 'a\\tb')\"; echo 3 > \"$(printf '\\377\\376')\"; echo 4 > {long}
         echo 5 > 🐟; echo 6 > stdout; echo 7 > stderr; echo 8 > manifest.json; mkdir ...; echo 9 > .../x; echo 10 > 'a b'; echo 11 > -rf; echo 12 > 'C:\\x'"
    );
    let job = street.task(&shell);
    street.succeeds(&job);
    let bundle = street.cluster.bundle(&job);
    let content = |name: &str| bundle.text(&format!("000000/{name}")).trim_end();
    let names = ["a_b", "a_b~2", "__", &long, "🐟", "stdout~2", "stderr", "manifest.json", ".../x", "a b", "-rf", "C__x", "stdout"];
    let contents = names.map(content);
    let mut sorted = contents.map(str::to_owned);
    sorted[..2].sort();
    assert_eq!(sorted, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "printed"]);
    assert_eq!(bundle.names().len(), names.len() + 2, "{:?}", bundle.names());
    street.ends_as_it_began();
}

#[test]
fn folders_that_are_locked_deleted_or_replaced_are_there_again_for_the_next_task() {
    let street = Street::open();
    fs::create_dir(street.cluster.path("precious")).unwrap();
    street.cluster.write("precious/file", "x");
    let precious = street.cluster.text_path("precious");
    let locks = "mkdir -p a/b {output}/d/e; echo kept > {output}/d/e/f; chmod 000 a/b a {output}/d/e/f {output}/d/e {output}/d {output} .";
    let jobs = [locks, "rm -rf \"$PWD\"; echo out"].map(|shell| street.task(shell));
    jobs.iter().for_each(|job| drop(street.succeeds(job)));
    assert_eq!(street.cluster.bundle(&jobs[0]).text("000000/d/e/f"), "kept\n");
    let no_output = street.task("rm -rf {output}; echo out");
    street.fails(&no_output, &["the output folder is missing"]);
    assert_eq!(street.said(&no_output).0, "out\n");
    for shell in [
        "slot=${PWD%/work}; rm -rf $slot".to_owned(),
        format!("slot=${{PWD%/work}}; rm -rf $slot; ln -s {precious} $slot"),
        format!("rmdir {{output}}; ln -s {precious} {{output}}"),
        format!("cd ..; rm -rf work; ln -s {precious} work; rmdir {{output}}; mkfifo {{output}}"),
    ] {
        street.fails(&street.task(&shell), &["output"]);
    }
    assert_eq!(fs::read_to_string(street.cluster.path("precious/file")).unwrap(), "x");
    street.ends_as_it_began();
}

#[test]
fn what_a_task_wrote_into_an_idle_slot_is_gone_before_the_next_task_there() {
    let street = Street::open();
    let shell =
        "for slot in ../../slot-*; do [ -e $slot/work/mine ] || { echo x > $slot/work/junk; mkdir $slot/out/junk; }; done; echo out";
    assert_eq!(street.succeeds(&street.task(shell)).0, "out\n");
    street.ends_as_it_began();
}
