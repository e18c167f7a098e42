//! The keys in sled's one tree.
//!
//! ```text
//! c                              which snapshot is current
//! e                              the epoch and its holder
//! j │ batch u64 │ piece u32      one piece of a batch
//! s │ snapshot u64 │ part u32 │ piece u32   one piece of a part of a snapshot
//! ```
//! Numbers are big-endian, so that the order of keys is that of the numbers.

use std::ops::{Range, RangeFrom};

/// Which snapshot is current.
pub(super) const CURRENT: &[u8] = b"c";
/// The epoch.
pub(super) const EPOCH: &[u8] = b"e";

/// Every key.
pub(super) const ALL: RangeFrom<&[u8]> = b""..;

/// The key of a piece of a batch.
pub(super) fn batch(seq: u64, piece: u32) -> Vec<u8> {
    [b"j" as &[u8], &seq.to_be_bytes(), &piece.to_be_bytes()].concat()
}

/// The keys of the batches above `seq`.
pub(super) fn batches_above(seq: u64) -> Range<Vec<u8>> {
    let first = seq.checked_add(1).map_or_else(|| b"k".to_vec(), |next| batch(next, 0));
    first..b"k".to_vec()
}

/// The keys of the batches up to `seq`.
pub(super) fn batches_up_to(seq: u64) -> Range<Vec<u8>> {
    batch(0, 0)..batches_above(seq).start
}

/// The batch and piece of a key made by [`batch`].
pub(super) fn parse_batch(key: &[u8]) -> Option<(u64, u32)> {
    let (seq, piece) = key.strip_prefix(b"j")?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*seq), u32::from_be_bytes(piece.try_into().ok()?)))
}

/// The key of a piece of a part of a snapshot.
pub(super) fn snapshot(id: u64, part: u32, piece: u32) -> Vec<u8> {
    [b"s" as &[u8], &id.to_be_bytes(), &part.to_be_bytes(), &piece.to_be_bytes()].concat()
}

/// The keys of the pieces of snapshot `id`.
pub(super) fn snapshot_pieces(id: u64) -> Range<Vec<u8>> {
    let next = id.checked_add(1).map_or_else(|| b"t".to_vec(), |next| snapshot(next, 0, 0));
    snapshot(id, 0, 0)..next
}

/// The keys of all snapshots.
pub(super) fn snapshots() -> Range<Vec<u8>> {
    b"s".to_vec()..b"t".to_vec()
}

/// The keys of the snapshots before and after snapshot `id`.
pub(super) fn other_snapshots(id: u64) -> [Range<Vec<u8>>; 2] {
    let Range { start, end } = snapshot_pieces(id);
    let all = snapshots();
    [all.start..start, end..all.end]
}

/// The snapshot, part and piece of a key made by [`snapshot`].
pub(super) fn parse_snapshot(key: &[u8]) -> Option<(u64, u32, u32)> {
    let (id, rest) = key.strip_prefix(b"s")?.split_first_chunk::<8>()?;
    let (part, piece) = rest.split_first_chunk::<4>()?;
    Some((u64::from_be_bytes(*id), u32::from_be_bytes(*part), u32::from_be_bytes(piece.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_keep_the_order_of_their_numbers() {
        assert_eq!(parse_batch(&batch(258, 3)), Some((258, 3)));
        assert_eq!(parse_snapshot(&snapshot(1, 2, 3)), Some((1, 2, 3)));
        assert_eq!(parse_batch(b"j123"), None);
        assert_eq!(parse_snapshot(&batch(1, 1)), None);
        assert!(batch(255, 9) < batch(256, 0) && batch(u64::MAX, u32::MAX) < b"k".to_vec());
    }

    #[test]
    fn ranges_meet_at_their_number() {
        assert!(batches_up_to(7).contains(&batch(7, u32::MAX)) && !batches_up_to(7).contains(&batch(8, 0)));
        assert!(batches_above(7).contains(&batch(8, 0)) && !batches_above(7).contains(&batch(7, u32::MAX)));
        assert!(batches_up_to(u64::MAX).contains(&batch(u64::MAX, 0)) && batches_above(u64::MAX).is_empty());
        let [before, after] = other_snapshots(7);
        assert!(before.contains(&snapshot(6, u32::MAX, 0)) && after.contains(&snapshot(8, 0, 0)));
        assert!(
            ![before, after].iter().any(|range| range.contains(&snapshot(7, 0, 0)) || range.contains(&snapshot(7, u32::MAX, u32::MAX)))
        );
    }
}
