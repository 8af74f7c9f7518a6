//! The recording as JUnit XML, for a gate in a CI system: a suite a recording, a case a run, and one for each rule
//! that a recording can break.

use std::ops::Bound;

use harness_plugin::format::quantity;
use harness_plugin::overview::{self, Overview, Row};
use harness_plugin::text::deceives;
use harness_plugin::{Description, Error, Facts, Metric, Output, Recording, Report, Run, Setting, Settings, metrics};

struct Junit;

harness_plugin::export!(report: Junit);

impl Report for Junit {
    fn describe() -> Description {
        Description::new("junit", env!("CARGO_PKG_VERSION"), "The runs as JUnit XML, for a CI system.")
            .setting(Setting::new("latency-max", "Seconds that the average latency may have; empty is no limit.", ""))
    }

    fn render(recording: &dyn Recording, settings: &Settings) -> Result<Output, Error> {
        let limit = settings.optional("latency-max", (Bound::Excluded(0.0), Bound::Unbounded))?;
        let facts = recording.facts();
        let overview = Overview::of(recording);
        let mut cases: Vec<Case> = recording.runs().iter().map(|run| Case::of_run(&**run)).collect();
        cases.push(Case::rule("the recording is complete", ending(&facts, overview.runs)));
        if !recording.summary().is_empty() {
            cases.push(Case::rule("the summary is the mean of the runs", contradiction(&overview)));
        }
        if let Some(limit) = limit {
            cases.push(Case::rule("the latency is within latency-max", excess(&overview, limit)));
        }
        Ok(Output::Text(document(&facts, &overview, &cases)))
    }
}

/// What a CI system shows as a test.
struct Case {
    name: String,
    /// Seconds.
    time: Option<f64>,
    trouble: Option<Trouble>,
    output: Vec<String>,
}

struct Trouble {
    /// `failure` is of what was measured, `error` of measuring it.
    element: &'static str,
    kind: &'static str,
    message: String,
}

impl Case {
    fn of_run(run: &dyn Run) -> Self {
        // By its definition, that rate is of the run's wall time.
        let time = run.value(metrics::NEW_TOKENS.name()).zip(run.value(metrics::TOKENS_PER_SECOND.name()));
        let time = time.map(|(tokens, rate)| tokens / rate).filter(|time| time.is_finite());
        let figure =
            |metric: Metric| Some(format!("{}: {}", metric.name, quantity(run.value(&metric.name)?, &metric.unit)));
        let output = run.metrics().into_iter().filter_map(figure).collect();
        Self { name: run.label(), time, trouble: None, output }
    }

    fn rule(name: &str, trouble: Option<Trouble>) -> Self {
        Self { name: name.to_owned(), time: None, trouble, output: Vec::new() }
    }

    fn text(&self, class: &str) -> String {
        let mut inner = String::new();
        if let Some(Trouble { element, kind, message }) = &self.trouble {
            let message = escaped(message);
            inner.push_str(&format!("      <{element} type=\"{kind}\" message=\"{message}\">{message}</{element}>\n"));
        }
        inner.push_str(&printed(&self.output, "      "));
        let start = format!("    <testcase name=\"{}\" classname=\"{class}\"{}", escaped(&self.name), time(self.time));
        if inner.is_empty() { format!("{start}/>\n") } else { format!("{start}>\n{inner}    </testcase>\n") }
    }
}

fn ending(facts: &Facts, runs: usize) -> Option<Trouble> {
    let message = overview::ending_note(facts, runs)?;
    Some(Trouble { element: "error", kind: "incomplete", message })
}

/// Of figures that are not what the host computed.
fn contradiction(overview: &Overview) -> Option<Trouble> {
    let line = |row: &Row| {
        let (mean, unit) = (row.contradiction()?, &row.metric.unit);
        let (given, mean) = (quantity(row.average, unit), quantity(mean, unit));
        Some(format!("{} is given as {given}, but the mean of the runs is {mean}", row.metric.name))
    };
    let lines: Vec<String> = overview.rows.iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| Trouble { element: "failure", kind: "contradiction", message: lines.join("; ") })
}

/// What has no latency is not within the limit. Where the summary is not the mean of the runs, the worse one counts.
fn excess(overview: &Overview, limit: f64) -> Option<Trouble> {
    let name = metrics::LATENCY.name();
    let message = match overview.rows.iter().find(|row| row.metric.name == name) {
        Some(row) => {
            let latency = row.contradiction().map_or(row.average, |mean| mean.max(row.average));
            // So that what is no number is not within it, either.
            if latency <= limit {
                return None;
            }
            format!("the average latency is {latency} s, and the limit is {limit} s")
        }
        None => {
            let missing = overview.missing.iter().find(|missing| missing.metric == name);
            let reason = missing.map_or("the workload does not sum it up", |missing| &*missing.reason);
            format!("there is no latency to hold to the limit of {limit} s: {reason}")
        }
    };
    Some(Trouble { element: "failure", kind: "limit", message })
}

fn document(facts: &Facts, overview: &Overview, cases: &[Case]) -> String {
    let count = |element| cases.iter().flat_map(|case| &case.trouble).filter(|t| t.element == element).count();
    // Of the runs alone, and none unless each has one: the other cases take no time.
    let times: Option<Vec<f64>> = cases.iter().take(overview.runs).map(|case| case.time).collect();
    let took = times.filter(|times| !times.is_empty()).map(|times| times.iter().sum());
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\"{}",
        cases.len(),
        count("failure"),
        count("error"),
        time(took)
    );
    let optional = |name: &str, value: Option<&str>| {
        value.map(|value| format!(" {name}=\"{}\"", escaped(value))).unwrap_or_default()
    };
    let suite = format!(
        "  <testsuite name=\"{}\" {counts} skipped=\"0\"{}{}>\n",
        escaped(&name(facts)),
        optional("timestamp", facts.get("start").map(to_seconds)),
        optional("hostname", facts.get("host.name")),
    );
    let class = escaped(&facts.get("plugin.name").map_or("harness".to_owned(), |plugin| format!("harness.{plugin}")));
    let cases: String = cases.iter().map(|case| case.text(&class)).collect();
    let (properties, output) = (properties(facts, overview), printed(&output(facts, overview), "    "));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"harness\" {counts}>\n{suite}{properties}{cases}{output}  \
         </testsuite>\n</testsuites>\n"
    )
}

fn name(facts: &Facts) -> String {
    let model = facts.get("model.name").unwrap_or("a model");
    facts.get("model.device").map_or(model.to_owned(), |device| format!("{model} on {device}"))
}

/// The facts, and the ends of each average's 95% interval over runs in the metric's unit.
fn properties(facts: &Facts, overview: &Overview) -> String {
    let property = |name: &str, value: &str| {
        format!("      <property name=\"{}\" value=\"{}\"/>\n", escaped(name), escaped(value))
    };
    let ends = |row: &Row| {
        let interval = row.interval()?;
        let end = |end: &str, value: f64| property(&format!("interval.{}.{end}", row.metric.name), &value.to_string());
        Some(end("low", interval.low) + &end("high", interval.high))
    };
    let facts = facts.iter().map(|(name, value)| property(name, value));
    let properties: String = facts.chain(overview.rows.iter().filter_map(ends)).collect();
    if properties.is_empty() { properties } else { format!("    <properties>\n{properties}    </properties>\n") }
}

/// The averages, and what must be said beside them.
fn output(facts: &Facts, overview: &Overview) -> Vec<String> {
    let mut lines: Vec<String> = overview::synthetic_note(facts).into_iter().collect();
    let shown = |row: &Row| {
        let too_few = if row.has_too_few_samples() { " (too few samples)" } else { "" };
        let unit = &row.metric.unit;
        let interval = row
            .interval()
            .filter(|interval| interval.low < interval.high)
            .map(|interval| format!(" (95 %: {} to {})", quantity(interval.low, unit), quantity(interval.high, unit)));
        let interval = interval.unwrap_or_default();
        format!("{}: {}{interval}{too_few}", row.metric.name, quantity(row.average, unit))
    };
    lines.extend(overview.rows.iter().map(shown));
    let absent = |(metrics, reason): (Vec<&str>, &str)| format!("{}: absent, {reason}", metrics.join(", "));
    lines.extend(overview.missing_of_the_method().into_iter().map(absent));
    lines
}

fn printed(lines: &[String], indent: &str) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
    if lines.is_empty() { String::new() } else { format!("{indent}<system-out>{}</system-out>\n", lines.join("\n")) }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map(|seconds| format!(" time=\"{seconds:.6}\"")).unwrap_or_default()
}

/// `2026-01-02T03:04:05.678Z` as the format has it: without fraction and zone.
fn to_seconds(time: &str) -> &str {
    time.split(['.', 'Z']).next().unwrap_or(time)
}

/// The text for an attribute or an element. What XML 1.0 can't have in any way is shown as what it is; what could deceive whoever looks
/// at the file is a reference, of which a parser makes the character again.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {
                shown.extend(character.escape_unicode());
            }
            // Of some of these a parser would make spaces in an attribute.
            other if deceives(other) => shown.push_str(&format!("&#{};", u32::from(character))),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use harness_plugin::metrics::{LATENCY, NEW_TOKENS, TOKENS_PER_SECOND};
    use harness_plugin::testing::{FakeRecording, FakeRun, settings};
    use harness_plugin::text::visible;
    use roxmltree::{Document, Node};

    use super::*;

    fn text(recording: &FakeRecording, given: &[(&str, &str)]) -> Result<String, Error> {
        match Junit::render(recording, &settings(&Junit::describe(), given))? {
            Output::Text(text) => Ok(text),
            Output::Files(_) => panic!("XML is one text"),
        }
    }

    fn rendered(recording: &FakeRecording, given: &[(&str, &str)]) -> String {
        text(recording, given).unwrap()
    }

    fn run(label: &str, latency: f64) -> FakeRun {
        FakeRun::new(label).value(&LATENCY, latency)
    }

    fn element<'a>(document: &'a Document<'_>, name: &str) -> Node<'a, 'a> {
        document.descendants().find(|node| node.has_tag_name(name)).unwrap()
    }

    /// Name of each case, and the message of its failure or error.
    fn cases(text: &str) -> Vec<(String, Option<String>)> {
        let document = Document::parse(text).unwrap();
        let suite = element(&document, "testsuite");
        let found: Vec<Node<'_, '_>> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
        assert_eq!(suite.attribute("tests").unwrap(), found.len().to_string());
        let case = |case: Node<'_, '_>| {
            let trouble = case.children().find(|node| node.has_tag_name("failure") || node.has_tag_name("error"));
            let message = trouble
                .map(|trouble| format!("{}: {}", trouble.tag_name().name(), trouble.attribute("message").unwrap()));
            (case.attribute("name").unwrap().to_owned(), message)
        };
        found.into_iter().map(case).collect()
    }

    #[test]
    fn a_run_is_a_case_and_facts_are_properties() {
        let timed = run("run 2", 0.3).value(&NEW_TOKENS, 50.0).value(&TOKENS_PER_SECOND, 100.0);
        let recording = FakeRecording::new()
            .fact("start", "2026-01-02T03:04:05.678Z")
            .fact("host.name", "vm")
            .fact("plugin.name", "default")
            .fact("model.name", "gpt2")
            .fact("model.device", "cpu")
            .fact("status", "complete")
            .run(run("run 1", 0.1))
            .run(timed)
            .reading(LATENCY.reading(0.2));
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="harness" tests="4" failures="0" errors="0">
  <testsuite name="gpt2 on cpu" tests="4" failures="0" errors="0" skipped="0" timestamp="2026-01-02T03:04:05" hostname="vm">
    <properties>
      <property name="start" value="2026-01-02T03:04:05.678Z"/>
      <property name="host.name" value="vm"/>
      <property name="plugin.name" value="default"/>
      <property name="model.name" value="gpt2"/>
      <property name="model.device" value="cpu"/>
      <property name="status" value="complete"/>
      <property name="interval.latency.low" value="-1.0706204736174691"/>
      <property name="interval.latency.high" value="1.470620473617469"/>
    </properties>
    <testcase name="run 1" classname="harness.default">
      <system-out>latency: 100.0 ms</system-out>
    </testcase>
    <testcase name="run 2" classname="harness.default" time="0.500000">
      <system-out>latency: 300.0 ms
new_tokens: 50 tokens
tokens_per_second: 100.0 tokens/s</system-out>
    </testcase>
    <testcase name="the recording is complete" classname="harness.default"/>
    <testcase name="the summary is the mean of the runs" classname="harness.default"/>
    <system-out>latency: 200.0 ms (95 %: -1.071 s to 1.471 s)
throughput, memory_allocated, memory_peak, gpu_utilization, memory_utilization: absent, the host did not record it</system-out>
  </testsuite>
</testsuites>
"#;
        let text = rendered(&recording, &[]);
        assert_eq!(text, expected);
        Document::parse(&text).unwrap();
    }

    #[test]
    fn a_partial_recording_is_an_error_beside_what_there_is() {
        let recording =
            FakeRecording::new().fact("status", "failed").fact("message", "no <memory>").run(run("run 1", 0.1));
        let text = rendered(&recording, &[]);
        let message = "error: Failed: no <memory>. The figures are those of the 1 run that was finished.";
        assert_eq!(cases(&text), [("run 1".into(), None), ("the recording is complete".into(), Some(message.into()))]);
        assert!(text.contains("failures=\"0\" errors=\"1\""), "{text}");
        assert_eq!(cases(&rendered(&FakeRecording::new(), &[])).len(), 1);
    }

    #[test]
    fn a_summary_that_is_not_the_mean_is_a_failure() {
        let recording = FakeRecording::new().run(run("run 1", 0.1)).reading(LATENCY.reading(1.0));
        let (name, message) = cases(&rendered(&recording, &[])).pop().unwrap();
        assert_eq!(name, "the summary is the mean of the runs");
        let expected = "failure: latency is given as 1.000 s, but the mean of the runs is 100.0 ms";
        assert_eq!(message.unwrap(), expected);
    }

    #[test]
    fn a_latency_over_the_limit_is_a_failure() {
        let recording = FakeRecording::new().run(run("run 1", 0.1)).run(run("run 2", 0.3));
        let last = |recording: &FakeRecording, limit| {
            let (name, message) = cases(&rendered(recording, &[("latency-max", limit)])).pop().unwrap();
            assert_eq!(name, "the latency is within latency-max");
            message.unwrap_or_default()
        };
        assert_eq!(last(&recording, "0.2"), "");
        assert_eq!(last(&recording, "0.15"), "failure: the average latency is 0.2 s, and the limit is 0.15 s");
        let without = FakeRecording::new().run(FakeRun::new("run 1").absent("latency", "no clock"));
        assert_eq!(last(&without, "1"), "failure: there is no latency to hold to the limit of 1 s: no clock");
        let lying = FakeRecording::new().run(run("run 1", 0.3)).reading(LATENCY.reading(0.1));
        assert_eq!(last(&lying, "0.2"), "failure: the average latency is 0.3 s, and the limit is 0.2 s");
        let error = text(&recording, &[("latency-max", "0")]).unwrap_err();
        assert_eq!(error.message(), "setting 'latency-max' is '0', and must be a number, over 0");
    }

    #[test]
    fn any_text_comes_back_from_a_parser_but_for_what_xml_forbids() {
        let odd = "<a href='b'>\"&amp;\"</a> ]]> \t\r\n ä€😀\u{7f}\u{85}\u{202e}\u{200b}\u{e0041}";
        let recording = FakeRecording::new()
            .fact("message", &format!("\0\x1b{odd}\u{ffff}\u{fffe}"))
            .fact("status", "failed")
            .run(run(odd, 0.1));
        let text = rendered(&recording, &[]);
        assert_eq!(visible(&text), text);
        let document = Document::parse(&text).unwrap();
        let shown = format!("\\u{{0}}\\u{{1b}}{odd}\\u{{ffff}}\\u{{fffe}}");
        assert_eq!(element(&document, "property").attribute("value"), Some(&*shown));
        assert_eq!(element(&document, "testcase").attribute("name"), Some(odd));
        let error = element(&document, "error");
        assert!(error.text().unwrap().contains(odd) && error.attribute("message").unwrap().contains(odd), "{text}");
    }
}
