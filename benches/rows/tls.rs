//! Rows of what encryption costs: a head with an identity beside one without.

use std::fs;
use std::time::Instant;

use anyhow::Result;

use crate::bench::Bench;
use crate::cluster::{Cluster, array};
use crate::data;
use crate::line::{Line, Reach, Unit};

/// What one head reaches, round after round.
#[derive(Default)]
struct Rates {
    dispatch: Vec<f64>,
    upload: Vec<f64>,
    download: Vec<f64>,
}

impl Rates {
    fn measure(&mut self, cluster: &Cluster, tasks: u32, file: &std::path::Path) -> Result<()> {
        let (seconds, job) = cluster.runs(array(tasks, &["true"]))?;
        self.dispatch.push(f64::from(tasks) / seconds);
        cluster.delete(&job.id)?;
        let bytes = fs::metadata(file)?.len() as f64;
        let began = Instant::now();
        let digest = cluster.upload(file)?;
        self.upload.push(bytes / began.elapsed().as_secs_f64());
        cluster.millpond(&["data", "delete", &digest])?;
        Ok(())
    }

    fn fetch(&mut self, cluster: &Cluster, job: &str) -> Result<()> {
        let began = Instant::now();
        cluster.millpond(&["results", job, "-o", "bundle.zip"])?;
        let bundle = cluster.path("bundle.zip");
        self.download.push(fs::metadata(&bundle)?.len() as f64 / began.elapsed().as_secs_f64());
        Ok(fs::remove_file(bundle)?)
    }
}

/// A job of results that don't get smaller by packing, to be fetched.
fn results(cluster: &Cluster, tasks: u32) -> Result<String> {
    let command = ["sh", "-c", "head -c 8000000 /dev/urandom > {output}/random"];
    Ok(cluster.runs(array(tasks, &command))?.1.id)
}

/// Dispatch on four simulated workers of 16 slots, and data, encrypted beside plain.
pub fn rates(bench: &Bench) -> Result<Vec<Line>> {
    let (tasks, results_of) = (bench.size(200_000, 500), bench.size(25, 2));
    let (mut sealed, mut open) = (Cluster::with_identity(bench)?, Cluster::start(bench)?);
    let file = open.path("data.txt");
    data::lines(&file, u64::from(bench.size(200_000_000, 1_000_000)))?;
    // Real workers first, for what is fetched; the simulated ones would take their tasks.
    let mut jobs = Vec::new();
    for cluster in [&mut sealed, &mut open] {
        cluster.add_worker(2)?;
        jobs.push(results(cluster, results_of)?);
        cluster.drop_workers();
        cluster.add_swarm(4, 16)?;
    }
    let (mut encrypted, mut plain) = (Rates::default(), Rates::default());
    bench.rounds(|| {
        for (rates, cluster, job) in [(&mut encrypted, &sealed, &jobs[0]), (&mut plain, &open, &jobs[1])] {
            rates.measure(cluster, tasks, &file)?;
            rates.fetch(cluster, job)?;
        }
        Ok(())
    })?;
    let line = |what: &str, unit, encrypted: &[f64], plain: &[f64], least| {
        Line::new(format!("over TLS: {what}"), unit, encrypted).beside("in plaintext", plain).reaches(Reach::RatioAtLeast(least))
    };
    Ok(vec![
        line("dispatch alone, 4 workers × 16 slots", Unit::TasksPerSecond, &encrypted.dispatch, &plain.dispatch, 0.85),
        line("upload 200 MB", Unit::BytesPerSecond, &encrypted.upload, &plain.upload, 0.6),
        line("download 200 MB", Unit::BytesPerSecond, &encrypted.download, &plain.download, 0.6),
    ])
}
