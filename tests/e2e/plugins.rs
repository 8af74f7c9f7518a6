//! Trying plugins out before they are used: `harness plugin test`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::process::Output;

use harness_tests::{EXAMPLE, HOSTILE, Place, stderr, stdout, told};

const BINARY: &str = env!("CARGO_BIN_EXE_harness");

fn tested(plugin: &str, more: &[&str]) -> Output {
    Place::new().command(BINARY).args(["plugin", "test", plugin]).args(more).output().unwrap()
}

#[test]
fn every_built_in_plugin_does_what_a_plugin_should() {
    for builtin in harness_bundle::BUILTINS {
        let output = tested(builtin.name, &[]);
        assert!(output.status.success(), "{}", told(&output));
        let done = format!("{} does what a plugin should", builtin.name);
        assert!(stdout(&output).ends_with(&format!("{done}\n")), "{}", told(&output));
        // One line for each sample recording.
        assert_eq!(stdout(&output).matches("report on a recording").count(), 4, "{}", told(&output));
    }
}

#[test]
fn a_workload_runs_with_its_settings() {
    let output = tested("default", &["--set", "runs=3"]);
    assert!(stdout(&output).contains("workload: 3 runs of "), "{}", told(&output));
    let output = tested(EXAMPLE, &[]);
    assert!(output.status.success() && stdout(&output).contains("workload: "), "{}", told(&output));
}

#[test]
fn a_summary_that_the_runs_do_not_bear_out_fails() {
    let output = tested(HOSTILE, &["--set", "act=wrong-mean"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stdout(&output).contains("but the mean of the runs is"), "{}", told(&output));
    assert!(stderr(&output).contains("1 of the summary's figures is not what the runs recorded"), "{}", told(&output));
}

#[test]
fn the_limits_hold_here_too() {
    let output = tested(HOSTILE, &["--set", "act=loop", "--max-call-time", "300ms"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("--max-call-time"), "{}", told(&output));
}
