//! Rows of jobs with a million tasks that wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use millpond::rpc::client::Client;
use millpond::rpc::pb;

use crate::bench::Bench;
use crate::cluster::{Cluster, array, kill_request, over, until};
use crate::line::{Line, Reach, Unit};

const TASKS: u32 = 1_000_000;

/// Submitted, waiting, killed; and what another client notices of it.
pub fn array_of(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.size(TASKS, 2000);
    let (mut submit, mut memory, mut kill, mut stall) = (vec![], vec![], vec![], vec![]);
    bench.rounds(|| {
        let cluster = Cluster::with_worker(bench, 2)?;
        let (_, other) = cluster.runs(array(1, &["true"]))?;
        let (longest, result) = while_polling(&cluster.url, &other.id, || {
            let before = cluster.head_rss()?;
            let began = Instant::now();
            let id = cluster.submit(array(tasks, &["sleep", "600"]))?;
            let submitted = began.elapsed().as_secs_f64();
            until("two tasks run", || Ok(cluster.show(&id)?.tasks.is_some_and(|tasks| tasks.running == 2).then_some(())))?;
            let grown = cluster.head_rss()? - before;
            let began = Instant::now();
            cluster.call(async |client| Ok(client.jobs().kill_job(kill_request(&id)).await.map(drop)?))?;
            let killed = began.elapsed().as_secs_f64();
            until("the killed job has ended", || Ok(cluster.show(&id)?.finished.map(drop)))?;
            Ok((submitted, grown, killed))
        })?;
        let (submitted, grown, killed) = result;
        submit.push(submitted);
        memory.push(grown);
        kill.push(killed);
        stall.push(longest);
        Ok(())
    })?;
    Ok(vec![
        Line::new(format!("array of {tasks}: submit"), Unit::Seconds, &submit).reaches(Reach::AtMost(20e-3)),
        Line::new("the same: head memory", Unit::Bytes, &memory).reaches(Reach::AtMost(4e6)),
        Line::new("the same: kill", Unit::Seconds, &kill).reaches(Reach::AtMost(10e-3)),
        Line::new("the same: longest stall of another client", Unit::Seconds, &stall).reaches(Reach::AtMost(10e-3)),
    ])
}

/// Runs a story while another client asks for a job over and over; the longest that it waited for an answer, in seconds.
fn while_polling<T>(url: &str, id: &str, story: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let over = AtomicBool::new(false);
    let (connected, is_connected) = mpsc::channel();
    std::thread::scope(|scope| {
        let poller = scope.spawn(|| poll(url, id, &over, &connected));
        // Nothing is sent when it fails: then it says why below.
        let told = story_after(&is_connected, story);
        over.store(true, Ordering::Relaxed);
        let longest = poller.join().map_err(|_| anyhow!("the other client has broken off"))??;
        Ok((longest, told?))
    })
}

fn story_after<T>(is_connected: &mpsc::Receiver<()>, story: impl FnOnce() -> Result<T>) -> Result<T> {
    is_connected.recv_timeout(std::time::Duration::from_secs(10)).context("the other client is not connected")?;
    story()
}

fn poll(url: &str, id: &str, over: &AtomicBool, connected: &mpsc::Sender<()>) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::connect(&url.parse()?).await?;
        let mut longest = 0.0_f64;
        let mut asked = 0;
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            client.jobs().get_job(pb::GetJobRequest { id: id.to_owned() }).await?;
            // The first one pays for the connection.
            if asked > 0 {
                longest = longest.max(began.elapsed().as_secs_f64());
            } else {
                connected.send(())?;
            }
            asked += 1;
            tokio::time::sleep(std::time::Duration::from_micros(200)).await;
        }
        Ok(longest)
    })
}

/// A file of as many lines, each a chunk.
pub fn chunks(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.size(TASKS, 2000);
    let mut memory = vec![];
    bench.rounds(|| {
        let cluster = Cluster::start(bench)?;
        let file = cluster.path("lines.txt");
        let text: String = (0..tasks).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&file, text)?;
        let digest = cluster.upload(&file)?;
        let before = cluster.head_rss()?;
        let id = cluster.submit(over(&digest, "lines.txt", "lines:1", &["true"]))?;
        until("the file is split", || Ok(cluster.show(&id)?.tasks.is_some_and(|counts| counts.total == tasks).then_some(())))?;
        memory.push((cluster.head_rss()? - before) / f64::from(tasks));
        Ok(())
    })?;
    let what = format!("{tasks} chunks of a file (lines:1): head memory per task");
    // Of a few tasks the fixed part is all there is: a smoke run says nothing of that.
    Ok(vec![Line::new(what, Unit::Bytes, &memory).reaches(Reach::AtMost(12.0))])
}
