//! JSON over HTTP, below `/v1/`: what the pages and scripts use. `docs/openapi.json` describes it, and is checked against the list of routes.
//!
//! A route reads a path, a query and a body into the message of a method, calls that method as whoever asks, and answers with the document that
//! the command line prints for it.
//!
//! Invariant: no decision is made here. A word that is not understood is refused, wherever it stands: what is overlooked would be done otherwise
//! than it was meant.

mod ask;
mod audit;
mod datasets;
mod events;
mod follow;
mod gate;
mod identities;
mod jobs;
mod logs;
mod machines;
mod openapi;
mod quotas;
mod refusal;
mod routes;
mod submission;
mod values;
mod verbs;

pub(super) use ask::{Id, Sent};
pub(super) use refusal::Answer;
pub(super) use routes::router;
