//! What is left for a fault of harness itself: a panic is one report, and a full device is an error.

use std::fs::OpenOptions;
use std::process::Output;

use crate::BINARY;
use harness_tests::{Place, lines, stderr, stdout, told};

fn panicked(place: &Place, more: &[&str]) -> Output {
    let run = ["run", "--backend", "simulated", "--set", "runs=3", "--set", "iterations=5", "--set", "warmup=0"];
    let output = place.command(BINARY).args(run).args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert_eq!(stdout(&output), "", "{}", told(&output));
    assert_eq!(stderr(&output).matches("simulated panic").count(), 1, "one report: {}", told(&output));
    output
}

#[test]
fn a_panic_anywhere_is_one_report() {
    // In a call of the host that a plugin makes, and in another thread meanwhile.
    for (simulate, thread) in [("panic-at=8", "thread 'main'"), ("panic-beside=8", "thread 'beside'")] {
        let place = Place::new();
        let output = panicked(&place, &["--recording", "r.jsonl", "--simulate", simulate]);
        let said = stderr(&output);
        for part in [
            "error: harness panicked: simulated panic\n",
            "Please report it to ",
            "version: 0.1.0 (",
            "command: harness run --backend simulated ",
            "host/engine/src/simulated.rs:",
            thread,
            "what was recorded until then is kept in r.jsonl",
        ] {
            assert!(said.contains(part), "{part}: {}", told(&output));
        }
        // The finished run is there, and can be shown.
        assert_eq!(lines(&place.path("r.jsonl")).iter().filter(|line| line["type"] == "run").count(), 1);
        let shown = place.command(BINARY).args(["report", "r.jsonl", "--with", "csv"]).output().unwrap();
        assert!(shown.status.success(), "{}", told(&shown));
    }
}

/// What can't do without memory aborts the process, in the standard library; what is refused is the machine's matter.
#[test]
#[cfg(unix)]
fn no_more_memory_is_a_sentence() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--set", "runs=3", "--set", "iterations=5", "--set", "warmup=0"];
    let output = place
        .command(BINARY)
        .args(run)
        .args(["--recording", "r.jsonl", "--report", "csv=out.csv", "--simulate", "starve-at=8"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let said = stderr(&output);
    assert!(said.contains("error: the system gives this process no more memory; raise or lift"), "{}", told(&output));
    assert!(!said.contains("panicked"), "{}", told(&output));
    assert_eq!(lines(&place.path("r.jsonl")).iter().filter(|line| line["type"] == "run").count(), 1);
    let left: Vec<_> = std::fs::read_dir(place.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".new")), "{left:?}");
}

#[test]
fn a_panic_in_a_sweep_or_a_turn_is_one_report() {
    let place = Place::new();
    panicked(&place, &["--recording", "points", "--sweep", "batch=1,2", "--simulate", "panic-at=2"]);
    let arguments = "--backend simulated --quick --simulate panic-at=2";
    let output = place.command(BINARY).args(["compare", "--interleave", arguments, arguments]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert_eq!(stderr(&output).matches("harness panicked").count(), 1, "{}", told(&output));
    let output =
        place.command(BINARY).args(["generate", "--backend", "simulated", "--simulate", "panic-at=1", "a"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("nothing was being recorded"), "{}", told(&output));
}

#[test]
fn a_private_report_of_a_panic_has_no_folder() {
    let place = Place::new();
    let recording = place.path("r.jsonl").display().to_string();
    let arguments = ["--recording", recording.as_str(), "--simulate", "panic-at=8"];
    let folder = place.folder().display().to_string();
    assert!(stderr(&panicked(&place, &arguments)).contains(&folder));
    place.configure("[run]\nprivate = true\n");
    for more in [&["--private"][..], &[]] {
        std::fs::remove_file(&recording).unwrap();
        let output = panicked(&place, &[&arguments[..], more].concat());
        assert!(!stderr(&output).contains(&folder), "{}", told(&output));
        assert!(stderr(&output).contains("r.jsonl"), "{}", told(&output));
    }
}

/// All that is printed to stdout: what can't be printed is no success.
#[test]
#[cfg(target_os = "linux")]
fn a_full_device_is_an_error_whatever_is_printed() {
    let place = Place::new();
    let quick = ["run", "--backend", "simulated", "--quick", "--quiet"];
    for name in ["a.jsonl", "b.jsonl"] {
        let made = place.command(BINARY).args(quick).args(["--recording", name]).output().unwrap();
        assert!(made.status.success(), "{}", told(&made));
    }
    let saved = place.command(BINARY).args(["baseline", "save", "main", "a.jsonl"]).output().unwrap();
    assert!(saved.status.success(), "{}", told(&saved));
    let made = place.command(BINARY).args(quick).output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
    let simulated = ["--backend", "simulated"];
    let mut cases: Vec<Vec<&str>> = [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["help", "compare"],
        &["run", "--help"],
        &["plugin", "inspect", "-h"],
        &["--version"],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["man"],
        &["devices"],
        &["devices", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["recordings"],
        &["baseline", "list"],
        &["plugin", "list"],
        &["plugin", "inspect", "csv"],
        &["plugin", "check", "csv"],
        &["plugin", "test", "csv"],
        &["plugin", "test", "default"],
        &["compare", "a.jsonl", "b.jsonl"],
        &["compare", "a.jsonl", "b.jsonl", "--fail-on-regression", "50"],
    ]
    .iter()
    .map(|case| case.to_vec())
    .collect();
    for format in ["markdown", "json", "html"] {
        cases.push(vec!["compare", "a.jsonl", "b.jsonl", "--format", format]);
    }
    for report in ["default", "table", "json", "csv", "markdown", "html", "prometheus", "bencher", "junit"] {
        cases.push(vec!["report", "a.jsonl", "--with", report]);
    }
    for more in [&["Hello"][..], &["--json", "Hello"]] {
        cases.push([&["generate"][..], &simulated, more].concat());
    }
    for more in [&["--dry-run"][..], &["--sweep", "batch=1,2"], &["--report", "csv"], &[]] {
        cases.push([&["run", "--quick"][..], &simulated, more].concat());
    }
    for case in cases {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = place.command(BINARY).args(&case).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{case:?}: {}", told(&output));
        assert_eq!(stderr(&output).matches("can't write to stdout: ").count(), 1, "{case:?}: {}", told(&output));
        // With room for it, it is done.
        let output = place.command(BINARY).args(&case).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{case:?}: {}", told(&output));
        assert!(!output.stdout.is_empty(), "{case:?}");
    }
}
