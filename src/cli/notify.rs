//! `notify`: calls commands and webhooks when jobs end, fail, stall or wait. It asks the head like everybody else, with the rights of whoever has
//! started it: so a head calls nobody, and nobody needs an admin to be told of his own jobs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::document;
use super::entry::World;
use super::exit::{Ending, Exit, Stop};
use super::hook::Hook;
use super::job_text;
use super::lasting::Lasting;
use super::looker::{Looker, Seen};
use super::notified::Notified;
use super::selector::{Filters, Selector, Traits};
use super::ui::{Format, Ui, printable};
use super::units::{parse_duration, short_span, short_time};
use crate::actors::clock::wall_now;
use crate::domain::{Digest, Error, ErrorKind, Instant};
use crate::engine::notices::{Letter, Lookout, Notice, NoticeKind, NoticeRules, Post, Retry};
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::webhook::Webhook;

/// Shown below the options.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond notify j7 --on ended --hook 'mail -s \"$MILLPOND_TEXT\" ana@lab.example'
  millpond notify --owner ana --state ~/.local/state/millpond-notify --webhook https://chat.lab.example/hooks/T0
Hooks are shell lines. They find the notice on standard input, as JSON, and MILLPOND_EVENT, MILLPOND_JOB (as j7) and MILLPOND_TEXT (a sentence)
in their environment; they run with your rights, on this machine. A webhook gets the same JSON by POST, and answers with a status of 200 to 299.
Each gets the notices in order; what fails is repeated, after pauses of a second to five minutes, for a day. One may come twice: by its id,
which stays the same, a receiver knows.";

/// After so many looks it is looked whether a job that has ended was retried.
const LOOKS_TO_ENDS: u64 = 12;

#[derive(clap::Args, Debug)]
pub(crate) struct NotifyArgs {
    /// 7, j7, 3-9: it ends when these have ended. Without one, or with all, it is for all jobs that are to come, or have not ended
    #[arg(value_name = "JOB")]
    jobs: Vec<Selector>,
    #[command(flatten)]
    traits: Traits,
    /// What to tell: ended (which is succeeded, failed, killed and deleted), task-failed (the first of a job), stalled, waiting, resumed
    #[arg(long, value_enum, value_name = "EVENT", value_delimiter = ',', hide_possible_values = true)]
    on: Vec<On>,
    /// What is called; a shell line. May be repeated
    #[arg(long = "hook", value_name = "CMD")]
    hooks: Vec<String>,
    /// Where it is posted to, as http://… or https://… (TLS 1.3); may be repeated
    #[arg(long = "webhook", value_name = "URL")]
    webhooks: Vec<String>,
    /// A file with a secret that posts are signed with: X-Millpond-Signature has the HMAC-SHA256 of the body
    #[arg(long, value_name = "FILE", requires = "webhooks")]
    webhook_secret_file: Option<PathBuf>,
    /// A file of authorities that https webhooks are believed by [default: the machine's]
    #[arg(long, value_name = "FILE", requires = "webhooks")]
    webhook_ca: Option<PathBuf>,
    /// A folder for what is told and what is not: one that is started again misses nothing. Without it, it begins with what is to come
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// A job has stalled when tasks run, and for so long none has started or ended
    #[arg(long, value_name = "DUR", default_value = "1h", value_parser = parse_duration)]
    stalled_after: Duration,
    /// It waits when for so long none runs
    #[arg(long, value_name = "DUR", default_value = "10m", value_parser = parse_duration)]
    waiting_after: Duration,
    /// How often it looks
    #[arg(long, value_name = "DUR", default_value = "5s", value_parser = parse_duration)]
    every: Duration,
    /// What takes longer, a command or a webhook, has failed
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = parse_duration)]
    hook_timeout: Duration,
}

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum On {
    All,
    Ended,
    Succeeded,
    Failed,
    Killed,
    Deleted,
    TaskFailed,
    Stalled,
    Waiting,
    Resumed,
}

impl On {
    fn means(self, kind: NoticeKind) -> bool {
        match self {
            Self::All => true,
            Self::Ended => kind.is_end(),
            Self::Succeeded => kind == NoticeKind::Succeeded,
            Self::Failed => kind == NoticeKind::Failed,
            Self::Killed => kind == NoticeKind::Killed,
            Self::Deleted => kind == NoticeKind::Deleted,
            Self::TaskFailed => kind == NoticeKind::TaskFailed,
            Self::Stalled => kind == NoticeKind::Stalled,
            Self::Waiting => kind == NoticeKind::Waiting,
            Self::Resumed => kind == NoticeKind::Resumed,
        }
    }
}

/// How one is told.
#[derive(Clone)]
enum Way {
    Hook(String),
    Webhook(Box<Webhook>),
}

impl Way {
    /// For people, without secrets.
    fn name(&self) -> String {
        match self {
            Self::Hook(_) => "--hook".into(),
            Self::Webhook(webhook) => webhook.to_string(),
        }
    }

    async fn deliver(self, letter: Letter, timeout: Duration) -> Result<(), String> {
        match self {
            Self::Hook(line) => {
                let env = vec![("MILLPOND_EVENT", letter.event), ("MILLPOND_JOB", letter.job), ("MILLPOND_TEXT", letter.text)];
                Hook { line, env, input: letter.body + "\n", timeout }.run().await
            }
            Self::Webhook(webhook) => webhook.post(letter.body, timeout).await,
        }
    }
}

pub(crate) async fn run(args: NotifyArgs, client: Client, world: &mut World<'_>, ui: &mut Ui) -> Ending {
    world.signals.catch()?;
    Notifier::new(args, client)?.run(world, ui).await
}

/// The name that it has in the state, which holds no addresses, and the way.
fn ways(args: &NotifyArgs) -> Result<BTreeMap<String, Way>, Error> {
    let secret = args.webhook_secret_file.as_ref().map(|file| {
        let text = std::fs::read_to_string(file).map_err(|error| Error::io(file, &error))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(Error::invalid(format!("{} holds no secret", file.display()))),
            secret => Ok(secret.to_owned()),
        }
    });
    let secret = secret.transpose()?;
    let name = |kind: &str, what: &str| Digest(Sha256::digest(format!("{kind} {what}")).into()).to_string();
    let hooks = args.hooks.iter().map(|line| Ok((name("hook", line), Way::Hook(line.clone()))));
    let webhooks = args.webhooks.iter().map(|url| {
        let webhook = Webhook::new(url, args.webhook_ca.as_deref(), secret.as_deref().map(str::as_bytes))?;
        Ok((name("webhook", url), Way::Webhook(Box::new(webhook))))
    });
    hooks.chain(webhooks).collect()
}

/// The jobs that it looks at, and those it tells.
struct Notifier {
    args: NotifyArgs,
    head: Lasting,
    looker: Looker,
    rules: NoticeRules,
    ways: BTreeMap<String, Way>,
    lookout: Lookout,
    post: Post,
    state: Option<Notified>,
    began: std::time::Instant,
    looks: u64,
    /// What was last said of each that fails: not with every try.
    complaints: BTreeMap<String, String>,
    /// Of each what was said to be lost.
    losses: BTreeMap<String, u64>,
}

/// A delivery that has come to its end: to whom, and how.
type Tried = (String, Result<(), String>);

impl Notifier {
    fn new(args: NotifyArgs, client: Client) -> Result<Self, Error> {
        let looker = Looker::new(args.jobs.clone(), Filters::from(args.traits.clone()));
        let rules = NoticeRules { stalled_after: args.stalled_after, waiting_after: args.waiting_after, named: looker.names_jobs() };
        let ways = ways(&args)?;
        let names: Vec<String> = ways.keys().cloned().collect();
        let (state, lookout, post) = match &args.state {
            Some(folder) => {
                let (state, lookout, post) = Notified::open(folder, client.url(), &names)?;
                (Some(state), lookout, post)
            }
            None => {
                let mut post = Post::default();
                post.serves(names);
                (None, Lookout::default(), post)
            }
        };
        let (began, complaints) = (std::time::Instant::now(), BTreeMap::new());
        let losses = post.places().map(|(name, _, lost)| (name.to_owned(), lost)).collect();
        let head = Lasting::new(client);
        Ok(Self { args, head, looker, rules, ways, lookout, post, state, began, looks: 0, complaints, losses })
    }

    async fn run(mut self, world: &mut World<'_>, ui: &mut Ui) -> Ending {
        let mut out: JoinSet<Tried> = JoinSet::new();
        let mut look_at = tokio::time::Instant::now();
        let mut told = None;
        let is_done =
            |this: &Self, out: &JoinSet<Tried>| this.rules.named && this.lookout.is_done() && this.post.is_empty() && out.is_empty();
        while !is_done(&self, &out) {
            self.send(&mut out);
            let retry = self.post.next_due().map(|at| at.since(self.now()));
            tokio::select! {
                () = tokio::time::sleep_until(look_at) => {
                    match self.look(world, ui).await {
                        Ok(()) => told = None,
                        Err(Stop::Error(error)) if [ErrorKind::Unavailable, ErrorKind::TimedOut].contains(&error.kind) => {
                            if told.as_ref() != Some(&error.message) {
                                ui.error(&error);
                                told = Some(error.message);
                            }
                        }
                        Err(stop) => return Err(stop),
                    }
                    look_at = tokio::time::Instant::now() + self.args.every.max(Duration::from_millis(100));
                }
                () = tokio::time::sleep(retry.unwrap_or_default()), if retry.is_some() => {}
                Some(tried) = out.join_next(), if !out.is_empty() => self.was_tried(tried, ui)?,
                () = world.signals.next() => break,
            }
        }
        // What is on its way gets there, and is noted; unless somebody asks twice.
        while !out.is_empty() {
            tokio::select! {
                Some(tried) = out.join_next() => self.was_tried(tried, ui)?,
                () = world.signals.next() => break,
            }
        }
        Ok(Exit::Done)
    }

    fn now(&self) -> Instant {
        Instant(self.began.elapsed().as_millis() as u64)
    }

    async fn look(&mut self, world: &World<'_>, ui: &mut Ui) -> Result<(), Stop> {
        self.head.refresh(world).await?;
        let is_first = self.lookout.newest().is_none();
        let seen = self.looker.look(&self.lookout, self.looks.is_multiple_of(LOOKS_TO_ENDS), self.head.client()).await?;
        self.looks += 1;
        let notices = self.lookout.on_look(&seen.sights()?, &seen.gone, &self.rules, wall_now());
        let letters: Vec<Letter> = notices
            .iter()
            .filter(|notice| self.is_wanted(notice.kind))
            .map(|notice| self.letter(notice, &seen))
            .collect::<Result<_, _>>()?;
        for letter in letters {
            match ui.format {
                Format::Table => ui.line(format_args!("{}  {}", short_time(Some(&std::time::SystemTime::now().into())), letter.text))?,
                Format::Json | Format::Jsonl => ui.line(&letter.body)?,
                Format::Id => ui.line(&letter.job)?,
            }
            self.post.add(letter);
        }
        self.say_losses(ui);
        if let Some(state) = self.state.as_ref().filter(|_| is_first || !notices.is_empty()) {
            state.keep(&self.lookout, &self.post)?;
        }
        ui.flush()
    }

    fn is_wanted(&self, kind: NoticeKind) -> bool {
        self.args.on.is_empty() || self.args.on.iter().any(|on| on.means(kind))
    }

    fn letter(&self, notice: &Notice, seen: &Seen) -> Result<Letter, Error> {
        let job = seen.jobs.get(&notice.job);
        let text = printable(&text(notice, job, &self.rules));
        let document = document::Notice::of(notice.kind.name(), notice.to_string(), job, &text);
        let body = serde_json::to_string(&document).map_err(|error| Error::internal(format!("can't write JSON: {error}")))?;
        Ok(Letter { event: notice.kind.name().into(), job: notice.job.to_string(), text, body })
    }

    /// Sends out what is due.
    fn send(&mut self, out: &mut JoinSet<Tried>) {
        for (name, _, letter) in self.post.due(self.now()) {
            let way = self.ways.get(&name).cloned();
            let timeout = self.args.hook_timeout;
            out.spawn(async move {
                let tried = match way {
                    Some(way) => way.deliver(letter, timeout).await,
                    None => Err("nobody knows the way".into()),
                };
                (name, tried)
            });
        }
    }

    fn was_tried(&mut self, tried: Result<Tried, tokio::task::JoinError>, ui: &mut Ui) -> Result<(), Stop> {
        let (name, tried) = tried.map_err(|error| Error::internal(format!("a delivery has not come to its end: {error}")))?;
        match tried {
            Ok(()) => {
                self.post.delivered(&name);
                self.complaints.remove(&name);
            }
            Err(why) => {
                let retry = self.post.failed(&name, self.now());
                let is_news = self.complaints.get(&name) != Some(&why);
                let whom = self.ways.get(&name).map(Way::name).unwrap_or_default();
                if retry != Retry::GivenUp && is_news {
                    ui.note(format_args!("millpond: {}: {}; it is tried again", printable(&whom), printable(&why)));
                }
                self.complaints.insert(name.clone(), why);
            }
        }
        self.say_losses(ui);
        match &self.state {
            Some(state) => Ok(state.keep_places(&self.post)?),
            None => Ok(()),
        }
    }

    fn say_losses(&mut self, ui: &mut Ui) {
        for (name, _, lost) in self.post.places() {
            let said = self.losses.insert(name.to_owned(), lost).unwrap_or_default();
            if lost > said {
                let whom = self.ways.get(name).map(Way::name).unwrap_or_default();
                ui.note(format_args!("millpond: {}: {} could not be delivered, and are lost", printable(&whom), lost - said));
            }
        }
    }
}

/// For people.
fn text(notice: &Notice, job: Option<&pb::Job>, rules: &NoticeRules) -> String {
    let id = notice.job;
    let Some(job) = job else { return format!("{id} was deleted before anybody had seen its end") };
    let counts = job.tasks.unwrap_or_default();
    match notice.kind {
        NoticeKind::Succeeded | NoticeKind::Failed | NoticeKind::Killed => job_text::ending(job),
        NoticeKind::Deleted => format!("{id} was deleted"),
        NoticeKind::TaskFailed => {
            format!(
                "{id}: {} of {} failed so far; `millpond tasks {id} --state failed` says which",
                counts.failed,
                job_text::tasks(counts.total)
            )
        }
        NoticeKind::Stalled => {
            let span = short_span(rules.stalled_after.as_secs_f64());
            format!("{id} has stalled: for {span} no task has started or ended; {} running", counts.running)
        }
        NoticeKind::Waiting => format!("{id} {}; `millpond explain {id}` says what would change it", job.reason),
        NoticeKind::Resumed => format!("{id} goes on: {} of {} done, {} running", job_text::done(&counts), counts.total, counts.running),
    }
}
