//! What a store keeps through restarts and damage.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::ErrorKind;
use crate::store::conformance::{self, durable};
use crate::store::parts::PIECE_BYTES;

fn opened() -> (TempDir, SledStore, Epoch) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SledStore::open(folder.path()).unwrap();
    let epoch = store.acquire("test").unwrap();
    (folder, store, epoch)
}

/// A store with batches 1 to 3, of three pieces each, in which something was done behind its back.
fn tampered(tamper: impl FnOnce(&mut SledFile)) -> (TempDir, Result<SledStore, Error>) {
    let (folder, mut store, epoch) = opened();
    for seq in 1..=3 {
        durable(store.append(epoch, seq, &vec![seq as u8; 3 * PIECE_BYTES]));
    }
    tamper(&mut store.file);
    store.file.commit().unwrap();
    drop(store);
    let store = SledStore::open(folder.path());
    (folder, store)
}

#[test]
fn it_is_a_store() {
    conformance::run(|| {
        let folder = tempfile::tempdir().unwrap();
        move || Box::new(SledStore::open(folder.path()).unwrap()) as Box<dyn Store>
    });
}

#[test]
fn a_folder_in_use_is_refused() {
    let (folder, store, _) = opened();
    let refused = SledStore::open(folder.path()).err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.contains("is in use by process "), "{refused}");
    drop(store);
    SledStore::open(folder.path()).unwrap();
}

#[test]
fn a_batch_cut_short_at_the_end_is_dropped_and_its_number_used_again() {
    for gone in [&[2][..], &[1, 2], &[0, 2]] {
        let (folder, store) = tampered(|file| file.remove(gone.iter().map(|no| keys::batch(3, *no))).unwrap());
        let acknowledged = store.err().unwrap();
        assert_eq!((acknowledged.kind, acknowledged.message.as_str()), (ErrorKind::Corrupt, "journal batch 3 is incomplete"));
        HighWaterFile::open(folder.path()).unwrap().put(HighWater { epoch: Epoch(1), last: 2 }).unwrap();
        let mut store = SledStore::open(folder.path()).unwrap();
        assert_eq!(store.load().unwrap().tail.len(), 2);
        let epoch = store.acquire("again").unwrap();
        durable(store.append(epoch, 3, b"short"));
        drop(store);
        let tail = SledStore::open(folder.path()).unwrap().load().unwrap().tail;
        assert_eq!(tail.last().unwrap(), &(3, b"short".to_vec()));
    }
}

#[test]
fn a_hole_or_damage_is_named_by_its_batch() {
    let damage = |seq, no| move |file: &mut SledFile| file.insert(&keys::batch(seq, no), vec![1, 0, 0, 0, 0, 1]).unwrap();
    let remove = |seq, no| move |file: &mut SledFile| file.remove([keys::batch(seq, no)]).unwrap();
    let outcomes = [
        (2, tampered(remove(2, 1))),
        (2, tampered(remove(2, 2))),
        (3, tampered(remove(3, 1))),
        (2, tampered(damage(2, 0))),
        (3, tampered(damage(3, 1))),
        (2, tampered(|file| file.remove((0..3).map(|no| keys::batch(2, no))).unwrap())),
        (1, tampered(|file| file.remove((0..3).map(|no| keys::batch(1, no))).unwrap())),
    ];
    for (seq, (_folder, store)) in outcomes {
        let error = store.and_then(|mut store| store.load()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
        assert!(error.message.contains(&format!("batch {seq}")), "{error}");
    }
}

#[test]
fn a_snapshot_whose_writing_was_cut_short_leaves_the_old_one() {
    let (folder, mut store, epoch) = opened();
    durable(store.append(epoch, 1, b"one"));
    durable(store.snapshot(epoch, 1, &mut [b"old".to_vec()].into_iter()));
    store.write_snapshot(2, &mut [vec![1; 20_000], vec![2]].into_iter()).unwrap();
    store.file.commit().unwrap();
    drop(store);
    let mut store = SledStore::open(folder.path()).unwrap();
    assert_eq!(store.load().unwrap().snapshot, Some((1, vec![b"old".to_vec()])));
    assert_eq!(store.file.keys(keys::batch(u64::MAX, 0)..b"t".to_vec()).unwrap().len(), 1);
}

#[test]
fn a_damaged_snapshot_is_noticed() {
    let (_folder, mut store, epoch) = opened();
    durable(store.append(epoch, 1, b"one"));
    durable(store.snapshot(epoch, 1, &mut (0..4).map(|no| vec![no; 20_000])));
    for (part, piece) in [(3, 3), (2, 0), (0, 0)] {
        store.file.remove([keys::snapshot(1, part, piece)]).unwrap();
        assert_eq!(store.load().unwrap_err().kind, ErrorKind::Corrupt);
    }
}

#[test]
fn after_a_failed_sync_nothing_is_taken_any_more() {
    let (folder, mut store, epoch) = opened();
    durable(store.append(epoch, 1, b"one"));
    store.file.break_disk();
    let first = store.append(epoch, 2, b"two").unwrap_err();
    assert_eq!(store.append(epoch, 2, b"two").unwrap_err(), first);
    assert_eq!(store.load().unwrap_err(), first);
    assert_eq!(store.acquire("again").unwrap_err(), first);
    drop(store);
    assert!(folder.path().join("store/db").exists());
}

#[test]
fn damaged_files_are_noticed_and_never_make_it_panic() {
    for round in 0..20usize {
        let (folder, mut store, epoch) = opened();
        for seq in 1..=30 {
            durable(store.append(epoch, seq, &vec![seq as u8; 3_000]));
        }
        drop(store);
        let path = folder.path().join("store/db");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = round * 15_838 % 150_000;
        bytes[at..at + 1 + round].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&path, bytes).unwrap();
        let whole: Vec<_> = (1..=30).map(|seq| (seq, vec![seq as u8; 3_000])).collect();
        match SledStore::open(folder.path()).and_then(|mut store| store.load()) {
            Ok(loaded) => assert_eq!(loaded.tail, whole),
            Err(error) => assert_eq!((error.kind, error.message.lines().count()), (ErrorKind::Corrupt, 1), "{error}"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip,
    Cut,
    Remove,
}

/// A store as a head leaves it: a snapshot up to batch 2, the batches before it dropped or not, and three batches after it.
fn written(folder: &Path, sizes: [usize; 3], truncated: bool) -> Loaded {
    let mut store = SledStore::open(folder).unwrap();
    let epoch = store.acquire("test").unwrap();
    for seq in 1..=2 {
        durable(store.append(epoch, seq, &[seq as u8; 10]));
    }
    durable(store.snapshot(epoch, 2, &mut sizes.iter().map(|len| vec![7; *len])));
    if truncated {
        durable(store.truncate(epoch, 2));
    }
    for (seq, len) in (3..).zip(sizes) {
        durable(store.append(epoch, seq, &vec![seq as u8; len]));
    }
    store.load().unwrap()
}

fn harm(folder: &Path, at: prop::sample::Index, damage: Damage) -> Vec<u8> {
    let mut file = SledFile::open(&folder.join("store")).unwrap();
    let keys = file.keys(keys::ALL).unwrap();
    let key = at.get(&keys).clone();
    let mut value = file.get(&key).unwrap().unwrap();
    let byte = at.index(value.len());
    match damage {
        Damage::Flip => value[byte] ^= 1 << (byte % 8),
        Damage::Cut => value.truncate(byte),
        Damage::Remove => file.remove([key.clone()]).unwrap(),
    }
    if !matches!(damage, Damage::Remove) {
        file.insert(&key, value).unwrap();
    }
    file.commit().unwrap();
    key
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn damage_to_any_value_is_noticed_and_named_unless_it_is_a_cut_tail(
        sizes in prop::array::uniform3(prop_oneof![0..100usize, 0..3 * PIECE_BYTES]),
        truncated: bool,
        acknowledged: bool,
        at: prop::sample::Index,
        damage in prop_oneof![Just(Damage::Flip), Just(Damage::Cut), Just(Damage::Remove)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let before = written(folder.path(), sizes, truncated);
        let key = harm(folder.path(), at, damage);
        if !acknowledged {
            HighWaterFile::open(folder.path()).unwrap().put(HighWater { epoch: Epoch(1), last: 4 }).unwrap();
        }
        let place = match (key.as_slice(), keys::parse_batch(&key), keys::parse_snapshot(&key)) {
            (keys::EPOCH, ..) => "the epoch".to_owned(),
            (keys::CURRENT, ..) => "the current snapshot".to_owned(),
            (_, Some((seq, _)), _) => format!("batch {seq}"),
            (_, _, Some((_, part, _))) => format!("part {part}"),
            _ => String::new(),
        };
        match SledStore::open(folder.path()).and_then(|mut store| store.load()) {
            Ok(found) => {
                let cut = Loaded { tail: before.tail[..2].to_vec(), ..before.clone() };
                // Without its record the snapshot is as if it had never been, and every batch is still there.
                let whole = Loaded { snapshot: None, tail: [vec![(1, vec![1; 10]), (2, vec![2; 10])], before.tail.clone()].concat() };
                let is_cut = place == "batch 5" && !acknowledged && matches!(damage, Damage::Remove) && found == cut;
                let is_whole = place == "the current snapshot" && !truncated && found == whole;
                prop_assert!(found == before || is_cut || is_whole, "{} {:?}: {:?}", place, damage, found);
            }
            Err(error) => {
                prop_assert_eq!(error.kind, ErrorKind::Corrupt);
                prop_assert!(error.message.contains(&place) && error.message.lines().count() == 1, "{} {:?}: {}", place, damage, error);
            }
        }
    }
}

#[test]
fn a_store_that_lost_its_records_keeps_the_rest() {
    for key in [keys::CURRENT, keys::EPOCH] {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), [10, 20, 30], true);
        let mut file = SledFile::open(&folder.path().join("store")).unwrap();
        file.remove([key.to_vec()]).unwrap();
        file.commit().unwrap();
        let before = file.keys(keys::ALL).unwrap();
        drop(file);
        assert!(SledStore::open(folder.path()).err().unwrap().message.ends_with("is missing"));
        let mut file = SledFile::open(&folder.path().join("store")).unwrap();
        assert_eq!(file.keys(keys::ALL).unwrap(), before);
    }
}

#[test]
fn no_value_goes_to_a_file_of_its_own() {
    let (folder, mut store, epoch) = opened();
    let blobs = || std::fs::read_dir(folder.path().join("store/blobs")).unwrap().count();
    for seq in 1..=40 {
        durable(store.append(epoch, seq, &vec![seq as u8; (seq as usize % 4) * 100_000]));
        assert_eq!(blobs(), 0);
        if seq % 7 == 0 {
            durable(store.snapshot(epoch, seq, &mut (0..30).map(|no| vec![no; 9_000])));
            durable(store.truncate(epoch, seq - 1));
            assert_eq!(blobs(), 0);
        }
    }
}

#[test]
fn the_folder_does_not_grow_with_the_number_of_snapshots() {
    let (folder, mut store, epoch) = opened();
    let db = || std::fs::metadata(folder.path().join("store/db")).unwrap().len();
    let mut seq = 0;
    let mut round = || {
        for _ in 0..20 {
            seq += 1;
            durable(store.append(epoch, seq, &[7; 20_000]));
        }
        durable(store.snapshot(epoch, seq, &mut (0..50).map(|no| vec![no; 10_000])));
        durable(store.truncate(epoch, seq));
        db()
    };
    let early = (0..5).map(|_| round()).max().unwrap();
    let late = (0..25).map(|_| round()).max().unwrap();
    assert!(late <= 3 * early, "{early} {late}");
}
