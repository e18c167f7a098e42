//! `run`: submit, show progress, fetch the bundle. Without a configured head it brings its own cluster.

use std::io::BufRead;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::controlled::{request_id, steer};
use super::document;
use super::embedded::{EmbeddedCluster, EmbeddedOptions};
use super::entry::World;
use super::exit::{Ending, Exit, Stop};
use super::follow::{Follow, News, PATIENCE};
use super::job_args::{self, JobArgs};
use super::job_options::{CheckedJob, submit};
use super::job_text::{ending, is_final, tasks};
use super::kill::{Running, kill};
use super::progress::Progress;
use super::results::{check_file, default_file, fetch};
use super::signals::Signals;
use super::ui::{Format, Ui, printable};
use super::units::parse_size;
use super::{show, wait};
use crate::domain::{Error, ErrorKind, JobId};
use crate::limits::{WORKER_CACHE_MAX_BYTES, WORKER_SLOTS_MAX};
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

/// Shown below the options.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond run big.txt -- wc -l                                     each task gets its chunk on standard input
  millpond run spectra.mgf --split mgf:500 -- search {input} --out-dir {output}
  millpond run --array 1-8 --slots 4 -o out.zip -- sh -c 'echo $MILLPOND_INDEX'
  millpond run --resume                                             go on with what was interrupted
Exit codes: 0 done, 10 some tasks failed, 11 killed. Ctrl-C asks; twice stops the running tasks too.";

#[derive(clap::Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Where to write the bundle; - for standard output [default: ./NAME-jN.zip]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Tasks at once in the embedded cluster [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(WORKER_SLOTS_MAX)))]
    slots: Option<u32>,
    /// Chunks and shared files that the embedded cluster keeps for the next tasks; a task that needs a larger one fails [default: 10G]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    cache: Option<u64>,
    /// Go on with an interrupted job of the embedded cluster: this one, or the newest
    #[arg(long, value_name = "JOB", num_args = 0..=1)]
    resume: Option<Option<JobId>>,
}

/// What is to be done.
enum Plan {
    New(Box<CheckedJob>),
    Resume(Option<JobId>),
}

pub(crate) async fn run(args: RunArgs, world: &mut World<'_>, ui: &mut Ui) -> Ending {
    let RunArgs { job, output, slots, cache, resume } = args;
    let configured = world.settings.head.clone();
    let (plan, head) = match resume {
        Some(_) if !job.is_empty() => return Err(Error::invalid("--resume takes no input and no command: the job has them").into()),
        Some(_) if world.head_flag.is_some() => {
            return Err(Error::invalid("--resume is for the embedded cluster; with --head use `millpond resume`").into());
        }
        Some(id) => (Plan::Resume(id), None),
        None => {
            let mut jobs = job_args::check(&job.layers(&world.settings.job)?, &world.around)?;
            let job = jobs.pop().filter(|_| jobs.is_empty());
            let several = || Error::invalid("the file has several jobs, and `run` stays with one: use `millpond submit`");
            (Plan::New(Box::new(job.ok_or_else(several)?)), configured)
        }
    };
    let embedded = slots.map(|_| "--slots").or(cache.map(|_| "--cache"));
    if let (Some(head), Some(option)) = (&head, embedded) {
        return Err(Error::invalid(format!("{option} is for the embedded cluster, but the head at {head} is configured")).into());
    }
    output.as_deref().map_or(Ok(()), check_file)?;
    world.signals.catch()?;
    let Some(head) = head else {
        let slots = slots.unwrap_or(world.around.cores);
        let dir = world.around.state_dir()?;
        let cache_bytes = cache.unwrap_or(WORKER_CACHE_MAX_BYTES);
        let containers = match &plan {
            Plan::New(job) => job.has_image(),
            Plan::Resume(_) => true,
        };
        let options = EmbeddedOptions { dir: dir.clone(), slots, workers: 1, cache_bytes, listen: None, containers };
        let cluster = world.starter.start(options).await.map_err(|error| busy(error, &dir))?;
        return with_cluster(cluster, plan, output, &mut world.signals, ui).await;
    };
    Run::new(world.connect_to(&head).await?, true).perform(plan, output, &mut world.signals, ui).await
}

/// One folder, one cluster.
fn busy(error: Error, dir: &Path) -> Error {
    match error.kind {
        ErrorKind::Conflict => Error::conflict(format!(
            "another `millpond run` or `millpond up` works in {}: wait for its end, give this one a folder of its own \
             (XDG_STATE_HOME=DIR millpond run …), or, if it is an `up`, set MILLPOND_HEAD to the address that it printed",
            dir.display()
        )),
        _ => error,
    }
}

async fn with_cluster(
    cluster: Box<dyn EmbeddedCluster>,
    plan: Plan,
    output: Option<PathBuf>,
    signals: &mut Signals,
    ui: &mut Ui,
) -> Ending {
    let connected = async { Client::connect(&cluster.url().parse()?).await };
    let ended = match connected.await {
        Ok(client) => Run::new(client, false).perform(plan, output, signals, ui).await,
        Err(error) => Err(error.into()),
    };
    cluster.stop().await;
    ended
}

struct Run {
    client: Client,
    /// Whether the head outlives this process.
    is_remote: bool,
    /// How often a person has asked to stop.
    asked: u32,
}

/// What an interrupt leads to.
enum Next {
    GoOn,
    Leave,
}

impl Run {
    fn new(client: Client, is_remote: bool) -> Self {
        Self { client, is_remote, asked: 0 }
    }

    async fn perform(&mut self, plan: Plan, output: Option<PathBuf>, signals: &mut Signals, ui: &mut Ui) -> Ending {
        let mut progress = Progress::new(ui);
        let job = match plan {
            Plan::Resume(id) => self.pick_up(id).await?,
            Plan::New(job) => {
                let request = tokio::select! {
                    biased;
                    request = job.upload(&self.client, &mut progress) => Some(request),
                    () = signals.next() => None,
                };
                progress.clear();
                let Some(request) = request else {
                    ui.note("interrupted before the job was submitted");
                    return Ok(Exit::Killed);
                };
                submit(&request?, &self.client).await?
            }
        };
        let followed = self.follow(&job, &mut progress, signals, ui).await;
        progress.clear();
        match followed? {
            Some(job) => self.hand_over(&job, output, ui).await,
            None => Ok(if self.asked > 2 { Exit::Killed } else { Exit::Other }),
        }
    }

    /// An interrupted job, going on again.
    async fn pick_up(&self, id: Option<JobId>) -> Result<pb::Job, Error> {
        let job = match id {
            Some(id) => show::get(&self.client, id).await?,
            None => {
                let request = pb::ListJobsRequest { page_size: 1, live: true, ..Default::default() };
                let page = self.client.repeat(async || self.client.jobs().list_jobs(request.clone()).await).await?;
                page.jobs.into_iter().next().ok_or_else(|| Error::not_found("no interrupted job is left in the embedded cluster"))?
            }
        };
        if job.held && !is_final(&job) {
            let resume =
                pb::ResumeJobRequest { id: job.id.clone(), request_id: request_id(), reason: "run --resume".into(), ..Default::default() };
            steer(&self.client, Verb::Resume(resume)).await?;
        }
        Ok(job)
    }

    /// To the job's end; none when it is left to itself.
    async fn follow(
        &mut self,
        job: &pb::Job,
        progress: &mut Progress,
        signals: &mut Signals,
        ui: &mut Ui,
    ) -> Result<Option<pb::Job>, Stop> {
        let id: JobId = job.id.parse()?;
        let client = self.client.clone();
        let mut follow = Follow::new(&client, id, PATIENCE);
        let mut last = job.clone();
        progress.job(ui, &last);
        loop {
            let event = tokio::select! {
                event = follow.next() => event?,
                () = signals.next() => {
                    progress.clear();
                    match self.interrupted(id, signals, ui).await? {
                        Next::GoOn => continue,
                        Next::Leave => return Ok(None),
                    }
                }
            };
            let event = match event {
                Some(News::Event(event)) => *event,
                Some(News::Lost) => {
                    progress.clear();
                    ui.note(follow.lost_text());
                    continue;
                }
                None => return Ok(Some(last)),
            };
            if event.kind == "task_failed" && !event.text.is_empty() {
                progress.clear();
                ui.note(printable(&event.text));
            }
            last = event.job.unwrap_or(last);
            progress.job(ui, &last);
        }
    }

    async fn interrupted(&mut self, id: JobId, signals: &mut Signals, ui: &mut Ui) -> Result<Next, Stop> {
        self.asked += 1;
        if self.asked == 1 && ui.can_ask {
            ui.note(format_args!("interrupted: [g]o on, [p]ause {id} and leave, or [k]ill it? (Ctrl-C kills at once)"));
            let answer = tokio::select! {
                answer = tokio::task::spawn_blocking(answer) => answer.unwrap_or('g'),
                () = signals.next() => '!',
            };
            match answer {
                'p' => return self.pause(id, ui).await,
                'k' => {}
                '!' => {
                    // Behind the terminal's `^C`.
                    ui.note("");
                    self.asked = 2;
                }
                _ => {
                    self.asked = 0;
                    return Ok(Next::GoOn);
                }
            }
        }
        let (running, text) = match self.asked {
            1 => (Running::Finish, "its running tasks finish; Ctrl-C once more stops them"),
            2 => (Running::Stop, "its running tasks are being stopped; Ctrl-C once more does not wait"),
            _ => return Ok(Next::Leave),
        };
        match steer(&self.client, Verb::Kill(kill(id.to_string(), request_id(), running, "interrupted".into()))).await {
            Ok(reply) => ui.note(format_args!("killing {id}: dropped {}, still running {}; {text}", reply.dropped, reply.running)),
            // It ended meanwhile: its last event is on the way.
            Err(error) if error.kind == ErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Next::GoOn)
    }

    async fn pause(&self, id: JobId, ui: &mut Ui) -> Result<Next, Stop> {
        let pause =
            pb::PauseJobRequest { id: id.to_string(), request_id: request_id(), reason: "interrupted".into(), ..Default::default() };
        let reply = steer(&self.client, Verb::Pause(pause)).await?;
        let (running, how) = match (reply.running, self.is_remote) {
            (0, true) => (String::new(), format!("millpond resume {id}")),
            (0, false) => (String::new(), format!("millpond run --resume {id}")),
            (n, true) => (format!(", {n} running ones go on"), format!("millpond resume {id}")),
            (n, false) => (format!(", {n} running ones are stopped and will run again"), format!("millpond run --resume {id}")),
        };
        ui.note(format_args!("{id} is paused: {} not started{running}; go on with `{how}`", tasks(reply.undispatched)));
        Ok(Next::Leave)
    }

    async fn hand_over(&self, job: &pb::Job, output: Option<PathBuf>, ui: &mut Ui) -> Ending {
        let file = output.map_or_else(|| default_file(job), Ok)?;
        let mut text = ending(job);
        // A job that could not be split has no bundle.
        if job.tasks.is_some_and(|tasks| tasks.total > 0) {
            if let Err(stop) = fetch(job.id.parse()?, &file, &self.client, ui).await {
                if matches!(stop, Stop::Error(_)) {
                    let how = if self.is_remote { "results" } else { "run --resume" };
                    ui.note(printable(&format!("{text}; its results are kept: fetch them with `millpond {how} {} -o FILE`", job.id)));
                }
                return Err(stop);
            }
            text.push_str(&format!("; the bundle is {}", file.display()));
        }
        let text = printable(&text);
        match ui.format {
            _ if file == Path::new("-") => ui.note(printable(&ending(job))),
            Format::Json | Format::Jsonl => ui.json(&document::Job::of(job))?,
            Format::Id => ui.line(&job.id)?,
            Format::Table => ui.line(text)?,
        }
        if ui.format == Format::Table && job.tasks.is_some_and(|tasks| tasks.failed > 0) {
            ui.flush()?;
            ui.note("what the failed tasks said last is in the bundle, under failed/");
        }
        Ok(wait::exit_of(job))
    }
}

/// The first letter of the answer; `g` when there is none.
fn answer() -> char {
    let mut line = String::new();
    std::io::stdin().lock().take(1024).read_line(&mut line).ok();
    line.trim().chars().next().map_or('g', |c| c.to_ascii_lowercase())
}
