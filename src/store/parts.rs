//! A long value as pieces short enough for sled, and back.
//!
//! Each piece is a frame of `codec/` around a mark (1 on the last piece, else 0) and bytes.

use super::ledger::admit_len;
use crate::codec;
use crate::domain::Error;
use crate::limits;

/// Bytes of the value in one piece.
///
/// sled writes a leaf of its tree as one message: 16 values, and up to 3 more just before a split or after a merge. Above 131,040 bytes
/// (a quarter of a segment, less its head) the message goes to a file in `blobs/`. So short a piece keeps even the fullest leaf in the log.
pub(super) const PIECE_BYTES: usize = 6 * 1024;
const _: () = assert!(PIECE_BYTES + codec::FRAME_BYTES < limits::STORE_VALUE_MAX_BYTES);
const _: () = assert!(20 * (PIECE_BYTES + 64) < 131_040);

const VERSION: u8 = 1;

/// The pieces of `value`, in order; at least one.
pub(super) fn pieces(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let count = value.len().div_ceil(PIECE_BYTES).max(1);
    (0..count).map(move |no| {
        let start = no * PIECE_BYTES;
        let end = value.len().min(start + PIECE_BYTES);
        let mark = u8::from(no + 1 == count);
        codec::seal(VERSION, &[&[mark], value.get(start..end).unwrap_or_default()].concat())
    })
}

/// Puts a value together again from its pieces, which are pushed in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    bytes: Vec<u8>,
    next: u32,
    hole: bool,
    ended: bool,
}

/// How whole an [`Assembly`] is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// Every piece was there.
    Yes(Vec<u8>),
    /// The last piece never came: the writing was cut short.
    Cut,
    /// The last piece is there, so all were written, but an earlier one is gone.
    Hole,
}

impl Assembly {
    /// Takes in piece `no`; `Corrupt` if its checksum is wrong or it comes after the last.
    pub fn push(&mut self, no: u32, piece: &[u8]) -> Result<(), Error> {
        let (version, body) = codec::open(piece)?;
        if version != VERSION {
            return Err(Error::conflict(format!(
                "written in version {version} of the store, newer than {VERSION}: use a newer millpond-head"
            )));
        }
        let Some((&mark @ 0..=1, bytes)) = body.split_first() else { return Err(Error::corrupt("a piece without its mark")) };
        if self.ended {
            return Err(Error::corrupt("a piece after the last"));
        }
        self.hole |= no != self.next;
        self.next = no.saturating_add(1);
        self.ended = mark == 1;
        admit_len(self.bytes.len() + bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// What became of it.
    pub fn finish(self) -> Whole {
        match (self.ended, self.hole) {
            (true, false) => Whole::Yes(self.bytes),
            (true, true) => Whole::Hole,
            (false, _) => Whole::Cut,
        }
    }
}

/// Values with consecutive numbers, all of which must be there.
#[derive(Debug)]
pub(super) struct Series {
    what: &'static str,
    first: u64,
    values: Vec<Assembly>,
}

impl Series {
    /// Awaits the pieces of values from number `first` on; errors call a value `what`.
    pub fn new(what: &'static str, first: u64) -> Self {
        Self { what, first, values: Vec::new() }
    }

    /// Takes in piece `no` of value `number`, in the order of both. `Corrupt` if a value was left out.
    pub fn push(&mut self, number: u64, no: u32, piece: &[u8]) -> Result<(), Error> {
        let next = self.next();
        if number == next {
            self.values.push(Assembly::default());
        }
        match self.values.last_mut() {
            Some(value) if number == next || number.checked_add(1) == Some(next) => {
                value.push(no, piece).map_err(|error| error.context(format!("{} {number}", self.what)))
            }
            _ => Err(self.missing(next)),
        }
    }

    /// All values up to `end`, which is excluded; `Corrupt` if one of them is not whole.
    pub fn finish(self, end: u64) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        if self.next() != end {
            return Err(self.missing(end.min(self.next())));
        }
        let whole = |(number, value): (u64, Assembly)| match value.finish() {
            Whole::Yes(bytes) => Ok((number, bytes)),
            Whole::Cut | Whole::Hole => Err(Error::corrupt(format!("{} {number} is incomplete", self.what))),
        };
        (self.first..).zip(self.values).map(whole).collect()
    }

    fn next(&self) -> u64 {
        self.first.saturating_add(self.values.len() as u64)
    }

    fn missing(&self, number: u64) -> Error {
        Error::corrupt(format!("{} {number} is missing", self.what))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assemble(pieces: impl IntoIterator<Item = (u32, Vec<u8>)>) -> Result<Whole, Error> {
        let mut assembly = Assembly::default();
        for (no, piece) in pieces {
            assembly.push(no, &piece)?;
        }
        Ok(assembly.finish())
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![0..50usize, PIECE_BYTES - 2..PIECE_BYTES + 3, 0..5 * PIECE_BYTES]
            .prop_map(|len| (0..len).map(|at| (at * 31 % 251) as u8).collect())
    }

    proptest! {
        #[test]
        fn a_value_comes_back_from_its_pieces(value in value()) {
            let pieces: Vec<_> = (0..).zip(pieces(&value)).collect();
            prop_assert!(pieces.iter().all(|(_, piece)| piece.len() <= limits::STORE_VALUE_MAX_BYTES));
            prop_assert_eq!(assemble(pieces).unwrap(), Whole::Yes(value));
        }

        #[test]
        fn a_missing_piece_is_a_cut_at_the_end_and_a_hole_elsewhere(value in value(), at: prop::sample::Index) {
            let mut pieces: Vec<_> = (0..).zip(pieces(&value)).collect();
            let gone = at.index(pieces.len());
            let expected = if gone + 1 == pieces.len() { Whole::Cut } else { Whole::Hole };
            pieces.remove(gone);
            prop_assert_eq!(assemble(pieces).unwrap(), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in proptest::collection::vec((any::<u32>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..4)) {
            let framed = pieces.iter().map(|(no, bytes)| (*no, codec::seal(1, bytes))).collect::<Vec<_>>();
            let _ = assemble(framed);
            let _ = assemble(pieces);
        }
    }
}
