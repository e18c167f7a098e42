//! Where a verb writes: standard output and error, and what is known about them. Tests put buffers in their place.

use std::io::{self, IsTerminal, Write};

use super::exit::Stop;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON document per line
    Jsonl,
    /// Only ids, one per line
    Id,
}

impl Format {
    /// Whether programs read it as JSON.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

/// Standard output and error.
pub(crate) struct Ui {
    pub(crate) out: Box<dyn Write + Send>,
    pub(crate) err: Box<dyn Write + Send>,
    pub(crate) format: Format,
    /// How wide the terminal is that standard output is; none if it is none.
    pub(crate) out_columns: Option<usize>,
    /// Whether a progress bar may be drawn on standard error.
    pub(crate) err_is_terminal: bool,
    /// Whether a person can be asked: standard input and error are terminals.
    pub(crate) can_ask: bool,
}

impl Ui {
    /// The process's own. There is no colour anywhere.
    pub(crate) fn of_process(format: Format) -> Self {
        let err_is_terminal = io::stderr().is_terminal();
        Self {
            out: Box::new(io::BufWriter::new(io::stdout())),
            err: Box::new(io::stderr()),
            format,
            out_columns: columns(&io::stdout()),
            err_is_terminal,
            can_ask: err_is_terminal && io::stdin().is_terminal(),
        }
    }

    /// A line on standard output.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Stop> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// A document on a line of standard output.
    pub(crate) fn json(&mut self, document: &impl serde::Serialize) -> Result<(), Stop> {
        let text = serde_json::to_string(document).map_err(|error| crate::domain::Error::internal(format!("can't write JSON: {error}")))?;
        self.line(text)
    }

    /// A line on standard error, for a person. That it can't be written is no reason to stop.
    pub(crate) fn note(&mut self, text: impl std::fmt::Display) {
        writeln!(self.err, "{text}").ok();
    }

    /// An error on standard error, in the one form that all verbs share.
    pub(crate) fn error(&mut self, error: &crate::domain::Error) {
        self.note(format_args!("millpond: {}", printable(&error.message)));
    }

    /// Hands on what was written, so that a reader of a pipe sees it now.
    pub(crate) fn flush(&mut self) -> Result<(), Stop> {
        Ok(self.out.flush()?)
    }
}

/// How wide a terminal is; none for what is none, or does not say.
pub(crate) fn columns(out: &(impl IsTerminal + std::os::fd::AsFd)) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(out).ok().filter(|_| out.is_terminal())?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Text that others wrote, without the control characters that could steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}
