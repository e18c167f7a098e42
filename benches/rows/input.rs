//! Rows of data on its way in: stored, and cut.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::bench::Bench;
use crate::cluster::{Cluster, over, until};
use crate::data;
use crate::line::{Line, Reach, Unit};
use crate::yardsticks;

/// Makes a file of about so many bytes; how many it has.
type Maker = fn(&Path, u64) -> Result<u64>;

/// What is cut: its rule, its name, how it is made, and how fast it is to go, in bytes a second.
const FORMATS: [(&str, &str, Maker, f64); 4] = [
    ("lines:1000", "text.txt", data::lines, 1.5e9),
    ("mgf:200", "spectra.mgf", data::spectra, 1.5e9),
    ("fasta:100", "proteins.fasta", data::proteins, 1.5e9),
    ("csv:1000", "quoted.csv", data::quoted_table, 0.5e9),
];

fn bytes(bench: &Bench) -> u64 {
    u64::from(bench.size(1_000_000_000, 2_000_000))
}

/// A stored file, from a job's submission until the head knows all its tasks; beside reading the file once.
pub fn split(bench: &Bench) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (rule, name, make, reach) in FORMATS {
        let cluster = Cluster::start(bench)?;
        let file = cluster.path(name);
        let len = make(&file, bytes(bench))? as f64;
        let digest = cluster.upload(&file)?;
        let (mut split, mut read) = (vec![], vec![]);
        bench.rounds(|| {
            read.push(len / yardsticks::read(&file)?);
            let began = Instant::now();
            let id = cluster.submit(over(&digest, name, rule, &["true"]))?;
            until("the file is split", || Ok(cluster.show(&id)?.tasks.is_some_and(|tasks| tasks.total > 0).then_some(())))?;
            split.push(len / began.elapsed().as_secs_f64());
            // With the job goes what is known of its cuts: the next round cuts again.
            cluster.clear(&id)
        })?;
        let line = Line::new(format!("split {}, `{rule}`", Unit::Bytes.text(len)), Unit::BytesPerSecond, &split);
        lines.push(line.beside("reading it once", &read).reaches(Reach::AtLeast(reach)));
    }
    Ok(lines)
}

/// A file on its way to the head's disk, with its digest; beside a copy.
pub fn upload(bench: &Bench) -> Result<Vec<Line>> {
    let cluster = Cluster::start(bench)?;
    let (file, copy) = (cluster.path("text.txt"), cluster.path("copy"));
    let len = data::lines(&file, bytes(bench))? as f64;
    let (mut upload, mut cp) = (vec![], vec![]);
    bench.rounds(|| {
        cp.push(len / yardsticks::copy_and_sync(&file, &copy)?);
        fs::remove_file(&copy)?;
        let began = Instant::now();
        let digest = cluster.upload(&file)?;
        upload.push(len / began.elapsed().as_secs_f64());
        cluster.millpond(&["data", "delete", &digest]).map(drop)
    })?;
    let line = Line::new(format!("upload {}, durable, with its digest", Unit::Bytes.text(len)), Unit::BytesPerSecond, &upload);
    Ok(vec![line.beside("cp + sync", &cp).reaches(Reach::RatioAtLeast(0.6))])
}
