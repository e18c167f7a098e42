//! A new job: data, command, options, and the command line that would do the same. `?like=j7` begins with what that job was asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::Uri;
use maud::{Markup, html};

use crate::domain::Error;
use crate::limits::{DEFAULT_GRACE, DEFAULT_RETRY_DELAY};
use crate::rpc::pb;
use crate::rpc::pb::dataset_service_server::DatasetService;
use crate::rpc::pb::job_service_server::JobService;
use crate::rpc::units::wire_duration;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::layout::{Page, is_stranger, may, refusal, to_login};
use super::words::command_line;

/// Data sets to choose from.
const PAGE_DATASETS: i32 = 200;

pub(super) async fn get(State(web): State<Web>, asker: Asker, uri: Uri) -> Response {
    if is_stranger(&web, &asker) {
        return to_login(uri.path_and_query().map_or("/new", |address| address.as_str()));
    }
    match content(&web, &asker, uri.query().unwrap_or_default()).await {
        Ok(content) => Page { title: "New job".into(), place: "/new", live: None, content }.response(&web, &asker),
        Err(error) => refusal(&web, &asker, &error),
    }
}

async fn content(web: &Web, asker: &Asker, query: &str) -> Result<Markup, Error> {
    let like = form_urlencoded::parse(query.as_bytes()).find(|(word, _)| word == "like");
    let filled = match like {
        Some((_, id)) => Filled::like(&answered(web.jobs.get_job(asker.asks(pb::GetJobRequest { id: id.into_owned() })).await)?),
        None => Filled::default(),
    };
    let request = pb::ListDatasetsRequest { page_size: PAGE_DATASETS, page_token: String::new() };
    let page = answered(web.datasets.list_datasets(asker.asks(request)).await)?;
    if !may(web, asker, "/millpond.v1.JobService/SubmitJob") {
        return Ok(html! { h1 { "New job" } p { "You may look, and not submit: ask an admin for a token of the role submitter." } });
    }
    Ok(html! {
        h1 { "New job" }
        form.job #new-job {
            (templates())
            (data(&page.datasets, &filled))
            fieldset {
                legend { "Command" }
                label { "Command, as in a terminal; {input} is the chunk, {output} the folder for results"
                    textarea name="command" required spellcheck="false" placeholder="sort {input}" { (filled.text("command")) }
                }
                p.faint { "It is no shell: for pipes and variables write sh -c '…'. A command that names no {input} gets the chunk on its standard input." }
                label { "Shared files, read by every task as {with:NAME}" input #with-file type="file" multiple; }
                ul #with-list { @for file in &filled.with { li data-name=(file.name) data-digest=(file.digest) { (file.name) } } }
                @if !filled.left_out.is_empty() {
                    p.notice.bad { "Left out, as their values have several lines: " (filled.left_out.join(", ")) ". The command line takes them." }
                }
                label { "Environment, a NAME=VALUE a line" textarea name="env" spellcheck="false" { (filled.text("env")) } }
            }
            (options(&filled))
            div.all {
                h2 { "The same in a terminal" }
                pre #command-line tabindex="0" aria-label="command line" {}
                div.verbs { button.main type="submit" { "Submit" } }
            }
        }
    })
}

/// What a form begins with, by the names of its fields.
#[derive(Default)]
struct Filled {
    texts: BTreeMap<&'static str, String>,
    /// The data set's name.
    dataset_name: String,
    with: Vec<pb::SharedFile>,
    /// Variables that can't be typed into the form.
    left_out: Vec<String>,
}

impl Filled {
    fn like(job: &pb::Job) -> Self {
        let spec = job.spec.clone().unwrap_or_default();
        let needs = spec.needs.unwrap_or_default();
        let number = |number: u32| if number > 0 { number.to_string() } else { String::new() };
        let lines =
            |pairs: Vec<(String, String)>| pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n");
        let span = |span: Option<prost_types::Duration>| span.map(seconds).unwrap_or_default();
        // A job has those also where nobody has stated them.
        let unless = |usual: Duration, stated: Option<prost_types::Duration>| span(stated.filter(|span| *span != wire_duration(usual)));
        let labels: BTreeMap<String, String> = needs.labels.into_iter().collect();
        // In a field of lines one of several would become several variables.
        let (typed, left_out): (Vec<_>, Vec<_>) = spec.env.into_iter().partition(|pair| !pair.value.contains(['\n', '\r']));
        let left_out = left_out.into_iter().map(|pair| pair.name).collect();
        let mut texts = BTreeMap::from([
            ("command", command_line(&spec.command)),
            ("name", spec.name),
            ("env", lines(typed.into_iter().map(|pair| (pair.name, pair.value)).collect())),
            ("labels", lines(labels.into_iter().collect())),
            ("priority", if job.priority == 0 { String::new() } else { job.priority.to_string() }),
            ("max_running", number(job.max_running)),
            ("cpus", number(needs.cpus)),
            ("mem", if needs.mem_bytes > 0 { exact_size(needs.mem_bytes) } else { String::new() }),
            ("gpus", number(needs.gpus)),
            ("image", spec.image),
            ("timeout", span(spec.timeout)),
            ("grace", unless(DEFAULT_GRACE, spec.grace)),
            ("retries", number(spec.retries)),
            ("retry_on", spec.retry_on.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
            ("retry_delay", unless(DEFAULT_RETRY_DELAY, spec.retry_delay)),
            ("max_failed", spec.max_failed),
            ("keep", if spec.keep_forever { "forever".into() } else { span(spec.keep) }),
            ("merge", if spec.merge == i32::from(pb::Merge::Concat) { "concat".into() } else { String::new() }),
        ]);
        let mut dataset_name = String::new();
        match spec.input {
            Some(pb::job_spec::Input::Dataset(data)) => {
                texts.extend([("dataset", data.digest), ("split", data.split)]);
                dataset_name = data.name;
            }
            Some(pb::job_spec::Input::Array(pb::ArrayInput { first, last, step })) => {
                let step = if step > 1 { format!(":{step}") } else { String::new() };
                texts.insert("array", format!("{first}-{last}{step}"));
            }
            None => {}
        }
        Self { texts, dataset_name, with: spec.shared_files, left_out }
    }

    fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    /// As the attribute of a field; none where nothing is said.
    fn value(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }
}

/// As it can be typed: `90s`, `1500ms`.
fn seconds(span: prost_types::Duration) -> String {
    match span.nanos / 1_000_000 {
        0 => format!("{}s", span.seconds),
        millis => format!("{}ms", span.seconds.saturating_mul(1000).saturating_add(millis.into())),
    }
}

/// As it can be typed, in the largest unit of which it is a whole number.
fn exact_size(bytes: u64) -> String {
    let unit = [(30, "G"), (20, "M"), (10, "K")].into_iter().find(|(bits, _)| bytes.trailing_zeros() >= *bits);
    unit.map_or_else(|| bytes.to_string(), |(bits, unit)| format!("{}{unit}", bytes >> bits))
}

/// Options that are kept under a name, in the browser: the script fills the list.
fn templates() -> Markup {
    html! {
        fieldset.all #templates {
            legend { "Templates" }
            div.verbs {
                label { "Begin with" select #template { option value="" { "nothing" } } }
                button #template-forget type="button" { "Forget it" }
                label { "Keep what is below as" input #template-name maxlength="100"; }
                button #template-keep type="button" { "Keep" }
            }
            p.faint { "They are kept in this browser, without the data. A job's page has a way to another job like it." }
        }
    }
}

fn data(datasets: &[pb::Dataset], filled: &Filled) -> Markup {
    let chosen = filled.text("dataset");
    let is_listed = datasets.iter().any(|data| data.digest == chosen);
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
                    @if !chosen.is_empty() && !is_listed { option value=(chosen) data-name=(filled.dataset_name) selected { (filled.dataset_name) } }
                    @for data in datasets { option value=(data.digest) data-name=(data.name) selected[data.digest == chosen] { (data.name) } }
                }
            }
            label { "Split; empty: by the name's ending" input name="split" list="rules" placeholder="lines:1000" maxlength="4096" spellcheck="false" value=[filled.value("split")]; }
            datalist #rules {
                @for rule in ["lines:1000", "chunks:8", "fasta:100", "fastq:1000", "mgf:200", "csv:1000", "jsonl:1000", "files:1"] {
                    option value=(rule) {}
                }
            }
            div #split-preview aria-live="polite" {}
            label { "Or an array, as 1-100, without data" input name="array" placeholder="1-100" maxlength="64" value=[filled.value("array")]; }
        }
    }
}

fn options(filled: &Filled) -> Markup {
    let number = |name: &str, label: &str| html! { label { (label) input name=(name) type="number" min="0" max="1000000000" value=[filled.value(name)]; } };
    let text = |name: &str, label: &str, like: &str| html! { label { (label) input name=(name) placeholder=(like) maxlength="512" value=[filled.value(name)]; } };
    html! {
        fieldset {
            legend { "Options" }
            (text("name", "Name", ""))
            label { "Priority; higher goes sooner" input name="priority" type="number" min="-1000000" max="1000000" value=[filled.value("priority")]; }
            (number("max_running", "At most so many tasks at once"))
            (number("cpus", "Processors of each task"))
            (text("mem", "Memory of each task", "2G"))
            (text("image", "Container image of each task", "debian:12"))
            (number("gpus", "Graphics processors of each task"))
            (text("timeout", "Time limit of each task", "30m"))
            (text("grace", "From being asked to end to being killed", "5s"))
            (number("retries", "Further tries of a task that failed"))
            (text("retry_on", "Only after these exit codes", "75, 137"))
            (text("retry_delay", "Before the second try", "1s"))
            (text("max_failed", "Give up when more have failed", "5%"))
            (text("keep", "Keep the results", "30d"))
            label { "Only on workers with these labels, a NAME=VALUE a line" textarea name="labels" spellcheck="false" { (filled.text("labels")) } }
            label { "Standard outputs"
                select name="merge" { option value="" { "one of each task" } option value="concat" selected[filled.text("merge") == "concat"] { "joined in order" } }
            }
            label { input name="hold" type="checkbox" value="true"; " paused at first" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_job_begins_with_what_the_first_was_asked_for() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let spec = pb::JobSpec {
            name: "<b>".into(),
            command: ["sh", "-c", "cat \"$1\"", "{input}"].map(String::from).to_vec(),
            input: Some(pb::job_spec::Input::Dataset(pb::DatasetInput {
                digest: "ab".into(),
                split: "mgf:200".into(),
                name: "a.mgf".into(),
            })),
            env: [("A", "1=2"), ("TEXT", "x\nB=2")].map(|(name, value)| pb::EnvVar { name: name.into(), value: value.into() }).into(),
            needs: Some(pb::Resources {
                mem_bytes: 3 << 30,
                labels: [pair("zone", "b"), pair("disk", "ssd")].into(),
                ..Default::default()
            }),
            timeout: Some(prost_types::Duration { seconds: 90, nanos: 0 }),
            grace: Some(wire_duration(DEFAULT_GRACE)),
            retry_delay: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            retry_on: vec![75, 137],
            merge: pb::Merge::Concat.into(),
            keep_forever: true,
            shared_files: vec![pb::SharedFile { name: "db".into(), digest: "cd".into(), len: 1 }],
            ..Default::default()
        };
        let filled = Filled::like(&pb::Job { spec: Some(spec.clone()), priority: -2, ..Default::default() });
        for (name, text) in [
            ("command", r#"sh -c 'cat "$1"' {input}"#),
            ("env", "A=1=2"),
            ("labels", "disk=ssd\nzone=b"),
            ("mem", "3G"),
            ("timeout", "90s"),
            ("grace", ""),
            ("retry_delay", "1500ms"),
            ("retry_on", "75, 137"),
            ("keep", "forever"),
            ("merge", "concat"),
            ("priority", "-2"),
            ("split", "mgf:200"),
            ("cpus", ""),
            ("array", ""),
        ] {
            assert_eq!(filled.text(name), text, "{name}");
        }
        assert_eq!(filled.left_out, ["TEXT"]);
        let page = data(&[], &filled).into_string() + &options(&filled).into_string();
        assert!(page.contains(r#"<option value="ab" data-name="a.mgf" selected>"#) && page.contains(r#"value="&lt;b&gt;""#), "{page}");
        let array = pb::job_spec::Input::Array(pb::ArrayInput { first: 1, last: 9, step: 2 });
        let filled = Filled::like(&pb::Job { spec: Some(pb::JobSpec { input: Some(array), ..spec }), ..Default::default() });
        assert_eq!((filled.text("array"), filled.text("dataset")), ("1-9:2", ""));
    }

    #[test]
    fn a_size_is_typed_exactly() {
        assert_eq!([1 << 30, 1536 << 20, 1 << 10, 1_000_000, 7].map(exact_size), ["1G", "1536M", "1K", "1000000", "7"]);
    }
}
