//! What a machine does to a process that measures: stops it, gives it fewer processors, or too little memory.

#![cfg(target_os = "linux")]
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::{BINARY, harness};
use harness_tests::{Place, golden, lines, signal, stderr, stdout, told};

#[test]
fn a_stop_inside_a_run_is_told_and_recorded() {
    let place = Place::new();
    let run = |recording: &str| {
        let mut command = place.command(BINARY);
        command
            .args(["run", "--backend", "simulated", "--simulate", "real-time=true", "--simulate", "time-per-token=2ms"])
            .args(["--set", "runs=3", "--set", "iterations=400", "--set", "warmup=0", "--set", "max-new-tokens=2"])
            .args(["--report", "csv=/dev/null", "--recording", recording]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let undisturbed = run("a.jsonl").wait_with_output().unwrap();
    assert!(undisturbed.status.success(), "{}", told(&undisturbed));
    let child = run("b.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_to_string(place.path("b.jsonl")).unwrap_or_default().matches(r#""type":"run""#).count() < 1 {
        assert!(Instant::now() < deadline, "no run was recorded");
        std::thread::sleep(Duration::from_millis(5));
    }
    // A run takes a second. This is amid the second one, and not while the first is being written.
    std::thread::sleep(Duration::from_millis(400));
    signal(&child, "STOP");
    std::thread::sleep(Duration::from_millis(1500));
    signal(&child, "CONT");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let warning = "warning: in 1 of 3 runs the process did not run for ";
    assert!(stderr(&output).contains(warning), "{}", told(&output));
    let stopped: Vec<f64> =
        lines(&place.path("b.jsonl")).iter().filter_map(|line| line["standstill"]["stopped"].as_f64()).collect();
    let [stopped] = stopped[..] else { panic!("{stopped:?}") };
    assert!((1.0..60.0).contains(&stopped), "{stopped} s");
    let compared = harness(&place, &["compare", "a.jsonl", "b.jsonl"]);
    assert!(stderr(&compared).contains("in 1 of 3 runs the process did not run for "), "{}", told(&compared));
    for report in ["json", "markdown", "html", "default", "csv"] {
        let reported = harness(&place, &["report", "b.jsonl", "--with", report]);
        assert!(reported.status.success() && stderr(&reported).contains(warning), "{}", told(&reported));
        // What has facts has this one.
        if ["json", "html"].contains(&report) {
            assert!(stdout(&reported).contains("in 1 of 3 runs the process did not run for "), "{}", told(&reported));
        }
    }
}

#[test]
fn processors_are_facts_and_conditions() {
    let place = Place::new();
    let model = golden().join("prefixed-f32");
    let run = |threads: &str, recording: &str| {
        let mut command = place.command(BINARY);
        command
            .args([
                "run",
                "--device",
                "cpu",
                "--quick",
                "--quiet",
                "--set",
                "max-new-tokens=2",
                "--set",
                "prompt-tokens=5",
                "--model",
            ])
            .arg(&model);
        command.args(["--report", "csv=/dev/null", "--recording", recording]).env("RAYON_NUM_THREADS", threads);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let facts = lines(&place.path(recording))[0]["facts"].clone();
        assert_eq!(facts["cpu.threads"], threads);
        assert!(facts["cpu.affinity"].is_string(), "{facts}");
    };
    run("1", "one.jsonl");
    run("2", "two.jsonl");
    let compared = harness(&place, &["compare", "one.jsonl", "two.jsonl"]);
    let told_of = format!("{}{}", stdout(&compared), stderr(&compared));
    assert!(
        told_of.lines().any(|line| line.contains("cpu.threads") && line.contains('1') && line.contains('2')),
        "{told_of}"
    );
}

#[test]
fn a_number_of_threads_that_cant_be_is_capped_and_said() {
    let place = Place::new();
    let model = golden().join("prefixed-f32");
    let processors = std::thread::available_parallelism().unwrap().get();
    for (value, note, threads) in [
        ("1000000", "RAYON_NUM_THREADS is 1000000, and at most 8 threads for each of the ", 8 * processors),
        ("a\nb", "RAYON_NUM_THREADS is 'a\\u{a}b', which is no number of threads: harness computes with ", processors),
        ("0", "", processors),
    ] {
        for quiet in [false, true] {
            let mut command = place.command(BINARY);
            command.args([
                "run",
                "--device",
                "cpu",
                "--quick",
                "--set",
                "max-new-tokens=2",
                "--set",
                "prompt-tokens=5",
            ]);
            command.args(["--report", "csv=/dev/null", "--recording", "r.jsonl", "--model"]).arg(&model);
            command.args(quiet.then_some("--quiet")).env("RAYON_NUM_THREADS", value);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", told(&output));
            let said = stderr(&output).lines().any(|line| line.starts_with("RAYON_NUM_THREADS"));
            assert_eq!(said, !quiet && !note.is_empty(), "{}", told(&output));
            assert!(quiet || stderr(&output).contains(note), "{}", told(&output));
            assert_eq!(lines(&place.path("r.jsonl"))[0]["facts"]["cpu.threads"], threads.to_string());
            std::fs::remove_file(place.path("r.jsonl")).unwrap();
        }
    }
}

#[test]
fn threads_that_cant_be_made_are_said_with_what_to_raise() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let place = Place::new();
    let model = golden().join("prefixed-f32");
    for file in ["config.json", "model.safetensors"] {
        std::fs::create_dir_all(place.path("model")).unwrap();
        std::fs::copy(model.join(file), place.path("model").join(file)).unwrap();
    }
    std::fs::copy(BINARY, place.path("harness")).unwrap();
    // As many as the user has, whoever that is: one more can't be made.
    let mut command = place.command("prlimit");
    command.arg("--nproc=1:1");
    // For root the limit does not count.
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        std::fs::set_permissions(place.folder(), PermissionsExt::from_mode(0o755)).unwrap();
        command.args(["setpriv", "--reuid", "54321", "--clear-groups"]);
    }
    command.arg(place.path("harness"));
    command.args(["generate", "--device", "cpu", "--tokens=1,2", "--max-new-tokens", "1", "--model", "./model"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let raise = "); raise or lift the limit on them (ulimit -u, the pids limit of the control group), or set RAYON_NUM_THREADS to \
                 fewer";
    assert!(
        stderr(&output).contains("threads to compute with (") && stderr(&output).contains(raise),
        "{}",
        told(&output)
    );
}

/// The sandbox reserves more addresses than it uses. A limit on them is the machine's matter, and no plugin's fault.
#[test]
fn too_few_addresses_are_said_with_what_to_raise() {
    let place = Place::new();
    // Compiled before, and here.
    for cache in ["warm", "cold"] {
        if cache == "warm" {
            assert!(harness(&place, &["plugin", "check", "default"]).status.success());
        }
        for kib in [400_000, 3_000_000] {
            let mut command = place.command("sh");
            let limited = format!(r#"ulimit -v {kib}; exec "$@""#);
            command.args(["-c", &limited, "sh", BINARY, "run", "--backend", "simulated", "--quick"]);
            command.args(["--recording", "r.jsonl"]);
            if cache == "cold" {
                command.env("XDG_CACHE_HOME", place.path("cold"));
            }
            let output = command.output().unwrap();
            assert!(matches!(output.status.code(), Some(1 | 2)), "{cache} {kib}: {}", told(&output));
            let said = stderr(&output);
            assert!(said.contains("raise or lift that limit (ulimit -v, RLIMIT_AS)"), "{cache} {kib}: {said}");
            assert!(!said.contains("failed in") && !said.contains("panicked"), "{cache} {kib}: {said}");
            assert!(!place.path("r.jsonl").exists(), "{cache} {kib}");
        }
    }
}

/// Nothing is kept where it would depend on the present folder.
#[test]
fn without_a_home_nothing_is_left_in_the_present_folder() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--quick", "--recording", "/dev/null"];
    for arguments in [
        &run[..],
        &["run", "--backend", "simulated", "--quick"],
        &["recordings"],
        &["baseline", "list"],
        &["baseline", "save", "main"],
        &["plugin", "list"],
        &["plugin", "check", "default"],
        &["doctor"],
        &["generate", "--backend", "simulated", "a"],
        &["run", "--device", "cpu", "--model", "owner/name", "--download"],
    ] {
        let mut command = place.command(BINARY);
        for variable in ["HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "HF_HOME"] {
            command.env_remove(variable);
        }
        let output = command.env("HF_ENDPOINT", "http://127.0.0.1:9").args(arguments).output().unwrap();
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(matches!(output.status.code(), Some(0..=2)) && !said.contains("panicked"), "{}", told(&output));
        let left: Vec<_> = std::fs::read_dir(place.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{arguments:?} left {left:?}");
    }
}
