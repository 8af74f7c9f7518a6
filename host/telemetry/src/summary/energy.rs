//! What the energy counter is worth.

use std::time::Duration;

use harness_core::metric::name;
use harness_core::statistics::mean;

use super::{AT_END, Summary, why_lost};
use crate::device::milli;

/// The least that the energy counter must have run for: an H100's moves each 0.1 s, so less would be known to a third.
const SHORTEST_FOR_ENERGY: Duration = Duration::from_millis(300);
/// How far from the run's ends the counter may have been read, beside a hundredth of the run.
const ENERGY_READ_WITHIN: Duration = Duration::from_millis(100);
/// Seconds between two movements of the energy counter.
const ENERGY_STEP: f64 = 0.1;
/// The most that the counter may have counted, in power limits: `docs/metrics.md` says why.
const OVER_LIMIT: f64 = 1.25;
/// The least share of the power sensor's mean that it must have counted: `docs/metrics.md` says why.
const UNDER_POWER: f64 = 0.5;
/// Seconds under which the energy counter is not held against the power sensor.
const SHORTEST_FOR_POWER: f64 = 2.0;

impl Summary<'_> {
    /// Joules over the run: the difference of a counter in millijoules that is read just before and just after it.
    pub(super) fn energy(&self) -> Result<f64, String> {
        let Summary { readings, extent, .. } = self;
        if let Some(lost) = readings.lost {
            return Err(why_lost(lost, extent));
        }
        if let Some(error) = readings.unreachable.as_ref().or(readings.energy.error.as_ref()) {
            return Err(error.clone());
        }
        let length = extent.length();
        let slack = ENERGY_READ_WITHIN.as_secs_f64() + length / 100.0;
        let first = readings.energy.readings.first().filter(|(at, _)| extent.time(*at) <= slack);
        let Some(&(first_at, first)) = first else {
            return Err(self.no_answer("when the run began"));
        };
        let last = readings.energy.readings.get(1..).and_then(<[_]>::last);
        let Some(&(last_at, last)) = last.filter(|(at, _)| extent.time(*at) - length <= slack && *at > first_at) else {
            return Err(self.no_answer(AT_END));
        };
        // Its 64 bits last for longer than GPUs do, so that a counter that went round is no counter.
        let Some(millijoules) = last.checked_sub(first) else {
            return Err("the energy counter went backwards during the run, as when the driver restarts".to_owned());
        };
        if length < SHORTEST_FOR_ENERGY.as_secs_f64() {
            return Err(format!(
                "the run of {length:.3} s was too short for the energy counter, which moves each 0.1 s or so"
            ));
        }
        if millijoules == 0 {
            return Err(format!("the energy counter did not move during the run of {length:.1} s"));
        }
        let joules = millijoules as f64 / 1e3;
        let counted = last_at.duration_since(first_at).as_secs_f64();
        self.check_against_limit(joules, counted)?;
        self.check_against_power(joules, counted)?;
        Ok(joules)
    }

    /// More than the power limit allows is no energy.
    fn check_against_limit(&self, joules: f64, seconds: f64) -> Result<(), String> {
        let Some(limit) = self.readings.power_limit.map(milli).filter(|limit| *limit > 0.0) else { return Ok(()) };
        if joules <= OVER_LIMIT * limit * (seconds + ENERGY_STEP) {
            return Ok(());
        }
        Err(format!(
            "the energy counter jumped: {joules:.0} J in {seconds:.1} s is more than the power limit of {limit:.0} W allows"
        ))
    }

    /// A counter that counts far less than the power that was drawn stood still for a time. Only over a few of the windows
    /// that some GPUs' power readings are averages of.
    fn check_against_power(&self, joules: f64, seconds: f64) -> Result<(), String> {
        let Some(power) = self.log.series.get(name::power).and_then(|series| mean(&series.values)) else {
            return Ok(());
        };
        if seconds < SHORTEST_FOR_POWER || joules + power * ENERGY_STEP >= power * seconds * UNDER_POWER {
            return Ok(());
        }
        Err(format!(
            "the energy counter stood still for a part of the run: it counted {:.0} W where the power sensor read {power:.0} W",
            joules / seconds
        ))
    }
}
