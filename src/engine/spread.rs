//! Numbers that look random, without randomness.

/// A number that looks random and is the same each time, another one for each seed: SplitMix64's finalizer (Steele, Lea, Flood 2014).
pub(super) fn spread(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
