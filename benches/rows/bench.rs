//! What a row is measured under: sizes, rounds, where, and whether a person wants it to end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A row whose next round would end later than this after its first has begun ends sooner: all together must stay below 20 minutes.
const ROW_BUDGET: Duration = Duration::from_secs(150);

/// See the module.
pub struct Bench {
    rounds: u32,
    smoke: bool,
    parent: PathBuf,
    interrupted: Arc<AtomicBool>,
}

impl Bench {
    /// Folders are made in `dir`, or where the system has temporary ones. An interrupt from now on ends the row, not this process, so that
    /// everything is cleaned up.
    pub fn new(rounds: u32, smoke: bool, dir: Option<PathBuf>) -> Result<Self> {
        let interrupted = Arc::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        Ok(Self { rounds, smoke, parent: dir.unwrap_or_else(std::env::temp_dir), interrupted })
    }

    /// A size of a row; in a smoke run the second.
    pub fn size(&self, full: u32, smoke: u32) -> u32 {
        if self.smoke { smoke } else { full }
    }

    /// Whether this is only to see that everything runs.
    pub fn is_smoke(&self) -> bool {
        self.smoke
    }

    /// A fresh folder.
    pub fn folder(&self) -> Result<TempDir> {
        let made = tempfile::Builder::new().prefix("millpond-rows-").tempdir_in(&self.parent);
        let folder = made.with_context(|| format!("no folder can be made in {}", self.parent.display()))?;
        // Tasks of a worker that root has started have users of their own.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        Ok(folder)
    }

    /// Where folders are made.
    pub fn parent(&self) -> &Path {
        &self.parent
    }

    /// Runs a row's rounds.
    pub fn rounds(&self, mut round: impl FnMut() -> Result<()>) -> Result<()> {
        let began = Instant::now();
        for done in 1..=self.rounds {
            ensure!(!self.is_interrupted(), "interrupted");
            round()?;
            if began.elapsed() / done * (done + 1) > ROW_BUDGET {
                break;
            }
        }
        Ok(())
    }

    /// Set once a person wants it to end.
    pub fn interrupted(&self) -> Arc<AtomicBool> {
        self.interrupted.clone()
    }

    /// Whether a person wants it to end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}
