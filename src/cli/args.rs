//! The command line as clap reads it: the verbs, and what all of them take.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::audit::{self, AuditArgs};
use super::completions::{self, CompletionsArgs};
use super::context::{self, ContextCommand};
use super::controlled::ControlArgs;
use super::data::DataCommand;
use super::explain::ExplainArgs;
use super::kill::KillArgs;
use super::limit::LimitArgs;
use super::list::ListArgs;
use super::login::LoginArgs;
use super::logs::LogsArgs;
use super::man::{self, ManArgs};
use super::notify::{self, NotifyArgs};
use super::order::{self, OrderArgs};
use super::principal::PrincipalCommand;
use super::priority::PriorityArgs;
use super::quota::{self, QuotaArgs};
use super::results::ResultsArgs;
use super::run::{self, RunArgs};
use super::scale::{self, ScaleArgs};
use super::show::ShowArgs;
use super::split::SplitArgs;
use super::submit::{self, SubmitArgs};
use super::tasks::TasksArgs;
use super::template::{self, TemplateCommand};
use super::token::TokenCommand;
use super::top::{self, TopArgs};
use super::ui::Format;
use super::up::UpArgs;
use super::wait::WaitArgs;
use super::watch::WatchArgs;
use super::worker::WorkerCommand;

/// clap can't group verbs; a test holds that these are all of them.
const HELP: &str = "\
{about}

{usage-heading} {usage}

Start jobs:
  run       Run a command over a data set, and fetch the results
  submit    Submit a job, and print its id
  template  Options kept under a name: save, list, show, delete, use
  up        Start a cluster on this machine
  split     Show how a file would be cut into chunks

Look:
  list      List the jobs, newest first
  show      Show a job
  tasks     List the tasks of a job
  watch     Show what happens to a job, as it happens
  top       Show jobs and workers on the whole screen, and steer them by keys
  wait      Wait until jobs have ended; the exit code says how
  notify    Call a command or a webhook when jobs end, fail, stall or wait
  explain   Say why a job, a task or a worker is where it is, and what would change it
  order     Show who gets the next slots, and why
  logs      Print what a finished task wrote

Steer:
  pause     Start no more tasks of a job, until resume
  resume    Let a paused job go on
  retry     Run the failed tasks again
  kill      Drop the tasks that have not started, and end the job
  delete    Remove jobs that have ended, with their bundles
  priority  Change a job's place in the order
  limit     Change how many tasks of a job may run at once

Fetch and administer:
  results   Fetch a job's bundle, at any time
  data      Stored data sets: add, list, show, delete
  worker    Workers: list, show, drain, resume
  login     Trade a token for credentials
  token     What lets others join: create, list, revoke
  principal  Who is let in: list, whoami, revoke
  quota     What owners may have at once: list, set, clear
  audit     Show what was changed and by whom, and check it
  scale     Show how many workers are wanted, or start and remove their machines
  context   Clusters by name: list, show, use, add, remove
  completions  Print what a shell needs to complete verbs and options
  man       Write the manual pages

Options:
{options}{after-help}";

const AFTER_HELP: &str = "\
JOB is 7 or j7; list, wait and the steering verbs also take several, 3-9, all, and --state, --owner, --label, --name.
The head is named by --head or --context, MILLPOND_HEAD or MILLPOND_CONTEXT, ./millpond.toml, or ~/.config/millpond/config.toml, in this order.
Exit codes: 0 done, 1 other, 2 usage, 3 not found, 4 the state forbids it, 5 not allowed, 6 head unreachable,
7 timed out waiting, 10 some tasks failed, 11 killed. `millpond VERB --help` has the details.";

/// Run one command over every piece of a data set, on many machines.
#[derive(Parser, Debug)]
#[command(name = "millpond", bin_name = "millpond", version, help_template = HELP, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The head's address, as http://HOST:7663
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub(crate) head: Option<String>,
    /// The context to use, in the place of the current one (see `millpond context`)
    #[arg(long, global = true, value_name = "NAME", help_heading = "Everywhere")]
    pub(crate) context: Option<String>,
    /// The file of credentials for the head, in the place of those that `millpond login` has noted
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub(crate) credentials: Option<PathBuf>,
    /// table, json (one document), jsonl (one per line), or id [default: table, or the configured one]
    #[arg(long, global = true, value_enum, value_name = "FORMAT", help_heading = "Everywhere", hide_possible_values = true)]
    format: Option<Format>,
    /// Only ids, as --format id
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    quiet: bool,
}

impl Global {
    /// The format that is asked for.
    pub(crate) fn format(&self) -> Option<Format> {
        if self.quiet { Some(Format::Id) } else { self.format }
    }
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Run a command over a data set, and fetch the results
    ///
    /// Submits the job, shows its progress and fetches the bundle. Without a configured head it starts a head and a worker of its own,
    /// which keep their state in $XDG_STATE_HOME/millpond (~/.local/state/millpond).
    #[command(after_help = run::EXAMPLES)]
    Run(Box<RunArgs>),
    /// Submit a job, and print its id
    #[command(after_help = submit::EXAMPLES)]
    Submit(Box<SubmitArgs>),
    /// Options of jobs that are made again and again, kept under a name
    #[command(subcommand, after_help = template::EXAMPLES)]
    Template(TemplateCommand),
    /// Start a cluster on this machine, which stays until Ctrl-C
    Up(UpArgs),
    /// Show how a file would be cut into chunks; needs no head
    Split(SplitArgs),
    /// List the jobs, newest first
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a job
    Show(ShowArgs),
    /// List the tasks of a job
    Tasks(TasksArgs),
    /// Show what happens to a job, as it happens
    Watch(WatchArgs),
    /// Show jobs and workers on the whole screen, as they change, and steer them by keys
    #[command(after_help = top::EXAMPLES)]
    Top(TopArgs),
    /// Wait until jobs have ended: exit code 0 all succeeded, 10 some tasks failed, 11 killed
    Wait(WaitArgs),
    /// Call commands and webhooks when jobs end, fail, stall or wait; until Ctrl-C or TERM, or until the jobs that are named have ended
    #[command(after_help = notify::EXAMPLES)]
    Notify(Box<NotifyArgs>),
    /// Say why a job, a task or a worker is where it is, since when, and what would change it
    Explain(ExplainArgs),
    /// Show who gets the next slots, and why; or who would, if a job had another priority
    #[command(after_help = order::EXAMPLES)]
    Order(OrderArgs),
    /// Print what a finished task wrote: its standard output, and its standard error to standard error
    Logs(LogsArgs),
    /// Start no more tasks of a job, until resume; running tasks go on
    #[command(visible_alias = "hold")]
    Pause(super::pause::PauseArgs),
    /// Let a paused job go on
    #[command(visible_alias = "release")]
    Resume(ControlArgs),
    /// Run the failed tasks again, into the same bundle, also of a job that has ended
    Retry(super::retry::RetryArgs),
    /// Drop the tasks that have not started, and end the job
    Kill(KillArgs),
    /// Remove jobs that have ended, with their bundles
    #[command(visible_alias = "rm")]
    Delete(ControlArgs),
    /// Change a job's place in the order
    #[command(override_usage = "millpond priority [OPTIONS] [JOB]... <N>")]
    Priority(PriorityArgs),
    /// Change how many tasks of a job may run at once
    Limit(LimitArgs),
    /// Fetch a job's bundle, at any time: it holds what is done so far
    Results(ResultsArgs),
    /// Stored data sets
    #[command(subcommand)]
    Data(DataCommand),
    /// Workers
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Trade a token that an admin has made for credentials, and use that head from now on
    Login(LoginArgs),
    /// What lets others join
    #[command(subcommand)]
    Token(TokenCommand),
    /// Who is let in: people and machines
    #[command(subcommand)]
    Principal(PrincipalCommand),
    /// What owners may have at once: slots, jobs, tasks, stored data
    #[command(after_help = quota::EXAMPLES)]
    Quota(QuotaArgs),
    /// Show what was changed, by whom, and what was refused; or check that none of it was changed
    #[command(after_help = audit::EXAMPLES)]
    Audit(AuditArgs),
    /// Show how many workers are wanted; with --run, start and remove their machines
    #[command(after_help = scale::EXAMPLES)]
    Scale(Box<ScaleArgs>),
    /// Clusters by name, in the configuration; needs no head
    #[command(subcommand, after_help = context::EXAMPLES)]
    Context(ContextCommand),
    /// Print what a shell needs to complete verbs and options; needs no head
    #[command(after_help = completions::EXAMPLES)]
    Completions(CompletionsArgs),
    /// Write the manual pages, one for each verb and daemon; needs no head
    #[command(after_help = man::EXAMPLES)]
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_lists_exactly_the_verbs_there_are() {
        let mut listed: Vec<&str> =
            HELP.lines().filter_map(|line| line.strip_prefix("  ")).filter_map(|line| line.split_whitespace().next()).collect();
        let command = Cli::command();
        let mut verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        listed.sort_unstable();
        verbs.sort_unstable();
        assert_eq!(listed, verbs);
    }

    #[test]
    fn every_option_has_a_line_of_help() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
