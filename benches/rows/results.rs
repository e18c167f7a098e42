//! Rows of results on their way back.

use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use millpond::rpc::download::BundlePiece;
use millpond::rpc::pb;

use crate::bench::Bench;
use crate::cluster::{Cluster, array, seconds};
use crate::data;
use crate::line::{Line, Reach, Unit};
use crate::yardsticks;

const RESULT_BYTES: u64 = 250_000;

/// Each task leaves a file of text; then the bundle.
pub fn results(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.size(2000, 20);
    let cluster = Cluster::with_worker(bench, 2)?;
    let file = cluster.path("result.mgf");
    let gigabytes = data::spectra(&file, RESULT_BYTES)? as f64 * f64::from(tasks) / 1e9;
    let folder = cluster.path("results");
    fs::create_dir(&folder)?;
    (0..tasks).try_for_each(|number| fs::copy(&file, folder.join(format!("{number}.mgf"))).map(drop))?;
    let command = ["cp", file.to_str().context("a path that is no text")?, "{output}/result.mgf"];
    let (bundle, copy, zipped) = (cluster.path("bundle.zip"), cluster.path("copy.zip"), cluster.path("zipped.zip"));
    let has_zip = yardsticks::is_installed("zip");
    let (mut complete, mut zip, mut head_cpu, mut download, mut cp) = (vec![], vec![], vec![], vec![], vec![]);
    bench.rounds(|| {
        let cpu = cluster.head_cpu()?;
        let (_, job) = cluster.runs(array(tasks, &command))?;
        cluster.call(async |client| match client.bundle(&job.id).next().await? {
            Some(BundlePiece::Start { .. }) => Ok(()),
            other => anyhow::bail!("a bundle begins with {other:?}"),
        })?;
        let laid_out = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        head_cpu.push((cluster.head_cpu()? - cpu) / gigabytes);
        complete.push(laid_out - last_end(&cluster, &job.id)?);
        if has_zip {
            zip.push(yardsticks::zip_fast(&folder, &zipped)?);
            fs::remove_file(&zipped)?;
        }
        let began = Instant::now();
        cluster.millpond(&["results", &job.id, "-o", "bundle.zip"])?;
        let took = began.elapsed().as_secs_f64();
        let len = fs::metadata(&bundle)?.len() as f64;
        download.push(len / took);
        cp.push(len / yardsticks::copy(&bundle, &copy)?);
        fs::remove_file(&copy)?;
        fs::remove_file(&bundle)?;
        cluster.delete(&job.id)
    })?;
    let line = Line::new(format!("{tasks} results of 250 KB: last task ended → bundle complete"), Unit::Seconds, &complete);
    let line = line.reaches(Reach::AtMost(50e-3));
    Ok(vec![
        if has_zip { line.beside("zip -1 of the same", &zip) } else { line.beside_missing("zip") },
        Line::new("the same: download", Unit::BytesPerSecond, &download).beside("cp", &cp).reaches(Reach::RatioAtLeast(0.5)),
        Line::new("the same: head CPU per GB of results", Unit::Seconds, &head_cpu).reaches(Reach::AtMost(0.6)),
    ])
}

/// When the last task had ended, by its worker's clock, which is this machine's.
fn last_end(cluster: &Cluster, id: &str) -> Result<f64> {
    let (mut last, mut page_token) = (0.0_f64, String::new());
    loop {
        let request = pb::ListTasksRequest { id: id.to_owned(), page_size: 1000, page_token, ..Default::default() };
        let page = cluster.call(async |client| Ok(client.jobs().list_tasks(request).await?.into_inner()))?;
        for task in &page.tasks {
            last = last.max(seconds(task.finished.as_ref())?);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(last);
        }
    }
}
