//! Rows of the programs themselves.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::cluster::{Cluster, HEAD, MILLPOND, WORKER, output, program};
use crate::line::{Line, Reach, Unit};
use crate::process::tree_bytes;

/// What a program keeps to itself once it has come to rest.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// As they are built.
pub fn sizes(_: &Bench) -> Result<Vec<Line>> {
    let size = |name: &str, path: &str| {
        let bytes = std::fs::metadata(path).with_context(|| path.to_owned())?.len() as f64;
        Ok(Line::new(format!("binary: {name}"), Unit::Bytes, &[bytes]).reaches(Reach::AtMost(25e6)))
    };
    [("millpond", MILLPOND), ("millpond-head", HEAD), ("millpond-worker", WORKER)]
        .map(|(name, path)| size(name, path))
        .into_iter()
        .collect()
}

/// From nothing to a bundle: a cluster of its own, for one task.
pub fn first_run(bench: &Bench) -> Result<Vec<Line>> {
    let mut took = vec![];
    bench.rounds(|| {
        let folder = bench.folder()?;
        let began = Instant::now();
        output(program(MILLPOND, folder.path()).args(["run", "--array", "0-0", "-o", "out.zip", "--", "true"]))?;
        took.push(began.elapsed().as_secs_f64());
        Ok(())
    })?;
    Ok(vec![Line::new("`millpond run` of one task in a fresh folder", Unit::Seconds, &took).reaches(Reach::AtMost(100e-3))])
}

/// A head and a worker of two slots, with its launchers, before any job.
pub fn idle(bench: &Bench) -> Result<Vec<Line>> {
    let (mut head, mut worker) = (vec![], vec![]);
    bench.rounds(|| {
        let cluster = Cluster::with_worker(bench, 2)?;
        std::thread::sleep(if bench.is_smoke() { Duration::ZERO } else { SETTLED_AFTER });
        head.push(tree_bytes(cluster.head_pid())?);
        worker.push(tree_bytes(cluster.worker_pid())?);
        Ok(())
    })?;
    Ok(vec![
        Line::new("memory of an idle head", Unit::Bytes, &head).reaches(Reach::AtMost(20e6)),
        Line::new("memory of an idle worker, 2 slots, launchers included", Unit::Bytes, &worker).reaches(Reach::AtMost(10e6)),
    ])
}
