//! Which page is where.

use axum::Router;
use axum::routing::get;

use crate::actors::Head;
use crate::rpc::http::BUNDLE_ROUTE;
use crate::rpc::services::Transfers;

use super::bundle;

/// What a handler needs.
#[derive(Clone)]
pub(super) struct Web {
    pub head: Head,
    pub transfers: Transfers,
}

/// The pages of a head.
pub fn routes(head: Head, transfers: Transfers) -> Router {
    Router::new().route(BUNDLE_ROUTE, get(bundle::get)).with_state(Web { head, transfers })
}
