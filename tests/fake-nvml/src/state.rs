//! What this copy of the library has played so far.

#![allow(unsafe_code, reason = "it is a C library")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::SCENARIO_FILE;
use crate::gpu::{self, Gpu, PCIE, SXM};
use crate::scenario::{Scenario, parse};

/// From `nvmlInit` to `nvmlShutdown`.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) scenario: Scenario,
    initialised: Instant,
    /// Microseconds since 1970.
    pub(crate) initialised_microseconds: i64,
    /// When the energy counter was first read.
    first_energy: Option<Instant>,
    energy_readings: u32,
    hung: bool,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

impl State {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            initialised: Instant::now(),
            initialised_microseconds: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_micros() as i64),
            first_energy: None,
            energy_readings: 0,
            hung: false,
        }
    }

    /// In the driver's order.
    pub(crate) fn gpus(&self) -> &'static [Gpu] {
        match self.scenario.gpus {
            Some(count) => gpu::many(count),
            None if self.scenario.two_gpus => &[PCIE, SXM],
            None => &[SXM],
        }
    }

    /// Microseconds since `nvmlInit`.
    pub(crate) fn time(&self) -> i64 {
        self.initialised.elapsed().as_micros() as i64
    }

    /// Whether something that the scenario has after some time is there.
    pub(crate) fn is_after(&self, time: Option<Duration>) -> bool {
        matches!((time, self.first_energy), (Some(time), Some(first)) if first.elapsed() >= time)
    }

    /// The same, but no later than so long after the first reading of the energy counter.
    pub(crate) fn time_until(&self, after: Duration) -> i64 {
        let last = self.first_energy.map(|first| (first + after).duration_since(self.initialised).as_micros() as i64);
        self.time().min(last.unwrap_or(i64::MAX))
    }

    pub(crate) fn energy_readings(&self) -> u32 {
        self.energy_readings
    }
}

/// The state, or `None` outside init and shutdown.
pub(crate) fn get() -> Option<State> {
    with(|state| state.clone())
}

/// Sets what `nvmlInit` found, or unsets it.
pub(crate) fn set(new: Option<State>) {
    with(|state| *state = new);
}

/// Counts a reading of the energy counter, and says how long it hangs.
pub(crate) fn begin_energy() -> Option<Duration> {
    with(|state| {
        let state = state.as_mut()?;
        state.energy_readings += 1;
        state.first_energy.get_or_insert_with(Instant::now);
        match state.energy_readings {
            1 => state.scenario.hang_start,
            2 => state.scenario.hang_stop,
            _ => None,
        }
    })
}

/// How long this reading of power hangs.
pub(crate) fn begin_power() -> Option<Duration> {
    with(|state| {
        let state = state.as_mut()?;
        if state.hung || !state.is_after(Some(Duration::from_millis(50))) {
            return None;
        }
        state.hung = true;
        state.scenario.hang
    })
}

/// Never held while a call hangs.
fn with<R>(use_it: impl FnOnce(&mut Option<State>) -> R) -> R {
    use_it(&mut STATE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What `FAKE_NVML` says, else the file beside the library, else the normal course of things.
pub(crate) fn scenario() -> Result<Scenario, String> {
    let text = match std::env::var("FAKE_NVML") {
        Ok(text) => text,
        Err(_) => {
            own_folder().and_then(|folder| std::fs::read_to_string(folder.join(SCENARIO_FILE)).ok()).unwrap_or_default()
        }
    };
    parse(&text)
}

#[repr(C)]
struct DlInfo {
    file_name: *const c_char,
    base: *mut c_void,
    symbol_name: *const c_char,
    symbol: *mut c_void,
}

unsafe extern "C" {
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
}

/// The folder of the file that this code was loaded from.
pub(crate) fn own_folder() -> Option<PathBuf> {
    let nothing: *mut c_void = std::ptr::null_mut();
    let mut info = DlInfo { file_name: nothing.cast(), base: nothing, symbol_name: nothing.cast(), symbol: nothing };
    // SAFETY: `info` is as dlfcn.h has it, and any address may be asked about.
    let found = unsafe { dladdr((&raw const STATE).cast(), &mut info) };
    if found == 0 || info.file_name.is_null() {
        return None;
    }
    // SAFETY: dladdr found the file, whose name is a C string that lives as long as the library is loaded.
    let name = unsafe { CStr::from_ptr(info.file_name) };
    Some(Path::new(OsStr::from_bytes(name.to_bytes())).parent()?.to_path_buf())
}
