//! Floor 5: what the head answers by plain HTTP, to browsers, scripts, and whoever moves much data.
//!
//! Invariant: nothing here touches the store or an actor's insides. What is here is also there by gRPC, with one implementation beneath.

mod api;
mod asker;
mod bundle;
mod page;
mod routes;
mod session;
mod upload;

pub use routes::routes;
