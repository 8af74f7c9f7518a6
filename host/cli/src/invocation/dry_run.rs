//! What would be run, and about how long it takes.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment};
use harness_core::format::plural;
use harness_core::text::visible_line;

use super::estimate::{self, Pace};
use super::model;
use super::prepare::Workload;
use crate::failure::Failure;
use crate::progress::Screen;
use crate::settings::{ModelSettings, RunSettings};
use crate::table::plain_table;
use crate::{Outcome, deliver, interrupt, sensors, units};

/// A recording that would be made.
pub(crate) struct Planned {
    /// The settings that tell it from the others, with their values.
    pub(crate) point: Vec<(String, String)>,
    pub(crate) settings: RunSettings,
}

impl Planned {
    fn name(&self) -> String {
        self.point.iter().map(|(setting, value)| format!("{setting}={value}")).collect::<Vec<_>>().join(" ")
    }
}

fn cell(text: &str) -> Cell {
    Cell::new(visible_line(text)).set_alignment(CellAlignment::Right)
}

/// Shows a row a recording; `columns` are the settings of their points.
pub(crate) fn dry_run(settings: &RunSettings, workload: &Workload, columns: &[&str], planned: &[Planned]) -> Outcome {
    let mut model = model::load(&settings.model, settings.seed, &Screen::new())?;
    let telemetry = sensors::open(&settings.sensors, model.gpu_uuid.as_deref(), settings.driver_time)?;
    let stop = interrupt::watch()?;
    let mut table = plain_table();
    table.set_header(columns.iter().copied().chain(["runs", "iterations", "about"]).map(cell).collect::<Vec<_>>());
    let mut sum = Duration::ZERO;
    let mut untold = 0;
    let mut impossible = Vec::new();
    for one in planned {
        if stop.is_set() {
            return Err(Failure::Interrupted("interrupted".into()));
        }
        let values = workload.values(&one.settings, settings.quick)?;
        let rehearsed = estimate::work(settings, &workload.plugin, &values, &model.server, &telemetry.gpus);
        let can = rehearsed.is_ok();
        let work = rehearsed.unwrap_or_else(|error| {
            let of = if one.point.is_empty() { String::new() } else { format!("{}: ", one.name()) };
            impossible.push(format!("{of}{error}"));
            None
        });
        let time = work.and_then(|work| Some(Pace::measure(&mut model.server, &work)?.time(&work)));
        match time {
            Some(time) => sum = sum.saturating_add(time),
            None => untold += usize::from(can),
        }
        let unknown = if can { "?" } else { "can't" };
        let counts = work.map_or([unknown.to_owned(), unknown.to_owned()], |work| {
            [units::count(work.runs), units::count(work.iterations)]
        });
        let time = time.map_or(unknown.to_owned(), units::rough);
        let cells = one.point.iter().map(|(_, value)| value.clone()).chain(counts).chain([time]);
        table.add_row(cells.map(|text| cell(&text)).collect::<Vec<_>>());
    }
    if impossible.len() < planned.len() {
        deliver::line(&table.trim_fmt())?;
        let untold = match untold {
            0 => String::new(),
            untold => {
                format!(", and {untold} of which that can't be told: too long to rehearse, or a time limit may end it")
            }
        };
        let clock = match &settings.model {
            ModelSettings::Simulated(simulated) if !simulated.real_time => " of the simulated model's own time",
            _ => "",
        };
        deliver::line(&format!(
            "\n{}: about {}{clock}{untold}; nothing was run",
            plural(planned.len() - impossible.len(), "recording"),
            units::rough(sum)
        ))?;
    }
    match impossible.as_slice() {
        [] => Ok(()),
        [one] if planned.len() == 1 => Err(Failure::Usage(one.clone())),
        some => Err(Failure::Usage(format!(
            "{} of {} can't be run as asked:\n{}",
            some.len(),
            plural(planned.len(), "recording"),
            some.join("\n")
        ))),
    }
}
