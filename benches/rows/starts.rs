//! Rows of starting processes: what a task costs that does next to nothing.

use anyhow::Result;

use crate::bench::Bench;
use crate::cluster::{Cluster, array, over};
use crate::line::{Line, Reach, Unit};
use crate::yardsticks;

const TASKS: u32 = 20_000;
/// GNU parallel takes as long for a tenth of them.
const PARALLEL_SHARE: u32 = 10;

/// `true` with two slots, beside all that starts two at once.
pub fn on_two_slots(bench: &Bench) -> Result<Vec<Line>> {
    let (tasks, few) = (bench.size(TASKS, 60), bench.size(TASKS / PARALLEL_SHARE, 20));
    let cluster = Cluster::with_worker(bench, 2)?;
    let has_parallel = yardsticks::is_installed("parallel");
    let (mut millpond, mut spawn, mut xargs, mut parallel) = (vec![], vec![], vec![], vec![]);
    bench.rounds(|| {
        spawn.push(f64::from(tasks) / yardsticks::posix_spawn(tasks, 2)?);
        millpond.push(rate(&cluster, tasks)?);
        xargs.push(f64::from(tasks) / yardsticks::xargs(tasks, 2)?);
        if has_parallel {
            parallel.push(f64::from(few) / yardsticks::parallel(few, 2)?);
        }
        Ok(())
    })?;
    let line = |reach| Line::new(format!("`true` × {tasks}, 2 slots, durable"), Unit::TasksPerSecond, &millpond).reaches(reach);
    let beside_parallel = line(Reach::RatioAtLeast(1.0));
    Ok(vec![
        line(Reach::RatioAtLeast(0.75)).beside("posix_spawn loop, 2 in flight", &spawn),
        line(Reach::RatioAtLeast(1.0)).beside("xargs -P2 -n1", &xargs),
        if has_parallel { beside_parallel.beside("GNU parallel -j2", &parallel) } else { beside_parallel.beside_missing("parallel") },
    ])
}

/// The same with sixteen.
pub fn on_sixteen_slots(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.size(TASKS, 60);
    let cluster = Cluster::with_worker(bench, 16)?;
    let (mut millpond, mut spawn) = (vec![], vec![]);
    bench.rounds(|| {
        spawn.push(f64::from(tasks) / yardsticks::posix_spawn(tasks, 16)?);
        millpond.push(rate(&cluster, tasks)?);
        Ok(())
    })?;
    let line = Line::new(format!("`true` × {tasks}, 16 slots, durable"), Unit::TasksPerSecond, &millpond);
    Ok(vec![line.beside("posix_spawn loop, 16 in flight", &spawn).reaches(Reach::RatioAtLeast(0.75))])
}

/// The same with two slots in a sandbox, beside none: what it costs a task.
pub fn in_a_sandbox(bench: &Bench) -> Result<Vec<Line>> {
    if !rustix::process::geteuid().is_root() {
        println!("only root can give tasks users of their own");
        return Ok(Vec::new());
    }
    // Three clusters a round: a quarter of the tasks says as much.
    let tasks = bench.size(TASKS / 4, 60);
    let profiles: &[&str] = if yardsticks::is_installed("bwrap") { &["none", "basic", "strict"] } else { &["none", "basic"] };
    let cluster = |profile: &&str| {
        let mut cluster = Cluster::start(bench)?;
        cluster.add_worker_with(2, &["--sandbox", profile])?;
        Ok((cluster, Vec::new()))
    };
    let mut measured = profiles.iter().map(cluster).collect::<Result<Vec<(Cluster, Vec<f64>)>>>()?;
    bench.rounds(|| {
        for (cluster, rates) in &mut measured {
            rates.push(rate(cluster, tasks)?);
        }
        Ok(())
    })?;
    let rates: Vec<&[f64]> = measured.iter().map(|(_, rates)| rates.as_slice()).collect();
    let lines = profiles.iter().zip(&rates).skip(1).map(|(profile, confined)| {
        let line = Line::new(format!("`true` × {tasks}, 2 slots, --sandbox {profile}"), Unit::TasksPerSecond, confined);
        // Walls have their price: three more folders to look at after each task.
        let reach = if *profile == "basic" { Reach::RatioAtLeast(0.95) } else { Reach::Nothing };
        line.beside("--sandbox none", rates[0]).reaches(reach)
    });
    Ok(lines.collect())
}

/// From before the submission until the client has heard of the end.
fn rate(cluster: &Cluster, tasks: u32) -> Result<f64> {
    let (seconds, job) = cluster.runs(array(tasks, &["true"]))?;
    cluster.delete(&job.id)?;
    Ok(f64::from(tasks) / seconds)
}

/// The main job in small: a file cut into chunks of ten lines, a program over each, one archive.
pub fn count_lines(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.size(TASKS, 60);
    let cluster = Cluster::with_worker(bench, 2)?;
    let file = cluster.path("lines.txt");
    let text: String = (0..u64::from(tasks) * 10).map(|number| format!("line {number}\n")).collect();
    std::fs::write(&file, text)?;
    let has_zip = yardsticks::is_installed("zip");
    let (mut millpond, mut shell) = (vec![], vec![]);
    bench.rounds(|| {
        if has_zip {
            let folder = bench.folder()?;
            shell.push(f64::from(tasks) / yardsticks::split_xargs_zip(&file, folder.path(), 2)?);
        }
        let began = std::time::Instant::now();
        let digest = cluster.upload(&file)?;
        let (_, job) = cluster.runs(over(&digest, "lines.txt", "lines:10", &["wc", "-l"]))?;
        cluster.millpond(&["results", &job.id, "-o", "counts.zip"])?;
        millpond.push(f64::from(tasks) / began.elapsed().as_secs_f64());
        cluster.delete(&job.id)?;
        cluster.millpond(&["data", "delete", &digest]).map(drop)
    })?;
    let line = Line::new(format!("`wc -l` on {tasks} chunks of 10 lines, upload to zip"), Unit::TasksPerSecond, &millpond);
    let line = line.reaches(Reach::RatioAtLeast(1.5));
    Ok(vec![if has_zip { line.beside("split, xargs -P2, zip", &shell) } else { line.beside_missing("zip") }])
}
