//! What a user who owns nothing can reach.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everybody may go through the folder.
const PASSAGE: u32 = 0o001;

/// The first folder on the way to a path, or the path itself, that others may not go through.
pub(super) fn closed_on_the_way(path: &Path) -> Option<PathBuf> {
    let folders: Vec<&Path> = path.ancestors().collect();
    let is_closed = |folder: &&&Path| fs::metadata(folder).is_ok_and(|meta| meta.mode() & PASSAGE == 0);
    folders.iter().rev().find(is_closed).map(|folder| folder.to_path_buf())
}

/// The parts of a PATH that such a user can use: so that a program is not looked for where its worker alone may go.
pub(super) fn reachable_parts(path_env: &str) -> String {
    let is_open = |part: &&str| {
        let real = fs::canonicalize(part);
        !Path::new(part).is_absolute() || real.is_ok_and(|real| closed_on_the_way(&real).is_none())
    };
    let parts: Vec<&str> = path_env.split(':').filter(is_open).collect();
    parts.join(":")
}

/// Variables that tasks find though they are a worker's: where programs are, and how they speak.
const USUAL: [&str; 7] = ["PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"];

/// What is left of a worker's environment for tasks that are not its own: the usual variables and those that its admin names.
pub(super) fn clean(inherited: Vec<(String, String)>, named: &[String], home: &Path) -> Vec<(String, String)> {
    let stays = |name: &str| USUAL.contains(&name) || name.starts_with("LC_") || named.iter().any(|named| named == name);
    let kept = inherited.into_iter().filter(|(name, _)| stays(name));
    let mut env: Vec<_> = kept.map(|(name, value)| if name == "PATH" { (name, reachable_parts(&value)) } else { (name, value) }).collect();
    if let Some(home) = home.as_os_str().to_str() {
        // The worker's own is closed to them, and a folder that all use is no private one.
        env.extend(
            ["HOME", "TMPDIR"].into_iter().filter(|name| !named.iter().any(|named| named == name)).map(|name| (name.into(), home.into())),
        );
    }
    env
}

/// Whether a program of this name is in the PATH of this process.
pub(in crate::exec) fn program(name: &str) -> Option<PathBuf> {
    let path_env = std::env::var_os("PATH");
    // A service may be started without the usual folders.
    let folders = path_env.iter().flat_map(std::env::split_paths).chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(OsStr::new(name))).find(|path| path.is_absolute() && path.is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_may_not_go_through_is_named_and_left_out_of_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let (closed, inner) = (dir.path().join("closed"), dir.path().join("closed/inner"));
        fs::create_dir_all(&inner).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        [dir.path(), &closed, &inner].iter().for_each(|path| set(path, 0o755));
        assert_eq!(closed_on_the_way(&inner), None);
        let parts = format!("/usr/bin:{}:relative:/no/such/folder", inner.display());
        assert_eq!(reachable_parts(&parts), format!("/usr/bin:{}:relative", inner.display()));
        set(&closed, 0o700);
        assert_eq!(closed_on_the_way(&inner), Some(closed.clone()));
        assert_eq!(reachable_parts(&parts), "/usr/bin:relative");
        set(&closed, 0o711);
        assert_eq!(closed_on_the_way(&inner), None, "to list it is another matter");
    }

    #[test]
    fn a_clean_environment_has_the_usual_and_the_named() {
        let base =
            [("PATH", "/usr/bin"), ("LC_ALL", "C"), ("AWS_SECRET_ACCESS_KEY", "x"), ("HOME", "/h"), ("SSH_AUTH_SOCK", "/s"), ("MINE", "m")];
        let base: Vec<(String, String)> = base.map(|(name, value)| (name.into(), value.into())).into();
        let names = |env: Vec<(String, String)>| env.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(names(clean(base.clone(), &[], Path::new("/w"))), ["PATH=/usr/bin", "LC_ALL=C", "HOME=/w", "TMPDIR=/w"]);
        let named = ["MINE".to_owned(), "HOME".to_owned()];
        assert_eq!(names(clean(base, &named, Path::new("/w"))), ["PATH=/usr/bin", "LC_ALL=C", "HOME=/h", "MINE=m", "TMPDIR=/w"]);
    }
}
