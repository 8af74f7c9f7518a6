//! A comparison as a table, as Markdown and as JSON.

use comfy_table::{Cell, CellAlignment};
use harness_core::Throttled;
use harness_core::compare::{Comparison, Difference, Figure, Named, Row};
use harness_core::format::{Scale, plural};
use harness_core::metric::Direction;
use harness_core::statistics::{CONFIDENCE, Interval, POWER};
use harness_core::text::{self, visible_line};
use harness_figures::markdown;
use serde_json::{Value, json};

use super::detectable::{detectable_list, detectable_words};
use super::gate::Decision;
use super::words::{named, number, shown, side, signed, size, within};
use crate::table::plain_table;

/// The document's form; another number means that something changed its meaning.
const SCHEMA: &str = "harness-comparison/1";

/// A column that the table has no room for, and tells below.
const DETECTABLE: usize = 6;

const HEAD: [&str; 8] = ["metric", "base", "new", "unit", "change", "95 % interval", "detectable", "verdict"];

/// All that is shown.
pub(super) struct Shown<'a> {
    pub(super) base: &'a [Named],
    /// One for each comparison.
    pub(super) news: &'a [Vec<Named>],
    pub(super) comparisons: &'a [Comparison],
    /// The share below which a change counts for nothing.
    pub(super) threshold: f64,
    /// Whether pairs of recordings were compared, and not runs.
    pub(super) paired: bool,
    /// What a gate says, where there is one.
    pub(super) decision: Option<&'a Decision>,
}

impl Shown<'_> {
    pub(super) fn table(&self) -> String {
        let mut parts = Vec::new();
        for (new, comparison) in self.news.iter().zip(self.comparisons) {
            parts.push(format!("base  {}\nnew   {}", side(self.base), side(new)));
            let mut table = plain_table();
            // Names stay whole, whatever the width: they are what `--metric` takes.
            table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
            let shown = |(column, text): (usize, String)| (column != DETECTABLE).then(|| cell(&text, column));
            table.set_header(HEAD.map(ToOwned::to_owned).into_iter().enumerate().filter_map(shown));
            for row in &comparison.rows {
                table.add_row(cells(row).into_iter().enumerate().filter_map(shown));
            }
            parts.push(table.trim_fmt());
            parts.extend(detectable_list(&comparison.rows));
            let notes = self.notes(new, comparison, |text| text.to_owned(), |fact| format!("  {}", visible_line(fact)));
            parts.extend((!notes.is_empty()).then(|| notes.join("\n\n")));
        }
        parts.push(self.method());
        parts.extend(self.decision.map(Decision::line));
        parts.join("\n\n")
    }

    pub(super) fn markdown(&self) -> String {
        let mut parts = Vec::new();
        for (new, comparison) in self.news.iter().zip(self.comparisons) {
            parts.push(format!("{} beside the base {}", markdown::code(&side(new)), markdown::code(&side(self.base))));
            let rule = "| --- | ---: | ---: | --- | ---: | ---: | ---: | --- |".to_owned();
            let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
            let head = line(&HEAD.map(ToOwned::to_owned));
            let rows = comparison.rows.iter().map(|row| line(&cells(row).map(|cell| markdown::text(&cell))));
            parts.push([head, rule].into_iter().chain(rows).collect::<Vec<_>>().join("\n"));
            parts.extend(self.notes(new, comparison, paragraph, |fact| format!("- {}", markdown::text(fact))));
        }
        parts.push(format!("Detectable: {}.", detectable_words()));
        parts.push(self.method());
        parts.extend(self.decision.map(|decision| markdown::text(&decision.line())));
        parts.join("\n\n")
    }

    /// In what clocks were held down, what differs and what could not be compared; `text` shows a paragraph, and `line` what is one of a
    /// list.
    fn notes(
        &self,
        new: &[Named],
        comparison: &Comparison,
        text: fn(&str) -> String,
        line: fn(&str) -> String,
    ) -> Vec<String> {
        let differences = |title: &str, list: &[Difference]| {
            let lines: Vec<String> = list.iter().map(|difference| line(&arrow(difference))).collect();
            (!lines.is_empty()).then(|| format!("{title}\n{}", lines.join("\n")))
        };
        let missing: Vec<String> = comparison
            .uncompared
            .iter()
            .map(|missing| line(&format!("{}: {}", missing.metric, missing.reason)))
            .collect();
        let partial: Vec<String> = comparison.partial.iter().map(|partial| line(&partial.to_string())).collect();
        [
            held_down(self.base, new).map(|held| text(&held)),
            differences("Other work, compared because of --force:", &comparison.other_work),
            differences("What else differs:", &comparison.facts),
            (!missing.is_empty()).then(|| format!("Not compared:\n{}", missing.join("\n"))),
            (!partial.is_empty()).then(|| format!("Not of all runs:\n{}", partial.join("\n"))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// How it was decided.
    pub(super) fn method(&self) -> String {
        let (of, test, fewest) = match self.paired {
            false => ("runs", "by Welch's t test on runs with Holm's correction", "two runs a side"),
            true => (
                "recordings",
                "by a t test on the log ratios of pairs,\nfree of linear drift (Hills and Armitage), with Holm's correction",
                "three pairs, so two rounds of A B B A",
            ),
        };
        let rows = || self.comparisons.iter().flat_map(|comparison| &comparison.rows);
        let untested = match rows().filter(|row| row.verdict.is_some() && row.corrected.is_none()).count() {
            0 => String::new(),
            few => format!("\n{} could not be tested: that takes {fewest} at least.", plural(few, "figure")),
        };
        format!(
            "± and intervals: 95 %, over {of}. Better or worse: {test}\n\
             over {}, and a change over {} %. Same: the whole interval is within that.{untested}",
            plural(self.judged(), "figure"),
            number(self.threshold * 100.0),
        )
    }

    fn judged(&self) -> usize {
        self.comparisons.iter().flat_map(|comparison| &comparison.rows).filter(|row| row.corrected.is_some()).count()
    }

    pub(super) fn json(&self) -> String {
        let paths = |side: &[Named]| side.iter().map(|named| named.path.display().to_string()).collect::<Vec<_>>();
        let comparisons: Vec<Value> = self
            .news
            .iter()
            .zip(self.comparisons)
            .map(|(new, comparison)| {
                json!({
                    "new": paths(new),
                    "metrics": comparison.rows.iter().map(row_json).collect::<Vec<_>>(),
                    "not_compared": comparison.uncompared.iter()
                        .map(|missing| json!({ "metric": missing.metric, "reason": missing.reason })).collect::<Vec<_>>(),
                    "not_of_all_runs": comparison.partial.iter().map(|partial| json!({
                        "metric": partial.metric, "path": partial.path.display().to_string(), "runs": partial.runs, "of": partial.of,
                    })).collect::<Vec<_>>(),
                    "facts": comparison.facts.iter().map(difference_json).collect::<Vec<_>>(),
                    "other_work": comparison.other_work.iter().map(difference_json).collect::<Vec<_>>(),
                    "throttled": {
                        "base": throttled_json(self.base),
                        "new": throttled_json(new),
                    },
                })
            })
            .collect();
        let document = json!({
            "schema": SCHEMA,
            "base": paths(self.base),
            "confidence": CONFIDENCE,
            "threshold": self.threshold,
            "paired": self.paired,
            "corrected_over": self.judged(),
            "power": POWER,
            "gate": self.decision.map(Decision::json),
            "comparisons": comparisons,
        });
        text::json(&format!("{document:#}")).into_owned()
    }
}

/// Our own lines in Markdown.
fn paragraph(text: &str) -> String {
    text.lines().map(markdown::text).collect::<Vec<_>>().join("\n")
}

/// In how many runs clocks were held down, where they were.
pub(super) fn held_down(base: &[Named], new: &[Named]) -> Option<String> {
    let sides = [(base, "the base"), (new, "the new side")];
    let held: Vec<String> =
        sides.into_iter().filter_map(|(side, name)| Some(throttled_words(&throttled(side)?, name))).collect();
    (!held.is_empty()).then(|| {
        format!(
            "Clocks were held down in {}:\na verdict here may be of heat or power, not of what was changed.",
            held.join(", and in ")
        )
    })
}

fn throttled(side: &[Named]) -> Option<Throttled> {
    Throttled::of(side.iter().flat_map(|named| &named.recording.runs))
}

fn throttled_words(throttled: &Throttled, side: &str) -> String {
    format!("{} of {} of {side}{}", throttled.runs, plural(throttled.of, "run"), visible_line(&throttled.why()))
}

fn throttled_json(side: &[Named]) -> Option<Value> {
    throttled(side).map(|Throttled { runs, of, reasons }| json!({ "runs": runs, "of": of, "reasons": reasons }))
}

fn row_json(row: &Row) -> Value {
    let better = match row.metric.better {
        Direction::Higher => "higher",
        Direction::Lower => "lower",
        Direction::Neither => "neither",
    };
    let interval = |interval: &Interval| json!({ "low": interval.low, "high": interval.high });
    let figure = |figure: &Figure| {
        json!({
            "mean": figure.mean, "interval": figure.interval.as_ref().map(interval),
            "coefficient_of_variation": figure.spread, "runs": figure.runs,
        })
    };
    let work = row.work.map(
        |work| json!({ "batch": work.batch, "iterations": work.iterations, "prompt_tokens_per_request": work.prompt }),
    );
    json!({
        "metric": row.metric.name, "unit": row.metric.unit, "better": better, "work": work,
        "base": figure(&row.base), "new": figure(&row.new),
        "change": row.change, "interval": row.interval.as_ref().map(interval), "p": row.p, "p_corrected": row.corrected,
        "detectable": row.detectable,
        "verdict": row.verdict.map(|verdict| verdict.as_str()),
    })
}

fn difference_json(difference: &Difference) -> Value {
    json!({ "fact": difference.fact, "base": difference.base, "new": difference.new })
}

fn arrow(difference: &Difference) -> String {
    format!("{}: {} → {}", difference.fact, shown(&difference.base), shown(&difference.new))
}

fn cell(text: &str, column: usize) -> Cell {
    let right = [1, 2, 4, 5, 6].contains(&column);
    Cell::new(visible_line(text)).set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
}

fn cells(row: &Row) -> [String; 8] {
    let scale = Scale::of(row.base.mean, &row.metric.unit);
    let figure = |figure: &Figure| {
        let mean = scale.number(figure.mean, 4);
        match &figure.interval {
            Some(interval) => format!("{mean} ± {}", scale.number(interval.half_width(), 2)),
            None => mean,
        }
    };
    [
        named(row),
        figure(&row.base),
        figure(&row.new),
        scale.symbol().to_owned(),
        row.change.map_or("–".to_owned(), signed),
        row.interval.as_ref().map_or("–".to_owned(), |interval| within(*interval)),
        row.detectable.map_or("–".to_owned(), size),
        row.verdict.map_or("–", |verdict| verdict.as_str()).to_owned(),
    ]
}
