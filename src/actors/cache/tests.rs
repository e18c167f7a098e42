use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::actors::data_port::{BoxFuture, ResultHeader};
use crate::domain::ResultRef;
use crate::domain::wire::OutputPiece;

/// Serves `abcdefghij` as every data set, or what it is told to.
#[derive(Default)]
struct Letters {
    fetches: AtomicUsize,
    instead: Option<Vec<u8>>,
    /// A fetch writes its file, and then waits for so long.
    slow: Duration,
}

impl DataPort for Letters {
    fn fetch(&self, _: Digest, ranges: Vec<(u64, u64)>, to: PathBuf) -> BoxFuture<Result<u64, TransferError>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let (slow, all) = (self.slow, self.instead.clone().unwrap_or_else(|| b"abcdefghij".to_vec()));
        Box::pin(async move {
            let ranges = if ranges.is_empty() { vec![(0, all.len() as u64)] } else { ranges };
            let bytes: Vec<u8> = ranges.iter().flat_map(|(at, len)| all[*at as usize..(*at + *len) as usize].to_vec()).collect();
            std::fs::write(&to, &bytes).map_err(|error| TransferError::Here(Error::io(&to, &error)))?;
            tokio::time::sleep(slow).await;
            Ok(bytes.len() as u64)
        })
    }

    fn read(&self, _: Digest, _: (u64, u64)) -> BoxFuture<Result<bytes::Bytes, TransferError>> {
        Box::pin(async { Err(Error::internal("not here").into()) })
    }

    fn give_output(&self, _: OutputPiece) -> BoxFuture<Result<bool, TransferError>> {
        Box::pin(async { Err(Error::internal("not here").into()) })
    }

    fn upload(&self, _: ResultHeader, _: PathBuf) -> BoxFuture<Result<ResultRef, TransferError>> {
        Box::pin(async { Err(Error::internal("not here").into()) })
    }
}

fn chunk(offset: u64, len: u64, header: u64) -> Piece {
    let chunk = Chunk { offset, len, header, first_record: 0, records: 1 };
    Piece { digest: Digest([1; 32]), chunk: Some(chunk), len: len + header, name: "x.txt".into(), layout: None }
}

#[tokio::test]
async fn a_chunk_is_fetched_once_with_its_header_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let port = Arc::new(Letters::default());
    let cache = Cache::new(&dir.path().join("cache"), 1000, port.clone()).unwrap();
    let piece = chunk(5, 3, 2);
    let (one, two) = tokio::join!(cache.get(&piece), cache.get(&piece));
    assert_eq!(std::fs::read(&one.unwrap().path).unwrap(), b"abfgh");
    assert_eq!(two.unwrap().path.file_name().unwrap(), "x.txt");
    assert_eq!(port.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_not_in_use_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(&dir.path().join("cache"), 5 * DISK_BLOCK_BYTES, Arc::new(Letters::default())).unwrap();
    let first = cache.get(&chunk(0, 5, 0)).await.unwrap();
    let second = cache.get(&chunk(5, 5, 0)).await.unwrap();
    assert!(first.path.exists() && second.path.exists(), "pinned pieces stay, whatever the limit");
    let (first_path, second_path) = (first.path.clone(), second.path.clone());
    drop(first);
    assert!(!first_path.exists());
    drop(second);
    assert!(second_path.exists(), "it fits");
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_fetched_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let port = Arc::new(Letters { slow: Duration::from_millis(50), ..Letters::default() });
    let cache = Cache::new(&dir.path().join("cache"), 100_000, port.clone()).unwrap();
    let piece = chunk(0, 5, 0);
    assert!(tokio::time::timeout(Duration::from_millis(10), cache.get(&piece)).await.is_err());
    assert_eq!(std::fs::read(&cache.get(&piece).await.unwrap().path).unwrap(), b"abcde");
    assert_eq!(port.fetches.load(Ordering::SeqCst), 1);
    let left: Vec<_> = std::fs::read_dir(dir.path().join("cache")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("fetching")), "{left:?}");
}

/// Waits until nothing is in a folder: what is removed is removed by another thread.
fn emptied(folder: &Path) {
    waits(|| std::fs::read_dir(folder).unwrap().count() == 0);
}

/// Waits until what was retired is removed: a second cache in the same folder would be at it, too.
fn swept(folder: &Path) {
    let is_retired = |name: &str| name.starts_with("gone-") || name == "trash";
    waits(|| !std::fs::read_dir(folder).unwrap().any(|entry| is_retired(&entry.unwrap().file_name().to_string_lossy())));
}

fn waits(until: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(60), "what is retired is not removed");
        std::thread::yield_now();
    }
}

/// A chunk of files: so many of three bytes, in folders of a hundred.
fn files(count: usize) -> (Letters, Piece) {
    let mut tar = tar::Builder::new(Vec::new());
    for no in 0..count {
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{}/{no}", no / 100), &b"abc"[..]).unwrap();
    }
    let instead = tar.into_inner().unwrap();
    let chunk = Chunk { offset: 0, len: instead.len() as u64, header: 0, first_record: 0, records: count as u64 };
    let piece = Piece { digest: Digest([1; 32]), chunk: Some(chunk), len: chunk.len, name: "x".into(), layout: Some(Layout::Tree) };
    (Letters { instead: Some(instead), ..Letters::default() }, piece)
}

#[tokio::test]
async fn many_small_files_count_as_what_they_take_on_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (port, piece) = files(300);
    let cache = Cache::new(&dir.path().join("cache"), 600 * DISK_BLOCK_BYTES, Arc::new(port)).unwrap();
    let pinned = cache.get(&piece).await.unwrap();
    let path = pinned.path.clone();
    assert_eq!(std::fs::read(path.join("2/299")).unwrap(), b"abc");
    // Two blocks a file; three folders, the one around them, and the one by content.
    assert_eq!(cache.table().bytes, 605 * DISK_BLOCK_BYTES);
    drop(pinned);
    assert!(!path.exists(), "it does not fit");
    assert_eq!(cache.table().bytes, 0);
    emptied(&dir.path().join("cache"));
}

#[tokio::test]
async fn what_tasks_read_one_after_the_other_is_sealed_and_fetched_again_if_one_has_changed_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (port, piece) = files(3);
    let port = Arc::new(port);
    let cache = Cache::new(&dir.path().join("cache"), 1000 * DISK_BLOCK_BYTES, port.clone()).unwrap();
    let pinned = cache.get(&piece).await.unwrap();
    let path = pinned.path.clone();
    for (sealed, mode) in [(path.clone(), 0o555), (path.join("0"), 0o555), (path.join("0/1"), 0o444)] {
        let found = std::fs::metadata(&sealed).unwrap().permissions().mode() & 0o777;
        assert_eq!((found & 0o222, found & 0o400), (0, mode & 0o400), "{}", sealed.display());
    }
    drop(cache.get(&piece).await.unwrap());
    assert_eq!(port.fetches.load(Ordering::SeqCst), 1);
    // What a task of root, or one that gives itself the permission, may do; while another has it.
    std::fs::set_permissions(path.join("0"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::remove_file(path.join("0/1")).unwrap();
    std::fs::write(path.join("0/mine"), "x").unwrap();
    let (again, too) = tokio::join!(cache.get(&piece), cache.get(&piece));
    assert_eq!((&again.unwrap().path, &too.unwrap().path), (&path, &path));
    let names: Vec<_> = std::fs::read_dir(path.join("0")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() == 3 && names.contains(&"1".into()), "{names:?}");
    assert_eq!((port.fetches.load(Ordering::SeqCst), cache.table().bytes), (2, 9 * DISK_BLOCK_BYTES));
    swept(&dir.path().join("cache"));
    // So that the test can remove its folder.
    Cache::new(&dir.path().join("cache"), 0, port).unwrap();
    emptied(&dir.path().join("cache"));
}

#[tokio::test]
async fn a_file_that_a_task_has_removed_is_fetched_again_and_what_lies_beside_one_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let port = Arc::new(Letters::default());
    let cache = Cache::new(&dir.path().join("cache"), 4 * DISK_BLOCK_BYTES, port.clone()).unwrap();
    let pinned = cache.get(&chunk(0, 5, 0)).await.unwrap();
    std::fs::remove_file(&pinned.path).unwrap();
    std::fs::write(pinned.path.with_extension("index"), "x").unwrap();
    let again = cache.get(&chunk(0, 5, 0)).await.unwrap();
    assert_eq!(std::fs::read(&again.path).unwrap(), b"abcde");
    let index = again.path.with_extension("index");
    assert!(index.exists());
    drop((pinned, again));
    let other = cache.get(&chunk(5, 5, 0)).await.unwrap();
    assert!(!index.exists() && other.path.exists());
}

#[test]
fn a_cache_that_a_task_has_locked_is_emptied_all_the_same() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (cache, inner) = (dir.path().join("cache"), dir.path().join("cache/a/b"));
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::write(inner.join("x"), "x").unwrap();
    for locked in [&inner, &dir.path().join("cache/a")] {
        std::fs::set_permissions(locked, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    Cache::new(&cache, 100, Arc::new(Letters::default())).unwrap();
    emptied(&cache);
    assert_eq!(free_name_beside(&cache), dir.path().join("cache-1"));
}

#[tokio::test]
async fn a_shared_file_with_the_wrong_content_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(&dir.path().join("cache"), 100, Arc::new(Letters::default())).unwrap();
    let piece = Piece { digest: Digest([1; 32]), chunk: None, len: 10, name: "db".into(), layout: None };
    assert!(cache.get(&piece).await.is_err_and(|error| error.to_string().contains("instead of")));
    let good = Piece { digest: Digest(Sha256::digest(b"abcdefghij").into()), ..piece };
    assert!(cache.get(&good).await.is_ok());
}
