//! Bits that nobody can guess, from the operating system.

use ring::rand::{SecureRandom, SystemRandom};

use crate::domain::Error;

/// So many random bytes.
///
/// # Errors
/// `Internal` if the system gives none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system gives no random bytes"))?;
    Ok(bytes)
}

/// 64 random bits.
///
/// # Errors
/// As [`random_bytes`].
pub fn random_bits() -> Result<u64, Error> {
    random_bytes().map(u64::from_le_bytes)
}

/// The number of a certificate: positive, as X.509 wants it, and not to be guessed.
///
/// # Errors
/// As [`random_bytes`].
pub fn random_serial() -> Result<u128, Error> {
    let bits = u128::from_be_bytes(random_bytes()?);
    Ok(bits >> 1 | 1 << 126)
}
