//! Rows of single calls: how long a user waits for one thing.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use millpond::rpc::client::Client;
use millpond::rpc::pb;

use crate::bench::Bench;
use crate::cluster::{Cluster, array, seconds, until};
use crate::line::{Line, Reach, Unit};
use crate::stats::{median, percentile};

/// One `true` after the other on an idle cluster, from its submission to its end by the head's clock.
pub fn single(bench: &Bench) -> Result<Vec<Line>> {
    let jobs = bench.size(60, 3);
    let cluster = Cluster::with_worker(bench, 2)?;
    let (mut medians, mut all) = (vec![], vec![]);
    bench.rounds(|| {
        let mut round = Vec::new();
        for _ in 0..jobs {
            let (_, job) = cluster.runs(array(1, &["true"]))?;
            round.push(seconds(job.finished.as_ref())? - seconds(job.created.as_ref())?);
            cluster.delete(&job.id)?;
        }
        medians.push(median(&round));
        all.extend(round);
        Ok(())
    })?;
    let what = "one `true`, submitted to finished, idle cluster";
    Ok(vec![
        Line::new(format!("{what}: median"), Unit::Seconds, &medians).reaches(Reach::AtMost(5e-3)),
        Line::new(format!("the same: p99 of {}", all.len()), Unit::Seconds, &[percentile(&all, 99.0)]).reaches(Reach::AtMost(20e-3)),
    ])
}

/// What people ask for most.
#[derive(Clone, Copy)]
enum Question {
    List,
    Show,
    Watch,
}

const QUESTIONS: [(Question, &str); 3] = [(Question::List, "list"), (Question::Show, "show"), (Question::Watch, "first event of watch")];

impl Question {
    /// Asks it, until the first answer is here.
    async fn ask(self, client: &Client, id: &str) -> Result<()> {
        let id = id.to_owned();
        let mut jobs = client.jobs();
        match self {
            Self::List => drop(jobs.list_jobs(pb::ListJobsRequest::default()).await?),
            Self::Show => drop(jobs.get_job(pb::GetJobRequest { id }).await?),
            Self::Watch => {
                let mut events = jobs.watch_job(pb::WatchJobRequest { id, cursor: 0 }).await?.into_inner();
                events.message().await?.context("a watched job has no events")?;
            }
        }
        Ok(())
    }
}

/// The same questions to a head at rest, and while the tasks of a large job run through it.
pub fn busy(bench: &Bench) -> Result<Vec<Line>> {
    let (tasks, asked) = (bench.size(1_000_000, 3000), bench.size(30, 2));
    let cluster = Cluster::with_swarm(bench, 4, 16)?;
    let mut idle = [const { Vec::new() }; 3];
    let mut loaded = [const { Vec::new() }; 3];
    bench.rounds(|| {
        let (_, rest) = cluster.runs(array(1, &["true"]))?;
        ask_all(&cluster, &rest.id, asked, &mut idle)?;
        let job = cluster.submit(array(tasks, &["true"]))?;
        let is_running = || Ok(cluster.show(&job)?.started.map(drop));
        until("the job runs", is_running)?;
        ask_all(&cluster, &job, asked, &mut loaded)?;
        ensure!(bench.is_smoke() || cluster.show(&job)?.finished.is_none(), "the job was over before all was asked");
        cluster.clear(&job)?;
        cluster.delete(&rest.id)
    })?;
    let lines = QUESTIONS.iter().zip(loaded.iter().zip(&idle)).map(|((_, name), (loaded, idle))| {
        let line = Line::new(format!("{name} while {tasks} tasks run"), Unit::Seconds, loaded);
        line.beside("idle", idle).reaches(Reach::AtMost(10e-3))
    });
    Ok(lines.collect())
}

/// Asks each question so often; the medians.
fn ask_all(cluster: &Cluster, id: &str, times: u32, medians: &mut [Vec<f64>; 3]) -> Result<()> {
    for ((question, _), medians) in QUESTIONS.iter().zip(medians) {
        let mut took = Vec::new();
        for _ in 0..times {
            let began = Instant::now();
            cluster.call(async |client| question.ask(client, id).await)?;
            took.push(began.elapsed().as_secs_f64());
        }
        medians.push(median(&took));
    }
    Ok(())
}
