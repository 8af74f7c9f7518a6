//! Sees that this process, or the whole machine, stood still: stopped by a signal or a debugger, frozen by a control group,
//! suspended, or paused with its virtual machine. Time that a clock counts meanwhile is in every figure.
//!
//! A thread sleeps for a short while again and again. If it comes back far too late, nothing of the process ran. If clocks
//! went on by different times, the machine was suspended, or its time was set, as happens when a virtual machine goes on.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
#[cfg(target_os = "linux")]
use std::{
    sync::LazyLock,
    time::{Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

/// How long it sleeps.
const PERIOD: Duration = Duration::from_millis(100);
/// What is later than by this much is no thread that waits for its turn.
const LIMIT: f64 = 0.5;

/// Time in which nothing ran, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standstill {
    /// By the clock that measures: it is in the figures.
    pub stopped: f64,
    /// In which that clock stood still, too, as the machine was suspended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suspended: f64,
    /// By which the time of day jumped against the others, forwards or back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_jump: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

impl Standstill {
    /// Whether there was any.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    fn since(self, before: Self) -> Self {
        Self {
            stopped: self.stopped - before.stopped,
            suspended: self.suspended - before.suspended,
            clock_jump: self.clock_jump - before.clock_jump,
        }
    }
}

/// The clocks at one moment, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Clocks {
    /// Does not count while the machine is suspended.
    monotonic: f64,
    /// Does.
    boot: f64,
    /// Of day.
    real: f64,
}

#[derive(Debug)]
struct State {
    last: Clocks,
    sum: Standstill,
}

impl State {
    fn look(&mut self, now: Clocks) -> Standstill {
        let (monotonic, boot) = (now.monotonic - self.last.monotonic, now.boot - self.last.boot);
        let real = now.real - self.last.real;
        let over = |seconds: f64| if seconds.abs() > LIMIT { seconds } else { 0.0 };
        self.sum.stopped += over(monotonic - PERIOD.as_secs_f64());
        self.sum.suspended += over(boot - monotonic).max(0.0);
        self.sum.clock_jump += over(real - boot).abs();
        self.last = now;
        self.sum
    }
}

/// Keeps watch while it lives.
#[derive(Debug)]
pub struct Vigil(Arc<Mutex<State>>);

impl Vigil {
    /// Starts to watch.
    ///
    /// # Errors
    ///
    /// In words, where there is no thread or no clock for it.
    pub fn start() -> Result<Self, String> {
        let last = clocks().ok_or("this system does not tell its clocks")?;
        let state = Arc::new(Mutex::new(State { last, sum: Standstill::default() }));
        let watched = Arc::downgrade(&state);
        std::thread::Builder::new()
            .name("vigil".into())
            .spawn(move || watch(&watched))
            .map_err(|error| format!("there is no thread for it: {error}"))?;
        Ok(Self(state))
    }

    /// All that was seen so far.
    pub fn so_far(&self) -> Standstill {
        look(&self.0)
    }

    /// What was seen since.
    pub fn since(&self, before: Standstill) -> Standstill {
        self.so_far().since(before)
    }
}

fn watch(state: &Weak<Mutex<State>>) {
    while let Some(state) = state.upgrade() {
        look(&state);
        drop(state);
        std::thread::sleep(PERIOD);
    }
}

fn look(state: &Mutex<State>) -> Standstill {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    match clocks() {
        Some(now) => state.look(now),
        None => state.sum,
    }
}

#[cfg(target_os = "linux")]
fn clocks() -> Option<Clocks> {
    use rustix::time::{ClockId, clock_gettime};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let boot = clock_gettime(ClockId::Boottime);
    // The clock that measures, and the one that dates: by the same calls, in the place of which something may answer.
    let monotonic = START.elapsed().as_secs_f64();
    let real = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    Some(Clocks { monotonic, boot: boot.tv_sec as f64 + boot.tv_nsec as f64 / 1e9, real })
}

/// Only Linux tells of a clock that counts while the machine is suspended.
#[cfg(not(target_os = "linux"))]
fn clocks() -> Option<Clocks> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_go_on_by_different_times_tell_what_happened() {
        let start = Clocks { monotonic: 100.0, boot: 200.0, real: 1e9 };
        let after = |monotonic: f64, boot: f64, real: f64| {
            let mut state = State { last: start, sum: Standstill::default() };
            state.look(Clocks { monotonic: 100.0 + monotonic, boot: 200.0 + boot, real: 1e9 + real })
        };
        let near = |found: Standstill, stopped: f64, suspended: f64, clock_jump: f64| {
            let far = |a: f64, b: f64| (a - b).abs() > 1e-6;
            assert!(
                !far(found.stopped, stopped) && !far(found.suspended, suspended) && !far(found.clock_jump, clock_jump),
                "{found:?}"
            );
        };
        near(after(0.1, 0.1, 0.1), 0.0, 0.0, 0.0);
        // A thread that waited for its turn.
        near(after(0.4, 0.4, 0.4), 0.0, 0.0, 0.0);
        // A signal.
        near(after(3.1, 3.1, 3.1), 3.0, 0.0, 0.0);
        // A laptop that slept.
        near(after(0.1, 60.1, 60.1), 0.0, 60.0, 0.0);
        // A virtual machine that was paused, or a clock that was set.
        near(after(0.1, 0.1, 20.1), 0.0, 0.0, 20.0);
        near(after(0.1, 0.1, -19.9), 0.0, 0.0, 20.0);
    }

    #[test]
    fn what_was_before_is_not_since() {
        let vigil = Vigil::start().unwrap();
        let before = vigil.so_far();
        assert_eq!(vigil.since(before), Standstill::default());
    }

    #[test]
    fn what_happens_again_and_again_is_added_up() {
        let mut state = State { last: Clocks { monotonic: 0.0, boot: 0.0, real: 0.0 }, sum: Standstill::default() };
        // Half a second is none yet.
        let seen = state.look(Clocks { monotonic: 0.0, boot: 0.5, real: 0.0 });
        assert!(!seen.any(), "{seen:?}");
        for round in 1..=3 {
            // 1.9 s late, then 2 s suspended, then half an hour forwards or back.
            let times = f64::from(round);
            let set = if round == 2 { 0.0 } else { 1800.0 };
            let seen = state.look(Clocks { monotonic: 2.0 * times, boot: 0.5 + 4.0 * times, real: 4.0 * times + set });
            for (found, each) in [(seen.stopped, 1.9), (seen.suspended, 2.0), (seen.clock_jump, 1800.0)] {
                assert!((found - each * times).abs() < 1e-9, "{seen:?}");
            }
        }
    }

    #[test]
    fn a_vigil_tells_what_was_seen_before_and_since() {
        let all = Standstill { stopped: 8.0, suspended: 6.0, clock_jump: 4.0 };
        let vigil = Vigil(Arc::new(Mutex::new(State { last: clocks().unwrap(), sum: all })));
        assert_eq!(vigil.so_far(), all);
        let since = vigil.since(Standstill { stopped: 2.0, suspended: 2.0, clock_jump: 1.0 });
        assert_eq!(since, Standstill { stopped: 6.0, suspended: 4.0, clock_jump: 3.0 });
    }

    #[test]
    fn somebody_looks_again_and_again_while_it_lives() {
        fn comes(what: impl Fn() -> bool) -> bool {
            (0..20_000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                what()
            })
        }
        let vigil = Vigil::start().unwrap();
        let looked = || vigil.0.lock().unwrap().last;
        for _ in 0..2 {
            let before = looked();
            assert!(comes(|| looked() != before));
        }
        let state = Arc::downgrade(&vigil.0);
        drop(vigil);
        assert!(comes(|| state.upgrade().is_none()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_clocks_are_the_systems() {
        use rustix::time::{ClockId, clock_gettime};
        let boot = || {
            let now = clock_gettime(ClockId::Boottime);
            Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32).as_secs_f64()
        };
        let real = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let (boot_before, real_before) = (boot(), real());
        let found = clocks().unwrap();
        assert!((boot_before..=boot()).contains(&found.boot), "{found:?}");
        assert!((real_before..=real()).contains(&found.real), "{found:?}");
    }

    #[test]
    fn only_what_there_was_is_recorded() {
        let stopped = Standstill { stopped: 1.5, ..Standstill::default() };
        assert_eq!(serde_json::to_string(&stopped).unwrap(), r#"{"stopped":1.5}"#);
        let all = Standstill { suspended: 2.0, clock_jump: 3.0, ..stopped };
        let text = r#"{"stopped":1.5,"suspended":2.0,"clock_jump":3.0}"#;
        assert_eq!(serde_json::to_string(&all).unwrap(), text);
        for standstill in [stopped, all] {
            let text = serde_json::to_string(&standstill).unwrap();
            assert_eq!(serde_json::from_str::<Standstill>(&text).unwrap(), standstill);
        }
        let any = |suspended| Standstill { suspended, ..Standstill::default() }.any();
        assert!(any(2.0) && !any(0.0));
    }
}
