//! Floor 5: what the head answers by plain HTTP, to browsers, scripts, and whoever moves much data.
//!
//! Invariant: nothing here touches the store or an actor's insides. What is here is also there by gRPC, with one implementation beneath.

mod bundle;

use axum::Router;
use axum::routing::get;

use crate::actors::Head;
use crate::rpc::services::Transfers;

/// What a handler needs.
#[derive(Clone)]
struct Web {
    head: Head,
    transfers: Transfers,
}

/// The pages of a head.
pub fn routes(head: Head, transfers: Transfers) -> Router {
    Router::new().route(crate::rpc::http::BUNDLE_ROUTE, get(bundle::get)).with_state(Web { head, transfers })
}
