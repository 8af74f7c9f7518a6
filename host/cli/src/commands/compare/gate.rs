//! Whether a pipeline may go on: a gate passes only what was shown.

use harness_core::compare::{Comparison, Named, Row, Verdict};
use harness_core::format::plural;
use harness_core::metric::{self, Direction};
use harness_core::text::visible_line;
use harness_figures::page::{Escaped, Tone, badge};
use serde_json::{Value, json};

use super::words::{changed, named, names, percent, size};
use crate::Outcome;
use crate::args::CompareFormat;
use crate::failure::Failure;
use crate::log::tell;

/// What is said in place of a comparison, where there is none.
pub(super) fn not_compared(failure: &Failure) -> String {
    visible_line(&format!("FAIL: not compared: {}", failure.message().replace('\n', " "))).into_owned()
}

/// What a change must not be.
#[derive(Clone, Copy)]
pub(super) struct Gate {
    /// By what share a metric may be worse.
    pub(super) limit: f64,
    /// Whether what the runs don't tell fails.
    pub(super) fail_on_inconclusive: bool,
    /// Whether a recording that is not complete counts.
    pub(super) allow_incomplete: bool,
}

/// What a gate found.
pub(super) struct Decision {
    gate: Gate,
    /// How many figures have a direction.
    judged: usize,
    regressions: Vec<String>,
    ambiguous: Vec<String>,
    uncompared: Vec<String>,
    incomplete: Vec<String>,
    stood_still: Vec<String>,
    /// Recordings that are in the base, too.
    itself: Vec<String>,
    /// Figures that not all runs have.
    partial: Vec<String>,
    /// What the runs could have found, the least and the most of all figures.
    detectable: Option<String>,
    failure: Option<Failure>,
}

/// Which way a host metric is better.
pub(super) fn direction(name: &str) -> Option<Direction> {
    metric::definition(name).map(|metric| metric.better)
}

impl Gate {
    pub(super) fn decide(self, base: &[Named], news: &[Vec<Named>], comparisons: &[Comparison]) -> Decision {
        let (mut regressions, mut ambiguous, mut uncompared) = (Vec::new(), Vec::new(), Vec::new());
        let mut untested = None;
        for (new, comparison) in news.iter().zip(comparisons) {
            let of = if news.len() > 1 { format!(" in {}", names(new)) } else { String::new() };
            if comparison.rows.iter().all(|row| row.corrected.is_none()) {
                untested = Some(of.clone());
            }
            let missing =
                comparison.uncompared.iter().filter(|lost| direction(&lost.metric) != Some(Direction::Neither));
            uncompared.extend(missing.map(|metric| format!("{}{of} ({})", metric.metric, metric.reason)));
            for row in &comparison.rows {
                if row.regressed_beyond(self.limit) {
                    regressions.push(format!("{}{of} is worse: {}", named(row), changed(row)));
                } else if row.verdict == Some(Verdict::Ambiguous) {
                    ambiguous.push(format!("{}{of}", named(row)));
                }
            }
        }
        let cut = base.iter().chain(news.iter().flatten()).filter(|named| !named.is_complete());
        let incomplete = cut.map(|named| {
            let runs = plural(named.recording.runs.len(), "finished run");
            format!("{} ({}, {runs})", named.path.display(), named.recording.status.as_str())
        });
        let stood_still = base.iter().chain(news.iter().flatten()).filter_map(|named| {
            let runs = named.recording.runs.iter().filter(|run| run.standstill.is_some()).count();
            let of = plural(named.recording.runs.len(), "run");
            (runs > 0).then(|| format!("{} stood still in {runs} of {of}", named.path.display()))
        });
        let own = |new: &&Named| base.iter().any(|base| base.recording.same(&new.recording));
        let itself = news.iter().flatten().filter(own).map(|named| named.path.display().to_string());
        let rows = || comparisons.iter().flat_map(|comparison| &comparison.rows);
        let mut decision = Decision {
            gate: self,
            judged: rows().filter(|row| row.verdict.is_some()).count(),
            regressions,
            ambiguous,
            uncompared,
            incomplete: incomplete.collect(),
            stood_still: stood_still.collect(),
            itself: itself.collect(),
            partial: comparisons
                .iter()
                .flat_map(|comparison| comparison.partial.iter().map(ToString::to_string))
                .collect(),
            detectable: detectable(rows()),
            failure: None,
        };
        decision.failure = decision.failed(untested);
        decision
    }
}

/// `1.10 % (latency) to 4.02 % (time_to_first_token)`.
fn detectable<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<String> {
    let mut known: Vec<(&Row, f64)> = rows.filter_map(|row| Some((row, row.detectable?))).collect();
    known.sort_by(|one, other| one.1.total_cmp(&other.1));
    let text = |(row, share): &(&Row, f64)| format!("{} ({})", size(*share), named(row));
    match known.as_slice() {
        [] => None,
        [one] => Some(text(one)),
        [least, .., most] => Some(format!("{} to {}", text(least), text(most))),
    }
}

impl Decision {
    fn failed(&self, untested: Option<String>) -> Option<Failure> {
        let regressions =
            || format!("{}; up to {} % is allowed", self.regressions.join("; "), percent(self.gate.limit));
        if !self.itself.is_empty() {
            return Some(Failure::Incomparable(format!(
                "{} is in the base, too, so that the gate can't fail: nothing is found between a recording and itself",
                self.itself.join(", ")
            )));
        }
        if !self.incomplete.is_empty() && !self.gate.allow_incomplete {
            let more = match self.regressions.is_empty() {
                true => String::new(),
                false => format!("; {}", regressions()),
            };
            return Some(Failure::Incomparable(format!(
                "not complete, so that the gate can't pass: {}; record it again, or let what there is count with --allow-incomplete{more}",
                self.incomplete.join(", ")
            )));
        }
        if !self.regressions.is_empty() {
            return Some(Failure::Regression(regressions()));
        }
        if let Some(of) = untested {
            return Some(Failure::Incomparable(format!(
                "nothing{of} can be tested, so that the gate can't pass: a metric with a direction, and two runs or more a side that \
                 have it, are needed; record more (--set runs=10)"
            )));
        }
        let unshown: Vec<String> =
            [("ambiguous", &self.ambiguous), ("not compared", &self.uncompared), ("not of all runs", &self.partial)]
                .into_iter()
                .filter(|(_, list)| !list.is_empty() && self.gate.fail_on_inconclusive)
                .map(|(what, list)| format!("{what}: {}", list.join(", ")))
                .collect();
        (!unshown.is_empty()).then(|| {
            Failure::Incomparable(format!(
                "the runs don't tell enough for the gate to pass; {}; record more runs (--set runs=20), or name with --metric what counts",
                unshown.join("; ")
            ))
        })
    }

    fn passes(&self) -> bool {
        self.failure.is_none()
    }

    fn says(&self) -> String {
        let said = match self.failure.as_ref().map(Failure::message) {
            Some(message) => message.to_owned(),
            None => {
                let mut said = format!(
                    "of {} none is worse by more than {} %",
                    plural(self.judged, "figure"),
                    percent(self.gate.limit)
                );
                for (what, list) in [
                    ("ambiguous", &self.ambiguous),
                    ("not compared", &self.uncompared),
                    ("not of all runs", &self.partial),
                ] {
                    if !list.is_empty() {
                        said.push_str(&format!(", {} {what}", list.len()));
                    }
                }
                said
            }
        };
        let still = self.stood_still.iter().map(|still| format!("; {still}")).collect::<String>();
        let detectable = self.detectable.iter().map(|range| format!("; detectable: {range}")).collect::<String>();
        visible_line(&format!("{said}{still}{detectable}")).into_owned()
    }

    /// `PASS: …` or `FAIL: …`, in one line.
    pub(super) fn line(&self) -> String {
        format!("{}: {}", self.word(), self.says())
    }

    fn word(&self) -> &'static str {
        if self.passes() { "PASS" } else { "FAIL" }
    }

    pub(super) fn html(&self) -> String {
        let tone = if self.passes() { Tone::Good } else { Tone::Bad };
        format!("<p class=\"verdict\">{}: {}</p>\n", badge(tone, self.word()), Escaped(self.says()))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "pass": self.passes(),
            "says": self.line(),
            "limit": self.gate.limit,
            "fail_on_inconclusive": self.gate.fail_on_inconclusive,
            "allow_incomplete": self.gate.allow_incomplete,
            "regressions": self.regressions,
            "ambiguous": self.ambiguous,
            "not_compared": self.uncompared,
            "incomplete": self.incomplete,
            "stood_still": self.stood_still,
            "itself": self.itself,
            "not_of_all_runs": self.partial,
        })
    }

    /// Says on stderr what a person who keeps stdout in a file would miss, and fails if the gate does.
    pub(super) fn end(self, format: CompareFormat) -> Outcome {
        if !self.gate.fail_on_inconclusive {
            if !self.ambiguous.is_empty() {
                tell(&format!("ambiguous, so not held against it: {}; more runs tell", self.ambiguous.join(", ")));
            }
            if !self.partial.is_empty() {
                tell(&format!("not of all runs, and not held against it: {}", self.partial.join(", ")));
            }
            if !self.uncompared.is_empty() {
                tell(&format!("not compared, so not held against it: {}", self.uncompared.join(", ")));
            }
        }
        if self.passes() && matches!(format, CompareFormat::Json | CompareFormat::Html) {
            tell(&self.line());
        }
        self.failure.map_or(Ok(()), Err)
    }
}
