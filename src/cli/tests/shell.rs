//! A place to run command lines in, against a scripted head.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::cli::config::{Settings, Surroundings};
use crate::cli::embedded::{BoxFuture, ClusterStarter, EmbeddedCluster, EmbeddedOptions};
use crate::cli::entry::{World, run_line};
use crate::cli::exit::Exit;
use crate::cli::fake_head::{FakeHead, Script};
use crate::cli::signals::Signals;
use crate::cli::ui::{Format, Ui};
use crate::domain::Error;

/// Output that a test can read.
#[derive(Clone, Default)]
pub struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that has gone away.
pub struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An embedded cluster that is the fake head; notes what happens to it.
#[derive(Default)]
pub struct Embedded {
    pub url: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl ClusterStarter for Embedded {
    fn start(&self, options: EmbeddedOptions) -> BoxFuture<Result<Box<dyn EmbeddedCluster>, Error>> {
        let EmbeddedOptions { dir, slots, workers, cache_bytes: _, listen, containers: _ } = options;
        self.log.lock().unwrap().push(format!("start {} {slots} {workers} {listen:?}", dir.display()));
        let cluster = Self { url: self.url.clone(), log: self.log.clone() };
        Box::pin(async { Ok(Box::new(cluster) as Box<dyn EmbeddedCluster>) })
    }
}

impl EmbeddedCluster for Embedded {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn stop(self: Box<Self>) -> BoxFuture<()> {
        Box::pin(async move { self.log.lock().unwrap().push("stop".into()) })
    }
}

fn daemons() -> Vec<clap::Command> {
    vec![clap::Command::new("millpond-worker").about("a daemon")]
}

/// How a command line ended, and what it printed.
pub struct Ran {
    pub exit: Exit,
    pub out: String,
    pub err: String,
    pub embedded: Vec<String>,
}

/// Where command lines are run: a scripted head, and what is configured.
pub struct Shell {
    pub head: FakeHead,
    pub url: String,
    pub configured: bool,
    pub signals: (mpsc::Sender<()>, Option<mpsc::Receiver<()>>),
}

impl Shell {
    pub async fn with(script: Script) -> Self {
        let (head, url) = FakeHead::serve(script).await;
        let (sender, receiver) = mpsc::channel(4);
        Self { head, url, configured: true, signals: (sender, Some(receiver)) }
    }

    pub async fn run(&mut self, args: &[&str]) -> Ran {
        let (out, err) = (Page::default(), Page::default());
        let (exit, embedded) = self.run_with(args, Box::new(out.clone()), Box::new(err.clone())).await;
        Ran { exit, out: out.text(), err: err.text(), embedded }
    }

    pub async fn run_with(&mut self, args: &[&str], out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> (Exit, Vec<String>) {
        let starter = Embedded { url: self.url.clone(), ..Default::default() };
        let around = Surroundings {
            head: self.configured.then(|| self.url.clone()),
            folder: "/nonexistent".into(),
            state_dir: Some("/state/millpond".into()),
            user: "ana".into(),
            cores: 2,
            ..Default::default()
        };
        let signals = Signals::scripted(self.signals.1.take().unwrap_or_else(|| mpsc::channel(1).1));
        let mut world = World { starter: &starter, daemons, around, head_flag: None, settings: Settings::default(), signals };
        let mut ui = Ui { out, err, format: Format::Table, out_columns: None, err_is_terminal: false, can_ask: false };
        let args = std::iter::once("millpond").chain(args.iter().copied()).map(Into::into);
        let exit = run_line(args, &mut world, &mut ui).await;
        let log = starter.log.lock().unwrap().clone();
        (exit, log)
    }

    pub fn asked(&self) -> Vec<String> {
        self.head.script().asked.clone()
    }
}
