//! The projects of `examples/`: each stands alone, is built with its language's own tool, and does what its README says.
//!
//! Building JavaScript and Python installs their tools from npm and PyPI, so that is done with `-- --include-ignored` only.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness;
use harness_tests::{EXAMPLE, Place, UNTIL_STABLE, stderr, stdout, told};
use serde_json::Value;

const NAMES: [&str; 4] = ["latency-sweep", "until-stable", "chat", "slack-message"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Runs a workload on the simulated model; what `json` says of it.
fn measured(place: &Place, plugin: &str, more: &[&str]) -> Value {
    let output =
        harness(place, &[&["run", "--backend", "simulated", "--plugin", plugin, "--report", "json"], more].concat());
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// Copies an example to where nothing of this repository is.
fn copied(place: &Place, name: &str) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in from.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            match path.is_dir() {
                // What a build in the checkout has left.
                true if ["target", "node_modules", ".venv", "__pycache__"].contains(&name) => {}
                true => copy(&path, &to.join(name)),
                false => drop(std::fs::copy(&path, to.join(name)).unwrap()),
            }
        }
    }
    let to = place.path(name);
    copy(&examples().join(name), &to);
    to
}

fn built(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", told(&output));
}

fn does_what_a_plugin_should(place: &Place, plugin: &str) {
    for command in ["check", "test"] {
        let output = harness(place, &["plugin", command, plugin]);
        assert!(output.status.success(), "{}", told(&output));
    }
}

#[test]
fn each_has_the_contract_and_says_how_it_is_built() {
    for name in NAMES {
        let folder = examples().join(name);
        let vendored = std::fs::read_to_string(folder.join("wit/plugin.wit")).unwrap();
        assert!(vendored == include_str!("../../wit/plugin.wit"), "cp wit/plugin.wit examples/{name}/wit/");
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(readme.starts_with(&format!("# {name}\n")) && readme.contains("harness run"), "{name}");
    }
}

/// Copied out of the repository, with nothing of it in reach.
#[test]
fn those_in_rust_build_and_test_alone() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-new");
    for name in ["latency-sweep", "until-stable"] {
        let place = Place::new();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(copied(&place, name)).env("CARGO_TARGET_DIR", &target);
        built(cargo.args(["test", "--release", "--offline", "--locked"]));
    }
}

#[test]
fn latency_sweep_has_figures_of_each_point() {
    let place = Place::new();
    does_what_a_plugin_should(&place, EXAMPLE);
    let sweep = ["--quiet", "--set", "lengths=16,64,2000", "--set", "batches=1,4", "--set", "new-tokens=2"];
    let document = measured(&place, EXAMPLE, &sweep);
    let figures: Vec<&String> = document["summary"].as_object().unwrap().keys().collect();
    assert_eq!(figures.len(), 4 * 3, "{figures:?}");
    for point in ["16_x1", "16_x4", "64_x1", "64_x4"] {
        for metric in ["latency", "time_to_first_token", "tokens_per_second"] {
            assert!(document["summary"][format!("{metric}_{point}")].as_f64().unwrap() > 0.0, "{metric}_{point}");
        }
    }
    assert_eq!(document["runs"][1]["batch"], 4);

    // A point that takes too long is cut; one that fits no context is skipped.
    let place = Place::new();
    let cut = ["--set", "lengths=16,2000", "--set", "batches=1", "--set", "iterations=1000", "--set", "seconds=0.05"];
    let output = harness(&place, &[&["run", "--backend", "simulated", "--plugin", EXAMPLE], cut.as_slice()].concat());
    assert!(
        stderr(&output).contains("2000 tokens and the new ones don't fit a context of 1024; skipped"),
        "{}",
        told(&output)
    );
    assert!(
        stderr(&output).contains("of 1,000 iterations in") && stdout(&output).contains("Time limit: 1 of 1 run"),
        "{}",
        told(&output)
    );
    for wrong in ["lengths=", "batches=0", "seconds=inf", "lengths=2000"] {
        let output = harness(&place, &["plugin", "test", EXAMPLE, "--set", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", told(&output));
    }
}

#[test]
fn until_stable_stops_when_the_mean_is_known() {
    let place = Place::new();
    does_what_a_plugin_should(&place, UNTIL_STABLE);
    // Times are drawn within 2% of each other, so that five runs of fifty requests are enough for 1%.
    let document = measured(&place, UNTIL_STABLE, &["--quiet"]);
    assert_eq!(document["runs"].as_array().unwrap().len(), 5);
    let (mean, half) = (&document["summary"]["latency"], &document["summary"]["latency_half_width"]);
    assert!(half.as_f64().unwrap() <= 0.01 * mean.as_f64().unwrap(), "{document}");
    // The host found it to be the mean of the runs.
    let summary = place.recording().last().unwrap()["summary"].clone();
    assert!(summary[0].get("host_value").is_none() && summary[0].get("unmeasured").is_none(), "{summary}");

    let tight = ["run", "--backend", "simulated", "--plugin", UNTIL_STABLE, "--set", "within=1e-9", "--set", "most=7"];
    let output = harness(&place, &tight);
    assert!(output.status.success(), "{}", told(&output));
    assert!(stderr(&output).contains("after 7 runs the mean is known to"), "{}", told(&output));
    assert_eq!(place.recording().iter().filter(|line| line["type"] == "run").count(), 7);
}

#[test]
#[ignore = "installs componentize-py from PyPI; run with -- --include-ignored"]
fn chat_builds_and_asks_on() {
    let place = Place::new();
    let folder = copied(&place, "chat");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for command in readme.lines().filter(|line| line.contains(".venv") || line.starts_with("python3 -m unittest")) {
        built(Command::new("sh").current_dir(&folder).args(["-c", command]));
    }
    let plugin = folder.join("chat.wasm");
    let plugin = plugin.to_str().unwrap();
    does_what_a_plugin_should(&place, plugin);
    let document = measured(&place, plugin, &["--quiet", "--set", "questions=Why?|And then?|So?"]);
    let tokens = |turn: u32| document["summary"][format!("prompt_tokens_turn_{turn}")].as_f64().unwrap();
    // Each prompt has the last question and its answer in it.
    assert!(tokens(1) + 4.0 < tokens(2) && tokens(2) + 4.0 < tokens(3), "{}", document["summary"]);
    assert_eq!(document["runs"].as_array().unwrap().len(), 3);
    let refused = harness(&place, &["plugin", "test", plugin, "--set", "questions=Why?|"]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
}

#[test]
#[ignore = "installs componentize-js from npm; run with -- --include-ignored"]
fn slack_message_builds_and_says_what_was_measured() {
    let place = Place::new();
    let folder = copied(&place, "slack-message");
    for arguments in [["install", "--no-audit"].as_slice(), &["run", "build"], &["test"]] {
        built(Command::new("npm").current_dir(&folder).args(arguments));
    }
    let plugin = folder.join("slack-message.wasm");
    let plugin = plugin.to_str().unwrap();
    does_what_a_plugin_should(&place, plugin);
    let run = ["run", "--backend", "simulated", "--quick", "--quiet", "--report", &format!("{plugin}=message.json")];
    let output = harness(&place, &run);
    assert!(output.status.success(), "{}", told(&output));
    let message: Value = serde_json::from_str(&std::fs::read_to_string(place.path("message.json")).unwrap()).unwrap();
    assert_eq!(message["blocks"][0]["text"]["text"], "gpt2 on virtual");
    let fields = message["blocks"][1]["fields"].as_array().unwrap();
    assert!(fields.iter().any(|field| field["text"].as_str().unwrap().starts_with("*latency*\n")), "{message}");
    assert!(message.to_string().contains(":warning: Simulated: no model ran."), "{message}");
    let refused = harness(&place, &["report", "--with", plugin, "--set", "metrics=,"]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
}
