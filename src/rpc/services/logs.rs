//! What a task printed, unpacked from its result.

use std::io::Read;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress};
use tokio::sync::OwnedSemaphorePermit;

use crate::actors::task_result::TaskResult;
use crate::domain::{EntryKind, Error};
use crate::limits::PIECE_BYTES;
use crate::rpc::pb;

use super::pieces::{self, PieceStream};

/// The wanted stream of a result, in pieces; nothing at all if the task wrote nothing there.
pub fn log(result: TaskResult, kind: EntryKind, permit: OwnedSemaphorePermit) -> PieceStream<pb::DataPiece> {
    pieces::send(permit, move |send| {
        let mut offset = result.data_offset;
        for entry in &result.meta.packed.entries {
            if entry.kind == kind {
                let packed = Packed { result: &result, offset, end: offset + entry.packed_len };
                return unpack(packed, entry.len, send);
            }
            offset += entry.packed_len;
        }
        Ok(())
    })
}

struct Packed<'a> {
    result: &'a TaskResult,
    offset: u64,
    end: u64,
}

impl Read for Packed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = (self.end - self.offset).min(buf.len() as u64) as usize;
        self.result.files.segment.read_exact_at(self.offset, &mut buf[..len]).map_err(std::io::Error::other)?;
        self.offset += len as u64;
        Ok(len)
    }
}

fn unpack(mut packed: Packed<'_>, len: u64, send: &mut dyn FnMut(pb::DataPiece) -> bool) -> Result<(), Error> {
    let damaged = |error: &dyn std::fmt::Display| Error::corrupt(format!("the stored output can't be unpacked: {error}"));
    let mut inflate = Decompress::new(false);
    let mut input = vec![0; PIECE_BYTES];
    let mut first = true;
    while inflate.total_out() < len {
        let read = packed.read(&mut input).map_err(|error| damaged(&error))?;
        if read == 0 {
            return Err(damaged(&"it is too short"));
        }
        let mut at = 0;
        while at < read && inflate.total_out() < len {
            let mut out = Vec::with_capacity(PIECE_BYTES);
            let before = inflate.total_in();
            inflate.decompress_vec(&input[at..read], &mut out, FlushDecompress::None).map_err(|error| damaged(&error))?;
            let used = (inflate.total_in() - before) as usize;
            if used == 0 && out.is_empty() {
                return Err(damaged(&"it makes no progress"));
            }
            at += used;
            let total_len = if first { len } else { 0 };
            first = false;
            if !out.is_empty() && !send(pb::DataPiece { data: Bytes::from(out), total_len, etag: String::new() }) {
                return Ok(());
            }
        }
    }
    Ok(())
}
