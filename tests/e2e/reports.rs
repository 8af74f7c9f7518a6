//! Any report over any recording, without a rebuild, a GPU or a model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::process::Output;

use harness_tests::{Place, stderr, stdout, told};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_harness");

fn harness(place: &Place, arguments: &[&str]) -> Output {
    place.command(BINARY).args(arguments).output().unwrap()
}

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
    assert!(stderr(&output).contains("line 4 is cut"), "{}", told(&output));
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
fn plugins_describe_themselves() {
    let place = Place::new();
    let output = harness(&place, &["plugin", "list"]);
    for name in ["default", "json", "csv", "markdown"] {
        assert!(stdout(&output).contains(name), "{}", told(&output));
    }
    let output = harness(&place, &["plugin", "inspect", "default.wasm"]);
    for part in [
        "max-new-tokens",
        "harness:plugin@0.1.0",
        "harness:plugin/workload@0.1.0",
        "sha256",
        "harness:plugin/bench@0.1.0",
    ] {
        assert!(stdout(&output).contains(part), "{part}: {}", told(&output));
    }
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
