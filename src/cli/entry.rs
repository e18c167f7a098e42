//! From arguments to an exit code.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind as ClapErrorKind;

use super::args::{Cli, Verb};
use super::config::Surroundings;
use super::embedded::ClusterStarter;
use super::exit::{Ending, Exit, Stop};
use super::signals::Signals;
use super::ui::{Format, Ui};
use super::{
    data, explain, kill, limit, list, logs, pause, priority, results, resume, retry, run, show, submit, tasks, up, wait, watch, worker,
};
use crate::domain::Error;
use crate::rpc::client::Client;

/// What a verb finds around it.
pub(crate) struct World<'a> {
    pub(crate) starter: &'a dyn ClusterStarter,
    pub(crate) around: Surroundings,
    /// `--head`.
    pub(crate) head_flag: Option<String>,
    pub(crate) signals: Signals,
}

impl World<'_> {
    /// The configured head, or how to name one.
    pub(crate) fn head(&self) -> Result<String, Error> {
        self.around.head(self.head_flag.as_deref())
    }
}

/// Runs the command line of this process. Starts a runtime of its own: call it outside of any.
pub fn main(start_cluster: impl ClusterStarter) -> ExitCode {
    let mut ui = Ui::of_process(Format::Table);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(&Error::internal(format!("can't start the threads: {error}")));
            return ExitCode::from(Exit::Other as u8);
        }
    };
    let mut world = World { starter: &start_cluster, around: Surroundings::of_process(), head_flag: None, signals: Signals::of_process() };
    let exit = runtime.block_on(run_line(std::env::args_os(), &mut world, &mut ui));
    // Without waiting: a thread may sit in a read of standard input that never comes back.
    runtime.shutdown_background();
    ExitCode::from(exit as u8)
}

/// Whether a command line is in order, the program's name first; nothing is done. The error is as it would be shown.
pub fn check_line(args: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    Cli::try_parse_from(args).map(drop).map_err(|error| error.render().to_string())
}

/// One command line, from its arguments (the program's name first) to its exit code.
pub(crate) async fn run_line(args: impl IntoIterator<Item = OsString>, world: &mut World<'_>, ui: &mut Ui) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, ui),
    };
    ui.format = cli.global.format();
    world.head_flag = cli.global.head;
    let ended = perform(cli.verb, world, ui).await.and_then(|exit| ui.flush().map(|()| exit));
    match ended {
        Ok(exit) => exit,
        Err(Stop::OutputClosed) => Exit::Done,
        Err(Stop::Error(error)) => {
            ui.flush().ok();
            ui.error(&error);
            Exit::of(error.kind)
        }
    }
}

/// `--help` and `--version` are no errors, but come the same way.
fn usage(error: &clap::Error, ui: &mut Ui) -> Exit {
    let text = error.render();
    match error.kind() {
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion => {
            write!(ui.out, "{text}").and_then(|()| ui.out.flush()).ok();
            Exit::Done
        }
        // A bare `millpond` or `millpond data`: the help, as a refusal.
        ClapErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ui.note(text);
            Exit::Usage
        }
        _ => {
            let text = text.to_string();
            ui.note(format_args!("millpond: {}", text.trim_start_matches("error: ").trim_end()));
            Exit::Usage
        }
    }
}

async fn perform(verb: Verb, world: &mut World<'_>, ui: &mut Ui) -> Ending {
    let verb = match verb {
        Verb::Run(args) => return run::run(*args, world, ui).await,
        Verb::Submit(args) => return submit::run(*args, world, ui).await,
        Verb::Up(args) => return up::run(args, world, ui).await,
        verb => verb,
    };
    let client = Client::connect(&world.head()?).await?;
    match verb {
        Verb::Run(_) | Verb::Submit(_) | Verb::Up(_) => Err(Error::internal("this verb makes its own connection").into()),
        Verb::List(args) => list::run(args, &client, ui).await,
        Verb::Show(args) => show::run(args, &client, ui).await,
        Verb::Tasks(args) => tasks::run(args, &client, ui).await,
        Verb::Watch(args) => watch::run(args, &client, ui).await,
        Verb::Wait(args) => wait::run(args, &client, ui).await,
        Verb::Explain(args) => explain::run(args, &client, ui).await,
        Verb::Logs(args) => logs::run(args, &client, ui).await,
        Verb::Pause(args) => pause::run(args, &client, ui).await,
        Verb::Resume(args) => resume::run(args, &client, ui).await,
        Verb::Retry(args) => retry::run(args, &client, ui).await,
        Verb::Kill(args) => kill::run(args, &client, ui).await,
        Verb::Priority(args) => priority::run(args, &client, ui).await,
        Verb::Limit(args) => limit::run(args, &client, ui).await,
        Verb::Results(args) => results::run(args, &client, ui).await,
        Verb::Data(args) => data::run(args, &client, ui).await,
        Verb::Worker(args) => worker::run(args, &client, ui).await,
    }
}
