//! Which readings count as samples of a run. All times are seconds from the run's start.
//!
//! A sensor that is read more often than it measures gives the same measurement twice; counted twice it would feign
//! a certainty that isn't there. Three rules:
//!
//! - **Momentary values** (clocks, memory, temperature, the driver's buffered power): each reading taken in the run.
//! - **Averages with a time stamp** (buffered utilisation): each time stamp once. A sample stamped `t` averages the time
//!   since the sample before it, so it counts where the greater part of that lies in the run: its middle, not its end.
//! - **Averages without one** (polled utilisation and power): NVML says only that the window is 1/6 s to 1 s long. A poll
//!   is a new window's when its value differs from the poll before, or when as much time has passed as the window is long
//!   at most: 1 s, or the shortest time seen between two changes. Of these, too, the middle must lie in the run.

use std::time::Duration;

/// A reading and its time.
pub(crate) type At<T> = (f64, T);

/// The longest that a window of NVML's averages is.
const LONGEST_WINDOW: f64 = 1.0;
/// And the shortest.
const SHORTEST_WINDOW: f64 = 1.0 / 6.0;

/// Buffered samples, in order and each once, with their times from the run's start.
pub(crate) fn buffered(samples: &[(u64, f64)], start: u64) -> Vec<At<f64>> {
    let mut samples = samples.to_vec();
    samples.sort_by_key(|(at, _)| *at);
    samples.dedup_by_key(|(at, _)| *at);
    let seconds = |at: u64| {
        let apart = Duration::from_micros(at.abs_diff(start)).as_secs_f64();
        if at < start { -apart } else { apart }
    };
    samples.into_iter().map(|(at, value)| (seconds(at), value)).collect()
}

/// The readings taken in a run of that length.
pub(crate) fn within<T: Copy>(readings: &[At<T>], length: f64) -> Vec<At<T>> {
    readings.iter().filter(|(at, _)| (0.0..=length).contains(at)).copied().collect()
}

/// An average over a window that ended at `ended` and was `long` long, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Averaged {
    pub(crate) ended: f64,
    pub(crate) long: f64,
    pub(crate) value: f64,
}

/// The time-stamped averages that are about a run of that length.
pub(crate) fn windows(samples: &[At<f64>], length: f64) -> Vec<Averaged> {
    let first = samples.first().map(|&(at, value)| (at - SHORTEST_WINDOW, (at, value)));
    let rest = samples.windows(2).filter_map(|pair| match pair {
        [(before, _), sample] => Some((before.max(sample.0 - LONGEST_WINDOW), *sample)),
        _ => None,
    });
    let about_the_run = |(began, (ended, value)): (f64, At<f64>)| {
        (f64::midpoint(began, ended) >= 0.0 && ended <= length).then_some(Averaged {
            ended,
            long: ended - began,
            value,
        })
    };
    first.into_iter().chain(rest).filter_map(about_the_run).collect()
}

/// How long the window of an average without time stamps is at most, learnt from one run to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    longest: f64,
}

impl Default for Window {
    fn default() -> Self {
        Self { longest: LONGEST_WINDOW }
    }
}

impl Window {
    /// The polls of a run of that length that are surely of distinct windows about the run. `interval` is the time between
    /// polls, by which a change may be seen late.
    pub(crate) fn renewals<T: Copy + PartialEq>(&mut self, polls: &[At<T>], length: f64, interval: f64) -> Vec<At<T>> {
        let Some(&(first, mut previous)) = polls.first() else { return Vec::new() };
        let mut counted = first;
        let mut last_change = None;
        let mut renewals = Vec::new();
        for &(at, value) in polls.iter().filter(|(at, _)| *at <= length) {
            let changed = value != previous;
            previous = value;
            if changed {
                if let Some(last) = last_change.replace(at) {
                    self.longest = self.longest.min((at - last + interval).max(SHORTEST_WINDOW));
                }
            } else if at - counted < self.longest {
                continue;
            }
            counted = at;
            if at - self.longest / 2.0 >= 0.0 {
                renewals.push((at, value));
            }
        }
        renewals
    }
}

/// How long conditions held, of which the first of `readings` is told when they hold: each reading stands until the next,
/// the first for the time before it, the last until the end of the run; but none for longer than `most`, since nothing is
/// known of a time in which NVML did not answer.
pub(crate) fn held<T: Copy>(readings: &[At<T>], length: f64, most: f64, holds: impl Fn(T) -> bool) -> f64 {
    let inside = within(readings, length);
    let before = inside.first().map(|(at, value)| (*at, *value));
    let ends = inside.iter().skip(1).map(|(at, _)| *at).chain([length]);
    let spans = inside.iter().zip(ends).map(|((at, value), end)| (end - at, *value));
    before
        .into_iter()
        .chain(spans)
        .filter(|(_, value)| holds(*value))
        .fold(0.0, |time, (span, _)| time + span.min(most))
}

/// Clocks and temperatures are renewed each 100 ms: a reading counts when it differs from the last that did, or comes a
/// renewal after it; half a poll less, so that a poll that comes a little early is not passed over.
const RENEWAL: f64 = 0.095;

/// The readings of a renewed value that can be distinct.
pub(crate) fn renewed<T: Copy>(readings: &[At<T>], same: impl Fn(T, T) -> bool) -> Vec<At<T>> {
    let mut kept: Vec<At<T>> = Vec::new();
    for &(at, value) in readings {
        let counts = kept.last().is_none_or(|&(last, before)| !same(before, value) || at - last >= RENEWAL);
        if counts {
            kept.push((at, value));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use harness_core::aggregation::Aggregation;

    use super::*;

    #[test]
    fn buffered_samples_count_once_and_in_order() {
        let samples = [(1_400_000, 3.0), (1_000_000, 1.0), (1_200_000, 2.0), (1_200_000, 2.0)];
        let samples = buffered(&samples, 1_200_000);
        assert_eq!(samples.iter().map(|s| s.1).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
        let times = [-0.2, 0.0, 0.2];
        assert!(samples.iter().zip(times).all(|(sample, time)| (sample.0 - time).abs() < 1e-9), "{samples:?}");
    }

    #[test]
    fn momentary_values_count_when_taken_in_the_run() {
        let readings = [(-0.01, 1), (0.0, 2), (0.5, 3), (1.0, 4), (1.01, 5)];
        assert_eq!(within(&readings, 1.0), [(0.0, 2), (0.5, 3), (1.0, 4)]);
    }

    fn ends(samples: &[At<f64>], length: f64) -> Vec<At<f64>> {
        windows(samples, length).iter().map(|window| (window.ended, window.value)).collect()
    }

    #[test]
    fn a_window_counts_when_its_middle_lies_in_the_run() {
        // Windows of 200 ms; the one that ends at 0.05 is mostly of the time before, the one that ends at 0.65 is not over.
        let samples = [(-0.15, 1.0), (0.05, 2.0), (0.25, 3.0), (0.45, 4.0), (0.65, 5.0)];
        assert_eq!(ends(&samples, 0.6), [(0.25, 3.0), (0.45, 4.0)]);
        // Here the greater part is in the run.
        assert_eq!(ends(&[(-0.05, 1.0), (0.15, 2.0)], 0.6), [(0.15, 2.0)]);
    }

    #[test]
    fn after_a_gap_a_window_is_no_longer_than_windows_are() {
        let samples = windows(&[(-60.0, 1.0), (0.6, 2.0)], 1.0);
        assert_eq!(samples, [Averaged { ended: 0.6, long: LONGEST_WINDOW, value: 2.0 }]);
    }

    #[test]
    fn no_history_no_window_before_the_first() {
        assert_eq!(ends(&[(0.1, 1.0), (0.3, 2.0)], 1.0), [(0.1, 1.0), (0.3, 2.0)]);
        assert_eq!(ends(&[(0.05, 1.0)], 1.0), []);
    }

    #[test]
    fn a_window_weighs_as_much_as_it_is_long() {
        // 80 per cent for 0.1 s and 40 for 0.3 s, twice: half the time is 40, not half the samples.
        let samples = windows(&[(0.0, 9.0), (0.1, 80.0), (0.4, 40.0), (0.5, 80.0), (0.8, 40.0)], 1.0);
        assert_eq!(samples.len(), 4);
        let (values, lengths): (Vec<f64>, Vec<f64>) = samples.iter().map(|window| (window.value, window.long)).unzip();
        let mean = Aggregation::TimeWeightedMean.of_samples(&values, Some(&lengths));
        assert!(mean.is_some_and(|mean| (mean - 50.0).abs() < 1e-9), "{samples:?}");
    }

    fn polls(values: impl Fn(usize) -> u32, seconds: f64) -> Vec<At<u32>> {
        (0..(seconds * 100.0) as usize).map(|tick| (tick as f64 / 100.0, values(tick))).collect()
    }

    #[test]
    fn a_value_that_never_changes_counts_once_a_second() {
        let renewals = Window::default().renewals(&polls(|_| 97, 3.5), 3.5, 0.01);
        assert_eq!(renewals.iter().map(|r| r.0).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_short_run_has_no_distinct_poll() {
        assert!(Window::default().renewals(&polls(|_| 97, 0.4), 0.4, 0.01).is_empty());
        assert!(Window::default().renewals::<u32>(&[], 0.4, 0.01).is_empty());
    }

    #[test]
    fn changes_tell_how_long_the_window_is() {
        let mut window = Window::default();
        // A window of 200 ms, of which the values 1, 2, 3, 3, 3, 3, … are seen.
        let renewals = window.renewals(&polls(|tick| (tick as u32 / 20 + 1).min(3), 2.0), 2.0, 0.01);
        assert!((window.longest - 0.21).abs() < 1e-9, "{window:?}");
        // The change at 0.2 s might be of a window of a second, most of it before the run.
        assert_eq!(renewals.first().map(|r| r.1), Some(3));
        assert_eq!(renewals.len(), 8, "{renewals:?}");
        // The next run knows.
        assert_eq!(window.renewals(&polls(|tick| (tick as u32 / 20 + 1).min(3), 0.9), 0.9, 0.01).len(), 4);
    }

    #[test]
    fn a_renewed_value_counts_once_a_renewal_or_when_it_changes() {
        let readings: Vec<At<u32>> = (0..50).map(|i| (f64::from(i) * 0.01, u32::from(i >= 25))).collect();
        let polls: Vec<f64> = renewed(&readings, |a, b| a == b).iter().map(|(at, _)| (at * 100.0).round()).collect();
        assert_eq!(polls, [0.0, 10.0, 20.0, 25.0, 35.0, 45.0]);
    }

    #[test]
    fn polls_after_the_run_do_not_count() {
        let renewals = Window::default().renewals(&[(0.1, 1), (0.8, 2), (1.2, 3)], 1.0, 0.01);
        assert_eq!(renewals, [(0.8, 2)]);
    }

    #[test]
    fn conditions_hold_from_reading_to_reading() {
        let readings = [(0.1, true), (0.2, false), (0.3, true), (0.6, true), (1.1, true)];
        // 0 to 0.1 by the first reading, 0.1 to 0.2, 0.3 to 0.6, 0.6 to the end.
        let time = held(&readings, 1.0, 10.0, |on| on);
        assert!((time - 0.9).abs() < 1e-9, "{time}");
        // With gaps cut to 0.2 s.
        let time = held(&readings, 1.0, 0.2, |on| on);
        assert!((time - 0.6).abs() < 1e-9, "{time}");
        // A sum of nothing would be -0.
        assert_eq!(held(&readings, 1.0, 10.0, |_| false).to_bits(), 0.0_f64.to_bits());
    }
}
