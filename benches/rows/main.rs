//! How fast Millpond is, row by row, each beside what a user would pick instead, in the same run, alternating.
//!
//! ```text
//! rows.rs ─► starts · dispatch · calls · million · input · results · programs     a group of rows each: fn(&Bench) -> lines
//!               cluster.rs   the head and its workers: real processes of the release build     swarm.rs   simulated workers
//!               yardsticks.rs   what a user would pick instead                                 data.rs    files to work on
//!            line.rs · stats.rs ─► report.rs, plot.rs, machine.rs ─► docs/performance.md
//! ```
//! `docs/performance.md` says what each row means. `just bench` runs them all and writes the figures there; `--row NAME` prints some,
//! `--smoke` takes all through tiny sizes, so that the continuous integration sees that each still runs to its end.

mod bench;
mod calls;
mod cluster;
mod data;
mod dispatch;
mod input;
mod line;
mod machine;
mod million;
mod pages;
mod plot;
mod process;
mod programs;
mod report;
mod results;
mod rows;
mod starts;
mod stats;
mod swarm;
mod tls;
mod yardsticks;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use bench::Bench;
use line::{Line, Verdict};

/// Measures Millpond beside what a user would pick instead, and writes docs/performance.md.
#[derive(Debug, Parser)]
#[command(name = "rows")]
struct Args {
    /// What this binary does as a process of its own, for a row
    #[command(subcommand)]
    part: Option<Part>,
    /// Only rows whose name begins so, printed and not written; may be repeated
    #[arg(long = "row", value_name = "NAME")]
    rows: Vec<String>,
    /// Rounds of each row; a row that takes too long ends sooner, and says so
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Tiny sizes, one round, nothing written: whether every row runs to its end
    #[arg(long)]
    smoke: bool,
    /// Where the clusters and files live; needs 12 GB [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print the names of the rows
    #[arg(long)]
    list: bool,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Simulated workers: real sessions, no processes
    #[command(hide = true)]
    Swarm(swarm::Args),
    /// Starts `true` so often, so many at once, and prints the seconds it took
    #[command(hide = true)]
    SpawnLoop(yardsticks::SpawnLoop),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.part {
        Some(Part::Swarm(args)) => swarm::run(args),
        Some(Part::SpawnLoop(args)) => yardsticks::spawn_loop(args),
        None if args.list => {
            rows::ALL.iter().for_each(|row| println!("{:16}{}", row.name, row.what));
            Ok(())
        }
        None => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rows: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let wanted = |name: &str| args.rows.is_empty() || args.rows.iter().any(|wanted| name.starts_with(wanted.as_str()));
    let rows: Vec<_> = rows::ALL.iter().filter(|row| wanted(row.name)).collect();
    if let Some(unknown) = args.rows.iter().find(|wanted| !rows::ALL.iter().any(|row| row.name.starts_with(wanted.as_str()))) {
        bail!("no row is called `{unknown}`; --list has their names");
    }
    let bench = Bench::new(if args.smoke { 1 } else { args.rounds }, args.smoke, args.dir.clone())?;
    let began = Instant::now();
    let mut lines = Vec::new();
    if !args.smoke {
        println!("{}", report::HEADER.trim_end());
    }
    for row in &rows {
        let row_began = Instant::now();
        let measured = (row.measure)(&bench).with_context(|| format!("row {}", row.name));
        if bench.is_interrupted() {
            bail!("interrupted");
        }
        let measured = measured.unwrap_or_else(|error| vec![Line::failed(row.what, &error)]);
        if args.smoke {
            println!("{}: {}", row.name, report::soundness(&measured));
        } else {
            measured.iter().for_each(|line| println!("{}", report::row(line)));
            eprintln!("({}: {:.0} s)", row.name, row_began.elapsed().as_secs_f64());
        }
        lines.extend(measured);
    }
    if args.smoke {
        return check(&lines);
    }
    let took = began.elapsed();
    let count = |verdict: Verdict| lines.iter().filter(|line| line.verdict() == verdict).count();
    let (ok, missed, failed) = (count(Verdict::Ok), count(Verdict::Miss), count(Verdict::NotMeasured));
    println!("\n{ok} reached, {missed} missed, {failed} not measured, in {} s", took.as_secs());
    if args.rows.is_empty() {
        report::write(&lines, took, bench.parent())?;
    }
    Ok(())
}

/// That a smoke run has come to its end in every row, with numbers that are some.
fn check(lines: &[Line]) -> Result<()> {
    let broken: Vec<_> = lines.iter().filter(|line| !line.is_sound()).map(|line| line.what.as_str()).collect();
    if broken.is_empty() { Ok(()) } else { bail!("{} rows do not run to their end: {}", broken.len(), broken.join("; ")) }
}
