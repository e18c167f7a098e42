//! Since when a job is as it is, and how long its tasks take.

use crate::domain::{Instant, Timing};
use crate::engine::now::Now;

use super::machine::{JobMachine, Out};

impl JobMachine {
    /// Of a machine that is just made: what the journal says of it.
    pub(super) fn begin_times(&mut self) {
        self.was = (self.state(), self.record.held);
        let is_new = self.record.total.is_none() && self.record.control_version == 0;
        let ended = self.record.ended.as_ref().map(|ended| ended.at);
        self.since = ended.or(is_new.then_some(self.record.created));
    }

    /// Something has happened: notes from when it is as it is.
    pub(super) fn note_times(&mut self, now: Now) {
        let is = (self.state(), self.record.held);
        if is != self.was {
            self.was = is;
            self.since = self.record.ended.as_ref().map(|ended| ended.at).or(Some(now.wall));
        }
        match (self.record.hold.freeze, self.frozen) {
            (true, None) => self.frozen = Some(now.mono),
            (false, Some(since)) => {
                self.frozen = None;
                self.thaw(since, now.mono);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// What stood still has taken no time meanwhile.
    fn thaw(&mut self, since: Instant, now: Instant) {
        for (no, out) in &mut self.out {
            let stood = now.since(since.max(out.handed));
            self.hands.take(*no, out.handed);
            out.handed = out.handed.after(stood);
            self.hands.put(*no, out.handed);
        }
    }

    /// How long an attempt that has ended was in its worker's hands, in seconds; of one from before this machine how long it ran, as its worker
    /// says.
    pub(super) fn seconds_of(&self, out: &Out, timing: Timing, now: Instant) -> f64 {
        match out.sent {
            Some(_) => now.min(self.frozen.unwrap_or(now)).since(out.handed).as_secs_f64(),
            None => timing.ended.0.saturating_sub(timing.started.0).max(0) as f64 / 1e6,
        }
    }
}
