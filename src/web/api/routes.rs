//! The list of all routes below `/v1/`: from it the router is built, and with it the table of access and `docs/openapi.json` are compared.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, any, on};
use http::Method;

use super::gate::{Gate, enter, leave, not_allowed, nothing_there};
use super::{audit, datasets, events, follow, identities, jobs, logs, machines, openapi, quotas, verbs};
use crate::web::routes::Web;
use crate::web::{bundle, session, upload};

/// One of them.
pub(super) struct Route {
    /// As in the table of access: `GET /v1/jobs/{id}`.
    pub(super) name: &'static str,
    /// What its query may hold.
    pub(super) words: &'static [&'static str],
    handler: MethodRouter<Web>,
}

fn route<H: Handler<T, Web>, T: 'static>(name: &'static str, words: &'static [&'static str], handler: H) -> Route {
    let filter = match verb_and_path(name).0 {
        "GET" => MethodFilter::GET,
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        _ => MethodFilter::DELETE,
    };
    Route { name, words, handler: on(filter, handler) }
}

fn verb_and_path(name: &'static str) -> (&'static str, &'static str) {
    name.split_once(' ').unwrap_or(("GET", name))
}

const NONE: &[&str] = &[];
const PAGE: &[&str] = &["page_size", "page_token"];

pub(super) fn routes() -> Vec<Route> {
    vec![
        route("GET /v1/jobs", jobs::LIST_WORDS, jobs::list),
        route("POST /v1/jobs", NONE, jobs::submit),
        route("GET /v1/jobs/{id}", NONE, jobs::show),
        route("DELETE /v1/jobs/{id}", jobs::DELETE_WORDS, jobs::delete),
        route("POST /v1/jobs/{id}/pause", NONE, verbs::pause),
        route("POST /v1/jobs/{id}/resume", NONE, verbs::resume),
        route("POST /v1/jobs/{id}/kill", NONE, verbs::kill),
        route("POST /v1/jobs/{id}/retry", NONE, verbs::retry),
        route("POST /v1/jobs/{id}/priority", NONE, verbs::priority),
        route("POST /v1/jobs/{id}/limit", NONE, verbs::limit),
        route("GET /v1/jobs/{id}/tasks", jobs::TASKS_WORDS, jobs::tasks),
        route("GET /v1/jobs/{id}/events", events::WORDS, events::follow),
        route("GET /v1/jobs/{id}/bundle", NONE, bundle::get),
        route("GET /v1/explain/{id}", NONE, jobs::explain),
        route("GET /v1/tasks/{id}", NONE, jobs::task),
        route("GET /v1/tasks/{id}/follow", follow::WORDS, follow::follow),
        route("GET /v1/tasks/{id}/stdout", logs::WORDS, logs::stdout),
        route("GET /v1/tasks/{id}/stderr", logs::WORDS, logs::stderr),
        route("PUT /v1/uploads/{id}", upload::WORDS, upload::put),
        route("GET /v1/datasets", PAGE, datasets::list),
        route("GET /v1/datasets/{digest}", NONE, datasets::show),
        route("DELETE /v1/datasets/{digest}", datasets::DELETE_WORDS, datasets::delete),
        route("GET /v1/datasets/{digest}/split", datasets::SPLIT_WORDS, datasets::split),
        route("GET /v1/workers", PAGE, machines::list),
        route("GET /v1/workers/{id}", NONE, machines::show),
        route("GET /v1/workers/{id}/explain", NONE, machines::explain),
        route("POST /v1/workers/{id}/drain", NONE, machines::drain),
        route("POST /v1/workers/{id}/resume", NONE, machines::resume),
        route("GET /v1/cluster", NONE, machines::cluster),
        route("GET /v1/order", machines::ORDER_WORDS, machines::order),
        route("GET /v1/scale", machines::SCALE_WORDS, machines::scale),
        route("GET /v1/quotas", PAGE, quotas::list),
        route("PUT /v1/quotas/{owner}", NONE, quotas::put),
        route("DELETE /v1/quotas/{owner}", quotas::DELETE_WORDS, quotas::delete),
        route("POST /v1/session", NONE, session::log_in),
        route("DELETE /v1/session", NONE, session::log_out),
        route("GET /v1/whoami", NONE, identities::whoami),
        route("GET /v1/tokens", PAGE, identities::tokens),
        route("DELETE /v1/tokens/{id}", identities::REVOKE_WORDS, identities::revoke_token),
        route("GET /v1/principals", PAGE, identities::principals),
        route("DELETE /v1/principals/{id}", identities::REVOKE_WORDS, identities::revoke_principal),
        route("GET /v1/audit", audit::WORDS, audit::read),
        route("GET /v1/openapi.json", NONE, openapi::get),
    ]
}

/// What is at `/v1/`.
pub(in crate::web) fn router(web: &Web) -> Router<Web> {
    let mut by_path = BTreeMap::<&str, (MethodRouter<Web>, Vec<&str>)>::new();
    for Route { name, words, handler } in routes() {
        let gate = Gate { head: web.head.clone(), route: name, words };
        let (verb, path) = verb_and_path(name);
        let (handlers, verbs) = by_path.entry(path).or_default();
        *handlers = std::mem::take(handlers).merge(handler.route_layer(from_fn_with_state(gate, enter)));
        verbs.extend(if verb == "GET" { vec!["GET", "HEAD"] } else { vec![verb] });
    }
    let mut router = Router::new();
    for (path, (handlers, verbs)) in by_path {
        let verbs = verbs.join(", ");
        router = router.route(path, handlers.fallback(async move |verb: Method| not_allowed(&verb, &verbs)));
    }
    router.route("/v1/", any(nothing_there)).route("/v1/{*rest}", any(nothing_there)).layer(from_fn(leave))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::access::{ALIASES, ROUTES};
    use crate::rpc::http::BUNDLE_ROUTE;
    use crate::rpc::http_upload::UPLOAD_ROUTE;

    #[test]
    fn what_is_served_stands_in_the_table_of_who_may_what_and_the_reverse() {
        let routes = routes();
        let served: BTreeSet<&str> = routes.iter().map(|route| route.name).collect();
        assert_eq!(served.len(), routes.len(), "one is there twice");
        let listed = ROUTES.iter().map(|row| row.method).chain(ALIASES.iter().map(|(route, _)| *route));
        let listed: BTreeSet<&str> = listed.filter(|route| route.contains(" /v1/")).collect();
        assert_eq!(served, listed);
        for name in served {
            let (verb, path) = verb_and_path(name);
            assert!(["GET", "POST", "PUT", "DELETE"].contains(&verb) && path.starts_with("/v1/"), "{name}");
        }
        let names = [format!("GET {BUNDLE_ROUTE}"), format!("PUT {UPLOAD_ROUTE}")];
        assert!(names.iter().all(|name| routes.iter().any(|route| route.name == name)), "what our own clients ask for");
    }
}
