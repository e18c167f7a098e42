//! `completions`: what a shell needs to complete verbs and options.

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::exit::{Ending, Exit};
use super::ui::Ui;

#[derive(clap::Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_enum, value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond completions bash > ~/.local/share/bash-completion/completions/millpond
  millpond completions fish > ~/.config/fish/completions/millpond.fish";

pub(crate) fn run(args: &CompletionsArgs, ui: &mut Ui) -> Ending {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "millpond", &mut script);
    ui.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
