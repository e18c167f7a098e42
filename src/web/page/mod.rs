//! The pages: HTML that is made here, a little script of our own, nothing from elsewhere. What is live on a page is the same HTML, made again
//! when something has changed ([`live`]); so what a page costs depends on what it shows, and never on how many tasks there are.
//!
//! Invariant: what comes from people or tasks is put into a page by [`maud`], which escapes it; a page runs no script but ours, and loads
//! nothing from anywhere else (`Content-Security-Policy`).

mod assets;
mod bar;
mod charts;
mod data;
mod grid;
mod job;
mod jobs;
mod layout;
mod live;
mod login;
mod new_job;
mod system;
mod task;
mod timeline;
mod view;
mod words;
mod workers;

use axum::Router;
use axum::routing::{MethodRouter, get};

use super::routes::Web;

/// All of them: as in the table of access, and who answers.
fn all() -> Vec<(String, MethodRouter<Web>)> {
    let mut all = vec![
        ("/login".to_owned(), get(login::get)),
        ("/new".to_owned(), get(new_job::get)),
        ("/assets/app.css".to_owned(), get(assets::css)),
        ("/assets/app.js".to_owned(), get(assets::js)),
        ("/assets/icon.svg".to_owned(), get(assets::icon)),
    ];
    for path in ["/", "/jobs/{id}", "/tasks/{id}", "/workers", "/timeline", "/data", "/system"] {
        all.push((path.to_owned(), get(view::page)));
        all.push((format!("/live{}", path.trim_end_matches('/')), get(live::stream)));
    }
    all
}

/// The router of all pages.
pub(super) fn routes() -> Router<Web> {
    all().into_iter().fold(Router::new(), |routes, (path, answers)| routes.route(&path, answers))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::engine::access::{ALIASES, ROUTES};

    #[test]
    fn every_page_stands_in_the_table_of_who_may_what_and_the_reverse() {
        let served: BTreeSet<String> = super::all().into_iter().map(|(path, _)| format!("GET {path}")).collect();
        let listed = ROUTES.iter().map(|row| row.method).chain(ALIASES.iter().map(|(route, _)| *route));
        let is_page = |route: &&str| !route.contains(" /v1/") && *route != "GET /metrics";
        let listed: BTreeSet<String> = listed.filter(is_page).map(str::to_owned).collect();
        assert_eq!(served, listed);
    }
}
