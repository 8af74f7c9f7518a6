//! Trying plugins out before they are used: `harness plugin test`.

use std::process::Output;

use crate::BINARY;
use harness_tests::{EXAMPLE, HOSTILE, Place, legacy, stderr, stdout, told};

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

/// What was built for a version of the contract keeps working for good.
#[test]
fn components_of_every_version_still_work() {
    let place = Place::new();
    let components = legacy(&place);
    let lock = include_str!("../../wit/LOCK");
    let released = lock.lines().filter_map(|line| line.strip_suffix(" released")?.split(' ').next());
    for (version, name) in
        released.flat_map(|version| ["default", "sweep-javascript", "sweep-python"].map(|name| (version, name)))
    {
        let name = format!("{name}.wasm");
        let kept = components.iter().any(|known| known.contract == version && known.name == name);
        assert!(kept, "{version} is released, and tests/legacy/{version} has no {name}: run tests/legacy/keep");
    }
    for component in components {
        let path = component.path.to_str().unwrap();
        let output = place.command(BINARY).args(["plugin", "check", path]).output().unwrap();
        let contract = format!("harness:plugin@{}", component.contract);
        assert!(output.status.success() && stdout(&output).contains(&contract), "{}", told(&output));
        let output = tested(path, &[]);
        assert!(output.status.success() && stdout(&output).contains("workload: 2 runs of "), "{}", told(&output));
        assert_eq!(stdout(&output).matches("report on a recording").count(), 4, "{}", told(&output));
        let output = run(&place, &["--plugin", path]);
        assert!(output.status.success() && stdout(&output).contains("latency"), "{}", told(&output));
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
fn a_report_has_its_settings_and_what_is_empty_is_told() {
    let output = tested("csv", &["--report-set", "what=samples"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_ne!(stdout(&output), stdout(&tested("csv", &[])));
    let output = tested(EXAMPLE, &["--report-set", "what=samples"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("is no report; --report-set has no use for it"), "{}", told(&output));
    for (act, made, empty) in [("no-files", "no files", "there is no file"), ("empty-file", "a.txt", "a.txt is empty")]
    {
        let output = tested(HOSTILE, &["--report-set", &format!("act={act}")]);
        assert!(output.status.success(), "{}", told(&output));
        let said = stdout(&output);
        assert!(said.contains(made) && said.contains(&format!("\n  {empty}, which is allowed")), "{said}");
    }
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

#[test]
fn looking_at_a_plugin_has_limits_too() {
    for command in ["check", "inspect"] {
        let output = Place::new().command(BINARY).args(["plugin", command, EXAMPLE, "--max-memory", "64KiB"]).output();
        let output = output.unwrap();
        assert_ne!(output.status.code(), Some(0), "{}", told(&output));
        assert!(stderr(&output).contains("--max-memory"), "{}", told(&output));
    }
}

/// What `harness plugin inspect` shows.
fn hash_of(place: &Place, plugin: &str) -> String {
    let output = place.command(BINARY).args(["plugin", "inspect", plugin]).output().unwrap();
    let text = stdout(&output);
    let line = text.lines().find(|line| line.trim_start().starts_with("sha256")).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

fn run(place: &Place, more: &[&str]) -> Output {
    place.command(BINARY).args(["run", "--backend", "simulated", "--quick", "--quiet"]).args(more).output().unwrap()
}

#[test]
fn a_pinned_plugin_is_that_file_or_refused() {
    let place = Place::new();
    let hash = hash_of(&place, EXAMPLE);
    let output = run(&place, &["--plugin", EXAMPLE, "--sha256", &hash]);
    assert!(output.status.success(), "{}", told(&output));
    let wrong = "0".repeat(64);
    for plugin in [EXAMPLE, "default"] {
        let output = run(&place, &["--plugin", plugin, "--sha256", &wrong]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(stderr(&output).contains("--sha256 pins 0000"), "{}", told(&output));
    }
    let output = run(&place, &["--plugin", EXAMPLE, "--sha256", "abc"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("64 hexadecimal digits"), "{}", told(&output));
}

#[test]
fn the_configuration_names_and_pins_plugins() {
    let place = Place::new();
    let hash = hash_of(&place, EXAMPLE);
    let configure = |hash: &str| {
        let text = format!("[plugins.mine]\npath = '{EXAMPLE}'\nsha256 = '{hash}'\n");
        place.configure(&text);
    };
    configure(&hash);
    let output = run(&place, &["--plugin", "mine"]);
    assert!(output.status.success(), "{}", told(&output));
    configure(&"f".repeat(64));
    let output = run(&place, &["--plugin", "mine"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("the configuration pins ffff"), "{}", told(&output));
    let output = run(&place, &["--plugin", "yours"]);
    assert!(stderr(&output).contains("the configuration names mine, and the built-in ones are"), "{}", told(&output));
}
