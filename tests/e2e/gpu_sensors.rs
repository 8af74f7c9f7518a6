//! The binary with a GPU's driver that is played by `fake-nvml`.

use std::process::Output;

use crate::BINARY;
use harness_tests::{Place, stderr, stdout, told};
use serde_json::Value;

/// Two runs of some 0.4 s of real time, with the sensors of GPU `gpu`.
fn run(place: &Place, gpu: &str) -> Output {
    run_of(place, gpu, "8")
}

fn run_of(place: &Place, gpu: &str, iterations: &str) -> Output {
    place
        .command(BINARY)
        .args(["run", "--backend", "simulated", "--simulate", "real-time=true", "--simulate", "time-per-token=5ms"])
        .args([
            "--set",
            "runs=2",
            "--set",
            &format!("iterations={iterations}"),
            "--set",
            "warmup=0",
            "--set",
            "max-new-tokens=10",
        ])
        .args(["--sensors", gpu, "--idle-time", "0s"])
        .output()
        .unwrap()
}

fn runs(place: &Place) -> Vec<Value> {
    place.recording().into_iter().filter(|line| line["type"] == "run").collect()
}

/// A fact of which nobody knows what it means for a comparison would be told, or refused, by accident.
#[test]
fn every_recorded_fact_is_in_the_list() {
    let place = Place::with_gpu("normal");
    let model = harness_tests::golden().join("prefixed-f32");
    let on_the_cpu =
        ["--roofline", "--idle-time", "200ms", "--sensors", "0", "--device", "cpu", "--model", model.to_str().unwrap()];
    for more in [&on_the_cpu[..], &["--backend", "simulated", "--sensors", "0"]] {
        let quick = ["run", "--quick", "--set", "max-new-tokens=2", "--set", "prompt-tokens=5"];
        let output = place.command(BINARY).args(quick).args(more).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let facts = place.recording()[0]["facts"].as_object().unwrap().clone();
        assert!(facts.contains_key("driver.version") && facts.contains_key("cpu.affinity"), "{facts:?}");
        let unknown: Vec<&String> =
            facts.keys().filter(|name| harness_core::fact::definition(name).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        for recording in place.recordings() {
            std::fs::remove_file(recording).unwrap();
        }
    }
}

#[test]
fn every_sensor_metric_is_recorded() {
    let place = Place::with_gpu("normal");
    let output = run(&place, "0");
    assert!(output.status.success(), "{}", told(&output));
    for run in runs(&place) {
        for metric in [
            "gpu_utilization",
            "memory_utilization",
            "gpu_memory_used",
            "memory_controller_utilization",
            "energy",
            "energy_per_request",
            "energy_per_token",
            "power",
            "temperature",
            "sm_clock",
            "memory_clock",
            "throttled_time",
            "sm_occupancy",
            "tensor_active",
            "dram_bandwidth_utilization",
        ] {
            assert!(run["values"][metric].is_f64(), "{metric}: {}", run["absent"]);
        }
        for ratio in [
            "gpu_utilization",
            "memory_utilization",
            "memory_controller_utilization",
            "sm_occupancy",
            "tensor_active",
            "dram_bandwidth_utilization",
        ] {
            assert!((0.0..=1.0).contains(&run["values"][ratio].as_f64().unwrap()), "{ratio}");
        }
        let wall = run["wall_time"].as_f64().unwrap();
        for (metric, series) in run["samples"].as_object().unwrap() {
            let Some(times) = series["times"].as_array() else { continue };
            assert_eq!(times.len(), series["values"].as_array().unwrap().len(), "{metric}");
            assert!(times.iter().all(|t| (-0.3..=wall + 0.3).contains(&t.as_f64().unwrap())), "{metric}");
        }
    }
    let facts = &place.recording()[0]["facts"];
    for fact in
        ["driver.version", "cuda.version", "gpu.name", "gpu.uuid", "gpu.vbios", "gpu.power_limit", "gpu.ecc", "gpu.mig"]
    {
        assert!(facts[fact].is_string(), "{fact}");
    }
}

#[test]
fn the_idle_gpus_power_is_measured_before_the_test() {
    let idle = |scenario: &str, more: &[&str]| {
        let place = Place::with_gpu(scenario);
        let mut command = place.command(BINARY);
        command.args(["run", "--backend", "simulated", "--set", "runs=1", "--set", "iterations=2", "--sensors", "0"]);
        let output = command.args(more).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        (place.recording()[0]["facts"].clone(), output)
    };
    let (facts, output) = idle("normal", &[]);
    let fact = |facts: &Value, name: &str| facts[name].as_str().unwrap().to_owned();
    // 504.5 W by the counter, which moves each 0.1 s.
    assert!((400.0..610.0).contains(&fact(&facts, "idle.power").parse().unwrap()), "{facts}");
    assert!(fact(&facts, "idle.time").parse::<f64>().unwrap() >= 1.0);
    assert_eq!(fact(&facts, "idle.source"), "energy counter");
    assert!(stdout(&output).contains("Idle before the test: "), "{}", told(&output));

    let (facts, _) = idle("normal,no-energy", &["--idle-time", "300ms"]);
    assert_eq!(fact(&facts, "idle.source"), "power sensor");
    assert!((500.0..510.0).contains(&fact(&facts, "idle.power").parse().unwrap()), "{facts}");
    let (facts, output) = idle("normal,no-energy,no-power,no-buffer", &["--idle-time", "300ms"]);
    assert!(facts["idle.power"].is_null());
    assert!(
        stderr(&output).contains("the power of the idle GPU is not known: the GPU does not have it"),
        "{}",
        told(&output)
    );
    for off in [&["--quick"][..], &["--idle-time", "0s"]] {
        assert!(idle("normal", off).0["idle.power"].is_null(), "{off:?}");
    }
}

#[test]
fn a_run_that_is_too_short_for_the_sensors_says_so() {
    // Under one window of utilisation, which is 0.2 s here.
    let output = run_of(&Place::with_gpu("normal"), "0", "3");
    assert!(output.status.success(), "{}", told(&output));
    assert!(stdout(&output).contains("too few"), "{}", told(&output));
}

#[test]
fn a_field_that_is_not_supported_is_absent() {
    let place = Place::with_gpu("normal,no-energy,no-utilization,no-buffer");
    let output = run(&place, "0");
    assert!(output.status.success(), "{}", told(&output));
    for run in runs(&place) {
        for metric in ["energy", "energy_per_request", "energy_per_token", "gpu_utilization"] {
            assert!(run["values"].get(metric).is_none(), "{metric}");
            assert!(run["absent"][metric].is_string(), "{metric}");
        }
        assert!(run["values"]["power"].is_f64());
    }
}

#[test]
fn a_gpu_that_is_lost_in_the_middle_does_not_end_the_run() {
    let place = Place::with_gpu("normal,lost-after:150");
    let output = run(&place, "0");
    assert!(output.status.success(), "{}", told(&output));
    let runs = runs(&place);
    assert_eq!(runs.len(), 2);
    assert!(runs[1]["absent"]["power"].as_str().unwrap().to_lowercase().contains("lost"), "{}", runs[1]["absent"]);
}

#[test]
fn heat_or_a_power_brake_that_begins_in_mid_run_marks_the_run_and_the_verdict() {
    let place = Place::with_gpu("normal");
    let calm = run(&place, "0");
    assert!(calm.status.success(), "{}", told(&calm));
    let base = place.write("base.jsonl", std::fs::read(&place.recordings()[0]).unwrap());
    // Runs of some 0.4 s: the second begins so, the first may be over before.
    for (scenario, reason) in [("hot:600", "hw_thermal_slowdown"), ("brake:600", "hw_power_brake_slowdown")] {
        let held = Place::with_gpu(scenario);
        let output = run_of(&held, "0", "8");
        assert!(output.status.success(), "{}", told(&output));
        let runs = runs(&held);
        assert!(runs[1]["values"][format!("throttled_time_{reason}")].as_f64().unwrap() > 0.0, "{runs:?}");
        let words = reason.replace('_', " ");
        assert!(stdout(&output).contains("Clocks were held down in "), "{}", told(&output));
        assert!(stdout(&output).replace('\n', " ").contains(&format!("(hw slowdown, {words})")), "{}", told(&output));
        assert!(stderr(&output).contains("clocks were held down in "), "{}", told(&output));

        let new = held.recordings()[0].clone();
        for report in ["markdown", "html"] {
            let output = held.command(BINARY).arg("report").arg(&new).args(["--with", report]).output().unwrap();
            assert!(stdout(&output).contains("Clocks were held down in "), "{}", told(&output));
        }
        let compare = |format: &str| {
            let mut command = place.command(BINARY);
            let output = command.arg("compare").args([&base, &new]).args(["--format", format]).output().unwrap();
            assert!(output.status.success(), "{}", told(&output));
            stdout(&output)
        };
        for format in ["table", "markdown"] {
            let text = compare(format);
            assert!(
                text.contains(&format!("of the new side (hw_slowdown, {reason}):\na verdict here may be of heat")),
                "{text}"
            );
        }
        let document: Value = serde_json::from_str(&compare("json")).unwrap();
        let throttled = &document["comparisons"][0]["throttled"];
        assert_eq!((&throttled["base"], &throttled["new"]["of"]), (&Value::Null, &Value::from(2)), "{throttled}");
    }
}

#[test]
fn without_gpm_the_run_has_everything_else_and_says_why() {
    for (scenario, why) in [
        ("old-driver", "the driver is too old: its NVML lacks nvmlGpmQueryDeviceSupport"),
        ("no-gpm", "the GPU has no GPM; Hopper and newer have"),
        ("mig", "the GPU is partitioned (MIG), and GPM is read of whole GPUs only"),
    ] {
        let place = Place::with_gpu(scenario);
        let output = run(&place, "0");
        assert!(output.status.success(), "{}", told(&output));
        for run in runs(&place) {
            for metric in ["sm_occupancy", "tensor_active", "dram_bandwidth_utilization"] {
                assert!(run["values"][metric].is_null() && run["absent"][metric] == why, "{metric}: {}", run["absent"]);
            }
            assert!(run["values"]["energy"].is_f64() && run["values"]["power"].is_f64(), "{}", run["absent"]);
        }
        assert!(!stdout(&output).contains("sm_occupancy"), "{}", told(&output));
    }
}

#[test]
fn a_driver_that_hangs_costs_samples_and_no_run() {
    let place = Place::with_gpu("normal,hang:1000");
    let output = run(&place, "0");
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(runs(&place).len(), 2);
}

#[test]
fn a_gpu_is_found_by_its_uuid_whatever_its_number() {
    let place = Place::with_gpu("two-gpus");
    let output = place.command(BINARY).args(["devices", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let devices: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let gpus = devices["nvml"]["gpus"].as_array().unwrap();
    assert_eq!(gpus.len(), 2);
    for gpu in gpus {
        let place = Place::with_gpu("two-gpus");
        let output = run(&place, gpu["uuid"].as_str().unwrap());
        assert!(output.status.success(), "{}", told(&output));
        let facts = &place.recording()[0]["facts"];
        assert_eq!((&facts["gpu.uuid"], &facts["gpu.name"]), (&gpu["uuid"], &gpu["name"]));
    }
}

#[test]
fn a_gpu_that_was_named_must_be_there() {
    let output = run(&Place::with_gpu("normal"), "3");
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    let output = run(&Place::with_gpu("normal"), "first");
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("'first' names no GPU"), "{}", told(&output));
}
