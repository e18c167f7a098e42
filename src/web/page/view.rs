//! What a page shows that may change while somebody looks: asked for by its address, made again by [`live`](super::live).

use axum::extract::State;
use axum::response::Response;
use http::Uri;
use maud::Markup;

use crate::domain::Error;
use crate::web::asker::Asker;
use crate::web::routes::Web;

use super::layout::{Page, is_stranger, refusal, to_login};
use super::{data, job, jobs, order, system, task, timeline, worker, workers};

/// One of them.
pub(super) enum View {
    /// All jobs, or some.
    Jobs(jobs::Filter),
    /// One, as `j7`.
    Job(String),
    /// One, as `j7.42`.
    Task(String),
    /// What is handed out next.
    Order(order::WhatIf),
    /// The machines.
    Workers,
    /// One, as `w3`.
    Worker(String),
    /// What they have worked for.
    Timeline,
    /// Data sets.
    Data,
    /// The head itself.
    System,
}

impl View {
    /// That of an address: of a page, or of what is live on it.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a query that is not understood.
    pub fn of(uri: &Uri) -> Result<Self, Error> {
        let path = uri.path().strip_prefix("/live").unwrap_or(uri.path());
        Ok(match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
            [] | [""] => Self::Jobs(jobs::Filter::of_query(uri.query().unwrap_or_default())?),
            ["jobs", id] => Self::Job((*id).to_owned()),
            ["tasks", id] => Self::Task((*id).to_owned()),
            ["order"] => Self::Order(order::WhatIf::of_query(uri.query().unwrap_or_default())?),
            ["workers", id] => Self::Worker((*id).to_owned()),
            ["workers"] => Self::Workers,
            ["timeline"] => Self::Timeline,
            ["data"] => Self::Data,
            ["system"] => Self::System,
            _ => return Err(Error::not_found("there is no such page")),
        })
    }

    fn title(&self) -> String {
        match self {
            Self::Jobs(_) => "Jobs".into(),
            Self::Job(id) | Self::Task(id) | Self::Worker(id) => id.clone(),
            Self::Order(_) => "Order".into(),
            Self::Workers => "Workers".into(),
            Self::Timeline => "Timeline".into(),
            Self::Data => "Data".into(),
            Self::System => "System".into(),
        }
    }

    fn place(&self) -> &'static str {
        match self {
            Self::Jobs(_) | Self::Job(_) | Self::Task(_) => "/",
            Self::Order(_) => "/order",
            Self::Workers | Self::Worker(_) => "/workers",
            Self::Timeline => "/timeline",
            Self::Data => "/data",
            Self::System => "/system",
        }
    }

    /// As it is now.
    ///
    /// # Errors
    /// Those of the methods that it asks.
    pub async fn render(&self, web: &Web, asker: &Asker) -> Result<Markup, Error> {
        match self {
            Self::Jobs(filter) => jobs::render(web, asker, filter).await,
            Self::Job(id) => job::render(web, asker, id).await,
            Self::Task(id) => task::render(web, asker, id).await,
            Self::Order(asked) => order::render(web, asker, asked).await,
            Self::Workers => workers::render(web, asker).await,
            Self::Worker(id) => worker::render(web, asker, id).await,
            Self::Timeline => timeline::render(web, asker).await,
            Self::Data => data::render(web, asker).await,
            Self::System => system::render(web, asker).await,
        }
    }
}

/// The page at an address.
pub(super) async fn page(State(web): State<Web>, asker: Asker, uri: Uri) -> Response {
    let address = uri.path_and_query().map_or("/", |address| address.as_str());
    // Nothing was refused yet that the audit had to know of.
    if is_stranger(&web, &asker) {
        return to_login(address);
    }
    let made = async {
        let view = View::of(&uri)?;
        let content = view.render(&web, &asker).await?;
        Ok(Page { title: view.title(), place: view.place(), live: Some(format!("/live{}", live_part(address))), content })
    };
    match made.await {
        Ok(page) => page.response(&web, &asker),
        Err(error) => refusal(&web, &asker, &error),
    }
}

/// `/?state=running` becomes `?state=running`: the router knows no `/live/`.
fn live_part(address: &str) -> &str {
    match address.strip_prefix('/') {
        Some(rest) if rest.is_empty() || rest.starts_with('?') => rest,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_and_what_is_live_on_it_show_the_same() {
        for address in [
            "/",
            "/?state=running",
            "/jobs/j7",
            "/tasks/j7.42",
            "/order",
            "/order?job=j7&priority=1",
            "/workers",
            "/workers/w3",
            "/timeline",
            "/data",
            "/system",
        ] {
            let live = format!("/live{}", live_part(address));
            let [page, live] = [address, &live].map(|address| View::of(&address.parse().unwrap()).unwrap());
            assert_eq!((page.title(), page.place()), (live.title(), live.place()), "{address}");
        }
        assert!(View::of(&Uri::from_static("/nothing")).is_err() && View::of(&Uri::from_static("/?stat=running")).is_err());
    }
}
