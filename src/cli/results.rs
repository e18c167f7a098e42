//! `results`: the bundle, at any time.

use std::path::{Path, PathBuf};

use super::exit::{Ending, Exit, Stop};
use super::progress::Progress;
use super::show;
use super::ui::{Format, Ui};
use super::units::short_size;
use crate::bundle::archive_file_name;
use crate::domain::{Error, JobId};
use crate::rpc::client::Client;
use crate::rpc::download::BundlePiece;
use crate::rpc::pb;

#[derive(clap::Args, Debug)]
pub(crate) struct ResultsArgs {
    /// 7 or j7
    #[arg(value_name = "JOB")]
    job: JobId,
    /// Where to write the zip; - for standard output [default: ./NAME-jN.zip]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct Fetched<'a> {
    version: u32,
    id: &'a str,
    file: &'a str,
    bytes: u64,
}

pub(crate) async fn run(args: ResultsArgs, client: &Client, ui: &mut Ui) -> Ending {
    let file = match args.output {
        Some(file) => {
            check_file(&file)?;
            file
        }
        None => default_file(&show::get(client, args.job).await?)?,
    };
    let bytes = fetch(args.job, &file, client, ui).await?;
    if file != Path::new("-") {
        let (id, file) = (args.job.to_string(), file.to_string_lossy());
        match ui.format {
            Format::Json | Format::Jsonl => ui.json(&Fetched { version: 1, id: &id, file: &file, bytes })?,
            Format::Id => ui.line(id)?,
            Format::Table => ui.line(format_args!("{file}: {}", short_size(bytes)))?,
        }
    }
    Ok(Exit::Done)
}

/// Whether a bundle can be written there, as far as that can be said before there is one.
pub(crate) fn check_file(file: &Path) -> Result<(), Error> {
    if file == Path::new("-") {
        return Ok(());
    }
    if file.is_dir() {
        return Err(Error::invalid(format!("{}: is a folder; name a file in it", file.display())));
    }
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => Err(Error::not_found(format!("{}: there is no such folder; make it first", folder.display()))),
        Some(_) | None => Ok(()),
    }
}

/// Where the bundle of a job goes that nobody has said it of: a file in the current folder.
pub(crate) fn default_file(job: &pb::Job) -> Result<PathBuf, Error> {
    let name = job.spec.as_ref().map_or("", |spec| &spec.name);
    Ok(archive_file_name(name, job.id.parse()?).into())
}

/// Fetches a bundle to a file, or to standard output for `-`. Returns its length in bytes.
pub(crate) async fn fetch(job: JobId, file: &Path, client: &Client, ui: &mut Ui) -> Result<u64, Stop> {
    if file == Path::new("-") {
        return to_stdout(job, client, ui).await;
    }
    let mut progress = Progress::new(ui);
    let fetched = client.download_bundle(&job.to_string(), file, |done, total| progress.bytes("fetching the bundle", done, total)).await;
    progress.clear();
    Ok(fetched?)
}

async fn to_stdout(job: JobId, client: &Client, ui: &mut Ui) -> Result<u64, Stop> {
    let id = job.to_string();
    let mut bundle = client.bundle(&id);
    let mut written = 0;
    while let Some(piece) = bundle.next().await? {
        match piece {
            BundlePiece::Start { .. } if written > 0 => {
                return Err(
                    Error::unavailable(format!("the bundle of {id} changed while it was fetched; use -o FILE, or try again")).into()
                );
            }
            BundlePiece::Start { .. } => {}
            BundlePiece::Data(data) => {
                ui.out.write_all(&data)?;
                written += data.len() as u64;
            }
        }
    }
    ui.flush()?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_where_no_bundle_can_be_is_refused_before_the_job() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_file(Path::new("-")).is_ok() && check_file(Path::new("new.zip")).is_ok());
        assert!(check_file(&dir.path().join("new.zip")).is_ok());
        assert!(check_file(dir.path()).unwrap_err().message.contains("is a folder"));
        assert!(check_file(&dir.path().join("no/new.zip")).unwrap_err().message.contains("no such folder"));
    }
}
