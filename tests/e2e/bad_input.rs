//! Everything that can be wrong with what a user gives: one paragraph with cause and remedy, the right exit code, no panic.

use std::process::Output;

use crate::BINARY;
use harness_tests::{Place, golden, stderr, stdout, told};

/// Runs, checks that nothing panicked or went to stdout, and pins exit code and message.
fn refuse(name: &str, place: &Place, arguments: &[&str]) -> Output {
    let output = place.command(BINARY).args(arguments).output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", told(&output));
    assert_eq!(stdout(&output), "", "{}", told(&output));
    let mut settings = insta::Settings::clone_current();
    let folder = place.folder().canonicalize().unwrap();
    settings.add_filter(&regex(&folder.display().to_string()), "[folder]");
    settings.add_filter(&regex(&place.folder().display().to_string()), "[folder]");
    settings.add_filter(&regex(&golden().display().to_string()), "[golden]");
    settings.add_filter(r"/\S*/latency_sweep\.wasm", "latency_sweep.wasm");
    settings.add_filter(
        r"section range \d+\.\.\d+ is out of bounds \(bound = \d+\)",
        "section range [range] is out of bounds",
    );
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    let text = format!("exit {}\n{}", output.status.code().unwrap_or(-1), stderr(&output));
    settings.bind(|| insta::assert_snapshot!(format!("bad_{name}"), text));
    output
}

fn regex(text: &str) -> String {
    text.replace('.', "\\.")
}

/// A copy of a golden checkpoint in the present folder, to be spoilt.
fn model(place: &Place) {
    std::fs::create_dir(place.path("model")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        let to = place.path("model").join(file);
        std::fs::copy(golden().join("prefixed-f32").join(file), &to).unwrap();
        let mut permissions = std::fs::metadata(&to).unwrap().permissions();
        #[allow(clippy::permissions_set_readonly_false, reason = "a file of this test alone")]
        permissions.set_readonly(false);
        std::fs::set_permissions(&to, permissions).unwrap();
    }
}

const QUICK: [&str; 4] = ["run", "--backend", "simulated", "--quick"];

fn quick<'a>(more: &[&'a str]) -> Vec<&'a str> {
    QUICK.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn a_memory_that_is_not_there_can_not_be_measured() {
    let place = Place::new();
    let output =
        place.command(BINARY).args(["run", "--backend", "simulated", "--quick", "--roofline"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(
        stderr(&output).contains("--roofline can't measure the memory: the simulated model has none"),
        "{}",
        told(&output)
    );
    assert!(place.recordings().is_empty());
}

#[test]
fn what_can_not_be_run_says_so_before_anything_is_measured_for_it() {
    let place = Place::new();
    let asked = quick(&["--roofline", "--set", "prompt-tokens=5000"]);
    let output = place.command(BINARY).args(asked).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("does not fit the context of 1024 tokens"), "{}", told(&output));
    let output = place.command(BINARY).args(quick(&["--set", "runs=0"])).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(place.recordings().is_empty(), "no empty recording is the latest now");
}

#[test]
fn a_report_replaces_no_recording() {
    let place = Place::new();
    let said = |arguments: &[&str], part: &str| {
        let output = place.command(BINARY).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(stderr(&output).contains(part), "{}", told(&output));
    };
    let path = recorded(&place);
    let before = std::fs::read(place.path(&path)).unwrap();
    let onto = format!("json={path}");
    said(&["report", &path, "--with", &onto], "that is a recording, which no report replaces; name another file");
    said(&quick(&["--report", &onto]), "that is a recording, which no report replaces");
    assert_eq!(std::fs::read(place.path(&path)).unwrap(), before);
    let twice = "would be written twice; name a file for each";
    said(&quick(&["--recording", "new.jsonl", "--report", "json=./new.jsonl"]), twice);
    said(&quick(&["--report", "csv=out", "--report", "json=out"]), twice);
    assert!(!place.path("new.jsonl").exists() && !place.path("out").exists());
}

#[test]
fn plugins() {
    let place = Place::new();
    refuse("plugin_missing", &place, &quick(&["--plugin", "mine.wasm"]));
    place.write("empty.wasm", "");
    refuse("plugin_empty", &place, &quick(&["--plugin", "empty.wasm"]));
    place.write("text.wasm", "(module)");
    refuse("plugin_text", &place, &quick(&["--plugin", "text.wasm"]));
    place.write("core.wasm", b"\0asm\x01\0\0\0");
    refuse("plugin_core_module", &place, &quick(&["--plugin", "core.wasm"]));
    let whole = std::fs::read(harness_tests::EXAMPLE).unwrap();
    place.write("cut.wasm", &whole[..whole.len() / 2]);
    refuse("plugin_truncated", &place, &quick(&["--plugin", "cut.wasm"]));
    place.write("other.wasm", component("wasi:http/handler@0.2.0"));
    refuse("plugin_of_something_else", &place, &quick(&["--plugin", "other.wasm"]));
    place.write("newer.wasm", component("harness:plugin/workload@9.1.0"));
    refuse("plugin_of_a_newer_contract", &place, &quick(&["--plugin", "newer.wasm"]));
    place.write("older.wasm", component("harness:plugin/workload@0.0.9"));
    refuse("plugin_of_an_older_contract", &place, &quick(&["--plugin", "older.wasm"]));
    refuse("plugin_that_only_reports", &place, &quick(&["--plugin", "csv"]));
    refuse("plugin_folder", &place, &quick(&["--plugin", "."]));
    refuse("report_that_only_runs", &place, &quick(&["--report", harness_tests::EXAMPLE]));
}

#[test]
fn references() {
    let place = Place::new();
    let digest = "0".repeat(64);
    let pinned = format!("oci://127.0.0.1:1/mine@sha256:{digest}");
    refuse("reference_without_digest", &place, &quick(&["--plugin", "oci://ghcr.io/team/mine:0.1.0"]));
    refuse("reference_without_tag", &place, &["plugin", "pull", "oci://ghcr.io/team/mine"]);
    refuse("reference_without_registry", &place, &quick(&["--report", "oci://team/mine:0.1.0=out.csv"]));
    refuse("reference_of_another_digest", &place, &["plugin", "check", "oci://ghcr.io/mine@sha512:0"]);
    refuse("reference_nobody_answers", &place, &["report", "--with", &pinned, &recorded(&place)]);
    refuse("push_to_a_digest", &place, &["plugin", "push", "csv", &pinned]);
    refuse("push_of_no_plugin", &place, &["plugin", "push", "mine.wasm", "oci://127.0.0.1:1/mine:1"]);
    refuse("push_offline", &place, &["plugin", "push", "csv", "oci://127.0.0.1:1/mine:1", "--offline"]);
    refuse("pull_offline", &place, &["plugin", "pull", "oci://127.0.0.1:1/mine:1", "--offline"]);
    refuse("download_offline", &place, &["run", "--quick", "--offline", "--download"]);
    place.write("a.toml", format!("[plugins.mine]\npath = 'mine.wasm'\nreference = '{pinned}'\n"));
    refuse("config_plugin_in_two_places", &place, &["run", "--config", "a.toml"]);
}

/// A recording to report on.
fn recorded(place: &Place) -> String {
    let output = place.command(BINARY).args(quick(&["--quiet", "--recording", "r.jsonl"])).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    "r.jsonl".into()
}

/// A component that exports one empty interface.
fn component(interface: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (instance $i) (export \"{interface}\" (instance $i)))")).unwrap()
}

#[test]
fn settings() {
    let place = Place::new();
    refuse("setting_unknown", &place, &quick(&["--set", "run=3"]));
    refuse("setting_no_number", &place, &quick(&["--set", "runs=many"]));
    refuse("setting_no_runs", &place, &quick(&["--set", "runs=0"]));
    refuse("setting_no_iterations", &place, &quick(&["--set", "iterations=0"]));
    refuse("setting_no_batch", &place, &quick(&["--set", "batch=0"]));
    refuse("setting_temperature", &place, &quick(&["--set", "temperature=-1"]));
    refuse("setting_without_value", &place, &quick(&["--set", "runs"]));
    let before = place.recordings().len();
    let junit = ["--report", "junit", "--report-set"];
    let set = |setting: &'static str| quick(&[&junit[..], &[setting]].concat());
    refuse("report_setting_unknown", &place, &set("junit.latency=1"));
    refuse("report_setting_no_number", &place, &set("junit.latency-max=soon"));
    refuse("report_setting_of_no_report", &place, &set("csv.what=runs"));
    refuse("report_setting_without_value", &place, &set("junit.latency-max"));
    assert_eq!(place.recordings().len(), before, "nothing was run");
    place.write("a.toml", "[report-set.jnuit]\nlatency-max = 1\n");
    refuse("config_report_set", &place, &quick(&["--config", "a.toml"]));
    refuse("prompt_past_the_context", &place, &quick(&["--set", "prompt-tokens=2000"]));
    refuse("prompt_empty", &place, &["generate", "--backend", "simulated", ""]);
    refuse(
        "generate_past_the_context",
        &place,
        &["generate", "--backend", "simulated", "--max-new-tokens", "2000", "x"],
    );
    refuse("generate_token", &place, &["generate", "--backend", "simulated", "--tokens", "60000"]);
    refuse("simulate_for_ever", &place, &quick(&["--simulate", "time-per-token=500years"]));
    refuse("simulated_on_a_device", &place, &quick(&["--device", "cuda:7"]));
    refuse("simulate_without_simulated", &place, &["run", "--simulate", "jitter=0"]);
    refuse("simulate_unknown", &place, &quick(&["--simulate", "speed=1"]));
}

#[test]
fn models() {
    let place = Place::new();
    let run = ["run", "--quick", "--device", "cpu", "--model"];
    let with = |model: &'static str| run.iter().copied().chain([model]).collect::<Vec<_>>();
    refuse("model_unknown", &place, &with("gpt-9"));
    std::fs::create_dir(place.path("empty")).unwrap();
    refuse("model_without_config", &place, &with("./empty"));
    refuse("model_of_a_folders_bare_name", &place, &with("empty"));
    model(&place);
    let weights = place.path("model/model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    refuse("model_truncated", &place, &with("./model"));
    std::fs::write(&weights, renamed(&whole, "transformer.h.1.mlp.c_fc.bias", "transformer.h.1.mlp.c_fc.bios"))
        .unwrap();
    refuse("model_without_a_tensor", &place, &with("./model"));
    std::fs::write(&weights, renamed(&whole, "\"F32\"", "\"I32\"")).unwrap();
    refuse("model_of_another_dtype", &place, &with("./model"));
    std::fs::write(&weights, &whole).unwrap();
    let config = std::fs::read_to_string(place.path("model/config.json")).unwrap();
    place.write("model/config.json", config.replace("\"n_embd\": 64", "\"n_embd\": 32"));
    refuse("model_of_another_shape", &place, &with("./model"));
    place.write("model/config.json", config.replace("\"gelu_new\"", "\"swish\""));
    refuse("model_with_another_activation", &place, &with("./model"));
    place.write("model/config.json", "{");
    refuse("model_with_a_broken_config", &place, &with("./model"));
}

/// The first occurrence of a text of a safetensors header replaced by one of the same length.
fn renamed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn devices() {
    let place = Place::new();
    // A binary with CUDA on a machine with a GPU says something else: tests/gpu/check.py has that.
    if !cfg!(any(feature = "cuda", feature = "candle-cuda")) {
        refuse("device_without_cuda", &place, &["run", "--quick", "--device", "cuda:7"]);
        refuse("backend_fused_without_cuda", &place, &["run", "--quick", "--backend", "fused"]);
    }
    refuse("backend_fused_on_a_cpu", &place, &["run", "--quick", "--backend", "fused", "--device", "cpu"]);
    refuse("tf32_on_a_cpu", &place, &["run", "--quick", "--tf32", "--device", "cpu"]);
    refuse("tf32_with_candle", &place, &["run", "--quick", "--tf32", "--backend", "candle"]);
    refuse("tf32_with_f16", &place, &["run", "--quick", "--tf32", "--dtype", "f16"]);
    refuse("tf32_simulated", &place, &["run", "--quick", "--tf32", "--backend", "simulated"]);
    refuse("device_unknown", &place, &["run", "--device", "tpu"]);
    refuse("dtype_unknown", &place, &["run", "--dtype", "f8"]);
    refuse("backend_unknown", &place, &["run", "--backend", "torch"]);
}

#[test]
fn files() {
    let place = Place::new();
    refuse("config_missing", &place, &["run", "--config", "none.toml"]);
    place.write("a.toml", "[run]\nplugin = 'default'\nplugins = 'x'\n");
    refuse("config_unknown_key", &place, &["run", "--config", "a.toml"]);
    place.write("b.toml", "[limits]\nmax-memory = 'lots'\n");
    refuse("config_bad_size", &place, &["run", "--config", "b.toml"]);
    place.write("c.toml", "[run\n");
    refuse("config_no_toml", &place, &["run", "--config", "c.toml"]);
    refuse("config_folder", &place, &["run", "--config", "."]);
    refuse("report_into_no_folder", &place, &quick(&["--report", "csv=none/a.csv"]));
    refuse("recording_into_a_file", &place, &quick(&["--recording", "a.toml/r.jsonl"]));
    refuse("recording_missing", &place, &["report", "none.jsonl"]);
    refuse("recording_none", &place, &["report"]);
    place.write("text.jsonl", "hello\n");
    refuse("recording_of_text", &place, &["report", "text.jsonl"]);
    place.write("empty.jsonl", "");
    refuse("recording_empty", &place, &["report", "empty.jsonl"]);
    place.write("new.jsonl", "{\"type\":\"header\",\"schema\":\"harness-recording/2\",\"facts\":{}}\n");
    refuse("recording_of_a_newer_schema", &place, &["report", "new.jsonl"]);
}

#[test]
fn a_report_that_cannot_be_written_keeps_the_recording() {
    let place = Place::new();
    let output = refuse_lossless(&place, &quick(&["--quiet", "--recording", "r.jsonl", "--report", "csv=/dev/full"]));
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("2 finished runs are kept in r.jsonl"), "{}", told(&output));
}

fn refuse_lossless(place: &Place, arguments: &[&str]) -> Output {
    let output = place.command(BINARY).args(arguments).output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", told(&output));
    assert!(place.path("r.jsonl").exists());
    output
}
