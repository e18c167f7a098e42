//! What is configured: flag > environment > `./millpond.toml` > `~/.config/millpond/config.toml`, with contexts by name. And what else the
//! surroundings say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use toml_edit::{Table, TableLike};

use super::layer::Layer;
use super::toml_file::TomlFile;
use super::ui::Format;
use crate::domain::Error;

/// What the process finds around it; a value, so that tests can make one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// `MILLPOND_HEAD`.
    pub(crate) head: Option<String>,
    /// `MILLPOND_CONTEXT`.
    pub(crate) context: Option<String>,
    /// `MILLPOND_CREDENTIALS`.
    pub(crate) credentials: Option<PathBuf>,
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

/// Who calls, as the system says.
pub(crate) fn user_name() -> String {
    let named = |name| std::env::var(name).ok().filter(|user| !user.is_empty());
    named("USER").or_else(|| named("LOGNAME")).unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()))
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
        let home = set("HOME").map(PathBuf::from);
        let under = |variable: &str, fallback: &str| {
            // The XDG specification: a relative path there is to be ignored.
            let base = set(variable).map(PathBuf::from).filter(|path| path.is_absolute());
            base.or_else(|| home.as_ref().map(|home| home.join(fallback)))
        };
        Self {
            head: text("MILLPOND_HEAD"),
            context: text("MILLPOND_CONTEXT"),
            credentials: set("MILLPOND_CREDENTIALS").map(PathBuf::from),
            folder: PathBuf::from("."),
            user_config: under("XDG_CONFIG_HOME", ".config").map(|base| base.join("millpond/config.toml")),
            state_dir: under("XDG_STATE_HOME", ".local/state").map(|base| base.join("millpond")),
            user: user_name(),
            cores: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
        }
    }

    /// Where an embedded cluster keeps its state.
    pub(crate) fn state_dir(&self) -> Result<PathBuf, Error> {
        self.state_dir.clone().ok_or_else(|| Error::invalid("no place for the state: set HOME or XDG_STATE_HOME"))
    }

    /// The user's configuration.
    pub(crate) fn user_config(&self) -> Result<&Path, Error> {
        self.user_config.as_deref().ok_or_else(|| Error::invalid("no place for the configuration: set HOME or XDG_CONFIG_HOME"))
    }

    /// Where it lies, with what else belongs to it.
    pub(crate) fn config_dir(&self) -> Result<&Path, Error> {
        Ok(self.user_config()?.parent().unwrap_or(Path::new("")))
    }

    /// The configuration files that are there, the one that counts more first.
    pub(crate) fn files(&self) -> Result<Vec<ConfigFile>, Error> {
        let paths = [Some(self.folder.join("millpond.toml")), self.user_config.clone()];
        paths.into_iter().flatten().filter_map(|path| ConfigFile::read(&path).transpose()).collect()
    }
}

/// What may be configured, at the top of a file or in a context.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    pub(crate) head: Option<String>,
    /// The file of credentials for it; relative to the configuration's folder.
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) format: Option<Format>,
    /// `owner`, and what stands in `submit`.
    pub(crate) job: Layer,
}

/// One file, as it is.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    pub(crate) name: String,
    /// The context that is used where none is named.
    pub(crate) current: Option<String>,
    pub(crate) top: Values,
    pub(crate) contexts: BTreeMap<String, Values>,
}

const VALUES: &[&str] = &["head", "credentials", "owner", "format", "submit"];

impl ConfigFile {
    fn read(path: &Path) -> Result<Option<Self>, Error> {
        let Some(file) = TomlFile::read(path)? else { return Ok(None) };
        let folder = path.parent().unwrap_or(Path::new(""));
        let top = file.table();
        let known: Vec<&str> = ["current", "contexts"].iter().chain(VALUES).copied().collect();
        let mut contexts = BTreeMap::new();
        if let Some(item) = top.get("contexts") {
            let table = item.as_table_like().ok_or_else(|| file.refuse(top, "contexts", "`contexts` is a table: [contexts.NAME]"))?;
            for (name, item) in table.iter() {
                let context = item.as_table_like();
                let context = context.ok_or_else(|| file.refuse(table, name, format_args!("`{name}` is a table: [contexts.{name}]")))?;
                contexts.insert(name.to_owned(), values(&file, context, VALUES, folder)?);
            }
        }
        Ok(Some(Self {
            name: file.name().to_owned(),
            current: file.text(top, "current")?,
            top: values(&file, top, &known, folder)?,
            contexts,
        }))
    }
}

fn values(file: &TomlFile, table: &dyn TableLike, known: &[&str], folder: &Path) -> Result<Values, Error> {
    if let Some((key, _)) = table.iter().find(|(key, _)| !known.contains(key)) {
        return Err(file.unknown(table, key, known));
    }
    let format = match file.text(table, "format")? {
        None => None,
        Some(text) => {
            Some(Format::from_str(&text, false).map_err(|_| file.refuse(table, "format", "`format` is table, json, jsonl or id"))?)
        }
    };
    let mut job = match table.get("submit") {
        None => Layer::default(),
        Some(item) => {
            let submit = item.as_table_like().ok_or_else(|| file.refuse(table, "submit", "`submit` is a table of job options"))?;
            Layer::of_table(file, submit, folder, &[])?
        }
    };
    if let Some(owner) = file.text(table, "owner")? {
        job = job.over(&Layer::of("owner", &owner));
    }
    let credentials = file.text(table, "credentials")?.map(|path| folder.join(path));
    Ok(Values { head: file.text(table, "head")?, credentials, format, job })
}

/// What counts in the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) head: Option<String>,
    /// The file of credentials, where one is named.
    pub(crate) credentials: Option<PathBuf>,
    /// The context in use, and what named it.
    pub(crate) context: Option<(String, String)>,
    pub(crate) format: Option<Format>,
    /// What jobs have that do not say otherwise.
    pub(crate) job: Layer,
}

impl Settings {
    /// `head` and `context`: the flags. `NotFound` for a context that is nowhere, `Invalid` for a file that is wrong.
    pub(crate) fn resolve(around: &Surroundings, head: Option<&str>, context: Option<&str>) -> Result<Self, Error> {
        let files = around.files()?;
        let named = context.map(|name| (name, "--context")).or(around.context.as_deref().map(|name| (name, "MILLPOND_CONTEXT")));
        let current = files.iter().find_map(|file| Some((file.current.as_deref()?, file.name.as_str())));
        let chosen = named.or(current);
        let context_values = chosen.map(|(name, by)| lookup(&files, name, by)).transpose()?;
        // In the order in which they count. A context that a file names stands just before that file's own values.
        let mut ranked: Vec<&Values> = Vec::new();
        let mut to_come = context_values;
        for file in &files {
            if named.is_some() || file.current.is_some() {
                ranked.extend(to_come.take());
            }
            ranked.push(&file.top);
        }
        let by_flag = context.and(context_values).and_then(|values| values.head.as_deref());
        let by_files = ranked.iter().find_map(|values| values.head.as_deref());
        let head = head.or(by_flag).or(around.head.as_deref()).or(by_files);
        // Those of a context are for its head, and no other.
        let of_head = ranked.iter().filter(|values| values.head.as_deref() == head).find_map(|values| values.credentials.clone());
        Ok(Self {
            head: head.map(str::to_owned),
            credentials: around.credentials.clone().or(of_head),
            context: chosen.map(|(name, by)| (name.to_owned(), by.to_owned())),
            format: ranked.iter().find_map(|values| values.format),
            job: ranked.iter().rev().fold(Layer::default(), |below, values| values.job.clone().over(&below)),
        })
    }
}

fn lookup<'a>(files: &'a [ConfigFile], name: &str, by: &str) -> Result<&'a Values, Error> {
    files.iter().find_map(|file| file.contexts.get(name)).ok_or_else(|| {
        let known: Vec<&str> = files.iter().flat_map(|file| file.contexts.keys()).map(String::as_str).collect();
        let known = if known.is_empty() {
            "there are none, `millpond context add` makes one".into()
        } else {
            format!("there are {}", known.join(", "))
        };
        Error::not_found(format!("{by} names the context `{name}`, which is nowhere: {known}"))
    })
}

/// The table of a file's contexts, made if it is not there; none if something else has its name.
pub(crate) fn contexts_of(document: &mut toml_edit::DocumentMut) -> Option<&mut dyn TableLike> {
    let made = || {
        let mut table = Table::new();
        // Only its tables are to be seen.
        table.set_implicit(true);
        toml_edit::Item::Table(table)
    };
    document.entry("contexts").or_insert_with(made).as_table_like_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Surroundings with these two files.
    fn around(here: &str, user: &str) -> (tempfile::TempDir, Surroundings) {
        let dir = tempfile::tempdir().unwrap();
        let user_config = dir.path().join("user.toml");
        std::fs::write(&user_config, user).unwrap();
        std::fs::write(dir.path().join("millpond.toml"), here).unwrap();
        let around = Surroundings { folder: dir.path().into(), user_config: Some(user_config), ..Default::default() };
        (dir, around)
    }

    fn head(around: &Surroundings, flag: Option<&str>, context: Option<&str>) -> String {
        Settings::resolve(around, flag, context).unwrap().head.unwrap_or_default()
    }

    const USER: &str = "head = \"http://user:1\"\nowner = \"ana\"\n[contexts.lab]\nhead = \"http://lab:1\"\nformat = \"json\"\n\
                        submit = { mem = \"4G\", env = { A = 1 } }\n[contexts.home]\nowner = \"me\"\n";

    #[test]
    fn the_flag_wins_over_the_environment_and_that_over_the_files() {
        let (_dir, mut around) = around("", USER);
        assert_eq!(head(&around, None, None), "http://user:1");
        std::fs::write(around.folder.join("millpond.toml"), "head = \"http://here:1\"\n").unwrap();
        assert_eq!(head(&around, None, None), "http://here:1");
        around.context = Some("lab".into());
        assert_eq!(head(&around, None, None), "http://lab:1");
        around.head = Some("http://env:1".into());
        assert_eq!(head(&around, None, None), "http://env:1");
        assert_eq!(head(&around, None, Some("lab")), "http://lab:1");
        assert_eq!(head(&around, Some("http://flag:1"), Some("lab")), "http://flag:1");
        assert_eq!(head(&around, None, Some("home")), "http://env:1", "a context without a head says nothing about it");
    }

    #[test]
    fn a_current_context_counts_where_it_is_named() {
        let user = format!("current = \"lab\"\n{USER}");
        let (_dir, mut around) = around("head = \"http://here:1\"\n[submit]\nretries = 2\nenv = { B = 2 }\n", &user);
        let settings = Settings::resolve(&around, None, None).unwrap();
        assert_eq!(settings.head.as_deref(), Some("http://here:1"), "the folder's file counts more than the user's");
        let want = serde_json::json!({ "owner": "ana", "mem": "4G", "retries": "2", "env": ["A=1", "B=2"] });
        assert_eq!((settings.job.to_json(), settings.format), (want, Some(Format::Json)));
        std::fs::write(around.folder.join("millpond.toml"), "current = \"home\"").unwrap();
        let settings = Settings::resolve(&around, None, None).unwrap();
        assert_eq!((settings.head.as_deref(), settings.job.to_json()), (Some("http://user:1"), serde_json::json!({ "owner": "me" })));
        around.context = Some("moon".into());
        let error = Settings::resolve(&around, None, None).unwrap_err();
        assert_eq!(error.message, "MILLPOND_CONTEXT names the context `moon`, which is nowhere: there are home, lab");
    }

    #[test]
    fn a_file_that_is_wrong_says_where() {
        for (text, says) in [
            ("head = [", "line 1: "),
            ("\nhaed = \"x\"", "line 2: unknown key `haed`: did you mean `head`?"),
            ("[contexts.lab]\nxyz = \"x\"", "line 2: unknown key `xyz`: known are head, credentials, owner, format, submit"),
            ("[submit]\nretris = 2", "line 2: unknown key `retris`: did you mean `retries`?"),
            ("contexts = 3", "line 1: `contexts` is a table: [contexts.NAME]"),
            ("[contexts]\nlab = 3", "line 2: `lab` is a table: [contexts.lab]"),
            ("format = \"xml\"", "line 1: `format` is table, json, jsonl or id"),
            ("head = 7", "line 1: `head` is a text: write it in quotes"),
        ] {
            let (_dir, around) = around(text, "");
            let message = Settings::resolve(&around, None, None).unwrap_err().message;
            assert!(message.contains(&format!("millpond.toml: {says}")), "{message}");
        }
    }
}
