//! Small tasks keep every slot busy, and one job needs a whole worker: in virtual time, with the roster alone.

use super::*;
use crate::domain::Tally;

/// What one task takes, and until when.
struct Running {
    job: u64,
    session: u64,
    needs: Resources,
    ends_ms: u64,
}

/// Workers of so many slots and cpus each, whose tasks end by themselves.
struct Cluster {
    roster: Roster,
    sessions: u64,
    slots: u32,
    now_ms: u64,
    running: Vec<Running>,
    random: u64,
    needs: BTreeMap<u64, Resources>,
    views: BTreeMap<u64, JobView>,
}

/// The longest that a small task takes.
const LONGEST_MS: u64 = 30_000;

impl Cluster {
    fn new(sessions: u64, slots: u32, seed: u64) -> Self {
        let mut roster = Roster::default();
        (1..=sessions).for_each(|session| opened(&mut roster, session, slots, cpus(slots)));
        let (running, needs, views) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { roster, sessions, slots, now_ms: 1_000, running, random: seed, needs, views }
    }

    fn takes_ms(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1_000 + (self.random >> 33) % (LONGEST_MS - 1_000)
    }

    fn submit(&mut self, view: JobView) {
        self.needs.insert(view.id.0, view.spec.needs.clone());
        self.views.insert(view.id.0, view.clone());
        let effects = self.roster.on_event(RosterEvent::Job(Box::new(view)));
        self.granted(effects);
    }

    /// Each grant's tasks run at once, and the job has seen it.
    fn granted(&mut self, effects: Vec<RosterEffect>) {
        let mut more = Vec::new();
        for effect in effects {
            let RosterEffect::Grant { job, grant, session, slots, .. } = effect else { continue };
            for _ in 0..slots {
                let ends_ms = self.now_ms + self.takes_ms();
                self.running.push(Running { job: job.0, session: session.0, needs: self.needs[&job.0].clone(), ends_ms });
            }
            if let Some(view) = self.views.get_mut(&job.0) {
                (view.wanted, view.out, view.last_grant) = (view.wanted - slots, view.out + slots, grant);
                more.push(RosterEvent::Job(Box::new(view.clone())));
            }
            more.push(self.room(session.0, vec![grant]));
        }
        for event in more {
            let effects = self.roster.on_event(event);
            self.granted(effects);
        }
        self.roster.check().unwrap();
    }

    fn room(&self, session: u64, settled: Vec<GrantId>) -> RosterEvent {
        let here = || self.running.iter().filter(|task| task.session == session);
        let used: Tally = here().map(|task| &task.needs).collect();
        assert!(
            used.sum().fits(&cpus(self.slots)) && here().count() <= self.slots as usize,
            "worker {session} is over-committed: {used:?}"
        );
        let free = cpus(self.slots).beside(&used);
        RosterEvent::Room {
            session: SessionId(session),
            room: Room::of_slots(self.slots - here().count() as u32),
            free,
            settled,
            trust: Trust::Trusted,
        }
    }

    /// Lets a second pass, in steps of a tenth.
    fn second(&mut self) {
        for _ in 0..10 {
            self.now_ms += 100;
            let now_ms = self.now_ms;
            self.running.retain(|task| task.ends_ms > now_ms);
            for session in 1..=self.sessions {
                let effects = self.roster.on_event(self.room(session, Vec::new()));
                self.granted(effects);
            }
        }
        let effects = self.roster.on_event(RosterEvent::Tick(Instant(self.now_ms)));
        self.granted(effects);
    }

    fn runs(&self, job: u64) -> bool {
        self.running.iter().any(|task| task.job == job)
    }
}

#[test]
fn a_job_that_needs_a_whole_worker_starts_within_a_minute_and_the_longest_task() {
    let mut longest_ms = 0;
    for seed in 0..20 {
        let mut cluster = Cluster::new(3, 4, seed);
        // Enough for hours, of two owners: one who has less than his share, and one who came first.
        cluster.submit(needing(a_job(1, "ada", 100_000), cpus(1)));
        cluster.submit(needing(a_job(2, "bob", 100_000), cpus(1)));
        (0..40).for_each(|_| cluster.second());
        assert_eq!(cluster.running.len(), 12, "every slot is busy");
        cluster.submit(needing(a_job(3, "cyd", 1), cpus(4)));
        let since = cluster.now_ms;
        while !cluster.runs(3) {
            cluster.second();
            // A tick to notice that it waits, and one that it has waited long enough.
            assert!(cluster.now_ms - since <= 60_000 + LONGEST_MS + 2_000, "seed {seed}: it starves");
        }
        longest_ms = longest_ms.max(cluster.now_ms - since);
    }
    assert!(longest_ms > 60_000, "nothing was in its way: {longest_ms} ms");
}
