//! How the time to first token grows with the prompt: one run a prompt length, one figure a run.
//!
//! Written against the contract alone. `wit_bindgen` makes Rust of the WIT files; the plugin is what implements `Guest`.

// The path is the only tie to the repository that this example lies in.
wit_bindgen::generate!({ path: "../../wit", world: "workload-plugin" });

use exports::harness::plugin::workload::{Description, Failure, Guest, Reading, Values};
use harness::plugin::bench::{Plan, measure};
use harness::plugin::common::Setting;
use harness::plugin::log::{self, Level};
use harness::plugin::model::{self, Error, Prompt, Request};
use harness::plugin::recordings::{Direction, Metric};

/// The host's name for the metric of which this plugin wants a figure a run.
const METRIC: &str = "time_to_first_token";

struct PromptLengths;

export!(PromptLengths);

impl Guest for PromptLengths {
    fn describe() -> Description {
        Description {
            name: "prompt-lengths".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Time to first token at several prompt lengths.".into(),
            settings: vec![
                setting("lengths", "Prompt lengths in tokens, separated by commas.", "16,64,256", Some("16,64")),
                setting("iterations", "Recorded requests of each length.", "20", Some("3")),
            ],
        }
    }

    fn run(settings: Values) -> Result<Vec<Reading>, Failure> {
        let lengths = text(&settings, "lengths").split(',').map(|length| count("lengths", length.trim()));
        let lengths: Vec<u32> = lengths.collect::<Result<_, _>>()?;
        let iterations = count("iterations", text(&settings, "iterations"))?;
        let context = model::about().context;

        let mut readings = Vec::new();
        for length in lengths {
            if length >= context {
                log::log(Level::Warn, &format!("{length} tokens leave no room in a context of {context}; skipped"));
                continue;
            }
            readings.push(at_length(length, iterations)?);
        }
        if readings.is_empty() {
            return Err(Failure::Setting(format!(
                "no length in setting 'lengths' is under the context of {context} tokens"
            )));
        }
        Ok(readings)
    }
}

/// One measured run of prompts of that length.
fn at_length(length: u32, iterations: u32) -> Result<Reading, Failure> {
    let request =
        Request { prompt: Prompt::Synthetic(length), max_new_tokens: 1, stop_at_end_of_text: false, sampling: None };
    let plan = Plan::new(&format!("prompt of {length} tokens"), &[request]);
    plan.set_iterations(iterations);
    let run = measure(&plan).map_err(|error| Failure::Other(message(error)))?;
    let value = run.value(METRIC).ok_or_else(|| {
        let absence = run.absences().into_iter().find(|absence| absence.metric == METRIC);
        let reason = absence.map_or("the host does not know it".into(), |absence| absence.reason);
        Failure::Other(format!("there is no {METRIC} to report: {reason}"))
    })?;
    let metric = Metric {
        // Not a host metric, so the host does not expect it to be a mean over all runs.
        name: format!("{METRIC}_{length}"),
        unit: "s".into(),
        help: format!("Time to first token after a prompt of {length} tokens."),
        better: Direction::LowerIsBetter,
        sampled: false,
    };
    Ok(Reading { metric, value })
}

fn setting(name: &str, help: &str, default: &str, quick: Option<&str>) -> Setting {
    Setting { name: name.into(), help: help.into(), default: default.into(), quick: quick.map(Into::into) }
}

/// The host gives every described setting.
fn text<'a>(settings: &'a Values, name: &str) -> &'a str {
    settings.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

fn count(name: &str, value: &str) -> Result<u32, Failure> {
    value.parse().ok().filter(|&count| count > 0).ok_or_else(|| {
        Failure::Setting(format!("setting '{name}' is '{value}', and must be whole numbers of 1 or more"))
    })
}

fn message(error: Error) -> String {
    match error {
        Error::Invalid(what) | Error::TooLong(what) | Error::Stopped(what) => what,
        Error::OutOfMemory(what) => format!("out of memory: {what}"),
        Error::DeviceLost(what) => format!("the device failed: {what}"),
    }
}
