//! Whatever it is told, a job's machine does not panic, and its numbers stay right.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Nonsense {
    Event(JobEvent),
    Later(u64),
    Durable,
}

fn nonsense() -> impl Strategy<Value = Nonsense> {
    let session = || (1u64..5).prop_map(SessionId);
    let worker = || (1u32..4).prop_map(WorkerId);
    let attempt = prop_oneof![9 => 1u32..4, 1 => Just(u32::MAX)];
    let lease = (0u32..14, attempt, 0u64..4).prop_map(|(no, attempt, epoch)| Lease { epoch: Epoch(epoch), ..lease(no, attempt) });
    let leases = || prop::collection::vec(lease.clone(), 0..4);
    let wall = || prop_oneof![Just(i64::MIN), Just(0), Just(i64::MAX)].prop_map(WallTime);
    let outcome = prop_oneof![Just(DONE), Just(FAILED), Just(Outcome::Lost), Just(Outcome::Revoked)];
    let verb = prop_oneof![
        Just(Verb::Pause),
        Just(Verb::Resume),
        Just(Verb::Kill(KillMode::Finish)),
        Just(Verb::Kill(KillMode::Stop)),
        (0u32..3).prop_map(|max| Verb::SetLimit(Some(max))),
        Just(Verb::SetLimit(None)),
        (0u128..3).prop_map(|request| Verb::Retry { request }),
    ];
    let event = prop_oneof![
        1 => (0u32..14).prop_map(JobEvent::SplitDone),
        1 => Just(JobEvent::SplitFailed("broken".into())),
        6 => (0u64..9, session(), worker(), 0u32..5)
            .prop_map(|(grant, session, worker, slots)| JobEvent::Granted { grant: GrantId(grant), session, worker, slots }),
        4 => (session(), leases()).prop_map(|(session, leases)| JobEvent::Started(session, leases)),
        3 => (session(), leases()).prop_map(|(session, leases)| JobEvent::Returned(session, leases)),
        3 => (0u64..9, session(), leases(), leases())
            .prop_map(|(fence, session, started, dropped)| JobEvent::Fenced { fence: FenceId(fence), session, started, dropped }),
        6 => (session(), worker(), lease.clone(), outcome, wall(), wall()).prop_map(|(session, worker, lease, outcome, started, ended)| {
            let result = ResultRef { offset: 0, len: 0 };
            JobEvent::Finished { session, worker, lease, outcome, timing: Timing { started, ended }, result }
        }),
        2 => (session(), 0u64..30_000).prop_map(|(session, heard)| JobEvent::SessionLost(session, Instant(heard))),
        4 => (session(), worker(), lease.clone(), any::<bool>())
            .prop_map(|(session, worker, lease, finished)| JobEvent::Claimed { session, worker, lease, finished }),
        2 => (session(), worker(), lease.clone()).prop_map(|(session, worker, lease)| JobEvent::Kept { session, worker, lease }),
        2 => (worker(), session()).prop_map(|(worker, session)| JobEvent::WorkerReported(worker, session)),
        1 => Just(JobEvent::RecoveryOver),
        1 => (0u64..99).prop_map(JobEvent::Durable),
        3 => verb.prop_map(|verb| JobEvent::Verb { ticket: 1, wish: Wish::new(verb, String::new()) }),
    ];
    prop_oneof![12 => event.prop_map(Nonsense::Event), 2 => (0u64..15_000).prop_map(Nonsense::Later), 3 => Just(Nonsense::Durable)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_breaks_a_job(
        total in prop_oneof![Just(None), (0u32..12).prop_map(Some)],
        known in prop::collection::vec(1u32..4, 0..3),
        retries in 0u32..2,
        events in prop::collection::vec(nonsense(), 0..60),
    ) {
        let entries: Vec<JobEntry> = total.map(|total| JobEntry::Split { total }).into_iter().collect();
        let mut story = Story::restarted(&entries, retries, &known);
        for event in events {
            match event {
                Nonsense::Event(event) => story.tell(event),
                Nonsense::Later(ms) => story.after(std::time::Duration::from_millis(ms)),
                Nonsense::Durable => story.tell(JobEvent::Durable(story.asked_of_journal)),
            }
            prop_assert!(story.job.check().is_ok());
            story.said.clear();
        }
    }
}
