//! The time that a guest takes, and what it makes this process hold.

use std::time::{Duration, Instant};

use harness_core::StopFlag;
use wasmtime::CallHook;

use crate::limits::{LimitError, Limits};
use crate::resident::Held;

/// How often the clock of the limits ticks.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How long a guest may go on after the user has asked for the end.
const GRACE: Duration = Duration::from_secs(1);

/// What a guest was called for, which bounds the time on the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Describe,
    Run,
    Render,
}

impl Task {
    /// How long it may take, and the flag that says so.
    fn wall_time(self, limits: &Limits) -> (Duration, &'static str) {
        match self {
            Self::Describe => (limits.describe_time, "--max-describe-time"),
            Self::Run => (limits.wall_time, "--max-time"),
            Self::Render => (limits.render_time, "--max-render-time"),
        }
    }
}

/// Counts the time and the memory that a guest takes: its own, and the host's on its behalf.
#[derive(Debug)]
pub(crate) struct GuestClock {
    limits: Limits,
    task: Task,
    started: Instant,
    in_guest_since: Option<Instant>,
    /// Guest time until the last change between guest and host.
    spent: Duration,
    /// The part of it since the guest last called the host.
    since_call: Duration,
    /// Time in which the model worked, which is not the guest's.
    excused: Duration,
    /// wasmtime calls its hooks around a tick of the epoch, too; that is no call of the guest's.
    ticked: bool,
    /// Calls of the host.
    calls: u64,
    memory: Held,
    stop: StopFlag,
    /// When the end that the user asked for was first seen.
    stopped: Option<Instant>,
}

impl GuestClock {
    pub(crate) fn new(limits: Limits, task: Task, stop: StopFlag) -> Self {
        let now = Instant::now();
        Self {
            limits,
            task,
            started: now,
            // Instantiation runs guest code before any hook is called.
            in_guest_since: Some(now),
            spent: Duration::ZERO,
            since_call: Duration::ZERO,
            excused: Duration::ZERO,
            ticked: false,
            calls: 0,
            memory: Held::new(&limits),
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

    /// Takes note of work of the model: how long it took, and what the process held before it. Neither is the guest's.
    pub(crate) fn excuse(&mut self, time: Duration, held_before: Option<u64>) {
        self.excused += time;
        self.memory.excuse(held_before);
    }

    /// Called at each change between guest and host; an error ends the guest.
    pub(crate) fn hook(&mut self, hook: CallHook) -> Result<(), LimitError> {
        let here = self.here();
        self.spent += here;
        self.since_call += here;
        let returns = hook.exiting_host() && !std::mem::take(&mut self.ticked);
        if returns {
            self.since_call = Duration::ZERO;
            self.calls += u64::from(matches!(hook, CallHook::ReturningFromHost));
        }
        self.in_guest_since = hook.exiting_host().then(Instant::now);
        // No tick comes while the host works.
        if matches!(hook, CallHook::ReturningFromHost) { self.check() } else { Ok(()) }
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
        if self.stop.is_set() && self.stopped.get_or_insert_with(Instant::now).elapsed() > GRACE {
            return Err(LimitError("it went on computing after the interrupt".into()));
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), LimitError> {
        let elapsed = self.started.elapsed();
        let (wall_time, flag) = self.task.wall_time(&self.limits);
        if elapsed > wall_time {
            return Err(LimitError(format!(
                "the wall time of {} s is used up; allow more with {flag}",
                wall_time.as_secs_f64()
            )));
        }
        if elapsed.saturating_sub(self.excused) > self.limits.guest_time {
            return Err(LimitError(format!(
                "it took more than {} s in all, the host's work for it included; allow more with --max-guest-time",
                self.limits.guest_time.as_secs_f64()
            )));
        }
        self.memory.check(elapsed)
    }
}
