//! `--private`: no command line, no host's name, no folders.

use harness_tests::{HOSTILE, Place, golden, lines, stdout, told};
use serde_json::Value;

use super::harness;

/// Whether something was left in it.
fn assert_private(text: &str, place: &Place) {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let folder = place.folder().display().to_string();
    let golden = golden().display().to_string();
    for secret in [folder.as_str(), &golden, "harness run", "host.name", "\"command\""] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    // One that is a word of its own would be in any text.
    let named = |quote: char| text.contains(&format!("{quote}{}{quote}", hostname.trim()));
    assert!(hostname.trim().is_empty() || !named('"'), "{hostname}: {text}");
}

fn record(place: &Place, name: &str, more: &[&str]) -> Vec<Value> {
    let model = golden().join("prefixed-f32");
    let run = ["run", "--quiet", "--device", "cpu", "--model", model.to_str().unwrap(), "--recording", name];
    let small = ["--set", "runs=2", "--set", "iterations=2", "--set", "prompt-tokens=4", "--set", "max-new-tokens=2"];
    let output = harness(place, &[&run[..], &small[..], more].concat());
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(output.status.code(), Some(0));
    lines(&place.path(name))
}

fn facts(recording: &[Value]) -> Vec<&str> {
    recording[0]["facts"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_private_recording_says_nothing_of_who_and_where() {
    let place = Place::new();
    let open = record(&place, "open.jsonl", &[]);
    let private = record(&place, "private.jsonl", &["--private"]);
    assert_private(&std::fs::read_to_string(place.path("private.jsonl")).unwrap(), &place);
    assert_eq!(private[0]["facts"]["model.name"], "prefixed-f32");
    let left: Vec<&str> = facts(&open).into_iter().filter(|name| !facts(&private).contains(name)).collect();
    assert_eq!(left, ["host.name", "command"]);
    // By the configuration, too.
    place.write("harness.toml", "[run]\nprivate = true\n");
    assert_eq!(facts(&record(&place, "configured.jsonl", &[])), facts(&private));
}

#[test]
fn a_failure_is_recorded_without_the_folder_of_the_plugin() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--quiet", "--private", "--recording", "failed.jsonl"];
    let output = harness(&place, &[&run[..], &["--plugin", HOSTILE, "--set", "act=panic-after-a-run"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let message = lines(&place.path("failed.jsonl")).last().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("hostile.wasm failed in `run`: "), "{message}");
}

#[test]
fn reports_and_comparisons_of_any_recording_can_be_private() {
    let place = Place::new();
    record(&place, "a.jsonl", &[]);
    record(&place, "deep/b.jsonl", &["--seed", "2"]);
    let (a, b) = (place.path("a.jsonl"), place.path("deep/b.jsonl"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    for with in ["default", "json", "csv", "markdown", "html", "prometheus", "bencher", "junit"] {
        let open = stdout(&harness(&place, &["report", a, "--with", with]));
        let private = stdout(&harness(&place, &["report", a, "--with", with, "--private"]));
        assert_private(&private, &place);
        assert_eq!(private == open, with == "csv", "{with}");
    }
    for format in ["table", "markdown", "json", "html"] {
        let output = harness(&place, &["compare", a, b, "--force", "--private", "--format", format]);
        assert!(output.status.success(), "{}", told(&output));
        assert!(stdout(&output).contains("b.jsonl") && !stdout(&output).contains("deep"), "{}", told(&output));
        assert_private(&stdout(&output), &place);
    }
}

#[test]
fn sweeps_and_interleaved_recordings_can_be_private() {
    let place = Place::new();
    let model = golden().join("prefixed-f32");
    let small = ["--set", "runs=1", "--set", "iterations=1", "--set", "max-new-tokens=2"];
    let run =
        ["run", "--quiet", "--device", "cpu", "--model", model.to_str().unwrap(), "--private", "--recording", "swept"];
    let output = harness(&place, &[&run[..], &small[..], &["--sweep", "prompt-tokens=2,4"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    let files: Vec<_> = std::fs::read_dir(place.path("swept")).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_private(&std::fs::read_to_string(&file).unwrap(), &place);
    }

    let arguments = "--backend simulated --quick --seed 1";
    let private = format!("{arguments} --private");
    for (given, flag) in [(private.as_str(), "--force"), (arguments, "--private")] {
        let compare = ["compare", "--interleave", arguments, given, "--rounds", "1", "--force"];
        let more: &[&str] = if flag == "--private" { &[flag] } else { &[] };
        let output = harness(&place, &[&compare[..], more].concat());
        assert!(output.status.success(), "{}", told(&output));
    }
    let mut folders: Vec<_> = std::fs::read_dir(place.path(".local/share/harness/recordings"))
        .unwrap()
        .map(|folder| folder.unwrap().path())
        .collect();
    folders.sort();
    let private = |folder: usize, file: &str| {
        let recorded = lines(&folders[folder].join(file));
        !facts(&recorded).contains(&"command") && !facts(&recorded).contains(&"host.name")
    };
    assert_eq!([private(0, "0001-a.jsonl"), private(0, "0002-b.jsonl")], [false, true]);
    assert_eq!([private(1, "0001-a.jsonl"), private(1, "0002-b.jsonl")], [true, true]);
}
