//! `kill -9` and SIGSTOP over heads, workers and tasks, again and again, at random moments: the job ends as if nothing had happened, and what
//! was acknowledged meanwhile is there. `MILLPOND_SEED` tells a story again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::clerk::Clerk;
use super::cluster::Cluster;
use super::pause::each_once;
use super::process::{self, until, until_within};
use super::rng::Rng;
use super::same_bytes::same_but_for_run_json;
use super::storm::no_slot_is_lost;
use super::{is_full, start_within};

/// Slots of each worker.
const SLOTS: [u32; 3] = [3, 3, 2];
/// The longest that a killed process stays away, or a stopped one stands still, in milliseconds.
const AWAY_MAX_MS: u64 = 200;

/// Where tasks say that they begin.
const LOG: &str = "log";

fn seeded() -> Rng {
    let seed = std::env::var("MILLPOND_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| std::process::id().into());
    println!("MILLPOND_SEED={seed}");
    Rng::new(seed)
}

fn pause(rng: &mut Rng) {
    std::thread::sleep(Duration::from_millis(rng.below(AWAY_MAX_MS)));
}

/// A job over data, a chunk a line: small and large results, files and standard output, tasks long enough to be met by a kill.
fn submit(cluster: &Cluster, tasks: usize, name: &str) -> String {
    let lines: String = (0..tasks).map(|line| format!("record {line} {}\n", "abc".repeat(line * 7919 % 23))).collect();
    let input = cluster.write("records.txt", lines);
    let shell = format!(
        "set -e; echo $MILLPOND_INDEX >> {}; cat > {{output}}/copy; wc -c < {{output}}/copy
         [ $((MILLPOND_INDEX % 8)) != 0 ] || awk 'BEGIN {{for (i = ENVIRON[\"MILLPOND_INDEX\"]; i <= 9000; i++) print (i * 7919) % 1000003}}' > {{output}}/numbers
         sleep 0.$((MILLPOND_INDEX % 4))",
        cluster.text_path(LOG)
    );
    // `set -e`, and no pipe: a kill may meet a shell's child before it is another program, and the task must fail then, not go on.
    // A task that is killed is tried again; one whose worker is killed needs no try for that.
    cluster.submit(&[&input, "--split", "lines:1", "--retries", "1000", "--name", name, "--", "sh", "-c", &shell])
}

/// How many tasks have begun, each counted once.
fn begun(cluster: &Cluster) -> usize {
    cluster.lines(LOG).into_iter().collect::<BTreeSet<_>>().len()
}

/// One blow; how many heads and workers it killed.
fn strikes(cluster: &mut Cluster, rng: &mut Rng) -> usize {
    let number = rng.between(1, SLOTS.len() as u64) as usize;
    match rng.below(100) {
        0..40 => {
            cluster.head_dies();
            pause(rng);
            cluster.head_starts_again();
            1
        }
        40..75 => {
            cluster.worker(number).dies();
            pause(rng);
            cluster.worker_starts_again(number, &[]);
            1
        }
        75..85 => {
            cluster.worker(number).dies();
            cluster.head_dies();
            pause(rng);
            cluster.worker_starts_again(number, &[]);
            pause(rng);
            cluster.head_starts_again();
            2
        }
        85..90 => {
            cluster.worker(number).stops();
            pause(rng);
            cluster.worker(number).continues();
            0
        }
        90..95 => {
            cluster.head_stops();
            pause(rng);
            cluster.head_continues();
            0
        }
        _ => {
            let below = cluster.worker(number).descendants();
            let tasks: Vec<u32> = below.iter().filter(|(_, line)| line.contains("sh -c ")).map(|(pid, _)| *pid).collect();
            if let Some(pid) = tasks.get(rng.below(tasks.len() as u64) as usize) {
                process::signal(*pid, rustix::process::Signal::KILL);
            }
            0
        }
    }
}

#[test]
fn a_storm_of_kills_changes_nothing_in_the_bundle_and_loses_nothing_that_was_acknowledged() {
    let (kills, tasks) = if is_full() { (300, 2000) } else { (30, 200) };
    let mut rng = seeded();
    let mut cluster = Cluster::start(&SLOTS);
    let quiet = submit(&cluster, tasks, "quiet");
    cluster.ends(&quiet, 0);
    // The same command, path and all, so that the bundles can be compared.
    std::fs::remove_file(cluster.path(LOG)).unwrap();
    let job = submit(&cluster, tasks, "rough");
    let clerk = Clerk::begins(&cluster, &job);
    let mut killed = 0;
    let mut while_it_ran = 0;
    while killed < kills {
        // Spread over the job, as far as its tasks come forward.
        let due = killed * tasks / kills;
        let began = Instant::now();
        while begun(&cluster) < due && began.elapsed() < Duration::from_millis(500) {
            std::thread::sleep(Duration::from_millis(5));
        }
        pause(&mut rng);
        let more = strikes(&mut cluster, &mut rng);
        killed += more;
        if begun(&cluster) < tasks {
            while_it_ran += more;
        }
    }
    println!("{killed} kills, {while_it_ran} of them before the last task began; {} starts of {tasks} tasks", cluster.lines(LOG).len());
    let acknowledged = clerk.ends();
    let ended = cluster.ends(&job, 0);
    assert_eq!(ended["tasks"]["succeeded"], tasks, "{ended}");
    same_but_for_run_json(&cluster.bundle(&quiet), &cluster.bundle(&job));
    acknowledged.all_there(&cluster);
    no_slot_is_lost(&cluster, &SLOTS.map(u64::from));
    assert!(while_it_ran * 2 > kills, "the job was over too soon to be disturbed");
}

#[test]
fn a_head_killed_again_and_again_runs_nothing_twice_and_goes_on_within_a_second() {
    let kills = if is_full() { 20 } else { 6 };
    let tasks = kills * 60;
    let mut rng = seeded();
    let mut cluster = Cluster::start(&[4, 4]);
    let shell = format!("echo $MILLPOND_INDEX >> {}; sleep 0.$((MILLPOND_INDEX % 4))", cluster.text_path("log"));
    let job = cluster.submit_array(&format!("0-{}", tasks - 1), &[], &shell);
    let mut took = Vec::new();
    for kill in 0..kills {
        cluster.has_lines("log", kill * 50 + 10);
        pause(&mut rng);
        cluster.head_dies();
        if kill == 1 {
            // All that ran ends meanwhile, and the workers have given up trying often.
            std::thread::sleep(Duration::from_secs(4));
        }
        pause(&mut rng);
        let before = cluster.lines("log").len();
        let started = Instant::now();
        cluster.head_starts_again();
        until("a task starts", || cluster.lines("log").len() > before);
        took.push(started.elapsed());
    }
    println!("from the start of the head to the first task: {took:?}");
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], tasks);
    each_once(&cluster, "log", tasks as u64);
    assert!(took.iter().all(|took| *took <= start_within()), "{took:?}");
    no_slot_is_lost(&cluster, &[4, 4]);
}

#[test]
fn tasks_that_were_never_out_wait_for_no_worker_that_is_missing_after_a_restart() {
    let mut cluster = Cluster::start(&[2, 2]);
    let shell = format!("echo $MILLPOND_INDEX >> {}; sleep 0.02", cluster.text_path("log"));
    let job = cluster.submit_array("0-999", &[], &shell);
    cluster.has_lines("log", 50);
    cluster.worker(2).stops();
    cluster.head_dies();
    cluster.head_starts_again();
    let before = cluster.lines("log").len();
    let took = until_within(Duration::from_secs(5), "the other worker gets tasks", || cluster.lines("log").len() >= before + 20);
    println!("20 tasks had started {took:?} after the head's start, while a worker was missing");
    cluster.worker(2).continues();
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], 1000);
    each_once(&cluster, "log", 1000);
}
