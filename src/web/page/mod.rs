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
use axum::routing::get;

use super::routes::Web;

/// All of them.
pub(super) fn routes() -> Router<Web> {
    let mut routes = Router::new()
        .route("/login", get(login::get))
        .route("/new", get(new_job::get))
        .route("/assets/app.css", get(assets::css))
        .route("/assets/app.js", get(assets::js))
        .route("/assets/icon.svg", get(assets::icon));
    for path in ["/", "/jobs/{id}", "/tasks/{id}", "/workers", "/timeline", "/data", "/system"] {
        let live = format!("/live{}", path.trim_end_matches('/'));
        routes = routes.route(path, get(view::page)).route(&live, get(live::stream));
    }
    routes
}
