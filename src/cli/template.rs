//! `template`: options of jobs that are made again and again, kept as job files in the configuration's folder.

use std::path::{Path, PathBuf};

use super::config::Surroundings;
use super::document;
use super::entry::World;
use super::exit::{Ending, Exit, Stop};
use super::job_args::{self, JobArgs};
use super::layer::{GivenOptions, Layer};
use super::new_file;
use super::pages::Listing;
use super::table::Column;
use super::toml_file::TomlFile;
use super::ui::{Format, Ui};
use crate::domain::Error;
use crate::limits::TEMPLATE_NAME_MAX_BYTES;

/// Shown below the verbs.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond template save search --split mgf:500 --with human.fasta --mem 4G -- search --db {with:human.fasta} {input}
  millpond template use search monday.mgf
  millpond template use search tuesday.mgf --priority 5 --with mouse.fasta
  millpond template show search | millpond run -f - wednesday.mgf";

const COLUMNS: &[Column] = &[("NAME", false), ("COMMAND", false)];

#[derive(clap::Subcommand, Debug)]
pub(crate) enum TemplateCommand {
    /// Keep options under a name: those typed, over those of a file
    Save {
        /// Its name
        #[arg(value_name = "NAME")]
        template: TemplateName,
        #[command(flatten)]
        job: Box<JobArgs>,
        /// In the place of one that has this name
        #[arg(long)]
        replace: bool,
    },
    /// List the templates
    List,
    /// Print a template, as a job file
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        template: TemplateName,
    },
    /// Delete a template
    Delete {
        /// Its name
        #[arg(value_name = "NAME")]
        template: TemplateName,
    },
    /// Submit a job with a template's options; what is typed counts more
    Use {
        /// Its name
        #[arg(value_name = "NAME")]
        template: TemplateName,
        #[command(flatten)]
        given: GivenOptions,
        /// Only show what would be submitted, as a job file
        #[arg(long)]
        dry_run: bool,
    },
}

/// A name that a file can have.
#[derive(Clone, Debug)]
pub(crate) struct TemplateName(String);

impl std::str::FromStr for TemplateName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_fine = !text.is_empty() && text.len() <= TEMPLATE_NAME_MAX_BYTES && !text.starts_with(['.', '-']);
        if !is_fine || text.contains(|c: char| c == '/' || c.is_control()) {
            return Err(Error::invalid(format!(
                "`{text}` can't be a template's name: 1 to {TEMPLATE_NAME_MAX_BYTES} bytes, no `/`, no `.` or `-` at the beginning"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TemplateName {
    fn file(&self, around: &Surroundings) -> Result<PathBuf, Error> {
        Ok(folder(around)?.join(format!("{}{ENDING}", self.0)))
    }

    fn unknown(&self) -> Error {
        Error::not_found(format!("there is no template `{}`: `millpond template list` shows them", self.0))
    }

    fn read(&self, around: &Surroundings) -> Result<Layer, Error> {
        let file = TomlFile::read(&self.file(around)?)?.ok_or_else(|| self.unknown())?;
        Layer::of_table(&file, file.table(), Path::new(""), &[])
    }
}

const ENDING: &str = ".toml";

fn folder(around: &Surroundings) -> Result<PathBuf, Error> {
    Ok(around.config_dir()?.join("templates"))
}

pub(crate) async fn run(command: TemplateCommand, world: &World<'_>, ui: &mut Ui) -> Ending {
    let around = &world.around;
    match command {
        TemplateCommand::Save { template, job, replace } => save(&template, &job, replace, around, ui),
        TemplateCommand::List => list(around, ui),
        TemplateCommand::Show { template } => show(&template, around, ui),
        TemplateCommand::Delete { template } => {
            std::fs::remove_file(template.file(around)?).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => template.unknown(),
                _ => Error::io(&template.0, &error),
            })?;
            said(&template, false, ui)
        }
        TemplateCommand::Use { template, given, dry_run } => {
            let layer = given.0.over(&template.read(around)?).over(&world.settings.job);
            job_args::make(vec![layer], dry_run, world, ui).await
        }
    }
}

fn save(name: &TemplateName, job: &JobArgs, replace: bool, around: &Surroundings, ui: &mut Ui) -> Ending {
    let mut layers = job.layers(&Layer::default())?;
    let layer = layers.pop().filter(|_| layers.is_empty()).ok_or_else(|| Error::invalid("the file has several jobs: a template is one"))?;
    if layer.is_empty() {
        return Err(Error::invalid("nothing to save: state job options, a command, or a file with them (-f)").into());
    }
    if layer.has("request-id") {
        return Err(Error::invalid("a template with a request-id would make one job, and never another: leave it out").into());
    }
    layer.read()?;
    let file = name.file(around)?;
    if file.exists() && !replace {
        return Err(Error::conflict(format!("there is a template `{}` already: with --replace this one takes its place", name.0)).into());
    }
    new_file::replace(&file, &layer.with_absolute_paths()?.to_toml()?.to_string())?;
    said(name, true, ui)
}

fn said(name: &TemplateName, exists: bool, ui: &mut Ui) -> Ending {
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Template::of(&name.0, exists))?,
        Format::Id => ui.line(&name.0)?,
        Format::Table => ui.line(format_args!("template {} {}", name.0, if exists { "saved" } else { "deleted" }))?,
    }
    Ok(Exit::Done)
}

fn list(around: &Surroundings, ui: &mut Ui) -> Ending {
    let folder = folder(around)?;
    let mut names = Vec::new();
    match std::fs::read_dir(&folder) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|error| Error::io(&folder, &error))?;
                let name = entry.file_name().to_str().and_then(|name| name.strip_suffix(ENDING)?.parse::<TemplateName>().ok());
                names.extend(name);
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io(&folder, &error).into()),
    }
    names.sort_by(|a, b| a.0.cmp(&b.0));
    let mut listing = Listing::begin(ui, "templates", COLUMNS)?;
    for name in names {
        let read = name.read(around);
        let command = match &read {
            Ok(layer) => layer.command_text(),
            // No reason not to show the others.
            Err(error) => format!("can't be used: {}", error.message),
        };
        let document = document::Options::of_template(&name.0, read.as_ref().ok());
        listing.item(ui, &name.0, document, vec![name.0.clone(), command])?;
    }
    listing.end(ui)?;
    Ok(Exit::Done)
}

fn show(name: &TemplateName, around: &Surroundings, ui: &mut Ui) -> Ending {
    let written: Result<(), Stop> = match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Options::of_template(&name.0, Some(&name.read(around)?))),
        Format::Id => name.read(around).map_err(Stop::from).and_then(|_| ui.line(&name.0)),
        Format::Table => ui.line(name.read(around)?.to_toml()?.to_string().trim_end()),
    };
    written.map(|()| Exit::Done)
}
