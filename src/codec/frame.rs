//! The frame around persisted bytes: a version and a checksum.

use crate::domain::Error;

/// What a frame adds to its body, in bytes.
pub const FRAME_BYTES: usize = 5;

/// Puts `body` in a frame.
pub fn seal(version: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME_BYTES + body.len());
    bytes.push(version);
    bytes.extend_from_slice(&checksum(version, body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The version and the body of a frame; `Corrupt` if it is too short or its checksum is wrong.
pub fn open(bytes: &[u8]) -> Result<(u8, &[u8]), Error> {
    let Some((&[version, a, b, c, d], body)) = bytes.split_first_chunk::<FRAME_BYTES>() else {
        return Err(Error::corrupt(format!("stored record of {} bytes is too short to be one", bytes.len())));
    };
    let (stored, found) = (u32::from_le_bytes([a, b, c, d]), checksum(version, body));
    if stored != found {
        return Err(Error::corrupt(format!("stored record is damaged: its checksum is {found:08x} instead of {stored:08x}")));
    }
    Ok((version, body))
}

/// The version counts as well, so that a flipped bit in it is no other version.
pub(super) fn checksum(version: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ErrorKind;

    #[test]
    fn a_frame_never_changes_its_shape() {
        assert_eq!(seal(3, b"pond"), [3, 36, 66, 151, 24, b'p', b'o', b'n', b'd']);
    }

    proptest! {
        #[test]
        fn a_body_comes_back(version: u8, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = seal(version, &body);
            prop_assert_eq!(bytes.len(), FRAME_BYTES + body.len());
            prop_assert_eq!(open(&bytes).unwrap(), (version, body.as_slice()));
        }

        #[test]
        fn one_flipped_bit_is_noticed(version: u8, body in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index) {
            let mut bytes = seal(version, &body);
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open(&bytes).unwrap_err().kind, ErrorKind::Corrupt);
        }

        #[test]
        fn a_cut_frame_is_noticed(body in proptest::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index) {
            let bytes = seal(1, &body);
            let cut = at.index(bytes.len());
            prop_assert!(open(&bytes[..cut]).is_err());
        }
    }
}
