//! Why sides can't be compared.

use std::path::{Path, PathBuf};

use crate::text::visible_line;

/// The most kinds of work in one recording that is compared: each is compared by itself.
pub(super) const MAX_KINDS: usize = 500;

/// A fact that differs. A side with several values has all of them; none where no recording of a side has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name, such as `driver.version`.
    pub fact: String,
    /// The base's.
    pub base: Option<String>,
    /// The other side's.
    pub new: Option<String>,
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
    #[error("{path} did other work than {base}:\n{list}\nonly the same work can be compared", path = in_line(.path), base = in_line(.base), list = listed(.differences))]
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
    #[error("{metric} can't be compared: {}", unequal(path))]
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

/// Why a sum over a run says nothing.
pub(super) fn unequal(path: &Path) -> String {
    format!("it is a sum over a run, and in {} a time limit ended runs before all iterations", path.display())
}

/// A path in a text of several lines.
fn in_line(path: &Path) -> String {
    visible_line(&path.display().to_string()).into_owned()
}

/// Differences as lines.
pub(super) fn listed(differences: &[Difference]) -> String {
    let shown = |value: &Option<String>| {
        value.as_deref().map_or("none".to_owned(), |value| format!("'{}'", visible_line(value)))
    };
    let line =
        |d: &Difference| format!("  {}: {} here, {} in the base", visible_line(&d.fact), shown(&d.new), shown(&d.base));
    differences.iter().map(line).collect::<Vec<_>>().join("\n")
}
