//! Which page is where.

use axum::Router;
use axum::routing::{get, put};

use crate::actors::Head;
use crate::rpc::http::BUNDLE_ROUTE;
use crate::rpc::http_upload::UPLOAD_ROUTE;
use crate::rpc::services::{Transfers, Uploads};

use super::{bundle, metrics, upload};

/// What a handler needs.
#[derive(Clone)]
pub(super) struct Web {
    pub head: Head,
    pub transfers: Transfers,
    pub uploads: Uploads,
}

/// The pages of a head.
pub fn routes(head: Head, transfers: Transfers, uploads: Uploads) -> Router {
    let web = Web { head, transfers, uploads };
    Router::new()
        .route(BUNDLE_ROUTE, get(bundle::get))
        .route(UPLOAD_ROUTE, put(upload::put))
        .route("/metrics", get(metrics::get))
        .with_state(web)
}
