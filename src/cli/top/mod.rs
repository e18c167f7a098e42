//! `top`: jobs and workers on the whole screen, as they change, and the keys that steer them.
//!
//! A [`model`] that is a plain value hears of keys and of what was seen, and says what is to be asked; [`run`](mod@run) asks it. [`draw`] is a function
//! from the model to the cells of a screen, [`screen`] the terminal, [`looking`] the one task that looks at the head.
//!
//! Invariant: what is asked of the head does not grow with its tasks: a page of jobs, the last few that ended, a page of workers.

mod canvas;
mod columns;
mod deed;
mod draw;
mod filter;
mod job_rows;
mod key;
mod keyboard;
mod looking;
mod model;
mod run;
mod screen;
mod sight;
mod worker_rows;

#[cfg(test)]
mod tests;

pub(crate) use run::{EXAMPLES, TopArgs, run};
