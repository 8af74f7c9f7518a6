//! What the fuzz targets in `tests/fuzz` reach of this crate: all that it parses.

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::meant::Meant;
use crate::plugins::Pin;
use crate::report_target::ReportTarget;
use crate::settings::{BackendChoice, RunSettings};
use crate::sweep::axes::{self as sweep, Axis};
use crate::units;

/// What `harness run` with these arguments would work with; returns the points of its sweep.
pub fn run(arguments: &[&str]) -> Result<usize, String> {
    let arguments = Arguments::try_parse_from(["harness", "run"].iter().chain(arguments)).map_err(|e| e.to_string())?;
    let Command::Run(run) = arguments.command else { return Err("it is another command".into()) };
    let said = |failure: crate::failure::Failure| failure.message().to_owned();
    let settings = RunSettings::resolve(*run).map_err(said)?;
    settings.report_sets.of(&settings.reports).map_err(said)?;
    Ok(sweep::points(&settings.sweep).map_err(said)?.len())
}

/// Reads an axis, and makes file names of its points.
pub fn sweep(text: &str) -> Option<Vec<String>> {
    let points = sweep::points(&[Axis::parse("a", text).ok()?]).ok()?;
    Some(sweep::file_names(&points))
}

/// Reads a size, a duration, a share and a pair.
pub fn units(text: &str) {
    let _ = units::bytes(text);
    if let Ok(duration) = units::duration(text) {
        let _ = (units::exact(duration), units::rough(duration), units::milliseconds(duration));
    }
    let _ = (units::percent(text), units::pair(text));
}

/// Reads what names a plugin, a report, a hash or a backend; returns the report's plugin.
pub fn names(text: &str) -> Option<String> {
    let _ = (Meant::by(text), text.parse::<Pin>(), text.parse::<BackendChoice>());
    text.parse::<ReportTarget>().ok().map(|report| report.plugin)
}
