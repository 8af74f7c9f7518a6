//! `tests/gpu/proof.py`, where there is no GPU: what it says then, and that a rehearsal passes, fails and ends as it should.

#![allow(clippy::print_stdout, reason = "what was not tried is said")]

use std::process::Output;

use crate::BINARY;
use harness_tests::{Place, stdout, told};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/gpu/proof.py");

/// `None` where there is no Python.
fn proof(place: &Place, args: &[&str]) -> Option<Output> {
    if place.command("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(place.command("python3").args([SCRIPT, BINARY]).args(args).output().unwrap());
    }
    println!("SKIP  tests/gpu/proof.py: there is no python3");
    None
}

#[test]
fn without_a_gpu_nothing_is_proved_and_nothing_fails() {
    let Some(output) = proof(&Place::new(), &[]) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(stdout(&output).starts_with("SKIP  every proof: "), "{}", told(&output));
}

#[test]
fn what_holds_passes_and_what_can_not_be_measured_fails() {
    let place = Place::with_gpu("normal");
    let simulated = "--with=--backend simulated --sensors 0 --idle-time 0s";
    let Some(output) = proof(&place, &["--device", "", simulated]) else { return };
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    for passed in [
        "| the documented test twice: latency | +0.00 % (",
        "| doctor looks at everything, and says what to do | NVIDIA",
    ] {
        assert!(text.lines().any(|line| line.starts_with(passed) && line.ends_with("| pass |")), "{passed}\n{text}");
    }
    assert!(text.contains("| bf16 beside f16: latency | +0.00 % ("), "{text}");
    let failed: Vec<&str> = text.lines().filter(|line| line.ends_with("| FAIL |")).collect();
    let [failed] = failed[..] else { panic!("{text}") };
    assert!(failed.starts_with("| sensors | ") && failed.contains("the simulated model has none"), "{failed}");
    assert!(text.contains("\nFAILED: 1 failed, "), "{text}");
}
