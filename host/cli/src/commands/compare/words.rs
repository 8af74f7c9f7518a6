//! The words in which a comparison says what it found.

use std::path::Path;

use harness_core::compare::{Named, Row};
use harness_core::format::{Scale, count, plural};
use harness_core::statistics::Interval;
use harness_core::text::visible_line;

/// A fact's value as one reads it.
pub(super) fn shown(value: &Option<String>) -> String {
    value.as_deref().map_or("none", |text| if text.is_empty() { "''" } else { text }).to_owned()
}

/// The metric, and of which work where there is more than one.
pub(super) fn named(row: &Row) -> String {
    row.work.map_or(row.metric.name.clone(), |work| format!("{} ({work})", row.metric.name))
}

/// `+5.02 % (+4.90 to +5.14 %)`.
pub(super) fn changed(row: &Row) -> String {
    match (row.change, row.interval) {
        (Some(change), Some(interval)) => format!("{} ({})", signed(change), within(interval)),
        (Some(change), None) => signed(change),
        (None, _) => {
            let scale = Scale::of(row.new.mean, &row.metric.unit);
            format!("{} {} where the base has none", scale.number(row.new.mean, 4), scale.symbol())
        }
    }
}

/// A share in percent, of either direction.
pub(super) fn size(share: f64) -> String {
    match share * 100.0 {
        percent if percent < MOST_PLAIN => format!("{percent:.2} %"),
        percent => format!("{} %", exponential(percent)),
    }
}

/// From here on a percentage is written with an exponent.
const MOST_PLAIN: f64 = 1e9;

/// `1.20e12`, or that it is more than a number can be.
fn exponential(percent: f64) -> String {
    if percent.is_finite() { format!("{percent:.2e}") } else { "over 1e308".to_owned() }
}

/// A share as a change in percent.
pub(super) fn signed(change: f64) -> String {
    format!("{} %", bare(change))
}

pub(super) fn within(interval: Interval) -> String {
    format!("{} to {} %", bare(interval.low), bare(interval.high))
}

fn bare(change: f64) -> String {
    match change * 100.0 {
        percent if percent.abs() < 0.005 => "0.00".to_owned(),
        percent if percent.abs() < MOST_PLAIN => format!("{percent:+.2}"),
        percent => format!("{}{}", if percent < 0.0 { '-' } else { '+' }, exponential(percent.abs())),
    }
}

pub(super) fn number(value: f64) -> String {
    // To a hundredth of a percent, without what is left of a division.
    ((value * 100.0).round() / 100.0).to_string()
}

/// `a.jsonl, b.jsonl`.
pub(super) fn names(side: &[Named]) -> String {
    side.iter().map(|named| path(&named.path)).collect::<Vec<_>>().join(", ")
}

/// A path in one line, whatever its name has in it.
fn path(path: &Path) -> String {
    visible_line(&path.display().to_string()).into_owned()
}

/// Many recordings would fill the screen: the first and how many more, and the folder once where they share it.
pub(super) fn side(side: &[Named]) -> String {
    const MOST: usize = 3;
    let runs = plural(side.iter().map(|named| named.recording.runs.len()).sum(), "run");
    if side.len() == 1 {
        return format!("{} ({runs})", names(side));
    }
    let mut folders: Vec<Option<&Path>> = side.iter().map(|named| named.path.parent()).collect();
    folders.dedup();
    let shared =
        folders.first().copied().flatten().filter(|folder| folders.len() == 1 && !folder.as_os_str().is_empty());
    let name = |named: &Named| match (shared, named.path.file_name()) {
        (Some(_), Some(name)) => path(name.as_ref()),
        _ => path(&named.path),
    };
    let first: Vec<String> = side.iter().take(MOST).map(name).collect();
    let more = match side.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {} more", count(more as u64)),
    };
    let folder = shared.map(|folder| format!(" in {}", path(folder))).unwrap_or_default();
    format!("{}{more}{folder} ({runs})", first.join(", "))
}

/// A share as the percentage that it was given as.
pub(super) fn percent(share: f64) -> f64 {
    (share * 1e14).round() / 1e12
}
