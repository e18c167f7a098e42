//! Floor 1: the decisions of the cluster, as plain values that take an event and say what is to be done.
//!
//! [`JobMachine`] knows what of a job is not started, out, final. [`Session`] owns the leases of one connected worker. [`Roster`] and
//! [`rank`] say whose task goes next. [`SlotTable`] is the worker's side. [`Ledger`] is what the journal adds up to.
//!
//! Invariant: no I/O, no clock, no randomness, nothing async. Time comes in as [`Now`]; the same events give the same effects.

pub mod access;
pub mod admission;
mod alarm;
pub mod arrivals;
pub mod census;
pub mod deletions;
pub mod disk_gauge;
pub mod eta;
pub mod explain;
pub mod fault;
pub mod grid;
pub mod job;
pub mod job_filter;
pub mod launcher_deaths;
pub mod leased;
pub mod ledger;
pub mod meters;
pub mod notices;
pub mod now;
pub mod outbox;
pub mod pulse;
pub mod rank;
pub mod reading;
pub mod record;
pub mod retention;
pub mod roster;
pub mod scale;
pub mod session;
pub mod slot_table;
mod spread;
pub mod suspicion;
pub mod timeline;
pub mod tokens;
pub mod trail;
pub mod turnstile;
pub mod usage;
pub mod view;
pub mod worker_phase;
pub mod worker_record;

pub use admission::{Admission, Repeated};
pub use arrivals::Arrivals;
pub use census::Census;
pub use disk_gauge::{DiskGauge, Watermarks};
pub use eta::Foresight;
pub use fault::Fault;
pub use job::{JobEffect, JobEvent, JobMachine, Strays};
pub use job_filter::JobFilter;
pub use ledger::Ledger;
pub use meters::Meters;
pub use now::Now;
pub use outbox::Outbox;
pub use reading::Reading;
pub use record::JobRecord;
pub use retention::Retention;
pub use roster::{Roster, RosterEffect, RosterEvent};
pub use session::{Session, SessionEffect, SessionEvent};
pub use slot_table::{SlotEffect, SlotEvent, SlotTable};
pub use suspicion::Trust;
pub use tokens::Tokens;
pub use trail::Trail;
pub use view::JobView;
pub use worker_phase::WorkerPhase;
