//! How much of the machine a plugin may use.

use std::time::{Duration, Instant};

use harness_core::StopFlag;
use wasmtime::{CallHook, ResourceLimiter};

/// The limits of one call into a plugin. Iterations and wall time of a recording are `harness_core::Budget`'s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of all linear memories together.
    pub memory: usize,
    /// Time in the guest between two calls of the host.
    pub call_time: Duration,
    /// Time in the guest in all.
    pub guest_time: Duration,
    /// Bytes that the guest hands to the host in one call or returns.
    pub output: usize,
    /// Lines that the guest logs.
    pub log_lines: u64,
    /// Wall time from the first instruction on, the host's work included.
    pub wall_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            call_time: Duration::from_secs(10),
            guest_time: Duration::from_secs(600),
            output: 64 << 20,
            log_lines: 1_000,
            wall_time: Duration::from_secs(24 * 3600),
        }
    }
}

/// A limit that a guest ran into; its text says which, how much it is, and how to raise it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LimitError(pub(crate) String);

/// How often the clock of the limits ticks.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How long a guest may go on after the user has asked for the end.
const GRACE: Duration = Duration::from_secs(1);

/// Counts the time that is spent in the guest, and not in the host on its behalf.
#[derive(Debug)]
pub(crate) struct GuestClock {
    limits: Limits,
    started: Instant,
    in_guest_since: Option<Instant>,
    /// Guest time until the last change between guest and host.
    spent: Duration,
    /// The part of it since the guest last called the host.
    since_call: Duration,
    /// wasmtime calls its hooks around a tick of the epoch, too; that is no call of the guest's.
    ticked: bool,
    /// Calls of the host.
    calls: u64,
    stop: StopFlag,
    /// When the end that the user asked for was first seen.
    stopped: Option<Instant>,
}

impl GuestClock {
    pub(crate) fn new(limits: Limits, stop: StopFlag) -> Self {
        let now = Instant::now();
        Self {
            limits,
            started: now,
            // Instantiation runs guest code before any hook is called.
            in_guest_since: Some(now),
            spent: Duration::ZERO,
            since_call: Duration::ZERO,
            ticked: false,
            calls: 0,
            stop,
            stopped: None,
        }
    }

    fn here(&self) -> Duration {
        self.in_guest_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Time in the guest so far.
    pub(crate) fn spent(&self) -> Duration {
        self.spent + self.here()
    }

    /// Calls of the host so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    pub(crate) fn hook(&mut self, hook: CallHook) {
        let here = self.here();
        self.spent += here;
        self.since_call += here;
        self.in_guest_since = hook.exiting_host().then(Instant::now);
        if hook.exiting_host() && !std::mem::take(&mut self.ticked) {
            self.since_call = Duration::ZERO;
            self.calls += u64::from(matches!(hook, CallHook::ReturningFromHost));
        }
    }

    /// Called at each tick while guest code runs.
    pub(crate) fn tick(&mut self) -> Result<(), LimitError> {
        self.ticked = true;
        let since_call = self.since_call + self.here();
        if since_call > self.limits.call_time {
            return Err(LimitError(format!(
                "it computed for more than {} s without calling the host; allow more with --max-call-time",
                self.limits.call_time.as_secs_f64()
            )));
        }
        if self.spent() > self.limits.guest_time {
            return Err(LimitError(format!(
                "it computed for more than {} s in all; allow more with --max-guest-time",
                self.limits.guest_time.as_secs_f64()
            )));
        }
        if self.started.elapsed() > self.limits.wall_time {
            return Err(LimitError(format!(
                "the wall time of {} s is used up; allow more with --max-time",
                self.limits.wall_time.as_secs_f64()
            )));
        }
        if self.stop.is_set() && self.stopped.get_or_insert_with(Instant::now).elapsed() > GRACE {
            return Err(LimitError("it went on computing after the interrupt".into()));
        }
        Ok(())
    }
}

/// Bounds what a guest can make wasmtime allocate.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    most: usize,
    used: usize,
    table_elements: usize,
}

/// Most elements of all tables; a component of a real toolchain has some thousands.
const MOST_TABLE_ELEMENTS: usize = 1_000_000;

impl MemoryLimiter {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, used: 0, table_elements: 0 }
    }

    /// Bytes of linear memory that the guest has.
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_sub(current).saturating_add(desired);
        if used > self.most {
            return Err(wasmtime::Error::from(LimitError(format!(
                "it asked for {used} bytes of memory, and may have {}; allow more with --max-memory",
                self.most
            ))));
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.table_elements.saturating_sub(current).saturating_add(desired);
        if elements > MOST_TABLE_ELEMENTS {
            return Err(wasmtime::Error::from(LimitError(format!(
                "it asked for tables of {elements} elements, and may have {MOST_TABLE_ELEMENTS}"
            ))));
        }
        self.table_elements = elements;
        Ok(true)
    }
}
