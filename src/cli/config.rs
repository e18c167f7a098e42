//! Which head: flag > environment > `./millpond.toml` > `~/.config/millpond/config.toml`. And what else the surroundings say.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::Error;

/// A configuration file; a larger one is a mistake.
const CONFIG_MAX_BYTES: u64 = 64 * 1024;

/// What the process finds around it; a value, so that tests can make one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// `MILLPOND_HEAD`.
    pub(crate) head: Option<String>,
    /// The folder it was started in.
    pub(crate) folder: PathBuf,
    /// `~/.config/millpond/config.toml`, or under `XDG_CONFIG_HOME`.
    pub(crate) user_config: Option<PathBuf>,
    /// `~/.local/state/millpond`, or under `XDG_STATE_HOME`.
    pub(crate) state_dir: Option<PathBuf>,
    /// The user's name.
    pub(crate) user: String,
    /// Processors.
    pub(crate) cores: u32,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = set("HOME").map(PathBuf::from);
        let under = |variable: &str, fallback: &str| {
            // The XDG specification: a relative path there is to be ignored.
            let base = set(variable).map(PathBuf::from).filter(|path| path.is_absolute());
            base.or_else(|| home.as_ref().map(|home| home.join(fallback)))
        };
        let user = set("USER").or_else(|| set("LOGNAME")).and_then(|user| user.into_string().ok());
        Self {
            head: set("MILLPOND_HEAD").map(|head| head.to_string_lossy().into_owned()),
            folder: PathBuf::from("."),
            user_config: under("XDG_CONFIG_HOME", ".config").map(|base| base.join("millpond/config.toml")),
            state_dir: under("XDG_STATE_HOME", ".local/state").map(|base| base.join("millpond")),
            user: user.unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw())),
            cores: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
        }
    }

    /// The configured head, if any.
    pub(crate) fn configured_head(&self, flag: Option<&str>) -> Result<Option<String>, Error> {
        if let Some(head) = flag.or(self.head.as_deref()) {
            return Ok(Some(head.to_owned()));
        }
        for path in [Some(self.folder.join("millpond.toml")), self.user_config.clone()].into_iter().flatten() {
            if let Some(head) = read(&path)?.and_then(|config| config.head) {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// The configured head, or how to name one.
    pub(crate) fn head(&self, flag: Option<&str>) -> Result<String, Error> {
        self.configured_head(flag)?.ok_or_else(|| {
            Error::invalid(
                "no head is named: use --head http://HOST:7663, set MILLPOND_HEAD, or write `head = \"http://HOST:7663\"` to \
                 ./millpond.toml or ~/.config/millpond/config.toml (`millpond up` starts a cluster here)",
            )
        })
    }

    /// Where an embedded cluster keeps its state.
    pub(crate) fn state_dir(&self) -> Result<PathBuf, Error> {
        self.state_dir.clone().ok_or_else(|| Error::invalid("no place for the state: set HOME or XDG_STATE_HOME"))
    }
}

/// Other keys are for later versions and other programs.
#[derive(Deserialize)]
struct Config {
    head: Option<String>,
}

fn read(path: &Path) -> Result<Option<Config>, Error> {
    let mut text = String::new();
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(Error::io(path, &error)),
    };
    let len = file.take(CONFIG_MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| Error::io(path, &error))?;
    if len as u64 > CONFIG_MAX_BYTES {
        return Err(Error::invalid(format!("{}: larger than {CONFIG_MAX_BYTES} bytes", path.display())));
    }
    let config = toml::from_str(&text);
    config.map(Some).map_err(|error| Error::invalid(format!("{}: {}", path.display(), error.message())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_environment_and_that_over_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let user_config = dir.path().join("user.toml");
        std::fs::write(&user_config, "head = \"http://user:1\"\nfuture = 1\n").unwrap();
        let mut around = Surroundings { folder: dir.path().into(), user_config: Some(user_config), ..Default::default() };
        assert_eq!(around.head(None).unwrap(), "http://user:1");
        std::fs::write(dir.path().join("millpond.toml"), "head = \"http://here:1\"\n").unwrap();
        assert_eq!(around.head(None).unwrap(), "http://here:1");
        around.head = Some("http://env:1".into());
        assert_eq!(around.head(None).unwrap(), "http://env:1");
        assert_eq!(around.head(Some("http://flag:1")).unwrap(), "http://flag:1");
    }

    #[test]
    fn without_a_head_the_error_says_how_to_name_one() {
        let around = Surroundings { folder: "/nonexistent".into(), ..Default::default() };
        assert!(around.head(None).unwrap_err().message.contains("--head"));
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("millpond.toml"), "head = [").unwrap();
        let around = Surroundings { folder: dir.path().into(), ..Default::default() };
        assert!(around.head(None).unwrap_err().message.contains("millpond.toml"));
    }
}
