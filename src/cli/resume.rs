//! `resume`: tasks of a paused job may start again.

use super::controlled::{ControlArgs, control, counts};
use super::exit::Ending;
use super::selector::Meant;
use super::ui::Ui;
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

pub(crate) async fn run(args: ControlArgs, client: &Client, ui: &mut Ui) -> Ending {
    let verb =
        |id, request_id| Verb::Resume(pb::ResumeJobRequest { id, request_id, reason: args.how.reason.clone(), ..Default::default() });
    control(&args, Meant::Live, client, ui, verb, sentence).await
}

/// What came of it.
pub(crate) fn sentence(job: &pb::Job, reply: &pb::ControlReply) -> String {
    let how = if reply.changed { "resumed" } else { "was not paused" };
    format!("{} {how}: {}", job.id, counts(reply))
}
