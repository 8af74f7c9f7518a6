//! Figures in Bencher Metric Format, for `bencher run --adapter json`: one benchmark with a measure a metric.
//!
//! What ran is in the benchmark's name, and not where: machines are Bencher's testbeds.

use harness_plugin::overview::{self, Overview, Row};
use harness_plugin::{Description, Error, Facts, Output, Recording, Report, Settings, log, text};
use serde_json::{Map, Value, json};

struct Bencher;

harness_plugin::export!(report: Bencher);

impl Report for Bencher {
    fn describe() -> Description {
        Description::new("bencher", env!("CARGO_PKG_VERSION"), "The averages in Bencher Metric Format, as JSON.")
    }

    fn render(recording: &dyn Recording, _: &Settings) -> Result<Output, Error> {
        let facts = recording.facts();
        let overview = Overview::of(recording);
        // The format has no place for it.
        if let Some(note) = overview::ending_note(&facts, overview.runs) {
            log::warn(&note);
        }
        let measures: Map<String, Value> = overview.rows.iter().filter_map(measure).collect();
        let mut benchmarks = Map::new();
        if !measures.is_empty() {
            benchmarks.insert(name(&facts), measures.into());
        }
        Ok(Output::Text(text::json(&serde_json::to_string_pretty(&benchmarks)?).into_owned() + "\n"))
    }
}

/// In the metric's unit, but for `latency`: each project of Bencher has a measure of that name, in nanoseconds.
fn measure(row: &Row) -> Option<(String, Value)> {
    let built_in = row.metric.name == "latency" && row.metric.unit == "s";
    let scaled = |value: f64| if built_in { value * 1e9 } else { value };
    // JSON has no other numbers.
    let value = Some(scaled(row.average)).filter(|value| value.is_finite())?;
    let mut measure = json!({ "value": value });
    if row.values.len() > 1 && row.values.iter().all(|value| value.is_finite()) {
        measure["lower_value"] = scaled(row.values.iter().copied().fold(f64::INFINITY, f64::min)).into();
        measure["upper_value"] = scaled(row.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)).into();
    }
    Some((row.metric.name.to_string(), measure))
}

/// A name has at most 1024 characters.
const LONGEST: usize = 200;

/// What makes figures comparable, as far as it is known: the plugin, the model and what it was asked for.
fn name(facts: &Facts) -> String {
    let setting = |name: &str| {
        let value = facts.get(&format!("setting.{name}")).filter(|value| !value.is_empty())?;
        Some(format!("{name}={}", shortened(value)))
    };
    let fact = |name: &str| facts.get(name).map(shortened);
    let parts = [
        fact("plugin.name"),
        fact("model.name"),
        fact("model.dtype"),
        fact("model.backend"),
        facts.synthetic_weights().map(|_| "synthetic".to_owned()),
        setting("batch"),
        setting("prompt-tokens").or_else(|| setting("prompt")),
        setting("max-new-tokens"),
    ];
    let known: Vec<String> = parts.into_iter().flatten().collect();
    if known.is_empty() { "harness".to_owned() } else { known.join(" ") }
}

/// In one line; of a long text the start and how long it is.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} bytes)", &line[..end], text.len()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use harness_plugin::metrics::{LATENCY, POWER, THROUGHPUT};
    use harness_plugin::testing::{FakeRecording, FakeRun, settings};

    use super::*;

    fn rendered(recording: &FakeRecording) -> Value {
        let Output::Text(text) = Bencher::render(recording, &settings(&Bencher::describe(), &[])).unwrap() else {
            panic!("JSON is one text")
        };
        assert!(text.ends_with("}\n"));
        serde_json::from_str(&text).unwrap()
    }

    fn run(label: &str, latency: f64) -> FakeRun {
        FakeRun::new(label).value(&LATENCY, latency).value(&THROUGHPUT, 1.0 / latency)
    }

    #[test]
    fn a_metric_is_a_measure_with_the_least_and_the_greatest_of_the_runs() {
        let recording = FakeRecording::new()
            .fact("plugin.name", "default")
            .fact("model.name", "gpt2")
            .fact("model.dtype", "f32")
            .fact("model.backend", "candle")
            .fact("model.weights", "synthetic:0")
            .fact("setting.batch", "4")
            .fact("setting.prompt", "a \"b\"\n\\c")
            .fact("setting.prompt-tokens", "")
            .fact("setting.max-new-tokens", "50")
            .fact("status", "complete")
            .run(run("run 1", 0.25))
            .run(run("run 2", 0.5).absent("power", "no GPU"))
            .reading(THROUGHPUT.reading(3.0))
            .reading(LATENCY.reading(0.375));
        assert_eq!(
            rendered(&recording),
            json!({ "default gpt2 f32 candle synthetic batch=4 prompt=a \"b\" \\c max-new-tokens=50": {
                "throughput": { "value": 3.0, "lower_value": 2.0, "upper_value": 4.0 },
                "latency": { "value": 375_000_000.0, "lower_value": 250_000_000.0, "upper_value": 500_000_000.0 },
            } })
        );
    }

    #[test]
    fn one_run_has_no_spread() {
        let recording = FakeRecording::new().fact("setting.prompt-tokens", "64").run(run("run 1", 0.25));
        let document = rendered(&recording);
        assert_eq!(document["prompt-tokens=64"]["throughput"], json!({ "value": 4.0 }));
    }

    #[test]
    fn a_partial_recording_gives_what_there_is() {
        let recording = FakeRecording::new()
            .fact("status", "failed")
            .run(run("run 1", 0.25).value(&POWER, 300.0))
            .run(run("run 2", 0.25).absent("power", "the GPU fell off"));
        let document = rendered(&recording);
        let measures: Vec<&String> = document["harness"].as_object().unwrap().keys().collect();
        assert_eq!(measures, ["throughput", "latency"]);
        assert_eq!(rendered(&FakeRecording::new().fact("status", "failed")), json!({}));
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let recording = FakeRecording::new().reading(POWER.reading(f64::NAN)).reading(THROUGHPUT.reading(2.0));
        assert_eq!(rendered(&recording), json!({ "harness": { "throughput": { "value": 2.0 } } }));
    }

    #[test]
    fn a_long_prompt_is_cut() {
        let recording = FakeRecording::new().fact("setting.prompt", &"ä".repeat(5000)).reading(THROUGHPUT.reading(2.0));
        let document = rendered(&recording);
        let name = document.as_object().unwrap().keys().next().unwrap();
        assert_eq!(*name, format!("prompt={}… (10000 bytes)", "ä".repeat(LONGEST)));
    }
}
