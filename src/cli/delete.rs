//! `delete`: removes jobs that have ended, with their bundles.

use super::controlled::{ControlArgs, control};
use super::exit::Ending;
use super::selector::Meant;
use super::ui::Ui;
use crate::domain::counted;
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

pub(crate) async fn run(args: ControlArgs, client: &Client, ui: &mut Ui) -> Ending {
    let reason = args.how.reason.clone();
    let verb = |id, request_id| Verb::Delete(pb::DeleteJobRequest { id, request_id, reason: reason.clone(), ..Default::default() });
    control(&args, Meant::Ended, client, ui, verb, |job, _| {
        let results = u64::from(job.tasks.map_or(0, |tasks| tasks.succeeded));
        format!("{} is deleted, with the results of {}", job.id, counted(results, "task"))
    })
    .await
}
