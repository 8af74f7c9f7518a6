//! The whole recording as one JSON document, for programs.
//!
//! Keys and their order stay; new ones may come. A figure that is no finite number is `null`.

use harness_plugin::{
    Description, Direction, Error, Metric, Output, Recording, Report, Run, Setting, Settings,
    overview::{Overview, Row, averages, distribution},
    statistics::{CONFIDENCE, Distribution},
    text,
};
use serde_json::{Map, Value, json};

/// The document's form; another number means that something changed its meaning.
const SCHEMA: &str = "harness-json/1";

struct Json;

harness_plugin::export!(report: Json);

impl Report for Json {
    fn describe() -> Description {
        Description::new(
            "json",
            env!("CARGO_PKG_VERSION"),
            "The recording as JSON: facts, summary, runs and what is absent.",
        )
        .setting(Setting::new("samples", "Include the raw samples of each run: true or false.", "false"))
    }

    fn render(recording: &dyn Recording, settings: &Settings) -> Result<Output, Error> {
        let samples = settings.get("samples")?;
        let document = serde_json::to_string_pretty(&document(recording, samples))?;
        Ok(Output::Text(text::json(&document).into_owned() + "\n"))
    }
}

fn document(recording: &dyn Recording, samples: bool) -> Value {
    let runs = recording.runs();
    let facts: Map<String, Value> = recording.facts().iter().map(|(name, value)| (name.into(), value.into())).collect();
    json!({
        "schema": SCHEMA,
        "synthetic_weights": recording.facts().synthetic_weights().is_some(),
        "facts": facts,
        "metrics": metrics(recording, &runs),
        "summary": figures(recording.summary().into_iter().map(|reading| (reading.metric, reading.value))),
        "averages": averaged(&runs),
        "absent": absent(recording),
        "runs": runs.iter().map(|run| document_of_run(&**run, samples)).collect::<Vec<_>>(),
    })
}

fn figures(of: impl Iterator<Item = (Metric, f64)>) -> Value {
    of.map(|(metric, value)| (metric.name.into_owned(), json!(value))).collect::<Map<_, _>>().into()
}

/// What each metric is, once for all places that name it.
fn metrics(recording: &dyn Recording, runs: &[Box<dyn Run>]) -> Value {
    let summary = recording.summary().into_iter().map(|reading| reading.metric);
    let mut metrics = Map::new();
    for metric in runs.iter().flat_map(|run| run.metrics()).chain(summary) {
        let better = match metric.better {
            Direction::HigherIsBetter => "higher",
            Direction::LowerIsBetter => "lower",
            Direction::Neither => "neither",
        };
        let what = json!({ "unit": metric.unit, "better": better, "sampled": metric.sampled, "help": metric.help });
        metrics.entry(metric.name.into_owned()).or_insert(what);
    }
    metrics.into()
}

/// Over all runs, with their spread and the number of samples behind them: also where the workload returned no summary.
fn averaged(runs: &[Box<dyn Run>]) -> Value {
    let average = |row: Row| {
        let average = json!({
            "value": row.average,
            "standard_deviation": row.deviation(),
            "samples": row.samples.map(|samples| samples.total),
            "too_few_samples": row.has_too_few_samples(),
            "coefficient_of_variation": row.coefficient_of_variation(),
            "interval": row.interval().map(|interval| json!({
                "confidence": CONFIDENCE, "low": interval.low, "high": interval.high,
            })),
            "distribution": distribution(runs, &row.metric.name).map(|described| document_of(&described)),
        });
        (row.metric.name.into_owned(), average)
    };
    averages(runs).into_iter().map(|reading| average(Row::of(reading, runs))).collect::<Map<_, _>>().into()
}

/// Of the samples of all runs together; a percentile that too few samples support is left out.
fn document_of(distribution: &Distribution) -> Value {
    let percentiles: Map<String, Value> =
        distribution.percentiles.iter().map(|(percentile, value)| (percentile.name.to_owned(), json!(value))).collect();
    json!({
        "count": distribution.count,
        "minimum": distribution.minimum,
        "maximum": distribution.maximum,
        "mean": distribution.mean,
        "standard_deviation": distribution.standard_deviation,
        "median_absolute_deviation": distribution.median_absolute_deviation,
        "percentiles": percentiles,
        "outliers": { "outside": distribution.outliers.outside, "far": distribution.outliers.far },
    })
}

fn absent(recording: &dyn Recording) -> Value {
    let missing = Overview::of(recording).missing.into_iter();
    missing.map(|missing| (missing.metric, missing.reason.into())).collect::<Map<_, _>>().into()
}

fn document_of_run(run: &dyn Run, samples: bool) -> Value {
    let metrics = run.metrics();
    let values = metrics.iter().filter_map(|metric| Some((metric.clone(), run.value(&metric.name)?)));
    let absent: Map<String, Value> =
        run.absences().into_iter().map(|absence| (absence.metric, absence.reason.into())).collect();
    let extent = run.extent();
    let mut document = json!({
        "label": run.label(),
        "iterations": extent.iterations,
        "asked": extent.asked,
        "warmup": extent.warmup,
        "warmup_time": extent.warmup_time,
        "warmup_steady": extent.warmup_steady,
        "batch": extent.batch,
        "wall_time": extent.wall_time,
        "time_limit": extent.time_limit,
        "values": figures(values),
        "absent": absent,
    });
    if samples {
        let series = |metric: &Metric| {
            let values = run.samples(&metric.name)?;
            Some((metric.name.to_string(), json!({ "values": values, "times": run.times(&metric.name) })))
        };
        document["samples"] = metrics.iter().filter_map(series).collect::<Map<_, _>>().into();
    }
    document
}

#[cfg(test)]
mod tests {
    use harness_plugin::metrics::{LATENCY, POWER};
    use harness_plugin::testing::{FakeRecording, FakeRun, settings};

    use super::*;

    fn recording() -> FakeRecording {
        let run = |label, latency| FakeRun::new(label).value(&LATENCY, latency).samples(&LATENCY, &[latency, latency]);
        FakeRecording::new()
            .fact("model.weights", "synthetic:0")
            .run(run("run 1", 0.1).absent("power", "no GPU"))
            .run(run("run 2", 0.3).value(&POWER, f64::NAN).samples(&POWER, &[1.0]).times(&POWER, &[0.02]))
            .reading(LATENCY.reading(0.2))
    }

    fn rendered(given: &[(&str, &str)]) -> Value {
        let Output::Text(text) = Json::render(&recording(), &settings(&Json::describe(), given)).unwrap() else {
            panic!("JSON is one text")
        };
        assert!(text.ends_with("}\n"));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn everything_is_there_but_the_samples() {
        let document = rendered(&[]);
        let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["schema", "synthetic_weights", "facts", "metrics", "summary", "averages", "absent", "runs"]);
        assert_eq!(document["synthetic_weights"], true);
        assert_eq!(document["metrics"]["latency"]["unit"], "s");
        assert_eq!(document["metrics"]["power"]["sampled"], true);
        assert_eq!(document["summary"], json!({ "latency": 0.2 }));
        assert_eq!(document["averages"]["latency"]["samples"], 4);
        assert!(document["averages"]["latency"]["interval"]["high"].as_f64().unwrap() > 1.0);
        let described = &document["averages"]["latency"]["distribution"];
        assert_eq!(
            (&described["count"], &described["minimum"], &described["maximum"]),
            (&json!(4), &json!(0.1), &json!(0.3))
        );
        // Four samples support no percentile.
        assert_eq!(described["percentiles"], json!({}));
        assert_eq!(document["absent"]["power"], "only 1 of 2 runs have it; run 1: no GPU");
        assert_eq!(
            document["runs"][0],
            json!({
                "label": "run 1",
                "iterations": 100,
                "asked": 100,
                "warmup": 3,
                "warmup_time": null,
                "warmup_steady": null,
                "batch": 1,
                "wall_time": 0.0,
                "time_limit": null,
                "values": { "latency": 0.1 },
                "absent": { "power": "no GPU" },
            })
        );
        assert_eq!(document["runs"][1]["values"]["power"], Value::Null);
    }

    #[test]
    fn samples_come_with_their_times_when_asked_for() {
        let samples = &rendered(&[("samples", "true")])["runs"][1]["samples"];
        assert_eq!(samples["latency"], json!({ "values": [0.3, 0.3], "times": null }));
        assert_eq!(samples["power"], json!({ "values": [1.0], "times": [0.02] }));
    }
}
