//! Values in frames, as bincode.

use bincode::config::{Config, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{FRAME_BYTES, checksum, open};
use crate::domain::Error;

/// The longest encoded value, in bytes, whatever its reader's own limit.
pub const VALUE_MAX_BYTES: usize = 8 << 20;

/// bincode counts what a field takes in memory against its limit, not what it took in the input: at most 16 bytes (a `u128`) for one.
const CLAIMED_PER_BYTE: usize = 16;

/// `value` in a frame. `Exhausted` above [`VALUE_MAX_BYTES`].
pub fn encode<T: Serialize + ?Sized>(version: u8, value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; FRAME_BYTES];
    bincode::serde::encode_into_std_write(value, &mut bytes, standard())
        .map_err(|error| Error::internal(format!("a value could not be encoded: {error}")))?;
    let checksum = checksum(version, bytes.get(FRAME_BYTES..).unwrap_or_default());
    if let Some((head, body)) = bytes.split_first_chunk_mut::<FRAME_BYTES>() {
        if body.len() > VALUE_MAX_BYTES {
            return Err(too_long(body.len(), VALUE_MAX_BYTES));
        }
        let [a, b, c, d] = checksum.to_le_bytes();
        *head = [version, a, b, c, d];
    }
    Ok(bytes)
}

/// The version and the value of a frame; for a type with one version so far. `Corrupt` if the bytes are no such frame, or longer than `limit`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<(u8, T), Error> {
    let (version, body) = open(bytes)?;
    Ok((version, decode_body(body, limit)?))
}

/// The value of a body of at most `limit` bytes (never above [`VALUE_MAX_BYTES`]), read to its last byte; `Corrupt` if it is none.
///
/// Allocates at most about 16 times the body at once (not below 64 KiB), and 1 MiB for each level of sequences, whatever lengths the bytes claim.
pub fn decode_body<T: DeserializeOwned>(body: &[u8], limit: usize) -> Result<T, Error> {
    let limit = limit.min(VALUE_MAX_BYTES);
    if body.len() > limit {
        return Err(Error::corrupt(format!("stored value of {} bytes is longer than {limit} bytes, the limit for its kind", body.len())));
    }
    // The limit is part of bincode's type: the smallest that any good body of this length fits in.
    match body.len() * CLAIMED_PER_BYTE {
        0..=0x1_0000 => read(body, standard().with_limit::<0x1_0000>()),
        0x1_0001..=0x40_0000 => read(body, standard().with_limit::<0x40_0000>()),
        _ => read(body, standard().with_limit::<{ VALUE_MAX_BYTES * CLAIMED_PER_BYTE }>()),
    }
}

fn read<T: DeserializeOwned>(body: &[u8], config: impl Config) -> Result<T, Error> {
    let (value, used) = bincode::serde::decode_from_slice(body, config)
        .map_err(|error| Error::corrupt(format!("stored value of {} bytes can't be read: {error}", body.len())))?;
    if used != body.len() {
        return Err(Error::corrupt(format!("stored value ends after {used} of {} bytes", body.len())));
    }
    Ok(value)
}

fn too_long(len: usize, limit: usize) -> Error {
    Error::exhausted(format!("a value of {len} bytes is longer than a stored value may be ({limit} bytes)"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::domain::{ErrorKind, IndexSet, JobSpec, ResultMeta, TaskEnd};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Sample {
        Nothing,
        Numbers { small: Vec<u64>, huge: u128, maybe: Option<i32> },
        Texts(BTreeMap<String, String>, Vec<Vec<u8>>),
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let numbers = (proptest::collection::vec(any::<u64>(), 0..50), any::<u128>(), any::<Option<i32>>());
        let texts = (
            proptest::collection::btree_map(".{0,9}", ".{0,9}", 0..5),
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9),
        );
        prop_oneof![
            Just(Sample::Nothing),
            numbers.prop_map(|(small, huge, maybe)| Sample::Numbers { small, huge, maybe }),
            texts.prop_map(|(map, bytes)| Sample::Texts(map, bytes)),
        ]
    }

    fn is_corrupt<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
        result.is_err_and(|error| error.kind == ErrorKind::Corrupt)
    }

    #[test]
    fn a_value_never_changes_its_bytes() {
        let value = Sample::Numbers { small: vec![1, 300], huge: 2, maybe: Some(-1) };
        let bytes = encode(7, &value).unwrap();
        assert_eq!(open(&bytes).unwrap(), (7, &[1, 2, 1, 251, 44, 1, 2, 1, 1][..]));
    }

    #[test]
    fn many_small_numbers_come_back_from_every_size_of_limit() {
        for count in [1, 60, 5_000, 300_000] {
            let value = vec![1u128; count];
            let bytes = encode(1, &value).unwrap();
            assert_eq!(decode::<Vec<u128>>(&bytes, VALUE_MAX_BYTES).unwrap(), (1, value));
        }
    }

    #[test]
    fn a_value_above_the_limit_is_refused_on_both_ways() {
        let long = vec![0u8; VALUE_MAX_BYTES];
        assert_eq!(encode(1, &long).unwrap_err().kind, ErrorKind::Exhausted);
        let bytes = encode(1, &[7u8; 32]).unwrap();
        assert!(decode::<[u8; 32]>(&bytes, 10).is_err_and(|error| error.message.contains("longer than 10 bytes")));
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        // 253 and eight bytes: a length of 2^60.
        let body = [253, 0, 0, 0, 0, 0, 0, 0, 0x10];
        assert!(is_corrupt(decode_body::<String>(&body, 100)));
        assert!(is_corrupt(decode_body::<Vec<u64>>(&body, 100)));
        assert!(is_corrupt(decode_body::<Vec<Vec<String>>>(&body, 100)));
    }

    #[test]
    fn trailing_bytes_are_noticed() {
        assert!(is_corrupt(decode_body::<u8>(&[1, 2], 100)));
    }

    proptest! {
        #[test]
        fn a_value_comes_back(version: u8, value in sample()) {
            let bytes = encode(version, &value).unwrap();
            prop_assert_eq!(decode::<Sample>(&bytes, 1 << 20).unwrap(), (version, value));
        }

        #[test]
        fn a_cut_value_is_noticed(value in sample(), at: prop::sample::Index) {
            let bytes = encode(1, &value).unwrap();
            let (_, body) = open(&bytes).unwrap();
            prop_assert!(is_corrupt(decode_body::<Sample>(&body[..at.index(body.len())], 1 << 20)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<Sample>(&bytes, 1 << 20);
            let _ = decode_body::<Sample>(&bytes, 1 << 20);
            let _ = decode_body::<ResultMeta>(&bytes, 1 << 20);
            let _ = decode_body::<JobSpec>(&bytes, 1 << 20);
            let _ = decode_body::<Vec<TaskEnd>>(&bytes, 1 << 20);
            let _ = decode_body::<IndexSet>(&bytes, 1 << 20);
        }
    }
}
