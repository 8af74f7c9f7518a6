//! Figures as CSV (RFC 4180) in long format: a row a figure, so that columns never change when a metric comes.

use csv::{Terminator, Writer, WriterBuilder};
use harness_plugin::overview::Overview;
use harness_plugin::{Description, Error, Output, Recording, Report, Setting, Settings};

struct Csv;

harness_plugin::export!(report: Csv);

#[derive(Clone, Copy)]
enum What {
    Summary,
    Runs,
    Samples,
}

const CHOICES: &[(&str, What)] = &[("summary", What::Summary), ("runs", What::Runs), ("samples", What::Samples)];

impl Report for Csv {
    fn describe() -> Description {
        Description::new("csv", env!("CARGO_PKG_VERSION"), "Figures as CSV, a row each, in base units.").setting(Setting::new(
            "what",
            "What a row is: 'summary' a metric of the whole recording, 'runs' one of a run, 'samples' a raw sample.",
            "summary",
        ))
    }

    fn render(recording: &dyn Recording, settings: &Settings) -> Result<Output, Error> {
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
        match settings.choice("what", CHOICES)? {
            What::Summary => summary(recording, &mut writer)?,
            What::Runs => runs(recording, &mut writer)?,
            What::Samples => samples(recording, &mut writer)?,
        }
        Ok(Output::Text(String::from_utf8(writer.into_inner()?)?))
    }
}

type Rows = Writer<Vec<u8>>;

/// What is missing has a row without a value, and says why.
fn summary(recording: &dyn Recording, rows: &mut Rows) -> Result<(), csv::Error> {
    rows.write_record(["metric", "unit", "value", "standard_deviation", "runs", "samples", "absent"])?;
    let overview = Overview::of(recording);
    for row in &overview.rows {
        rows.write_record([
            &*row.metric.name,
            &*row.metric.unit,
            &row.average.to_string(),
            &text(row.deviation()),
            &row.values.len().to_string(),
            &text(row.samples.map(|samples| samples.total)),
            "",
        ])?;
    }
    for missing in &overview.missing {
        rows.write_record([&*missing.metric, "", "", "", "", "", &*missing.reason])?;
    }
    Ok(())
}

fn runs(recording: &dyn Recording, rows: &mut Rows) -> Result<(), csv::Error> {
    rows.write_record(["run", "label", "metric", "unit", "value", "samples", "absent"])?;
    for (index, run) in recording.runs().iter().enumerate() {
        let (number, label) = ((index + 1).to_string(), run.label());
        for metric in run.metrics() {
            let value = text(run.value(&metric.name));
            let samples = text(run.samples(&metric.name).map(|samples| samples.len()));
            rows.write_record([&*number, &*label, &*metric.name, &*metric.unit, &*value, &*samples, ""])?;
        }
        for absence in run.absences() {
            rows.write_record([&*number, &*label, &*absence.metric, "", "", "", &*absence.reason])?;
        }
    }
    Ok(())
}

/// `time` is in seconds from the start of the run, where it is known.
fn samples(recording: &dyn Recording, rows: &mut Rows) -> Result<(), csv::Error> {
    rows.write_record(["run", "label", "metric", "unit", "sample", "time", "value"])?;
    for (index, run) in recording.runs().iter().enumerate() {
        let (number, label) = ((index + 1).to_string(), run.label());
        for metric in run.metrics() {
            let times = run.times(&metric.name).unwrap_or_default();
            for (index, value) in run.samples(&metric.name).unwrap_or_default().into_iter().enumerate() {
                let (sample, time) = ((index + 1).to_string(), text(times.get(index)));
                rows.write_record([
                    &*number,
                    &*label,
                    &*metric.name,
                    &*metric.unit,
                    &*sample,
                    &*time,
                    &*value.to_string(),
                ])?;
            }
        }
    }
    Ok(())
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use harness_plugin::metrics::{LATENCY, POWER};
    use harness_plugin::testing::{FakeRecording, FakeRun, settings};

    use super::*;

    fn rendered(what: &str) -> Result<String, Error> {
        let recording = FakeRecording::new()
            .run(
                FakeRun::new("run 1")
                    .value(&LATENCY, 0.25)
                    .samples(&LATENCY, &[0.2, 0.3])
                    .absent("power", "no GPU, no driver"),
            )
            .run(
                FakeRun::new("a \"b\"")
                    .value(&LATENCY, 0.75)
                    .value(&POWER, 300.0)
                    .samples(&POWER, &[300.0])
                    .times(&POWER, &[0.02]),
            );
        match Csv::render(&recording, &settings(&Csv::describe(), &[("what", what)]))? {
            Output::Text(text) => Ok(text),
            Output::Files(_) => panic!("CSV is one text"),
        }
    }

    fn lines(what: &str) -> Vec<String> {
        rendered(what).unwrap().split_terminator("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn the_summary_has_a_row_a_metric() {
        let lines = lines("summary");
        assert_eq!(lines[0], "metric,unit,value,standard_deviation,runs,samples,absent");
        assert_eq!(lines[1], "latency,s,0.5,0.3535533905932738,2,,");
        assert_eq!(lines.last().unwrap(), "power,,,,,,\"only 1 of 2 runs have it; run 1: no GPU, no driver\"");
    }

    #[test]
    fn runs_have_a_row_a_run_and_metric() {
        assert_eq!(
            lines("runs"),
            [
                "run,label,metric,unit,value,samples,absent",
                "1,run 1,latency,s,0.25,2,",
                "1,run 1,power,,,,\"no GPU, no driver\"",
                "2,\"a \"\"b\"\"\",latency,s,0.75,,",
                "2,\"a \"\"b\"\"\",power,W,300,1,",
            ]
        );
    }

    #[test]
    fn samples_have_a_row_each() {
        assert_eq!(
            lines("samples"),
            [
                "run,label,metric,unit,sample,time,value",
                "1,run 1,latency,s,1,,0.2",
                "1,run 1,latency,s,2,,0.3",
                "2,\"a \"\"b\"\"\",power,W,1,0.02,300",
            ]
        );
    }

    #[test]
    fn another_what_is_refused() {
        let error = rendered("all").unwrap_err();
        assert_eq!(error.message(), "setting 'what' is 'all', and must be one of 'summary', 'runs', 'samples'");
    }
}
