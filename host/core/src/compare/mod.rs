//! Whether one recording's figures differ from another's.
//!
//! A run is one observation; where recordings are paired, a pair is. Each metric is tested by Welch's t test on the runs' values, or by the
//! crossover trial's on the pairs' log ratios; the probabilities of all metrics
//! and comparisons of an invocation are corrected together by Holm's procedure, so that the chance of calling any change
//! where there is none is at most 5%. A change smaller than the threshold is not called one, however sure it is.
//! `docs/comparing.md` says why it is done so.

mod detectable;
mod error;
mod pairs;
mod row;
mod side;
mod verdict;
mod work;

use std::path::PathBuf;

use crate::metric::{self, Direction, Metric};
use crate::statistics::{CONFIDENCE, Interval, Welch, holm, ratio_interval};

use detectable::Precision;
use pairs::Pairs;
use verdict::FALSE_ALARMS;

pub use error::{Difference, Incomparable};
pub use row::{Comparison, Figure, Partial, Row, Uncompared, Verdict};
pub use side::{Named, Options, THRESHOLD};
pub use work::{Changed, Unlike, Work, changed, unlike};

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
        _ => {
            return Ok(Comparison {
                rows: Vec::new(),
                uncompared: Vec::new(),
                partial: Vec::new(),
                facts: Vec::new(),
                other_work,
            });
        }
    };
    let pairs = if options.paired { Some(Pairs::of(base, new)?) } else { None };
    let kinds = work::kinds(base, new);
    let mut rows = Vec::new();
    let mut uncompared = Vec::new();
    let mut partial = Vec::new();
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
                let reason = error::unequal(&path);
                let unequal = Uncompared { metric, reason };
                if !uncompared.contains(&unequal) {
                    uncompared.push(unequal);
                }
                continue;
            }
            for (side, values) in [(base, &base_values), (new, &new_values)] {
                let (runs, of) = (values.len(), kind.count(side));
                if let Some(first) = side.first().filter(|_| (1..of).contains(&runs)) {
                    let work = kind.work.map(|work| format!(" ({work})")).unwrap_or_default();
                    partial.push(Partial {
                        metric: format!("{}{work}", definition.name),
                        path: first.path.clone(),
                        runs,
                        of,
                    });
                }
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
    Ok(Comparison { rows, uncompared, partial, facts: work::facts(base, new), other_work })
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
        row.verdict = Some(verdict::verdict(row, threshold));
    }
}

#[cfg(test)]
mod tests;
