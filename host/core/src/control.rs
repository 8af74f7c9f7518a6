//! What an invocation may do, what ends it from outside, and how far it is, for a display.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Set from outside to end the invocation after the present iteration.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks for the end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How much an invocation may do.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Iterations of all runs, warm-up included, and generations outside runs.
    pub iterations: u64,
    /// Wall time of the whole invocation.
    pub wall_time: Duration,
    /// Runs.
    pub runs: u64,
    /// Bytes of the recording, at most [`Recording::MAX_BYTES`](crate::Recording::MAX_BYTES).
    pub recording: u64,
}

impl Default for Budget {
    /// More than an honest test of a day needs.
    fn default() -> Self {
        Self { iterations: 10_000_000, wall_time: Duration::from_secs(24 * 3600), runs: 10_000, recording: 1 << 30 }
    }
}

/// The state of the running run, for a display that lives in another thread: the measured window only stores two numbers.
#[derive(Debug)]
pub struct Progress {
    /// Iterations served in this run, warm-up included.
    pub iterations: AtomicU32,
    /// New tokens of this run.
    pub tokens: AtomicU64,
    /// Iterations of warm-up, once it has ended; [`WARMING_UP`](Self::WARMING_UP) before.
    pub warmup: AtomicU32,
}

impl Progress {
    /// That warm-up goes on.
    pub const WARMING_UP: u32 = u32::MAX;
}

impl Default for Progress {
    fn default() -> Self {
        Self { iterations: AtomicU32::new(0), tokens: AtomicU64::new(0), warmup: AtomicU32::new(Self::WARMING_UP) }
    }
}
