//! `submit`: makes a job, and prints its id.

use super::document;
use super::entry::World;
use super::exit::{Ending, Exit};
use super::job_options::{JobOptions, submit};
use super::progress::Progress;
use super::ui::Ui;
use crate::rpc::client::Client;

/// Shown below the options.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond submit spectra.mgf --split mgf:500 --with human.fasta -- search --db {with:human.fasta} {input}
  millpond submit --array 1-100 --mem 2G --timeout 1h -- simulate --seed {index} --out {output}
  millpond submit reads.fastq.gz --split fastq/chunks:64 -- sh -c 'grep -c \"^+\"'
  millpond wait $(millpond submit big.txt -- wc -l)";

#[derive(clap::Args, Debug)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    job: JobOptions,
}

pub(crate) async fn run(args: SubmitArgs, world: &World<'_>, ui: &mut Ui) -> Ending {
    // Before connecting: a wrong command line is wrong whether or not a head is there.
    let job = args.job.check(&world.around)?;
    let client = Client::connect(&world.head()?).await?;
    let mut progress = Progress::new(ui);
    let request = job.upload(&client, &mut progress).await;
    progress.clear();
    let job = submit(&request?, &client).await?;
    if ui.format.is_json() {
        ui.json(&document::Job::of(&job))?
    } else {
        ui.line(&job.id)?
    }
    Ok(Exit::Done)
}
