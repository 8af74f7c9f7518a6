//! How much of the machine compiling may take.

use std::time::Duration;

/// How much of the machine the compilation of one component may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimits {
    /// Bytes, beside what the compiler itself takes.
    pub memory: u64,
    /// Processor time. Twice as much may pass on the clock.
    pub time: Duration,
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self { memory: 416 << 20, time: Duration::from_secs(30) }
    }
}
