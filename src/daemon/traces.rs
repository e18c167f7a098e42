//! Whether, and where to, a head sends the ways of tasks.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::actors::Head;
use crate::actors::tracer::{SpanQueue, Traces};
use crate::domain::Error;
use crate::engine::trail::Share;
use crate::rpc::collector::Collector;

/// Options of traces. Their variables are OpenTelemetry's; an empty one is none.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Send the ways of tasks, as OpenTelemetry traces, to this collector, by OTLP over gRPC, as http://127.0.0.1:4317; without it: nowhere
    #[arg(long = "traces", value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub url: Option<String>,
    /// Of which part of all tasks, from 0 to 1; all attempts of a task are in it, or none [default: 1]
    #[arg(long = "traces-ratio", value_name = "RATIO", env = "OTEL_TRACES_SAMPLER_ARG")]
    pub ratio: Option<Share>,
    /// A file of the authorities that vouch for a collector at https://; without it: those of the machine
    #[arg(long = "traces-ca", value_name = "FILE", env = "OTEL_EXPORTER_OTLP_CERTIFICATE", value_parser = clap::value_parser!(OsString))]
    pub authorities: Option<OsString>,
    /// What the head is called there [default: millpond-head]
    #[arg(long = "traces-name", value_name = "NAME", env = "OTEL_SERVICE_NAME")]
    pub service: Option<String>,
}

/// Where they go.
pub(super) struct Sending {
    collector: Collector,
    queue: SpanQueue,
}

/// What sends them.
pub(super) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl TraceArgs {
    /// What the head is given, and who sends what comes of it; none where nobody wants that.
    pub(super) fn open(self) -> Result<Option<(Traces, Sending)>, Error> {
        let Some(url) = self.url.filter(|url| !url.is_empty()) else { return Ok(None) };
        let authorities = self.authorities.filter(|file| !file.is_empty());
        let service = self.service.filter(|name| !name.is_empty()).unwrap_or_else(|| "millpond-head".into());
        let collector = Collector::new(&url, authorities.as_deref().map(Path::new), &service)?;
        let (traces, queue) = Traces::new(self.ratio.unwrap_or(Share::ALL));
        tracing::info!(collector = url, "the ways of tasks are sent to a collector of traces");
        Ok(Some((traces, Sending { collector, queue })))
    }
}

impl Sending {
    pub fn start(self, head: &Head) -> Running {
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.collector.gets(self.queue, head.meters.clone(), stop.clone()));
        Running { stop, task }
    }
}

impl Running {
    /// What is left is sent, within a second.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}
