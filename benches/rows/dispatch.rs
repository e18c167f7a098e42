//! Rows of dispatch alone: simulated workers whose tasks start no process, so that all that is left is the head, and its journal.

use anyhow::Result;

use crate::bench::Bench;
use crate::cluster::{Cluster, array, seconds};
use crate::line::{Line, Reach, Unit};

/// What each of a job's tasks costs, in seconds.
#[derive(Default)]
struct Cost {
    /// From before the submission until the client has heard of the end.
    time: f64,
    /// Of the head's processor time, submission and deletion included.
    head_cpu: f64,
}

fn cost(cluster: &Cluster, tasks: u32, jobs: u32) -> Result<Cost> {
    let cpu = cluster.head_cpu()?;
    let mut time = 0.0;
    for _ in 0..jobs {
        let (seconds, job) = cluster.runs(array(tasks, &["true"]))?;
        time += seconds;
        cluster.delete(&job.id)?;
    }
    let all = f64::from(tasks * jobs);
    Ok(Cost { time: time / all, head_cpu: (cluster.head_cpu()? - cpu) / all })
}

/// The same, once a round.
#[derive(Default)]
struct Costs {
    times: Vec<f64>,
    head_cpu: Vec<f64>,
}

impl Costs {
    fn push(&mut self, cost: &Cost) {
        self.times.push(cost.time);
        self.head_cpu.push(cost.head_cpu);
    }

    fn rates(&self) -> Vec<f64> {
        self.times.iter().map(|time| 1.0 / time).collect()
    }
}

/// Four workers of 16 slots beside a thousand of 8.
pub fn rates(bench: &Bench) -> Result<Vec<Line>> {
    let (tasks, fewer_tasks, many) = (bench.size(200_000, 500), bench.size(100_000, 500), bench.size(1000, 20));
    let cluster = Cluster::with_swarm(bench, 4, 16)?;
    let (mut few, mut crowd) = (Costs::default(), Costs::default());
    bench.rounds(|| {
        few.push(&cost(&cluster, tasks, 1)?);
        // Its heartbeats are not to be heard while the others are measured.
        crowd.push(&cost(&Cluster::with_swarm(bench, many, 8)?, fewer_tasks, 1)?);
        Ok(())
    })?;
    let of_crowd = Line::new(format!("dispatch alone, {many} workers × 8 slots"), Unit::TasksPerSecond, &crowd.rates());
    Ok(vec![
        Line::new("dispatch alone, 4 workers × 16 slots", Unit::TasksPerSecond, &few.rates()).reaches(Reach::AtLeast(50_000.0)),
        Line::new("the same: head CPU per task", Unit::Seconds, &few.head_cpu).reaches(Reach::AtMost(5e-6)),
        of_crowd.beside("4 workers × 16 slots", &few.rates()).reaches(Reach::RatioAtLeast(0.4)),
        Line::new("the same: head CPU per task", Unit::Seconds, &crowd.head_cpu).reaches(Reach::AtMost(15e-6)),
    ])
}

/// A thousand to a million tasks in a job, on four workers of 16 slots.
pub fn by_tasks(bench: &Bench) -> Result<Vec<Line>> {
    /// As many jobs of a size as have so many tasks together: a short one says little.
    const TOGETHER: u32 = 50_000;
    let sizes = if bench.is_smoke() { [200, 300, 400, 500] } else { [1000, 10_000, 100_000, 1_000_000] };
    let cluster = Cluster::with_swarm(bench, 4, 16)?;
    let mut costs = <[Costs; 4]>::default();
    bench.rounds(|| {
        for (size, costs) in sizes.iter().zip(&mut costs) {
            let jobs = if bench.is_smoke() { 1 } else { (TOGETHER / size).max(1) };
            costs.push(&cost(&cluster, *size, jobs)?);
        }
        Ok(())
    })?;
    Ok(growth("tasks in a job", &sizes, &costs, 1.2))
}

/// One to a thousand workers of 8 slots.
pub fn by_workers(bench: &Bench) -> Result<Vec<Line>> {
    let counts = if bench.is_smoke() { [1, 2, 3, 4] } else { [1, 10, 100, 1000] };
    let tasks = bench.size(50_000, 200);
    let mut costs = <[Costs; 4]>::default();
    bench.rounds(|| {
        for (count, costs) in counts.iter().zip(&mut costs) {
            costs.push(&cost(&Cluster::with_swarm(bench, *count, 8)?, tasks, 1)?);
        }
        Ok(())
    })?;
    Ok(growth("workers × 8 slots", &counts, &costs, 2.0))
}

/// Lines of time and of processor time, each beside that of the first size.
fn growth(of: &str, sizes: &[u32], costs: &[Costs], reach: f64) -> Vec<Line> {
    let lines = |what: &str, values: fn(&Costs) -> &[f64]| {
        let line = |(size, costs): (&u32, &Costs)| Line::new(format!("{what} per task, {size} {of}"), Unit::Seconds, values(costs));
        let beside_first = |line: Line| line.beside(&format!("{} {of}", sizes[0]), values(&costs[0])).reaches(Reach::RatioAtMost(reach));
        let first = line((&sizes[0], &costs[0]));
        std::iter::once(first).chain(sizes.iter().zip(costs).skip(1).map(line).map(beside_first)).collect::<Vec<_>>()
    };
    [lines("time", |costs| &costs.times), lines("head CPU", |costs| &costs.head_cpu)].concat()
}

/// One slot, and a job's tasks one after the other: alone, and while a thousand jobs wait behind it.
pub fn behind_a_thousand(bench: &Bench) -> Result<Vec<Line>> {
    let (tasks, jobs) = (bench.size(20_000, 50), bench.size(1000, 10));
    let (mut alone, mut crowded) = (vec![], vec![]);
    bench.rounds(|| {
        alone.push(first_of(bench, 1, tasks)?);
        crowded.push(first_of(bench, jobs, tasks)?);
        Ok(())
    })?;
    let line = Line::new(format!("from a free slot to the next task, {jobs} jobs waiting"), Unit::Seconds, &crowded);
    Ok(vec![line.beside("one job", &alone).reaches(Reach::RatioAtMost(1.5))])
}

/// Seconds per task of the oldest of so many jobs.
fn first_of(bench: &Bench, jobs: u32, tasks: u32) -> Result<f64> {
    let mut cluster = Cluster::start(bench)?;
    let ids = (0..jobs).map(|_| cluster.submit(array(tasks, &["true"]))).collect::<Result<Vec<_>>>()?;
    cluster.add_swarm(1, 1)?;
    let job = cluster.ends(&ids[0])?;
    Ok((seconds(job.finished.as_ref())? - seconds(job.started.as_ref())?) / f64::from(tasks))
}
