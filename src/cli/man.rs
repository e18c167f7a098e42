//! `man`: manual pages, made from what the command line itself knows of its verbs and options.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};

use super::args::Cli;
use super::exit::{Ending, Exit};
use super::ui::{Format, Ui};
use crate::domain::Error;

/// Shown below the options.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond man /usr/local/share/man && man millpond-submit
  millpond man ~/.local/share/man                 where `man` finds them if ~/.local/bin is in PATH";

#[derive(clap::Args, Debug)]
pub(crate) struct ManArgs {
    /// The folder of manual pages: they come into its man1 (verbs) and man8 (daemons)
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &ManArgs, daemons: &[Command], ui: &mut Ui) -> Ending {
    let pages = pages(daemons).map_err(|error| Error::internal(format!("can't make the manual pages: {error}")))?;
    for section in ["man1", "man8"] {
        let folder = args.dir.join(section);
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, &error))?;
    }
    for Page { name, section, text } in &pages {
        let file = args.dir.join(format!("man{section}/{name}.{section}"));
        std::fs::write(&file, text).map_err(|error| Error::io(&file, &error))?;
    }
    write(&args.dir, &pages, ui)
}

fn write(dir: &Path, pages: &[Page], ui: &mut Ui) -> Ending {
    match ui.format {
        Format::Table => ui.line(format_args!("{} manual pages are in {}", pages.len(), dir.display()))?,
        Format::Json | Format::Jsonl => {
            let files: Vec<String> = pages.iter().map(Page::file).collect();
            ui.json(&serde_json::json!({ "version": 1, "dir": dir.to_string_lossy(), "files": files }))?;
        }
        Format::Id => pages.iter().try_for_each(|page| ui.line(page.file()))?,
    }
    Ok(Exit::Done)
}

/// A manual page.
struct Page {
    name: String,
    /// 1: for users, 8: for those who run daemons. `millpond-worker` is a page of both: a verb, and a daemon.
    section: u8,
    text: Vec<u8>,
}

impl Page {
    fn file(&self) -> String {
        format!("man{0}/{1}.{0}", self.section, self.name)
    }
}

/// One for each program and each verb, and for the verbs of a verb.
fn pages(daemons: &[Command]) -> std::io::Result<Vec<Page>> {
    let mut pages = Vec::new();
    for (command, section) in std::iter::once((Cli::command(), 1)).chain(daemons.iter().cloned().map(|daemon| (daemon, 8))) {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        add(&command, section, &mut pages)?;
    }
    Ok(pages)
}

fn add(command: &Command, section: u8, pages: &mut Vec<Page>) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    let manual = format!("Millpond {}", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command.clone()).title(&name).section(section.to_string()).source(&manual).manual(&manual).render(&mut text)?;
    pages.push(Page { name, section, text });
    command.get_subcommands().filter(|verb| verb.get_name() != "help").try_for_each(|verb| add(verb, section, pages))
}
