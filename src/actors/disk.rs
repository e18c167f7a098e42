//! The DiskGuard: measures the disk of the data folder once a second, and keeps the head's reserve there. Child of the HeadRoot.
//!
//! It decides nothing: [`DiskGauge`] does, and whoever takes something in asks that.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::watch;

use crate::blobs::Reserve;
use crate::domain::{Error, ErrorKind};
use crate::engine::disk_gauge::{DiskGauge, DiskLevel, Watermarks};

/// Between two measurements.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// What the guard is told: to look at the disk, and tell.
#[derive(Debug)]
pub struct Measure(Option<RpcReplyPort<DiskGauge>>);

/// Its state.
pub struct DiskState {
    reserve: Arc<Reserve>,
    gauge: watch::Sender<DiskGauge>,
}

/// See the module.
pub struct DiskGuard;

/// The disk as the other actors and the services see it.
#[derive(Clone, Debug)]
pub struct Disk {
    guard: ActorRef<Measure>,
    gauge: watch::Receiver<DiskGauge>,
}

impl Disk {
    /// As last measured.
    pub fn gauge(&self) -> DiskGauge {
        *self.gauge.borrow()
    }

    /// Measured now.
    pub async fn measure(&self) -> Result<DiskGauge, Error> {
        super::ask::ask(&self.guard, |reply| Measure(Some(reply))).await
    }

    /// Waits until it is not red.
    pub async fn has_room(&self) {
        // Fails only when the guard is gone, and the head with it.
        let _ = self.gauge.clone().wait_for(|gauge| gauge.level < DiskLevel::Red).await;
    }

    /// Passes an outcome on; the guard hears of a full disk at once, and not a second later.
    pub fn noting<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        if matches!(&outcome, Err(Error { kind: ErrorKind::Exhausted, .. })) {
            let _ = self.guard.cast(Measure(None));
        }
        outcome
    }
}

/// Measures, before anything is written, and leaves the reserve where it is needed.
pub fn first_look(reserve: &Reserve, marks: Watermarks) -> Result<DiskGauge, Error> {
    let gauge = DiskGauge::new(marks, reserve.room()?);
    keep_reserve(reserve, &gauge);
    if gauge.level != DiskLevel::Green {
        tracing::warn!("{}", describe(&gauge));
    }
    Ok(gauge)
}

/// Starts a guard.
pub async fn start(reserve: Arc<Reserve>, first: DiskGauge, parent: ractor::ActorCell) -> Result<Disk, ractor::SpawnErr> {
    let (sender, gauge) = watch::channel(first);
    let (guard, _) = DiskGuard::spawn_linked(None, DiskGuard, DiskState { reserve, gauge: sender }, parent).await?;
    Ok(Disk { guard, gauge })
}

impl Actor for DiskGuard {
    type Msg = Measure;
    type State = DiskState;
    type Arguments = DiskState;

    async fn pre_start(&self, myself: ActorRef<Measure>, state: DiskState) -> Result<DiskState, ActorProcessingErr> {
        myself.send_interval(MEASURE_EVERY, || Measure(None));
        Ok(state)
    }

    async fn handle(&self, _: ActorRef<Measure>, Measure(reply): Measure, state: &mut DiskState) -> Result<(), ActorProcessingErr> {
        let mut gauge = *state.gauge.borrow();
        let reserve = state.reserve.clone();
        // A disk that hangs holds up nobody else.
        let measured = tokio::task::spawn_blocking(move || {
            let changed = gauge.measured(reserve.room()?);
            if changed {
                keep_reserve(&reserve, &gauge);
            }
            Ok::<_, Error>((gauge, changed))
        });
        match measured.await? {
            Ok((gauge, changed)) => {
                state.gauge.send_replace(gauge);
                if changed && gauge.level == DiskLevel::Green {
                    tracing::info!("{}", describe(&gauge));
                } else if changed {
                    tracing::warn!("{}", describe(&gauge));
                }
            }
            Err(error) => tracing::warn!(%error, "the disk could not be measured"),
        }
        if let Some(reply) = reply {
            let _ = reply.send(*state.gauge.borrow());
        }
        Ok(())
    }
}

/// At red the reserve goes, at green it comes back.
fn keep_reserve(reserve: &Reserve, gauge: &DiskGauge) {
    match gauge.level {
        DiskLevel::Green => {
            if let Err(error) = reserve.take() {
                tracing::warn!(%error, "no room could be kept in reserve");
            }
        }
        DiskLevel::Yellow => {}
        DiskLevel::Red => leave_reserve(reserve),
    }
}

fn leave_reserve(reserve: &Reserve) {
    match reserve.leave() {
        Ok(true) => tracing::warn!("the reserve is left to what has to be written still"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "the reserve can't be removed"),
    }
}

fn describe(gauge: &DiskGauge) -> String {
    let consequence = match gauge.level {
        DiskLevel::Green => "everything is taken in",
        DiskLevel::Yellow => "no new uploads until some space is freed",
        DiskLevel::Red => "no new uploads, jobs and tasks until some space is freed",
    };
    format!("the disk has {}: {consequence}", gauge.room)
}
