//! Which page is where.

use axum::Router;
use axum::routing::{MethodRouter, get};

use crate::web::routes::Web;

use super::{assets, live, login, new_job, view};

/// All of them: as in the table of access, and who answers.
fn all() -> Vec<(String, MethodRouter<Web>)> {
    let mut all = vec![
        ("/login".to_owned(), get(login::get)),
        ("/new".to_owned(), get(new_job::get)),
        ("/assets/app.css".to_owned(), get(assets::css)),
        ("/assets/app.js".to_owned(), get(assets::js)),
        ("/assets/new_job.js".to_owned(), get(assets::new_job_js)),
        ("/assets/icon.svg".to_owned(), get(assets::icon)),
    ];
    for path in ["/", "/jobs/{id}", "/tasks/{id}", "/order", "/workers", "/workers/{id}", "/timeline", "/data", "/system"] {
        all.push((path.to_owned(), get(view::page)));
        all.push((format!("/live{}", path.trim_end_matches('/')), get(live::stream)));
    }
    all
}

/// The router of all pages.
pub(in crate::web) fn routes() -> Router<Web> {
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
