//! How much of the disk the journal takes.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::domain::Error;

/// Bytes of all files of the journal in a data folder. Files that go meanwhile do not count.
///
/// # Errors
/// That of the disk.
pub fn bytes_of(data_folder: &Path) -> Result<u64, Error> {
    bytes_below(&data_folder.join("store"))
}

fn bytes_below(folder: &Path) -> Result<u64, Error> {
    let failed = |error: std::io::Error| Error::io(folder, &error);
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        bytes += match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path())?,
            Ok(found) => found.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(error)),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{SledStore, Store};

    #[test]
    fn what_is_written_to_a_journal_takes_room() {
        let folder = tempfile::tempdir().unwrap();
        assert!(bytes_of(folder.path()).is_err(), "there is none yet");
        let mut store = SledStore::open(folder.path()).unwrap();
        let epoch = store.acquire("test").unwrap();
        let random: Vec<u8> = (0..1_000_000u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
        let before = bytes_of(folder.path()).unwrap();
        assert_eq!(store.append(epoch, 1, &random).unwrap(), crate::store::Appended::Durable);
        assert!(bytes_of(folder.path()).unwrap() > before);
        fs::write(folder.path().join("store/blobs/9"), vec![0; 5_000_000]).unwrap();
        assert!(bytes_of(folder.path()).unwrap() > before + 5_000_000);
    }
}
