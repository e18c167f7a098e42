//! `login`: trades a token for credentials, and notes the head that they are for as a context.

use std::path::{Path, PathBuf};

use super::context;
use super::entry::World;
use super::exit::{Ending, Exit};
use super::ui::{Format, Ui};
use crate::domain::{Error, Role};
use crate::pki::{Credentials, JoinToken};
use crate::rpc::address::HeadAddress;
use crate::rpc::enroll::join;

#[derive(clap::Args, Debug)]
pub(crate) struct LoginArgs {
    /// What an admin has made with `millpond token create`; - reads it from standard input
    #[arg(value_name = "TOKEN")]
    token: String,
    /// What the context is called [default: the head's host]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(serde::Serialize)]
struct LoggedIn<'a> {
    version: u32,
    id: &'a str,
    name: &'a str,
    role: &'a str,
    head: &'a str,
    context: &'a str,
    credentials: &'a str,
}

pub(crate) async fn run(args: LoginArgs, world: &World<'_>, ui: &mut Ui) -> Ending {
    let text = if args.token == "-" {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(|error| Error::internal(format!("standard input: {error}")))?;
        line
    } else {
        args.token
    };
    let token: JoinToken = text.trim().parse()?;
    // Where the head is reached from here may be another address than the admin's.
    let url = world.head_flag.clone().unwrap_or_else(|| token.head.clone());
    let context = args.name.unwrap_or_else(|| host_of(&url));
    context::check_name(&context)?;
    let file = world.around.config_dir()?.join("credentials").join(format!("{context}.pem"));
    if file.symlink_metadata().is_ok() {
        let file = file.display();
        return Err(Error::conflict(format!("{file} is there already: name another context with --name, or remove it first")).into());
    }
    let credentials = join(&HeadAddress::pinned(&url, token.fingerprint)?, &token).await?;
    let principal = credentials.peer.principal.clone();
    if principal.role == Role::Worker {
        return Err(Error::invalid("this token lets workers join: `millpond-worker --join TOKEN --dir DIR`").into());
    }
    credentials.write(&file)?;
    context::note(&context, &url, &file, world)?;
    let (id, path) = (principal.id.to_string(), file.display().to_string());
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&LoggedIn {
            version: 1,
            id: &id,
            name: &principal.name,
            role: principal.role.name(),
            head: &url,
            context: &context,
            credentials: &path,
        })?,
        Format::Id => ui.line(&id)?,
        Format::Table => ui.line(format_args!("logged in to {url} as {principal}; the context `{context}` is used from now on"))?,
    }
    Ok(Exit::Done)
}

/// `lab` of `https://lab:7663`, as far as it can be a file's name.
fn host_of(url: &str) -> String {
    let authority = url.split_once("://").map_or(url, |(_, authority)| authority);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let name: String = host.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    name.trim_matches(['-', '.']).to_owned()
}

/// The user's files of credentials.
fn all_credentials(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "pem"));
    files.sort();
    files
}

/// The credentials for a head, where nobody has said which: those that were given out by it.
pub(crate) fn credentials_for(url: &str, folder: &Path) -> Option<PathBuf> {
    let is_it = |file: &PathBuf| Credentials::read(file).is_ok_and(|read| read.head.trim_end_matches('/') == url);
    all_credentials(folder).into_iter().find(is_it)
}

/// The user's credentials, if there are no others.
pub(crate) fn only_credentials(folder: &Path) -> Option<PathBuf> {
    <[PathBuf; 1]>::try_from(all_credentials(folder)).ok().map(|[file]| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_called_as_the_host() {
        for (url, name) in [("https://lab:7663", "lab"), ("https://10.0.0.5:7663", "10.0.0.5"), ("https://[::1]:7663", "1")] {
            assert_eq!(host_of(url), name);
        }
    }
}
