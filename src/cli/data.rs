//! `data`: stored data sets.

use std::path::PathBuf;

use super::document;
use super::exit::{Ending, Exit};
use super::job_options::Source;
use super::pages::{self, Listing};
use super::progress::Progress;
use super::table::Column;
use super::ui::Ui;
use super::units::{short_size, short_time};
use crate::limits::PAGE_MAX_ITEMS;
use crate::rpc::client::Client;
use crate::rpc::pb;

const COLUMNS: &[Column] = &[("DIGEST", false), ("NAME", false), ("SIZE", true), ("CREATED (UTC)", false)];

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
}

pub(crate) async fn run(command: DataCommand, client: &Client, ui: &mut Ui) -> Ending {
    match command {
        DataCommand::Add { file, name } => add(&Source::of_input(&file)?, name, client, ui).await,
        DataCommand::List => list(client, ui).await,
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

async fn list(client: &Client, ui: &mut Ui) -> Ending {
    let fetch = async |page_token: String| {
        let request = pb::ListDatasetsRequest { page_size: PAGE_MAX_ITEMS as i32, page_token };
        let page = client.repeat(async || client.datasets().list_datasets(request.clone()).await).await?;
        Ok((page.datasets, page.next_page_token))
    };
    let mut listing = Listing::begin(ui, "datasets", COLUMNS)?;
    pages::each(fetch, |datasets| {
        for data in &datasets {
            let row = vec![data.digest.clone(), data.name.clone(), short_size(data.len), short_time(data.created.as_ref())];
            listing.item(ui, &data.digest, document::Dataset::of(data), row)?;
        }
        if datasets.is_empty() { Ok(()) } else { listing.end_of_page(ui) }
    })
    .await?;
    listing.end(ui)?;
    Ok(Exit::Done)
}
