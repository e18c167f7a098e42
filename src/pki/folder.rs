//! `DATA/identity/`: the authority's key, the head's, and the certificates of admins that were made on the head's machine.
//!
//! ```text
//! ca.pem ca.key       the authority; whoever has the key can let anybody in
//! head.pem head.key   the head's own, made anew when half of its life is over, or it has another name
//! admins/p….pem       certificates of admins that were made here: the head lets them in when it first meets them
//! ```

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::domain::identity::Admitted;
use crate::domain::{Error, ErrorKind, Principal, PrincipalId, Role, WallTime};
use crate::limits::{FIRST_ADMIN_LIFE, HEAD_CERTIFICATE_LIFE, NAME_MAX_BYTES};

use super::authority::{Authority, HeadCertificate};
use super::credentials::{Credentials, pem_of};
use super::files;
use super::peer::Peer;
use super::random::random_bits;
use super::request::{Requested, new_request};
use super::session::SessionKey;

/// Its name in the data folder. Where it is not there, the head serves without identities.
pub const IDENTITY_DIR: &str = "identity";
const UNFINISHED_DIR: &str = "identity.unfinished";
const ADMINS_DIR: &str = "admins";
/// Certificates of admins that are looked at, at a start.
const ADMINS_MAX: usize = 10_000;

/// An identity that is made, and not kept yet.
pub struct NewIdentity {
    data_dir: PathBuf,
    /// Of the first admin.
    pub credentials: Credentials,
}

/// The identity of a head.
pub struct IdentityFolder {
    path: PathBuf,
    authority: Authority,
    sessions: SessionKey,
    head_pem: String,
    head_key: String,
}

impl NewIdentity {
    /// Makes one beside its place. `Conflict` if the data folder has one.
    pub fn make(data_dir: &Path, admin: &str, head_url: &str, now: WallTime) -> Result<Self, Error> {
        if data_dir.join(IDENTITY_DIR).exists() {
            let dir = data_dir.display();
            return Err(Error::conflict(format!(
                "{dir} has an identity already: for another admin's credentials `millpond-head new-admin --data-dir {dir}`"
            )));
        }
        let path = data_dir.join(UNFINISHED_DIR);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&path, &error)),
            _ => {}
        }
        files::create_folder(data_dir)?;
        files::create_folder(&path.join(ADMINS_DIR))?;
        let (authority, key) = Authority::new(now)?;
        files::write(&path.join("ca.key"), &key)?;
        files::write(&path.join("ca.pem"), &pem_of("CERTIFICATE", authority.certificate()))?;
        let (head_pem, head_key) = authority.certify_head(&[], now)?;
        files::write(&path.join("head.key"), &head_key)?;
        files::write(&path.join("head.pem"), &head_pem)?;
        let folder = IdentityFolder { path, authority, sessions: SessionKey::of(&key), head_pem, head_key };
        let credentials = folder.new_admin(admin, head_url, now)?;
        Ok(Self { data_dir: data_dir.to_owned(), credentials })
    }

    /// Gives it its place; from now on a head on this data folder lets in only whom it knows.
    pub fn keep(self) -> Result<(), Error> {
        let to = self.data_dir.join(IDENTITY_DIR);
        fs::rename(self.data_dir.join(UNFINISHED_DIR), &to).map_err(|error| Error::io(&to, &error))?;
        files::sync_folder_of(&to)
    }
}

fn file_error(path: &Path, error: Error) -> Error {
    match error.kind {
        ErrorKind::NotFound => {
            Error::corrupt(format!("{} is missing: put it back from a backup; without it nobody can connect", path.display()))
        }
        _ if error.message.contains(&path.display().to_string()) => error,
        _ => error.context(path.display()),
    }
}

impl IdentityFolder {
    /// Whether a data folder has one.
    pub fn is_in(data_dir: &Path) -> bool {
        data_dir.join(IDENTITY_DIR).exists()
    }

    /// That of a data folder; none if it has none. The head's certificate is made anew if it is due, damaged, or lacks one of `names`.
    ///
    /// # Errors
    /// `Corrupt` where something is missing or damaged that can't be made anew; `Denied` where all can read a key.
    pub fn open(data_dir: &Path, names: &[String], now: WallTime) -> Result<Option<Self>, Error> {
        let path = data_dir.join(IDENTITY_DIR);
        if !path.exists() {
            return Ok(None);
        }
        let (pem, key) = (path.join("ca.pem"), path.join("ca.key"));
        let certificate = files::read(&pem).map_err(|error| file_error(&pem, error))?;
        let secret = files::read_secret(&key).map_err(|error| file_error(&key, error))?;
        let authority = Authority::from_pem(&certificate, &secret).map_err(|error| file_error(&pem, error))?;
        let sessions = SessionKey::of(&secret);
        let mut folder = Self { path, authority, sessions, head_pem: String::new(), head_key: String::new() };
        folder.read_head(names, now)?;
        Ok(Some(folder))
    }

    fn read_head(&mut self, names: &[String], now: WallTime) -> Result<(), Error> {
        let (pem, key) = (self.path.join("head.pem"), self.path.join("head.key"));
        match (files::read(&pem), files::read_secret(&key)) {
            (Ok(pem), Ok(key)) => (self.head_pem, self.head_key) = (pem, key),
            // A key that all can read is one that all may have read.
            (_, Err(error)) if error.kind == ErrorKind::Denied => return Err(error),
            _ => {}
        }
        let fits = self.head().is_ok_and(|shown| shown.chain.first().is_some_and(|own| is_good(own, names, now)));
        if fits {
            return Ok(());
        }
        (self.head_pem, self.head_key) = self.authority.certify_head(names, now)?;
        // A crash between the two leaves a pair that does not fit, and the next start makes another.
        files::write(&key, &self.head_key)?;
        files::write(&pem, &self.head_pem)
    }

    /// What the head shows to whoever connects.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn head(&self) -> Result<HeadCertificate, Error> {
        self.authority.head_certificate(&self.head_pem, &self.head_key)
    }

    /// What signs.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What seals the sessions of browsers.
    pub fn sessions(&self) -> &SessionKey {
        &self.sessions
    }

    /// A new admin, whom the head lets in when it first meets him: for the first one, and for when nobody else can let in another.
    ///
    /// # Errors
    /// `Invalid` for a name that can't be one.
    pub fn new_admin(&self, name: &str, head_url: &str, now: WallTime) -> Result<Credentials, Error> {
        let usable = !name.is_empty() && name.trim() == name && name.len() <= NAME_MAX_BYTES && !name.chars().any(char::is_control);
        if !usable {
            return Err(Error::invalid(format!("name: one line of 1 to {NAME_MAX_BYTES} bytes is needed")));
        }
        let principal = Principal { id: PrincipalId::from_random(random_bits()?), name: name.to_owned(), role: Role::Admin };
        let made = new_request()?;
        let issued = Authority::next(FIRST_ADMIN_LIFE, now)?;
        let certificate = self.authority.certify(&principal, &Requested::from_der(&made.request)?, issued, now)?;
        files::write(&self.admin_file(principal.id), &pem_of("CERTIFICATE", &certificate))?;
        Credentials::new(head_url.to_owned(), &made.key, certificate.to_vec(), self.authority.certificate().to_vec())
    }

    fn admin_file(&self, id: PrincipalId) -> PathBuf {
        self.path.join(ADMINS_DIR).join(format!("{id}.pem"))
    }

    /// An admin that was made here; none if none was, by this id, or what is there is not signed by our authority.
    pub fn made_here(&self, id: PrincipalId, now: WallTime) -> Option<Admitted> {
        use rustls_pki_types::pem::PemObject;
        let text = files::read(&self.admin_file(id)).ok()?;
        let certificate = rustls_pki_types::CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
        let peer = Peer::of(&certificate).ok().filter(|_| self.authority.has_signed(&certificate))?;
        let Peer { principal, issued, key, .. } = peer;
        let counts = principal.id == id && principal.role == Role::Admin && issued.expires > now;
        counts.then_some(Admitted { principal, token: None, key, at: now, issued, revoked: None })
    }

    /// All admins that were made here and whose certificates count.
    pub fn all_made_here(&self, now: WallTime) -> Vec<Admitted> {
        let Ok(entries) = fs::read_dir(self.path.join(ADMINS_DIR)) else { return Vec::new() };
        let ids = entries.take(ADMINS_MAX).filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".pem")?.parse().ok());
        ids.filter_map(|id| self.made_here(id, now)).collect()
    }

    /// Copies the identity of one data folder into another, durably; nothing, if there is none.
    ///
    /// # Errors
    /// That of the disk.
    pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
        let (from, to) = (from.join(IDENTITY_DIR), to.join(IDENTITY_DIR));
        if from.exists() { copy_folder(&from, &to) } else { Ok(()) }
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::io(from, &error);
    files::create_folder(to)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name() else { continue };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("pem" | "key") => files::write(&to.join(name), &files::read(&path)?)?,
            _ if path.is_dir() && name == ADMINS_DIR => copy_folder(&path, &to.join(name))?,
            // A file that was being written when its writer was killed.
            _ => {}
        }
    }
    files::sync_folder_of(to)
}

/// Whether a head's certificate has these names, and half of its life before it.
fn is_good(certificate: &[u8], names: &[String], now: WallTime) -> bool {
    let Ok((_, read)) = X509Certificate::from_der(certificate) else { return false };
    let half = now.after(Duration::from_secs(HEAD_CERTIFICATE_LIFE.as_secs() / 2));
    let lasts = read.validity().not_after.timestamp() > half.0 / 1_000_000 && read.validity().not_before.timestamp() <= now.0 / 1_000_000;
    let has = |wanted: &String, name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => name == wanted,
        GeneralName::IPAddress(bytes) => address(bytes).is_some_and(|address| wanted.parse() == Ok(address)),
        _ => false,
    };
    let borne = read.subject_alternative_name().ok().flatten();
    lasts && names.iter().all(|wanted| borne.as_ref().is_some_and(|borne| borne.value.general_names.iter().any(|name| has(wanted, name))))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    v4.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: WallTime = WallTime(1_700_000_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn made() -> (tempfile::TempDir, Credentials) {
        let dir = tempfile::tempdir().unwrap();
        let made = NewIdentity::make(dir.path(), "root", "https://lab:7663", NOW).unwrap();
        assert!(IdentityFolder::open(dir.path(), &[], NOW).unwrap().is_none(), "not before it is kept");
        let credentials = Credentials::from_pem(&made.credentials.to_pem()).unwrap();
        made.keep().unwrap();
        (dir, credentials)
    }

    fn open(dir: &tempfile::TempDir, names: &[&str], now: WallTime) -> Result<IdentityFolder, Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        IdentityFolder::open(dir.path(), &names, now).map(Option::unwrap)
    }

    #[test]
    fn an_identity_is_made_once_and_its_first_admin_is_known() {
        let (dir, credentials) = made();
        assert!(NewIdentity::make(dir.path(), "root", "", NOW).is_err_and(|error| error.message.contains("new-admin")));
        let folder = open(&dir, &[], NOW).unwrap();
        assert_eq!(&credentials.authority, folder.authority().certificate());
        let admitted = folder.made_here(credentials.peer.principal.id, NOW).unwrap();
        assert_eq!(
            (&admitted.principal, admitted.issued, admitted.key),
            (&credentials.peer.principal, credentials.peer.issued, credentials.peer.key)
        );
        let second = folder.new_admin("ben", "", NOW).unwrap();
        assert_eq!(folder.all_made_here(NOW).len(), 2);
        assert_eq!(folder.made_here(second.peer.principal.id, NOW.after(FIRST_ADMIN_LIFE)), None, "expired");
        assert_eq!(folder.made_here(PrincipalId::from_random(1), NOW), None);
        // One of another authority is nobody.
        let (other, _) = Authority::new(NOW).unwrap();
        let key = Requested::from_der(&new_request().unwrap().request).unwrap();
        let strange = other.certify(&second.peer.principal, &key, second.peer.issued, NOW).unwrap();
        fs::write(folder.admin_file(second.peer.principal.id), pem_of("CERTIFICATE", &strange)).unwrap();
        assert_eq!(folder.made_here(second.peer.principal.id, NOW), None);
        assert!(folder.new_admin("a\nb", "", NOW).is_err());
        for file in ["ca.key", "head.key", "ca.pem", "head.pem"] {
            assert_eq!(fs::metadata(dir.path().join(IDENTITY_DIR).join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn the_heads_certificate_is_made_anew_when_it_is_due_or_lacks_a_name_and_not_else() {
        let (dir, _) = made();
        let shown = |names: &[&str], now| open(&dir, names, now).unwrap().head().unwrap().chain[0].clone();
        let first = shown(&[], NOW);
        assert_eq!(shown(&[], NOW.after(100 * DAY)), first);
        let named = shown(&["lab.example", "10.0.0.7", "::1"], NOW);
        assert_ne!(named, first);
        assert_eq!(shown(&["10.0.0.7", "lab.example"], NOW), named);
        assert_eq!(shown(&[], NOW), named);
        assert_ne!(shown(&["10.0.0.8"], NOW), named);
        let before = shown(&[], NOW);
        assert_ne!(shown(&[], NOW.after(200 * DAY)), before, "half of its life is over");
        assert_ne!(shown(&[], NOW), before, "a clock that was put back");
        for file in ["head.pem", "head.key"] {
            let before = shown(&[], NOW);
            fs::write(dir.path().join(IDENTITY_DIR).join(file), "damaged").unwrap();
            fs::set_permissions(dir.path().join(IDENTITY_DIR).join(file), fs::Permissions::from_mode(0o600)).unwrap();
            assert_ne!(shown(&[], NOW), before, "{file}");
        }
    }

    #[test]
    fn what_is_missing_or_damaged_says_what_to_do() {
        let (dir, _) = made();
        let file = |name: &str| dir.path().join(IDENTITY_DIR).join(name);
        let key = fs::read_to_string(file("ca.key")).unwrap();
        fs::remove_file(file("ca.key")).unwrap();
        let error = open(&dir, &[], NOW).err().unwrap();
        assert!(error.kind == ErrorKind::Corrupt && error.message.contains("ca.key is missing: put it back from a backup"), "{error}");
        fs::write(file("ca.key"), "damaged").unwrap();
        fs::set_permissions(file("ca.key"), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(open(&dir, &[], NOW).err().unwrap().message.contains("the key can't be read"));
        fs::write(file("ca.key"), key).unwrap();
        fs::set_permissions(file("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
        let error = open(&dir, &[], NOW).err().unwrap();
        assert!(error.kind == ErrorKind::Denied && error.message.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_copy_is_the_same_identity() {
        let (dir, credentials) = made();
        let to = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(IDENTITY_DIR).join("ca.key.7.new"), "half").unwrap();
        IdentityFolder::copy(dir.path(), to.path()).unwrap();
        let copy = open(&to, &[], NOW).unwrap();
        assert_eq!(copy.authority().certificate(), &credentials.authority);
        assert_eq!(copy.all_made_here(NOW).len(), 1);
        assert_eq!(fs::read_dir(to.path().join(IDENTITY_DIR)).unwrap().count(), 5);
        let empty = tempfile::tempdir().unwrap();
        IdentityFolder::copy(empty.path(), &to.path().join("x")).unwrap();
        assert!(!to.path().join("x").exists());
    }
}
