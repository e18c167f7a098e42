//! `quota`: what owners may have at once.

use super::controlled::request_id;
use super::document::Quota;
use super::exit::{Ending, Exit};
use super::pages::{self, Listing};
use super::table::Column;
use super::ui::{Format, Ui, printable};
use super::units::parse_size;
use crate::domain::{Error, short_size};
use crate::limits::PAGE_MAX_ITEMS;
use crate::rpc::client::Client;
use crate::rpc::convert::quota_from_pb;
use crate::rpc::pb;

pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond quota set '*' --slots 64 --stored 500G    everybody: at most 64 tasks at once, and 500 GB of data sets
  millpond quota set ana --slots 256                 ana: 256, and no other limit
  millpond quota clear ana                           ana has that of everybody again
  millpond quota                                     what everybody has, of how much";

const COLUMNS: &[Column] = &[("OWNER", false), ("SLOTS", true), ("JOBS", true), ("TASKS", true), ("STORED", true), ("QUOTA", false)];

#[derive(clap::Args, Debug)]
pub(crate) struct QuotaArgs {
    #[command(subcommand)]
    command: Option<QuotaCommand>,
}

#[derive(clap::Subcommand, Debug)]
enum QuotaCommand {
    /// List what owners have, and of how much; a submitter sees himself
    List,
    /// Give an owner a quota of its own: what is not named is not limited
    Set(SetArgs),
    /// Take an owner's own quota away: then that of everybody counts
    Clear(ClearArgs),
}

#[derive(clap::Args, Debug)]
struct SetArgs {
    #[command(flatten)]
    whose: Whose,
    /// Tasks in workers' hands
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// Jobs that have not ended
    #[arg(long, value_name = "N")]
    jobs: Option<u32>,
    /// Their tasks that have not ended
    #[arg(long, value_name = "N")]
    tasks: Option<u64>,
    /// Data sets, in bytes, as 500G; on a head that knows whose they are
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    stored: Option<u64>,
}

#[derive(clap::Args, Debug)]
struct ClearArgs {
    #[command(flatten)]
    whose: Whose,
}

#[derive(clap::Args, Debug)]
struct Whose {
    /// As `list` shows it, or '*' for everybody who has no quota of its own
    #[arg(value_name = "OWNER")]
    owner: String,
    /// Only say what would be
    #[arg(long)]
    dry_run: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(crate) async fn run(args: QuotaArgs, client: &Client, ui: &mut Ui) -> Ending {
    match args.command {
        None | Some(QuotaCommand::List) => list(client, ui).await,
        Some(QuotaCommand::Set(SetArgs { whose, slots, jobs, tasks, stored: stored_bytes })) => {
            let quota = pb::Quota { jobs, tasks, stored_bytes, slots };
            if quota == pb::Quota::default() {
                let usage = "name what is limited: --slots, --jobs, --tasks or --stored; `quota clear` takes a quota away";
                return Err(Error::invalid(usage).into());
            }
            set(whose, Some(quota), client, ui).await
        }
        Some(QuotaCommand::Clear(ClearArgs { whose })) => set(whose, None, client, ui).await,
    }
}

async fn set(whose: Whose, quota: Option<pb::Quota>, client: &Client, ui: &mut Ui) -> Ending {
    let Whose { owner, dry_run, reason } = whose;
    let done = if dry_run {
        pb::OwnerQuota { owner, quota, is_own: quota.is_some(), used: None }
    } else {
        let request = pb::SetQuotaRequest { owner, quota, request_id: request_id(), reason };
        client.repeat(async || client.cluster().set_quota(request.clone()).await).await?
    };
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&Quota::of(&done, dry_run))?,
        Format::Id => ui.line(&done.owner)?,
        Format::Table => {
            let owner = if done.owner == crate::domain::EVERYBODY { "everybody without a quota of its own" } else { &done.owner };
            let would = if dry_run { "would have" } else { "has" };
            let text = match &done {
                pb::OwnerQuota { is_own: true, quota: Some(quota), .. } => format!("{owner} {would} a quota of {}", quota_from_pb(*quota)),
                _ => format!("{owner} {would} no quota of its own"),
            };
            ui.line(printable(&text))?;
        }
    }
    Ok(Exit::Done)
}

async fn list(client: &Client, ui: &mut Ui) -> Ending {
    let mut listing = Listing::begin(ui, "quotas", COLUMNS)?;
    pages::each(
        async |page_token| {
            let request = pb::ListQuotasRequest { page_size: PAGE_MAX_ITEMS as i32, page_token };
            let page = client.repeat(async || client.cluster().list_quotas(request.clone()).await).await?;
            Ok((page.quotas, page.next_page_token))
        },
        |owners| {
            for owner in &owners {
                listing.item(ui, &owner.owner, Quota::of(owner, false), row(owner))?;
            }
            if owners.is_empty() { Ok(()) } else { listing.end_of_page(ui) }
        },
    )
    .await?;
    listing.end(ui)?;
    Ok(Exit::Done)
}

/// `3/8` where it is limited, `3` where it is not.
fn row(owner: &pb::OwnerQuota) -> Vec<String> {
    let (quota, used) = (owner.quota.unwrap_or_default(), owner.used);
    let of = |used: Option<String>, max: Option<String>| match (used, max) {
        (Some(used), Some(max)) => format!("{used}/{max}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => "-".to_owned(),
    };
    let number = |get: fn(&pb::Quota) -> Option<u64>| {
        let text = |quota: &pb::Quota| get(quota).map(|number| number.to_string());
        of(used.as_ref().and_then(text), text(&quota))
    };
    let stored = of(used.and_then(|used| used.stored_bytes).map(short_size), quota.stored_bytes.map(short_size));
    let kind = if owner.is_own {
        "its own"
    } else if quota == pb::Quota::default() {
        "none"
    } else {
        "everybody's"
    };
    vec![
        owner.owner.clone(),
        number(|quota| quota.slots.map(u64::from)),
        number(|quota| quota.jobs.map(u64::from)),
        number(|quota| quota.tasks),
        stored,
        kind.to_owned(),
    ]
}
