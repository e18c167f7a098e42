//! `order`: who gets the next slots, and why; or who would, if a job had another priority.

use std::str::FromStr;

use super::document;
use super::exit::{Ending, Exit};
use super::table::{Column, Table};
use super::ui::{Format, Ui};
use crate::domain::{Error, JobId};
use crate::rpc::client::Client;
use crate::rpc::pb;

pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond order                    the next 50 hand-outs, and the rule that puts each there
  millpond order --what-if j7=6     what they would be if j7 had priority 6; nothing is changed";

const COLUMNS: &[Column] =
    &[("NEXT", false), ("JOB", false), ("OWNER", false), ("PRIORITY", true), ("RULE", false), ("BEFORE", false), ("NAME", false)];

#[derive(clap::Args, Debug)]
pub(crate) struct OrderArgs {
    /// What if a job had another priority
    #[arg(long, value_name = "JOB=PRIORITY", allow_hyphen_values = true)]
    what_if: Option<WhatIf>,
    /// How many hand-outs, at most 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// A job, and a priority that it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WhatIf {
    job: JobId,
    priority: i32,
}

impl FromStr for WhatIf {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::invalid(format!("`{text}`: write it as j7=6"));
        let (job, priority) = text.split_once('=').ok_or_else(bad)?;
        Ok(Self { job: job.parse()?, priority: priority.parse().map_err(|_| bad())? })
    }
}

pub(crate) async fn run(args: OrderArgs, client: &Client, ui: &mut Ui) -> Ending {
    let what_if = args.what_if.map(|WhatIf { job, priority }| pb::WhatIf { job: job.to_string(), priority });
    let request = pb::GetOrderRequest { limit: args.limit, what_if: what_if.clone() };
    let order = client.repeat(async || client.cluster().get_order(request.clone()).await).await?;
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Order::of(&order, what_if.as_ref()))?,
        Format::Id => order.next.iter().try_for_each(|it| ui.line(&it.job))?,
        Format::Table => {
            table(&order, ui)?;
            what_if.iter().try_for_each(|what_if| ui.line(compared(&order, what_if)))?;
            for (jobs, why) in [(&order.by_quota, "as many slots as its owner may have"), (&order.unfit, "no worker that it fits")] {
                jobs.iter().try_for_each(|job| ui.line(format_args!("{job} gets none: {why} (`millpond explain {job}`)")))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn table(order: &pb::Order, ui: &mut Ui) -> Result<(), super::exit::Stop> {
    let mut table = Table::new(COLUMNS);
    for it in &order.next {
        let last = it.first + it.count.saturating_sub(1);
        let next = if it.count == 1 { it.first.to_string() } else { format!("{}-{last}", it.first) };
        let rule = if it.rule.is_empty() { "no other job wants a slot".into() } else { it.rule.clone() };
        table.row(vec![next, it.job.clone(), it.owner.clone(), it.priority.to_string(), rule, it.before.clone(), it.name.clone()]);
    }
    table.write(ui)
}

/// `j7 is number 2 in the order, and would be number 1 with priority 6`.
fn compared(order: &pb::Order, what_if: &pb::WhatIf) -> String {
    let pb::WhatIf { job, priority } = what_if;
    match (order.place, order.place_if) {
        (0, _) | (_, 0) => format!("{job} wants no slot that it could get now: with priority {priority} nothing would be different"),
        (is, would_be) if is == would_be => format!("{job} is number {is} in the order, and would be with priority {priority}"),
        (is, would_be) => format!("{job} is number {is} in the order, and would be number {would_be} with priority {priority}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_a_job_and_a_priority() {
        assert_eq!("j7=-6".parse::<WhatIf>().unwrap(), WhatIf { job: JobId(7), priority: -6 });
        assert_eq!("7=6".parse::<WhatIf>().unwrap(), WhatIf { job: JobId(7), priority: 6 });
        for bad in ["", "j7", "j7=", "=6", "j7=x", "j7=99999999999"] {
            assert!(bad.parse::<WhatIf>().is_err(), "{bad}");
        }
    }
}
