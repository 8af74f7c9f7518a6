//! Between the contract's types and the core's. What comes from a guest is checked here, and only here.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use harness_core::text::{steers, visible, visible_line};
use harness_core::{
    Direction, Finish, Generation, GpuDevice, GpuState, MeasureError, Metric, ModelInfo, Prompt, Reading, Request, Run,
    Sampling,
};

use crate::bindings::{common, gpu, model, recordings, wit_report};
use crate::description::{Description, Setting};
use crate::file_name;
use crate::output::{Artifact, Output};
use crate::text::cut;

/// The most readings of a summary, settings of a description, artifacts of a report.
const MOST_READINGS: usize = 10_000;
const MOST_SETTINGS: usize = 256;
const MOST_ARTIFACTS: usize = 1_000;
/// The most bytes of a sentence, and of a name or unit.
const MOST_HELP: usize = 1_000;
const MOST_WORD: usize = 64;

pub(crate) fn info(info: &ModelInfo) -> model::Info {
    model::Info {
        name: info.name.clone(),
        backend: info.backend.clone(),
        device: info.device.clone(),
        dtype: info.dtype.clone(),
        weights: info.weights.clone(),
        parameters: info.parameters,
        layers: info.layers,
        heads: info.heads,
        width: info.width,
        vocabulary: info.vocabulary,
        context: info.context,
    }
}

pub(crate) fn request(request: model::Request, most_text: usize) -> Result<Request, model::Error> {
    let prompt = match request.prompt {
        model::Prompt::Text(text) if text.len() > most_text => {
            return Err(model::Error::TooLong(format!(
                "a prompt of {} bytes; at most {most_text} are encoded",
                text.len()
            )));
        }
        model::Prompt::Text(text) => Prompt::Text(text),
        model::Prompt::Tokens(tokens) => Prompt::Tokens(tokens),
        model::Prompt::Synthetic(count) => Prompt::Synthetic(count),
    };
    let sampling =
        request.sampling.map(|s| Sampling { temperature: s.temperature, top_k: s.top_k, top_p: s.top_p, seed: s.seed });
    Ok(Request {
        prompt,
        max_new_tokens: request.max_new_tokens,
        stop_at_end_of_text: request.stop_at_end_of_text,
        sampling,
    })
}

/// A run's label, fit for a terminal and a table.
pub(crate) fn label(label: &str) -> String {
    cut(&visible(&cut(label, 2 * MOST_WORD)).replace(['\n', '\t'], " "), 2 * MOST_WORD)
}

pub(crate) fn generation(generation: Generation) -> model::Generation {
    model::Generation {
        tokens: generation.tokens,
        text: generation.text,
        finish: match generation.finish {
            Finish::Length => model::Finish::Length,
            Finish::EndOfText => model::Finish::EndOfText,
        },
        latency: generation.latency.as_secs_f64(),
        token_times: generation.token_times.iter().map(Duration::as_secs_f64).collect(),
    }
}

pub(crate) fn measure_error(error: MeasureError) -> model::Error {
    match error {
        MeasureError::Invalid(message) => model::Error::Invalid(message),
        MeasureError::TooLong(message) => model::Error::TooLong(message),
        MeasureError::OutOfMemory(message) => model::Error::OutOfMemory(message),
        MeasureError::DeviceLost(message) => model::Error::DeviceLost(message),
        MeasureError::Stopped(stop) => model::Error::Stopped(stop.to_string()),
    }
}

pub(crate) fn message(error: &model::Error) -> &str {
    match error {
        model::Error::Invalid(message)
        | model::Error::TooLong(message)
        | model::Error::OutOfMemory(message)
        | model::Error::DeviceLost(message)
        | model::Error::Stopped(message) => message,
    }
}

pub(crate) fn extent(run: &Run) -> recordings::Extent {
    recordings::Extent {
        iterations: run.iterations,
        asked: run.asked.unwrap_or(run.iterations),
        warmup: run.warmup,
        warmup_time: run.warmup_time,
        warmup_steady: run.warmup_steady,
        batch: run.batch,
        wall_time: run.wall_time,
        time_limit: run.time_limit,
        ending: if run.asked.is_some() { recordings::Ending::TimeLimit } else { recordings::Ending::AllServed },
    }
}

pub(crate) fn metric(metric: &Metric) -> recordings::Metric {
    recordings::Metric {
        name: metric.name.clone(),
        unit: metric.unit.clone(),
        help: metric.help.clone(),
        better: match metric.better {
            Direction::Higher => recordings::Direction::HigherIsBetter,
            Direction::Lower => recordings::Direction::LowerIsBetter,
            Direction::Neither => recordings::Direction::Neither,
        },
        sampled: metric.sampled,
    }
}

pub(crate) fn reading(reading: &Reading) -> recordings::Reading {
    recordings::Reading { metric: metric(&reading.metric), value: reading.value }
}

/// The summary that a workload returned.
pub(crate) fn readings(readings: Vec<recordings::Reading>) -> Result<Vec<Reading>, String> {
    if readings.len() > MOST_READINGS {
        return Err(format!("a summary of {} readings; at most {MOST_READINGS} fit", readings.len()));
    }
    let mut seen = HashSet::new();
    readings
        .into_iter()
        .map(|reading| {
            let metric = reading.metric;
            let name = cut(&metric.name, MOST_WORD);
            let name = visible_line(&name);
            if !Metric::valid_name(&metric.name) {
                return Err(format!(
                    "'{name}' is no metric name: use lower case, digits and '_', starting with a letter, at most {} characters",
                    Metric::MAX_NAME
                ));
            }
            if !seen.insert(metric.name.clone()) {
                return Err(format!("the metric '{name}' stands twice in the summary"));
            }
            if !reading.value.is_finite() {
                return Err(format!("the value of '{name}' is {}, and must be a finite number", reading.value));
            }
            word("the unit of a metric", &metric.unit)?;
            sentence("the help of a metric", &metric.help)?;
            let better = match metric.better {
                recordings::Direction::HigherIsBetter => Direction::Higher,
                recordings::Direction::LowerIsBetter => Direction::Lower,
                recordings::Direction::Neither => Direction::Neither,
            };
            Ok(Reading {
                metric: Metric { name: metric.name, unit: metric.unit, help: metric.help, better, sampled: metric.sampled },
                value: reading.value,
                host_value: None,
                unmeasured: false,
            })
        })
        .collect()
}

pub(crate) fn description(description: common::Description) -> Result<Description, String> {
    let common::Description { name, version, summary, settings } = description;
    if name.is_empty() {
        return Err("the plugin has no name".into());
    }
    word("the name of the plugin", &name)?;
    word("the version of the plugin", &version)?;
    sentence("the summary of the plugin", &summary)?;
    if settings.len() > MOST_SETTINGS {
        return Err(format!("{} settings; at most {MOST_SETTINGS} fit", settings.len()));
    }
    let mut seen = HashSet::new();
    let settings = settings
        .into_iter()
        .map(|setting| {
            if !valid_setting_name(&setting.name) {
                return Err(format!(
                    "'{}' is no name of a setting: use lower case, digits and '-', starting with a letter, at most {MOST_WORD} characters",
                    visible_line(&cut(&setting.name, MOST_WORD))
                ));
            }
            if !seen.insert(setting.name.clone()) {
                return Err(format!("the setting '{}' is described twice", setting.name));
            }
            sentence("the help of a setting", &setting.help)?;
            sentence("the default of a setting", &setting.default)?;
            if let Some(quick) = &setting.quick {
                sentence("the quick value of a setting", quick)?;
            }
            Ok(Setting { name: setting.name, help: setting.help, default: setting.default, quick: setting.quick })
        })
        .collect::<Result<_, _>>()?;
    Ok(Description { name, version, summary, settings })
}

fn valid_setting_name(name: &str) -> bool {
    name.len() <= MOST_WORD
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn word(what: &str, text: &str) -> Result<(), String> {
    bounded(what, text, MOST_WORD)
}

fn sentence(what: &str, text: &str) -> Result<(), String> {
    bounded(what, text, MOST_HELP)
}

fn bounded(what: &str, text: &str, most: usize) -> Result<(), String> {
    if text.len() > most {
        return Err(format!("{what} has {} bytes; at most {most} fit", text.len()));
    }
    // What nobody sees is taken, as it has always been, and shown where it is printed: emojis have it, too.
    if text.contains(steers) {
        return Err(format!("{what} has control characters in it"));
    }
    Ok(())
}

pub(crate) fn output(output: wit_report::Output) -> Result<Output, String> {
    let artifacts = match output {
        wit_report::Output::Text(text) => return Ok(Output::Text(text)),
        wit_report::Output::Files(artifacts) => artifacts,
    };
    if artifacts.len() > MOST_ARTIFACTS {
        return Err(format!("{} files; at most {MOST_ARTIFACTS} are written", artifacts.len()));
    }
    let mut seen = HashMap::new();
    artifacts
        .into_iter()
        .map(|artifact| {
            let shown = visible_line(&cut(&artifact.name, MOST_WORD)).into_owned();
            if let Some(why) = file_name::fault(&artifact.name) {
                return Err(format!("'{shown}' is no name for a file: {why}"));
            }
            if let Some(twin) = seen.insert(file_name::folded(&artifact.name), artifact.name.clone()) {
                return Err(match twin == artifact.name {
                    true => format!("two files of the name '{shown}'"),
                    false => {
                        format!("two files of the names '{twin}' and '{shown}', which some file systems take for one")
                    }
                });
            }
            word("the media type of a file", &artifact.media_type)?;
            Ok(Artifact { name: artifact.name, media_type: artifact.media_type, contents: artifact.contents })
        })
        .collect::<Result<_, _>>()
        .map(Output::Files)
}

pub(crate) fn device(device: GpuDevice) -> gpu::Device {
    gpu::Device { index: device.index, uuid: device.uuid, name: device.name, memory: device.memory }
}

pub(crate) fn gpu_state(state: GpuState) -> gpu::State {
    gpu::State {
        utilization: state.utilization,
        memory_controller_utilization: state.memory_controller_utilization,
        memory_used: state.memory_used,
        power: state.power,
        temperature: state.temperature,
        sm_clock: state.sm_clock,
        memory_clock: state.memory_clock,
        throttle_reasons: state.throttle_reasons,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_finite_named_and_unique() {
        let reading = |name: &str, value: f64| recordings::Reading {
            metric: recordings::Metric {
                name: name.into(),
                unit: "s".into(),
                help: "x".into(),
                better: recordings::Direction::LowerIsBetter,
                sampled: false,
            },
            value,
        };
        assert!(readings(vec![reading("a_1", 1.0)]).is_ok());
        for wrong in [
            vec![reading("a", f64::NAN)],
            vec![reading("a", f64::INFINITY)],
            vec![reading("A", 1.0)],
            vec![reading("", 1.0)],
            vec![reading("a", 1.0), reading("a", 2.0)],
        ] {
            assert!(readings(wrong).is_err());
        }
    }
}
