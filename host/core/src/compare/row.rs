//! What is found of a metric on both sides.

use std::fmt;
use std::path::PathBuf;

use super::detectable::Precision;
use super::error::Difference;
use super::work::Work;
use crate::metric::Metric;
use crate::statistics::{CONFIDENCE, Interval, coefficient_of_variation, mean, mean_interval};

/// What a change comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Surely changed for the better, by more than the threshold.
    Better,
    /// Surely changed for the worse, by more than the threshold.
    Worse,
    /// The whole interval of the change is within the threshold.
    Same,
    /// The runs don't tell: more of them, or quieter ones, are needed.
    Ambiguous,
}

impl Verdict {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Ambiguous => "ambiguous",
        }
    }
}

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
    pub(super) fn of(values: &[f64]) -> Option<Self> {
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
    pub(super) precision: Option<Precision>,
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

/// A metric that is not on both sides, or means another thing there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncompared {
    /// Its name.
    pub metric: String,
    /// Why.
    pub reason: String,
}

/// A figure that is of some runs of a side alone, as where a sensor was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The metric, and of which work where there is more than one.
    pub metric: String,
    /// The first recording of the side.
    pub path: PathBuf,
    /// Runs that have it.
    pub runs: usize,
    /// Of so many.
    pub of: usize,
}

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, path, runs, of } = self;
        write!(f, "{metric} ({runs} of {of} runs of {} have it)", path.display())
    }
}

/// The base and one other side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In the order of [`METRICS`](crate::metric::METRICS).
    pub rows: Vec<Row>,
    /// What can't be compared.
    pub uncompared: Vec<Uncompared>,
    /// Figures that not all runs of a side have.
    pub partial: Vec<Partial>,
    /// What differs of machine, driver, model and harness.
    pub facts: Vec<Difference>,
    /// What differs of the work, which the user wanted compared all the same.
    pub other_work: Vec<Difference>,
}
