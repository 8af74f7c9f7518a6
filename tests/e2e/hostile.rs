//! Guests that break rules: each is stopped with an error that names the limit and how to raise it, and the host lives on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::process::Output;

use harness_tests::{HOSTILE, Place, stderr, stdout, told};

const BINARY: &str = env!("CARGO_BIN_EXE_harness");

fn act(place: &Place, act: &str, more: &[&str]) -> Output {
    place
        .command(BINARY)
        .args(["run", "--backend", "simulated", "--quiet", "--plugin", HOSTILE, "--set", &format!("act={act}")])
        .args(match act {
            // It has to make the string before it can hand it over.
            "huge-string" => ["--max-call-time", "20s", "--max-guest-time", "20s", "--max-memory", "1GiB"],
            // Calls of the host start the time between calls anew; only the time in all ends this one.
            "log-loop" => ["--max-call-time", "20s", "--max-guest-time", "200ms", "--max-memory", "64MiB"],
            _ => ["--max-call-time", "400ms", "--max-guest-time", "20s", "--max-memory", "64MiB"],
        })
        .args(more)
        .output()
        .unwrap()
}

fn snapshot(name: &str, output: &Output) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/\S*/hostile\.wasm", "hostile.wasm");
    settings.add_filter(r"/\S*/recordings/\S+\.jsonl", "[recording]");
    settings.add_filter(r"at /rustc/\S+", "at [std]");
    settings.add_filter(r"asked for \d+ bytes", "asked for [bytes] bytes");
    settings.add_filter(r"after [\d.]+ s, with \d+ bytes", "after [time] s, with [bytes] bytes");
    settings.add_filter(r"\(\d+\) panicked at", "panicked at");
    settings.add_filter(r"src/lib.rs:\d+:\d+", "src/lib.rs:[line]");
    settings.add_filter(r"wasm function \d+", "wasm function [n]");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    let text = format!("exit {}\n{}", output.status.code().unwrap_or(-1), stderr(output));
    settings.bind(|| insta::assert_snapshot!(format!("hostile_{name}"), text));
}

macro_rules! hostile {
    ($($name:ident: $act:literal [$($more:literal),*];)*) => {$(
        #[test]
        fn $name() {
            let output = act(&Place::new(), $act, &[$($more),*]);
            snapshot($act, &output);
        }
    )*};
}

hostile! {
    an_endless_loop: "loop" [];
    an_endless_loop_of_host_calls: "log-loop" [];
    endless_recursion: "recurse" [];
    endless_memory: "memory" [];
    a_panic_says_its_words: "panic" [];
    a_flood_of_log_lines: "log-flood" [];
    a_file: "file" [];
    a_socket: "socket" [];
    no_environment: "environment" [];
    a_frozen_clock: "clock" [];
    sleep_returns_at_once: "sleep" [];
    handles_without_end: "handles" [];
    a_huge_string: "huge-string" [];
    a_panic_after_a_run_keeps_the_run: "panic-after-a-run" [];
    no_iterations: "no-iterations" [];
    no_batch: "no-batch" [];
    no_requests: "no-requests" [];
    no_tokens: "no-tokens" [];
    a_request_past_the_context: "too-long" [];
    a_flood_of_synthetic_tokens: "synthetic-flood" [];
    a_token_that_is_none: "bad-token" [];
    sampling_that_is_none: "bad-sampling" [];
    iterations_without_end: "many-iterations" [];
    a_summary_with_nan: "nan" [];
    a_summary_with_infinity: "infinity" [];
    a_summary_with_a_metric_twice: "twice" [];
    a_metric_that_is_no_name: "bad-name" [];
    a_setting_that_was_refused: "setting" [];
    a_plugin_that_gives_up: "give-up" [];
    a_stop_that_is_ignored: "ignore-stop" ["--max-iterations", "100"];
    a_mean_that_is_wrong: "wrong-mean" [];
    plans_that_fill_the_host: "plans" [];
    prompts_that_fill_the_host: "prompts" [];
}

#[test]
fn what_was_recorded_before_a_panic_is_on_disk() {
    let place = Place::new();
    let output = act(&place, "panic-after-a-run", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let lines = place.recording();
    assert_eq!(lines[1]["label"], "first");
    assert_eq!(lines[2]["status"], "failed");
}

#[test]
fn a_wrong_mean_is_marked_in_the_recording() {
    let place = Place::new();
    act(&place, "wrong-mean", &[]);
    let lines = place.recording();
    let reading = &lines.last().unwrap()["summary"][0];
    assert_eq!(reading["value"], 1e9);
    assert_eq!(reading["host_value"], lines[1]["values"]["latency"]);
}

#[test]
fn escapes_in_a_log_line_do_not_reach_the_terminal() {
    let place = Place::new();
    let output = place
        .command(BINARY)
        .args(["run", "--backend", "simulated", "--plugin", HOSTILE, "--set", "act=log-escape"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(stderr(&output).contains("warning: a[31mredline"), "{}", told(&output));
    assert!(!stderr(&output).contains('\u{1b}'));
}

/// A report of a recording that was made here.
fn report(place: &Place, act: &str) -> Output {
    let made = place.command(BINARY).args(["run", "--backend", "simulated", "--quick", "--quiet"]).output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
    place
        .command(BINARY)
        .args(["report", "--with", &format!("{HOSTILE}=out"), "--set", &format!("act={act}"), "--max-memory", "1GiB"])
        .args(["--max-call-time", "2s"])
        .output()
        .unwrap()
}

#[test]
fn files_stay_in_their_folder() {
    for name in ["outside", "absolute", "unnamed", "twins", "huge-output", "model", "loop"] {
        let place = Place::new();
        let output = report(&place, name);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(!place.path("outside").exists() && !place.path("out").exists());
        snapshot(&format!("report_{name}"), &output);
    }
    let place = Place::new();
    place.write("out/a.txt", "mine");
    let output = report(&place, "files");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert_eq!(std::fs::read_to_string(place.path("out/a.txt")).unwrap(), "mine");
    let place = Place::new();
    let output = report(&place, "files");
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(std::fs::read_to_string(place.path("out/b.txt")).unwrap(), "x");
    assert_eq!(stdout(&output), "");
}
