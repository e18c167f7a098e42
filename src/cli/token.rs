//! `token`: what lets others join, for admins.

use std::time::Duration;

use super::controlled::request_id;
use super::document::{Token, role_name, token_state as state};
use super::exit::{Ending, Exit};
use super::pages::{self, Listing};
use super::table::Column;
use super::ui::{Format, Ui, printable};
use super::units::{parse_duration, short_time, wire_duration};
use crate::domain::{Digest, Error, Role};
use crate::limits::PAGE_MAX_ITEMS;
use crate::pki::{JoinToken, new_secret};
use crate::rpc::client::Client;
use crate::rpc::convert::role_to_pb;
use crate::rpc::pb;

/// Shown below the verbs.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond token create --role worker --uses 10 --ttl 2h      ten machines, within two hours
  millpond token create --role submitter --name ana           one person, who then types: millpond login TOKEN
A token is a secret: whoever has it can join. Roles: reader (sees everything), submitter (its own jobs and data), worker, admin.";

const COLUMNS: &[Column] = &[
    ("ID", false),
    ("ROLE", false),
    ("NAME", false),
    ("STATE", false),
    ("USED", true),
    ("OF", true),
    ("EXPIRES (UTC)", false),
    ("BY", false),
];

#[derive(clap::Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Make a token, and print it: it is shown this once
    #[command(after_help = EXAMPLES)]
    Create(CreateArgs),
    /// List the tokens, and what became of them
    List,
    /// Let nobody come by these tokens any more; those who have stay
    Revoke(RevokeArgs),
}

#[derive(clap::Args, Debug)]
pub(crate) struct CreateArgs {
    /// What those who come by it may do: reader, submitter, worker or admin
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// Who comes by it: what his jobs belong to; a worker is called as its machine
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How long it may be used, at most 90d
    #[arg(long, value_name = "DUR", default_value = "1h", value_parser = parse_duration)]
    ttl: Duration,
    /// How many may come by it
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// The head's address as those reach it who come by it [default: the one used here]
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(clap::Args, Debug)]
pub(crate) struct RevokeArgs {
    /// As t0123456789ab
    #[arg(value_name = "TOKEN", required = true)]
    ids: Vec<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(crate) async fn run(command: TokenCommand, client: &Client, ui: &mut Ui) -> Ending {
    match command {
        TokenCommand::Create(args) => create(args, client, ui).await,
        TokenCommand::List => list(client, ui).await,
        TokenCommand::Revoke(args) => revoke(args, client, ui).await,
    }
}

async fn create(args: CreateArgs, client: &Client, ui: &mut Ui) -> Ending {
    let (secret, digest) = new_secret()?;
    let request = pb::CreateTokenRequest {
        secret_sha256: digest.0.to_vec().into(),
        role: role_to_pb(args.role).into(),
        name: args.name.unwrap_or_default(),
        ttl: Some(wire_duration(args.ttl)),
        uses: args.uses,
        request_id: request_id(),
        reason: args.reason,
    };
    let made = client.repeat(async || client.identities().create_token(request.clone()).await).await?;
    let fingerprint = made.authority_sha256.as_ref().try_into().map(Digest);
    let fingerprint = fingerprint.map_err(|_| Error::internal("the head does not say which authority it is of"))?;
    let head = args.address.unwrap_or_else(|| client.url().to_owned());
    let token = JoinToken { head, fingerprint, id: made.id.parse()?, secret };
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&Token::of(&made, Some(token.to_string())))?,
        Format::Id | Format::Table => ui.line(&token)?,
    }
    ui.flush()?;
    if ui.format == Format::Table {
        let (who, until) = (if made.name.is_empty() { "whoever has it" } else { &made.name }, short_time(made.expires.as_ref()));
        let times = if made.uses == 1 { "once".to_owned() } else { format!("{} times", made.uses) };
        ui.note(printable(&format!("{}: lets {who} join {times} as {}, until {until} UTC; it is shown only now", made.id, args.role)));
        let how = if args.role == Role::Worker { "millpond-worker --join TOKEN --dir DIR" } else { "millpond login TOKEN" };
        ui.note(format_args!("to use it: {how}"));
        if is_here_only(&token.head) {
            ui.note(format_args!("only this machine reaches {}: for others name the head's address with --address", token.head));
        }
    }
    Ok(Exit::Done)
}

/// Whether an address means this machine, on every machine.
fn is_here_only(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or(url);
    host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
}

async fn list(client: &Client, ui: &mut Ui) -> Ending {
    let fetch = async |page_token: String| {
        let request = pb::ListTokensRequest { page_size: PAGE_MAX_ITEMS as i32, page_token };
        let page = client.repeat(async || client.identities().list_tokens(request.clone()).await).await?;
        Ok((page.tokens, page.next_page_token))
    };
    let mut listing = Listing::begin(ui, "tokens", COLUMNS)?;
    pages::each(fetch, |tokens| {
        for token in &tokens {
            let (role, state, expires) = (role_name(token.role()), state(token), short_time(token.expires.as_ref()));
            let texts = [token.id.clone(), role.into(), token.name.clone(), state.into()];
            let rest = [token.used.to_string(), token.uses.to_string(), expires, token.by.clone()];
            listing.item(ui, &token.id, Token::of(token, None), texts.into_iter().chain(rest).collect())?;
        }
        if tokens.is_empty() { Ok(()) } else { listing.end_of_page(ui) }
    })
    .await?;
    listing.end(ui)?;
    Ok(Exit::Done)
}

/// A refused one does not stop the others; the exit code is the first refusal's.
async fn revoke(args: RevokeArgs, client: &Client, ui: &mut Ui) -> Ending {
    let mut exit = Exit::Done;
    for id in args.ids {
        let request = pb::RevokeTokenRequest { id, request_id: request_id(), reason: args.reason.clone() };
        match client.repeat(async || client.identities().revoke_token(request.clone()).await).await {
            Ok(token) => match ui.format {
                Format::Json | Format::Jsonl => ui.json(&Token::of(&token, None))?,
                Format::Id => ui.line(&token.id)?,
                Format::Table => ui.line(format_args!("{} lets nobody join any more; {} came by it and stay", token.id, token.used))?,
            },
            Err(error) => {
                ui.flush()?;
                ui.error(&error);
                exit = if exit == Exit::Done { Exit::of(error.kind) } else { exit };
            }
        }
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_do_not_reach_is_known_as_such() {
        for (url, here) in [
            ("https://127.0.0.1:7663", true),
            ("http://localhost:1", true),
            ("https://[::1]:7663", true),
            ("https://lab:7663", false),
            ("https://10.0.0.7:1", false),
        ] {
            assert_eq!(is_here_only(url), here, "{url}");
        }
    }

    #[test]
    fn a_token_is_what_became_of_it() {
        let far = Some(prost_types::Timestamp { seconds: 99_999_999_999, nanos: 0 });
        let token = |revoked, expires, used| pb::Token { revoked, expires, used, uses: 2, ..Default::default() };
        assert_eq!(state(&token(None, far, 1)), "usable");
        assert_eq!(state(&token(None, far, 2)), "used up");
        assert_eq!(state(&token(None, Some(prost_types::Timestamp::default()), 2)), "expired");
        assert_eq!(state(&token(far, far, 0)), "revoked");
    }
}
