//! Log lines go to standard error; `RUST_LOG` says which.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Begins logging. Without `RUST_LOG`: what `default` says, and no spans of ractor (its numbers of actors tell nobody anything).
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("{default},ractor=warn")));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).with_ansi(colour);
    // Fails only if logging has begun already, and then there is nothing to do.
    let _ = lines.try_init();
}
