//! Turns what the thread noted into what a run records.

mod energy;

use std::time::{Duration, Instant};

use harness_core::metric::{definition, name};
use harness_core::{NoSensors, SensorLog, Sensors, Series};

use crate::device::{HELD_DOWN, mega, milli, ratio};
use crate::distinct::{At, Window, buffered, held, renewed, windows, within};
use crate::driver::METRICS;
use crate::guarded::Asking;
use crate::readings::{Buffer, Field, Readings};

/// The share of the run, beside a few intervals, that may lie between a sensor's last reading and the run's end where the sensor
/// failed: a mean over less than the rest would pass for the run's.
const UNREAD: f64 = 0.1;
/// Intervals without a reading after which nothing is known of throttling.
const GAP: f64 = 10.0;

/// When the counters are read last.
const AT_END: &str = "when the run ended";

/// The run that readings are about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) start: Instant,
    pub(crate) stop: Instant,
    /// The start in microseconds since 1970.
    pub(crate) start_microseconds: u64,
    /// Between polls.
    pub(crate) interval: Duration,
}

impl Extent {
    /// Seconds.
    fn length(&self) -> f64 {
        self.stop.saturating_duration_since(self.start).as_secs_f64()
    }

    /// Seconds from the start, negative before it.
    fn time(&self, at: Instant) -> f64 {
        match at.checked_duration_since(self.start) {
            Some(after) => after.as_secs_f64(),
            None => -self.start.duration_since(at).as_secs_f64(),
        }
    }
}

/// What one run taught about the GPU's sensors, for the next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Learnt {
    utilization: Window,
    power: Window,
}

/// What a run of that extent records.
pub(crate) fn sum_up(readings: &Readings, extent: &Extent, learnt: &mut Learnt) -> SensorLog {
    let mut summary = Summary { readings, extent, log: SensorLog::default() };
    summary.utilization(learnt);
    summary.memory();
    summary.power(learnt);
    summary.momentary(name::temperature, &readings.temperature, f64::from);
    summary.momentary(name::sm_clock, &readings.sm_clock, mega);
    summary.momentary(name::memory_clock, &readings.memory_clock, mega);
    summary.gpm();
    match summary.energy() {
        Ok(joules) => {
            summary.log.values.insert(name::energy.to_owned(), joules);
        }
        Err(reason) => {
            summary.log.absent.insert(name::energy.to_owned(), reason);
        }
    }
    summary.throttling();
    summary.log
}

/// Every sensor metric absent for one reason.
pub(crate) fn nothing(reason: &str) -> SensorLog {
    NoSensors { reason: reason.to_owned() }.stop()
}

struct Summary<'a> {
    readings: &'a Readings,
    extent: &'a Extent,
    log: SensorLog,
}

impl Summary<'_> {
    fn utilization(&mut self, learnt: &mut Learnt) {
        let Readings { utilization: polls, gpu_utilization, memory_controller_utilization, .. } = self.readings;
        // Both values are of one window, so a change of either tells of a new one.
        let renewals = {
            let interval = self.extent.interval.as_secs_f64();
            learnt.utilization.renewals(&self.times(polls), self.extent.length(), interval)
        };
        let gpu = renewals.iter().map(|(at, value)| (*at, ratio(value.gpu))).collect();
        self.average(name::gpu_utilization, gpu_utilization, gpu);
        let memory = renewals.iter().map(|(at, value)| (*at, ratio(value.memory_controller))).collect();
        self.average(name::memory_controller_utilization, memory_controller_utilization, memory);
    }

    /// Averages over the driver's windows: from its buffer where that works, else from polls.
    fn average(&mut self, metric: &str, buffer: &Buffer, polled: Vec<At<f64>>) {
        if !self.trusts(buffer) {
            return self.series(metric, polled, &self.readings.utilization);
        }
        let windows = windows(&buffered(&buffer.samples, self.extent.start_microseconds), self.extent.length());
        self.whole_series(metric, windows.iter().map(|window| (window.ended, window.value / 100.0)).collect(), None);
        // The driver may change its windows' length.
        let (shares, lengths): (Vec<f64>, Vec<f64>) =
            windows.iter().map(|window| (window.value / 100.0, window.long)).unzip();
        let rule = definition(metric).map(|definition| definition.aggregation);
        if let Some(share) = rule.and_then(|rule| rule.of_samples(&shares, Some(&lengths))) {
            self.log.values.insert(metric.to_owned(), share);
        }
    }

    fn power(&mut self, learnt: &mut Learnt) {
        let Readings { power: polls, power_samples: buffer, .. } = self.readings;
        let length = self.extent.length();
        if self.trusts(buffer) {
            let samples = within(&buffered(&buffer.samples, self.extent.start_microseconds), length);
            return self.whole_series(name::power, samples.into_iter().map(|(at, mw)| (at, mw / 1e3)).collect(), None);
        }
        // A poll gives the mean of the last second on recent GPUs.
        let renewals = learnt.power.renewals(&self.times(polls), length, self.extent.interval.as_secs_f64());
        let samples = renewals.into_iter().map(|(at, mw)| (at, milli(mw))).collect();
        self.series(name::power, samples, polls);
    }

    fn memory(&mut self) {
        let field = &self.readings.memory;
        let readings = within(&self.times(field), self.extent.length());
        let used = readings.iter().map(|(at, memory)| (*at, memory.used as f64)).collect();
        let share = readings.iter().map(|(at, memory)| (*at, memory.used as f64 / memory.total as f64)).collect();
        self.series(name::memory_utilization, share, field);
        self.series(name::gpu_memory_used, used, field);
    }

    fn momentary<T: Copy>(&mut self, metric: &str, field: &Field<T>, unit: impl Fn(T) -> f64) {
        let readings = renewed(&within(&self.times(field), self.extent.length()), |a, b| unit(a) == unit(b));
        self.series(metric, readings.into_iter().map(|(at, value)| (at, unit(value))).collect(), field);
    }

    fn gpm(&mut self) {
        let Readings { gpm, lost, unreachable, .. } = self.readings;
        for (i, (metric, _)) in METRICS.iter().enumerate() {
            let figure = match (lost, unreachable, gpm.as_ref().and_then(|figures| figures.get(i))) {
                (Some(lost), _, _) => Err(why_lost(*lost, self.extent)),
                (_, Some(error), _) => Err(error.clone()),
                (_, _, Some(figure)) => figure.clone(),
                _ => Err(self.no_answer(AT_END)),
            };
            match figure {
                Ok(value) => drop(self.log.values.insert((*metric).to_owned(), value)),
                Err(reason) => drop(self.log.absent.insert((*metric).to_owned(), reason)),
            }
        }
    }

    fn throttling(&mut self) {
        let field = &self.readings.throttle;
        let readings = self.times(field);
        let all = HELD_DOWN.iter().fold(0, |all, (_, reason)| all | *reason);
        let metrics = [(name::throttled_time.to_owned(), all)]
            .into_iter()
            .chain(HELD_DOWN.iter().map(|(reason, flag)| (format!("{}_{reason}", name::throttled_time), *flag)));
        let length = self.extent.length();
        let none = within(&readings, length).is_empty();
        for (metric, reasons) in metrics {
            // A time that covers only a part of the run would pass for the run's.
            if let Some(reason) = self.why_not_whole(field) {
                self.log.absent.insert(metric, reason);
            } else if none || self.readings.lost.is_some() {
                let reason = self.why_none(field.error.as_deref());
                self.log.absent.insert(metric, reason);
            } else {
                let most = self.extent.interval.as_secs_f64() * GAP;
                let time = held(&readings, length, most, |now: u64| now & reasons != 0);
                self.log.values.insert(metric, time);
            }
        }
    }

    fn times<T: Copy>(&self, field: &Field<T>) -> Vec<At<T>> {
        field.readings.iter().map(|(at, value)| (self.extent.time(*at), *value)).collect()
    }

    /// A sensor's series, if it was read through the run.
    fn series<T: Copy>(&mut self, metric: &str, samples: Vec<At<f64>>, field: &Field<T>) {
        match self.why_not_whole(field) {
            Some(reason) => drop(self.log.absent.insert(metric.to_owned(), reason)),
            None => self.whole_series(metric, samples, field.error.as_deref()),
        }
    }

    /// Why a sensor that gave readings gave them of a part of the run only.
    fn why_not_whole<T>(&self, field: &Field<T>) -> Option<String> {
        let Readings { lost, silent_at_end, .. } = self.readings;
        let (last, _) = field.readings.last()?;
        if self.reaches_end(*last) {
            return None;
        }
        if let Some(lost) = lost {
            return Some(why_lost(*lost, self.extent));
        }
        let last = self.extent.time(*last).max(0.0);
        if let Some(asking) = silent_at_end {
            return Some(format!("the driver did not answer from {last:.1} s into the run on ({})", asking.function));
        }
        field.error.as_ref().map(|error| format!("from {last:.1} s into the run on: {error}"))
    }

    /// Whether what was read until then is about the whole run.
    fn reaches_end(&self, last: Instant) -> bool {
        let length = self.extent.length();
        length - self.extent.time(last) <= length * UNREAD + self.extent.interval.as_secs_f64() * GAP
    }

    /// Whether the driver's own samples are there for the whole run.
    fn trusts(&self, buffer: &Buffer) -> bool {
        buffer.works && buffer.error.is_none() && buffer.fetched.is_some_and(|fetched| self.reaches_end(fetched))
    }

    /// That the driver did not answer, at that time and in which function.
    fn no_answer(&self, when: &str) -> String {
        let Readings { silent_at_start, silent_at_end, .. } = self.readings;
        let asking = match when {
            AT_END => silent_at_end,
            _ => silent_at_start,
        };
        let asking = asking.as_ref().or(silent_at_end.as_ref()).map(|Asking { function, .. }| format!(" ({function})"));
        format!("NVML did not answer {when}{}", asking.unwrap_or_default())
    }

    fn whole_series(&mut self, metric: &str, samples: Vec<At<f64>>, error: Option<&str>) {
        if samples.is_empty() {
            let reason = self.why_none(error);
            self.log.absent.insert(metric.to_owned(), reason);
        } else {
            let (times, values) = samples.into_iter().unzip();
            self.log.series.insert(metric.to_owned(), Series { values, times });
        }
    }

    fn why_none(&self, error: Option<&str>) -> String {
        let Readings { lost, unreachable, polls, .. } = self.readings;
        if let Some(lost) = lost {
            return why_lost(*lost, self.extent);
        }
        if let Some(error) = unreachable.as_deref().or(error) {
            return error.to_owned();
        }
        if *polls == 0 {
            return self.no_answer("during the run");
        }
        format!("the run of {:.3} s was too short for this sensor", self.extent.length())
    }
}

fn why_lost(lost: Instant, extent: &Extent) -> String {
    let at = extent.time(lost);
    if at <= 0.0 {
        "the GPU was lost before the run began (NVML_ERROR_GPU_IS_LOST)".to_owned()
    } else {
        format!("the GPU was lost {at:.1} s into the run (NVML_ERROR_GPU_IS_LOST)")
    }
}
