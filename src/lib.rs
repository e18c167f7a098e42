//! Millpond runs one command over every piece of a data set, on many machines, and stays steerable while it does.
//!
//! `ARCHITECTURE.md` has the map. Floors: [`domain`] and [`limits`] < [`engine`], [`split`], [`unpack`], [`codec`], [`failpoint`] < [`archive`], [`store`],
//! [`blobs`], [`bundle`], [`exec`], [`pki`], [`audit`] < [`actors`] < [`rpc`] < [`cli`], [`web`] < [`daemon`] < the binaries. A module uses only what
//! stands below it.

pub mod actors;
pub mod archive;
pub mod audit;
pub mod blobs;
pub mod bundle;
pub mod cli;
pub mod codec;
pub mod daemon;
pub mod domain;
pub mod engine;
pub mod exec;
pub mod failpoint;
pub mod limits;
pub mod pki;
pub mod rpc;
pub mod split;
pub mod store;
pub mod unpack;
pub mod web;
