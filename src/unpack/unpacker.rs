//! The unpacker: bytes in, plain bytes out.

use super::decoder::{Damage, Decoder, Step};
use crate::domain::{Error, Packing};

/// What is made at once, in bytes.
const OUTPUT_BYTES: usize = 256 * 1024;
/// What a decoder gets at once, in bytes: so exactly is a damaged place named where the decoder does not say it.
const INPUT_BYTES: usize = 4096;

/// Takes plain bytes, in order.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Error>;

/// Passes plain data on, and unpacks what is compressed with gzip, zstd or bzip2: members one behind the other, as these programs take them.
pub struct Unpacker {
    state: State,
    /// Bytes taken so far.
    taken: u64,
    output: Vec<u8>,
}

enum State {
    /// The first bytes are not all here.
    Unknown(Vec<u8>),
    Plain,
    Packed {
        packing: Packing,
        /// None between two members.
        decoder: Option<Decoder>,
    },
    /// Behind the last member of gzip data, among zeros: a tape's block is filled up with them.
    Padding,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { state: State::Unknown(Vec::new()), taken: 0, output: Vec::new() }
    }
}

impl Unpacker {
    /// Takes the next bytes, and gives what they make to `sink`.
    ///
    /// # Errors
    /// `Invalid` for damaged data; what the sink says. After an error it is of no use any more.
    pub fn feed(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Error> {
        let State::Unknown(head) = &mut self.state else { return self.go_on(bytes, sink) };
        let (first, rest) = bytes.split_at(bytes.len().min(Packing::HEAD_BYTES - head.len()));
        head.extend_from_slice(first);
        if head.len() == Packing::HEAD_BYTES {
            self.decide(sink)?;
            self.go_on(rest, sink)?;
        }
        Ok(())
    }

    /// The data ends here. How it was compressed, if it was.
    ///
    /// # Errors
    /// `Invalid` if it ends inside compressed data; what the sink says.
    pub fn finish(mut self, sink: Sink<'_>) -> Result<Option<Packing>, Error> {
        if let State::Unknown(_) = self.state {
            self.decide(sink)?;
        }
        match self.state {
            State::Unknown(_) | State::Plain => Ok(None),
            State::Padding => Ok(Some(Packing::Gzip)),
            State::Packed { packing, decoder: None } => Ok(Some(packing)),
            State::Packed { packing, decoder: Some(_) } => {
                Err(Error::invalid(format!("the {packing} data breaks off, at byte {}, before its end: get or make it again", self.taken)))
            }
        }
    }

    /// Goes by the first bytes.
    fn decide(&mut self, sink: Sink<'_>) -> Result<(), Error> {
        let State::Unknown(head) = &mut self.state else { return Ok(()) };
        let head = std::mem::take(head);
        self.state = Packing::of(&head).map_or(State::Plain, |packing| State::Packed { packing, decoder: None });
        self.go_on(&head, sink)
    }

    fn go_on(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = match &mut self.state {
                State::Unknown(_) | State::Plain => {
                    sink(rest)?;
                    rest.len()
                }
                State::Padding => match rest.iter().position(|byte| *byte != 0) {
                    None => rest.len(),
                    Some(at) => return Err(damaged(Packing::Gzip, self.taken + at as u64, "something else follows its end")),
                },
                State::Packed { packing: Packing::Gzip, decoder: None } if rest[0] == 0 && self.taken > 0 => {
                    self.state = State::Padding;
                    0
                }
                State::Packed { packing, decoder } => {
                    let packing = *packing;
                    let member = match decoder.take() {
                        Some(member) => member,
                        None => Decoder::new(packing).map_err(|error| Error::internal(format!("can't unpack {packing} data: {error}")))?,
                    };
                    let (len, member) = unpack(packing, member, &rest[..rest.len().min(INPUT_BYTES)], self.taken, &mut self.output, sink)?;
                    *decoder = member;
                    len
                }
            };
            self.taken += len as u64;
            rest = &rest[len..];
        }
        Ok(())
    }
}

/// Unpacks some input, the first byte of which has the offset `at`: how much of it was taken, and the decoder unless the member has ended.
fn unpack(
    packing: Packing,
    mut decoder: Decoder,
    input: &[u8],
    at: u64,
    output: &mut Vec<u8>,
    sink: Sink<'_>,
) -> Result<(usize, Option<Decoder>), Error> {
    output.resize(OUTPUT_BYTES, 0);
    let mut done = 0;
    loop {
        let step = decoder.step(&input[done..], output);
        let Step { taken, made, ended } = step.map_err(|Damage { taken, why }| damaged(packing, at + (done + taken) as u64, &why))?;
        done += taken;
        if made > 0 {
            sink(&output[..made])?;
        }
        if ended {
            return Ok((done, None));
        }
        // A full output may hide that there is more to make, from nothing more than was taken already.
        if made < output.len() {
            match done == input.len() {
                true => return Ok((done, Some(decoder))),
                false if taken == 0 && made == 0 => return Err(damaged(packing, at + done as u64, "it goes on nowhere")),
                false => {}
            }
        }
    }
}

fn damaged(packing: Packing, at: u64, why: &str) -> Error {
    Error::invalid(format!("the {packing} data is damaged at byte {at}, or shortly before: {why}: get or make it again"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// One member.
    fn pack(packing: Packing, data: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Gzip => {
                let mut encoder = flate2::GzBuilder::new().filename("x.fasta").write(Vec::new(), flate2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
                encoder.include_checksum(true).unwrap();
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    /// Feeds in pieces of this length.
    fn unpacked(data: &[u8], piece: usize) -> Result<(Vec<u8>, Option<Packing>), Error> {
        let (mut unpacker, mut plain) = (Unpacker::default(), Vec::new());
        let mut sink = |bytes: &[u8]| {
            plain.extend_from_slice(bytes);
            Ok(())
        };
        data.chunks(piece).try_for_each(|bytes| unpacker.feed(bytes, &mut sink))?;
        let packing = unpacker.finish(&mut sink)?;
        Ok((plain, packing))
    }

    const ALL: [Packing; 3] = [Packing::Gzip, Packing::Zstd, Packing::Bzip2];

    fn packings() -> impl Strategy<Value = Packing> {
        prop::sample::select(ALL.to_vec())
    }

    /// Texts that can be compressed well, and others.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![vec(any::<u8>(), 0..300), (vec(any::<u8>(), 0..20), 0..4000usize).prop_map(|(text, times)| text.repeat(times)),]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn members_come_out_as_they_went_in(packing in packings(), parts in vec(texts(), 1..4), piece in 1..10_000usize) {
            let packed: Vec<u8> = parts.iter().flat_map(|part| pack(packing, part)).collect();
            prop_assert!(unpacked(&packed, piece) == Ok((parts.concat(), Some(packing))));
        }

        #[test]
        fn plain_data_is_passed_on(data in vec(any::<u8>(), 0..100), piece in 1..50usize) {
            prop_assume!(Packing::of(&data).is_none());
            prop_assert_eq!(unpacked(&data, piece), Ok((data, None)));
        }

        #[test]
        fn damage_is_refused_or_harmless(packing in packings(), text in texts(), place in any::<prop::sample::Index>(), bit in 0..8u8, piece in 1..5000usize) {
            let mut packed = pack(packing, &text);
            let place = place.index(packed.len());
            packed[place] ^= 1 << bit;
            if let Ok((plain, Some(_))) = unpacked(&packed, piece) {
                // A name, a time: nothing else goes unnoticed.
                prop_assert!(plain == text, "{packing} is damaged at byte {place}, and nobody noticed");
            }
        }

        #[test]
        fn what_breaks_off_is_refused(packing in packings(), text in texts(), place in any::<prop::sample::Index>(), piece in 1..5000usize) {
            let packed = pack(packing, &text);
            let len = place.index(packed.len());
            prop_assume!(Packing::of(&packed[..len]).is_some());
            let says = format!("the {packing} data breaks off, at byte {len}, before its end: get or make it again");
            prop_assert_eq!(unpacked(&packed[..len], piece).unwrap_err().message, says);
        }
    }

    #[test]
    fn damage_is_named_with_its_place() {
        for (packing, near, says) in [(Packing::Gzip, 8, "check"), (Packing::Zstd, 4096, "checksum"), (Packing::Bzip2, 4096, "")] {
            let text: Vec<u8> = (0..200_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
            let mut packed = pack(packing, &text);
            let last = packed.len() - 7;
            packed[last] ^= 1;
            let message = unpacked(&packed, 100_000).unwrap_err().message;
            let place = message.strip_prefix(&format!("the {packing} data is damaged at byte ")).unwrap();
            let place: usize = place.split(',').next().unwrap().parse().unwrap();
            assert!(place.abs_diff(last) <= near && message.contains(says), "{message}: at {last}");
        }
    }

    #[test]
    fn what_follows_the_end_is_another_member_or_padding() {
        let packed = pack(Packing::Gzip, b"abc");
        let padded = [packed.clone(), vec![0; 5000]].concat();
        assert_eq!(unpacked(&padded, 17).unwrap(), (b"abc".to_vec(), Some(Packing::Gzip)));
        let refused = |tail: &[u8], says: &str| {
            let message = unpacked(&[&packed, tail].concat(), 5).unwrap_err().message;
            assert!(message.contains(&format!("byte {}", packed.len() + 3)) && message.contains(says), "{message}");
        };
        refused(b"\0\0\0x", "something else follows its end");
        assert!(unpacked(&[&packed, &b"xyz"[..]].concat(), 5).is_err());
        for packing in [Packing::Zstd, Packing::Bzip2] {
            assert!(unpacked(&[pack(packing, b"abc"), b"xyzxyz".to_vec()].concat(), 5).is_err(), "{packing}");
        }
    }

    #[test]
    fn a_sink_that_has_no_room_ends_it_early() {
        let bomb = pack(Packing::Zstd, &vec![0; 100 << 20]);
        let (mut unpacker, mut seen) = (Unpacker::default(), 0);
        let mut sink = |bytes: &[u8]| {
            seen += bytes.len();
            if seen > 1 << 20 { Err(Error::exhausted("full")) } else { Ok(()) }
        };
        assert_eq!(unpacker.feed(&bomb, &mut sink).unwrap_err().message, "full");
        assert!(seen <= (1 << 20) + OUTPUT_BYTES);
    }
}
