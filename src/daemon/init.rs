//! `millpond-head init` and `new-admin`: identities, made on the head's machine.

use std::path::{Path, PathBuf};

use crate::actors::clock::wall_now;
use crate::domain::Error;
use crate::pki::{Credentials, IdentityFolder, NewIdentity};
use crate::store::FolderLock;

use super::args::{AdminArgs, InitArgs, NewAdminArgs};
use super::head::say;

/// Makes the authority, the head's key and certificate, and the first admin's credentials.
pub fn run(args: &InitArgs) -> Result<(), Error> {
    let (dir, file) = (&args.data_dir, credentials_file(&args.admin)?);
    let is_new = !dir.exists();
    std::fs::create_dir_all(dir).map_err(|error| Error::io(dir, &error))?;
    // A head that runs on it serves everybody until it is started again: whoever makes keys believes that it does not.
    let lock = FolderLock::take(dir).map_err(|error| error.context("identities are made while no head runs"))?;
    let made = NewIdentity::make(dir, &args.admin.name, &args.admin.head, wall_now())?;
    write(&made.credentials, &file)?;
    let principal = made.credentials.peer.principal.clone();
    made.keep().inspect_err(|_| {
        // Of no use without it.
        std::fs::remove_file(&file).ok();
    })?;
    drop(lock);
    let (dir, file) = (dir.display(), file.display());
    let was = if is_new { "" } else { "; what is in it stays" };
    say(&format!("{dir} has an identity now: a head on it lets in nobody without credentials, and encrypts everything{was}"))?;
    say(&format!("{file} holds the credentials of {principal}: keep it secret"))?;
    say("next:")?;
    say(&format!("  millpond-head --data-dir {dir} --listen 0.0.0.0:7663"))?;
    say("  millpond token create --role worker --uses 10        then, on each machine: millpond-worker --join TOKEN --dir DIR")?;
    say("  millpond token create --role submitter --name ANA    then, at ana's: millpond login TOKEN")?;
    say(&format!("back up {dir}/identity: without it nobody can connect, and whoever has it can let in anybody"))
}

/// Credentials of one more admin.
pub fn new_admin(args: &NewAdminArgs) -> Result<(), Error> {
    let (dir, file) = (&args.data_dir, credentials_file(&args.admin)?);
    let identity = IdentityFolder::open(dir, &[], wall_now())?.ok_or_else(|| {
        let dir = dir.display();
        Error::not_found(format!("{dir} has no identity: make one with `millpond-head init --data-dir {dir}`"))
    })?;
    let credentials = identity.new_admin(&args.admin.name, &args.admin.head, wall_now())?;
    write(&credentials, &file)?;
    say(&format!("{} holds the credentials of {}: keep it secret", file.display(), credentials.peer.principal))?;
    say("others that are lost or stolen go with `millpond principal revoke ID`; `millpond principal list` shows them")
}

/// Never in the place of others: they may be the only ones.
fn credentials_file(args: &AdminArgs) -> Result<PathBuf, Error> {
    let file = match &args.credentials {
        Some(file) => file.clone(),
        None => default_file(std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"))?,
    };
    if file.symlink_metadata().is_ok() {
        return Err(Error::conflict(format!("{} is there already: move it away, or name another file with --credentials", file.display())));
    }
    Ok(file)
}

fn default_file(config: Option<std::ffi::OsString>, home: Option<std::ffi::OsString>) -> Result<PathBuf, Error> {
    let absolute = |path: std::ffi::OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let config = config.and_then(absolute).or_else(|| home.and_then(absolute).map(|home| home.join(".config")));
    let config =
        config.ok_or_else(|| Error::invalid("there is no home folder to write the credentials to: name a file with --credentials"))?;
    Ok(config.join("millpond/credentials/admin.pem"))
}

fn write(credentials: &Credentials, file: &Path) -> Result<(), Error> {
    credentials.write(file).map_err(|error| error.context("the credentials can't be written"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;

    fn admin(dir: &Path, file: &str) -> AdminArgs {
        AdminArgs { name: "root".into(), credentials: Some(dir.join(file)), head: "https://lab:7663".into() }
    }

    #[test]
    fn keys_are_made_once_and_nothing_that_is_there_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let init = |file: &str| run(&InitArgs { data_dir: data_dir.clone(), admin: admin(dir.path(), file) });
        init("a.pem").unwrap();
        let made = Credentials::read(&dir.path().join("a.pem")).unwrap();
        assert_eq!((made.head.as_str(), made.peer.principal.name.as_str()), ("https://lab:7663", "root"));
        let again = init("b.pem").unwrap_err();
        assert!(again.kind == ErrorKind::Conflict && again.message.contains("new-admin"), "{again}");
        assert!(!dir.path().join("b.pem").exists());
        assert!(init("a.pem").is_err_and(|error| error.message.contains("--credentials")));
        let more = |file: &str| new_admin(&NewAdminArgs { data_dir: data_dir.clone(), admin: admin(dir.path(), file) });
        assert_eq!(more("a.pem").unwrap_err().kind, ErrorKind::Conflict);
        more("c.pem").unwrap();
        let second = Credentials::read(&dir.path().join("c.pem")).unwrap();
        assert!(second.authority == made.authority && second.peer.principal.id != made.peer.principal.id);
    }

    #[test]
    fn a_running_head_is_not_given_keys_behind_its_back_and_a_folder_without_has_no_admins() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = FolderLock::take(dir.path()).unwrap();
        let refused = run(&InitArgs { data_dir: dir.path().into(), admin: admin(dir.path(), "a.pem") }).unwrap_err();
        assert!(refused.kind == ErrorKind::Conflict && !dir.path().join("a.pem").exists(), "{refused}");
        let none = new_admin(&NewAdminArgs { data_dir: dir.path().into(), admin: admin(dir.path(), "a.pem") });
        assert!(none.is_err_and(|error| error.message.contains("millpond-head init")));
    }

    #[test]
    fn credentials_go_where_configuration_goes() {
        let file = |config: Option<&str>, home: Option<&str>| default_file(config.map(Into::into), home.map(Into::into));
        assert_eq!(file(None, Some("/home/ana")).unwrap(), Path::new("/home/ana/.config/millpond/credentials/admin.pem"));
        assert_eq!(file(Some("/etc/ana"), Some("/home/ana")).unwrap(), Path::new("/etc/ana/millpond/credentials/admin.pem"));
        assert!(file(Some("relative"), None).is_err() && file(None, None).is_err());
    }
}
