//! Any report over any recording, without a rebuild, a GPU or a model.

use crate::{BINARY, harness};
use harness_tests::{HOSTILE, Place, stderr, stdout, told};
use serde_json::Value;

fn recorded() -> Place {
    let place = Place::new();
    let output = harness(&place, &["run", "--backend", "simulated", "--quick", "--quiet"]);
    assert!(output.status.success(), "{}", told(&output));
    place
}

#[test]
fn every_built_in_report_renders_the_latest_recording() {
    let place = recorded();
    let lines = place.recording();
    let latency = lines.last().unwrap()["summary"].as_array().unwrap().iter().find(|r| r["name"] == "latency").unwrap()
        ["value"]
        .clone();

    let output = harness(&place, &["report", "--with", "json"]);
    assert!(output.status.success(), "{}", told(&output));
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(json.to_string().contains(&latency.to_string()), "{}", told(&output));

    let output = harness(&place, &["report", "--with", "csv.wasm"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(stdout(&output).contains(&latency.to_string()), "{}", told(&output));

    let output = harness(&place, &["report", "--with", "markdown"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(stdout(&output).contains("| "), "{}", told(&output));

    let output = harness(&place, &["report"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(stdout(&output).contains("synthetic"), "synthetic weights are said: {}", told(&output));

    let table = harness(&place, &["report", "--with", "table"]);
    assert!(table.status.success(), "{}", told(&table));
    assert_eq!(stdout(&table), stdout(&output), "the report of default is this one");
}

#[test]
fn a_report_goes_to_a_file() {
    let place = Place::new();
    let output = harness(
        &place,
        &["run", "--backend", "simulated", "--quick", "--report", "json=figures.json", "--report", "csv=figures.csv"],
    );
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(stdout(&output), "");
    serde_json::from_str::<Value>(&std::fs::read_to_string(place.path("figures.json")).unwrap()).unwrap();
    assert!(std::fs::read_to_string(place.path("figures.csv")).unwrap().lines().count() > 5);
}

/// Replaces what differs between machines and runs.
fn filtered() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.]+Z?", "[time]");
    settings.add_filter(r"(harness_recording_timestamp_seconds\{.*\}) [\d.]+", "$1 [time]");
    settings.add_filter(r"[0-9a-f]{64}", "[sha256]");
    settings.add_filter(r#"hostname="[^"]*""#, "hostname=\"[machine]\"");
    settings.add_filter(r#"(?m)^ *<property name="(?:host|os|cpu|memory|harness)\..*\n"#, "");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings
}

/// That tags and attributes are closed, and what is between them is escaped. The report's unit tests have a parser.
fn assert_well_formed(xml: &str) {
    let elements = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let mut open = Vec::new();
    for part in elements.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap();
        assert!(tag.matches('"').count() % 2 == 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{xml}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for part in elements.split('&').skip(1) {
        assert!(["amp;", "lt;", "gt;", "quot;", "#"].iter().any(|entity| part.starts_with(entity)), "{part}");
    }
}

#[test]
fn machines_read_a_recording_in_their_own_formats() {
    let place = Place::new();
    let mut arguments = vec!["run", "--backend", "simulated", "--quick", "--quiet", "--set", "runs=2"];
    for report in ["prometheus=harness.prom", "bencher=bmf.json", "junit=junit.xml"] {
        arguments.extend(["--report", report]);
    }
    let output = harness(&place, &arguments);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(stdout(&output), "");
    for (name, file) in [("prometheus", "harness.prom"), ("bencher", "bmf.json"), ("junit", "junit.xml")] {
        let text = std::fs::read_to_string(place.path(file)).unwrap();
        filtered().bind(|| insta::assert_snapshot!(format!("report_{name}"), text));
        let recording = place.recordings().remove(0);
        let output = harness(&place, &["report", recording.to_str().unwrap(), "--with", name]);
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(stdout(&output), text, "{name}");
    }

    let bencher: Value = serde_json::from_str(&std::fs::read_to_string(place.path("bmf.json")).unwrap()).unwrap();
    let (_, measures) = bencher.as_object().unwrap().iter().next().unwrap();
    let lines = place.recording();
    for reading in lines.last().unwrap()["summary"].as_array().unwrap() {
        let (name, value) = (reading["name"].as_str().unwrap(), reading["value"].as_f64().unwrap());
        let scale = if name == "latency" { 1e9 } else { 1.0 };
        assert_eq!(measures[name]["value"].as_f64().unwrap(), value * scale, "{name}");
    }
    assert_well_formed(&std::fs::read_to_string(place.path("junit.xml")).unwrap());
}

#[test]
fn a_page_has_every_figure_and_asks_for_nothing() {
    let place = Place::new();
    let arguments = ["run", "--backend", "simulated", "--quick", "--quiet", "--set", "runs=2"];
    let output = harness(&place, &[&arguments[..], &["--report", "html=page.html"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
    for never in ["http://", "https://", "<script", " src="] {
        assert!(!page.contains(never), "{never}: {page}");
    }
    let figures = page.split("<data value=\"").skip(1).filter_map(|part| part.split('"').next()?.parse().ok());
    let figures: Vec<f64> = figures.collect();
    let lines = place.recording();
    for reading in lines.last().unwrap()["summary"].as_array().unwrap() {
        assert!(figures.contains(&reading["value"].as_f64().unwrap()), "{reading}: {figures:?}");
    }
    // The histogram, the spread of the runs, and each of them.
    assert!(page.matches("<svg ").count() >= 4, "{page}");

    let output = harness(&place, &["report", "--with", "html", "--set", "title=<b>A & B</b>"]);
    assert!(stdout(&output).contains("<h1>&lt;b&gt;A &amp; B&lt;/b&gt;</h1>"), "{}", told(&output));
}

#[test]
fn what_was_not_finished_is_reported_and_said_so() {
    let place = Place::new();
    let output = harness(
        &place,
        &["run", "--backend", "simulated", "--quick", "--quiet", "--set", "runs=3", "--simulate", "fail-at=10"],
    );
    assert!(!output.status.success(), "{}", told(&output));

    let text = stdout(&harness(&place, &["report", "--with", "prometheus"]));
    assert!(text.contains("harness_recording_complete{") && text.contains("plugin=\"default\"} 0\n"), "{text}");
    assert!(text.contains("\nharness_latency_seconds{"), "{text}");
    assert!(!text.contains("harness_power"), "{text}");

    let output = harness(&place, &["report", "--with", "bencher"]);
    let bencher: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(bencher.as_object().unwrap().len(), 1, "{}", told(&output));
    assert!(stderr(&output).contains("Failed: "), "{}", told(&output));

    let text = stdout(&harness(&place, &["report", "--with", "junit"]));
    assert_well_formed(&text);
    assert!(text.contains("failures=\"0\" errors=\"1\"") && text.contains("<error type=\"incomplete\""), "{text}");
}

#[test]
fn a_gate_shuts() {
    let place = recorded();
    let output = harness(&place, &["report", "--with", "junit", "--set", "latency-max=1"]);
    assert!(stdout(&output).contains("failures=\"0\" errors=\"0\""), "{}", told(&output));
    let output = harness(&place, &["report", "--with", "junit", "--set", "latency-max=0.001"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_well_formed(&stdout(&output));
    assert!(stdout(&output).contains("<failure type=\"limit\""), "{}", told(&output));

    let place = Place::new();
    let arguments = ["run", "--backend", "simulated", "--quiet", "--plugin", HOSTILE, "--set", "act=wrong-mean"];
    let output = harness(&place, &[&arguments[..], &["--report", "junit"]].concat());
    assert_well_formed(&stdout(&output));
    assert!(stdout(&output).contains("<failure type=\"contradiction\""), "{}", told(&output));
}

#[test]
fn recordings_are_listed_newest_first() {
    let place = recorded();
    std::thread::sleep(std::time::Duration::from_millis(20));
    harness(&place, &["run", "--backend", "simulated", "--quick", "--quiet"]);
    let output = harness(&place, &["recordings"]);
    let listed: Vec<String> = stdout(&output).lines().map(ToOwned::to_owned).collect();
    let there: Vec<String> = place.recordings().iter().map(|path| path.display().to_string()).collect();
    assert_eq!(listed, there);
    assert_eq!(listed.len(), 2);
}

#[test]
fn a_recording_from_another_time_reports_with_a_cut_line() {
    let place = recorded();
    let path = place.recordings().remove(0);
    let text = std::fs::read_to_string(&path).unwrap();
    place.write("cut.jsonl", &text[..text.len() - 20]);
    let output = harness(&place, &["report", "cut.jsonl"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(stderr(&output).contains("line 4 ends in the middle"), "{}", told(&output));
}

#[test]
fn a_report_that_nobody_reads_does_not_lose_the_next() {
    let place = Place::new();
    let command = format!("{BINARY} run --backend simulated --quick --report markdown --report csv=a.csv | true");
    let output = place.command("sh").args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(place.path("a.csv").exists());
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let place = recorded();
    let output =
        place.command("sh").args(["-c", &format!("{BINARY} report --with json | head -c 10")]).output().unwrap();
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", told(&output));
}

#[test]
fn reports_are_set_at_the_run() {
    let place = Place::new();
    place.write("harness.toml", "[report-set.csv]\nwhat = 'samples'\n[report-set.html]\ntitle = 'not asked for'\n");
    let run = ["run", "--backend", "simulated", "--quick", "--quiet"];
    let reports = ["--report", "csv=set.csv", "--report", "junit=junit.xml", "--report-set", "junit.latency-max=0.001"];
    let output = harness(&place, &[&run[..], &reports[..]].concat());
    assert!(output.status.success(), "{}", told(&output));
    let of = |file: &str| std::fs::read_to_string(place.path(file)).unwrap();
    assert_eq!(of("junit.xml").matches("<failure").count(), 1, "{}", of("junit.xml"));
    // The configuration counts for `harness report` as well, and flags go before it.
    let whole = stdout(&harness(&place, &["report", "--with", "csv"]));
    assert_eq!(of("set.csv"), whole);
    let short = stdout(&harness(&place, &["report", "--with", "csv", "--set", "what=summary"]));
    assert!(short.lines().count() < whole.lines().count(), "{short}");
    let output =
        harness(&place, &[&run[..], &["--report", "csv=flag.csv", "--report-set", "csv.what=summary"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(of("flag.csv").lines().count(), short.lines().count());

    // The workload's own report has settings, too; this one has none.
    let output = harness(&place, &[&run[..], &["--report-set", "default.width=80"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("default has no setting 'width'; it has none"), "{}", told(&output));
}

#[test]
fn plugins_describe_themselves() {
    let place = Place::new();
    let output = harness(&place, &["plugin", "list"]);
    for name in ["default", "table", "json", "csv", "markdown", "html", "prometheus", "bencher", "junit"] {
        assert!(stdout(&output).contains(name), "{}", told(&output));
    }
    let output = harness(&place, &["plugin", "inspect", "default.wasm"]);
    for part in [
        "max-new-tokens",
        "harness:plugin@0.2.0",
        "harness:plugin/workload@0.2.0",
        "sha256",
        "harness:plugin/bench@0.2.0",
    ] {
        assert!(stdout(&output).contains(part), "{part}: {}", told(&output));
    }
}

#[test]
fn a_plugin_can_be_checked_before_it_is_used() {
    let place = Place::new();
    let output = harness(&place, &["plugin", "check", "csv"]);
    for part in
        ["csv can be used: report", "bytes", "this harness supports 0.1.0, 0.2.0", "all there", " ms", "settings"]
    {
        assert!(stdout(&output).contains(part), "{part}: {}", told(&output));
    }
    std::fs::write(place.path("core.wasm"), [0, b'a', b's', b'm', 1, 0, 0, 0]).unwrap();
    let output = harness(&place, &["plugin", "check", "core.wasm"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("a core WebAssembly module"), "{}", told(&output));
}

#[test]
fn shells_get_completions_and_manuals_pages() {
    let place = Place::new();
    let output = harness(&place, &["completions", "bash"]);
    assert!(stdout(&output).contains("_harness"), "{}", told(&output));
    let output = harness(&place, &["man"]);
    assert!(stdout(&output).starts_with(".ie"), "{}", told(&output));
    let output = harness(&place, &["man", "pages"]);
    assert!(output.status.success() && place.path("pages/harness-run.1").exists(), "{}", told(&output));
}
