//! Figures as CSV (RFC 4180) in long format: a row a figure, so that columns never change when a metric comes.
//!
//! A text that a spreadsheet would take for a formula has a `'` before it, and what CSV has no escape for is shown as what it is.

use csv::{Terminator, Writer, WriterBuilder};
use harness_plugin::overview::{Overview, distribution};
use harness_plugin::statistics::PERCENTILES;
use harness_plugin::text::visible;
use harness_plugin::{Description, Error, Output, Recording, Report, Setting, Settings};

struct Csv;

harness_plugin::export!(report: Csv);

#[derive(Clone, Copy)]
enum What {
    Summary,
    Runs,
    Samples,
    Distribution,
}

const CHOICES: &[(&str, What)] = &[
    ("summary", What::Summary),
    ("runs", What::Runs),
    ("samples", What::Samples),
    ("distribution", What::Distribution),
];

impl Report for Csv {
    fn describe() -> Description {
        Description::new("csv", env!("CARGO_PKG_VERSION"), "Figures as CSV, a row each, in base units.").setting(Setting::new(
            "what",
            "What a row is: 'summary' a metric of the whole recording, 'runs' one of a run, 'samples' a raw sample, \
             'distribution' a metric with what its samples of all runs are like.",
            "summary",
        ))
    }

    fn render(recording: &dyn Recording, settings: &Settings) -> Result<Output, Error> {
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
        match settings.choice("what", CHOICES)? {
            What::Summary => summary(recording, &mut writer)?,
            What::Runs => runs(recording, &mut writer)?,
            What::Samples => samples(recording, &mut writer)?,
            What::Distribution => distributions(recording, &mut writer)?,
        }
        Ok(Output::Text(String::from_utf8(writer.into_inner()?)?))
    }
}

type Rows = Writer<Vec<u8>>;

/// What is missing has a row without a value, and says why.
fn summary(recording: &dyn Recording, rows: &mut Rows) -> Result<(), csv::Error> {
    rows.write_record([
        "metric",
        "unit",
        "value",
        "standard_deviation",
        "runs",
        "samples",
        "absent",
        "interval_low",
        "interval_high",
    ])?;
    let overview = Overview::of(recording);
    for row in &overview.rows {
        let interval = row.interval();
        rows.write_record([
            &*cell(&row.metric.name),
            &*cell(&row.metric.unit),
            &row.average.to_string(),
            &text(row.deviation()),
            &row.values.len().to_string(),
            &text(row.samples.map(|samples| samples.total)),
            "",
            &text(interval.map(|interval| interval.low)),
            &text(interval.map(|interval| interval.high)),
        ])?;
    }
    for missing in &overview.missing {
        rows.write_record([&*cell(&missing.metric), "", "", "", "", "", &*cell(&missing.reason), "", ""])?;
    }
    Ok(())
}

/// A percentile that too few samples support is empty.
fn distributions(recording: &dyn Recording, rows: &mut Rows) -> Result<(), csv::Error> {
    let percentiles = PERCENTILES.map(|percentile| percentile.name);
    let head = ["metric", "unit", "samples", "minimum", "maximum", "mean", "standard_deviation"];
    let tail = ["median_absolute_deviation", "outliers", "far_outliers"];
    rows.write_record(head.iter().chain(&tail).chain(&percentiles))?;
    let runs = recording.runs();
    for row in Overview::of(recording).rows {
        let Some(described) = distribution(&runs, &row.metric.name) else { continue };
        let cells = [
            cell(&row.metric.name),
            cell(&row.metric.unit),
            described.count.to_string(),
            described.minimum.to_string(),
            described.maximum.to_string(),
            described.mean.to_string(),
            text(described.standard_deviation),
            described.median_absolute_deviation.to_string(),
            described.outliers.outside.to_string(),
            described.outliers.far.to_string(),
        ];
        let supported = percentiles.map(|name| text(described.percentile(name)));
        rows.write_record(cells.iter().chain(&supported))?;
    }
    Ok(())
}

fn runs(recording: &dyn Recording, rows: &mut Rows) -> Result<(), csv::Error> {
    rows.write_record(["run", "label", "metric", "unit", "value", "samples", "absent"])?;
    for (index, run) in recording.runs().iter().enumerate() {
        let (number, label) = ((index + 1).to_string(), cell(&run.label()));
        for metric in run.metrics() {
            let (name, unit) = (cell(&metric.name), cell(&metric.unit));
            let value = text(run.value(&metric.name));
            let samples = text(run.samples(&metric.name).map(|samples| samples.len()));
            rows.write_record([&*number, &*label, &*name, &*unit, &*value, &*samples, ""])?;
        }
        for absence in run.absences() {
            let (name, reason) = (cell(&absence.metric), cell(&absence.reason));
            rows.write_record([&*number, &*label, &*name, "", "", "", &*reason])?;
        }
    }
    Ok(())
}

/// `time` is in seconds from the start of the run, where it is known.
fn samples(recording: &dyn Recording, rows: &mut Rows) -> Result<(), csv::Error> {
    rows.write_record(["run", "label", "metric", "unit", "sample", "time", "value"])?;
    for (index, run) in recording.runs().iter().enumerate() {
        let (number, label) = ((index + 1).to_string(), cell(&run.label()));
        for metric in run.metrics() {
            let (name, unit) = (cell(&metric.name), cell(&metric.unit));
            let times = run.times(&metric.name).unwrap_or_default();
            for (index, value) in run.samples(&metric.name).unwrap_or_default().into_iter().enumerate() {
                let (sample, time) = ((index + 1).to_string(), text(times.get(index)));
                rows.write_record([&*number, &*label, &*name, &*unit, &*sample, &*time, &*value.to_string()])?;
            }
        }
    }
    Ok(())
}

/// A text of a recording as a cell: nothing in it deceives, and no part of it that a spreadsheet may take for a cell begins as a formula
/// does (OWASP: CSV injection).
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    let mut begins = true;
    for character in visible(text).chars() {
        // East Asian spreadsheets know the wide ones, too.
        if begins && matches!(character, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') {
            cell.push('\'');
        }
        cell.push(character);
        // In some countries the separator is not a comma, and a file with commas is one column there.
        // There a quote is only a quote at a cell's start, and what is between two of them is dropped.
        begins = matches!(character, ';' | '\t' | '\n') || begins && matches!(character, '"' | ' ');
    }
    cell
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

    /// Also where another separator is usual, and quotes are read another way.
    #[test]
    fn no_part_of_a_cell_begins_as_a_formula() {
        for text in ["=1", "a;=1", "a;\"=1", "a; \"=1", "a\t=1", "\"=1", " =1", "a\n+1", "a;@x"] {
            let cell = cell(text);
            for part in cell.split([';', ',', '\t', '\n']) {
                let begins = part.trim_start_matches([' ', '"']);
                assert!(!begins.starts_with(['=', '+', '-', '@']), "{text:?} is {cell:?}");
            }
        }
        assert_eq!(cell("a=b-c"), "a=b-c");
    }

    fn lines(what: &str) -> Vec<String> {
        rendered(what).unwrap().split_terminator("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn the_summary_has_a_row_a_metric() {
        let lines = lines("summary");
        assert_eq!(lines[0], "metric,unit,value,standard_deviation,runs,samples,absent,interval_low,interval_high");
        assert!(lines[1].starts_with("latency,s,0.5,0.3535533905932738,2,,,-2.67655"), "{}", lines[1]);
        assert_eq!(lines.last().unwrap(), "power,,,,,,\"only 1 of 2 runs have it; run 1: no GPU, no driver\",,");
    }

    #[test]
    fn distributions_have_a_row_a_metric_with_samples() {
        let run = |label, latency| FakeRun::new(label).value(&LATENCY, latency).samples(&LATENCY, &[latency; 3]);
        let recording = FakeRecording::new().run(run("a", 1.0)).run(run("b", 3.0).value(&POWER, 1.0));
        let Output::Text(text) =
            Csv::render(&recording, &settings(&Csv::describe(), &[("what", "distribution")])).unwrap()
        else {
            panic!("CSV is one text")
        };
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(
            lines,
            [
                "metric,unit,samples,minimum,maximum,mean,standard_deviation,median_absolute_deviation,outliers,far_outliers,\
                 p50,p90,p95,p99,p99.9",
                "latency,s,6,1,3,2,1.0954451150103321,1,0,0,2,,,,",
            ]
        );
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
    fn no_text_is_taken_for_a_formula() {
        for (text, expected) in [
            ("=HYPERLINK(\"http://x\",\"y\")", "'=HYPERLINK(\"http://x\",\"y\")"),
            ("@SUM(1)", "'@SUM(1)"),
            ("-1+2", "'-1+2"),
            ("+1", "'+1"),
            ("＝1", "'＝1"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "\\u{d}=1"),
            ("\r\n=1", "'\r\n'=1"),
            ("a;=1\n-1", "a;'=1\n'-1"),
            ("run 1: a-b=c, d; e", "run 1: a-b=c, d; e"),
            ("\u{1b}\u{202e}", "\\u{1b}\\u{202e}"),
            ("", ""),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
        let run = FakeRun::new("=1+2").value(&LATENCY, -0.25).absent("@x", "-y");
        let Output::Text(text) =
            Csv::render(&FakeRecording::new().run(run), &settings(&Csv::describe(), &[("what", "runs")])).unwrap()
        else {
            panic!("CSV is one text")
        };
        let lines: Vec<&str> = text.split_terminator("\r\n").skip(1).collect();
        assert_eq!(lines, ["1,'=1+2,latency,s,-0.25,,", "1,'=1+2,'@x,,,,'-y"]);
    }

    #[test]
    fn another_what_is_refused() {
        let error = rendered("all").unwrap_err();
        assert_eq!(
            error.message(),
            "setting 'what' is 'all', and must be one of 'summary', 'runs', 'samples', 'distribution'"
        );
    }
}
