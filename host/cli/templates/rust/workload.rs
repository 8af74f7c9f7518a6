//! What is measured: one run for each prompt length.

use crate::Plugin;
use crate::exports::harness::plugin::workload::{Description, Failure, Guest, Reading, Values};
use crate::harness::plugin::bench::{Plan, Run, measure};
use crate::harness::plugin::common::Setting;
use crate::harness::plugin::model::{Error, Prompt, Request};

/// What the summary has, by the host's names for it. `metrics()` of a run lists all that it recorded.
const METRICS: [&str; 3] = ["time_to_first_token", "latency", "tokens_per_second"];

const NEW_TOKENS: u32 = 20;

impl Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Times generations after prompts of several lengths.".into(),
            settings: vec![
                Setting {
                    name: "lengths".into(),
                    help: "Prompt lengths in tokens, separated by commas.".into(),
                    default: "32,256".into(),
                    quick: None,
                },
                Setting {
                    name: "iterations".into(),
                    help: "Recorded requests of each length.".into(),
                    default: "20".into(),
                    // With `harness run --quick` and in `harness plugin test`.
                    quick: Some("3".into()),
                },
            ],
        }
    }

    fn run(settings: Values) -> Result<Vec<Reading>, Failure> {
        let iterations = count("iterations", value(&settings, "iterations"))?;
        let lengths = value(&settings, "lengths").split(',');
        let lengths: Vec<u32> = lengths
            .map(|length| count("lengths", length))
            .collect::<Result<_, _>>()?;
        let runs = lengths.into_iter().map(|length| at_length(length, iterations));
        Ok(summary(&runs.collect::<Result<Vec<Run>, _>>()?))
    }
}

/// Asks the host for one measured run. Nothing of the plugin runs while it is measured.
fn at_length(length: u32, iterations: u32) -> Result<Run, Failure> {
    let request = Request {
        prompt: Prompt::Synthetic(length),
        max_new_tokens: NEW_TOKENS,
        stop_at_end_of_text: false,
        sampling: None,
    };
    let plan = Plan::new(&format!("prompt of {length} tokens"), &[request]);
    plan.set_iterations(iterations);
    measure(&plan).map_err(|error| Failure::Other(message(error)))
}

/// The host checks that a figure under its metric's name is the mean of the runs' values.
fn summary(runs: &[Run]) -> Vec<Reading> {
    let metrics = runs.first().map(Run::metrics).unwrap_or_default();
    let metrics = metrics
        .into_iter()
        .filter(|metric| METRICS.contains(&metric.name.as_str()));
    metrics
        .filter_map(|metric| {
            let values: Vec<f64> = runs
                .iter()
                .filter_map(|run| run.value(&metric.name))
                .collect();
            let value = mean(&values)?;
            Some(Reading { metric, value })
        })
        .collect()
}

/// The host gives every described setting.
fn value<'a>(settings: &'a Values, name: &str) -> &'a str {
    settings
        .iter()
        .find(|(known, _)| known == name)
        .map_or("", |(_, value)| value)
}

fn count(name: &str, text: &str) -> Result<u32, Failure> {
    positive(text).ok_or_else(|| {
        Failure::Setting(format!(
            "'{text}' in setting '{name}' is not a whole number of 1 or more"
        ))
    })
}

fn message(error: Error) -> String {
    match error {
        Error::Invalid(what) | Error::TooLong(what) | Error::Stopped(what) => what,
        Error::OutOfMemory(what) => format!("out of memory: {what}"),
        Error::DeviceLost(what) => format!("the device failed: {what}"),
    }
}

fn positive(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|&number| number > 0)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

// Functions that don't call the host can be tested without it, by a plain `cargo test`.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_whole_number_of_one_or_more() {
        assert_eq!(positive(" 64"), Some(64));
        assert_eq!(positive("0"), None);
        assert_eq!(positive("many"), None);
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(mean(&[1.0, 3.0]), Some(2.0));
        assert_eq!(mean(&[]), None);
    }
}
