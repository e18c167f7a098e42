//! Damage, from a seed (splitmix64, Steele et al. 2014).

/// The longest damaged input, in bytes.
const INPUT_MAX_BYTES: usize = 64 * 1024;
/// Numbers that are often mistaken: limits of lengths and signs.
const ODD: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];

pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// One of the seeds with a few things wrong; now and then nothing but noise.
    pub fn damage(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if self.below(20) == 0 {
            return (0..self.below(300)).map(|_| self.next() as u8).collect();
        }
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            self.once(&mut bytes, seeds);
        }
        bytes.truncate(INPUT_MAX_BYTES);
        bytes
    }

    fn once(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        match self.below(8) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 if at < bytes.len() => bytes[at] = self.next() as u8,
            3 => bytes.insert(at, self.next() as u8),
            4 => {
                let odd = ODD[self.below(ODD.len())].to_le_bytes();
                let len = [1, 2, 4, 8][self.below(4)];
                for (to, from) in bytes.iter_mut().skip(at).zip(&odd[..len]) {
                    *to = *from;
                }
            }
            5 => {
                // A part again, elsewhere.
                let from = self.below(bytes.len() + 1);
                let part: Vec<u8> = bytes[from..].iter().copied().take(self.below(100)).collect();
                bytes.splice(at..at, part);
            }
            6 => {
                let end = (at + self.below(50)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                // The end of another.
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}
