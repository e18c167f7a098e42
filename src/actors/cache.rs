//! The Cache: chunks and shared files on a worker, by content. A piece is fetched once, however many tasks wait for it.
//!
//! ```text
//! cache/<digest>/<name>                         a shared file
//! cache/<digest>-<offset>-<len>-<header>/<name> a chunk; of files: a folder with them
//! ```
//! A file is moved there only when it is whole. Pieces in use are pinned; of the others the least recently used go first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::archive::{Layout, unpack_files};
use crate::domain::{Chunk, Digest, Error, ErrorKind};
use crate::exec;

use super::data_port::{DataPort, TransferError};

/// Something to have at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Of which data set.
    pub digest: Digest,
    /// Which part; none for all of it.
    pub chunk: Option<Chunk>,
    /// The file's name; its ending matters to some programs.
    pub name: String,
    /// How the files of a chunk of files are laid out, in a folder of that name.
    pub layout: Option<Layout>,
}

impl Piece {
    fn key(&self) -> String {
        let layout = match self.layout {
            None => "",
            Some(Layout::OneFile) => "-file",
            Some(Layout::Tree) => "-tree",
        };
        match self.chunk {
            None => self.digest.to_string(),
            Some(Chunk { offset, len, header, .. }) => format!("{}-{offset}-{len}-{header}{layout}", self.digest),
        }
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        match self.chunk {
            None => Vec::new(),
            Some(Chunk { offset, len, header, .. }) => [(0, header), (offset, len)].into_iter().filter(|(_, len)| *len > 0).collect(),
        }
    }
}

#[derive(Default)]
struct Entry {
    /// What a task gets the path of.
    file: Arc<OnceCell<PathBuf>>,
    pins: u32,
    used: u64,
    len: u64,
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<(String, String), Entry>,
    clock: u64,
    bytes: u64,
    last_temp: u64,
}

/// See the module.
pub struct Cache {
    dir: PathBuf,
    max_bytes: u64,
    port: Arc<dyn DataPort>,
    table: Mutex<Table>,
}

/// A piece that stays while this is held.
pub struct Pinned {
    /// Where it is.
    pub path: PathBuf,
    /// Whether that is a folder.
    pub is_folder: bool,
    key: (String, String),
    cache: Arc<Cache>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.cache.unpin(&self.key);
    }
}

impl Cache {
    /// An empty cache in a folder, which is made, or emptied.
    pub fn new(dir: &Path, max_bytes: u64, port: Arc<dyn DataPort>) -> Result<Arc<Self>, Error> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.for_each(|entry| remove(&entry.path()));
        if std::fs::read_dir(dir).is_ok_and(|left| left.count() > 0) {
            // A task's work; it must not keep the worker from its own.
            let aside = free_name_beside(dir);
            tracing::warn!(folder = %dir.display(), aside = %aside.display(), "the cache can't be emptied: it is put aside, remove it by hand");
            std::fs::rename(dir, &aside).map_err(|error| Error::io(dir, &error))?;
        }
        std::fs::create_dir_all(dir).map_err(|error| Error::io(dir, &error))?;
        Ok(Arc::new(Self { dir: dir.to_owned(), max_bytes, port, table: Mutex::default() }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic under this lock would have to come from the map itself; the table is whole in any case.
        self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The piece, fetched if it is not there.
    ///
    /// What has begun goes on to its end though nobody waits for it any more: a fetch that stopped midway would leave files that are
    /// nobody's.
    pub async fn get(self: &Arc<Self>, piece: &Piece) -> Result<Pinned, TransferError> {
        let (cache, piece) = (self.clone(), piece.clone());
        let got = tokio::spawn(async move { cache.get_to_the_end(&piece).await });
        got.await.unwrap_or_else(|_| Err(Error::internal("fetching a file broke off").into()))
    }

    async fn get_to_the_end(self: &Arc<Self>, piece: &Piece) -> Result<Pinned, TransferError> {
        let key = (piece.key(), piece.name.clone());
        let file = {
            let mut table = self.table();
            table.clock += 1;
            let used = table.clock;
            let entry = table.entries.entry(key.clone()).or_default();
            entry.pins += 1;
            entry.used = used;
            entry.file.clone()
        };
        let mut pinned =
            Pinned { path: self.dir.join(&key.0).join(&key.1), is_folder: piece.layout == Some(Layout::Tree), key, cache: self.clone() };
        pinned.path = file.get_or_try_init(|| self.fetch(piece, &pinned)).await?.clone();
        Ok(pinned)
    }

    async fn fetch(&self, piece: &Piece, pinned: &Pinned) -> Result<PathBuf, TransferError> {
        let temp = self.temp();
        let fetched = match self.port.fetch(piece.digest, piece.ranges(), temp.clone()).await {
            Ok(len) => {
                let (piece, from, to) = (piece.clone(), temp.clone(), pinned.path.clone());
                let settled = tokio::task::spawn_blocking(move || match piece.layout {
                    None => settle(piece.chunk.is_none().then_some(piece.digest), &from, &to).map(|()| (len, to)),
                    Some(layout) => settle_files(layout, &from, &to),
                });
                settled.await.unwrap_or_else(|_| Err(Error::internal("storing a fetched file broke off").into()))
            }
            Err(error) => Err(error),
        };
        match fetched {
            Ok((len, path)) => {
                self.fetched(&pinned.key, len);
                Ok(path)
            }
            Err(error) => {
                let _ = std::fs::remove_file(&temp);
                Err(error)
            }
        }
    }

    /// A path in the cache's folder that nothing else has.
    fn temp(&self) -> PathBuf {
        let mut table = self.table();
        table.last_temp += 1;
        self.dir.join(format!("fetching-{}", table.last_temp))
    }

    fn fetched(&self, key: &(String, String), len: u64) {
        let mut table = self.table();
        table.bytes += len;
        if let Some(entry) = table.entries.get_mut(key) {
            entry.len = len;
        }
        self.shrink(&mut table);
    }

    fn unpin(&self, key: &(String, String)) {
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(key) {
            entry.pins -= 1;
            if entry.pins == 0 && entry.file.get().is_none() {
                table.entries.remove(key);
            }
        }
        self.shrink(&mut table);
    }

    fn shrink(&self, table: &mut Table) {
        while table.bytes > self.max_bytes {
            let idle = table.entries.iter().filter(|(_, entry)| entry.pins == 0).min_by_key(|(_, entry)| entry.used);
            let Some(key) = idle.map(|(key, _)| key.clone()) else { return };
            let Some(entry) = table.entries.remove(&key) else { return };
            table.bytes = table.bytes.saturating_sub(entry.len);
            let folder = self.dir.join(&key.0);
            remove(&folder.join(&key.1));
            // Another name of the same content may share the folder, so only an empty one goes.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Checks a fetched file, if its digest is known, makes it read-only, and moves it to its place.
fn settle(digest: Option<Digest>, from: &Path, to: &Path) -> Result<(), TransferError> {
    use std::os::unix::fs::PermissionsExt;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| TransferError::Here(Error::io(&path, &error))
    };
    if let Some(digest) = digest {
        let mut hasher = Sha256::new();
        let mut file = std::fs::File::open(from).map_err(io(from))?;
        std::io::copy(&mut file, &mut HashWriter(&mut hasher)).map_err(io(from))?;
        let found = Digest(hasher.finalize().into());
        if found != digest {
            return Err(Error::corrupt(format!("a shared file arrived as {found} instead of {digest}")).into());
        }
    }
    std::fs::set_permissions(from, std::fs::Permissions::from_mode(0o444)).map_err(io(from))?;
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(io(folder))?;
    }
    std::fs::rename(from, to).map_err(io(to))
}

/// Unpacks fetched files, next to what was fetched, and moves the folder to its place: their length, and what a task gets the path of.
fn settle_files(layout: Layout, from: &Path, to: &Path) -> Result<(u64, PathBuf), TransferError> {
    let io = |path: &Path, error: &std::io::Error| TransferError::Here(Error::io(path, error));
    let unpacked = from.with_extension("files");
    std::fs::create_dir(&unpacked).map_err(|error| io(&unpacked, &error))?;
    let settled = unpack_files(from, &unpacked, layout).map_err(|error| match error.kind {
        ErrorKind::Corrupt => TransferError::Head(error),
        _ => TransferError::Here(error),
    });
    let settled = settled.and_then(|(len, last)| {
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(|error| io(folder, &error))?;
        }
        // What could not be removed, or is nobody's, must not stand in the way.
        remove(to);
        std::fs::rename(&unpacked, to).map_err(|error| io(to, &error))?;
        let path = match layout {
            Layout::OneFile => to.join(last.file_name().unwrap_or_default()),
            Layout::Tree => to.to_owned(),
        };
        Ok((len, path))
    });
    if settled.is_err() {
        remove(&unpacked);
    }
    let _ = std::fs::remove_file(from);
    settled
}

/// Removes what was in the cache, though a task may have locked its folders; what can't be removed stays until the next start.
fn remove(path: &Path) {
    // One at a time: what is removed passes through a folder beside it.
    static REMOVING: Mutex<()> = Mutex::new(());
    let _one = REMOVING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Err(error) = exec::remove_tree(path)
        && error.kind != ErrorKind::NotFound
    {
        tracing::warn!(%error, "what was in the cache can't be removed");
    }
}

/// `cache-1`, or the next that there is not.
fn free_name_beside(dir: &Path) -> PathBuf {
    let name = |number: u32| {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!("-{number}"));
        PathBuf::from(name)
    };
    (1..u32::MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(u32::MAX))
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::actors::data_port::{BoxFuture, ResultHeader};
    use crate::domain::ResultRef;

    /// Serves `abcdefghij` as every data set.
    #[derive(Default)]
    struct Letters {
        fetches: AtomicUsize,
        /// A fetch writes its file, and then waits for so long.
        slow: Duration,
    }

    impl DataPort for Letters {
        fn fetch(&self, _: Digest, ranges: Vec<(u64, u64)>, to: PathBuf) -> BoxFuture<Result<u64, TransferError>> {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            let slow = self.slow;
            Box::pin(async move {
                let all = b"abcdefghij";
                let ranges = if ranges.is_empty() { vec![(0, 10)] } else { ranges };
                let bytes: Vec<u8> = ranges.iter().flat_map(|(at, len)| all[*at as usize..(*at + *len) as usize].to_vec()).collect();
                std::fs::write(&to, &bytes).map_err(|error| TransferError::Here(Error::io(&to, &error)))?;
                tokio::time::sleep(slow).await;
                Ok(bytes.len() as u64)
            })
        }

        fn upload(&self, _: ResultHeader, _: PathBuf) -> BoxFuture<Result<ResultRef, TransferError>> {
            Box::pin(async { Err(Error::internal("not here").into()) })
        }
    }

    fn chunk(offset: u64, len: u64, header: u64) -> Piece {
        let chunk = Chunk { offset, len, header, first_record: 0, records: 1 };
        Piece { digest: Digest([1; 32]), chunk: Some(chunk), name: "x.txt".into(), layout: None }
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
        let cache = Cache::new(&dir.path().join("cache"), 8, Arc::new(Letters::default())).unwrap();
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
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
        assert_eq!(free_name_beside(&cache), dir.path().join("cache-1"));
    }

    #[tokio::test]
    async fn a_shared_file_with_the_wrong_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(&dir.path().join("cache"), 100, Arc::new(Letters::default())).unwrap();
        let piece = Piece { digest: Digest([1; 32]), chunk: None, name: "db".into(), layout: None };
        assert!(cache.get(&piece).await.is_err_and(|error| error.to_string().contains("instead of")));
        let good = Piece { digest: Digest(Sha256::digest(b"abcdefghij").into()), ..piece };
        assert!(cache.get(&good).await.is_ok());
    }
}
