//! `data`: stored data sets.

use std::path::PathBuf;

use super::controlled::request_id;
use super::document;
use super::exit::{Ending, Exit, Stop};
use super::job_options::Source;
use super::pages::{self, Listing};
use super::progress::Progress;
use super::table::Column;
use super::ui::{Format, Ui, printable};
use super::units::{short_size, short_time};
use crate::domain::Error;
use crate::limits::PAGE_MAX_ITEMS;
use crate::rpc::client::Client;
use crate::rpc::pb;

const COLUMNS: &[Column] = &[("DIGEST", false), ("NAME", false), ("SIZE", true), ("CREATED (UTC)", false), ("USED BY", false)];

/// So much of a digest names it, if it is the only one.
const DIGEST_BEGINNING_MIN: usize = 6;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum DataCommand {
    /// Store a file or a folder, and print its digest; gzip, zstd, bzip2 and zip are unpacked
    Add {
        /// A file, a folder, or - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Another name than the file's; its ending chooses the split rule
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// List what is stored, by name
    List,
    /// Show a data set, and which jobs use it
    Show {
        /// Its digest, the beginning of it, or its name
        #[arg(value_name = "DATA")]
        data: String,
    },
    /// Delete data sets that no job needs any more: those of jobs that have ended go, and these jobs can't be retried then
    Delete {
        /// Their digests, beginnings of these, or names
        #[arg(value_name = "DATA", required_unless_present = "unused", conflicts_with = "unused")]
        data: Vec<String>,
        /// All that no job uses, not even one that has ended
        #[arg(long)]
        unused: bool,
        /// Only say what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn run(command: DataCommand, client: &Client, ui: &mut Ui) -> Ending {
    match command {
        DataCommand::Add { file, name } => add(&Source::of_input(&file)?, name, client, ui).await,
        DataCommand::List => list(client, ui).await,
        DataCommand::Show { data } => show(&data, client, ui).await,
        DataCommand::Delete { data, unused, dry_run } => delete(&data, unused, dry_run, client, ui).await,
    }
}

async fn add(source: &Source, name: Option<String>, client: &Client, ui: &mut Ui) -> Ending {
    let mut progress = Progress::new(ui);
    let name = name.unwrap_or_else(|| source.file_name());
    let data = source.upload(&name, client, &mut progress).await;
    progress.clear();
    let data = data?;
    if ui.format.is_json() {
        ui.json(&document::Dataset::of(&data))?
    } else {
        ui.line(&data.digest)?
    }
    Ok(Exit::Done)
}

/// A page of what is stored, and the token of the next one.
async fn page(client: &Client, page_token: String) -> Result<(Vec<pb::Dataset>, String), Error> {
    let request = pb::ListDatasetsRequest { page_size: PAGE_MAX_ITEMS as i32, page_token };
    let page = client.repeat(async || client.datasets().list_datasets(request.clone()).await).await?;
    Ok((page.datasets, page.next_page_token))
}

/// All that is stored.
async fn stored(client: &Client) -> Result<Vec<pb::Dataset>, Stop> {
    let mut stored = Vec::new();
    pages::each(
        async |token| page(client, token).await,
        |datasets| {
            stored.extend(datasets);
            Ok(())
        },
    )
    .await?;
    Ok(stored)
}

/// The one that a person means: by its digest, the beginning of that, or its name.
fn find<'a>(stored: &'a [pb::Dataset], meant: &str) -> Result<&'a pb::Dataset, Error> {
    let begins = |data: &&pb::Dataset| meant.len() >= DIGEST_BEGINNING_MIN && data.digest.starts_with(meant);
    let found: Vec<&pb::Dataset> = stored.iter().filter(|data| data.name == meant || begins(data)).collect();
    match found.as_slice() {
        [data] => Ok(data),
        [] => Err(Error::not_found(format!("there is no data set {meant}: `millpond data list` shows what there is"))),
        [first, second, ..] => {
            let digests = format!("{} and {}", &first.digest, &second.digest);
            Err(Error::invalid(format!("`{meant}` is the name of {} data sets, {digests} among them: name its digest", found.len())))
        }
    }
}

/// `j3, j7`; `j3 … and 5 more`.
fn users(data: &pb::Dataset) -> String {
    let more = (data.used_by_count as usize).saturating_sub(data.used_by.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", data.used_by.join(", "))
}

async fn show(meant: &str, client: &Client, ui: &mut Ui) -> Ending {
    let stored = stored(client).await?;
    let data = find(&stored, meant)?;
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Dataset::of(data))?,
        Format::Id => ui.line(&data.digest)?,
        Format::Table => {
            let used_by = if data.used_by_count == 0 { "no job".into() } else { users(data) };
            let facts = [
                ("digest", data.digest.clone()),
                ("name", data.name.clone()),
                ("size", format!("{} ({} bytes)", short_size(data.len), data.len)),
                ("created", short_time(data.created.as_ref())),
                ("used by", used_by),
            ];
            facts.iter().try_for_each(|(name, value)| ui.line(format_args!("{name:<10}{}", printable(value))))?;
        }
    }
    Ok(Exit::Done)
}

/// A refused one does not stop the others; the exit code is the first refusal's.
async fn delete(meant: &[String], unused: bool, dry_run: bool, client: &Client, ui: &mut Ui) -> Ending {
    let stored = stored(client).await?;
    let all: Vec<&pb::Dataset> = if unused {
        stored.iter().filter(|data| data.used_by_count == 0).collect()
    } else {
        meant.iter().map(|meant| find(&stored, meant)).collect::<Result<_, _>>()?
    };
    if all.is_empty() {
        ui.note("no data set is unused");
    }
    let mut exit = Exit::Done;
    for data in all {
        let request = pb::DeleteDatasetRequest { digest: data.digest.clone(), request_id: request_id(), unused };
        let deleted =
            if dry_run { Ok(data.clone()) } else { client.repeat(async || client.datasets().delete_dataset(request.clone()).await).await };
        match deleted {
            Ok(data) => match ui.format {
                Format::Json | Format::Jsonl => ui.json(&document::Dataset::of(&data))?,
                Format::Id => ui.line(&data.digest)?,
                Format::Table => {
                    let would = if dry_run { "would be deleted" } else { "is deleted" };
                    ui.line(printable(&format!("{} ({}, {}) {would}", data.name, data.digest, short_size(data.len))))?;
                }
            },
            Err(error) => {
                ui.flush()?;
                ui.error(&error);
                exit = if exit == Exit::Done { Exit::of(error.kind) } else { exit };
            }
        }
    }
    Ok(exit)
}

async fn list(client: &Client, ui: &mut Ui) -> Ending {
    let mut listing = Listing::begin(ui, "datasets", COLUMNS)?;
    pages::each(
        async |token| page(client, token).await,
        |datasets| {
            for data in &datasets {
                let row =
                    vec![data.digest.clone(), data.name.clone(), short_size(data.len), short_time(data.created.as_ref()), users(data)];
                listing.item(ui, &data.digest, document::Dataset::of(data), row)?;
            }
            if datasets.is_empty() { Ok(()) } else { listing.end_of_page(ui) }
        },
    )
    .await?;
    listing.end(ui)?;
    Ok(Exit::Done)
}
