//! The pages: HTML that is made here, a little script of our own, nothing from elsewhere. What is live on a page is the same HTML, made again
//! when something has changed ([`live`]); so what a page costs depends on what it shows, and never on how many tasks there are.
//!
//! Invariant: what comes from people or tasks is put into a page by [`maud`], which escapes it; a page runs no script but ours, and loads
//! nothing from anywhere else (`Content-Security-Policy`).

mod assets;
mod bar;
mod charts;
mod data;
mod grid;
mod job;
mod jobs;
mod layout;
mod live;
mod login;
mod new_job;
mod order;
mod routes;
mod system;
mod task;
mod timeline;
mod view;
mod words;
mod worker;
mod workers;

pub(super) use routes::routes;
