//! Spans as OTLP has them. Attributes have the names of OpenTelemetry's conventions where there are such, and ours begin with `millpond.`.

use crate::actors::tracer::Hosts;
use crate::domain::{Outcome, WallTime};
use crate::engine::trail::{Span, Step};
use crate::limits::TRACE_TEXT_MAX_CHARS;
use crate::rpc::otlp::any_value::Value;
use crate::rpc::otlp::{
    self, AnyValue, ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans, SpanKind, Status,
    StatusCode,
};

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`, and that it is sampled: no parent is another program's.
const FLAGS: u32 = 0x101;

pub(super) fn request(spans: &[Span], hosts: &Hosts, service: &str) -> ExportTraceServiceRequest {
    let version = env!("CARGO_PKG_VERSION");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let attributes = vec![text("service.name", service), text("service.version", version), text("host.name", host)];
    let scope = InstrumentationScope { name: "millpond".into(), version: version.into() };
    let spans = spans.iter().map(|span| span_to_otlp(span, hosts)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource: Some(Resource { attributes }), scope_spans }] }
}

fn span_to_otlp(span: &Span, hosts: &Hosts) -> otlp::Span {
    let mut attributes =
        vec![text("millpond.job.id", span.job.to_string()), text("millpond.task.id", format!("{}.{}", span.job, span.index))];
    if span.step == Step::Task {
        attributes.push(text("millpond.job.name", &*span.job_name));
    }
    if let Some((attempt, worker)) = span.tried {
        attributes.push(number("millpond.attempt", attempt.0.into()));
        attributes.push(text("millpond.worker.id", worker.to_string()));
        attributes.extend(hosts.of(worker).map(|host| text("host.name", &*host)));
    }
    let mut status = None;
    if let Some(outcome) = &span.outcome {
        attributes.push(text("millpond.outcome", word(outcome)));
        if let Outcome::Exited { code } = outcome {
            attributes.push(number("process.exit.code", i64::from(*code)));
        }
        if span.has_failed() {
            attributes.push(text("error.type", word(outcome)));
            let message = outcome.describe().chars().take(TRACE_TEXT_MAX_CHARS).collect();
            status = Some(Status { message, code: StatusCode::Error.into() });
        }
    }
    otlp::Span {
        trace_id: span.trace.0.to_vec(),
        span_id: span.id.0.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.0.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: FLAGS,
        name: span.step.name().into(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(span.from),
        end_time_unix_nano: nanos(span.to),
        attributes,
        status,
    }
}

/// How it ended, of a few words.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Exited { .. } => "exited",
        Outcome::Signalled { .. } => "signalled",
        Outcome::TimedOut => "timed_out",
        Outcome::SpawnFailed { .. } => "spawn_failed",
        Outcome::OutputMissing { .. } => "output_missing",
        Outcome::Lost => "lost",
        Outcome::Revoked => "stopped",
        Outcome::Poison { .. } => "poison",
    }
}

fn nanos(at: WallTime) -> u64 {
    u64::try_from(at.0).unwrap_or(0).saturating_mul(1000)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Attempt, JobId, WorkerId};
    use crate::engine::trail::{SpanId, TraceId};

    fn span(step: Step, outcome: Option<Outcome>) -> Span {
        Span {
            trace: TraceId([1; 16]),
            id: SpanId(2),
            parent: Some(SpanId(3)),
            step,
            from: WallTime(5),
            to: WallTime(7),
            job: JobId(7),
            job_name: "squares".into(),
            index: 42,
            tried: (step != Step::Task).then_some((Attempt(2), WorkerId(4))),
            outcome,
        }
    }

    /// Its attributes and its status, as a person reads them.
    fn shown(span: &Span) -> String {
        let hosts = Hosts::default();
        hosts.learn(WorkerId(4), "lab4");
        let made = span_to_otlp(span, &hosts);
        let value = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        let attributes = made.attributes.into_iter().map(|pair| format!("{}={}", pair.key, value(pair.value)));
        let status = made.status.map(|status| format!("{:?}: {}", status.code(), status.message));
        attributes.chain(status).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_span_says_whose_it_is_and_how_it_ended() {
        let made = span_to_otlp(&span(Step::Sent, None), &Hosts::default());
        assert_eq!((made.name.as_str(), made.start_time_unix_nano, made.end_time_unix_nano), ("sent", 5000, 7000));
        assert_eq!((made.trace_id.len(), made.span_id, made.parent_span_id[7], made.status), (16, vec![0, 0, 0, 0, 0, 0, 0, 2], 3, None));
        let task = "millpond.job.id=j7 millpond.task.id=j7.42";
        let tried = format!("{task} millpond.attempt=2 millpond.worker.id=w4 host.name=lab4");
        assert_eq!(shown(&span(Step::Sent, None)), tried);
        let done = shown(&span(Step::Task, Some(Outcome::Exited { code: 0 })));
        assert_eq!(done, format!("{task} millpond.job.name=squares millpond.outcome=exited process.exit.code=0"));
        let failed = shown(&span(Step::Running, Some(Outcome::Exited { code: 3 })));
        assert_eq!(failed, format!("{tried} millpond.outcome=exited process.exit.code=3 error.type=exited Error: exit code 3"));
        let stopped = shown(&span(Step::Attempt, Some(Outcome::Revoked)));
        assert_eq!(stopped, format!("{tried} millpond.outcome=stopped"), "a person's word is no failure");
        let long = shown(&span(Step::Attempt, Some(Outcome::SpawnFailed { reason: "é".repeat(5000) })));
        assert!(long.ends_with('é') && long.len() < 1000, "{long}");
    }
}
