//! `harness doctor`, and what `run` takes from it, with a GPU's driver that is played by `fake-nvml`.

use crate::BINARY;
use harness_tests::{Place, golden, stderr, stdout, told};
use serde_json::Value;

fn doctor(place: &Place) -> Value {
    let output = place.command(BINARY).args(["doctor", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn verdicts(checks: &Value) -> Vec<(&str, &str)> {
    checks.as_array().unwrap().iter().map(|c| (c["name"].as_str().unwrap(), c["verdict"].as_str().unwrap())).collect()
}

#[test]
fn a_healthy_gpu_passes_every_check() {
    let found = doctor(&Place::with_gpu("normal"));
    let checks = verdicts(&found["gpus"][0]["checks"]);
    assert_eq!(checks.len(), 9);
    assert!(checks.iter().all(|(_, verdict)| *verdict == "pass"), "{found:#}");
    let machine = verdicts(&found["machine"]);
    for name in ["cpu-load", "power-supply", "virtual-machine", "harness-build", "plugin-compiler", "driver", "cuda"] {
        assert!(machine.iter().any(|(check, _)| *check == name), "{name}: {found:#}");
    }
}

#[test]
fn a_sick_gpu_is_told_with_advice() {
    let output = Place::with_gpu("sick").command(BINARY).arg("doctor").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = stdout(&output);
    // The machine's part is this machine's, and so is the name of process 1; the temperature moves with time.
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.add_filter(r"warning    gpu-processes .*", "warning    gpu-processes     [process 1]");
    settings.add_filter(r"\d+ °C", "[n] °C");
    let Some((_, gpu)) = text.split_once("\n\n") else { panic!("{}", told(&output)) };
    settings.bind(|| insta::assert_snapshot!("doctor_sick", gpu));
    assert!(text.contains("(1)"), "{text}");
}

#[test]
fn what_cannot_be_read_is_not_known_with_its_reason() {
    let found = doctor(&Place::with_gpu("no-limits"));
    let checks = &found["gpus"][0]["checks"];
    assert!(verdicts(checks).iter().all(|(_, verdict)| *verdict == "not-known"), "{found:#}");
    assert!(checks[1]["found"].as_str().unwrap().contains("NOT_SUPPORTED"), "{found:#}");
    for (scenario, reason) in [("no-driver", "not loaded"), ("mismatch", "different versions")] {
        let found = doctor(&Place::with_gpu(scenario)).to_string();
        assert!(found.contains("not-known") && found.contains(reason), "{found}");
    }
}

#[test]
fn a_driver_that_is_too_old_is_told() {
    let found = doctor(&Place::with_gpu("old-driver"));
    let machine = verdicts(&found["machine"]);
    assert!(machine.contains(&("driver", "pass")) && machine.contains(&("cuda", "warning")), "{found:#}");
}

#[test]
fn without_a_gpu_the_machine_alone_is_looked_at() {
    let found = doctor(&Place::new());
    assert_eq!(found["gpus"].as_array().unwrap().len(), 0);
    assert!(verdicts(&found["machine"]).contains(&("gpu", "not-known")), "{found:#}");
}

#[test]
fn a_run_warns_and_records_what_it_found() {
    let place = Place::with_gpu("sick");
    let output =
        place.command(BINARY).args(["run", "--quick", "--backend", "simulated", "--sensors", "0"]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let said = stderr(&output);
    assert!(said.contains("warning: power-limit: 500 W, by default 700 W: "), "{said}");
    assert!(said.contains("warning: mig: on") && !said.contains("warning: ecc"), "{said}");
    let facts = &place.recording()[0]["facts"];
    assert_eq!(facts["check.power-limit"], "warning: 500 W, by default 700 W");
    assert_eq!(facts["check.ecc"], "note: off");
}

#[test]
fn a_run_without_a_gpus_sensors_records_what_it_found_of_the_machine() {
    let place = Place::new();
    let model = golden().join("bare-f16");
    let run = |args: &[&str]| {
        let output = place.command(BINARY).args(["run", "--quick", "--quiet"]).args(args).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        (place.recording()[0]["facts"]["check.harness-build"].clone(), stderr(&output))
    };
    let (fact, said) = run(&["--device", "cpu", "--model", model.to_str().unwrap(), "--set", "prompt-tokens=5"]);
    if cfg!(debug_assertions) {
        assert_eq!(fact, "warning: debug");
        assert!(said.contains("warning: harness-build: debug: "), "{said}");
    } else {
        assert!(fact.is_null() && !said.contains("harness-build"), "{said}");
    }
    // A simulated model's time does not pass on this machine.
    assert_eq!(run(&["--backend", "simulated"]), (Value::Null, String::new()));
}
