//! How latency grows with the prompt and the batch: one run a point.
//!
//! Written against the contract alone. `wit_bindgen` makes Rust of the WIT file; the plugin is what implements `Guest`.

mod grid;

wit_bindgen::generate!({ path: "wit", world: "workload-plugin" });

use exports::harness::plugin::workload::{Description, Failure, Guest, Reading, Values};
use grid::{Point, counts};
use harness::plugin::bench::{Plan, Run, measure};
use harness::plugin::common::Setting;
use harness::plugin::log::{self, Level};
use harness::plugin::model::{self, Error, Prompt, Request};
use harness::plugin::recordings::Metric;

/// The host's names of the metrics of which each point has a figure.
const METRICS: [&str; 3] = ["latency", "time_to_first_token", "tokens_per_second"];

struct LatencySweep;

export!(LatencySweep);

impl Guest for LatencySweep {
    fn describe() -> Description {
        Description {
            name: "latency-sweep".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Latency over prompt lengths and batch sizes.".into(),
            settings: vec![
                setting("lengths", "Prompt lengths in tokens, separated by commas.", "16,64,256", "16,64"),
                setting("batches", "Requests served together, separated by commas.", "1,4", "1,2"),
                setting("new-tokens", "Tokens that each request gives.", "20", "4"),
                setting("iterations", "Recorded iterations of each point, at most.", "20", "3"),
                setting("seconds", "Time after which a point begins no further iteration.", "30", "1"),
            ],
        }
    }

    fn run(settings: Values) -> Result<Vec<Reading>, Failure> {
        let sweep = Sweep {
            new_tokens: one(&settings, "new-tokens")?,
            iterations: one(&settings, "iterations")?,
            seconds: seconds(&settings)?,
        };
        let context = model::about().context;
        let mut readings = Vec::new();
        for point in Point::grid(&several(&settings, "lengths")?, &several(&settings, "batches")?) {
            if !point.fits(sweep.new_tokens, context) {
                let Point { length, .. } = point;
                warn(&format!("{length} tokens and the new ones don't fit a context of {context}; skipped"));
                continue;
            }
            match sweep.measure(point) {
                Ok(run) => readings.extend(figures(point, &run)),
                // The next point may need less.
                Err(Error::OutOfMemory(why)) => warn(&format!("{} is skipped: out of memory: {why}", point.label())),
                Err(error) => return Err(Failure::Other(message(error))),
            }
        }
        if readings.is_empty() {
            return Err(Failure::Setting(format!(
                "no point of 'lengths' and 'batches' can be served by a model with a context of {context} tokens; use smaller ones"
            )));
        }
        Ok(readings)
    }
}

/// What all points have in common.
struct Sweep {
    new_tokens: u32,
    iterations: u32,
    seconds: f64,
}

impl Sweep {
    /// Asks the host for one measured run. Nothing of the plugin runs while it is measured.
    fn measure(&self, point: Point) -> Result<Run, Error> {
        let request = Request {
            prompt: Prompt::Synthetic(point.length),
            max_new_tokens: self.new_tokens,
            stop_at_end_of_text: false,
            sampling: None,
        };
        let plan = Plan::new(&point.label(), &[request]);
        plan.set_iterations(self.iterations);
        plan.set_batch(point.batch);
        plan.set_time_limit(self.seconds);
        // Where the limit ends it, the run and every report say so.
        measure(&plan)
    }
}

/// A figure for each metric that the run has; the run itself says why one is absent.
fn figures(point: Point, run: &Run) -> Vec<Reading> {
    let wanted = run.metrics().into_iter().filter(|metric| METRICS.contains(&metric.name.as_str()));
    wanted
        .filter_map(|metric| {
            let value = run.value(&metric.name)?;
            let help = format!("{} With prompts of {} tokens, {} together.", metric.help, point.length, point.batch);
            Some(Reading { metric: Metric { name: point.figure(&metric.name), help, ..metric }, value })
        })
        .collect()
}

fn setting(name: &str, help: &str, default: &str, quick: &str) -> Setting {
    Setting { name: name.into(), help: help.into(), default: default.into(), quick: Some(quick.into()) }
}

/// The host gives every described setting.
fn text<'a>(settings: &'a Values, name: &str) -> &'a str {
    settings.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

fn several(settings: &Values, name: &str) -> Result<Vec<u32>, Failure> {
    let value = text(settings, name);
    counts(value).ok_or_else(|| {
        Failure::Setting(format!(
            "setting '{name}' is '{value}', and must be whole numbers of 1 or more, separated by commas"
        ))
    })
}

fn one(settings: &Values, name: &str) -> Result<u32, Failure> {
    let value = text(settings, name);
    value.parse().ok().filter(|&count| count > 0).ok_or_else(|| {
        Failure::Setting(format!("setting '{name}' is '{value}', and must be a whole number of 1 or more"))
    })
}

fn seconds(settings: &Values) -> Result<f64, Failure> {
    let value = text(settings, "seconds");
    value
        .parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0)
        .ok_or_else(|| Failure::Setting(format!("setting 'seconds' is '{value}', and must be a number over 0")))
}

fn warn(message: &str) {
    log::log(Level::Warn, message);
}

fn message(error: Error) -> String {
    match error {
        Error::Invalid(what) | Error::TooLong(what) | Error::Stopped(what) => what,
        Error::OutOfMemory(what) => format!("out of memory: {what}"),
        Error::DeviceLost(what) => format!("the device failed: {what}"),
    }
}
