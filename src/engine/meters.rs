//! What a head counts of itself, for `GET /metrics`.
//!
//! Whoever does something adds to a number here; the page reads them. Each is an atomic for itself: nobody waits for anybody, and a page may be a
//! moment apart in itself. Where many things are done at once they are added at once: the journal adds a batch, a proxy a delivery.
//!
//! Invariant: what is counted apart is known when the program is built. Nothing here grows with jobs, tasks, workers or owners.

mod calls;
mod counter;
mod histogram;

pub use calls::{Calls, Ended};
pub use counter::{Counter, Gauge};
pub use histogram::{Buckets, Histogram};

/// Nanoseconds, up to which something took: 1, 2, 5 and so on, so that a percentile read from them is at most 2.5 times too large.
const SPANS: &[u64] = &[
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];
const NANOS_PER_SECOND: u32 = 1_000_000_000;
/// Entries of a batch, at most [`crate::limits::COMMIT_ENTRIES_MAX`].
const ENTRIES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// See the module. Since the start of the head: a restart begins at nothing.
#[derive(Debug)]
pub struct Meters {
    /// Tasks whose success is durable. One that is run again by `retry` counts again.
    pub succeeded: Counter,
    /// Tasks whose failure is durable.
    pub failed: Counter,
    /// From the word that made a hand-out possible to the runs in their worker's stream; one for each delivery, of one run or many. The word is
    /// a worker's room, or, where slots were free before, what the supervisor has just heard of a job.
    pub dispatch: Histogram,
    /// How long a batch took, with the results that it refers to, until it was durable.
    pub journal_sync: Histogram,
    /// Entries of a batch.
    pub journal_batch: Histogram,
    /// Bytes of batches.
    pub journal_written_bytes: Counter,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were refused, as there were too many.
    pub connections_refused: Counter,
    /// Calls of methods and pages.
    pub calls: Calls,
    /// Spans that the collector of traces has taken.
    pub spans_sent: Counter,
    /// Spans that it has not got: there were too many, or it did not want them.
    pub spans_dropped: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            succeeded: Counter::default(),
            failed: Counter::default(),
            dispatch: Histogram::new(SPANS, NANOS_PER_SECOND),
            journal_sync: Histogram::new(SPANS, NANOS_PER_SECOND),
            journal_batch: Histogram::new(ENTRIES, 1),
            journal_written_bytes: Counter::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            calls: Calls::default(),
            spans_sent: Counter::default(),
            spans_dropped: Counter::default(),
        }
    }
}
