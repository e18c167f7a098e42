//! Which page is where.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::sync::Semaphore;

use crate::actors::Head;
use crate::limits::LIVE_PAGES_MAX;
use crate::rpc::services::{Audits, Clusters, Datasets, Identities, Jobs, Leases, Transfers, Uploads};

use super::{api, metrics, page};

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
    /// Places of pages that are kept up to date.
    pub live: Arc<Semaphore>,
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
            live: Arc::new(Semaphore::new(LIVE_PAGES_MAX)),
            head,
            transfers,
            uploads,
        }
    }
}

/// The pages of a head.
pub fn routes(head: Head, transfers: Transfers, uploads: Uploads) -> Router {
    let web = Web::new(head, transfers, uploads);
    let metrics = Router::new().route("/metrics", get(metrics::get));
    api::router(&web).merge(page::routes()).merge(metrics).with_state(web)
}
