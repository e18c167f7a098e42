//! A piece of what a task prints, for one who follows it.

use serde::Serialize;

use super::VERSION;
use crate::rpc::pb;

/// Its bytes as text: what is no UTF-8 is shown as `\u{fffd}`.
#[derive(Serialize)]
pub(crate) struct LogPiece<'a> {
    version: u32,
    attempt: Option<u32>,
    offset: u64,
    left_out: u64,
    data: &'a str,
    text: &'a str,
    ended: bool,
}

impl<'a> LogPiece<'a> {
    /// `offset` is that of the first byte of `data`: what came with it, and is no whole character yet, waits for the next piece.
    pub(crate) fn of(piece: &'a pb::LogPiece, offset: u64, data: &'a str) -> Self {
        let attempt = (piece.attempt > 0).then_some(piece.attempt);
        Self { version: VERSION, attempt, offset, left_out: piece.left_out, data, text: &piece.text, ended: piece.ended }
    }
}
