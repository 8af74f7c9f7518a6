//! Runs until the mean latency is known well enough.
//!
//! Written against the contract alone. `wit_bindgen` makes Rust of the WIT file; the plugin is what implements `Guest`.

mod interval;

wit_bindgen::generate!({ path: "wit", world: "workload-plugin" });

use exports::harness::plugin::workload::{Description, Failure, Guest, Reading, Values};
use harness::plugin::bench::{Plan, Run, measure};
use harness::plugin::common::Setting;
use harness::plugin::log::{self, Level};
use harness::plugin::model::{Error, Prompt, Request};
use harness::plugin::recordings::{Direction, Metric};
use interval::Known;

/// The host's name of the metric whose mean is wanted.
const METRIC: &str = "latency";

struct UntilStable;

export!(UntilStable);

impl Guest for UntilStable {
    fn describe() -> Description {
        Description {
            name: "until-stable".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Runs until the mean latency is known well enough.".into(),
            settings: vec![
                setting(
                    "within",
                    "Half-width of the mean's 95% confidence interval, as a share of it.",
                    "0.01",
                    Some("0.2"),
                ),
                setting("least", "Runs at least, 2 or more.", "5", Some("2")),
                setting("most", "Runs at most.", "50", Some("3")),
                setting("iterations", "Recorded requests of each run, at most.", "50", Some("5")),
                setting("seconds", "Time after which a run begins no further request.", "10", Some("1")),
                setting("prompt-tokens", "Tokens of the prompt.", "32", None),
                setting("new-tokens", "Tokens that each request gives.", "50", Some("8")),
            ],
        }
    }

    fn run(settings: Values) -> Result<Vec<Reading>, Failure> {
        let within = number(&settings, "within")?;
        let (least, most) = (count(&settings, "least", 2)?, count(&settings, "most", 2)?);
        let request = Request {
            prompt: Prompt::Synthetic(count(&settings, "prompt-tokens", 1)?),
            max_new_tokens: count(&settings, "new-tokens", 1)?,
            stop_at_end_of_text: false,
            sampling: None,
        };
        let (iterations, seconds) = (count(&settings, "iterations", 1)?, number(&settings, "seconds")?);
        if least > most {
            return Err(Failure::Setting(format!("setting 'least' is {least}, and must be at most 'most', {most}")));
        }

        let mut latencies = Vec::new();
        let known = loop {
            let plan = Plan::new(&format!("run {}", latencies.len() + 1), std::slice::from_ref(&request));
            plan.set_iterations(iterations);
            plan.set_time_limit(seconds);
            let run = measure(&plan).map_err(|error| Failure::Other(message(error)))?;
            latencies.push(value(&run)?);
            let Some(known) = Known::of(&latencies) else { continue };
            if latencies.len() < least as usize {
                continue;
            }
            let share = known.share().unwrap_or(f64::INFINITY);
            log::log(Level::Debug, &format!("{} runs: known to {:.2}%", latencies.len(), 100.0 * share));
            if share <= within {
                break known;
            }
            if latencies.len() == most as usize {
                log::log(
                    Level::Warn,
                    &format!(
                        "after {most} runs the mean is known to {:.2}%, and {:.2}% were asked for; allow more with --set most=…",
                        100.0 * share,
                        100.0 * within
                    ),
                );
                break known;
            }
        };
        Ok(vec![
            // The host checks that it is the mean of the runs, and it is.
            reading(METRIC, "s", "Mean latency over the runs.", known.mean),
            reading(
                "latency_half_width",
                "s",
                "Half-width of the 95% confidence interval of the mean latency over the runs.",
                known.half_width,
            ),
        ])
    }
}

fn value(run: &Run) -> Result<f64, Failure> {
    run.value(METRIC).ok_or_else(|| {
        let absence = run.absences().into_iter().find(|absence| absence.metric == METRIC);
        let reason = absence.map_or("the host does not know it".into(), |absence| absence.reason);
        Failure::Other(format!("there is no {METRIC} to be sure of: {reason}"))
    })
}

fn reading(name: &str, unit: &str, help: &str, value: f64) -> Reading {
    let (name, unit, help) = (name.into(), unit.into(), help.into());
    Reading { metric: Metric { name, unit, help, better: Direction::LowerIsBetter, sampled: false }, value }
}

fn setting(name: &str, help: &str, default: &str, quick: Option<&str>) -> Setting {
    Setting { name: name.into(), help: help.into(), default: default.into(), quick: quick.map(Into::into) }
}

/// The host gives every described setting.
fn text<'a>(settings: &'a Values, name: &str) -> &'a str {
    settings.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

fn count(settings: &Values, name: &str, least: u32) -> Result<u32, Failure> {
    let value = text(settings, name);
    value.parse().ok().filter(|&count| count >= least).ok_or_else(|| {
        Failure::Setting(format!("setting '{name}' is '{value}', and must be a whole number of {least} or more"))
    })
}

fn number(settings: &Values, name: &str) -> Result<f64, Failure> {
    let value = text(settings, name);
    value
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
        .ok_or_else(|| Failure::Setting(format!("setting '{name}' is '{value}', and must be a number over 0")))
}

fn message(error: Error) -> String {
    match error {
        Error::Invalid(what) | Error::TooLong(what) | Error::Stopped(what) => what,
        Error::OutOfMemory(what) => format!("out of memory: {what}"),
        Error::DeviceLost(what) => format!("the device failed: {what}"),
    }
}
