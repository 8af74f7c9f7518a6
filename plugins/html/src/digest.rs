//! What is drawn of a recording: each run is read by itself and forgotten, so that no more than one run's samples of
//! one metric are in memory.

use harness_plugin::hardware::Throttling;
use harness_plugin::statistics::{Distribution, quantile};
use harness_plugin::{Metric, Run, metrics};

use crate::series::{Histogram, range, thinned};

/// Points in a chart of one run.
const POINTS: usize = 600;
/// Points in a chart of one sensor, over all runs.
const SENSOR_POINTS: usize = 600;
/// Stretches of the histogram.
const BINS: usize = 40;

/// One run, made small.
pub(crate) struct RunDigest {
    pub(crate) label: String,
    /// Mean latency that the host recorded, in seconds.
    pub(crate) latency: Option<f64>,
    pub(crate) samples: Option<Samples>,
    /// None when the host did not record it.
    pub(crate) throttling: Option<Throttling>,
}

/// Latency samples, in seconds.
pub(crate) struct Samples {
    pub(crate) count: usize,
    pub(crate) least: f64,
    /// None where too few samples support it, and so for `p99`.
    pub(crate) median: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// What 99 of 100 of these samples do not exceed, of however many: where charts end what is common.
    pub(crate) common: f64,
    pub(crate) most: f64,
    /// Number of the request, from 1, and its latency.
    pub(crate) points: Vec<(f64, f64)>,
}

impl RunDigest {
    pub(crate) fn of(run: &dyn Run) -> Self {
        Self {
            label: run.label(),
            latency: run.value(metrics::LATENCY.name()),
            samples: latencies(run).and_then(Samples::of),
            throttling: Throttling::of(run),
        }
    }

    /// None when clocks were not held down, as far as is known.
    pub(crate) fn throttled(&self) -> Option<&Throttling> {
        self.throttling.as_ref().filter(|throttling| throttling.seconds > 0.0)
    }
}

impl Samples {
    fn of(mut samples: Vec<f64>) -> Option<Self> {
        let (least, most) = range(samples.iter().copied())?;
        let points: Vec<(f64, f64)> = samples.iter().zip(1u32..).map(|(value, at)| (f64::from(at), *value)).collect();
        let points = thinned(&points, POINTS);
        samples.sort_by(f64::total_cmp);
        let (count, common) = (samples.len(), quantile(&samples, 0.99)?);
        let distribution = Distribution::of(samples)?;
        let (median, p99) = (distribution.percentile("p50"), distribution.percentile("p99"));
        Some(Self { count, least, median, p99, common, most, points })
    }
}

fn latencies(run: &dyn Run) -> Option<Vec<f64>> {
    run.samples(metrics::LATENCY.name())
}

/// Of latencies, from the least to the most, or to where few enough are greater: one request that took a hundred times
/// as long would leave all others in one place.
pub(crate) fn common_range(digests: &[RunDigest]) -> Option<(f64, f64)> {
    let samples = || digests.iter().flat_map(|run| &run.samples);
    let (least, most) = range(samples().flat_map(|samples| [samples.least, samples.most]))?;
    let (_, common) = range(samples().map(|samples| samples.common))?;
    let end = most.min(least + 2.0 * (common - least));
    Some((least, if end > least { end } else { most }))
}

/// Latencies of all runs; none when no run has samples.
pub(crate) fn histogram(runs: &[Box<dyn Run>], digests: &[RunDigest]) -> Option<Histogram> {
    let samples = || digests.iter().flat_map(|run| &run.samples);
    let (least, end) = common_range(digests)?;
    let count: usize = samples().map(|samples| samples.count).sum();
    let mut histogram = Histogram::new((least, end), BINS.min((count as f64).sqrt() as usize * 2));
    runs.iter().flat_map(|run| latencies(&**run)).flatten().for_each(|value| histogram.add(value));
    Some(histogram)
}

/// A sensor over the runs.
pub(crate) struct Sensor {
    pub(crate) metric: Metric,
    /// In the metric's unit.
    pub(crate) range: (f64, f64),
    /// The mean of each run, where it has one, in the metric's unit.
    pub(crate) means: Vec<Option<f64>>,
    /// Of each run: the part of the run that is over, from 0 to 1, and the reading.
    pub(crate) lines: Vec<Vec<(f64, f64)>>,
}

/// Every metric of sensor samples that a run has, in the order in which the host lists them.
pub(crate) fn sensors(runs: &[Box<dyn Run>]) -> Vec<Sensor> {
    let mut known: Vec<Metric> = Vec::new();
    for metric in runs.iter().flat_map(|run| run.metrics()).filter(|metric| metric.sampled) {
        if !known.iter().any(|other| other.name == metric.name) {
            known.push(metric);
        }
    }
    known.into_iter().filter_map(|metric| Sensor::of(metric, runs)).collect()
}

impl Sensor {
    fn of(metric: Metric, runs: &[Box<dyn Run>]) -> Option<Self> {
        let means: Vec<Option<f64>> = runs.iter().map(|run| run.value(&metric.name)).collect();
        let most = SENSOR_POINTS / runs.len().max(1);
        let lines: Vec<Vec<(f64, f64)>> =
            runs.iter().map(|run| thinned(&readings(&**run, &metric.name), most)).collect();
        let range = range(lines.iter().flatten().map(|(_, value)| *value))?;
        Some(Self { metric, range, means, lines })
    }
}

/// A run without samples has its figure in its middle.
fn readings(run: &dyn Run, metric: &str) -> Vec<(f64, f64)> {
    let samples = run.samples(metric).unwrap_or_default();
    if samples.is_empty() {
        return run.value(metric).map(|value| (0.5, value)).into_iter().collect();
    }
    let times = run.times(metric).filter(|times| times.len() == samples.len());
    let length = times.iter().flatten().copied().fold(0.0, f64::max);
    let count = samples.len() as f64;
    let place = |index: usize| match &times {
        Some(times) if length > 0.0 => times[index] / length,
        _ => (index as f64 + 0.5) / count,
    };
    samples.into_iter().enumerate().map(|(index, value)| (place(index), value)).collect()
}

#[cfg(test)]
mod tests {
    use harness_plugin::metrics::{LATENCY, POWER};
    use harness_plugin::testing::FakeRun;

    use super::*;

    fn boxed(run: FakeRun) -> Box<dyn Run> {
        Box::new(run)
    }

    #[test]
    fn a_million_samples_become_few_and_none_is_left_out_of_the_figures() {
        let mut samples = vec![0.1; 1_000_000];
        samples[654_321] = 0.9;
        let runs = [boxed(FakeRun::new("run 1").value(&LATENCY, 0.1).samples(&LATENCY, &samples))];
        let digests = [RunDigest::of(&*runs[0])];
        let digest = digests[0].samples.as_ref().unwrap();
        assert!(digest.points.len() <= POINTS && digest.points.contains(&(654_322.0, 0.9)));
        assert_eq!(
            (digest.count, digest.least, digest.median, digest.p99, digest.most),
            (1_000_000, 0.1, Some(0.1), Some(0.1), 0.9)
        );
        assert_eq!(histogram(&runs, &digests).unwrap().counts.iter().sum::<u64>(), 1_000_000);
    }

    #[test]
    fn an_outlier_does_not_flatten_the_histogram() {
        let mut samples: Vec<f64> = (0..1000).map(|i| 0.1 + f64::from(i) * 1e-5).collect();
        samples[0] = 30.0;
        let runs = [boxed(FakeRun::new("run 1").samples(&LATENCY, &samples))];
        let histogram = histogram(&runs, &[RunDigest::of(&*runs[0])]).unwrap();
        assert_eq!((histogram.beyond, histogram.end() < 0.2), (1, true));
        assert_eq!(histogram.counts.iter().sum::<u64>(), 1000);
    }

    #[test]
    fn sensors_have_readings_by_time_or_the_figure_of_the_run() {
        let timed = FakeRun::new("a").value(&POWER, 200.0).samples(&POWER, &[100.0, 300.0]).times(&POWER, &[1.0, 4.0]);
        let runs = [boxed(timed), boxed(FakeRun::new("b").value(&POWER, 250.0)), boxed(FakeRun::new("c"))];
        let sensors = sensors(&runs);
        assert_eq!(sensors.len(), 1);
        assert_eq!(sensors[0].lines, [vec![(0.25, 100.0), (1.0, 300.0)], vec![(0.5, 250.0)], vec![]]);
        assert_eq!(sensors[0].range, (100.0, 300.0));
        assert_eq!(sensors[0].means, [Some(200.0), Some(250.0), None]);
    }
}
