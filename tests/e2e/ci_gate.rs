//! `examples/ci-gate/gate.sh`, as a pipeline runs it.

use std::process::{Command, Output};

use harness_tests::{Place, stderr, stdout, told};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/ci-gate/gate.sh");

fn command(place: &Place) -> Command {
    let mut command = place.command("sh");
    command
        .args([SCRIPT, "main.jsonl", "--backend", "simulated", "--simulate", "run-jitter=0.003"])
        .env("HARNESS", env!("CARGO_BIN_EXE_harness"))
        .env("GITHUB_STEP_SUMMARY", place.path("summary.md"));
    command
}

fn gate(place: &Place, more: &[&str]) -> Output {
    command(place).args(more).output().unwrap()
}

#[test]
fn a_planted_slowdown_of_five_percent_fails_the_gate_and_none_passes() {
    let place = Place::new();
    let made = gate(&place, &["--seed", "1"]);
    assert_eq!(made.status.code(), Some(0), "{}", told(&made));
    assert!(stderr(&made).contains("no baseline yet: main.jsonl is one now"), "{}", told(&made));

    for seed in ["2", "3", "4"] {
        let same = gate(&place, &["--seed", seed]);
        assert_eq!(same.status.code(), Some(0), "{}", told(&same));
        assert!(stdout(&same).lines().last().unwrap().starts_with("PASS: "), "{}", told(&same));
        let slower = ["--simulate", "time-per-token=210us", "--simulate", "time-to-first-token=525us"];
        let slow = gate(&place, &[&["--seed", seed], &slower[..]].concat());
        assert_eq!(slow.status.code(), Some(3), "{}", told(&slow));
        assert!(stdout(&slow).lines().last().unwrap().starts_with("FAIL: "), "{}", told(&slow));
        assert!(stdout(&slow).contains("| latency |") && stdout(&slow).contains("| worse |"), "{}", told(&slow));
    }
    assert!(std::fs::read_to_string(place.path("summary.md")).unwrap().contains("| worse |"));
}

#[test]
fn what_can_not_be_compared_is_told_by_its_code() {
    let place = Place::new();
    assert_eq!(gate(&place, &["--seed", "1"]).status.code(), Some(0));
    let wrong = command(&place).env("PERCENT", "three").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(stderr(&wrong), "PERCENT is 'three', and must be a number such as 3 or 0.5\n");
    assert_eq!(gate(&place, &["--set", "batch=2"]).status.code(), Some(4));
    assert_eq!(gate(&place, &["--set", "speed=2"]).status.code(), Some(2));
    assert_eq!(gate(&place, &["--simulate", "fail-at=500"]).status.code(), Some(1));
    // Noise that hides any change passes, unless it must not.
    let noise = ["--simulate", "run-jitter=0.2", "--set", "runs=3", "--seed", "5"];
    assert_eq!(gate(&place, &noise).status.code(), Some(0));
    assert_eq!(command(&place).args(noise).env("STRICT", "1").output().unwrap().status.code(), Some(4));
    // A baseline that was cut is none.
    let baseline = std::fs::read_to_string(place.path("main.jsonl")).unwrap();
    place.write("main.jsonl", baseline.lines().take(4).map(|line| format!("{line}\n")).collect::<String>());
    assert_eq!(gate(&place, &["--seed", "2"]).status.code(), Some(4));
}
