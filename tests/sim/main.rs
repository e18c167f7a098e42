//! The whole cluster in one thread, from a seed: the real machines of `engine/`, an imagined network, disk and processes, and faults.
//!
//! A failing seed prints the command that replays it. `MILLPOND_SEEDS=N` runs N seeds, `MILLPOND_SEED=S` one, both N from S on.

mod client;
mod deletion;
mod disk;
mod faults;
mod head;
mod oracle;
mod order;
mod recovery;
mod rng;
mod sessions;
mod story;
mod worker;
mod world;

use millpond::engine::Fault;
use story::Story;
use world::World;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one seed to its end; the first violation is the error.
fn run(seed: u64, fault: Option<Fault>) -> Result<Story, String> {
    World::new(seed, fault).run()
}

#[test]
fn every_seed_keeps_every_promise() {
    let first = from_env("MILLPOND_SEED");
    let count = from_env("MILLPOND_SEEDS").unwrap_or(if first.is_some() { 1 } else { 2500 });
    let mut events = 0;
    let mut totals = Story::default();
    for seed in first.unwrap_or(1)..first.unwrap_or(1) + count {
        match run(seed, None) {
            Ok(story) => {
                events += story.events;
                totals.add(&story);
            }
            Err(violation) => panic!("{violation}\nreplay: MILLPOND_SEED={seed} cargo test --release --test sim every_seed"),
        }
    }
    println!("{count} seeds, {events} events: {totals:?}");
    if first.is_none() {
        // A simulator in which nothing goes wrong proves nothing.
        assert!(totals.head_crashes > count / 2 && totals.cuts > count && totals.kills > 0 && totals.unconfirmed > 0, "{totals:?}");
        assert!(totals.adopted > 0 && totals.started > count * 10, "{totals:?}");
        assert!(
            totals.clogs > 0
                && totals.partitions > 0
                && totals.job_crashes > 0
                && totals.drains > 0
                && totals.suspicions > 0
                && totals.full_disks > 0
                && totals.wall_jumps > count / 2
                && totals.given_back > count / 2
                && totals.submitted > count
                && totals.kept > 0
                && totals.retries > count / 4
                && totals.timed_pauses > 0
                && totals.gave_up > 0
                && totals.poisoned > 0
                && totals.late_hellos > 0
                && totals.deleted > count / 2
                && totals.asked_of_gone > 0
                && totals.doomed > 0
                && totals.expired > 0
                && totals.changed > 0
                && totals.most_ahead > 20
                && totals.passed_on > count
                && totals.recalls > count / 50,
            "{totals:?}"
        );
    }
}

/// `MILLPOND_FULL=1`: ten thousand workers and a million tasks.
#[test]
fn a_large_cluster_keeps_every_promise_and_its_pace() {
    let (workers, tasks) = if std::env::var_os("MILLPOND_FULL").is_some() { (10_000, 1_000_000) } else { (200, 20_000) };
    let began = std::time::Instant::now();
    let story = World::large(workers, tasks).run().unwrap_or_else(|violation| panic!("{violation}"));
    let rate = story.events as f64 / began.elapsed().as_secs_f64();
    println!("{workers} workers, {tasks} tasks: {rate:.0} events/s: {story:?}");
    assert!(story.started >= u64::from(tasks) && story.head_crashes == 1 && story.adopted > 0, "{story:?}");
}

#[test]
fn the_same_seed_gives_the_same_story() {
    assert_eq!(run(7, None).unwrap(), run(7, None).unwrap());
}

/// Wall time is only told to people: the same seed goes the same way, step by step, whatever the wall clock does.
#[test]
fn jumps_of_the_wall_clock_change_nothing() {
    let mut jumps = 0;
    for seed in 1..=150 {
        let story = run(seed, None).unwrap();
        if story.timed_pauses + story.keeps > 0 {
            // Stated in wall time.
            continue;
        }
        let steady = World::with_a_steady_wall_clock(seed).run().unwrap();
        jumps += story.wall_jumps;
        assert_eq!(Story { events: story.events - story.wall_jumps, wall_jumps: 0, ..story }, steady, "seed {seed}");
    }
    assert!(jumps > 100);
}

/// Each mistake that could be made, and what says that it was.
#[test]
fn planted_faults_are_caught() {
    let faults = [
        Fault::AttemptNotCompared,
        Fault::HoldNotChecked,
        Fault::RoomAsDelta,
        Fault::FenceForgotten,
        Fault::AckBeforeDurable,
        Fault::DeclineLost,
        Fault::LostTakenForDropped,
        Fault::SilenceTakenForDropped,
        Fault::LeaseIgnored,
        Fault::LeaseKept,
        Fault::CountsTwice,
        Fault::UnseenRunsForgotten,
        Fault::SlotKept,
        Fault::AheadKept,
        Fault::AttemptReused,
        Fault::LimitIgnored,
        Fault::EndsTooSoon,
        Fault::LimboKept,
        Fault::RequestForgotten,
        Fault::ReplyBeforeDurable,
        Fault::MarkIgnored,
        Fault::LateHelloTaken,
        Fault::FullDiskIgnored,
        Fault::FreezeKept,
        Fault::GivenUpForgotten,
        Fault::WallClockTrusted,
        Fault::NeedsForgotten,
        Fault::GoneForgotten,
        Fault::DoomForgotten,
    ];
    let mut late = Vec::new();
    for fault in faults {
        let caught = (1..=2000).find_map(|seed| run(seed, Some(fault)).err().map(|violation| (seed, violation)));
        let Some((seed, violation)) = caught else { panic!("{fault:?} was not caught in 2000 seeds") };
        println!("{fault:?}: seed {seed}: {}", violation.lines().next().unwrap_or_default().chars().take(160).collect::<String>());
        late.extend((seed > 100).then_some(fault));
    }
    assert!(late.len() <= faults.len() / 4, "caught late: {late:?}");
}
