//! Which program a command means.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};

use crate::domain::Error;

/// How long a program that was found stays the one that is meant, though another may have come up before it in the PATH.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// Finds programs for tasks that all start in the same folder, and remembers the last one: a job's tasks mostly run the same.
#[derive(Debug)]
pub struct Programs {
    cwd: PathBuf,
    last: Option<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    name: String,
    path_env: String,
    program: PathBuf,
    since: Instant,
}

impl Programs {
    /// For tasks that start in `cwd` (absolute).
    pub fn new(cwd: PathBuf) -> Self {
        Self { cwd, last: None }
    }

    /// The absolute path of a program: looked up in `path_env` as a shell does, or, if it contains a slash, relative to the tasks' folder.
    ///
    /// Empty and relative parts of the PATH mean folders below it. The result may contain `.` and `..`, and is not free of symbolic links:
    /// some programs act by the name they are called by. That a program comes up in an earlier part of the PATH is noticed within a second.
    pub fn find(&mut self, name: &str, path_env: &str) -> Result<PathBuf, Error> {
        let is_meant = |last: &&Remembered| last.name == name && last.path_env == path_env && last.since.elapsed() < REMEMBERED_FOR;
        if let Some(last) = self.last.as_ref().filter(is_meant)
            && let Ok(program) = executable(&last.program)
        {
            return Ok(program);
        }
        self.last = None;
        let program = resolve(name, path_env, &self.cwd)?;
        let remembered = Remembered { name: name.into(), path_env: path_env.into(), program: program.clone(), since: Instant::now() };
        self.last = Some(remembered);
        Ok(program)
    }
}

fn resolve(name: &str, path_env: &str, cwd: &Path) -> Result<PathBuf, Error> {
    if name.contains('/') {
        return executable(&cwd.join(name)).map_err(|fault| match fault {
            Fault::Missing => Error::not_found(format!("`{name}` does not exist")),
            Fault::Folder => Error::invalid(format!("`{name}` is a folder, not a program")),
            Fault::NotExecutable => Error::invalid(format!("`{name}` is not executable: use `chmod +x`, or start it with its interpreter")),
        });
    }
    let mut not_executable = None;
    for folder in path_env.split(':').filter(|_| !name.is_empty()) {
        let candidate = cwd.join(folder).join(name);
        match executable(&candidate) {
            Ok(path) => return Ok(path),
            Err(Fault::NotExecutable) => not_executable = not_executable.or(Some(candidate)),
            Err(Fault::Missing | Fault::Folder) => {}
        }
    }
    Err(match not_executable {
        Some(path) => Error::invalid(format!("`{name}` was found in PATH as {}, but is not executable", path.display())),
        None => Error::not_found(format!("`{name}` was not found in PATH")),
    })
}

/// Why a path is no program.
enum Fault {
    Missing,
    Folder,
    NotExecutable,
}

fn executable(path: &Path) -> Result<PathBuf, Fault> {
    let meta = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Fault::NotExecutable,
        _ => Fault::Missing,
    })?;
    if meta.is_dir() {
        return Err(Fault::Folder);
    }
    if !meta.is_file() || access(path, Access::EXEC_OK).is_err() {
        return Err(Fault::NotExecutable);
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{script, until};
    use super::*;
    use crate::domain::ErrorKind;

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["one", "two", "one/tool"] {
            fs::create_dir(at(folder)).unwrap();
        }
        script(&at("two/tool"), "#!/bin/sh\n");
        fs::write(at("one/data"), "").unwrap();
        let path_env = format!("{}:two", at("one").display());
        let resolve = |name: &str| resolve(name, &path_env, dir.path());
        assert_eq!(resolve("tool").unwrap(), at("two/tool"));
        assert_eq!(resolve("./two/tool").unwrap(), at("./two/tool"));
        assert_eq!(resolve(at("two/tool").to_str().unwrap()).unwrap(), at("two/tool"));
        let refusal = |name: &str| resolve(name).unwrap_err();
        assert_eq!(refusal("foo"), Error::not_found("`foo` was not found in PATH"));
        assert_eq!(refusal("").kind, ErrorKind::NotFound);
        assert!(refusal("data").message.ends_with("one/data, but is not executable"));
        assert!(refusal("./one/data").message.starts_with("`./one/data` is not executable"));
        assert_eq!(refusal("./one").message, "`./one` is a folder, not a program");
        assert_eq!(refusal("./no").message, "`./no` does not exist");
    }

    #[test]
    fn a_program_that_is_removed_locked_or_replaced_between_two_tasks_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["one", "two", "three"] {
            fs::create_dir(at(folder)).unwrap();
        }
        script(&at("two/tool"), "#!/bin/sh\n");
        script(&at("three/tool"), "#!/bin/sh\n");
        let mut programs = Programs::new(dir.path().to_owned());
        let mut find = |name: &str, path_env: &str| programs.find(name, path_env);
        assert_eq!(find("tool", "one:two:three").unwrap(), at("two/tool"));
        assert_eq!(find("tool", "three").unwrap(), at("three/tool"), "another PATH");
        assert_eq!(find("tool", "one:two:three").unwrap(), at("two/tool"));
        assert_eq!(find("other", "one:two:three").unwrap_err().kind, ErrorKind::NotFound, "another name");
        assert_eq!(find("tool", "one:two:three").unwrap(), at("two/tool"));
        fs::remove_file(at("two/tool")).unwrap();
        assert_eq!(find("tool", "one:two:three").unwrap(), at("three/tool"));
        fs::remove_file(at("three/tool")).unwrap();
        fs::create_dir(at("three/tool")).unwrap();
        assert_eq!(find("tool", "one:two:three").unwrap_err().kind, ErrorKind::NotFound, "a folder is no program");
        script(&at("two/tool"), "#!/bin/sh\n");
        assert_eq!(find("tool", "one:two:three").unwrap(), at("two/tool"));
    }

    #[test]
    fn a_program_that_comes_up_earlier_in_the_path_is_found_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["one", "two"] {
            fs::create_dir(at(folder)).unwrap();
        }
        script(&at("two/tool"), "#!/bin/sh\n");
        let mut programs = Programs::new(dir.path().to_owned());
        assert_eq!(programs.find("tool", "one:two").unwrap(), at("two/tool"));
        script(&at("one/tool"), "#!/bin/sh\n");
        until("the new one is found", || programs.find("tool", "one:two").unwrap() == at("one/tool"));
    }
}
