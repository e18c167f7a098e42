//! `context`: clusters by name, in the user's configuration.

use std::path::Path;

use super::config::{ConfigFile, Settings, contexts_of};
use super::document;
use super::entry::World;
use super::exit::{Ending, Exit};
use super::new_file;
use super::pages::Listing;
use super::table::Column;
use super::toml_file::TomlFile;
use super::ui::{Format, Ui, printable};
use crate::domain::Error;
use crate::limits::NAME_MAX_BYTES;
use crate::rpc::address::HeadAddress;

/// Shown below the verbs.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond context add lab --head http://lab:7663
  millpond context use lab
  millpond list --context lab
A context may also hold owner, format, and defaults of job options, written into the file by hand:
  [contexts.lab]
  head = \"http://lab:7663\"
  owner = \"ana\"
  submit = { mem = \"4G\", timeout = \"2h\" }";

const COLUMNS: &[Column] = &[("CURRENT", false), ("NAME", false), ("HEAD", false), ("FILE", false)];

#[derive(clap::Subcommand, Debug)]
pub(crate) enum ContextCommand {
    /// List the contexts
    List,
    /// Show what counts here: context, head, owner
    Show,
    /// Use this one from now on
    Use(Which),
    /// Note a cluster under a name; its head is the one of --head
    Add(Which),
    /// Forget one
    Remove(Which),
}

#[derive(clap::Args, Debug)]
pub(crate) struct Which {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) fn run(command: &ContextCommand, world: &World<'_>, ui: &mut Ui) -> Ending {
    match command {
        ContextCommand::List => list(world, ui),
        ContextCommand::Show => show(world, ui),
        ContextCommand::Use(Which { name }) => switch(name, world, ui),
        ContextCommand::Add(Which { name }) => add(name, world, ui),
        ContextCommand::Remove(Which { name }) => remove(name, world, ui),
    }
}

fn list(world: &World<'_>, ui: &mut Ui) -> Ending {
    let files = world.around.files()?;
    let current = world.settings.context.as_ref().map(|(name, _)| name.as_str());
    let mut listing = Listing::begin(ui, "contexts", COLUMNS)?;
    let mut seen = std::collections::BTreeSet::new();
    for (file, name, values) in files.iter().flat_map(|file| file.contexts.iter().map(move |(name, values)| (file, name, values))) {
        // The first of a name is the one that counts.
        if seen.insert(name) {
            let is_current = current == Some(name);
            let head = values.head.clone().unwrap_or_default();
            let document = document::Context::of(name, is_current, values.head.as_deref(), Some(&file.name));
            listing.item(ui, name, document, vec![if is_current { "*" } else { "" }.into(), name.clone(), head, file.name.clone()])?;
        }
    }
    listing.end(ui)?;
    Ok(Exit::Done)
}

fn show(world: &World<'_>, ui: &mut Ui) -> Ending {
    let Settings { head, credentials, context, format, job } = &world.settings;
    let owner = job.to_json()["owner"].as_str().unwrap_or(&world.around.user).to_owned();
    match ui.format {
        Format::Json | Format::Jsonl => {
            ui.json(&document::Configured::of(&world.settings, &owner))?;
        }
        Format::Id => context.iter().try_for_each(|(name, _)| ui.line(name))?,
        Format::Table => {
            let context = context.as_ref().map_or_else(|| "none".into(), |(name, by)| format!("{name}, named by {by}"));
            let head = head.as_deref().unwrap_or("none: `run` starts a cluster of its own");
            let format = format.map(|format| format!("{format:?}").to_lowercase());
            let credentials = credentials.as_ref().map(|file| file.display().to_string());
            let facts = [
                ("context", Some(context)),
                ("head", Some(head.to_owned())),
                ("credentials", credentials),
                ("owner", Some(owner)),
                ("format", format),
            ];
            for (name, value) in facts {
                value.map_or(Ok(()), |value| ui.line(format_args!("{name:<12}{}", printable(&value))))?;
            }
            if !job.is_empty() {
                let options = job.to_toml()?.to_string();
                options.lines().try_for_each(|line| ui.line(format_args!("{:<12}{}", "submit", printable(line))))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn switch(name: &str, world: &World<'_>, ui: &mut Ui) -> Ending {
    let files = world.around.files()?;
    if !files.iter().any(|file| file.contexts.contains_key(name)) {
        return Err(unknown(name).into());
    }
    change(world, |document| {
        document["current"] = toml_edit::value(name);
        Ok(())
    })?;
    said(&document::Context::of(name, true, None, None), name, format_args!("{name} is used from now on"), ui)?;
    // It is written, but something counts more.
    let here = |file: &&ConfigFile| Some(file.name.as_str()) != world.around.user_config.as_deref().and_then(|path| path.to_str());
    let by_environment = world.around.head.as_ref().map(|_| "MILLPOND_HEAD").or(world.around.context.as_ref().map(|_| "MILLPOND_CONTEXT"));
    let by_file = files.iter().filter(here).find(|file| file.current.is_some() || file.top.head.is_some());
    if let Some(by) = by_environment.or(by_file.map(|file| file.name.as_str())) {
        ui.note(format_args!("but not here: {by} counts more"));
    }
    Ok(Exit::Done)
}

fn add(name: &str, world: &World<'_>, ui: &mut Ui) -> Ending {
    check_name(name)?;
    let head = world.head_flag.as_deref().ok_or_else(|| Error::invalid("which cluster: name its head, --head http://HOST:7663"))?;
    HeadAddress::check(head)?;
    change(world, |document| insert(document, name, head, None))?;
    let context = document::Context::of(name, false, Some(head), None);
    said(&context, name, format_args!("{name} is {head}; `millpond context use {name}` makes it the one that is used"), ui)
}

/// `Invalid` for what can't be the name of a context.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > NAME_MAX_BYTES || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(Error::invalid(format!("`{name}` can't be a context's name: letters, digits, `-`, `_` and `.` are allowed")));
    }
    Ok(())
}

/// Notes a head and the credentials for it, and makes that the context that is used.
pub(super) fn note(name: &str, head: &str, credentials: &Path, world: &World<'_>) -> Result<(), Error> {
    change(world, |document| {
        contexts_of(document).and_then(|contexts| contexts.remove(name));
        insert(document, name, head, Some(credentials))?;
        document["current"] = toml_edit::value(name);
        Ok(())
    })
}

fn insert(document: &mut toml_edit::DocumentMut, name: &str, head: &str, credentials: Option<&Path>) -> Result<(), Error> {
    let contexts = contexts_of(document).ok_or_else(|| Error::invalid("`contexts` is no table in the configuration"))?;
    if contexts.contains_key(name) {
        return Err(Error::conflict(format!("there is a context `{name}` already: `millpond context remove {name}` first")));
    }
    let mut context = toml_edit::Table::new();
    context.decor_mut().set_prefix("\n");
    context["head"] = toml_edit::value(head);
    if let Some(credentials) = credentials {
        let path = credentials.to_str().ok_or_else(|| Error::invalid("the path of the credentials must be text"))?;
        context["credentials"] = toml_edit::value(path);
    }
    contexts.insert(name, toml_edit::Item::Table(context));
    Ok(())
}

fn remove(name: &str, world: &World<'_>, ui: &mut Ui) -> Ending {
    let mut was_current = false;
    change(world, |document| {
        contexts_of(document).and_then(|contexts| contexts.remove(name)).ok_or_else(|| unknown(name))?;
        was_current = document.get("current").and_then(|item| item.as_str()) == Some(name);
        if was_current {
            document.remove("current");
        }
        Ok(())
    })?;
    let rest = if was_current { ", which was used; none is now" } else { "" };
    said(&document::Context::of(name, false, None, None), name, format_args!("forgot {name}{rest}"), ui)
}

fn unknown(name: &str) -> Error {
    Error::not_found(format!("there is no context `{name}`: `millpond context list` shows them"))
}

/// Changes the user's configuration; all that a person has written there stays as it is.
fn change(world: &World<'_>, change: impl FnOnce(&mut toml_edit::DocumentMut) -> Result<(), Error>) -> Result<(), Error> {
    let path = world.around.user_config()?;
    let mut document = TomlFile::read(path)?.map_or_else(toml_edit::DocumentMut::new, TomlFile::into_mut);
    change(&mut document)?;
    new_file::replace(path, document.to_string().trim_start_matches('\n'))
}

fn said(context: &document::Context<'_>, name: &str, sentence: std::fmt::Arguments<'_>, ui: &mut Ui) -> Ending {
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(context)?,
        Format::Id => ui.line(name)?,
        Format::Table => ui.line(sentence)?,
    }
    Ok(Exit::Done)
}
