//! What the verbs that make jobs share: options typed, over those of a file or a template, over the configured ones.

use std::path::PathBuf;

use clap::ValueHint;
use sha2::{Digest as _, Sha256};

use super::config::Surroundings;
use super::controlled::request_id;
use super::entry::World;
use super::exit::{Ending, Exit, Stop};
use super::job_options::{CheckedJob, submit};
use super::layer::{GivenOptions, Layer};
use super::progress::Progress;
use super::ui::{Format, Ui};
use super::{document, job_file};
use crate::domain::Error;
use crate::rpc::client::Client;

/// The option that makes a repeated submission harmless.
const REQUEST_ID: &str = "request-id";

/// The job options, and a file with more of them.
#[derive(clap::Args, Debug)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    pub(crate) given: GivenOptions,
    /// Take the options of one job, or of several, from this file, by their long names; - for standard input. What is typed counts more
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Job")]
    file: Option<PathBuf>,
}

impl JobArgs {
    /// Whether no job is described.
    pub(crate) fn is_empty(&self) -> bool {
        self.file.is_none() && !self.given.0.describes_a_job()
    }

    /// The jobs, at least one.
    pub(crate) fn layers(&self, defaults: &Layer) -> Result<Vec<Layer>, Error> {
        let jobs = match &self.file {
            Some(file) => job_file::read(file)?,
            None => vec![Layer::default()],
        };
        Ok(jobs.into_iter().map(|job| self.given.0.clone().over(&job).over(defaults)).collect())
    }
}

/// Checks what can be checked here, of all jobs, before anything is sent.
pub(crate) fn check(layers: &[Layer], around: &Surroundings) -> Result<Vec<CheckedJob>, Error> {
    let check = |(at, layer): (usize, &Layer)| {
        let checked = layer.read().and_then(|options| options.check(around));
        checked.map_err(|error| if layers.len() == 1 { error } else { error.context(format_args!("job {} of {}", at + 1, layers.len())) })
    };
    layers.iter().enumerate().map(check).collect()
}

/// Submits jobs, and prints their ids; or, for a dry run, shows them.
pub(crate) async fn make(mut layers: Vec<Layer>, dry_run: bool, world: &World<'_>, ui: &mut Ui) -> Ending {
    if dry_run {
        show(&layers, &check(&layers, &world.around)?, ui)?;
        return Ok(Exit::Done);
    }
    let wish = number(&mut layers);
    let jobs = check(&layers, &world.around)?;
    let client = world.connect().await?;
    let of = jobs.len();
    for (at, job) in jobs.into_iter().enumerate() {
        if let Err(stop) = make_one(job, &client, ui).await {
            if at > 0 {
                ui.flush().ok();
                let again = wish.map_or_else(String::new, |id| format!(" --request-id {id}"));
                ui.note(format_args!(
                    "{at} of {of} jobs are submitted; the same command line with{again} submits the others, and none twice"
                ));
            }
            return Err(stop);
        }
    }
    Ok(Exit::Done)
}

async fn make_one(job: CheckedJob, client: &Client, ui: &mut Ui) -> Result<(), Stop> {
    let mut progress = Progress::new(ui);
    let request = job.upload(client, &mut progress).await;
    progress.clear();
    let job = submit(&request?, client).await?;
    if ui.format.is_json() { ui.json(&document::Job::of(&job)) } else { ui.line(&job.id) }
}

/// Gives each of several jobs a request id of its own, made from the one that they share and its place; the shared one, if it is made here.
fn number(layers: &mut [Layer]) -> Option<String> {
    if layers.len() < 2 {
        return None;
    }
    let made = request_id();
    let stated: Vec<_> = layers.iter_mut().map(|layer| layer.take(REQUEST_ID)).collect();
    for (at, layer) in layers.iter_mut().enumerate() {
        let id = match &stated[at] {
            Some(own) if stated.iter().filter(|id| *id == &stated[at]).count() == 1 => own.to_string_lossy().into_owned(),
            shared => nth(&shared.as_ref().map_or(made.as_str().into(), |id| id.to_string_lossy()), at),
        };
        *layer = Layer::of(REQUEST_ID, &id).over(layer);
    }
    stated.iter().all(Option::is_none).then_some(made)
}

/// The same for the same, and a UUID.
fn nth(id: &str, at: usize) -> String {
    let digest: [u8; 32] = Sha256::digest(format!("{}/{at}", id.to_lowercase())).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// The jobs as they would be submitted: for people as a job file.
fn show(layers: &[Layer], jobs: &[CheckedJob], ui: &mut Ui) -> Result<(), Stop> {
    for (at, (layer, job)) in layers.iter().zip(jobs).enumerate() {
        let (name, owner) = job.name_and_owner();
        let layer = layer.clone().over(&Layer::of("name", name)).over(&Layer::of("owner", owner));
        match ui.format {
            Format::Json | Format::Jsonl => ui.json(&document::Options::of_dry_run(&layer))?,
            Format::Id => ui.line(name)?,
            Format::Table => {
                let between = if at > 0 { "\n" } else { "" };
                let heading = if layers.len() > 1 { "[[job]]\n" } else { "" };
                ui.line(format_args!("{between}{heading}{}", layer.to_toml()?.to_string().trim_end()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_file_asks_for_the_same_jobs() {
        let jobs =
            |ids: &[Option<&str>]| ids.iter().map(|id| id.map_or_else(Layer::default, |id| Layer::of(REQUEST_ID, id))).collect::<Vec<_>>();
        let wish = "6F9619FF-8B86-4011-B42D-00C04FC964FF";
        let numbered = |mut layers: Vec<Layer>| {
            let made = number(&mut layers);
            (layers.into_iter().map(|mut layer| layer.take(REQUEST_ID)).collect::<Vec<_>>(), made)
        };
        let (first, made) = numbered(jobs(&[Some(wish), Some(wish)]));
        assert!(first[0] != first[1] && made.is_none() && first[0].as_ref().unwrap().to_string_lossy().parse::<uuid::Uuid>().is_ok());
        assert_eq!(first, numbered(jobs(&[Some(wish.to_lowercase().as_str()); 2])).0, "however it is written");
        let (fresh, made) = numbered(jobs(&[None, None]));
        assert_eq!(fresh, numbered(jobs(&[made.as_deref(); 2])).0, "the one that is told after a failure");
        let (own, _) = numbered(jobs(&[Some(wish), None]));
        assert_eq!(own[0].as_deref(), Some(wish.as_ref()), "a job's own id is its own");
        assert_eq!(numbered(jobs(&[Some(wish)])).0, [Some(wish.into())]);
    }
}
