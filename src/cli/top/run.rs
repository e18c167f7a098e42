//! The verb: takes the terminal, and passes between keys, model and head until somebody quits.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::deed::{Deed, foretell, perform};
use super::draw::draw;
use super::filter::Filter;
use super::looking::keep_looking;
use super::model::{Ask, Event, Model};
use super::screen::{self, Screen};
use super::sight::{Wanted, look};
use crate::cli::entry::World;
use crate::cli::exit::{Ending, Exit, Stop};
use crate::cli::ui::Ui;
use crate::domain::Error;
use crate::rpc::client::Client;
use crate::rpc::pb;

/// Shown below the options.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond top                      all jobs and workers; ? lists the keys, q quits
  millpond top @ana running         ana's running jobs
  millpond top 'run-*'              jobs of such names";

/// Ages grow.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// Answers on their way to the model.
const EVENTS_MAX: usize = 64;
/// Verbs that the head has not answered yet.
const DEEDS_MAX: usize = 64;

#[derive(clap::Args, Debug)]
pub(crate) struct TopArgs {
    /// Which jobs: part of a name or a pattern as run-*, @OWNER, j7, a state as running or paused
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
}

/// Ends with 0 when somebody quits, or the terminal goes. `Invalid` without a terminal.
pub(crate) async fn run(args: TopArgs, world: &mut World<'_>, ui: &Ui) -> Ending {
    if ui.out_columns.is_none() || !screen::is_there() {
        let how = "`top` needs a terminal, and there is none: `millpond list --live` lists the jobs, `millpond watch JOB` follows one";
        return Err(Error::invalid(how).into());
    }
    let wanted = Wanted { filter: Filter::new(&args.filter.join(" "))?, page: String::new() };
    let client = world.connect().await?;
    // What the head refuses it refuses as any verb's, on the screen of the shell.
    let model = Model::new(look(&client, &wanted).await?);
    world.signals.catch()?;
    let failed = |error: std::io::Error| Error::internal(format!("can't hear what happens to the terminal: {error}"));
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    let mut gone = [signal(SignalKind::hangup()).map_err(failed)?, signal(SignalKind::quit()).map_err(failed)?];
    let mut screen = Screen::open()?;
    // All of it on this thread: there is nothing to compute.
    let local = LocalSet::new();
    tokio::select! {
        ended = local.run_until(show(model, &client, &mut screen, &mut resized)) => ended,
        () = world.signals.next() => Ok(Exit::Done),
        () = any(&mut gone) => Ok(Exit::Done),
    }
}

async fn any(signals: &mut [Signal; 2]) {
    let [one, other] = signals;
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

async fn show(mut model: Model, client: &Client, screen: &mut Screen, resized: &mut Signal) -> Ending {
    let (mut asker, mut events) = Asker::new(client, &model);
    let mut tick = interval_at(Instant::now() + DRAW_EVERY, DRAW_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = jiff::Timestamp::now().as_second();
        screen.draw(|canvas| draw(canvas, &model, client.url(), now)).map_err(Stop::from)?;
        let heard: Vec<Event> = tokio::select! {
            keys = screen.keys() => match keys {
                Some(keys) => keys.into_iter().map(Event::Pressed).collect(),
                None => return Ok(Exit::Done),
            },
            Some(event) = events.recv() => vec![event],
            _ = resized.recv() => Vec::new(),
            _ = tick.tick() => Vec::new(),
        };
        for event in heard {
            for ask in model.on(event) {
                if ask == Ask::Quit {
                    return Ok(Exit::Done);
                }
                if let Err(error) = asker.ask(ask) {
                    model.on(Event::Done(Err(error)));
                }
            }
        }
    }
}

/// Asks the head, and has the model told. All of it ends when this is dropped.
struct Asker {
    client: Client,
    wanted: watch::Sender<Wanted>,
    deeds: mpsc::Sender<Deed>,
    events: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
}

impl Asker {
    fn new(client: &Client, model: &Model) -> (Self, mpsc::Receiver<Event>) {
        let (events, heard) = mpsc::channel(EVENTS_MAX);
        let (wanted, to_look_for) = watch::channel(model.wanted.clone());
        let (deeds, mut to_do) = mpsc::channel(DEEDS_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn_local(keep_looking(client.clone(), to_look_for, events.clone()));
        // One after the other, as they were typed: a resume behind its pause.
        let (doer, told) = (client.clone(), events.clone());
        tasks.spawn_local(async move {
            while let Some(deed) = to_do.recv().await {
                if told.send(Event::Done(perform(deed, &doer).await)).await.is_err() {
                    return;
                }
            }
        });
        (Self { client: client.clone(), wanted, deeds, events, tasks }, heard)
    }

    /// Errors: `Exhausted` if the head answers more slowly than somebody types.
    fn ask(&mut self, ask: Ask) -> Result<(), Error> {
        let (client, events) = (self.client.clone(), self.events.clone());
        // Those that are over.
        while self.tasks.try_join_next().is_some() {}
        match ask {
            Ask::Look(wanted) => drop(self.wanted.send_replace(wanted)),
            Ask::Do(deed) => {
                self.deeds.try_send(deed).map_err(|_| Error::exhausted(format!("{DEEDS_MAX} verbs wait for the head: try again later")))?;
            }
            Ask::Foretell(deed) => drop(self.tasks.spawn_local(async move {
                let foretold = foretell(&deed, &client).await;
                events.send(Event::Foretold(deed, foretold)).await.ok();
            })),
            Ask::Explain(id) => drop(self.tasks.spawn_local(async move {
                let explained = explain(&id, &client).await;
                events.send(Event::Explained(id, explained)).await.ok();
            })),
            Ask::Quit => {}
        }
        Ok(())
    }
}

async fn explain(id: &str, client: &Client) -> Result<pb::Explanation, Error> {
    let id = id.to_owned();
    if id.starts_with('w') {
        let request = pb::ExplainWorkerRequest { id };
        client.repeat(async || client.cluster().explain_worker(request.clone()).await).await
    } else {
        let request = pb::ExplainJobRequest { id };
        client.repeat(async || client.jobs().explain_job(request.clone()).await).await
    }
}
