//! The Cache: chunks and shared files on a worker, by content. A piece is fetched once, however many tasks wait for it.
//!
//! ```text
//! cache/<digest>/<name>                         a shared file
//! cache/<digest>-<offset>-<len>-<header>/<name> a chunk; of files: a folder with them
//! ```
//! A file is moved there only when it is whole, and can't be written any more. A task may run as the worker's own user, or as root, so what one of
//! them changed all the same is noticed before the next gets it, and fetched again. Pieces in use are pinned; of the others the least
//! recently used go first: out of the way at once, as `gone-…`, from the disk by a thread of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::archive::{Layout, Seal, unpack_files};
use crate::domain::{Chunk, Digest, Error, ErrorKind, short_size};
use crate::exec;
use crate::limits::{DISK_BLOCK_BYTES, WORKER_CACHE_MAX_PIECES};

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
    /// In bytes.
    pub len: u64,
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

/// By content, and by name.
type Key = (String, String);

/// A piece that is there.
#[derive(Debug)]
struct Settled {
    /// What a task gets the path of.
    path: PathBuf,
    seal: Seal,
}

#[derive(Default)]
struct Entry {
    settled: Arc<OnceCell<Settled>>,
    pins: u32,
    used: u64,
    bytes: u64,
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<Key, Entry>,
    /// Those that nobody uses, by when they were used last.
    idle: BTreeMap<u64, Key>,
    clock: u64,
    bytes: u64,
}

/// See the module.
pub struct Cache {
    dir: PathBuf,
    max_bytes: u64,
    port: Arc<dyn DataPort>,
    table: Mutex<Table>,
    remover: mpsc::Sender<PathBuf>,
}

/// A piece that stays while this is held.
pub struct Pinned {
    /// Where it is.
    pub path: PathBuf,
    /// Whether that is a folder.
    pub is_folder: bool,
    key: Key,
    cache: Arc<Cache>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.cache.unpin(&self.key);
    }
}

impl Cache {
    /// An empty cache in a folder, which is made; what was in it is removed by and by.
    pub fn new(dir: &Path, max_bytes: u64, port: Arc<dyn DataPort>) -> Result<Arc<Self>, Error> {
        let left: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        let cache = Self { dir: dir.to_owned(), max_bytes, port, table: Mutex::default(), remover: spawn_remover()? };
        if !left.iter().all(|path| cache.retire(path)) {
            // A task's work; it must not keep the worker from its own.
            let aside = free_name_beside(dir);
            tracing::warn!(folder = %dir.display(), aside = %aside.display(), "the cache can't be emptied: it is put aside, remove it by hand");
            std::fs::rename(dir, &aside).map_err(|error| Error::io(dir, &error))?;
        }
        std::fs::create_dir_all(dir).map_err(|error| Error::io(dir, &error))?;
        Ok(Arc::new(cache))
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
        let mut settled = self.pin(&key);
        let place = self.dir.join(&key.0).join(&key.1);
        let mut pinned = Pinned { path: place, is_folder: piece.layout == Some(Layout::Tree), key, cache: self.clone() };
        if let Some(Settled { seal, .. }) = settled.get()
            && !holds(*seal, &pinned).await
        {
            settled = self.forget(&pinned, &settled);
        }
        pinned.path = settled.get_or_try_init(|| self.fetch(piece, &pinned)).await?.path.clone();
        Ok(pinned)
    }

    fn pin(&self, key: &Key) -> Arc<OnceCell<Settled>> {
        let mut table = self.table();
        let table = &mut *table;
        table.clock += 1;
        let entry = table.entries.entry(key.clone()).or_default();
        table.idle.remove(&entry.used);
        entry.pins += 1;
        entry.used = table.clock;
        entry.settled.clone()
    }

    /// What was changed since it was settled is not there any more; what is instead, if another task has noticed it as well.
    fn forget(&self, pinned: &Pinned, changed: &Arc<OnceCell<Settled>>) -> Arc<OnceCell<Settled>> {
        let mut table = self.table();
        let Some(entry) = table.entries.get_mut(&pinned.key) else { return Arc::default() };
        if !Arc::ptr_eq(&entry.settled, changed) {
            return entry.settled.clone();
        }
        tracing::warn!(path = %pinned.path.display(), "a task has changed what others read as well: it is fetched again");
        let (bytes, settled) = (std::mem::take(&mut entry.bytes), Arc::<OnceCell<Settled>>::default());
        entry.settled = settled.clone();
        table.bytes = table.bytes.saturating_sub(bytes);
        settled
    }

    async fn fetch(self: &Arc<Self>, piece: &Piece, pinned: &Pinned) -> Result<Settled, TransferError> {
        if piece.len > self.max_bytes {
            let (len, max) = (short_size(piece.len), short_size(self.max_bytes));
            let name = &piece.name;
            // Of a kind that another try here does not help.
            let problem = format!("`{name}` has {len}, and this worker keeps at most {max} of inputs: start it with a larger --cache");
            return Err(Error::conflict(problem).into());
        }
        let temp = self.temp("fetching");
        let fetched = match self.port.fetch(piece.digest, piece.ranges(), temp.clone()).await {
            Ok(len) => {
                let (cache, piece, from, to) = (self.clone(), piece.clone(), temp.clone(), pinned.path.clone());
                let settled = tokio::task::spawn_blocking(move || cache.settle(&piece, &from, &to));
                let settled = settled.await.unwrap_or_else(|_| Err(Error::internal("storing a fetched file broke off").into()));
                settled.map(|settled| (len, settled))
            }
            Err(error) => Err(error),
        };
        match fetched {
            Ok((len, settled)) => {
                self.fetched(&pinned.key, len.max(settled.seal.disk_bytes) + DISK_BLOCK_BYTES);
                Ok(settled)
            }
            Err(error) => {
                let _ = std::fs::remove_file(&temp);
                Err(error)
            }
        }
    }

    /// A path in the cache's folder that nothing else has, and that no task can guess: what is of no concern to it could be there.
    fn temp(&self, word: &str) -> PathBuf {
        self.dir.join(format!("{word}-{}", uuid::Uuid::new_v4()))
    }

    fn fetched(&self, key: &Key, bytes: u64) {
        let mut table = self.table();
        table.bytes += bytes;
        if let Some(entry) = table.entries.get_mut(key) {
            entry.bytes = bytes;
        }
        self.shrink(&mut table);
    }

    fn unpin(&self, key: &Key) {
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(key) {
            entry.pins -= 1;
            let (is_settled, used) = (entry.settled.get().is_some(), entry.used);
            match entry.pins {
                0 if is_settled => drop(table.idle.insert(used, key.clone())),
                0 => drop(table.entries.remove(key)),
                _ => {}
            }
        }
        self.shrink(&mut table);
    }

    fn shrink(&self, table: &mut Table) {
        while table.bytes > self.max_bytes || table.entries.len() > WORKER_CACHE_MAX_PIECES {
            let Some((_, key)) = table.idle.pop_first() else { return };
            let Some(entry) = table.entries.remove(&key) else { return };
            table.bytes = table.bytes.saturating_sub(entry.bytes);
            // Another name of the same content may share the folder.
            let (folder, alone) = (self.dir.join(&key.0), (key.0.clone(), String::new()));
            let is_shared = table.entries.range(alone..).next().is_some_and(|((content, _), _)| *content == key.0);
            self.retire(&if is_shared { folder.join(&key.1) } else { folder });
        }
    }

    /// Takes something out of the way at once, and removes it at leisure; whether it is out of the way.
    fn retire(&self, path: &Path) -> bool {
        let gone = self.temp("gone");
        match exec::move_tree(path, &gone) {
            Ok(()) => {
                // Without the remover it goes at the next start.
                let _ = self.remover.send(gone);
                true
            }
            Err(error) if error.kind == ErrorKind::NotFound => true,
            Err(error) => {
                tracing::warn!(%error, "what was in the cache can't be put aside");
                false
            }
        }
    }

    /// Checks what was fetched, unpacks it if it is of files, and moves it to its place.
    fn settle(&self, piece: &Piece, from: &Path, to: &Path) -> Result<Settled, TransferError> {
        let io = |path: &Path, error: &std::io::Error| TransferError::Here(Error::io(path, error));
        if let (None, None) = (piece.chunk, piece.layout) {
            check(piece.digest, from)?;
        }
        let (ready, path) = match piece.layout {
            None => (from.to_owned(), to.to_owned()),
            Some(layout) => self.unpack(layout, from, to)?,
        };
        let placed = (|| {
            if let Some(folder) = to.parent() {
                std::fs::create_dir_all(folder).map_err(|error| io(folder, &error))?;
            }
            // What a task has changed must not stand in the way.
            self.retire(to);
            std::fs::rename(&ready, to).map_err(|error| io(to, &error))?;
            Seal::put(to).map_err(|error| io(to, &error))
        })();
        if placed.is_err() {
            self.retire(&ready);
        }
        Ok(Settled { path, seal: placed? })
    }

    /// Unpacks fetched files next to what was fetched, which goes: where they are, and what a task will get the path of.
    fn unpack(&self, layout: Layout, from: &Path, to: &Path) -> Result<(PathBuf, PathBuf), TransferError> {
        let unpacked = from.with_extension("files");
        std::fs::create_dir(&unpacked).map_err(|error| TransferError::Here(Error::io(&unpacked, &error)))?;
        let made = unpack_files(from, &unpacked, layout);
        let _ = std::fs::remove_file(from);
        match made {
            Ok((_, last)) if layout == Layout::OneFile => Ok((unpacked, to.join(last.file_name().unwrap_or_default()))),
            Ok(_) => Ok((unpacked, to.to_owned())),
            Err(error) => {
                self.retire(&unpacked);
                Err(if error.kind == ErrorKind::Corrupt { TransferError::Head(error) } else { TransferError::Here(error) })
            }
        }
    }
}

/// Whether a piece is as it was settled. A file is looked at on the spot; a folder may have a million.
async fn holds(seal: Seal, pinned: &Pinned) -> bool {
    let place = pinned.cache.dir.join(&pinned.key.0).join(&pinned.key.1);
    match pinned.is_folder {
        true => tokio::task::spawn_blocking(move || seal.holds(&place)).await.unwrap_or(false),
        false => seal.holds(&place),
    }
}

/// Checks a fetched file by its digest.
fn check(digest: Digest, path: &Path) -> Result<(), TransferError> {
    let io = |error: std::io::Error| TransferError::Here(Error::io(path, &error));
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(path).map_err(io)?;
    std::io::copy(&mut file, &mut HashWriter(&mut hasher)).map_err(io)?;
    let found = Digest(hasher.finalize().into());
    if found != digest {
        return Err(Error::corrupt(format!("a shared file arrived as {found} instead of {digest}")).into());
    }
    Ok(())
}

/// Removes what is sent to it, one after the other, as long as there is the cache.
fn spawn_remover() -> Result<mpsc::Sender<PathBuf>, Error> {
    let (sender, receiver) = mpsc::channel::<PathBuf>();
    let remover = std::thread::Builder::new().name("cache-remover".to_owned());
    remover.spawn(move || receiver.iter().for_each(|path| remove(&path))).map_err(|error| Error::internal(format!("a thread: {error}")))?;
    Ok(sender)
}

/// Removes what was in the cache, though a task may have locked its folders; what can't be removed stays until the next start.
fn remove(path: &Path) {
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
mod tests;
