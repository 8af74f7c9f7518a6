//! Drivers that don't answer, fail, or say what can't be true: the binary with each function of NVML so.
//!
//! `cargo test --test e2e drivers:: -- --include-ignored` tries all; with `UPDATE_DOCS=1` it writes the tables of `docs/reliability.md` anew.

mod case;
mod tables;

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use harness_tests::fake_nvml::{FUNCTIONS, LIBRARY_NAME, MARK_FILE};
use harness_tests::{HOSTILE, Place, golden, stderr, stdout, told};
use serde_json::Value;

use self::case::{Case, each};
use crate::BINARY;

/// The time that the driver has in these tests.
const LIMIT: [&str; 2] = ["--max-driver-time", "1s"];

fn harness(place: &Place, arguments: &[&str]) -> Output {
    let output = place.command(BINARY).args(arguments).output().unwrap();
    // `timeout`, which starts it, ends by the signal that ended it, and by 137 where it had to kill.
    let ended = output.status.code().filter(|code| ![101, 134, 135, 137, 139].contains(code));
    assert!(ended.is_some() && output.status.signal().is_none(), "{arguments:?}: {}", told(&output));
    assert!(!stderr(&output).contains("panicked"), "{arguments:?}: {}", told(&output));
    output
}

/// A run of no time that reads the sensors.
fn quick(place: &Place, more: &[&str]) -> Output {
    let run = ["run", "--backend", "simulated", "--quick", "--report", "default"];
    harness(place, &[&run[..], &LIMIT, more].concat())
}

#[test]
fn each_function_that_hangs_at_its_first_call_is_named_and_ends_nothing() {
    let cases: Vec<Case> = FUNCTIONS.iter().map(|function| Case::new("normal", function, "hang", 1)).collect();
    each(&cases, |case| {
        let found = case.run();
        assert!(found.names(case.function) || found.lost.is_empty(), "{case:?}: {found:?}");
    });
}

#[test]
fn a_hang_in_mid_run_costs_the_sensors_and_not_the_run() {
    // The idle GPU is polled some 30 times, and each run some 50.
    let found = Case::new("normal", "nvmlDeviceGetPowerUsage", "hang", 55).run();
    assert_eq!(found.code, 0, "{found:?}");
    assert!(
        found.lost.contains("power") && found.lost.contains("energy") && !found.lost.contains("idle.power"),
        "{found:?}"
    );
}

#[test]
fn doctor_and_devices_name_what_hangs_and_show_the_rest() {
    let function = "nvmlDeviceGetPowerManagementLimit";
    let place = Place::with_gpu(&format!("gpus:3,{function}=hang@2"));
    let output = harness(&place, &["doctor", "--json", LIMIT[0], LIMIT[1]]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let silent = format!("the NVIDIA driver does not answer: {function} had not returned after 1 s");
    let checks = |gpu: usize| found["gpus"][gpu]["checks"].as_array().unwrap();
    assert!(checks(0).iter().all(|check| check["verdict"] == "pass"), "{found:#}");
    assert!(checks(1).iter().any(|check| check["name"] == "ecc" && check["verdict"] == "pass"), "{found:#}");
    assert!(checks(1).iter().any(|check| check["name"] == "power-limit" && check["found"] == silent), "{found:#}");
    let machine = found["machine"].as_array().unwrap();
    let said = machine.iter().find(|check| check["name"] == "gpu" && check["found"] == silent).unwrap();
    assert!(said["advice"].as_str().unwrap().contains("nvidia-smi"), "{found:#}");

    let place = Place::with_gpu("gpus:3,nvmlDeviceGetUUID=hang@2");
    let output = harness(&place, &["devices", "--json", LIMIT[0], LIMIT[1]]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let silent = "the NVIDIA driver does not answer: nvmlDeviceGetUUID had not returned after 1 s";
    assert_eq!(found["nvml_absent"], silent, "{found:#}");
    assert_eq!(found["nvml"]["gpus"].as_array().unwrap().len(), 1, "{found:#}");
    assert_eq!(found["nvml"]["unreadable"][1]["reason"], silent, "{found:#}");
    let text = stdout(&harness(&place, &["devices", LIMIT[0], LIMIT[1]]));
    assert!(text.contains(&format!("1  can't be read: {silent}")) && text.contains("nvidia-smi"), "{text}");
}

#[test]
fn a_driver_that_cannot_be_opened_in_time_is_said_with_what_to_do() {
    for (scenario, what) in [("nvmlInit_v2=hang@1", "nvmlInit_v2"), ("hang-load", "loading libnvidia-ml.so.1")] {
        let place = Place::with_gpu(scenario);
        let output = quick(&place, &["--sensors", "0"]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        let said = stderr(&output);
        let silent = format!("the NVIDIA driver does not answer: {what} had not returned after 1 s");
        assert!(said.contains(&format!("error: the sensors of GPU 0 can't be read: {silent}")), "{said}");
        for advice in ["`nvidia-smi`", "--max-driver-time", "--sensors none"] {
            assert!(said.contains(advice), "{advice}: {said}");
        }
        assert!(place.recordings().is_empty());
        for command in ["doctor", "devices"] {
            let output = harness(&place, &[command, LIMIT[0], LIMIT[1]]);
            assert_eq!(output.status.code(), Some(0), "{}", told(&output));
            assert!(stdout(&output).contains(&silent) && stdout(&output).contains("`nvidia-smi`"), "{}", told(&output));
        }
        // The time can be configured, and a flag wins.
        place.configure("[limits]\nmax-driver-time = '500ms'\n");
        let run = ["run", "--backend", "simulated", "--quick", "--sensors", "0"];
        assert!(stderr(&harness(&place, &run)).contains("had not returned after 0.5 s"));
    }
}

#[test]
fn without_sensors_the_driver_is_not_even_loaded() {
    let place = Place::with_gpu("mark,nvmlInit_v2=hang@1");
    let mark = place.path("driver").join(MARK_FILE);
    let model = golden().join("bare-f16");
    let model = ["--device", "cpu", "--model", model.to_str().unwrap(), "--set", "prompt-tokens=5"];
    let simulated = ["--backend", "simulated"];
    for more in [&[&simulated[..], &["--sensors", "none"]].concat(), &simulated.to_vec(), &model.to_vec()] {
        let output = harness(&place, &[&["run", "--quick"], &LIMIT[..], more].concat());
        assert!(output.status.success(), "{more:?}: {}", told(&output));
        assert!(!mark.exists(), "{more:?}");
        assert!(place.recording().last().unwrap()["status"] == "complete", "{more:?}");
    }
    // It would have been seen.
    assert_eq!(quick(&place, &["--sensors", "0"]).status.code(), Some(2));
    assert!(mark.exists());
}

#[test]
fn a_plugin_that_asks_for_gpus_is_answered_in_time() {
    let ask = |scenario: &str, more: &[&str]| {
        let place = Place::with_gpu(scenario);
        let run = ["run", "--backend", "simulated", "--plugin", HOSTILE, "--set", "act=gpu", "--report", "default"];
        let output = harness(&place, &[&run[..], &LIMIT, more].concat());
        assert!(output.status.success(), "{}", told(&output));
        stderr(&output)
    };
    assert!(ask("normal", &[]).contains("gpus: [\"NVIDIA H100 80GB HBM3\"], read: Err(\"the driver lists no GPU 7\")"));
    let silent = "the NVIDIA driver does not answer: nvmlInit_v2 had not returned after 1 s";
    let said = ask("nvmlInit_v2=hang@1", &[]);
    assert!(said.contains(&format!("the plugin is told of no GPU: {silent}")), "{said}");
    assert!(said.contains(&format!("gpus: [], read: Err(\"GPU 7 can't be read: {silent}\")")), "{said}");
    let said = ask("nvmlInit_v2=hang@1", &["--sensors", "none"]);
    assert!(said.contains("gpus: [], read: Err(\"GPU 7 can't be read: sensors are off (--sensors none)\")"), "{said}");
    let said = ask("nvmlDeviceGetName=hang@1", &[]);
    assert!(said.contains("nvmlDeviceGetName had not returned after 1 s"), "{said}");
}

#[test]
fn a_library_that_hangs_at_the_end_does_not_keep_the_process() {
    let place = Place::with_gpu("hang-exit");
    let output = quick(&place, &["--sensors", "0"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(stdout(&output).contains("2 runs of") && stderr(&output).contains("recorded in "), "{}", told(&output));
}

#[test]
fn what_is_no_driver_is_said() {
    let place = Place::with_gpu("normal");
    let library = place.path("driver").join(LIBRARY_NAME);
    let whole = std::fs::read(&library).unwrap();
    let said = |bytes: &[u8]| {
        std::fs::write(&library, bytes).unwrap();
        let output = quick(&place, &["--sensors", "0"]);
        assert_eq!(output.status.code(), Some(2), "{} bytes: {}", bytes.len(), told(&output));
        for command in ["doctor", "devices"] {
            assert_eq!(harness(&place, &[command]).status.code(), Some(0), "{} bytes", bytes.len());
        }
        stderr(&output)
    };
    for length in [0, 100] {
        assert!(said(&whole[..length]).contains("could not be loaded: "));
    }
    // Where the loader would take it, and this process would end by a signal.
    for length in [4096, 65_536, 262_144] {
        let text = said(&whole[..length]);
        assert!(text.contains(&format!("has {length} bytes of ")) && text.contains("reinstall the driver"), "{text}");
    }
    assert!(said(b"no library").contains("could not be loaded: "));

    let lacks_all: Vec<String> = FUNCTIONS.iter().map(|function| format!("without:{function}")).collect();
    let output = quick(&Place::with_gpu(&lacks_all.join(",")), &["--sensors", "0"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("is no NVML: it lacks nvmlInit_v2"), "{}", told(&output));
}

#[test]
fn a_library_of_few_functions_gives_what_it_has() {
    let has = [
        "nvmlInit_v2",
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetTemperature",
    ];
    let lacks = FUNCTIONS.iter().filter(|function| !has.contains(function));
    let place = Place::with_gpu(&lacks.map(|function| format!("without:{function}")).collect::<Vec<_>>().join(","));
    let output = case::measure(&place);
    assert!(output.status.success(), "{}", told(&output));
    let lines = place.recording();
    let run = lines.iter().find(|line| line["type"] == "run").unwrap();
    assert!((45.0..=56.0).contains(&run["values"]["temperature"].as_f64().unwrap()), "{run}");
    let lacks = "the driver is too old: its NVML lacks nvmlDeviceGetTotalEnergyConsumption";
    assert_eq!(run["absent"]["energy"], lacks);
    assert!(stderr(&output).contains("driver.version: the driver is too old"), "{}", told(&output));
}

#[test]
fn a_driver_that_mistakes_one_gpu_for_another_is_not_believed() {
    let output = quick(&Place::with_gpu("gpus:8,twins"), &["--sensors", "3"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("the driver gives the GPUs 0 and 1 the same UUID"), "{}", told(&output));
    for (setup, why) in [
        ("gpus:0", "the driver lists no GPU 0; it lists none"),
        ("lost", "the GPU fell off the bus (NVML_ERROR_GPU_IS_LOST)"),
    ] {
        let output = quick(&Place::with_gpu(setup), &["--sensors", "0"]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(stderr(&output).contains(why), "{}", told(&output));
    }
    let text = stdout(&harness(&Place::with_gpu("lost,gpus:2"), &["devices"]));
    assert!(text.contains("1  can't be read: the GPU fell off the bus (NVML_ERROR_GPU_IS_LOST)"), "{text}");
}

#[test]
#[ignore = "takes minutes; UPDATE_DOCS=1 writes its tables"]
fn each_function_fails_hangs_and_lies_in_turn() {
    tables::write_or_compare(&tables::all());
}
