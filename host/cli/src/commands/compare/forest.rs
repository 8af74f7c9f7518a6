//! A chart of changes, a line a metric: what it changed by, how sure that is, and what it comes to. Also called a forest plot.

use std::fmt::Write;

use harness_core::compare::{Row, Verdict};
use harness_core::statistics::Interval;
use harness_figures::page::{Escaped, ticks};

use super::words::{changed, named, signed};

/// In the chart's own unit: about a pixel on a wide screen, half of one on a phone, whose text is the larger for it.
const WIDTH: f64 = 640.0;
const SIDE: f64 = 10.0;
const TOP: f64 = 8.0;
const LINE: f64 = 46.0;
const BOTTOM: f64 = 26.0;
/// About so many numbers under it.
const TICKS: usize = 5;
/// More lines than this help nobody; the table has them all.
const MOST: usize = 40;
/// Of a name that has the work in it.
const LONGEST: usize = 34;

/// Maps changes to places.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// One that has every change and its interval, but for those that reach so far that the rest would be a dot.
    fn of(rows: &[(&Row, f64, Verdict)], threshold: f64) -> Self {
        let most = rows.iter().map(|(_, change, _)| change.abs()).fold(2.0 * threshold, f64::max).max(1e-4);
        let reach = 2.5 * most;
        let ends = rows.iter().flat_map(|(row, change, _)| {
            let interval = row.interval.unwrap_or(Interval { low: *change, high: *change });
            [interval.low, interval.high]
        });
        let (low, high) =
            ends.fold((-2.0 * threshold, 2.0 * threshold), |(low, high), end| (low.min(end), high.max(end)));
        let (low, high) = (low.max(-reach).min(-1e-4), high.min(reach).max(1e-4));
        let room = (high - low) * 0.04;
        Self { low: low - room, high: high + room }
    }

    fn x(&self, change: f64) -> f64 {
        let share = (change.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        SIDE + share * (WIDTH - 2.0 * SIDE)
    }
}

/// The chart, and how many changes are left to the table; none where nothing has a change and a direction.
pub(super) fn forest(rows: &[Row], threshold: f64) -> Option<(String, usize)> {
    let all: Vec<(&Row, f64, Verdict)> = rows.iter().filter_map(|row| Some((row, row.change?, row.verdict?))).collect();
    let shown = all.get(..all.len().min(MOST)).filter(|shown| !shown.is_empty())?;
    let axis = Axis::of(shown, threshold);
    let bottom = TOP + LINE * shown.len() as f64;
    let mut marks = String::new();
    let (left, right) = (axis.x(-threshold), axis.x(threshold));
    let _ = write!(marks, "<path class=\"under\" d=\"M{left:.1} {TOP}H{right:.1}V{bottom}H{left:.1}Z\"/>");
    for tick in ticks((axis.low, axis.high), TICKS, 1.0) {
        let (x, text) = (axis.x(tick), tick_text(tick));
        let class = if tick == 0.0 { "grid zero" } else { "grid" };
        let anchor = if x < 40.0 {
            ""
        } else if x > WIDTH - 40.0 {
            " end"
        } else {
            " middle"
        };
        let _ = write!(
            marks,
            "<path class=\"{class}\" d=\"M{x:.1} {TOP}V{bottom}\"/><text class=\"tick{anchor}\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
            bottom + 20.0
        );
    }
    for (at, (row, change, verdict)) in shown.iter().enumerate() {
        line(&mut marks, &axis, TOP + LINE * at as f64, row, *change, *verdict);
    }
    let said: Vec<String> = shown
        .iter()
        .map(|(row, _, verdict)| format!("{} {}: {}", named(row), changed(row), verdict.as_str()))
        .collect();
    let label = format!("Changes with their 95 % intervals. {}.", said.join("; "));
    let height = bottom + BOTTOM;
    let svg = format!(
        "<svg class=\"forest\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">{marks}</svg>",
        Escaped(label)
    );
    Some((svg, all.len() - shown.len()))
}

fn line(marks: &mut String, axis: &Axis, top: f64, row: &Row, change: f64, verdict: Verdict) {
    let name = named(row);
    let short = match name.chars().count() > LONGEST {
        true => name.chars().take(LONGEST - 1).chain(['…']).collect(),
        false => name.clone(),
    };
    let (text, y) = (top + 18.0, top + 32.0);
    let _ = write!(
        marks,
        "<g class=\"{}\"><title>{}</title><text class=\"name\" x=\"{SIDE}\" y=\"{text}\">{}</text><text class=\"name end\" x=\"{}\" \
         y=\"{text}\">{} {}</text>",
        verdict.as_str(),
        Escaped(format!("{name}: {}", changed(row))),
        Escaped(short),
        WIDTH - SIDE,
        signed(change),
        verdict.as_str(),
    );
    if let Some(Interval { low, high }) = row.interval {
        let (from, to) = (axis.x(low), axis.x(high));
        let _ = write!(marks, "<path class=\"reach\" d=\"M{from:.1} {y}H{to:.1}\"/>");
        // An arrow where it goes on beyond the edge.
        for (beyond, x, back) in [(low < axis.low, from, 6.0), (high > axis.high, to, -6.0)] {
            if beyond {
                let _ = write!(
                    marks,
                    "<path class=\"reach\" d=\"M{:.1} {}L{x:.1} {y}L{:.1} {}\"/>",
                    x + back,
                    y - 5.0,
                    x + back,
                    y + 5.0
                );
            }
        }
    }
    let x = axis.x(change);
    let mark = match verdict {
        Verdict::Worse => format!("<path class=\"mark\" d=\"M{:.1} {}h9v9h-9Z\"/>", x - 4.5, y - 4.5),
        Verdict::Better => format!("<path class=\"mark\" d=\"M{x:.1} {}l6 6l-6 6l-6 -6Z\"/>", y - 6.0),
        Verdict::Same | Verdict::Ambiguous => format!("<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y}\" r=\"4.5\"/>"),
    };
    let _ = write!(marks, "{mark}</g>");
}

fn tick_text(change: f64) -> String {
    let percent = change * 100.0;
    if percent.abs() < 1e-9 {
        return "0 %".to_owned();
    }
    // To three digits, without what is left of a multiplication.
    let digits = (2 - percent.abs().log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{percent:+.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let texts = |low, high| ticks((low, high), TICKS, 1.0).into_iter().map(tick_text).collect::<Vec<_>>();
        assert_eq!(texts(-0.02, 0.055), ["-2 %", "0 %", "+2 %", "+4 %"]);
        assert_eq!(texts(-0.34, 0.9), ["-20 %", "0 %", "+20 %", "+40 %", "+60 %", "+80 %"]);
        assert_eq!(texts(-0.0004, 0.0004), ["-0.04 %", "-0.02 %", "0 %", "+0.02 %", "+0.04 %"]);
    }
}
