//! What tasks need besides a slot: graphics processors of their own, numbers that people can see, room that nobody starves for.

use super::cluster::Cluster;
use super::process::until;

/// Writes a line to `file` with what the task was told of itself, and waits at the gate.
fn tells(cluster: &Cluster, file: &str) -> String {
    let (file, gate) = (cluster.text_path(file), cluster.text_path("gate"));
    format!(
        "echo \"$MILLPOND_INDEX cuda=${{CUDA_VISIBLE_DEVICES-unset}} gpus=${{MILLPOND_GPUS-unset}} cpus=${{MILLPOND_CPUS-unset}} \
         mem=${{MILLPOND_MEM_BYTES-unset}} omp=${{OMP_NUM_THREADS-unset}}\" >> {file}; until [ -e {gate} ]; do sleep 0.05; done"
    )
}

/// What was told, sorted, without the task's number.
fn told(cluster: &Cluster, file: &str) -> Vec<String> {
    let mut lines: Vec<String> = cluster.lines(file).iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    lines.sort();
    lines
}

#[test]
fn every_task_has_graphics_processors_of_its_own_and_keeps_them_through_a_restart_of_the_head() {
    let mut cluster = Cluster::start(&[]);
    cluster.add_worker(4, &["--gpus", "0,3,5", "--cpus", "8", "--mem", "8G"]);
    let two = cluster.submit_array("0-1", &["--gpus", "1", "--cpus", "2", "--mem", "1G"], &tells(&cluster, "two"));
    cluster.has_lines("two", 2);
    let expected = |gpu: u32| format!("cuda={gpu} gpus={gpu} cpus=2 mem=1073741824 omp=2");
    assert_eq!(told(&cluster, "two"), [expected(0), expected(3)]);
    cluster.head_dies();
    cluster.head_starts_again();
    let one = cluster.submit_array("0", &["--gpus", "1"], &tells(&cluster, "one"));
    cluster.has_lines("one", 1);
    assert_eq!(told(&cluster, "one"), ["cuda=5 gpus=5 cpus=unset mem=unset omp=unset"], "the others are taken");
    let none = cluster.submit_array("0", &[], &tells(&cluster, "none"));
    cluster.has_lines("none", 1);
    assert_eq!(told(&cluster, "none"), ["cuda= gpus= cpus=unset mem=unset omp=unset"], "it asked for none");
    cluster.write("gate", "");
    [two, one, none].iter().for_each(|job| drop(cluster.ends(job, 0)));
    // Nothing is lost on the way: all three at once.
    cluster.ok(&[
        "run",
        "--gpus",
        "3",
        "--array",
        "1",
        "-o",
        &cluster.text_path("all.zip"),
        "--",
        "sh",
        "-c",
        "test $MILLPOND_GPUS = 0,3,5",
    ]);
}

#[test]
fn a_worker_is_shown_with_what_is_used_and_free_and_comes_back_with_what_it_has_then() {
    let mut cluster = Cluster::start(&[]);
    cluster.add_worker(3, &["--gpus", "2", "--cpus", "4", "--mem", "4G", "--label", "zone=a"]);
    let gate = format!("until [ -e {} ]; do sleep 0.05; done", cluster.text_path("gate"));
    let job = cluster.submit_array("7", &["--gpus", "1", "--cpus", "3", "--mem", "1G"], &gate);
    until("it runs", || cluster.count(&job, "running") == 1);
    let shown = cluster.show_worker(1);
    let amounts = |what: &str| ["slots", "cpus", "mem_bytes", "gpus"].map(|name| shown[what][name].as_u64().unwrap());
    assert_eq!((amounts("used"), amounts("left")), ([1, 3, 1 << 30, 1], [2, 1, 3 << 30, 1]), "{shown}");
    let holds = shown["holds"].as_array().unwrap();
    assert!(holds.len() == 1 && holds[0]["id"] == format!("{job}.7") && holds[0]["started"] == true, "{shown}");
    assert!(holds[0]["since"].is_string() && shown["kept_for"].is_null() && shown["labels"]["zone"] == "a", "{shown}");
    let table = cluster.ok(&["worker", "show", "w1"]);
    for line in ["cpus      4 in all, 3 used, 1 free", "gpus      2 in all, 1 used, 1 free", "memory    4.0 GiB in all, 1.0 GiB used"] {
        assert!(table.contains(line), "{table}");
    }
    assert!(table.contains(&format!("{job}.7 runs since ")), "{table}");

    let reason = |job: &str| cluster.show(job)["reason"].as_str().unwrap().to_owned();
    let short = cluster.submit_array("0", &["--cpus", "2"], "true");
    let explained = |words: &str| until(words, || reason(&short).contains(words));
    explained("needs 2 cpus; the most that is free now is 1 cpu (w1)");
    let three = cluster.submit_array("0", &["--gpus", "3"], "test $MILLPOND_GPUS = 4,5,6");
    let explained = cluster.ok(&["explain", &three]);
    assert!(explained.contains("needs 3 gpus; the most any worker has is 2 gpus (w1)"), "{explained}");
    cluster.write("gate", "");
    cluster.ends(&short, 0);
    // The same worker, with other equipment.
    cluster.worker(1).dies();
    cluster.worker_is_equipped(1, "--gpus", "4,5,6");
    cluster.worker_starts_again(1, &[]);
    cluster.ends(&three, 0);
    assert_eq!(cluster.show_worker(1)["gpus"], 3);
}

#[test]
fn a_job_that_needs_a_whole_worker_does_not_starve() {
    let mut cluster = Cluster::start_with(&[], &["--reserve-after", "1s"]);
    cluster.add_worker(2, &["--cpus", "2"]);
    // Their ends never fall together for long: without a reservation one slot is always taken.
    let small = cluster.submit_array("0-9999", &["--cpus", "1"], "sleep 0.$(($MILLPOND_INDEX % 3 + 2))");
    until("every slot is busy", || cluster.count(&small, "running") == 2);
    let large = cluster.submit_array("0", &["--cpus", "2", "--owner", "bob"], &tells(&cluster, "large"));
    cluster.has_lines("large", 1);
    cluster.write("gate", "");
    cluster.ends(&large, 0);
    until("the small ones go on", || cluster.count(&small, "running") == 2);
    cluster.ok(&["kill", &small, "--running", "stop"]);
    let (large, small) = (cluster.show(&large), cluster.ends(&small, 11));
    let waited = super::ground::seconds_between(&large["created"], &large["started"]);
    println!("it waited {waited} s; {} small ones ran", small["tasks"]["succeeded"]);
    assert!(waited > 0.9, "nothing was in its way: {waited}");
}
