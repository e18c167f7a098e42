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

/// Options of traces. Beside each stands what OpenTelemetry calls it in the environment: what an option says counts more. Variables may be meant
/// for other programs: one that is not understood is said, and keeps no head from starting.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Send the ways of tasks, as OpenTelemetry traces, to this collector, by OTLP over gRPC, as http://127.0.0.1:4317; without it: nowhere
    /// [env: OTEL_EXPORTER_OTLP_ENDPOINT]
    #[arg(long = "traces", value_name = "URL")]
    pub url: Option<String>,
    /// Of which part of all tasks, from 0 to 1; all attempts of a task are in it, or none [default: 1] [env: OTEL_TRACES_SAMPLER_ARG]
    #[arg(long = "traces-ratio", value_name = "RATIO")]
    pub ratio: Option<Share>,
    /// A file of the authorities that vouch for a collector at https://; without it: those of the machine
    /// [env: OTEL_EXPORTER_OTLP_CERTIFICATE]
    #[arg(long = "traces-ca", value_name = "FILE", value_parser = clap::value_parser!(OsString))]
    pub authorities: Option<OsString>,
    /// What the head is called there [default: millpond-head] [env: OTEL_SERVICE_NAME]
    #[arg(long = "traces-name", value_name = "NAME")]
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
    /// What the head is given, and who sends what comes of it; none where nobody wants that. `variable` reads the environment.
    pub(super) fn open(self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<(Traces, Sending)>, Error> {
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        let is_stated = self.url.is_some();
        let meant = if is_stated { None } else { text("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|_| wants_grpc(&text)) };
        let Some(url) = self.url.or(meant) else { return Ok(None) };
        let ratio = match (self.ratio, text("OTEL_TRACES_SAMPLER_ARG").map(|arg| arg.parse())) {
            (Some(ratio), _) | (None, Some(Ok(ratio))) => ratio,
            (None, None) => Share::ALL,
            (None, Some(Err(error))) => {
                tracing::warn!(%error, "OTEL_TRACES_SAMPLER_ARG is not heeded: all tasks are followed");
                Share::ALL
            }
        };
        let authorities = self.authorities.or_else(|| variable("OTEL_EXPORTER_OTLP_CERTIFICATE")).filter(|file| !file.is_empty());
        let service = self.service.or_else(|| text("OTEL_SERVICE_NAME")).unwrap_or_else(|| "millpond-head".into());
        let collector = match Collector::new(&url, authorities.as_deref().map(Path::new), &service) {
            Err(error) if !is_stated => {
                tracing::warn!(%error, "OTEL_EXPORTER_OTLP_ENDPOINT is not heeded: no traces are sent");
                return Ok(None);
            }
            made => made?,
        };
        let (traces, queue) = Traces::new(ratio);
        tracing::info!(collector = url, "the ways of tasks are sent to a collector of traces");
        Ok(Some((traces, Sending { collector, queue })))
    }
}

/// Whether the environment names a collector for what is spoken here.
fn wants_grpc(text: &impl Fn(&str) -> Option<String>) -> bool {
    let is_off = text("OTEL_SDK_DISABLED").is_some_and(|off| off.eq_ignore_ascii_case("true"));
    let goes_elsewhere = text("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter != "otlp");
    let protocol = text("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| text("OTEL_EXPORTER_OTLP_PROTOCOL"));
    !is_off && !goes_elsewhere && protocol.is_none_or(|protocol| protocol == "grpc")
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: TraceArgs = TraceArgs { url: None, ratio: None, authorities: None, service: None };

    fn opens(args: TraceArgs, variables: &[(&str, &str)]) -> Result<bool, Error> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        args.open(variable).map(|opened| opened.is_some())
    }

    #[test]
    fn the_environment_switches_traces_on_and_never_keeps_a_head_from_starting() {
        let there = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://lab:4317");
        assert!(!opens(NOTHING, &[]).unwrap() && opens(NOTHING, &[there]).unwrap());
        assert!(opens(NOTHING, &[there, ("OTEL_TRACES_SAMPLER_ARG", "endpoint=http://jaeger")]).unwrap());
        assert!(!opens(NOTHING, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "lab:4317")]).unwrap());
        assert!(!opens(NOTHING, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).unwrap());
        for off in [
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ] {
            assert!(!opens(NOTHING, &[there, off]).unwrap(), "{off:?}");
            let stated = TraceArgs { url: Some("http://lab:4317".into()), ..NOTHING };
            assert!(opens(stated, &[off]).unwrap(), "what an option says counts more: {off:?}");
        }
        let bad = TraceArgs { url: Some("lab:4317".into()), ..NOTHING };
        assert!(opens(bad, &[]).unwrap_err().message.contains("`lab:4317`"));
    }
}
