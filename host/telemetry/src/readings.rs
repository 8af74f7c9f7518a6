//! What the sampler's thread notes through one run, as NVML said it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::driver::{self, Device, Memory};
use crate::error::{Error, explain, is_lost, is_nothing_new};
use crate::gpm;
use crate::guarded::Asking;

/// One sensor's readings with the time after each.
#[derive(Clone, Debug)]
pub(crate) struct Field<T> {
    pub(crate) readings: Vec<(Instant, T)>,
    /// Why a reading failed, the last that did.
    pub(crate) error: Option<String>,
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self { readings: Vec::new(), error: None }
    }
}

impl<T> Field<T> {
    fn note(&mut self, reading: Result<T, Error>) -> Result<(), Lost> {
        let at = Instant::now();
        match reading {
            Ok(value) => {
                self.readings.push((at, value));
                Ok(())
            }
            Err(error) => {
                self.error = Some(explain(&error));
                if is_lost(&error) { Err(Lost) } else { Ok(()) }
            }
        }
    }
}

/// Samples that the driver took and kept, with its time stamps: microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) samples: Vec<(u64, f64)>,
    /// The driver does fill this buffer, whether or not the run saw a sample.
    pub(crate) works: bool,
    /// When it was last asked for what is new, and answered.
    pub(crate) fetched: Option<Instant>,
    /// Why it can't be believed, or was not to be had any more.
    pub(crate) error: Option<String>,
}

/// Utilisation by polling: per cent of the driver's last window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utilization {
    pub(crate) gpu: u32,
    pub(crate) memory_controller: u32,
}

/// Everything noted through one run, in NVML's units.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings {
    pub(crate) utilization: Field<Utilization>,
    pub(crate) gpu_utilization: Buffer,
    pub(crate) memory_controller_utilization: Buffer,
    pub(crate) power: Field<u32>,
    pub(crate) power_samples: Buffer,
    pub(crate) memory: Field<Memory>,
    pub(crate) temperature: Field<u32>,
    pub(crate) sm_clock: Field<u32>,
    pub(crate) memory_clock: Field<u32>,
    pub(crate) throttle: Field<u64>,
    /// Millijoules: one reading before the run and one after it.
    pub(crate) energy: Field<u64>,
    /// Milliwatts, where the driver says it.
    pub(crate) power_limit: Option<u32>,
    /// Once the run is over.
    pub(crate) gpm: Option<gpm::Figures>,
    /// When the thread was ready for the run, and the microseconds since 1970 then.
    pub(crate) begun: Option<(Instant, u64)>,
    /// Rounds of polls.
    pub(crate) polls: u64,
    /// Why nothing could be read, when the GPU was not found any more.
    pub(crate) unreachable: Option<String>,
    /// When the GPU was found lost.
    pub(crate) lost: Option<Instant>,
    /// The call that the thread was in when it was waited for no longer at the run's start, and at its end.
    pub(crate) silent_at_start: Option<Asking>,
    pub(crate) silent_at_end: Option<Asking>,
}

/// The GPU is gone; nothing more can be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost;

/// Whether reading can go on.
pub(crate) type Going = Result<(), Lost>;

/// A place where readings go; locked only while one is written down, never during a call into NVML.
pub(crate) trait Notes {
    fn note<R>(&self, write: impl FnOnce(&mut Readings) -> R) -> R;
}

/// Reads what is cheap: tens of microseconds in all.
pub(crate) fn poll(device: &Device, notes: &impl Notes) -> Going {
    let utilization = device.utilization().map(|(gpu, memory_controller)| Utilization { gpu, memory_controller });
    notes.note(|log| log.utilization.note(utilization))?;
    let memory = device.memory();
    notes.note(|log| log.memory.note(memory))?;
    let power = device.power();
    notes.note(|log| log.power.note(power))?;
    let temperature = device.temperature();
    notes.note(|log| log.temperature.note(temperature))?;
    let sm_clock = device.sm_clock();
    notes.note(|log| log.sm_clock.note(sm_clock))?;
    let memory_clock = device.memory_clock();
    notes.note(|log| log.memory_clock.note(memory_clock))?;
    let throttle = device.throttle_reasons();
    notes.note(|log| {
        log.polls += 1;
        log.throttle.note(throttle)
    })
}

/// Reads the power limit, against which the energy counter is checked.
pub(crate) fn power_limit(device: &Device, notes: &impl Notes) {
    let limit = device.power_limit().ok();
    notes.note(|log| log.power_limit = limit);
}

/// Reads the energy counter, which takes milliseconds.
pub(crate) fn energy(device: &Device, notes: &impl Notes) -> Going {
    let energy = device.energy();
    notes.note(|log| log.energy.note(energy))
}

/// Fetches samples that the driver keeps. Each buffer holds at least two seconds.
#[derive(Debug)]
pub(crate) struct Fetch {
    newest: [u64; BUFFERS.len()],
}

type Target = fn(&mut Readings) -> &mut Buffer;

/// NVML has such buffers for clocks, too, by its header; drivers leave them empty.
const BUFFERS: [(driver::Buffer, Target); 3] = [
    (driver::Buffer::Utilization, |log| &mut log.gpu_utilization),
    (driver::Buffer::MemoryControllerUtilization, |log| &mut log.memory_controller_utilization),
    (driver::Buffer::Power, |log| &mut log.power_samples),
];

/// How far before the run samples are fetched: they tell that a buffer works, and where the run's first window began.
const HISTORY: Duration = Duration::from_secs(2);

/// Time stamps farther than this from now are of some other clock, and no use.
const SAME_CLOCK: u64 = Duration::from_secs(3600).as_micros() as u64;

impl Fetch {
    /// For a run that starts now.
    pub(crate) fn new() -> Self {
        let since = now_in_microseconds().saturating_sub(HISTORY.as_micros() as u64);
        Self { newest: [since; BUFFERS.len()] }
    }

    /// What came in since the last fetch.
    pub(crate) fn fetch(&mut self, device: &Device, notes: &impl Notes) -> Going {
        for ((kind, target), newest) in BUFFERS.into_iter().zip(&mut self.newest) {
            let fetched = device.samples(kind, *newest);
            let at = Some(Instant::now());
            match fetched {
                Ok(samples) => {
                    let now = now_in_microseconds();
                    // Slots that the driver has not filled have the time 0.
                    let samples = samples.into_iter().filter(|(stamp, _)| stamp.abs_diff(now) < SAME_CLOCK);
                    notes.note(|log| {
                        let buffer = target(log);
                        buffer.fetched = at;
                        buffer.samples.extend(samples);
                        buffer.works = !buffer.samples.is_empty();
                        *newest = buffer.samples.iter().map(|(at, _)| *at).max().unwrap_or(*newest).max(*newest);
                    });
                }
                Err(error) if is_lost(&error) => return Err(Lost),
                // None since the last fetch, or none at all: then polling takes its place.
                Err(error) if is_nothing_new(&error) => notes.note(|log| target(log).fetched = at),
                Err(error) => notes.note(|log| target(log).error = Some(explain(&error))),
            }
        }
        Ok(())
    }
}

/// Microseconds since 1970, the clock of the driver's time stamps.
pub(crate) fn now_in_microseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
