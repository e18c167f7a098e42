//! All jobs, newest first.

use maud::{Markup, html};

use crate::domain::Error;
use crate::rpc::pb;
use crate::rpc::pb::job_service_server::JobService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::bar::{bar, sentence};
use super::job::{name_of, priority, state, verbs};
use super::words::{age, counted, eta};

/// Jobs of a page.
const PAGE_JOBS: i32 = 50;

/// States to choose from, as they are called, and whether only paused ones are meant.
const STATES: [(&str, &[pb::JobState], bool); 8] = [
    ("waiting", &[pb::JobState::Waiting], false),
    ("running", &[pb::JobState::Running], false),
    ("paused", &[], true),
    ("ingesting", &[pb::JobState::Ingesting], false),
    ("finishing", &[pb::JobState::Finishing], false),
    ("succeeded", &[pb::JobState::Succeeded], false),
    ("failed", &[pb::JobState::Failed], false),
    ("killed", &[pb::JobState::Killed], false),
];

/// Which jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    state: String,
    owner: String,
    name: String,
    page_token: String,
}

impl Filter {
    /// Reads an address' query.
    ///
    /// # Errors
    /// `Invalid` for what it does not know.
    pub fn of_query(query: &str) -> Result<Self, Error> {
        let mut filter = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match &*key {
                "state" => &mut filter.state,
                "owner" => &mut filter.owner,
                "name" => &mut filter.name,
                "page_token" => &mut filter.page_token,
                _ => return Err(Error::invalid(format!("{key}: unknown; there are state, owner, name and page_token"))),
            };
            *field = value.into_owned();
        }
        if !filter.state.is_empty() && !STATES.iter().any(|(name, ..)| *name == filter.state) {
            return Err(Error::invalid(format!("state: there is no state {}", filter.state)));
        }
        Ok(filter)
    }

    fn request(&self) -> pb::ListJobsRequest {
        let (_, states, held) = STATES.iter().find(|(name, ..)| *name == self.state).copied().unwrap_or(("", &[], false));
        // Who types a part of a name means all that have it.
        let is_glob = self.name.contains(['*', '?', '[']);
        let name_glob = if self.name.is_empty() || is_glob { self.name.clone() } else { format!("*{}*", self.name) };
        pb::ListJobsRequest {
            page_size: PAGE_JOBS,
            page_token: self.page_token.clone(),
            owner: self.owner.clone(),
            states: states.iter().map(|state| (*state).into()).collect(),
            held,
            name_glob,
            ..Default::default()
        }
    }

    fn next(&self, page_token: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in [("state", &*self.state), ("owner", &self.owner), ("name", &self.name), ("page_token", page_token)] {
            if !value.is_empty() {
                query.append_pair(key, value);
            }
        }
        format!("/?{}", query.finish())
    }
}

pub(super) async fn render(web: &Web, asker: &Asker, filter: &Filter) -> Result<Markup, Error> {
    let page = answered(web.jobs.list_jobs(asker.asks(filter.request())).await)?;
    let (workers, slots) = web.head.slots().await?;
    Ok(html! {
        h1 { "Jobs" }
        (form(filter))
        p.faint { (counted(workers.into(), "worker")) " connected, " (counted(slots.into(), "slot")) }
        @if page.jobs.is_empty() {
            p { "No job here. " a href="/new" { "Start one" } " or, in a terminal: " code { "millpond submit INPUT -- COMMAND" } }
        } @else {
            div.wide {
                table.cards {
                    caption { "Newest first" }
                    thead { tr {
                        th scope="col" { "Job" } th scope="col" { "State" } th scope="col" { "Progress" }
                        th.number scope="col" { "Priority" } th scope="col" { "Ends in" } th scope="col" { "Age" } th scope="col" { "Steer" }
                    } }
                    tbody { @for job in &page.jobs { (row(web, asker, job)) } }
                }
            }
        }
        @if !page.next_page_token.is_empty() { p { a.button href=(filter.next(&page.next_page_token)) { "Older jobs" } } }
        @if !filter.page_token.is_empty() { p { a.button href=(filter.next("")) { "Newest jobs" } } }
    })
}

fn row(web: &Web, asker: &Asker, job: &pb::Job) -> Markup {
    let counts = job.tasks.unwrap_or_default();
    html! {
        tr id={ "row-" (job.id) } {
            th scope="row" {
                a href={ "/jobs/" (job.id) } { (job.id) " " (name_of(job)) }
                div.faint { (job.spec.as_ref().map_or("", |spec| &spec.owner)) }
            }
            td data-name="State" { (state(job)) div.faint { (job.reason) } }
            td data-name="Progress" { (bar(&counts)) div.faint { (sentence(&counts)) } }
            td.number data-name="Priority" { (priority(job)) }
            td data-name="Ends in" { @if let Some(range) = job.eta { (eta(range)) } }
            td data-name="Age" { (age(job.created.as_ref(), "")) }
            td { (verbs(web, asker, job, false)) }
        }
    }
}

fn form(filter: &Filter) -> Markup {
    html! {
        form.filter method="get" action="/" role="search" aria-label="filter jobs" data-keep="" {
            label { "State"
                select name="state" {
                    option value="" { "all" }
                    @for (name, ..) in STATES { option value=(name) selected[filter.state == name] { (name) } }
                }
            }
            label { "Name" input name="name" value=(filter.name) maxlength="200"; }
            label { "Owner" input name="owner" value=(filter.owner) maxlength="200"; }
            button type="submit" { "Filter" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_what_the_address_says() {
        let filter = Filter::of_query("state=paused&owner=ana&name=run").unwrap();
        let request = filter.request();
        assert_eq!((request.held, request.states.len(), &*request.owner, &*request.name_glob), (true, 0, "ana", "*run*"));
        assert_eq!(Filter::of_query(filter.next("7").strip_prefix("/?").unwrap()).unwrap().request().page_token, "7");
        assert_eq!(Filter::of_query("name=a%2A").unwrap().request().name_glob, "a*");
        assert!(Filter::of_query("state=nope").is_err() && Filter::of_query("stat=x").is_err());
    }
}
