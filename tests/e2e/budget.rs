//! What one invocation may take: runs and bytes of its recording, and memory on the CPU.

#![cfg(target_os = "linux")]
use crate::BINARY;
use harness_tests::peak::{self, Ended};
use harness_tests::raw::Raw;
use harness_tests::{Place, lines, stderr, told};

/// The most memory that a plugin may make the process hold by measuring.
const MAX_MEMORY: u64 = 512 << 20;

/// Measures runs of one iteration for ever, whatever it is told.
const RUNS: &str = "(call $iterations (local.get $plan) (i32.const 1))
    (loop $again (call $measure (local.get $plan) (i32.const 256))
      (if (i32.eqz (i32.load8_u (i32.const 256))) (then (call $drop_run (i32.load (i32.const 260)))))
      (br $again))";

fn endless(place: &Place, more: &[&str]) -> Ended {
    place.write("runs.wasm", Raw::default().then(RUNS).component());
    let run = ["run", "--backend", "simulated", "--quiet", "--plugin", "runs.wasm", "--report", "csv=figures.csv"];
    let ended = peak::run(place.command(BINARY).args(run).args(["--recording", "r.jsonl"]).args(more));
    assert!(ended.memory < MAX_MEMORY, "{} bytes of memory, {}", ended.memory, told(&ended.output));
    assert_eq!(ended.output.status.code(), Some(1), "{}", told(&ended.output));
    ended
}

#[test]
fn runs_without_end_are_ended_and_what_was_recorded_is_kept() {
    let place = Place::new();
    let ended = endless(&place, &[]);
    let said = stderr(&ended.output);
    assert!(
        said.contains("runs.wasm was ended: it asked for more than 10,000 runs; allow more with --max-runs"),
        "{said}"
    );
    assert!(said.contains("10000 finished runs are kept in r.jsonl"), "{said}");
    let lines = lines(&place.path("r.jsonl"));
    assert_eq!((lines.len(), &lines.last().unwrap()["status"]), (10_002, &"stopped".into()));
    assert!(place.path("figures.csv").exists(), "what was recorded is shown");
}

#[test]
fn the_limits_of_a_recording_are_set_by_flag_and_configuration() {
    let place = Place::new();
    let ended = endless(&place, &["--max-runs", "5"]);
    assert!(stderr(&ended.output).contains("more than 5 runs; allow more with --max-runs"), "{}", told(&ended.output));
    assert_eq!(lines(&place.path("r.jsonl")).len(), 7);
    std::fs::remove_file(place.path("r.jsonl")).unwrap();

    place.write("limits.toml", "[limits]\nmax-runs = 100\nmax-recording = '20kB'\n");
    let ended = endless(&place, &["--config", "limits.toml"]);
    let said = stderr(&ended.output);
    assert!(
        said.contains("with one more run the recording would have 2")
            && said.contains("and it may have 20,000; allow more with --max-recording"),
        "{said}"
    );
    let recorded = std::fs::read_to_string(place.path("r.jsonl")).unwrap();
    let runs: Vec<&str> = recorded.lines().filter(|line| line.contains(r#""type":"run""#)).collect();
    let before_the_end: usize =
        recorded.lines().filter(|line| !line.contains(r#""type":"end""#)).map(|line| line.len() + 1).sum();
    assert!(before_the_end <= 20_000 && before_the_end + runs[0].len() > 20_000, "{before_the_end}");
    assert_eq!(lines(&place.path("r.jsonl")).last().unwrap()["status"], "stopped");

    let too_much = place.command(BINARY).args(["run", "--max-recording", "3GiB"]).output().unwrap();
    assert_eq!(too_much.status.code(), Some(2), "{}", told(&too_much));
    assert!(stderr(&too_much).contains("more than 2,147,483,648 bytes"), "{}", told(&too_much));
}

/// Without the check Linux would kill it, and with it whatever else is large.
#[test]
fn work_that_does_not_fit_the_machine_is_answered_before_it_starts() {
    let place = Place::new();
    let run = ["run", "--device", "cpu", "--quiet", "--set", "runs=1", "--set", "iterations=1", "--set", "warmup=0"];
    let ended = peak::run(place.command(BINARY).args(run).args(["--set", "batch=4096", "--set", "prompt-tokens=970"]));
    assert_eq!(ended.output.status.code(), Some(1), "{}", told(&ended.output));
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"has \d+ bytes of memory available", "has [bytes] bytes of memory available");
    settings.add_filter(r"and \d+ for activations", "and [bytes] for activations");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.bind(|| insta::assert_snapshot!("budget_memory", stderr(&ended.output)));
    assert!(ended.memory < 2 << 30, "{}", ended.memory);
}
