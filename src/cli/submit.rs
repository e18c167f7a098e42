//! `submit`: makes a job, or those of a file, and prints their ids.

use super::entry::World;
use super::exit::Ending;
use super::job_args::{self, JobArgs};
use super::ui::Ui;

/// Shown below the options.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond submit spectra.mgf --split mgf:500 --with human.fasta -- search --db {with:human.fasta} {input}
  millpond submit --array 1-100 --mem 2G --timeout 1h -- simulate --seed {index} --out {output}
  millpond submit reads.fastq.gz --split fastq/chunks:64 -- sh -c 'grep -c \"^+\"'
  millpond submit -f search.toml --priority 5 today.mgf
  millpond wait $(millpond submit big.txt -- wc -l)
A file has the options by their long names, the input as input, the command as a list, pairs as tables; paths are relative to the file:
  split = \"mgf:500\"
  with = [\"human.fasta\"]
  env = { THREADS = \"4\" }
  command = [\"search\", \"--db\", \"{with:human.fasta}\", \"{input}\"]
Several jobs are tables [[job]], with what they share above the first.";

#[derive(clap::Args, Debug)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Only show what would be submitted, as a job file
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: SubmitArgs, world: &World<'_>, ui: &mut Ui) -> Ending {
    // Before connecting: a wrong command line is wrong whether or not a head is there.
    job_args::make(args.job.layers(&world.settings.job)?, args.dry_run, world, ui).await
}
