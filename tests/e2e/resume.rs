//! `harness run --resume`: a test that was killed comes to its end, and loses and doubles nothing.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::BINARY;
use harness_tests::{Place, lines, stderr, stdout, told};
use serde_json::Value;

const RUN: &str = "run --backend simulated --simulate time-per-token=4ms --simulate jitter=0.1 --set runs=12 --set iterations=3 --set \
                   warmup=1 --set max-new-tokens=3 --report csv";

fn harness(place: &Place, arguments: &str, more: &[&str]) -> Output {
    place.command(BINARY).args(arguments.split_whitespace()).args(more).output().unwrap()
}

/// Kills a test once it has recorded so many runs.
fn killed_after(place: &Place, runs: usize, arguments: &str, more: &[&str], file: &str) {
    let real_time = ["--simulate", "real-time=true"];
    let mut command = place.command(BINARY);
    command.args(arguments.split_whitespace()).args(more).args(real_time);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while std::fs::read_to_string(place.path(file)).unwrap_or_default().matches(r#""type":"run""#).count() < runs {
        std::thread::sleep(Duration::from_millis(2));
    }
    harness_tests::signal(&child, "KILL");
    child.wait_with_output().unwrap();
}

fn labels(path: &Path) -> Vec<String> {
    let runs = lines(path).into_iter().filter(|line| line["type"] == "run");
    runs.map(|run| run["label"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_test_that_was_killed_comes_to_its_end() {
    let place = Place::new();
    let whole: Vec<String> = (1..=12).map(|number| format!("run {number}")).collect();
    for kills in [1, 3] {
        let file = format!("killed-{kills}.jsonl");
        killed_after(&place, 2, RUN, &["--recording", &file], &file);
        for kill in 1..kills {
            // A half line, as a kill may leave it.
            let mut text = std::fs::read_to_string(place.path(&file)).unwrap();
            text.push_str(r#"{"type":"run","label":"run 9","iter"#);
            place.write(&file, text);
            killed_after(&place, 2 + 2 * kill, RUN, &["--resume", &file], &file);
        }
        let before: Vec<Value> = lines(&place.path(&file)).into_iter().filter(|line| line["type"] == "run").collect();
        let output = harness(&place, RUN, &["--resume", &file, "--simulate", "real-time=true"]);
        assert!(output.status.success(), "{}", told(&output));
        assert!(stderr(&output).contains(&format!("going on with {file}, which has ")), "{}", told(&output));
        assert_eq!(labels(&place.path(&file)), whole);
        // What was there is there to the letter, and the end is of all of it.
        let after = lines(&place.path(&file));
        assert_eq!(after[1..=before.len()], before);
        let end = after.last().unwrap();
        assert_eq!((&end["status"], &end["runs"]), (&"complete".into(), &12.into()), "{end}");
        let mean = |metric: &str| {
            let values = after.iter().filter_map(|line| line["values"][metric].as_f64()).collect::<Vec<_>>();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let summary = end["summary"].as_array().unwrap().iter().find(|reading| reading["name"] == "latency").unwrap();
        assert!((summary["value"].as_f64().unwrap() / mean("latency") - 1.0).abs() < 1e-9, "{summary}");
        assert!(stdout(&output).contains("latency"), "{}", told(&output));
    }
}

#[test]
fn what_ended_by_itself_goes_on_too() {
    let place = Place::new();
    let failed = harness(&place, RUN, &["--recording", "f.jsonl", "--simulate", "fail-at=20"]);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    let kept = labels(&place.path("f.jsonl")).len();
    assert!((1..12).contains(&kept));
    let output = harness(&place, RUN, &["--resume", "f.jsonl"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(labels(&place.path("f.jsonl")).len(), 12);
    let again = harness(&place, RUN, &["--resume", "f.jsonl"]);
    assert_eq!(again.status.code(), Some(2), "{}", told(&again));
    assert!(stderr(&again).contains("f.jsonl is complete: there is nothing to go on with"), "{}", told(&again));
}

/// A refusal changes nothing.
#[test]
fn another_test_is_not_gone_on_with() {
    let place = Place::new();
    killed_after(&place, 3, RUN, &["--recording", "k.jsonl"], "k.jsonl");
    let before = std::fs::read(place.path("k.jsonl")).unwrap();
    for (more, said) in [
        (&["--set", "iterations=4"][..], "setting.iterations: '4' now, '3' there"),
        (&["--set", "runs=20"], "setting.runs: '20' now, '12' there"),
        (&["--seed", "6"], "seed: '6' now, '0' there"),
    ] {
        let output = harness(&place, RUN, &[&["--resume", "k.jsonl"], more].concat());
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(stderr(&output).contains("is of another test") && stderr(&output).contains(said), "{}", told(&output));
        assert_eq!(std::fs::read(place.path("k.jsonl")).unwrap(), before);
    }
    for (file, code) in [("gone.jsonl", 2), (".", 2)] {
        let output = harness(&place, RUN, &["--resume", file]);
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    }
    // A run whose plan another wrote is none of this test's.
    let text = std::fs::read_to_string(place.path("k.jsonl")).unwrap();
    let plan = lines(&place.path("k.jsonl"))[2]["plan"].as_str().unwrap().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    let swapped = [lines[0], lines[1], &lines[2].replace(&plan, "0123456789abcdef")].join("\n") + "\n";
    place.write("swapped.jsonl", swapped);
    let output = harness(&place, RUN, &["--resume", "swapped.jsonl"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("run 'run 2' is not what was recorded"), "{}", told(&output));
}

/// A summary is of all runs of its recording, or there is none.
#[test]
fn runs_that_the_plugin_does_not_ask_for_are_no_part_of_a_complete_test() {
    let place = Place::new();
    let whole = harness(&place, RUN, &["--recording", "more.jsonl"]);
    assert!(whole.status.success(), "{}", told(&whole));
    let text = std::fs::read_to_string(place.path("more.jsonl")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert!(lines.pop().unwrap().contains("complete"));
    for (more, said) in
        [(1, "than the recording has: 1 is of another test"), (2, "than the recording has: 2 are of another test")]
    {
        lines.push(lines[12]);
        place.write("more.jsonl", lines.join("\n") + "\n");
        let output = harness(&place, RUN, &["--resume", "more.jsonl"]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(stderr(&output).contains(said), "{}", told(&output));
        let after = harness_tests::lines(&place.path("more.jsonl"));
        let end = after.last().unwrap();
        assert_eq!((&end["status"], &end["runs"]), (&"failed".into(), &(12 + more).into()), "{end}");
        assert!(end["summary"].as_array().is_none_or(Vec::is_empty), "{end}");
    }
}

/// Two at once would write into each other's lines.
#[test]
fn what_is_being_written_is_not_gone_on_with() {
    let place = Place::new();
    let mut command = place.command(BINARY);
    command.args(RUN.split_whitespace()).args(["--recording", "w.jsonl", "--simulate", "real-time=true"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while std::fs::read_to_string(place.path("w.jsonl")).unwrap_or_default().matches(r#""type":"run""#).count() < 2 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = harness(&place, RUN, &["--resume", "w.jsonl"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("another process is writing w.jsonl"), "{}", told(&output));
    let first = child.wait_with_output().unwrap();
    assert!(first.status.success(), "{}", told(&first));
    assert_eq!(labels(&place.path("w.jsonl")).len(), 12);
}

/// The same command goes on with the point that was cut, and measures the others.
#[test]
fn a_sweep_goes_on_amid_a_point() {
    let place = Place::new();
    let point = "sw/batch=2.jsonl";
    let sweep = ["--sweep", "batch=1,2,3", "--recording", "sw"];
    let run = RUN.replace(" --report csv", "");
    killed_after(&place, 4, &run, &sweep, point);
    let before = lines(&place.path(point));
    let kept: Vec<Value> = before.into_iter().filter(|line| line["type"] == "run").collect();
    let output = harness(&place, &run, &[&sweep[..], &["--simulate", "real-time=true"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    assert!(stderr(&output).contains(&format!("going on with {point}, which has ")), "{}", told(&output));
    assert_eq!(lines(&place.path(point))[1..=kept.len()], kept);
    for batch in 1..=3 {
        assert_eq!(labels(&place.path(&format!("sw/batch={batch}.jsonl"))).len(), 12);
    }
    let files = std::fs::read_dir(place.path("sw")).unwrap().count();
    assert_eq!(files, 5, "three points, the sweep's file and its chart");
}
