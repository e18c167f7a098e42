//! What is handed out next, and what another priority would change.

use maud::{Markup, html};

use crate::domain::Error;
use crate::rpc::pb;
use crate::rpc::pb::cluster_service_server::ClusterService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

/// Hand-outs that are shown.
const HAND_OUTS: u32 = 50;

/// A job, and a priority that it does not have; nothing, if nothing is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WhatIf {
    job: String,
    priority: String,
}

impl WhatIf {
    /// Reads an address' query.
    ///
    /// # Errors
    /// `Invalid` for what it does not know.
    pub fn of_query(query: &str) -> Result<Self, Error> {
        let mut asked = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "job" => asked.job = value.into_owned(),
                "priority" => asked.priority = value.into_owned(),
                _ => return Err(Error::invalid(format!("{key}: unknown; there are job and priority"))),
            }
        }
        Ok(asked)
    }

    fn message(&self) -> Result<Option<pb::WhatIf>, Error> {
        if self.job.is_empty() {
            return Ok(None);
        }
        let priority = self.priority.parse().map_err(|_| Error::invalid(format!("priority: `{}` is no whole number", self.priority)))?;
        Ok(Some(pb::WhatIf { job: self.job.clone(), priority }))
    }
}

pub(super) async fn render(web: &Web, asker: &Asker, asked: &WhatIf) -> Result<Markup, Error> {
    let what_if = asked.message()?;
    let request = pb::GetOrderRequest { limit: HAND_OUTS, what_if: what_if.clone() };
    let order = answered(web.clusters.get_order(asker.asks(request)).await)?;
    Ok(html! {
        h1 { "Order" }
        p.faint { "Who gets the next free slots, as if nothing ended and nothing came meanwhile, and the rule that puts each there." }
        (form(asked))
        @if let Some(what_if) = &what_if { p role="status" { (compared(&order, what_if)) } }
        @if order.next.is_empty() {
            p { "No task waits for a slot." }
        } @else {
            div.wide { table {
                thead { tr {
                    th.number scope="col" { "Hand-outs" } th scope="col" { "Job" } th scope="col" { "Owner" } th.number scope="col" { "Priority" }
                    th scope="col" { "Rule" } th scope="col" { "Before" }
                } }
                tbody { @for it in &order.next { (row(it)) } }
            } }
        }
        (none("Its owner has as many slots as he may", &order.by_quota))
        (none("No connected worker has what its tasks need", &order.unfit))
    })
}

fn form(asked: &WhatIf) -> Markup {
    html! {
        form.filter method="get" action="/order" aria-label="what if" data-keep="" {
            label { "What if job" input name="job" value=(asked.job) placeholder="j7" maxlength="20" required; }
            label { "had priority" input name="priority" type="number" value=(asked.priority) required; }
            button type="submit" { "Show" }
            @if !asked.job.is_empty() { a.button href="/order" { "As it is" } }
        }
    }
}

fn compared(order: &pb::Order, what_if: &pb::WhatIf) -> String {
    let place = |place: u32| if place == 0 { "not in the order".to_owned() } else { format!("number {place}") };
    format!(
        "With priority {} {} would be {}; it is {}. What follows is as it would be; nothing was changed.",
        what_if.priority,
        what_if.job,
        place(order.place_if),
        place(order.place)
    )
}

fn row(it: &pb::HandOut) -> Markup {
    let last = it.first + it.count.saturating_sub(1);
    html! {
        tr {
            td.number { (it.first) @if last > it.first { "-" (last) } }
            td { a href={ "/jobs/" (it.job) } { (it.job) } " " (it.name) }
            td { (it.owner) }
            td.number { (it.priority) }
            td { @if it.rule.is_empty() { "no other job wants a slot" } @else { (it.rule) } }
            td { @if !it.before.is_empty() { a href={ "/jobs/" (it.before) } { (it.before) } } }
        }
    }
}

fn none(why: &str, jobs: &[String]) -> Markup {
    html! {
        @if !jobs.is_empty() {
            p { (why) ": " @for (at, job) in jobs.iter().enumerate() { @if at > 0 { ", " } a href={ "/jobs/" (job) } { (job) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_what_the_address_says() {
        let asked = WhatIf::of_query("job=j7&priority=-3").unwrap().message().unwrap();
        assert_eq!(asked, Some(pb::WhatIf { job: "j7".into(), priority: -3 }));
        assert_eq!(WhatIf::of_query("").unwrap().message().unwrap(), None);
        assert!(WhatIf::of_query("job=j7&priority=x").unwrap().message().is_err() && WhatIf::of_query("jobs=j7").is_err());
    }
}
