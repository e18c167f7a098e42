//! Job options as they were written in one place: a command line, a job file, a template, the defaults of a configuration. Places lie over
//! each other; only what comes out on top is read as a job. There is one list of options, that of the command line ([`JobOptions`]): what is
//! allowed in a file, and how a value is read, follows from it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value};

use super::entry::in_one_line;
use super::job_options::JobOptions;
use super::toml_file::TomlFile;
use crate::domain::Error;

/// The input, and what takes its place: stating one of them takes the others back.
const INPUT: &str = "input";
const INSTEAD_OF_INPUT: &[&str] = &["array"];
const COMMAND: &str = "command";
/// What names an option whose values are pairs: written as a table in a file, and laid over each other by name.
const PAIR: &str = "K=V";

/// Options by their long names, with the values that they would have on a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layer(BTreeMap<String, Vec<OsString>>);

/// All options.
fn command() -> Command {
    JobOptions::augment_args(Command::new("millpond").no_binary_name(true).disable_help_flag(true))
}

/// An option's name in a file.
fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_else(|| arg.get_id().as_str())
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn is_path(arg: &Arg) -> bool {
    matches!(arg.get_value_hint(), ValueHint::FilePath | ValueHint::AnyPath)
}

fn is_pair(arg: &Arg) -> bool {
    arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == PAIR))
}

impl Layer {
    /// A single option.
    pub(crate) fn of(option: &str, value: &str) -> Self {
        Self([(option.to_owned(), vec![value.into()])].into())
    }

    /// Whether nothing is stated.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a job is described at all (`run --resume` wants none).
    pub(crate) fn describes_a_job(&self) -> bool {
        [INPUT, COMMAND].iter().chain(INSTEAD_OF_INPUT).any(|option| self.has(option))
    }

    /// Whether this option is stated.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.0.contains_key(option)
    }

    /// Takes the value of an option out.
    pub(crate) fn take(&mut self, option: &str) -> Option<OsString> {
        self.0.remove(option).and_then(|mut values| values.pop())
    }

    /// The command, for people.
    pub(crate) fn command_text(&self) -> String {
        let words: Vec<_> = self.0.get(COMMAND).into_iter().flatten().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// What was typed; defaults are not.
    fn of_matches(matches: &ArgMatches) -> Self {
        let mut layer = Self::default();
        for arg in command().get_arguments() {
            let id = arg.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let values = match is_flag(arg) {
                true => vec!["true".into()],
                false => matches.get_raw(id).into_iter().flatten().map(ToOwned::to_owned).collect(),
            };
            layer.0.insert(name(arg).to_owned(), values);
        }
        layer
    }

    /// The options in a table of a file; relative paths are relative to `folder`. Keys for which `is_other` holds are not ours.
    pub(crate) fn of_table(file: &TomlFile, table: &dyn TableLike, folder: &Path, others: &[&str]) -> Result<Self, Error> {
        let mut command = command();
        command.build();
        let mut layer = Self::default();
        for (key, item) in table.iter().filter(|(key, _)| !others.contains(key)) {
            let Some(arg) = command.get_arguments().find(|arg| name(arg) == key) else {
                let known: Vec<&str> = command.get_arguments().map(name).chain(others.iter().copied()).collect();
                return Err(file.unknown(table, key, &known));
            };
            let values = values(arg, item).map_err(|problem| file.refuse(table, key, format_args!("`{key}` {problem}")))?;
            let values = values.into_iter().map(|value| if is_path(arg) { under(folder, &value) } else { value.into() });
            layer.0.insert(key.to_owned(), values.collect());
            let single = Self([(key.to_owned(), layer.0[key].clone())].into());
            single.matches().map_err(|error| file.refuse(table, key, in_one_line(&error).trim_end_matches("; `--help` says more")))?;
        }
        Ok(layer)
    }

    /// What is stated here, and below it where nothing is stated here. Pairs count by their names.
    pub(crate) fn over(mut self, below: &Self) -> Self {
        let command = command();
        let hides = |option: &str| match option {
            INPUT => INSTEAD_OF_INPUT.iter().any(|other| self.has(other)),
            "split" => INSTEAD_OF_INPUT.iter().any(|other| self.has(other)),
            option => INSTEAD_OF_INPUT.contains(&option) && self.has(INPUT),
        };
        let mut merged: BTreeMap<String, Vec<OsString>> =
            below.0.iter().filter(|(option, _)| !hides(option)).map(|(option, values)| (option.clone(), values.clone())).collect();
        for arg in command.get_arguments().filter(|arg| is_pair(arg)) {
            if let (Some(here), Some(there)) = (self.0.get_mut(name(arg)), merged.get_mut(name(arg))) {
                let is_hidden = |pair: &OsString| here.iter().any(|other| pair_name(other) == pair_name(pair));
                let mut pairs: Vec<OsString> = there.iter().filter(|pair| !is_hidden(pair)).cloned().collect();
                pairs.append(here);
                *here = pairs;
            }
        }
        merged.append(&mut self.0);
        Self(merged)
    }

    /// As a command line.
    fn line(&self) -> Vec<OsString> {
        let (mut line, mut rest) = (Vec::new(), Vec::new());
        for arg in command().get_arguments() {
            let Some(values) = self.0.get(name(arg)) else { continue };
            match arg.get_long() {
                None if arg.is_last_set() => {
                    rest.push("--".into());
                    rest.extend(values.iter().cloned());
                }
                None => line.extend(values.iter().cloned()),
                Some(long) if is_flag(arg) => {
                    line.extend(values.iter().filter(|value| *value == "true").map(|_| format!("--{long}").into()))
                }
                Some(long) => line.extend(values.iter().map(|value| {
                    let mut word = OsString::from(format!("--{long}="));
                    word.push(value);
                    word
                })),
            }
        }
        line.append(&mut rest);
        line
    }

    fn matches(&self) -> Result<ArgMatches, clap::Error> {
        command().try_get_matches_from(self.line())
    }

    /// Reads them as a job's.
    pub(crate) fn read(&self) -> Result<JobOptions, Error> {
        let options = self.matches().and_then(|mut matches| JobOptions::from_arg_matches_mut(&mut matches));
        options.map_err(|error| Error::invalid(in_one_line(&error)))
    }

    /// The same with absolute paths, so that it means the same from every folder.
    pub(crate) fn with_absolute_paths(mut self) -> Result<Self, Error> {
        for arg in command().get_arguments().filter(|arg| is_path(arg)) {
            for value in self.0.get_mut(name(arg)).into_iter().flatten().filter(|value| *value != "-") {
                let path = Path::new(value);
                *value = std::path::absolute(path).map_err(|error| Error::io(path, &error))?.into_os_string();
            }
        }
        Ok(self)
    }

    /// As a job file; it reads back as the same. `Invalid` for a path that is no text.
    pub(crate) fn to_toml(&self) -> Result<DocumentMut, Error> {
        let mut document = DocumentMut::new();
        for arg in command().get_arguments() {
            let Some(values) = self.0.get(name(arg)) else { continue };
            let values = values.iter().map(|value| match value.to_str() {
                Some(text) => Ok(text),
                None => Err(Error::invalid(format!("{} is not valid UTF-8: a file can't hold it", value.display()))),
            });
            let values: Vec<&str> = values.collect::<Result<_, _>>()?;
            let value: Value = if is_pair(arg) {
                values
                    .iter()
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| (name, Value::from(value)))
                    .collect::<InlineTable>()
                    .into()
            } else if is_list(arg) {
                values.into_iter().collect::<Array>().into()
            } else {
                let text = values.last().copied().unwrap_or_default();
                match text.parse::<i64>() {
                    _ if is_flag(arg) => (text == "true").into(),
                    Ok(number) if number.to_string() == text => number.into(),
                    _ => text.into(),
                }
            };
            document.insert(name(arg), Item::Value(value));
        }
        Ok(document)
    }

    /// As a JSON object; every single value is a text.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let text = |value: &OsString| serde_json::Value::from(value.to_string_lossy());
        let mut object = serde_json::Map::new();
        for arg in command().get_arguments() {
            let Some(values) = self.0.get(name(arg)) else { continue };
            let value = if is_flag(arg) {
                values.iter().any(|value| value == "true").into()
            } else if is_list(arg) {
                values.iter().map(text).collect()
            } else {
                values.last().map(text).unwrap_or_default()
            };
            object.insert(name(arg).to_owned(), value);
        }
        object.into()
    }
}

fn pair_name(pair: &OsString) -> &[u8] {
    let bytes = pair.as_encoded_bytes();
    bytes.split(|byte| *byte == b'=').next().unwrap_or(bytes)
}

/// `-` is standard input, wherever it stands. A path never begins like an option.
fn under(folder: &Path, path: &str) -> OsString {
    if path == "-" {
        return path.into();
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    PathBuf::from(folder).join(path).into_os_string()
}

/// What stands at a key, as on a command line; or what it should be.
fn values(arg: &Arg, item: &Item) -> Result<Vec<String>, String> {
    match item {
        Item::Value(Value::Boolean(value)) if is_flag(arg) => Ok(vec![value.value().to_string()]),
        _ if is_flag(arg) => Err("is true or false".into()),
        Item::Value(Value::Array(list)) if is_list(arg) => {
            list.iter().map(|value| scalar(value).ok_or_else(|| "is a list of texts".to_owned())).collect()
        }
        item if is_pair(arg) => {
            let table = item.as_table_like().ok_or("is a table, as { NAME = \"value\" }")?;
            let pair = |(name, item): (&str, &Item)| Some(format!("{name}={}", scalar(item.as_value()?)?));
            table.iter().map(|entry| pair(entry).ok_or_else(|| format!("has at {} no text", entry.0))).collect()
        }
        _ if name(arg) == COMMAND => Err("is a list, the program and its arguments: [\"wc\", \"-l\"]".into()),
        Item::Value(value) => scalar(value).map(|value| vec![value]).ok_or_else(|| match is_list(arg) {
            true => "is a list of texts".into(),
            false => "is a single text or number".into(),
        }),
        Item::None | Item::Table(_) | Item::ArrayOfTables(_) => Err("is no table".into()),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Float(number) => Some(number.value().to_string()),
        Value::Boolean(is) => Some(is.value().to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::InlineTable(_) => None,
    }
}

/// The job options on a command line, as a layer.
#[derive(Clone, Debug)]
pub(crate) struct GivenOptions(pub(crate) Layer);

impl Args for GivenOptions {
    fn augment_args(command: Command) -> Command {
        JobOptions::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        JobOptions::augment_args_for_update(command)
    }
}

impl FromArgMatches for GivenOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(Layer::of_matches(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = Layer::of_matches(matches);
        Ok(())
    }
}
