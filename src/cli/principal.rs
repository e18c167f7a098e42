//! `principal`: who is let in, for admins.

use super::controlled::request_id;
use super::document::{Principal, principal_state as state, role_name};
use super::exit::{Ending, Exit, Stop};
use super::pages::{self, Listing};
use super::table::Column;
use super::ui::{Format, Ui, printable};
use super::units::short_time;
use crate::domain::{Error, PrincipalId};
use crate::limits::PAGE_MAX_ITEMS;
use crate::rpc::client::Client;
use crate::rpc::pb;

const COLUMNS: &[Column] = &[
    ("ID", false),
    ("ROLE", false),
    ("NAME", false),
    ("STATE", false),
    ("CREATED (UTC)", false),
    ("EXPIRES (UTC)", false),
    ("TOKEN", false),
];

#[derive(clap::Subcommand, Debug)]
pub(crate) enum PrincipalCommand {
    /// List who is let in: people and machines
    List,
    /// Say whom the head takes you for
    Whoami,
    /// Let these in no more, at once: their certificates count no longer, and their connections are closed
    Revoke(RevokeArgs),
}

#[derive(clap::Args, Debug)]
pub(crate) struct RevokeArgs {
    /// As p0123456789ab, or a name: then all that bear it
    #[arg(value_name = "PRINCIPAL", required = true)]
    who: Vec<String>,
    /// Only say who would be revoked
    #[arg(long)]
    dry_run: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(crate) async fn run(command: PrincipalCommand, client: &Client, ui: &mut Ui) -> Ending {
    match command {
        PrincipalCommand::List => list(client, ui).await,
        PrincipalCommand::Whoami => whoami(client, ui).await,
        PrincipalCommand::Revoke(args) => revoke(args, client, ui).await,
    }
}

async fn page(client: &Client, page_token: String) -> Result<(Vec<pb::Principal>, String), Error> {
    let request = pb::ListPrincipalsRequest { page_size: PAGE_MAX_ITEMS as i32, page_token };
    let page = client.repeat(async || client.identities().list_principals(request.clone()).await).await?;
    Ok((page.principals, page.next_page_token))
}

async fn list(client: &Client, ui: &mut Ui) -> Ending {
    let mut listing = Listing::begin(ui, "principals", COLUMNS)?;
    pages::each(
        async |token| page(client, token).await,
        |principals| {
            for principal in &principals {
                let (role, state) = (role_name(principal.role()), state(principal));
                let times = [short_time(principal.created.as_ref()), short_time(principal.expires.as_ref()), principal.token.clone()];
                let texts = [principal.id.clone(), role.into(), principal.name.clone(), state.into()];
                listing.item(ui, &principal.id, Principal::of(principal, false), texts.into_iter().chain(times).collect())?;
            }
            if principals.is_empty() { Ok(()) } else { listing.end_of_page(ui) }
        },
    )
    .await?;
    listing.end(ui)?;
    Ok(Exit::Done)
}

async fn whoami(client: &Client, ui: &mut Ui) -> Ending {
    let me = client.repeat(async || client.identities().who_am_i(pb::WhoAmIRequest {}).await).await?;
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&Principal::of(&me, false))?,
        Format::Id => ui.line(&me.id)?,
        Format::Table => {
            let until = short_time(me.expires.as_ref());
            ui.line(printable(&format!("{}, a {} ({}); the certificate expires {until} UTC", me.name, role_name(me.role()), me.id)))?;
        }
    }
    Ok(Exit::Done)
}

/// All principals that a person means: by id, or by a name, which may be that of several.
async fn meant(who: &[String], client: &Client) -> Result<Vec<pb::Principal>, Stop> {
    let mut all = Vec::new();
    pages::each(
        async |token| page(client, token).await,
        |principals| {
            all.extend(principals);
            Ok(())
        },
    )
    .await?;
    let mut found: Vec<pb::Principal> = Vec::new();
    for who in who {
        let is_id = who.parse::<PrincipalId>().is_ok();
        let same = |principal: &&pb::Principal| if is_id { principal.id == *who } else { principal.name == *who };
        let mut these: Vec<pb::Principal> = all.iter().filter(same).cloned().collect();
        if these.is_empty() {
            return Err(Error::not_found(format!("there is no principal {who}: `millpond principal list` shows them")).into());
        }
        these.retain(|this| found.iter().all(|known| known.id != this.id));
        found.extend(these);
    }
    Ok(found)
}

/// A refused one does not stop the others; the exit code is the first refusal's.
async fn revoke(args: RevokeArgs, client: &Client, ui: &mut Ui) -> Ending {
    let mut exit = Exit::Done;
    for principal in meant(&args.who, client).await? {
        let request = pb::RevokePrincipalRequest { id: principal.id.clone(), request_id: request_id(), reason: args.reason.clone() };
        let revoked = match args.dry_run {
            true => Ok(principal),
            false => client.repeat(async || client.identities().revoke_principal(request.clone()).await).await,
        };
        match revoked {
            Ok(revoked) => match ui.format {
                Format::Json | Format::Jsonl => ui.json(&Principal::of(&revoked, args.dry_run))?,
                Format::Id => ui.line(&revoked.id)?,
                Format::Table => {
                    let done = if args.dry_run { "would be let in no more" } else { "is let in no more" };
                    ui.line(printable(&format!("{} ({} {}) {done}", revoked.name, role_name(revoked.role()), revoked.id)))?;
                }
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
