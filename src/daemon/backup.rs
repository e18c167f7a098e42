//! `millpond-head backup`: has a running head copy its state into a folder on its machine.

use std::path::{Path, PathBuf};

use crate::domain::{Error, counted, short_size};
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::renewal::Renewal;
use crate::rpc::services::BACKUP_KEY_FILE;

use super::args::BackupArgs;
use super::head::say;
use super::signals::Signals;

/// Makes the backup under another name first: a folder of the name that was asked for is whole.
pub async fn run(args: BackupArgs) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let dir = std::path::absolute(&args.dir).map_err(|error| Error::io(&args.dir, &error))?;
    if dir.exists() {
        return Err(Error::conflict(format!("{} is there already: name a folder that does not exist", args.dir.display())));
    }
    let address = match args.credentials {
        Some(file) => Renewal::of(file)?.address(&args.head)?,
        None => args.head.parse()?,
    };
    let client = Client::connect(&address).await?;
    let unfinished = Unfinished::new(&dir)?;
    let key = uuid::Uuid::new_v4().to_string();
    let key_file = unfinished.0.join(BACKUP_KEY_FILE);
    std::fs::write(&key_file, &key).map_err(|error| Error::io(&key_file, &error))?;
    let directory = unfinished.0.to_str().ok_or_else(|| Error::invalid("the name of the folder must be text"))?.to_owned();
    let mut cluster = client.cluster();
    let made = tokio::select! {
        made = cluster.create_backup(pb::CreateBackupRequest { directory, key }) => made.map_err(|status| client.error(&status))?.into_inner(),
        () = signals.next() => return Err(Error::unavailable("broken off: what there is of the backup is removed")),
    };
    std::fs::remove_file(&key_file).map_err(|error| Error::io(&key_file, &error))?;
    std::fs::rename(&unfinished.0, &dir).map_err(|error| Error::io(&dir, &error))?;
    let parent = dir.parent().unwrap_or(Path::new("/"));
    std::fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| Error::io(parent, &error))?;
    let pb::CreateBackupResponse { jobs, results, datasets, bytes } = made;
    say(&format!(
        "{}: {}, {}, {}; {}",
        args.dir.display(),
        counted(jobs, "job"),
        counted(results, "result"),
        counted(datasets, "data set"),
        short_size(bytes)
    ))
}

/// A folder beside the one that was asked for, which goes unless it takes that name.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(dir: &Path) -> Result<Self, Error> {
        let mut name = dir.to_owned().into_os_string();
        name.push(".unfinished");
        let path = PathBuf::from(name);
        std::fs::create_dir(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::conflict(format!("{} is there already: another backup is being made, or was broken off; remove it", path.display()))
            }
            _ => Error::io(&path, &error),
        })?;
        Ok(Self(path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already if it took its name.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
