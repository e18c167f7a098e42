//! `GET /metrics`: what the head counts, for Prometheus and what reads like it. `deploy/grafana` shows it.
//!
//! Gauges are asked for when the page is: they cost nothing in between. Labels are of this program; none is somebody's.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderValue, header};

use super::exposition::{CONTENT_TYPE, Exposition, Kind};
use super::process::Process;
use super::routes::Web;
use crate::actors::supervisor::WorkerStatus;
use crate::domain::{Error, JobState};
use crate::engine::scale::Demand;
use crate::engine::{Census, Meters, WorkerPhase};
use crate::rpc::http::error_response;
use crate::rpc::services::{Who, demand};

pub(super) async fn get(State(web): State<Web>, request: Request) -> Response {
    answer(&web, &request.into_parts().0.extensions).await.unwrap_or_else(|error| error_response(&error))
}

async fn answer(web: &Web, caller: &http::Extensions) -> Result<Response, Error> {
    Who::asks(caller, &web.head, "GET /metrics").await?;
    let figures = Figures::of(web).await?;
    let mut response = Response::new(Body::from(figures.page(&web.head.meters).into_text()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}

/// What is asked for when the page is.
struct Figures {
    census: Census,
    workers: Vec<WorkerStatus>,
    demand: Demand,
    datasets: u64,
    dataset_bytes: u64,
    uploads_open: usize,
    journal_bytes: u64,
    disk_free_bytes: u64,
    disk_size_bytes: u64,
    process: Process,
    started_seconds: f64,
}

impl Figures {
    async fn of(web: &Web) -> Result<Self, Error> {
        let head = &web.head;
        let (census, workers, loads, (datasets, dataset_bytes)) =
            tokio::try_join!(head.census(), head.workers(), head.loads(), head.stored())?;
        let of_disk = head.clone();
        let read = tokio::task::spawn_blocking(move || (of_disk.journal_bytes(), Process::now()));
        let (journal_bytes, process) = read.await.map_err(|error| Error::internal(format!("reading the disk broke off: {error}")))?;
        let room = head.disk.gauge().room;
        Ok(Self {
            census,
            demand: demand(&loads, &workers),
            workers,
            datasets,
            dataset_bytes,
            uploads_open: web.uploads.open(),
            journal_bytes: journal_bytes?,
            disk_free_bytes: room.free,
            disk_size_bytes: room.total,
            process,
            started_seconds: head.started.0 as f64 / 1e6,
        })
    }

    fn page(&self, meters: &Meters) -> Exposition {
        let mut page = Exposition::default();
        page.family("millpond_build_info", Kind::Gauge, "Always 1; the version of the head is its label.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        self.jobs(meters, &mut page);
        self.workers(&mut page);
        page.histogram(
            "millpond_dispatch_seconds",
            "From the word that a worker has room, or a job tasks, to the runs in their worker's stream.",
            &meters.dispatch,
        );
        self.storage(meters, &mut page);
        connections(meters, &mut page);
        traces(meters, &mut page);
        self.process(&mut page);
        page
    }

    fn jobs(&self, meters: &Meters, page: &mut Exposition) {
        let Census { jobs, held, undispatched, running } = &self.census;
        let mut family = page.family("millpond_jobs", Kind::Gauge, "Jobs that the head knows, by state.");
        for state in JobState::ALL {
            family.sample(&[("state", state.name())], jobs.get(&state).copied().unwrap_or(0) as f64);
        }
        page.gauge("millpond_jobs_held", "Jobs that are paused.", *held as f64);
        let mut family =
            page.family("millpond_tasks_open", Kind::Gauge, "Tasks of jobs that have not ended, by whether they have started.");
        family.sample(&[("state", "undispatched")], *undispatched as f64);
        family.sample(&[("state", "running")], *running as f64);
        let mut family = page.family("millpond_tasks_total", Kind::Counter, "Tasks whose end is durable, since the start of the head.");
        family.sample(&[("outcome", "succeeded")], meters.succeeded.get() as f64);
        family.sample(&[("outcome", "failed")], meters.failed.get() as f64);
    }

    fn workers(&self, page: &mut Exposition) {
        let mut family =
            page.family("millpond_workers", Kind::Gauge, "Workers that the head has ever seen, by state; `away` is not connected.");
        for phase in WorkerPhase::ALL {
            family.sample(&[("state", phase.name())], self.workers.iter().filter(|worker| worker.phase == phase).count() as f64);
        }
        let mut family = page.family(
            "millpond_slots",
            Kind::Gauge,
            "Slots of connected workers: with a task, without one, or closed to tasks (draining, resting, suspected, joining).",
        );
        for (state, slots) in slots(&self.workers) {
            family.sample(&[("state", state)], slots as f64);
        }
        let Demand { slots, unfit, .. } = self.demand;
        page.gauge(
            "millpond_slots_wanted",
            "Slots that would be busy now, if there were enough: what an autoscaler follows.",
            slots.into(),
        );
        page.gauge("millpond_tasks_unfit", "Tasks that would run now, but fit no worker that the head has ever seen.", unfit.into());
    }

    fn storage(&self, meters: &Meters, page: &mut Exposition) {
        page.histogram(
            "millpond_journal_sync_seconds",
            "How long a batch of the journal took until it was durable, with the results that it refers to.",
            &meters.journal_sync,
        );
        page.histogram("millpond_journal_batch_entries", "Entries of a batch of the journal.", &meters.journal_batch);
        page.counter(
            "millpond_journal_written_bytes_total",
            "Bytes of batches of the journal, since the start of the head.",
            meters.journal_written_bytes.get() as f64,
        );
        page.gauge("millpond_journal_bytes", "What the journal takes on the disk.", self.journal_bytes as f64);
        page.gauge("millpond_disk_free_bytes", "What may still be written to the disk of the data folder.", self.disk_free_bytes as f64);
        page.gauge("millpond_disk_size_bytes", "All of that disk.", self.disk_size_bytes as f64);
        page.gauge("millpond_datasets", "Data sets that are stored.", self.datasets as f64);
        page.gauge("millpond_dataset_bytes", "Bytes of data sets.", self.dataset_bytes as f64);
        page.gauge("millpond_uploads_open", "Uploads that a client is at now.", self.uploads_open as f64);
    }

    fn process(&self, page: &mut Exposition) {
        let Process { resident_bytes, cpu_seconds, open_fds, max_fds } = self.process;
        page.counter("process_cpu_seconds_total", "Processor time of the head.", cpu_seconds);
        page.gauge("process_resident_memory_bytes", "Memory of the head.", resident_bytes as f64);
        page.gauge("process_open_fds", "Files that the head has open.", open_fds as f64);
        page.gauge("process_max_fds", "Files that it may have open.", max_fds.map_or(f64::INFINITY, |max| max as f64));
        page.gauge("process_start_time_seconds", "When it was started, since 1970.", self.started_seconds);
    }
}

fn connections(meters: &Meters, page: &mut Exposition) {
    page.gauge("millpond_connections", "Connections that are open.", meters.connections.get() as f64);
    page.counter(
        "millpond_connections_refused_total",
        "Connections that were refused, as there were too many.",
        meters.connections_refused.get() as f64,
    );
    let mut family = page.family(
        "millpond_requests_total",
        Kind::Counter,
        "Calls, by method and by what the beginning of their answer says; a stream counts when it begins.",
    );
    for (method, ended, count) in meters.calls.read() {
        family.sample(&[("method", method), ("outcome", ended.name())], count as f64);
    }
}

fn traces(meters: &Meters, page: &mut Exposition) {
    let help =
        "Spans of tasks' ways, where the head is told to send them: those that the collector has taken, and those that it has not got.";
    let mut family = page.family("millpond_trace_spans_total", Kind::Counter, help);
    family.sample(&[("outcome", "sent")], meters.spans_sent.get() as f64);
    family.sample(&[("outcome", "dropped")], meters.spans_dropped.get() as f64);
}

/// Slots of connected workers. What is sent to a worker takes a slot there, also before it has started; what waits behind its slots takes none.
fn slots(workers: &[WorkerStatus]) -> [(&'static str, u64); 3] {
    let (mut busy, mut free, mut closed) = (0, 0, 0);
    for worker in workers {
        let slots = u64::from(worker.info.slots);
        let taken = slots.min(worker.leases.len() as u64);
        match worker.phase {
            WorkerPhase::Away => continue,
            WorkerPhase::Available | WorkerPhase::Busy => free += slots - taken,
            WorkerPhase::Draining | WorkerPhase::Joining | WorkerPhase::Resting | WorkerPhase::Suspected => closed += slots - taken,
        }
        busy += taken;
    }
    [("busy", busy), ("free", free), ("closed", closed)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::wire::Lease;
    use crate::domain::{Attempt, Epoch, JobId, Resources, TaskNo, WorkerInfo};
    use crate::engine::session::LeaseStatus;

    fn worker(phase: WorkerPhase, slots: u32, tasks: u32) -> WorkerStatus {
        let lease = |no| LeaseStatus {
            lease: Lease { job: JobId(1), no: TaskNo(no), attempt: Attempt(1), epoch: Epoch(1) },
            started: true,
            since: None,
        };
        WorkerStatus {
            info: WorkerInfo { id: Default::default(), key: String::new(), host: String::new(), slots, total: Resources::default() },
            phase,
            note: String::new(),
            since: None,
            drained: false,
            free: 0,
            leases: (0..tasks).map(lease).collect(),
            used: Resources::default(),
            kept_for: None,
            confines: None,
            attached: None,
            left: false,
        }
    }

    #[test]
    fn a_slot_is_busy_free_or_closed_and_none_of_it_where_its_worker_is_away() {
        let workers = [
            worker(WorkerPhase::Available, 4, 1),
            // Two wait behind its slots.
            worker(WorkerPhase::Busy, 2, 4),
            worker(WorkerPhase::Draining, 8, 3),
            worker(WorkerPhase::Away, 16, 0),
        ];
        assert_eq!(slots(&workers), [("busy", 6), ("free", 3), ("closed", 5)]);
    }
}
