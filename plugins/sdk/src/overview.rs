//! What every report shows of a recording: averages with their spread, what is missing and why, and what ran where.

use crate::format::{count, plural, quantity};
use crate::statistics::{
    CONFIDENCE, Distribution, Interval, coefficient_of_variation, differs, mean, mean_interval, standard_deviation,
};
use crate::{Extent, Facts, Metric, Reading, Recording, Run, metrics};

/// The metrics of the documented test, in the order in which reports show them.
pub static METHOD: &[&Metric] = &[
    &metrics::THROUGHPUT,
    &metrics::LATENCY,
    &metrics::MEMORY_ALLOCATED,
    &metrics::MEMORY_PEAK,
    &metrics::GPU_UTILIZATION,
    &metrics::MEMORY_UTILIZATION,
];

/// Fewer sensor samples than this in a run are too few to trust their average.
pub const FEWEST_SAMPLES: usize = 3;

/// How much a summary may differ from the mean of the runs, relative to the larger.
const TOLERANCE: f64 = 0.001;

/// Whether a metric is one of the documented test's.
pub fn is_of_the_method(metric: &str) -> bool {
    METHOD.iter().any(|method| method.name == metric)
}

/// Averages over the runs of every metric that each of them recorded, in the order in which the host lists them: the
/// sum of the runs' values divided by their number.
pub fn averages(runs: &[Box<dyn Run>]) -> Vec<Reading> {
    let Some(first) = runs.first() else { return Vec::new() };
    let average = |metric: Metric| {
        let values = values(runs, &metric.name)?;
        Some(metric.reading(mean(&values)?))
    };
    first.metrics().into_iter().filter_map(average).collect()
}

/// The value of each run; none unless all have one.
fn values(runs: &[Box<dyn Run>], metric: &str) -> Option<Vec<f64>> {
    runs.iter().map(|run| run.value(metric)).collect()
}

/// A recording as a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// Finished runs.
    pub runs: usize,
    /// The figures there are, those of the documented test first.
    pub rows: Vec<Row>,
    /// Metrics without a figure, those of the documented test first.
    pub missing: Vec<Missing>,
    /// Whether a plan's time limit ended a run before all its iterations.
    pub was_cut: bool,
    /// Lines that must be shown: of runs that were cut, of how they were warmed up where that was not a fixed number of
    /// iterations, and of the rule by which no more were made.
    pub notes: Vec<String>,
    /// Whether the documented test's metrics are to be expected: not where a workload sums up nothing but figures of
    /// its own.
    pub of_the_method: bool,
}

/// A figure of the workload's summary, or, where there is no summary, an average over the finished runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is.
    pub metric: Metric,
    /// In the metric's unit.
    pub average: f64,
    /// The value of each run, in the metric's unit; empty unless each has one.
    pub values: Vec<f64>,
    /// Samples behind the values; none when they have none.
    pub samples: Option<Samples>,
}

/// How many samples stand behind a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Of all runs.
    pub total: usize,
    /// Of the run that has the fewest.
    pub fewest: usize,
}

/// A metric without a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub metric: String,
    /// Why there is none.
    pub reason: String,
}

impl Row {
    /// The sample standard deviation of the runs' values, in the metric's unit; none of fewer than two.
    pub fn deviation(&self) -> Option<f64> {
        standard_deviation(&self.values)
    }

    /// The standard deviation as a share of the runs' mean; none of fewer than two runs, or where the mean is 0.
    pub fn coefficient_of_variation(&self) -> Option<f64> {
        coefficient_of_variation(&self.values)
    }

    /// The interval that the mean of such runs lies in with 95% confidence, in the metric's unit: Student's t over the runs'
    /// values; none of fewer than two.
    pub fn interval(&self) -> Option<Interval> {
        mean_interval(&self.values, CONFIDENCE)
    }

    /// Whether the average is one of sensor samples, of which a run had fewer than [`FEWEST_SAMPLES`].
    pub fn has_too_few_samples(&self) -> bool {
        self.metric.sampled && self.samples.is_some_and(|samples| samples.fewest < FEWEST_SAMPLES)
    }

    /// The mean of the runs, in the metric's unit, where the workload's summary says something else.
    pub fn contradiction(&self) -> Option<f64> {
        let mean = mean(&self.values)?;
        differs(mean, self.average, TOLERANCE).then_some(mean)
    }
}

impl Overview {
    /// Of a recording, finished or not.
    pub fn of(recording: &dyn Recording) -> Self {
        let runs = recording.runs();
        let summary = recording.summary();
        let readings = if summary.is_empty() { averages(&runs) } else { summary.clone() };
        let mut rows: Vec<Row> = readings.into_iter().map(|reading| Row::of(reading, &runs)).collect();
        // Stable: within a group the order stays.
        rows.sort_by_key(|row| place(&row.metric.name));
        let mut missing: Vec<Missing> = Vec::new();
        let mut miss = |name: &str| {
            if !rows.iter().any(|row| row.metric.name == name) && !missing.iter().any(|known| known.metric == name) {
                let reason = why_missing(name, &runs, !summary.is_empty());
                missing.push(Missing { metric: name.to_owned(), reason });
            }
        };
        let of_the_method = summary.is_empty() || rows.iter().any(|row| is_of_the_method(&row.metric.name));
        if of_the_method {
            METHOD.iter().for_each(|metric| miss(&metric.name));
        }
        runs.iter().flat_map(|run| run.absences()).for_each(|absence| miss(&absence.metric));
        let was_cut = runs.iter().any(|run| run.extent().was_cut());
        let notes = [cut_note(&runs), warmup_note(&runs), crate::stop::note(&recording.facts(), &runs)];
        Self { runs: runs.len(), rows, missing, was_cut, notes: notes.into_iter().flatten().collect(), of_the_method }
    }

    /// What is missing of the documented test, where it is to be expected: metrics that share a reason together.
    pub fn missing_of_the_method(&self) -> Vec<(Vec<&str>, &str)> {
        let mut groups: Vec<(Vec<&str>, &str)> = Vec::new();
        let expected = |missing: &&Missing| self.of_the_method && is_of_the_method(&missing.metric);
        for Missing { metric, reason } in self.missing.iter().filter(expected) {
            match groups.iter_mut().find(|(_, known)| known == reason) {
                Some((metrics, _)) => metrics.push(metric),
                None => groups.push((vec![metric], reason)),
            }
        }
        groups
    }
}

impl Row {
    /// A reading beside the runs that it sums up.
    pub fn of(reading: Reading, runs: &[Box<dyn Run>]) -> Self {
        let name = &reading.metric.name;
        let counts: Option<Vec<usize>> =
            runs.iter().map(|run| run.samples(name).map(|samples| samples.len())).collect();
        let samples = counts
            .and_then(|counts| Some(Samples { total: counts.iter().sum(), fewest: counts.iter().copied().min()? }));
        let values = values(runs, name).unwrap_or_default();
        Self { metric: reading.metric, average: reading.value, values, samples }
    }
}

fn cut_note(runs: &[Box<dyn Run>]) -> Option<String> {
    const NAMED: usize = 3;
    let cut: Vec<String> = runs
        .iter()
        .map(|run| (run.label(), run.extent()))
        .filter(|(_, extent)| extent.was_cut())
        .map(|(label, extent)| {
            format!("'{label}' served {} of {}", count(extent.iterations.into()), count(extent.asked.into()))
        })
        .collect();
    let more = cut.len().checked_sub(NAMED + 1).map(|more| format!(", and {} more", more + 1)).unwrap_or_default();
    (!cut.is_empty()).then(|| {
        format!(
            "Time limit: {} of {} ended before all iterations: {}{more}. Figures are of what was served.",
            cut.len(),
            plural(runs.len(), "run"),
            cut.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "),
        )
    })
}

fn warmup_note(runs: &[Box<dyn Run>]) -> Option<String> {
    let extents: Vec<Extent> = runs.iter().map(|run| run.extent()).filter(|e| e.warmup_steady.is_some()).collect();
    let (least, most) = (extents.iter().map(|e| e.warmup).min()?, extents.iter().map(|e| e.warmup).max()?);
    let range =
        if least == most { count(least.into()) } else { format!("{} to {}", count(least.into()), count(most.into())) };
    let seconds: f64 = extents.iter().filter_map(|extent| extent.warmup_time).sum();
    let unsteady = extents.iter().filter(|extent| extent.warmup_steady == Some(false)).count();
    let outcome = match unsteady {
        0 => "in each until latency was steady".to_owned(),
        _ => format!("and in {unsteady} of {} latency was not steady at its limit", plural(extents.len(), "run")),
    };
    Some(format!("Warm-up: {range} iterations a run, {} in all, {outcome}.", quantity(seconds, "s")))
}

/// The metrics whose samples reports describe, as their tail is what a user of the model waits for.
pub static DESCRIBED: &[&Metric] = &[&metrics::LATENCY, &metrics::TIME_TO_FIRST_TOKEN, &metrics::INTER_TOKEN_LATENCY];

/// The most samples that [`distribution`] describes: together they must fit a plugin's memory.
pub const MOST_DESCRIBED: usize = 1 << 21;

/// What a metric's samples of all runs together are like; none where there are none, or more than [`MOST_DESCRIBED`]. It
/// describes what was seen. How far off a mean may be is another question: see [`Row::interval`].
pub fn distribution(runs: &[Box<dyn Run>], metric: &str) -> Option<Distribution> {
    let mut all = Vec::new();
    for run in runs {
        let samples = run.samples(metric).unwrap_or_default();
        if all.len() + samples.len() > MOST_DESCRIBED {
            return None;
        }
        all.extend(samples);
    }
    Distribution::of(all)
}

fn place(metric: &str) -> usize {
    METHOD.iter().position(|method| method.name == metric).unwrap_or(METHOD.len())
}

fn why_missing(metric: &str, runs: &[Box<dyn Run>], summarised: bool) -> String {
    let with = runs.iter().filter(|run| run.value(metric).is_some()).count();
    let absence = runs.iter().find_map(|run| {
        let absence = run.absences().into_iter().find(|absence| absence.metric == metric)?;
        Some((run.label(), absence.reason))
    });
    match absence {
        _ if runs.is_empty() => "no run was finished".to_owned(),
        _ if with == runs.len() && summarised => "each run has it, but not the workload's summary".to_owned(),
        Some((label, reason)) if with > 0 => {
            format!("only {with} of {} have it; {label}: {reason}", plural(runs.len(), "run"))
        }
        None if with > 0 => format!("only {with} of {} have it", plural(runs.len(), "run")),
        Some((_, reason)) => reason,
        None => "the host did not record it".to_owned(),
    }
}

/// What ran where: labels and values, in the order in which a report shows them. What is not known is left out.
pub fn setup(facts: &Facts) -> Vec<(&'static str, String)> {
    let lines = [
        ("model", model(facts)),
        ("device", device(facts)),
        ("backend", facts.get("model.backend").map(|backend| backend_line(backend, facts))),
        ("host", host(facts)),
        ("settings", settings(facts)),
        ("plugin", plugin(facts)),
        ("started", facts.get("start").map(to_seconds)),
    ];
    lines.into_iter().filter_map(|(label, value)| Some((label, value?))).collect()
}

fn model(facts: &Facts) -> Option<String> {
    let mut parts = vec![facts.get("model.name")?.to_owned()];
    if let Some(parameters) = facts.get("model.parameters").and_then(|text| text.parse().ok()) {
        parts.push(format!("{} parameters", count(parameters)));
    }
    parts.extend(facts.get("model.dtype").map(str::to_owned));
    parts.extend(match (facts.synthetic_weights(), facts.get("model.weights")) {
        (Some(seed), _) => Some(format!("synthetic weights (seed {seed})")),
        (None, weights) => weights.map(|weights| format!("weights {}", short_hash(weights))),
    });
    Some(parts.join(", "))
}

fn device(facts: &Facts) -> Option<String> {
    let device = facts.get("model.device")?;
    if !device.starts_with("cuda") {
        return Some(device.to_owned());
    }
    let mut parts = vec![device.to_owned()];
    parts.extend(facts.get("gpu.name").map(str::to_owned));
    parts.extend(facts.get("driver.version").map(|version| format!("driver {version}")));
    parts.extend(facts.get("cuda.version").map(|version| format!("CUDA {version}")));
    Some(parts.join(", "))
}

fn backend_line(backend: &str, facts: &Facts) -> String {
    match facts.get("model.token_times") {
        Some("device") => format!("{backend}; times of tokens are the device's, as they reach the host together"),
        _ => backend.to_owned(),
    }
}

fn host(facts: &Facts) -> Option<String> {
    let mut parts: Vec<String> = facts.get("host.name").map(str::to_owned).into_iter().collect();
    if let Some(cpu) = facts.get("cpu.model") {
        parts.push(cpu.to_owned());
    }
    if let Some(cores) = facts.get("cpu.cores").and_then(|text| text.parse().ok()) {
        parts.push(plural(cores, "core"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn settings(facts: &Facts) -> Option<String> {
    let set = facts.settings().filter(|(_, value)| !value.is_empty());
    let shown: Vec<String> = set.map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    (!shown.is_empty()).then(|| shown.join(" "))
}

fn plugin(facts: &Facts) -> Option<String> {
    let mut parts = vec![facts.get("plugin.name")?.to_owned()];
    parts.extend(facts.get("plugin.version").map(str::to_owned));
    let plugin = parts.join(" ");
    let Some(version) = facts.get("harness.version") else { return Some(plugin) };
    let commit = facts.get("harness.commit").map(|commit| format!(" ({commit})"));
    Some(format!("{plugin}, harness {version}{}", commit.unwrap_or_default()))
}

fn quoted(value: &str) -> String {
    if value.contains(char::is_whitespace) { format!("'{value}'") } else { value.to_owned() }
}

/// `2026-01-02T03:04:05.678Z` without the fraction.
fn to_seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, rest)) => seconds.to_owned() + rest.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => time.to_owned(),
    }
}

fn short_hash(weights: &str) -> &str {
    // `sha256:` and twelve digits name a checkpoint well enough; the recording has them all.
    weights.get(..19).filter(|_| weights.starts_with("sha256:")).unwrap_or(weights)
}

/// A line that must be shown wherever figures of synthetic weights are.
pub fn synthetic_note(facts: &Facts) -> Option<String> {
    facts.synthetic_weights()?;
    if facts.get("model.backend") == Some("simulated") {
        let note =
            "Simulated: no model ran. Times and memory are as set, weights synthetic, and the text means nothing.";
        return Some(note.to_owned());
    }
    Some(format!(
        "Synthetic weights: random numbers in the shape of {}, not a trained model. It takes the same time and memory; its text means \
         nothing.",
        facts.get("model.name").unwrap_or("the model")
    ))
}

/// A line that must be shown where the workload did not end as it should; none when it did.
pub fn ending_note(facts: &Facts, runs: usize) -> Option<String> {
    let what = match facts.get("status")? {
        "complete" => return None,
        "unfinished" => "Unfinished: the process ended before the workload did",
        "interrupted" => "Interrupted: the user ended it",
        "stopped" => "Stopped: a limit ended it",
        "failed" => "Failed",
        other => other,
    };
    let why = facts.get("message").filter(|message| !message.is_empty());
    let why = why.map(|message| format!(": {}", message.trim_end_matches('.'))).unwrap_or_default();
    let shown = match runs {
        0 => "No run was finished.".to_owned(),
        1 => "The figures are those of the 1 run that was finished.".to_owned(),
        _ => format!("The figures are averages of the {} that were finished.", plural(runs, "run")),
    };
    Some(format!("{what}{why}. {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeRecording, FakeRun};

    fn run(label: &str) -> FakeRun {
        FakeRun::new(label).value(&metrics::POWER, 300.0).value(&metrics::LATENCY, 0.1)
    }

    #[test]
    fn the_method_comes_first_and_what_is_missing_has_a_reason() {
        let sampled = |label, count| {
            run(label).value(&metrics::GPU_UTILIZATION, 0.5).samples(&metrics::GPU_UTILIZATION, &vec![0.5; count])
        };
        let recording = FakeRecording::new()
            .run(sampled("run 1", 2).value(&metrics::MEMORY_PEAK, 5.0).absent("memory_allocated", "no pool"))
            .run(sampled("run 2", 7).absent("memory_peak", "the pool was gone").absent("energy", "no counter"));
        let overview = Overview::of(&recording);
        let rows: Vec<&str> = overview.rows.iter().map(|row| row.metric.name()).collect();
        assert_eq!(rows, ["latency", "gpu_utilization", "power"]);
        assert_eq!(overview.rows[1].samples, Some(Samples { total: 9, fewest: 2 }));
        assert!(overview.rows[1].has_too_few_samples());
        let missing: Vec<String> =
            overview.missing.iter().map(|missing| format!("{}: {}", missing.metric, missing.reason)).collect();
        assert_eq!(
            missing,
            [
                "throughput: the host did not record it",
                "memory_allocated: no pool",
                "memory_peak: only 1 of 2 runs have it; run 2: the pool was gone",
                "memory_utilization: the host did not record it",
                "energy: no counter",
            ]
        );
        assert_eq!(overview.missing_of_the_method().len(), 3);
    }

    #[test]
    fn a_summary_that_differs_from_the_runs_is_seen() {
        let recording = FakeRecording::new()
            .run(run("run 1"))
            .reading(metrics::LATENCY.reading(0.2))
            .reading(metrics::POWER.reading(300.1));
        let overview = Overview::of(&recording);
        assert_eq!(overview.rows[0].contradiction(), Some(0.1));
        assert_eq!(overview.rows[1].contradiction(), None);
    }

    #[test]
    fn samples_of_all_runs_are_described_together_and_intervals_are_between_runs() {
        let sampled = |label, latency: f64| {
            FakeRun::new(label).value(&metrics::LATENCY, latency).samples(&metrics::LATENCY, &[latency; 3])
        };
        let recording = FakeRecording::new().run(sampled("run 1", 1.0)).run(sampled("run 2", 3.0));
        let runs = recording.runs();
        let latencies = distribution(&runs, "latency").unwrap();
        assert_eq!((latencies.count, latencies.percentile("p50"), latencies.percentile("p90")), (6, Some(2.0), None));
        assert_eq!(distribution(&runs, "power"), None);
        // 2 ± 12.706 · √2 / √2: one degree of freedom, however many samples.
        let interval = Overview::of(&recording).rows[0].interval().unwrap();
        assert!((interval.half_width() - 12.706).abs() < 1e-3, "{interval:?}");
    }

    #[test]
    fn a_workload_with_figures_of_its_own_owes_none_of_the_method() {
        let own = Metric::new("own", "s", "Its own.", crate::Direction::Neither);
        let recording =
            FakeRecording::new().run(run("run 1").absent("memory_peak", "no pool")).reading(own.reading(1.0));
        let overview = Overview::of(&recording);
        assert_eq!(overview.missing.len(), 1);
        assert!(overview.missing_of_the_method().is_empty());
    }

    #[test]
    fn runs_that_their_time_limit_ended_are_named() {
        use crate::testing::FakeHost;
        use crate::{Host, Plan};
        let host = FakeHost::new();
        let run = |label: &str, limit: f64| {
            let plan = Plan::new(label, Vec::new()).iterations(1000).time_limit(limit);
            host.measure(&plan).unwrap().extent()
        };
        let recording = FakeRecording::new()
            .run(FakeRun::new("long").extent(run("long", 1000.0)))
            .run(FakeRun::new("short").extent(run("short", 0.35)));
        assert_eq!(
            Overview::of(&recording).notes,
            [
                "Time limit: 1 of 2 runs ended before all iterations: 'short' served 4 of 1,000. Figures are of what was served."
            ]
        );
        assert!(Overview::of(&FakeRecording::new().run(run_of_defaults())).notes.is_empty());
    }

    #[test]
    fn a_warm_up_until_steady_is_told() {
        use crate::testing::FakeHost;
        use crate::{Host, Plan};
        let run = |label: &str, most: u32| {
            let plan = Plan::new(label, Vec::new()).warmup_until_steady(most);
            FakeRun::new(label).extent(FakeHost::new().measure(&plan).unwrap().extent())
        };
        let steady = FakeRecording::new().run(run("run 1", 500));
        let note = "Warm-up: 14 iterations a run, 1.400 s in all, in each until latency was steady.";
        assert_eq!(Overview::of(&steady).notes, [note]);
        let unsteady = steady.run(run("run 2", 5));
        let note = "Warm-up: 5 to 14 iterations a run, 1.900 s in all, and in 1 of 2 runs latency was not steady at its limit.";
        assert_eq!(Overview::of(&unsteady).notes, [note]);
    }

    fn run_of_defaults() -> FakeRun {
        FakeRun::new("run 1")
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(to_seconds("2026-01-02T03:04:05.678901Z"), "2026-01-02T03:04:05Z");
        assert_eq!(to_seconds("2026-01-02T03:04:05+01:00"), "2026-01-02T03:04:05+01:00");
    }

    #[test]
    fn a_recording_without_runs_says_so() {
        let overview = Overview::of(&FakeRecording::new());
        assert!(overview.rows.is_empty());
        assert!(overview.missing.iter().all(|missing| missing.reason == "no run was finished"));
        assert_eq!(overview.missing.len(), METHOD.len());
    }
}
