//! `split --dry-run`: shows how a file would be cut. Needs no head.

use std::path::PathBuf;

use super::config::Surroundings;
use super::exit::{Ending, Exit};
use super::job_options::{SPLIT_HELP, Source};
use super::table::{Column, Table};
use super::ui::{Format, Ui, printable};
use super::units::short_size;
use crate::actors::preview::Preview;
use crate::archive::tar_name;
use crate::domain::{Error, SplitRule};
use crate::rpc::convert::preview_to_pb;
use crate::rpc::document::Split;

const COLUMNS: &[Column] = &[("CHUNK", true), ("RECORDS", true), ("SIZE", true), ("FIRST RECORD", false)];
/// Chunks per slot when no rule is stated: as the head does it, taking this machine's processors for its slots.
const CHUNKS_PER_SLOT: u32 = 4;

#[derive(clap::Args, Debug)]
pub(crate) struct SplitArgs {
    /// The file or folder; gzip, zstd, bzip2 and zip are unpacked
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only show it: a file is split for good by the job that it is submitted with
    #[arg(long, required = true)]
    dry_run: bool,
    /// What may not be cut, and how much goes in a chunk, as for submit (--help lists all)
    /// [default: by the file's ending, four chunks per processor of this machine]
    #[arg(long, long_help = SPLIT_HELP, value_name = "RULE")]
    split: Option<SplitRule>,
}

pub(crate) async fn run(args: SplitArgs, around: &Surroundings, ui: &mut Ui) -> Ending {
    let source = Source::of_input(&args.file)?;
    let name = source.file_name();
    let Source::File(path) = source else {
        return Err(Error::invalid("a dry run needs a file: it is read more than once").into());
    };
    let stored_as = if path.is_dir() { tar_name(&name) } else { name.clone() };
    let rule = args.split.unwrap_or_else(|| SplitRule::for_name(&stored_as, around.cores.saturating_mul(CHUNKS_PER_SLOT)));
    let (text, work) = (rule.to_string(), tokio::task::spawn_blocking(move || Preview::of(&path, &rule)));
    let preview = work.await.map_err(|error| Error::internal(format!("splitting stopped: {error}")))??;
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&Split::of(&preview_to_pb(name, text, &preview)))?,
        Format::Id => ui.line(preview.summary.chunks)?,
        Format::Table => table(&name, &text, &preview, ui)?,
    }
    Ok(Exit::Done)
}

fn table(name: &str, rule: &str, preview: &Preview, ui: &mut Ui) -> Result<(), super::exit::Stop> {
    let Preview { packing, bytes, summary, sizes: [min, median, max], first } = preview;
    let packing = packing.as_ref().map(|packing| format!(", unpacked from {packing}")).unwrap_or_default();
    ui.line(printable(&format!("{name}: {}{packing}, by {rule}", short_size(*bytes))))?;
    let header = match summary.header_len {
        0 => String::new(),
        len => format!(", a header of {} repeated in each", short_size(len)),
    };
    ui.line(format_args!("chunks: {}, of {} records{header}", summary.chunks, summary.records))?;
    ui.line(format_args!("size of a chunk: {} to {}, median {}", short_size(*min), short_size(*max), short_size(*median)))?;
    let mut table = Table::new(COLUMNS);
    for (no, first) in first.iter().enumerate() {
        let size = short_size(first.chunk.header + first.chunk.len);
        table.row(vec![no.to_string(), first.chunk.records.to_string(), size, first.line.clone()]);
    }
    table.write(ui)
}
