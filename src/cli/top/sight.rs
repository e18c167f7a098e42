//! What is seen of the head in one look.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::{Response, Status};

use super::filter::Filter;
use crate::domain::Error;
use crate::rpc::client::Client;
use crate::rpc::pb;

/// Jobs and workers of one page: more than a screen has lines.
const PAGE: i32 = 100;
/// Jobs that have ended, behind those that have not.
const ENDED: i32 = 20;
/// Hand-outs of which the order is read off.
const HAND_OUTS: u32 = 200;
/// A head that has not answered by then does not.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// What a look is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) filter: Filter,
    /// Of which page, as the head calls it; empty: the first.
    pub(super) page: String,
}

/// What is there, as far as it is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    pub(super) wanted: Wanted,
    /// Those that have not ended, the newest first; then, on the first page, the last that have.
    pub(super) jobs: Vec<pb::Job>,
    /// The page behind this one; empty: there is none.
    pub(super) next_page: String,
    pub(super) workers: Vec<pb::Worker>,
    /// Whether these are all of them.
    pub(super) has_all_workers: bool,
    /// How jobs follow each other in the order, from 1.
    pub(super) ranks: BTreeMap<String, u32>,
    pub(super) cluster: pb::Cluster,
}

/// One look.
///
/// Errors: what the head answers; `Unavailable` if it does not.
pub(super) async fn look(client: &Client, wanted: &Wanted) -> Result<Sight, Error> {
    let looked = tokio::time::timeout(ANSWERS_WITHIN, ask(client, wanted)).await;
    looked.unwrap_or_else(|_| Err(Error::unavailable(format!("no answer within {} s", ANSWERS_WITHIN.as_secs()))))
}

async fn ask(client: &Client, wanted: &Wanted) -> Result<Sight, Error> {
    let (mut jobs_of, mut ended_of) = (client.jobs(), client.jobs());
    let (mut workers_of, mut order_of, mut cluster_of) = (client.cluster(), client.cluster(), client.cluster());
    let Wanted { filter, page } = wanted;
    let ended = async {
        match filter.ended(ENDED).filter(|_| page.is_empty()) {
            Some(request) => ended_of.list_jobs(request).await,
            None => Ok(Response::new(pb::ListJobsResponse::default())),
        }
    };
    let asked = tokio::try_join!(
        jobs_of.list_jobs(filter.request(page.clone(), PAGE)),
        ended,
        workers_of.list_workers(pb::ListWorkersRequest { page_size: PAGE, page_token: String::new() }),
        order_of.get_order(pb::GetOrderRequest { limit: HAND_OUTS, what_if: None }),
        cluster_of.get_cluster(pb::GetClusterRequest {}),
    );
    let (live, ended, workers, order, cluster) = asked.map_err(|status: Status| client.error(&status))?;
    let pb::ListJobsResponse { mut jobs, next_page_token: next_page } = live.into_inner();
    // One that ended between the two listings is in both.
    let ended = ended.into_inner().jobs.into_iter().filter(|job| jobs.iter().all(|other| other.id != job.id)).collect::<Vec<_>>();
    jobs.extend(ended);
    let pb::ListWorkersResponse { workers, next_page_token: more } = workers.into_inner();
    Ok(Sight {
        wanted: wanted.clone(),
        jobs,
        next_page,
        workers,
        has_all_workers: more.is_empty(),
        ranks: ranks(&order.into_inner()),
        cluster: cluster.into_inner(),
    })
}

/// A job's rank is that of its first hand-out among those of the others.
fn ranks(order: &pb::Order) -> BTreeMap<String, u32> {
    let mut ranks = BTreeMap::new();
    for pb::HandOut { job, .. } in &order.next {
        let next = ranks.len() as u32 + 1;
        ranks.entry(job.clone()).or_insert(next);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_rank_is_that_of_its_first_slot() {
        let hand_out = |job: &str| pb::HandOut { job: job.into(), ..Default::default() };
        let order = pb::Order { next: ["j9", "j7", "j9", "j8"].map(hand_out).into(), ..Default::default() };
        let ranks: Vec<(String, u32)> = ranks(&order).into_iter().collect();
        assert_eq!(ranks, [("j7".into(), 2), ("j8".into(), 3), ("j9".into(), 1)]);
    }
}
