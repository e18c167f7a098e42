//! What every store must do, as tests that run over each of them.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::contract::{Appended, BATCH_MAX_BYTES, Loaded, Store};
use crate::domain::{Epoch, Error, ErrorKind};

/// Opens the same store again and again; the handle before is gone by then.
type Reopen<'a> = &'a mut dyn FnMut() -> Box<dyn Store>;

/// Runs the whole suite; `new` makes a fresh, empty store and returns what opens it.
pub(super) fn run<R: FnMut() -> Box<dyn Store>>(new: impl Fn() -> R) {
    epochs_grow(&mut new());
    an_earlier_epoch_is_fenced(&mut new());
    batches_come_back_in_order(&mut new());
    a_wrong_number_is_refused(&mut new());
    batches_of_every_length_come_back(&mut new());
    a_snapshot_takes_the_place_of_what_it_covers(&mut new());
    only_what_is_covered_can_be_dropped(&mut new());
    a_refused_snapshot_leaves_the_old_one(&mut new());
    any_history_matches_the_model(&new);
}

/// Asserts that a change was made.
pub(super) fn durable(result: Result<Appended, Error>) {
    assert_eq!(result.unwrap(), Appended::Durable);
}

fn parts(parts: &[&str]) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.as_bytes().to_vec()).collect()
}

fn epochs_grow(open: Reopen) {
    for round in 1..=4 {
        let mut store = open();
        assert_eq!(store.acquire("one").unwrap(), Epoch(2 * round - 1));
        assert_eq!(store.acquire("two").unwrap(), Epoch(2 * round));
    }
    assert_eq!(open().acquire(&"x".repeat(1000)).unwrap_err().kind, ErrorKind::Invalid);
}

fn an_earlier_epoch_is_fenced(open: Reopen) {
    let mut store = open();
    let old = store.acquire("old").unwrap();
    durable(store.append(old, 1, b"one"));
    let new = store.acquire("new").unwrap();
    assert_eq!(store.append(old, 2, b"two").unwrap(), Appended::Fenced);
    assert_eq!(store.append(old, 77, b"two").unwrap(), Appended::Fenced);
    assert_eq!(store.snapshot(old, 1, &mut parts(&["s"]).into_iter()).unwrap(), Appended::Fenced);
    assert_eq!(store.truncate(old, 1).unwrap(), Appended::Fenced);
    durable(store.append(new, 2, b"zwei"));
    assert!(store.append(Epoch(new.0 + 1), 3, b"never given out").is_err());
    assert_eq!(store.load().unwrap(), Loaded { snapshot: None, tail: vec![(1, b"one".to_vec()), (2, b"zwei".to_vec())] });
}

fn batches_come_back_in_order(open: Reopen) {
    assert_eq!(open().load().unwrap(), Loaded::default());
    let expected: Vec<_> = (1..=300u64).map(|seq| (seq, seq.to_string().into_bytes())).collect();
    for half in expected.chunks(150) {
        let mut store = open();
        let epoch = store.acquire("head").unwrap();
        for (seq, batch) in half {
            durable(store.append(epoch, *seq, batch));
        }
    }
    assert_eq!(open().load().unwrap().tail, expected);
}

fn a_wrong_number_is_refused(open: Reopen) {
    let mut store = open();
    let epoch = store.acquire("head").unwrap();
    durable(store.append(epoch, 1, b"one"));
    for seq in [0, 1, 3, u64::MAX] {
        assert_eq!(store.append(epoch, seq, b"x").unwrap_err().kind, ErrorKind::Internal);
    }
    durable(store.append(epoch, 2, b"two"));
    assert_eq!(store.load().unwrap().tail.len(), 2);
}

fn batches_of_every_length_come_back(open: Reopen) {
    let lengths = [0, 1, 6_143, 6_144, 6_145, 16_384, 131_072, 1_000_000, 4 << 20, BATCH_MAX_BYTES];
    let batch = |len: usize| (0..len).map(|at| (at % 253) as u8).collect::<Vec<_>>();
    {
        let mut store = open();
        let epoch = store.acquire("head").unwrap();
        for (seq, len) in (1..).zip(lengths) {
            durable(store.append(epoch, seq, &batch(len)));
        }
        let refused = store.append(epoch, 1 + lengths.len() as u64, &batch(BATCH_MAX_BYTES + 1)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Exhausted);
        durable(store.append(epoch, 1 + lengths.len() as u64, b"last"));
    }
    let tail = open().load().unwrap().tail;
    for ((_, found), len) in tail.iter().zip(lengths) {
        assert!(*found == batch(len), "{len}");
    }
    assert_eq!(tail.last().unwrap().1, b"last");
}

fn a_snapshot_takes_the_place_of_what_it_covers(open: Reopen) {
    let mut store = open();
    let epoch = store.acquire("head").unwrap();
    for seq in 1..=5 {
        durable(store.append(epoch, seq, &[seq as u8]));
    }
    durable(store.snapshot(epoch, 3, &mut parts(&["a", "", "c"]).into_iter()));
    let expected = Loaded { snapshot: Some((3, parts(&["a", "", "c"]))), tail: vec![(4, vec![4]), (5, vec![5])] };
    assert_eq!(store.load().unwrap(), expected);
    durable(store.truncate(epoch, 3));
    drop(store);
    let mut store = open();
    assert_eq!(store.load().unwrap(), expected);
    let epoch = store.acquire("again").unwrap();
    durable(store.snapshot(epoch, 5, &mut parts(&[]).into_iter()));
    durable(store.truncate(epoch, 5));
    drop(store);
    let mut store = open();
    assert_eq!(store.load().unwrap(), Loaded { snapshot: Some((5, vec![])), tail: vec![] });
    let epoch = store.acquire("again").unwrap();
    durable(store.append(epoch, 6, b"six"));
    assert_eq!(store.load().unwrap().tail, [(6, b"six".to_vec())]);
}

fn only_what_is_covered_can_be_dropped(open: Reopen) {
    let mut store = open();
    let epoch = store.acquire("head").unwrap();
    durable(store.append(epoch, 1, b"one"));
    durable(store.append(epoch, 2, b"two"));
    assert_eq!(store.truncate(epoch, 1).unwrap_err().kind, ErrorKind::Conflict);
    durable(store.snapshot(epoch, 1, &mut parts(&["s"]).into_iter()));
    assert_eq!(store.truncate(epoch, 2).unwrap_err().kind, ErrorKind::Conflict);
    durable(store.truncate(epoch, 1));
    durable(store.truncate(epoch, 1));
    durable(store.truncate(epoch, 0));
    assert_eq!(store.load().unwrap().tail, [(2, b"two".to_vec())]);
}

fn a_refused_snapshot_leaves_the_old_one(open: Reopen) {
    let mut store = open();
    let epoch = store.acquire("head").unwrap();
    for seq in 1..=3 {
        durable(store.append(epoch, seq, b"x"));
    }
    assert!(store.snapshot(epoch, 4, &mut parts(&["too far"]).into_iter()).is_err());
    durable(store.snapshot(epoch, 2, &mut parts(&["old"]).into_iter()));
    assert!(store.snapshot(epoch, 1, &mut parts(&["too old"]).into_iter()).is_err());
    let too_long = [b"fits".to_vec(), vec![0; BATCH_MAX_BYTES + 1]];
    assert_eq!(store.snapshot(epoch, 3, &mut too_long.into_iter()).unwrap_err().kind, ErrorKind::Exhausted);
    assert_eq!(store.load().unwrap().snapshot, Some((2, parts(&["old"]))));
    durable(store.snapshot(epoch, 2, &mut parts(&["new"]).into_iter()));
    drop(store);
    assert_eq!(open().load().unwrap(), Loaded { snapshot: Some((2, parts(&["new"]))), tail: vec![(3, b"x".to_vec())] });
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Snapshot { back: u64, parts: Vec<usize> },
    Truncate { back: u64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![0..300usize, 0..20_000usize].prop_map(Step::Append),
        1 => (0..4u64, proptest::collection::vec(0..15_000usize, 0..5)).prop_map(|(back, parts)| Step::Snapshot { back, parts }),
        1 => (0..4u64).prop_map(|back| Step::Truncate { back }),
        1 => Just(Step::Restart),
    ]
}

/// Remembers only what a store promised.
fn any_history_matches_the_model<R: FnMut() -> Box<dyn Store>>(new: &impl Fn() -> R) {
    let mut runner = TestRunner::new(Config { cases: 25, failure_persistence: None, ..Config::default() });
    let followed = runner.run(&proptest::collection::vec(step(), 1..40), |steps| {
        follow(&mut new(), &steps);
        Ok(())
    });
    followed.unwrap();
}

fn follow(open: Reopen, steps: &[Step]) {
    let mut model = Loaded::default();
    let mut last = 0;
    let mut store = open();
    let mut epoch = store.acquire("head").unwrap();
    for (no, step) in steps.iter().enumerate() {
        let covered = model.snapshot.as_ref().map_or(0, |(seq, _)| *seq);
        match step {
            Step::Append(len) => {
                last += 1;
                durable(store.append(epoch, last, &vec![no as u8; *len]));
                model.tail.push((last, vec![no as u8; *len]));
            }
            Step::Snapshot { back, parts } => {
                let seq = last.saturating_sub(*back).max(covered);
                let parts: Vec<_> = parts.iter().map(|len| vec![no as u8; *len]).collect();
                durable(store.snapshot(epoch, seq, &mut parts.clone().into_iter()));
                model.tail.retain(|(kept, _)| *kept > seq);
                model.snapshot = Some((seq, parts));
            }
            Step::Truncate { back } => durable(store.truncate(epoch, covered.saturating_sub(*back))),
            Step::Restart => {
                drop(store);
                store = open();
                let before = epoch;
                epoch = store.acquire("head").unwrap();
                assert!(epoch > before);
            }
        }
        assert_eq!(store.load().unwrap(), model);
    }
}
