//! `millpond-head doctor`: says what in a data folder is damaged, and makes a new one of the rest.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::actors::inspection::Inspection;
use crate::actors::salvage::salvage;
use crate::domain::{Error, counted};
use crate::store::FolderLock;

use super::args::DoctorArgs;
use super::head::say;
use super::logging::LogFormat;
use super::process;

/// Looks, and says what it found.
pub fn main(args: &DoctorArgs, format: LogFormat) -> ExitCode {
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => process::exit("millpond-head", format, Err(error)),
    }
}

/// Whether nothing is damaged.
fn run(args: &DoctorArgs) -> Result<bool, Error> {
    let dir = args.data_dir.as_path();
    if !dir.join("store").is_dir() {
        return Err(Error::not_found(format!("{} is not the data folder of a head: it has no folder `store`", dir.display())));
    }
    // Before the long reading.
    if let Some(to) = args.salvage.as_ref().filter(|to| to.exists()) {
        return Err(Error::conflict(format!("{} is there already: name a folder that does not exist", to.display())));
    }
    let _lock = FolderLock::take_to_look(dir)?;
    let scratch = Scratch::new();
    let found = Inspection::of(dir, &scratch.0)?;
    found.findings.iter().try_for_each(|finding| say(finding))?;
    say(&summary(dir, &found))?;
    if let Some(to) = &args.salvage {
        let again = || format!("{} is not whole: remove it, and try again", to.display());
        let lost = salvage(&found, dir, to).map_err(|error| error.context(again()))?;
        lost.iter().try_for_each(|lost| say(lost))?;
        say(&format!("{} holds what could be read: start a head on it with --data-dir {}", to.display(), to.display()))?;
    }
    Ok(found.findings.is_empty())
}

fn summary(dir: &Path, found: &Inspection) -> String {
    let results: usize = found.results.values().map(std::collections::BTreeMap::len).sum();
    let (jobs, datasets) = (found.ledger.jobs.len(), found.ledger.datasets.len() - found.lost_datasets.len());
    let good = [(jobs, "job"), (results, "result"), (datasets, "data set")].map(|(count, noun)| counted(count as u64, noun));
    let good = format!("{}, {} and {} are whole", good[0], good[1], good[2]);
    match found.findings.len() {
        0 => format!("{}: nothing is damaged: {good}", dir.display()),
        count => format!("{}: {count} found damaged; {good}", dir.display()),
    }
}

/// A folder for the copy of a store, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("millpond-doctor-{}", uuid::Uuid::new_v4())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is a copy, in the folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
