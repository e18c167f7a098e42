//! When a task is to be ended, and what its end then means: a launcher's decisions, as a plain value.
//!
//! ```text
//!           Stop, time limit              grace over, Kill
//! Running ───────────────────► Terminating ─────────────────► Ending
//!    └── ended by itself, Kill, too much output ────────────────┘
//! ```

use std::time::Duration;

use super::protocol::End;
use crate::domain::Instant;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// The main process ended.
    MainEnded,
    /// Somebody wants it stopped.
    StopAsked { grace: Duration },
    /// Somebody wants it gone, or the worker died.
    KillAsked,
    /// Somebody wants it to stand still, or to go on.
    FreezeAsked { frozen: bool },
    /// It wrote more than it may; the line says what.
    OutputExceeded { reason: String },
    /// Time went by.
    Tick,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Wait,
    /// Send TERM to the task's process group.
    Terminate,
    /// Stop all processes where they are.
    Freeze,
    /// Let them go on.
    Thaw,
    /// Kill and reap all that is left; the task is over.
    Finish,
}

/// How the main process ended, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// With an exit code.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// `left` of its time, when it goes on.
    Frozen {
        left: Option<Duration>,
    },
    Terminating {
        kill_at: Instant,
    },
    Ending,
}

/// Why it ends. The first cause stays: a stop during the grace of a time limit doesn't change what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    Itself,
    Stopped,
    TimeLimit,
    OutputLimit { reason: String },
}

/// One running task.
pub(super) struct TaskMachine {
    phase: Phase,
    cause: Cause,
    time_up_at: Option<Instant>,
    grace: Duration,
}

impl TaskMachine {
    /// A task that was started at `now`.
    pub fn started(now: Instant, timeout: Option<Duration>, grace: Duration) -> Self {
        Self { phase: Phase::Running, cause: Cause::Itself, time_up_at: timeout.map(|timeout| now.after(timeout)), grace }
    }

    /// When to send a [`Happened::Tick`] at the latest.
    pub fn wake_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => self.time_up_at,
            Phase::Terminating { kill_at } => Some(kill_at),
            Phase::Frozen { .. } | Phase::Ending => None,
        }
    }

    /// Takes in what happened. After [`Step::Finish`] only too much output can still change how the end is told.
    pub fn on(&mut self, happened: Happened, now: Instant) -> Step {
        match happened {
            Happened::MainEnded => self.finish(),
            Happened::KillAsked => self.finish_because(Cause::Stopped),
            Happened::OutputExceeded { reason } => self.on_output_exceeded(reason),
            Happened::StopAsked { grace } => self.on_stop(grace, now),
            Happened::FreezeAsked { frozen } => self.on_freeze(frozen, now),
            Happened::Tick => self.on_tick(now),
        }
    }

    /// How the task ended, and whether it was asked to. A main process that can't even be killed counts as killed.
    pub fn end(&self, status: Option<Status>) -> (End, bool) {
        let end = match (&self.cause, status) {
            (Cause::TimeLimit, _) => End::TimedOut,
            (Cause::OutputLimit { reason }, _) => End::OutputLimit { reason: reason.clone() },
            (Cause::Itself | Cause::Stopped, Some(Status::Exited(code))) => End::Exited { code },
            (Cause::Itself | Cause::Stopped, Some(Status::Signalled(signal))) => End::Signalled { signal },
            (Cause::Itself | Cause::Stopped, None) => End::Signalled { signal: rustix::process::Signal::KILL.as_raw() },
        };
        (end, self.cause == Cause::Stopped)
    }

    fn on_stop(&mut self, grace: Duration, now: Instant) -> Step {
        match self.phase {
            Phase::Running | Phase::Frozen { .. } => self.terminate_because(Cause::Stopped, grace, now),
            Phase::Terminating { kill_at } => {
                self.phase = Phase::Terminating { kill_at: kill_at.min(now.after(grace)) };
                self.on_tick(now)
            }
            Phase::Ending => Step::Finish,
        }
    }

    /// What is being ended is not frozen any more.
    fn on_freeze(&mut self, frozen: bool, now: Instant) -> Step {
        match (self.phase, frozen) {
            (Phase::Running, true) => {
                self.phase = Phase::Frozen { left: self.time_up_at.map(|at| at.since(now)) };
                Step::Freeze
            }
            (Phase::Frozen { left }, false) => {
                self.phase = Phase::Running;
                self.time_up_at = left.map(|left| now.after(left));
                Step::Thaw
            }
            (Phase::Ending, _) => Step::Finish,
            (Phase::Running | Phase::Frozen { .. } | Phase::Terminating { .. }, _) => Step::Wait,
        }
    }

    fn on_tick(&mut self, now: Instant) -> Step {
        match self.phase {
            Phase::Running if self.time_up_at.is_some_and(|at| at <= now) => self.terminate_because(Cause::TimeLimit, self.grace, now),
            Phase::Terminating { kill_at } if kill_at <= now => self.finish(),
            Phase::Running | Phase::Frozen { .. } | Phase::Terminating { .. } => Step::Wait,
            Phase::Ending => Step::Finish,
        }
    }

    /// Without a grace: it would fill the disk meanwhile.
    fn on_output_exceeded(&mut self, reason: String) -> Step {
        if self.cause == Cause::Itself {
            self.cause = Cause::OutputLimit { reason };
        }
        self.finish()
    }

    fn terminate_because(&mut self, cause: Cause, grace: Duration, now: Instant) -> Step {
        if grace.is_zero() {
            return self.finish_because(cause);
        }
        self.cause = cause;
        self.phase = Phase::Terminating { kill_at: now.after(grace) };
        Step::Terminate
    }

    fn finish_because(&mut self, cause: Cause) -> Step {
        if matches!(self.phase, Phase::Running | Phase::Frozen { .. }) {
            self.cause = cause;
        }
        self.finish()
    }

    fn finish(&mut self) -> Step {
        self.phase = Phase::Ending;
        Step::Finish
    }
}

#[cfg(test)]
mod tests {
    use super::Happened::*;
    use super::*;

    const GRACE: Duration = Duration::from_millis(50);

    /// Starts at 0 with a limit of 100 ms and a grace of 50 ms; each line is (time, what happens, what is to be done).
    fn story(steps: &[(u64, Happened, Step)], status: Option<Status>) -> (End, bool) {
        let mut machine = TaskMachine::started(Instant(0), Some(Duration::from_millis(100)), GRACE);
        for (at, happened, step) in steps {
            assert_eq!(machine.on(happened.clone(), Instant(*at)), *step, "{happened:?} at {at}");
        }
        machine.end(status)
    }

    fn stop(grace_ms: u64) -> Happened {
        StopAsked { grace: Duration::from_millis(grace_ms) }
    }

    fn exceeded() -> Happened {
        OutputExceeded { reason: "much".into() }
    }

    #[test]
    fn it_ends_by_itself() {
        let steps = [(99, Tick, Step::Wait), (99, MainEnded, Step::Finish)];
        assert_eq!(story(&steps, Some(Status::Exited(3))), (End::Exited { code: 3 }, false));
        assert_eq!(story(&steps, Some(Status::Signalled(11))), (End::Signalled { signal: 11 }, false));
    }

    #[test]
    fn its_time_is_up_and_it_obeys_or_is_killed() {
        let obeys = [(100, Tick, Step::Terminate), (120, Tick, Step::Wait), (130, MainEnded, Step::Finish)];
        assert_eq!(story(&obeys, Some(Status::Exited(0))), (End::TimedOut, false));
        let ignores = [(100, Tick, Step::Terminate), (149, Tick, Step::Wait), (150, Tick, Step::Finish)];
        assert_eq!(story(&ignores, Some(Status::Signalled(9))), (End::TimedOut, false));
    }

    #[test]
    fn it_is_stopped_and_its_own_status_is_kept() {
        let steps = [(10, stop(20), Step::Terminate), (29, Tick, Step::Wait), (30, Tick, Step::Finish)];
        assert_eq!(story(&steps, Some(Status::Signalled(9))), (End::Signalled { signal: 9 }, true));
        assert_eq!(story(&[(10, stop(0), Step::Finish)], None), (End::Signalled { signal: 9 }, true));
        assert_eq!(story(&[(10, KillAsked, Step::Finish)], Some(Status::Exited(0))), (End::Exited { code: 0 }, true));
    }

    #[test]
    fn the_first_cause_stays() {
        let time_limit_then_stop = [(100, Tick, Step::Terminate), (110, stop(5), Step::Wait), (115, Tick, Step::Finish)];
        assert_eq!(story(&time_limit_then_stop, Some(Status::Signalled(9))), (End::TimedOut, false));
        let stop_then_time_limit = [(90, stop(50), Step::Terminate), (101, Tick, Step::Wait), (110, MainEnded, Step::Finish)];
        assert_eq!(story(&stop_then_time_limit, Some(Status::Signalled(15))), (End::Signalled { signal: 15 }, true));
        let stop_then_output = [(10, stop(50), Step::Terminate), (11, exceeded(), Step::Finish)];
        assert_eq!(story(&stop_then_output, Some(Status::Signalled(9))), (End::Signalled { signal: 9 }, true));
    }

    #[test]
    fn a_second_stop_shortens_the_grace_and_never_lengthens_it() {
        story(&[(0, stop(90), Step::Terminate), (1, stop(500), Step::Wait), (90, Tick, Step::Finish)], None);
        story(&[(0, stop(90), Step::Terminate), (1, stop(0), Step::Finish)], None);
        story(&[(0, stop(90), Step::Terminate), (1, KillAsked, Step::Finish)], None);
    }

    #[test]
    fn too_much_output_ends_it_at_once_even_when_seen_after_its_end() {
        let end = (End::OutputLimit { reason: "much".into() }, false);
        assert_eq!(story(&[(5, exceeded(), Step::Finish)], Some(Status::Signalled(9))), end);
        assert_eq!(story(&[(5, MainEnded, Step::Finish), (5, exceeded(), Step::Finish)], Some(Status::Exited(0))), end);
    }

    #[test]
    fn while_it_stands_still_so_does_its_time() {
        let (freeze, thaw) = (FreezeAsked { frozen: true }, FreezeAsked { frozen: false });
        let steps = [
            (90, freeze.clone(), Step::Freeze),
            (91, freeze.clone(), Step::Wait),
            (900, Tick, Step::Wait),
            (1000, thaw.clone(), Step::Thaw),
            (1001, thaw.clone(), Step::Wait),
            (1009, Tick, Step::Wait),
            (1010, Tick, Step::Terminate),
            (1011, freeze.clone(), Step::Wait),
            (1060, Tick, Step::Finish),
        ];
        assert_eq!(story(&steps, Some(Status::Signalled(9))), (End::TimedOut, false));
        let stopped = [(10, freeze.clone(), Step::Freeze), (500, stop(20), Step::Terminate), (520, Tick, Step::Finish)];
        assert_eq!(story(&stopped, Some(Status::Signalled(9))), (End::Signalled { signal: 9 }, true));
        let killed = [(10, freeze, Step::Freeze), (500, KillAsked, Step::Finish)];
        assert_eq!(story(&killed, Some(Status::Signalled(9))), (End::Signalled { signal: 9 }, true));
    }

    #[test]
    fn it_says_when_it_wants_to_be_woken() {
        let mut machine = TaskMachine::started(Instant(7), Some(Duration::from_millis(100)), GRACE);
        assert_eq!(machine.wake_at(), Some(Instant(107)));
        machine.on(Tick, Instant(200));
        assert_eq!(machine.wake_at(), Some(Instant(250)));
        machine.on(MainEnded, Instant(201));
        assert_eq!(machine.wake_at(), None);
        assert_eq!(TaskMachine::started(Instant(7), None, GRACE).wake_at(), None);
    }
}
