//! Which page is where.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, put};

use crate::actors::Head;
use crate::rpc::http::BUNDLE_ROUTE;
use crate::rpc::http_upload::UPLOAD_ROUTE;
use crate::rpc::services::{Audits, Clusters, Datasets, Identities, Jobs, Leases, Transfers, Uploads};

use super::{bundle, upload};

/// What a handler needs.
#[derive(Clone)]
pub(super) struct Web {
    pub head: Head,
    pub transfers: Transfers,
    pub uploads: Uploads,
    pub jobs: Arc<Jobs>,
    pub datasets: Arc<Datasets>,
    pub clusters: Arc<Clusters>,
    pub identities: Arc<Identities>,
    pub audits: Arc<Audits>,
}

impl Web {
    fn new(head: Head, transfers: Transfers, uploads: Uploads) -> Self {
        Self {
            jobs: Arc::new(Jobs::new(head.clone(), transfers.clone())),
            // No worker comes here.
            datasets: Arc::new(Datasets::new(head.clone(), uploads.clone(), Leases::default())),
            clusters: Arc::new(Clusters::new(head.clone())),
            identities: Arc::new(Identities::new(head.clone())),
            audits: Arc::new(Audits::new(head.clone(), transfers.clone())),
            head,
            transfers,
            uploads,
        }
    }
}

/// The pages of a head.
pub fn routes(head: Head, transfers: Transfers, uploads: Uploads) -> Router {
    let web = Web::new(head, transfers, uploads);
    Router::new().route(BUNDLE_ROUTE, get(bundle::get)).route(UPLOAD_ROUTE, put(upload::put)).with_state(web)
}
