//! Mistakes that a test can plant in a machine, to prove that the simulator would find them.

/// One planted mistake. Only `tests/sim` ever sets one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message about an older attempt is taken for the present one.
    AttemptNotCompared,
    /// A job hands out tasks although it was killed or paused.
    HoldNotChecked,
    /// A worker announces how many slots became free instead of how many are.
    RoomAsDelta,
    /// A fence is answered before the runs ahead of it were looked at.
    FenceForgotten,
    /// A result is acknowledged before it is durable.
    AckBeforeDurable,
    /// A declined run is not given back to its job.
    DeclineLost,
    /// What was at a worker when its session was lost goes elsewhere at once.
    LostTakenForDropped,
    /// A worker that does not answer a fence is taken to have dropped everything.
    SilenceTakenForDropped,
    /// A worker that stood still longer than its lease goes on as if nothing were.
    LeaseIgnored,
    /// A session keeps the lease of an attempt that has ended.
    LeaseKept,
    /// A second end of a task counts.
    CountsTwice,
    /// A session's room does not heed the runs that the worker's announcement had not seen.
    UnseenRunsForgotten,
    /// A fence drops what has a slot, and not what was sent ahead of one.
    AheadKept,
    /// A slot whose task was dropped by a fence stays taken.
    SlotKept,
    /// A task that was given back goes out under the same number of its attempt.
    AttemptReused,
    /// A job's limit on running tasks is not heeded.
    LimitIgnored,
    /// A killed job ends although some of its tasks still run.
    EndsTooSoon,
    /// What waits for the workers after a restart is never set free.
    LimboKept,
    /// A request that comes again makes another job.
    RequestForgotten,
    /// A verb is answered before it is durable.
    ReplyBeforeDurable,
    /// After a restart tasks below the dispatch mark go out at once.
    MarkIgnored,
    /// A Hello that was overtaken by a later one of its worker is taken.
    LateHelloTaken,
    /// Tasks are granted although the head's disk is full.
    FullDiskIgnored,
    /// What was frozen stands still after a resume.
    FreezeKept,
    /// A job that gave up forgets which attempts were out.
    GivenUpForgotten,
    /// A session's silence is measured by the wall clock.
    WallClockTrusted,
    /// A session reports all of its worker's resources as free, whatever its tasks take.
    NeedsForgotten,
    /// A request whose job was deleted makes another one.
    GoneForgotten,
    /// A head that is started again forgets which jobs are to be removed at their end.
    DoomForgotten,
}
