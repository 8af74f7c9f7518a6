//! `harness run` from outside: the documented test, recordings, what a stop or a failure leaves.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::{BINARY, harness};
use harness_tests::{EXAMPLE, Place, golden, lines, signal, stderr, stdout, told};
use serde_json::Value;

fn simulated(place: &Place, arguments: &[&str]) -> Output {
    let mut all = vec!["run", "--backend", "simulated"];
    all.extend(arguments);
    harness(place, &all)
}

/// Replaces what differs between machines and runs.
fn filtered() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.-]+Z", "[time]");
    settings.add_filter(r"[0-9a-f]{64}", "[sha256]");
    settings.add_filter(r"harness 0\.1\.0 \([^)]*\)", "harness 0.1.0 ([commit])");
    settings.add_filter(r"(?m)^host  .*$", "host      [machine]");
    settings.add_filter(r"/\S*/recordings/", "[recordings]/");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings
}

#[test]
fn the_documented_test_averages_ten_runs_of_a_hundred() {
    let place = Place::new();
    // The component as a file: what a stranger would send.
    std::fs::copy(harness_bundle_file("default.wasm"), place.path("default.wasm")).unwrap();
    let output = simulated(&place, &["--plugin", "./default.wasm", "--seed", "7"]);
    assert!(output.status.success(), "{}", told(&output));

    let lines = place.recording();
    let runs: Vec<&Value> = lines.iter().filter(|line| line["type"] == "run").collect();
    assert_eq!(runs.len(), 10);
    for run in &runs {
        assert_eq!(run["iterations"], 100);
        assert_eq!(run["samples"]["latency"]["values"].as_array().unwrap().len(), 100);
        assert_eq!(run["samples"]["inter_token_latency"]["values"].as_array().unwrap().len(), 100 * 49);
        assert_eq!(run["values"]["new_tokens"], 5000.0);
        let (wall, throughput) = (run["wall_time"].as_f64().unwrap(), run["values"]["throughput"].as_f64().unwrap());
        assert!((throughput - 100.0 / wall).abs() < 1e-9 * throughput);
    }
    let end = lines.last().unwrap();
    assert_eq!((&end["type"], &end["status"]), (&"end".into(), &"complete".into()));
    for metric in ["throughput", "latency", "memory_allocated", "memory_peak"] {
        let sum: f64 = runs.iter().map(|run| run["values"][metric].as_f64().unwrap()).sum();
        let reading = end["summary"].as_array().unwrap().iter().find(|r| r["name"] == metric).unwrap();
        assert_eq!(reading["value"].as_f64().unwrap(), sum / 10.0, "{metric}: summed and divided by ten");
        assert!(reading.get("host_value").is_none());
    }
    filtered().bind(|| insta::assert_snapshot!("documented_test", stdout(&output)));
}

fn harness_bundle_file(name: &str) -> std::path::PathBuf {
    // The folder that the README names: target/plugins, beside the profile's folder that the binary lies in.
    let profile = std::path::Path::new(BINARY).parent().unwrap();
    profile.parent().unwrap().join("plugins").join(name)
}

#[test]
fn prefill_and_decode_are_told_apart() {
    let place = Place::new();
    let set = ["--set", "runs=1", "--set", "iterations=5", "--set", "batch=3", "--set", "max-new-tokens=7"];
    let output = simulated(&place, &set);
    assert!(output.status.success(), "{}", told(&output));
    let lines = place.recording();
    let run = lines.iter().find(|line| line["type"] == "run").unwrap();
    let value = |metric: &str| run["values"][metric].as_f64().unwrap();
    let sum = |metric: &str| -> f64 {
        run["samples"][metric]["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).sum()
    };
    // Each of three sequences has 6 tokens after its first.
    let rates = [
        ("prefill_throughput", value("prompt_tokens") / sum("time_to_first_token")),
        ("decode_throughput", 5.0 * 3.0 * 6.0 / sum("inter_token_latency")),
    ];
    for (metric, rate) in rates {
        assert!((value(metric) / rate - 1.0).abs() < 1e-9, "{metric}: {} and {rate}", value(metric));
    }
    assert!((value("host_overhead") - (value("latency") - value("device_time"))).abs() < 1e-12, "{run}");

    let output = simulated(&place, &["--set", "runs=1", "--set", "iterations=1", "--set", "max-new-tokens=1"]);
    assert!(output.status.success(), "{}", told(&output));
    let lines = place.recording();
    let run = lines.iter().find(|line| line["type"] == "run").unwrap();
    assert!(run["values"]["decode_throughput"].is_null() && run["values"]["prefill_throughput"].is_f64(), "{run}");
    assert_eq!(run["absent"]["decode_throughput"], "no request gave more than one token");
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let runs = |seed: &str| {
        let place = Place::new();
        let output = simulated(&place, &["--quick", "--seed", seed]);
        assert!(output.status.success(), "{}", told(&output));
        let lines = place.recording();
        lines.into_iter().filter(|line| line["type"] == "run").collect::<Vec<_>>()
    };
    assert_eq!(runs("1"), runs("1"));
    assert_ne!(runs("1"), runs("2"));
}

#[test]
fn gpt2_of_a_folder_is_measured_on_the_cpu() {
    let place = Place::new();
    let model = golden().join("prefixed-f32");
    let output = harness(
        &place,
        &[
            "run",
            "--quick",
            "--device",
            "cpu",
            "--model",
            model.to_str().unwrap(),
            "--set",
            "prompt-tokens=5",
            "--set",
            "max-new-tokens=8",
            "--set",
            "batch=2",
        ],
    );
    assert!(output.status.success(), "{}", told(&output));
    let lines = place.recording();
    let facts = &lines[0]["facts"];
    assert_eq!(facts["model.backend"], "candle");
    assert!(facts["model.weights"].as_str().unwrap().starts_with("sha256:"));
    let run = &lines[1];
    assert_eq!(run["values"]["new_tokens"], 5.0 * 8.0 * 2.0);
    assert_eq!(run["values"]["prompt_tokens"], 5.0 * 5.0 * 2.0);
    assert!(run["values"]["resident_memory_peak"].as_f64() >= run["values"]["resident_memory"].as_f64());
    // What a CPU can't have is absent with a reason, and never zero.
    for metric in ["memory_allocated", "memory_peak", "gpu_utilization", "memory_utilization", "energy"] {
        assert!(run["values"].get(metric).is_none(), "{metric}");
        assert!(run["absent"][metric].as_str().unwrap().len() > 10, "{metric}");
        assert!(stdout(&output).contains("CPU") || stdout(&output).contains("cpu"));
    }
}

#[test]
fn a_component_from_outside_the_workspace_runs() {
    let place = Place::new();
    let output = simulated(&place, &["--plugin", EXAMPLE, "--report", "csv"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(stdout(&output).lines().count() > 2, "{}", told(&output));
}

#[test]
fn facts_say_what_ran_where() {
    let place = Place::new();
    let output = simulated(&place, &["--quick", "--set", "prompt=two words"]);
    assert!(output.status.success(), "{}", told(&output));
    let lines = place.recording();
    assert_eq!(lines[0]["schema"], "harness-recording/1");
    let facts = lines[0]["facts"].as_object().unwrap();
    for fact in [
        "start",
        "host.name",
        "os.kernel",
        "cpu.model",
        "cpu.cores",
        "harness.version",
        "harness.commit",
        "plugin.name",
        "plugin.version",
        "plugin.sha256",
        "plugin.contract",
        "model.name",
        "model.dtype",
        "model.weights",
        "model.backend",
        "seed",
        "command",
        "setting.runs",
    ] {
        assert!(!facts[fact].as_str().unwrap().is_empty(), "{fact}");
    }
    assert_eq!(facts["command"], "harness run --backend simulated --quick --set 'prompt=two words'");
    assert_eq!(facts["setting.prompt"], "two words");
}

#[test]
fn a_configuration_is_read_and_flags_win() {
    let place = Place::new();
    place.write(
        "harness.toml",
        "[run]\nseed = 5\nquick = true\n[model]\nbackend = 'simulated'\n[set]\nruns = 3\niterations = 2\n",
    );
    let output = harness(&place, &["run", "--set", "runs=1"]);
    assert!(output.status.success(), "{}", told(&output));
    let lines = place.recording();
    assert_eq!(lines.iter().filter(|line| line["type"] == "run").count(), 1);
    assert_eq!(lines[1]["iterations"], 2);
    assert_eq!(lines[0]["facts"]["seed"], "5");
}

#[test]
fn quiet_says_nothing_but_the_report() {
    let place = Place::new();
    let output = simulated(&place, &["--quick", "--quiet"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(stderr(&output), "");
    assert!(stdout(&output).contains("throughput") || stdout(&output).contains("Throughput"), "{}", told(&output));
}

#[test]
fn a_lost_device_keeps_the_finished_runs() {
    let place = Place::new();
    // Each run serves 3 + 5 requests: the third run loses the device.
    let output = simulated(
        &place,
        &["--set", "runs=9", "--set", "iterations=5", "--set", "warmup=3", "--simulate", "fail-at=20"],
    );
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("the device failed"), "{}", told(&output));
    assert!(stderr(&output).contains("2 finished runs are kept in "), "{}", told(&output));
    let lines = place.recording();
    assert_eq!(lines.iter().filter(|line| line["type"] == "run").count(), 2);
    assert_eq!(lines.last().unwrap()["status"], "failed");
    // The finished runs are shown.
    assert!(stdout(&output).contains("failed"), "{}", told(&output));
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let place = Place::new();
    let output = simulated(&place, &["--quick", "--recording", "/dev/full"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("can't write the recording /dev/full"), "{}", told(&output));
}

fn in_real_time(place: &Place) -> Command {
    let mut command = place.command(BINARY);
    command
        .args(["run", "--backend", "simulated", "--simulate", "real-time=true", "--simulate", "time-per-token=1ms"])
        .args(["--set", "runs=1000", "--set", "iterations=2", "--set", "warmup=0", "--set", "max-new-tokens=2"])
        .args(["--recording", "r.jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn wait_for_runs(place: &Place, runs: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let text = std::fs::read_to_string(place.path("r.jsonl")).unwrap_or_default();
        if text.matches("\"type\":\"run\"").count() >= runs {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no runs were recorded");
}

#[test]
fn an_interrupt_keeps_what_was_recorded() {
    let place = Place::new();
    let child = in_real_time(&place).spawn().unwrap();
    wait_for_runs(&place, 3);
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    assert!(stderr(&output).contains("finished runs are kept in r.jsonl"), "{}", told(&output));
    let lines = lines(&place.path("r.jsonl"));
    assert_eq!(lines.last().unwrap()["status"], "interrupted");
    assert!(lines.len() >= 5);
}

#[test]
fn an_interrupt_ends_a_guest_that_computes() {
    let place = Place::new();
    let child = place
        .command(BINARY)
        .args([
            "run",
            "--backend",
            "simulated",
            "--quiet",
            "--recording",
            "r.jsonl",
            "--plugin",
            harness_tests::HOSTILE,
        ])
        .args(["--set", "act=loop"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !place.path("r.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The guest gets a second of grace.
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    assert_eq!(lines(&place.path("r.jsonl")).last().unwrap()["status"], "interrupted");
}

#[test]
fn a_kill_leaves_every_finished_run_readable() {
    let place = Place::new();
    let mut child = in_real_time(&place).spawn().unwrap();
    wait_for_runs(&place, 3);
    signal(&child, "KILL");
    child.wait().unwrap();
    let output = harness(&place, &["report", "r.jsonl", "--with", "json"]);
    assert!(output.status.success(), "{}", told(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(report["runs"].as_array().unwrap().len() >= 3);
    assert!(stdout(&output).contains("unfinished"));
}

#[test]
fn a_reader_of_stderr_that_has_gone_ends_no_measurement() {
    let place = Place::new();
    let command = format!("{BINARY} run --backend simulated --recording r.jsonl 2>&1 >/dev/null | head -n 1");
    let output = place.command("sh").args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(lines(&place.path("r.jsonl")).last().unwrap()["status"], "complete");
}

#[test]
fn a_recording_is_never_replaced() {
    let place = Place::new();
    assert!(simulated(&place, &["--quick", "--recording", "r.jsonl"]).status.success());
    let before = lines(&place.path("r.jsonl"));
    let output = simulated(&place, &["--quick", "--recording", "r.jsonl"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    let said = "r.jsonl is there already, and a recording replaces nothing; give another name with --recording, or move it away";
    assert!(stderr(&output).contains(said), "{}", told(&output));
    assert_eq!(lines(&place.path("r.jsonl")), before);
    // Said before a model is looked for, which can take long.
    let output = harness(&place, &["run", "--device", "cpu", "--model", "no/such/folder", "--recording", "r.jsonl"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains(said), "{}", told(&output));
}

#[test]
fn limits_end_a_recording_and_say_how_to_raise_them() {
    let place = Place::new();
    let output = simulated(&place, &["--max-iterations", "250"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("allow more with --max-iterations"), "{}", told(&output));
    assert_eq!(place.recording().last().unwrap()["status"], "stopped");

    let output = in_real_time(&place).args(["--max-time", "300ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    // Whether the host's clock or the plugin's strikes first, while the one or the other works, is chance.
    let said = stderr(&output);
    for part in ["the wall time of 0.3 s", "is used up; allow more with --max-time"] {
        assert!(said.contains(part), "{}", told(&output));
    }
}

#[test]
fn the_cpu_is_said_and_how_long_it_takes() {
    let place = Place::new();
    let model = golden().join("bare-f16");
    let output = harness(
        &place,
        &[
            "run",
            "--model",
            model.to_str().unwrap(),
            "--set",
            "prompt-tokens=4",
            "--set",
            "runs=2",
            "--set",
            "iterations=3",
            "--set",
            "max-new-tokens=12",
        ],
    );
    assert!(output.status.success(), "{}", told(&output));
    // A machine with a GPU, in a build that can use it, takes the GPU.
    if stderr(&output).contains("running on the CPU") {
        assert!(stderr(&output).contains("running on the CPU: about "), "{}", told(&output));
        assert!(stderr(&output).contains(" for 12 iterations; --quick: about "), "{}", told(&output));
    }
}

#[test]
fn warm_up_until_steady_leaves_nothing_of_a_cold_start() {
    // Three times as slow at first, falling to 1/e of that in ten calls: with a fixed warm-up, the first run has most of it.
    let first_run = |warmup: &str| {
        let place = Place::new();
        let warmup = format!("warmup={warmup}");
        let cold = [
            "--simulate",
            "cold=2",
            "--set",
            "runs=3",
            "--set",
            "iterations=20",
            "--set",
            &warmup,
            "--recording",
            "r.jsonl",
        ];
        let output = simulated(&place, &cold);
        assert!(output.status.success(), "{}", told(&output));
        (lines(&place.path("r.jsonl"))[1].clone(), output)
    };
    // Half a millisecond, and 49 times 0.2.
    let slower = |run: &Value| run["values"]["latency"].as_f64().unwrap() / 0.0103 - 1.0;

    let (fixed, _) = first_run("3");
    assert!(slower(&fixed) > 0.5, "{}", slower(&fixed));
    assert_eq!((&fixed["warmup"], &fixed["warmup_steady"]), (&3.into(), &Value::Null));
    assert!(fixed["warmup_time"].as_f64().unwrap() > 3.0 * 0.0103);

    let (steady, output) = first_run("auto");
    assert!(slower(&steady) < 0.005, "{}", slower(&steady));
    let served = steady["warmup"].as_u64().unwrap();
    assert!(steady["warmup_steady"] == true && (30..500).contains(&served), "{served}");
    assert!(steady["warmup_time"].as_f64().unwrap() > served as f64 * 0.0103);
    assert!(stdout(&output).contains("in each until latency was steady"), "{}", told(&output));

    let (unsteady, output) = first_run("auto:20");
    assert_eq!((&unsteady["warmup"], &unsteady["warmup_steady"]), (&20.into(), &false.into()));
    assert!(stderr(&output).contains("met its limit of 20 iterations"), "{}", told(&output));
    assert!(stdout(&output).contains("latency was not steady"), "{}", told(&output));
}

#[test]
fn a_stop_rule_ends_it_and_the_report_says_which() {
    let made = |stop: &str, most: &str| {
        let place = Place::new();
        let (stop, runs) = (format!("stop={stop}"), format!("runs={most}"));
        let noisy = ["--simulate", "run-jitter=0.005", "--set", "iterations=20", "--set", &stop, "--set", &runs];
        let output = simulated(&place, &noisy);
        assert!(output.status.success(), "{}", told(&output));
        let runs = place.recording().iter().filter(|line| line["type"] == "run").count();
        // As one line, wherever the terminal's was broken.
        (runs, stdout(&output).split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (runs, text) = made("1%", "100");
    assert!(
        (8..=20).contains(&runs) && text.contains(&format!("Stop rule (stop=1%): met after {runs} runs")),
        "{runs} {text}"
    );
    let (runs, text) = made("0.01%", "9");
    assert!(runs == 9 && text.contains("not met. The limit of 9 runs came first"), "{runs} {text}");
    // A run and its warm-up take 23 times 10.3 ms of the virtual clock.
    let (runs, text) = made("1s", "100");
    assert!(runs == 5 && text.contains("Stop rule (stop=1s): met after 5 runs"), "{runs} {text}");
    let (runs, text) = made("1h", "4");
    assert!(runs == 4 && text.contains("all 4 runs were made before"), "{runs} {text}");
    let (runs, text) = made("fixed", "4");
    assert!(runs == 4 && !text.contains("Stop rule"), "{runs} {text}");
}

#[test]
fn the_simulated_memory_is_what_it_is_set_to() {
    let place = Place::new();
    let output = simulated(
        &place,
        &["--quick", "--simulate", "memory=1000000", "--simulate", "memory-peak=3000000", "--recording", "r.jsonl"],
    );
    assert!(output.status.success(), "{}", told(&output));
    let values = &lines(&place.path("r.jsonl"))[1]["values"];
    assert_eq!((&values["memory_allocated"], &values["memory_peak"]), (&1e6.into(), &3e6.into()), "{values}");
}
