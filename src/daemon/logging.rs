//! Log lines go to standard error; `RUST_LOG` says which, `--log-format` how.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::domain::Error;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// An object of JSON in each line: `timestamp`, `level`, `message`, and what else there is to say
    Json,
}

/// Begins logging. Without `RUST_LOG`: what `default` says, and no spans of ractor (its numbers of actors tell nobody anything).
pub fn start(default: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("{default},ractor=warn")));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Fails only if logging has begun already, and then there is nothing to do.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(colour).try_init(),
        LogFormat::Json => {
            // Of several lines otherwise.
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
    };
}

/// The last line of a program that ends by an error, whatever `RUST_LOG` says.
pub(super) fn last_words(program: &str, format: LogFormat, error: &Error) {
    match format {
        LogFormat::Text => eprintln!("{program}: {error}"),
        LogFormat::Json => {
            let (timestamp, message) = (jiff::Timestamp::now().to_string(), format!("{program}: {error}"));
            eprintln!("{}", serde_json::json!({ "timestamp": timestamp, "level": "ERROR", "message": message }));
        }
    }
}
