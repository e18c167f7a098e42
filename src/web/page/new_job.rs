//! A new job: data, command, options, and the command line that would do the same.

use axum::extract::State;
use axum::response::Response;
use http::Uri;
use maud::{Markup, html};

use crate::domain::Error;
use crate::rpc::pb;
use crate::rpc::pb::dataset_service_server::DatasetService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::layout::{Page, is_stranger, may, refusal, to_login};

/// Data sets to choose from.
const PAGE_DATASETS: i32 = 200;

pub(super) async fn get(State(web): State<Web>, asker: Asker, uri: Uri) -> Response {
    if is_stranger(&web, &asker) {
        return to_login(uri.path());
    }
    match content(&web, &asker).await {
        Ok(content) => Page { title: "New job".into(), place: "/new", live: None, content }.response(&web, &asker),
        Err(error) => refusal(&web, &asker, &error),
    }
}

async fn content(web: &Web, asker: &Asker) -> Result<Markup, Error> {
    let request = pb::ListDatasetsRequest { page_size: PAGE_DATASETS, page_token: String::new() };
    let page = answered(web.datasets.list_datasets(asker.asks(request)).await)?;
    if !may(web, asker, "/millpond.v1.JobService/SubmitJob") {
        return Ok(html! { h1 { "New job" } p { "You may look, and not submit: ask an admin for a token of the role submitter." } });
    }
    Ok(html! {
        h1 { "New job" }
        form.job #new-job {
            (data(&page.datasets))
            fieldset {
                legend { "Command" }
                label { "Command, as in a terminal; {input} is the chunk, {output} the folder for results"
                    textarea name="command" required spellcheck="false" placeholder="sort {input}" {}
                }
                p.faint { "It is no shell: for pipes and variables write sh -c '…'. A command that names no {input} gets the chunk on its standard input." }
                label { "Shared files, read by every task as {with:NAME}" input #with-file type="file" multiple; }
                ul #with-list {}
                label { "Environment, a NAME=VALUE a line" textarea name="env" spellcheck="false" {} }
            }
            (options())
            div.all {
                h2 { "The same in a terminal" }
                pre #command-line tabindex="0" aria-label="command line" {}
                div.verbs { button.main type="submit" { "Submit" } }
            }
        }
    })
}

fn data(datasets: &[pb::Dataset]) -> Markup {
    html! {
        fieldset {
            legend { "Data" }
            div.drop #drop {
                label { "A file from this computer; or drop it here" input #data-file type="file"; }
            }
            p #upload-progress role="status" hidden { progress max="1" value="0" aria-label="upload" {} span {} }
            label { "Data set"
                select name="dataset" {
                    option value="" { "choose one that is stored" }
                    @for data in datasets { option value=(data.digest) data-name=(data.name) { (data.name) } }
                }
            }
            label { "Split; empty: by the name's ending" input name="split" list="rules" placeholder="lines:1000" maxlength="4096" spellcheck="false"; }
            datalist #rules {
                @for rule in ["lines:1000", "chunks:8", "fasta:100", "fastq:1000", "mgf:200", "csv:1000", "jsonl:1000", "files:1"] {
                    option value=(rule) {}
                }
            }
            div #split-preview aria-live="polite" {}
            label { "Or an array, as 1-100, without data" input name="array" placeholder="1-100" maxlength="64"; }
        }
    }
}

fn options() -> Markup {
    let number = |name: &str, label: &str| html! { label { (label) input name=(name) type="number" min="0" max="1000000000"; } };
    let text = |name: &str, label: &str, like: &str| html! { label { (label) input name=(name) placeholder=(like) maxlength="200"; } };
    html! {
        fieldset {
            legend { "Options" }
            (text("name", "Name", ""))
            label { "Priority; higher goes sooner" input name="priority" type="number" min="-1000000" max="1000000"; }
            (number("max_running", "At most so many tasks at once"))
            (number("cpus", "Processors of each task"))
            (text("mem", "Memory of each task", "2G"))
            (text("image", "Container image of each task", "debian:12"))
            (number("gpus", "Graphics processors of each task"))
            (text("timeout", "Time limit of each task", "30m"))
            (number("retries", "Further tries of a task that failed"))
            (text("max_failed", "Give up when more have failed", "5%"))
            (text("keep", "Keep the results", "30d"))
            label { "Standard outputs"
                select name="merge" { option value="" { "one of each task" } option value="concat" { "joined in order" } }
            }
            label { input name="hold" type="checkbox" value="true"; " paused at first" }
        }
    }
}
