//! A sweep as a table and as a chart.

use comfy_table::{Cell, CellAlignment};
use harness_core::format::Scale;
use harness_core::statistics::{CONFIDENCE, mean, mean_interval};
use harness_core::text::visible_line;
use harness_core::{Recording, metric};

use super::axes::{Axis, Point};
use super::known::Known;
use crate::Outcome;
use crate::chart::{Chart, Dot, Line};
use crate::destination::Destination;
use crate::failure::Failure;
use crate::progress::Screen;
use crate::settings::RunSettings;
use crate::table::plain_table;

/// What the table shows of each point.
const SHOWN: [&str; 4] = ["tokens_per_second", "latency", "time_to_first_token", "inter_token_latency"];
/// What the chart shows.
const CHARTED: &str = "tokens_per_second";
/// Beside the points.
const CHART: &str = "sweep.svg";
/// A row a point, a column a setting that is swept, then figures with their 95% intervals.
pub(super) fn table(known: &[Known], settings: &RunSettings) -> String {
    let scales: Vec<Option<Scale>> = SHOWN.iter().map(|name| scale(known, name)).collect();
    let columns: Vec<(&str, &Scale)> =
        SHOWN.into_iter().zip(&scales).filter_map(|(name, scale)| Some((name, scale.as_ref()?))).collect();
    let mut table = plain_table();
    let swept = settings.sweep.iter().map(|axis| cell(&axis.setting));
    let head = columns.iter().map(|(name, scale)| cell(&heading(name, scale)));
    table.set_header(swept.chain(head).collect::<Vec<_>>());
    for point in known {
        let swept = point.point.0.iter().map(|(_, value)| cell(value));
        let figures = columns.iter().map(|(name, scale)| match &point.recording {
            Some(recording) => cell(&figure(recording, name, scale)),
            None => cell("failed"),
        });
        table.add_row(swept.chain(figures).collect::<Vec<_>>());
    }
    format!("{}\n\n±: 95 % over the runs of a point, by Student's t.", table.trim_fmt())
}

fn heading(name: &str, scale: &Scale) -> String {
    // A unit that the name has already is not said twice.
    if name == "tokens_per_second" { "tokens/s".to_owned() } else { format!("{name}, {}", scale.symbol()) }
}

fn cell(text: &str) -> Cell {
    Cell::new(visible_line(text)).set_alignment(CellAlignment::Right)
}

fn values(recording: &Recording, metric: &str) -> Vec<f64> {
    recording.runs.iter().filter_map(|run| run.values.get(metric).copied()).collect()
}

/// One for the column, on which its least reads well.
fn scale(known: &[Known], name: &str) -> Option<Scale> {
    let means = known.iter().filter_map(|point| mean(&values(point.recording.as_deref()?, name)));
    Some(Scale::of(means.reduce(f64::min)?, metric::definition(name)?.unit))
}

fn figure(recording: &Recording, name: &str, scale: &Scale) -> String {
    let values = values(recording, name);
    let Some(mean) = mean(&values) else { return "–".to_owned() };
    match mean_interval(&values, CONFIDENCE) {
        Some(interval) => format!("{} ± {}", scale.number(mean, 4), scale.number(interval.half_width(), 2)),
        None => scale.number(mean, 4),
    }
}

/// Draws tokens/s over the last axis that has only numbers, a line for each combination of the others.
pub(super) fn draw(known: &[Known], settings: &RunSettings, folder: &Destination, screen: &Screen) -> Outcome {
    let number = |value: &String| value.parse::<f64>().ok().filter(|number| number.is_finite());
    let numeric = |axis: &Axis| axis.values.len() > 1 && axis.values.iter().all(|value| number(value).is_some());
    let Some(along) = settings.sweep.iter().rposition(numeric) else { return Ok(()) };
    let mut lines: Vec<Line> = Vec::new();
    for point in known {
        let Some((_, value)) = point.point.0.get(along) else { continue };
        let values = point.recording.as_deref().map(|recording| values(recording, CHARTED)).unwrap_or_default();
        let (Some(x), Some(y)) = (number(value), mean(&values)) else { continue };
        let interval = mean_interval(&values, CONFIDENCE);
        let (low, high) = interval.map_or((y, y), |interval| (interval.low, interval.high));
        let others = point.point.0.iter().enumerate().filter(|(at, _)| *at != along);
        let name = Point(others.map(|(_, setting)| setting.clone()).collect()).to_string();
        let name = visible_line(&name).into_owned();
        let dot = Dot { x, y, low, high };
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(dot),
            None => lines.push(Line { name, points: vec![dot] }),
        }
    }
    lines.iter_mut().for_each(|line| line.points.sort_by(|a, b| a.x.total_cmp(&b.x)));
    let x = settings.sweep.get(along).map(|axis| axis.setting.as_str()).unwrap_or_default();
    let title = format!("tokens/s over {x}, with 95 % intervals over runs");
    let chart = folder.join(CHART);
    let path = chart.path();
    let written = match (Chart { title: &title, x, y: "tokens/s", lines }).svg() {
        Ok(None) => return Ok(()),
        Ok(Some(svg)) => chart.put(svg.as_bytes()).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match written {
        Ok(()) => {
            screen.say(&format!("drawn in {}", path.display()));
            Ok(())
        }
        Err(error) => Err(Failure::failed(format!(
            "no chart could be drawn in {}: {error}; the recordings beside it are whole",
            path.display()
        ))),
    }
}
