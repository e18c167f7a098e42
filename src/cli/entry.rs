//! From arguments to an exit code.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind as ClapErrorKind};

use super::args::{Cli, Global, Verb};
use super::config::{Settings, Surroundings};
use super::embedded::ClusterStarter;
use super::exit::{Ending, Exit, Stop};
use super::peers::instead_of;
use super::signals::Signals;
use super::ui::{Format, Ui};
use super::{
    audit, completions, context, data, delete, explain, kill, limit, list, login, logs, man, notify, order, pause, principal, priority,
    quota, results, resume, retry, run, scale, show, split, submit, tasks, template, token, top, up, wait, watch, worker,
};
use crate::domain::{Error, ErrorKind};
use crate::pki::Credentials;
use crate::rpc::address::HeadAddress;
use crate::rpc::client::Client;
use crate::rpc::renewal::Renewal;

/// What a verb finds around it.
pub(crate) struct World<'a> {
    pub(crate) starter: &'a dyn ClusterStarter,
    /// The command lines of the daemons, for their manual pages.
    pub(crate) daemons: fn() -> Vec<clap::Command>,
    pub(crate) around: Surroundings,
    /// `--head`.
    pub(crate) head_flag: Option<String>,
    /// What is configured, all told.
    pub(crate) settings: Settings,
    pub(crate) signals: Signals,
}

impl World<'_> {
    /// The configured head, or how to name one.
    fn head(&self) -> Result<String, Error> {
        self.settings.head.clone().or_else(|| self.head_of_credentials()).ok_or_else(|| {
            Error::invalid(
                "no head is named: use --head http://HOST:7663, set MILLPOND_HEAD, or note it with `millpond context add NAME --head URL` and \
                 `millpond context use NAME` (`millpond up` starts a cluster here)",
            )
        })
    }

    /// Where credentials are for one head, and nobody has named another, that is meant: so it is on the head's own machine after
    /// `millpond-head init`.
    fn head_of_credentials(&self) -> Option<String> {
        let file = self.settings.credentials.clone().or_else(|| login::only_credentials(&self.credentials_folder()?))?;
        Credentials::read(&file).ok().map(|credentials| credentials.head).filter(|head| !head.is_empty())
    }

    fn credentials_folder(&self) -> Option<PathBuf> {
        self.around.config_dir().ok().map(|folder| folder.join("credentials"))
    }

    /// A connection to the configured head, with the credentials for it.
    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        self.connect_to(&self.head()?).await
    }

    /// The same, to a head at an address. Credentials of which half the life is over are renewed on the way.
    pub(crate) async fn connect_to(&self, url: &str) -> Result<Client, Error> {
        if !url.starts_with("https://") {
            return Client::connect(&HeadAddress::new(url, None)?).await;
        }
        let noted = || login::credentials_for(url.trim_end_matches('/'), &self.credentials_folder()?);
        let Some(file) = self.settings.credentials.clone().or_else(noted) else {
            return Client::connect(&HeadAddress::new(url, None)?).await;
        };
        let mut renewal = Renewal::of(file)?;
        let address = renewal.address(url)?;
        let client = Client::connect(&address).await?;
        if renewal.is_due()
            && let Err(error) = renewal.renew(&address).await
        {
            tracing::warn!(%error, "the credentials can't be renewed");
        }
        Ok(client)
    }
}

/// Runs the command line of this process; `daemons` gives the command lines of the others, for their manual pages. Starts a runtime of its
/// own: call it outside of any.
pub fn main(start_cluster: impl ClusterStarter, daemons: fn() -> Vec<clap::Command>) -> ExitCode {
    let mut ui = Ui::of_process(Format::Table);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(&Error::internal(format!("can't start the threads: {error}")));
            return ExitCode::from(Exit::Other as u8);
        }
    };
    let around = Surroundings::of_process();
    let mut world =
        World { starter: &start_cluster, daemons, around, head_flag: None, settings: Settings::default(), signals: Signals::of_process() };
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
    let Cli { global, verb } = cli;
    ui.format = global.format().unwrap_or(Format::Table);
    let ended = configure(&global, &verb, world, ui);
    let ended = match ended {
        Ok(()) => perform(verb, world, ui).await.and_then(|exit| ui.flush().map(|()| exit)),
        Err(error) => Err(error.into()),
    };
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

/// Reads the configuration, unless the verb needs none of it.
fn configure(global: &Global, verb: &Verb, world: &mut World<'_>, ui: &mut Ui) -> Result<(), Error> {
    if matches!(verb, Verb::Completions(_) | Verb::Man(_)) {
        return Ok(());
    }
    world.head_flag.clone_from(&global.head);
    world.settings = match Settings::resolve(&world.around, global.head.as_deref(), global.context.as_deref()) {
        // What is current may be gone: this verb mends it.
        Err(error) if error.kind == ErrorKind::NotFound && matches!(verb, Verb::Context(_)) => {
            ui.error(&error);
            Settings::default()
        }
        settings => settings?,
    };
    if global.credentials.is_some() {
        world.settings.credentials.clone_from(&global.credentials);
    }
    ui.format = global.format().or(world.settings.format).unwrap_or(Format::Table);
    Ok(())
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
            let instead = foreign_word(error).map(|ours| format!("; you may mean `millpond {ours}`")).unwrap_or_default();
            ui.note(format_args!("millpond: {}{instead}", in_one_line(error)));
            Exit::Usage
        }
    }
}

/// What to say instead, if a verb was taken from another program.
fn foreign_word(error: &clap::Error) -> Option<&'static str> {
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(word) => instead_of(word),
        _ => None,
    }
}

/// What is wrong with a command line, in one line that says all: with what, a tip where there is one, and the usage.
pub fn in_one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let (mut said, mut usage) = (Vec::new(), None);
    for paragraph in text.trim_start_matches("error: ").split("\n\n") {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        match lines.first() {
            None => {}
            Some(line) if line.starts_with("For more information") => {}
            Some(line) if line.starts_with("Usage:") => usage = Some(lines.join(" or ").replacen("Usage:", "usage:", 1)),
            Some(_) => said.push(lines.join(" ").replace("invalid digit found in string", "not a whole number")),
        }
    }
    said.push(usage.unwrap_or_else(|| "`--help` says more".into()));
    said.join("; ")
}

async fn perform(verb: Verb, world: &mut World<'_>, ui: &mut Ui) -> Ending {
    let verb = match verb {
        Verb::Run(args) => return run::run(*args, world, ui).await,
        Verb::Submit(args) => return submit::run(*args, world, ui).await,
        Verb::Up(args) => return up::run(args, world, ui).await,
        Verb::Split(args) => return split::run(args, &world.around, ui).await,
        Verb::Completions(args) => return completions::run(&args, ui),
        Verb::Context(command) => return context::run(&command, world, ui),
        Verb::Login(args) => return login::run(args, world, ui).await,
        Verb::Template(command) => return template::run(command, world, ui).await,
        Verb::Top(args) => return top::run(args, world, ui).await,
        Verb::Man(args) => return man::run(&args, &(world.daemons)(), ui),
        verb => verb,
    };
    let client = world.connect().await?;
    match verb {
        Verb::Run(_)
        | Verb::Submit(_)
        | Verb::Up(_)
        | Verb::Split(_)
        | Verb::Completions(_)
        | Verb::Man(_)
        | Verb::Context(_)
        | Verb::Login(_)
        | Verb::Template(_)
        | Verb::Top(_) => Err(Error::internal("this verb makes its own connection, or none").into()),
        Verb::List(args) => list::run(args, &client, ui).await,
        Verb::Show(args) => show::run(args, &client, ui).await,
        Verb::Tasks(args) => tasks::run(args, &client, ui).await,
        Verb::Watch(args) => watch::run(args, &client, ui).await,
        Verb::Wait(args) => wait::run(args, &client, ui).await,
        Verb::Explain(args) => explain::run(args, &client, ui).await,
        Verb::Order(args) => order::run(args, &client, ui).await,
        Verb::Logs(args) => logs::run(args, &client, ui).await,
        Verb::Pause(args) => pause::run(args, &client, ui).await,
        Verb::Resume(args) => resume::run(args, &client, ui).await,
        Verb::Retry(args) => retry::run(args, &client, ui).await,
        Verb::Kill(args) => kill::run(args, &client, ui).await,
        Verb::Delete(args) => delete::run(args, &client, ui).await,
        Verb::Priority(args) => priority::run(args, &client, ui).await,
        Verb::Limit(args) => limit::run(args, &client, ui).await,
        Verb::Results(args) => results::run(args, &client, ui).await,
        Verb::Data(args) => data::run(args, &client, ui).await,
        Verb::Worker(args) => worker::run(args, &client, ui).await,
        Verb::Token(command) => token::run(command, &client, ui).await,
        Verb::Principal(command) => principal::run(command, &client, ui).await,
        Verb::Quota(args) => quota::run(args, &client, ui).await,
        Verb::Audit(args) => audit::run(args, &client, ui).await,
        Verb::Notify(args) => notify::run(*args, client, world, ui).await,
        Verb::Scale(args) => scale::run(*args, client, world, ui).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        in_one_line(&Cli::try_parse_from(line.split(' ')).unwrap_err())
    }

    #[test]
    fn a_wrong_line_is_refused_in_one_line_that_says_with_what() {
        assert_eq!(refused("millpond up --slots x"), "invalid value 'x' for '--slots <N>': not a whole number; `--help` says more");
        assert_eq!(
            refused("millpond show"),
            "the following required arguments were not provided: <JOB[.TASK]>; usage: millpond show <JOB[.TASK]>"
        );
        let format = refused("millpond list --format xx");
        assert!(format.contains("'xx' for '--format <FORMAT>' [possible values: table, json, jsonl, id]"), "{format}");
        for line in
            ["millpond foo", "millpond prioritee j1 4", "millpond priority --dry-run", "millpond submit --nope", "millpond results j1 j2"]
        {
            let refused = refused(line);
            assert!(!refused.contains('\n') && refused.contains("; usage: millpond "), "{refused}");
        }
    }
}
