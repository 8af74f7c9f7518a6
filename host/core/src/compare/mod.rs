//! Whether one recording's figures differ from another's.
//!
//! A run is one observation; where recordings are paired, a pair is. Each metric is tested by Welch's t test on the runs' values, or by the
//! crossover trial's on the pairs' log ratios; the probabilities of all metrics
//! and comparisons of an invocation are corrected together by Holm's procedure, so that the chance of calling any change
//! where there is none is at most 5%. A change smaller than the threshold is not called one, however sure it is.
//! `docs/comparing.md` says why it is done so.

mod detectable;
mod pairs;
mod verdict;
mod work;

use std::path::PathBuf;

use crate::metric::{self, Direction, Metric};
use crate::recording::{Recording, Status};
use crate::statistics::{
    CONFIDENCE, Interval, Welch, coefficient_of_variation, holm, mean, mean_interval, ratio_interval,
};

use detectable::Precision;
use pairs::Pairs;
use verdict::FALSE_ALARMS;
pub use verdict::Verdict;
pub use work::{Difference, Unlike, Work, unlike};

/// The share of a metric below which a change counts for nothing, unless the user says otherwise.
pub const THRESHOLD: f64 = 0.01;

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of the metrics; empty takes every one that both sides have.
    pub metrics: Vec<String>,
    /// The share of the base's mean below which a change counts for nothing; 0 or more.
    pub threshold: f64,
    /// Compare also what did other work.
    pub force: bool,
    /// The recordings of both sides were made in pairs, one after the other: the first of each, the second of each, and so on.
    pub paired: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { metrics: Vec::new(), threshold: THRESHOLD, force: false, paired: false }
    }
}

/// A recording and what to call it.
#[derive(Clone, Debug)]
pub struct Named {
    /// Where it was read.
    pub path: PathBuf,
    /// What was read.
    pub recording: Recording,
}

/// Why sides can't be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Incomparable {
    /// A recording has no finished run.
    #[error("{path} has no finished run ({status}), so there is nothing to compare; record it again", path = .path.display())]
    NoRuns {
        /// Where.
        path: PathBuf,
        /// How it ended.
        status: &'static str,
    },
    /// Each of too many runs did something else.
    #[error("{path} has runs of more than {MAX_KINDS} kinds of work, and so many are not compared; record fewer in one", path = .path.display())]
    TooManyKinds {
        /// Where.
        path: PathBuf,
    },
    /// A side has the same recording twice.
    #[error("{path} and {again} are the same recording: pooled, its runs would count twice; leave one of them out", path = .path.display(), again = .again.display())]
    Twice {
        /// Where.
        path: PathBuf,
        /// Where, too.
        again: PathBuf,
    },
    /// They can't be paired.
    #[error(
        "the recordings can't be paired: {reason}; give both sides in pairs, one recorded right after the other, in the orders A B and B A"
    )]
    Unpaired {
        /// Why.
        reason: String,
    },
    /// They did other work.
    #[error("{path} did other work than {base}:\n{list}\nonly the same work can be compared; --force does it all the same", path = work::in_line(.path), base = work::in_line(.base), list = work::listed(.differences))]
    OtherWork {
        /// The first recording of the base.
        base: PathBuf,
        /// The one that differs from it.
        path: PathBuf,
        /// In what.
        differences: Vec<Difference>,
    },
    /// A metric that was asked for is not in one of them.
    #[error("{metric} can't be compared: {path} does not have it: {reason}", path = .path.display())]
    NotMeasured {
        /// Its name.
        metric: String,
        /// Where it is missing.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A metric that was asked for is a sum over a run, and a time limit ended a run before all it was to serve.
    #[error("{metric} can't be compared: {}", work::unequal(path))]
    Unequal {
        /// Its name.
        metric: String,
        /// The recording that has such a run.
        path: PathBuf,
    },
    /// No host metric is called so.
    #[error("no metric that can be compared is called '{metric}'; there are: {known}")]
    UnknownMetric {
        /// As it was asked for.
        metric: String,
        /// Those there are.
        known: String,
    },
    /// Nothing is on both sides.
    #[error("{path} and {base} have no metric in common", path = .path.display(), base = .base.display())]
    NothingInCommon {
        /// The first recording of the base.
        base: PathBuf,
        /// The other side's first.
        path: PathBuf,
    },
}

/// The most kinds of work in one recording that is compared: each is compared by itself.
const MAX_KINDS: usize = 500;

/// A side's figure for a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The mean of the runs, in the metric's unit; of the recordings' means where they are paired.
    pub mean: f64,
    /// Where the mean of such runs or recordings lies, with 95% confidence; none of one.
    pub interval: Option<Interval>,
    /// The standard deviation between them as a share of the mean.
    pub spread: Option<f64>,
    /// Runs that have it; recordings where they are paired.
    pub runs: usize,
}

impl Figure {
    fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            mean: mean(values)?,
            interval: mean_interval(values, CONFIDENCE),
            spread: coefficient_of_variation(values),
            runs: values.len(),
        })
    }
}

/// One metric on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is.
    pub metric: Metric,
    /// What the runs served, where a side has runs of more than one kind.
    pub work: Option<Work>,
    /// The base's.
    pub base: Figure,
    /// The other side's.
    pub new: Figure,
    /// The new mean as a share of the base's, minus 1; none where the base's is 0. Of pairs, the geometric mean of their ratios,
    /// free of drift.
    pub change: Option<f64>,
    /// Where the change lies, with 95% confidence for this metric alone; none where runs are too few or the base's mean may
    /// be 0, or of pairs where a value is 0 or less.
    pub interval: Option<Interval>,
    /// The probability of such a difference between sides that don't differ, before correction; none of too few runs.
    pub p: Option<f64>,
    /// The same, corrected for all metrics with a direction that were compared.
    pub corrected: Option<f64>,
    /// How exactly the change is known; none of too few runs, or where there is no share.
    precision: Option<Precision>,
    /// The smallest true change, as a share of the base's mean, that such runs show as better or worse 4 times in 5; none where that is
    /// not known, or neither way is better.
    pub detectable: Option<f64>,
    /// What it comes to; none where neither way is better.
    pub verdict: Option<Verdict>,
}

impl Row {
    /// Whether it is worse by more than `limit`, a share of the base's mean.
    pub fn regressed_beyond(&self, limit: f64) -> bool {
        // Of nothing to something worse is beyond any limit.
        self.verdict == Some(Verdict::Worse) && self.change.is_none_or(|change| change.abs() > limit)
    }
}

impl Named {
    /// Whether it has all that was to be recorded.
    pub fn is_complete(&self) -> bool {
        self.recording.status == Status::Complete
    }
}

/// A metric that is not on both sides, or means another thing there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncompared {
    /// Its name.
    pub metric: String,
    /// Why.
    pub reason: String,
}

/// The base and one other side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In the order of [`metric::METRICS`].
    pub rows: Vec<Row>,
    /// What can't be compared.
    pub uncompared: Vec<Uncompared>,
    /// What differs of machine, driver, model and harness.
    pub facts: Vec<Difference>,
    /// What differs of the work, which the user wanted compared all the same.
    pub other_work: Vec<Difference>,
}

/// Compares each of `news` with the base. The recordings of a side are pooled by run; no side may be empty.
pub fn compare(base: &[Named], news: &[Vec<Named>], options: &Options) -> Result<Vec<Comparison>, Incomparable> {
    if let Some(unknown) = options.metrics.iter().find(|name| metric::definition(name).is_none()) {
        let known: Vec<&str> = metric::METRICS.iter().map(|metric| metric.name).collect();
        return Err(Incomparable::UnknownMetric { metric: unknown.clone(), known: known.join(", ") });
    }
    let everything = base.iter().chain(news.iter().flatten());
    if let Some(empty) = everything.clone().find(|named| named.recording.runs.is_empty()) {
        return Err(Incomparable::NoRuns { path: empty.path.clone(), status: empty.recording.status.as_str() });
    }
    if let Some(named) = everything.clone().find(|named| work::has_too_many_kinds(named)) {
        return Err(Incomparable::TooManyKinds { path: named.path.clone() });
    }
    for side in news.iter().map(Vec::as_slice).chain([base]) {
        let again = |(at, named): (usize, &Named)| {
            let first = side.iter().take(at).find(|other| other.recording.same(&named.recording))?;
            Some(Incomparable::Twice { path: first.path.clone(), again: named.path.clone() })
        };
        if let Some(twice) = side.iter().enumerate().find_map(again) {
            return Err(twice);
        }
    }
    let mut comparisons = news.iter().map(|new| one(base, new, options)).collect::<Result<Vec<_>, _>>()?;
    judge(&mut comparisons, options.threshold);
    Ok(comparisons)
}

fn one(base: &[Named], new: &[Named], options: &Options) -> Result<Comparison, Incomparable> {
    let other_work = work::check(base, new, options.force)?;
    let (base_path, path) = match (base.first(), new.first()) {
        (Some(base), Some(new)) => (base.path.clone(), new.path.clone()),
        _ => return Ok(Comparison { rows: Vec::new(), uncompared: Vec::new(), facts: Vec::new(), other_work }),
    };
    let pairs = if options.paired { Some(Pairs::of(base, new)?) } else { None };
    let kinds = work::kinds(base, new);
    let mut rows = Vec::new();
    let mut uncompared = Vec::new();
    for definition in metric::METRICS {
        let asked = options.metrics.iter().any(|name| name == definition.name);
        if !asked && !options.metrics.is_empty() {
            continue;
        }
        for kind in &kinds {
            let (base_values, new_values) = (kind.values(base, definition.name), kind.values(new, definition.name));
            let cut = kind.cut(base).or_else(|| kind.cut(new)).filter(|_| definition.is_total());
            if let Some(path) = cut.filter(|_| !base_values.is_empty() && !new_values.is_empty()) {
                let metric = definition.name.to_owned();
                if asked {
                    return Err(Incomparable::Unequal { metric, path });
                }
                let reason = work::unequal(&path);
                let unequal = Uncompared { metric, reason };
                if !uncompared.contains(&unequal) {
                    uncompared.push(unequal);
                }
                continue;
            }
            let row = match &pairs {
                Some(pairs) => pairs.row(definition.metric(), kind),
                None => row(definition.metric(), kind.work, &base_values, &new_values),
            };
            if let Some(row) = row {
                rows.push(row);
                continue;
            }
            let missing = if base_values.is_empty() { base } else { new };
            let (missing_path, reason) = why(missing, definition.name);
            if asked {
                let metric = definition.name.to_owned();
                return Err(Incomparable::NotMeasured { metric, path: missing_path, reason });
            }
            if base_values.is_empty() != new_values.is_empty() {
                let reason = format!("{} does not have it: {reason}", missing_path.display());
                uncompared.push(Uncompared { metric: definition.name.to_owned(), reason });
            }
        }
    }
    if rows.is_empty() {
        return Err(Incomparable::NothingInCommon { base: base_path, path });
    }
    Ok(Comparison { rows, uncompared, facts: work::facts(base, new), other_work })
}

fn row(metric: Metric, work: Option<Work>, first: &[f64], second: &[f64]) -> Option<Row> {
    let (base, new) = (Figure::of(first)?, Figure::of(second)?);
    let change = new.mean / base.mean - 1.0;
    let interval = ratio_interval(first, second, CONFIDENCE);
    let test = Welch::of(first, second);
    Some(Row {
        metric,
        work,
        change: change.is_finite().then_some(change),
        interval: interval.map(|ratio| Interval { low: ratio.low - 1.0, high: ratio.high - 1.0 }),
        p: test.map(|test| test.p),
        corrected: None,
        precision: test.and_then(|test| Precision::of_difference(&test, base.mean)),
        detectable: None,
        verdict: None,
        base,
        new,
    })
}

/// Why a side does not have a metric, and the first recording that says so.
fn why(side: &[Named], metric: &str) -> (PathBuf, String) {
    let said = side.iter().find_map(|named| {
        let reason = named.recording.runs.iter().find_map(|run| run.absent.get(metric))?;
        Some((named.path.clone(), reason.clone()))
    });
    let unsaid = || {
        let path = side.first().map(|named| named.path.clone()).unwrap_or_default();
        (path, "it was not recorded".to_owned())
    };
    said.unwrap_or_else(unsaid)
}

/// Corrects for all that was asked at once, and gives each row its verdict.
fn judge(comparisons: &mut [Comparison], threshold: f64) {
    let mut judged: Vec<&mut Row> = comparisons
        .iter_mut()
        .flat_map(|comparison| &mut comparison.rows)
        .filter(|row| row.metric.better != Direction::Neither)
        .collect();
    let tested: Vec<f64> = judged.iter().filter_map(|row| row.p).collect();
    // Holm's procedure asks so much of the first one that it finds, and less of the others.
    let level = FALSE_ALARMS / tested.len().max(1) as f64;
    let mut corrected = holm(&tested).into_iter();
    for row in &mut judged {
        row.corrected = row.p.and_then(|_| corrected.next());
        row.detectable = row.precision.and_then(|precision| precision.detectable(level, threshold));
        row.verdict = Some(Verdict::of(row, threshold));
    }
}

#[cfg(test)]
mod tests;
