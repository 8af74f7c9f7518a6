//! Versions of the contract beside each other: a component says its own, old and new ones run in one invocation, and what is new
//! in the newest does what it says.

use std::process::Output;

use crate::harness;
use harness_tests::{HOSTILE, Place, legacy, stderr, stdout, told};

const NEWEST: &str = "0.2.0";

/// A run of 1000 iterations of two tokens that ends when its time is up.
fn limited(place: &Place, seconds: &str, more: &[&str]) -> Output {
    let set = format!("seconds={seconds}");
    let run = ["run", "--backend", "simulated", "--plugin", HOSTILE, "--set", "act=time-limit", "--set", &set];
    harness(place, &[&run, more].concat())
}

#[test]
fn a_component_says_its_version() {
    let place = Place::new();
    for command in ["inspect", "check"] {
        let output = harness(&place, &["plugin", command, "default"]);
        assert!(stdout(&output).contains(&format!("harness:plugin@{NEWEST}")), "{}", told(&output));
        for old in legacy(&place) {
            let output = harness(&place, &["plugin", command, old.path.to_str().unwrap()]);
            assert!(stdout(&output).contains(&format!("harness:plugin@{}", old.contract)), "{}", told(&output));
        }
    }
    let output = harness(&place, &["plugin", "check", "default"]);
    assert!(stdout(&output).contains("this harness supports 0.1.0, 0.2.0"), "{}", told(&output));
}

/// Each legacy workload is shown by the newest report, and each legacy report shows what the newest workload recorded, of a
/// run that the older contract can't ask for.
#[test]
fn old_and_new_run_beside_each_other() {
    let packed = Place::new();
    for old in legacy(&packed) {
        let place = Place::new();
        let path = old.path.to_str().unwrap();
        let run = ["run", "--backend", "simulated", "--quick", "--quiet", "--plugin", path, "--report", "json"];
        let output = harness(&place, &run);
        let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(document["facts"]["plugin.contract"], old.contract.as_str(), "{}", told(&output));
        assert!(document["summary"]["latency"].as_f64().unwrap() > 0.0, "{}", told(&output));
        assert_eq!(document["runs"][0]["iterations"], document["runs"][0]["asked"], "{}", told(&output));

        let output = limited(&place, "0.01", &["--quiet", "--report", path]);
        // The default report shows what the workload summed up, the others the runs' own figures.
        let shown = if old.name == "default.wasm" { "hostile: 2 runs" } else { "latency" };
        assert!(output.status.success() && stdout(&output).contains(shown), "{}", told(&output));
    }
}

/// On the simulated model time is exact: 0.5 ms to the first token and 0.2 ms to the second, so the 15th iteration is the first
/// that ends after 10 ms.
#[test]
fn a_time_limit_ends_a_run_and_the_figures_are_of_what_was_served() {
    let place = Place::new();
    let output = limited(&place, "0.01", &["--report", "json", "--simulate", "jitter=0"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(stderr(&output).contains("'limited': 15 of 1,000 iterations in"), "{}", told(&output));
    assert!(stderr(&output).contains("ending: Ending::TimeLimit"), "{}", told(&output));
    let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let run = &document["runs"][1];
    assert_eq!((run["iterations"].as_u64(), run["asked"].as_u64()), (Some(15), Some(1000)));
    assert_eq!(run["time_limit"], 0.01);
    let wall = run["wall_time"].as_f64().unwrap();
    assert!((wall - 15.0 * 0.0007).abs() < 1e-9, "{wall}");
    let throughput = run["values"]["throughput"].as_f64().unwrap();
    assert!((throughput - 15.0 / wall).abs() < 1e-6, "{throughput}");
    assert_eq!(run["values"]["new_tokens"], 30.0);

    let lines = place.recording();
    let recorded = lines.iter().find(|line| line["label"] == "limited").unwrap();
    assert_eq!((recorded["iterations"].as_u64(), recorded["asked"].as_u64()), (Some(15), Some(1000)));
    assert_eq!(recorded["time_limit"], 0.01);
    assert_eq!(recorded["samples"]["latency"]["values"].as_array().unwrap().len(), 15);
    let whole = lines.iter().find(|line| line["label"] == "first").unwrap();
    assert!(whole.get("asked").is_none() && whole.get("time_limit").is_none());

    for report in ["default", "markdown", "html"] {
        let output = harness(&place, &["report", "--with", report]);
        let said = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ").replace("&#39;", "'");
        let note = "Time limit: 1 of 2 runs ended before all iterations: 'limited' served 15 of 1,000.";
        assert!(said.contains(note), "{report}: {said}");
    }
}

/// What the plugin cost is recorded, whatever its version; and no part of it lies in a run.
#[test]
fn what_a_plugin_costs_is_recorded() {
    let packed = Place::new();
    let old = legacy(&packed).into_iter().map(|old| old.path.to_str().unwrap().to_owned());
    for plugin in old.chain(["default".to_owned()]) {
        let place = Place::new();
        let run = ["run", "--backend", "simulated", "--quick", "--quiet", "--plugin", &plugin];
        let output = harness(&place, &run);
        assert!(output.status.success(), "{}", told(&output));
        let lines = place.recording();
        let cost = &lines.last().unwrap()["plugin_cost"];
        for figure in ["load_time", "guest_time", "host_calls", "bytes_to_host", "bytes_to_guest", "memory_peak"] {
            assert!(cost[figure].as_f64().unwrap() > 0.0, "{plugin}: {figure}: {cost}");
        }
        assert_eq!(cost["guest_time_in_runs"], 0.0, "{plugin}: {cost}");
    }
    // Also of one that was ended.
    let place = Place::new();
    let broken = ["run", "--backend", "simulated", "--quiet", "--plugin", HOSTILE, "--set", "act=panic-after-a-run"];
    assert_eq!(harness(&place, &broken).status.code(), Some(1));
    assert!(place.recording().last().unwrap()["plugin_cost"]["host_calls"].as_u64().unwrap() > 0);
    let output = harness(&place, &["plugin", "test", "default"]);
    assert_eq!(stdout(&output).matches("  cost: ").count(), 5, "{}", told(&output));
}

#[test]
fn a_time_limit_that_is_not_reached_changes_nothing() {
    let place = Place::new();
    let output = limited(&place, "1e300", &["--quiet", "--report", "json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["runs"][1]["iterations"], 1000, "{}", told(&output));
    assert_eq!(document["runs"][1]["asked"], 1000, "{}", told(&output));
}

#[test]
fn a_limit_under_one_iteration_serves_one() {
    let place = Place::new();
    let output = limited(&place, "1e-12", &["--quiet", "--report", "json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["runs"][1]["iterations"], 1, "{}", told(&output));
}

#[test]
fn a_time_limit_that_is_none_is_refused() {
    for seconds in ["0", "-1", "NaN", "inf"] {
        let place = Place::new();
        let output = limited(&place, seconds, &["--quiet"]);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        let said = "run 'limited': a time limit of";
        assert!(stderr(&output).contains(said), "{}", told(&output));
        assert_eq!(place.recording()[1]["label"], "first");
    }
}
