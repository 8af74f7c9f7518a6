//! `harness run --sweep` from outside: points, resuming, what can be wrong.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::BINARY;
use harness_tests::{Place, lines, signal, stderr, stdout, told};

fn run(place: &Place, more: &[&str]) -> Output {
    let small =
        ["run", "--backend", "simulated", "--set", "runs=3", "--set", "iterations=4", "--set", "max-new-tokens=5"];
    let output = place.command(BINARY).args(small).args(more).output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", told(&output));
    output
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const SWEEP: [&str; 6] = ["--sweep", "batch=1,8", "--sweep", "prompt-tokens=16..64*2", "--recording", "points"];

#[test]
fn every_combination_is_a_recording_and_a_row() {
    let place = Place::new();
    let output = run(&place, &SWEEP);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let points: Vec<String> = ["1", "8"]
        .iter()
        .flat_map(|batch| ["16", "32", "64"].map(|prompt| format!("batch={batch}_prompt-tokens={prompt}.jsonl")))
        .collect();
    let mut expected = points.clone();
    expected.extend(["sweep.json".into(), "sweep.svg".into()]);
    assert_eq!(files(&place.path("points")), expected);
    let chart = std::fs::read_to_string(place.path("points/sweep.svg")).unwrap();
    assert_eq!(chart.matches("<circle").count(), 6, "a dot a point: {chart}");
    assert!(chart.contains("batch=8") && chart.contains("prompt-tokens"), "{chart}");
    let point = lines(&place.path("points/batch=8_prompt-tokens=32.jsonl"));
    assert_eq!(point[0]["facts"]["setting.batch"], "8");
    assert_eq!(point[1]["values"]["prompt_tokens"], 4.0 * 8.0 * 32.0);
    assert_eq!(point[1]["values"]["new_tokens"], 4.0 * 8.0 * 5.0);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.bind(|| insta::assert_snapshot!("sweep_table", stdout(&output)));
}

#[test]
fn an_interrupted_sweep_goes_on_and_loses_nothing() {
    let place = Place::new();
    assert_eq!(run(&place, &SWEEP).status.code(), Some(0));
    let path = |name: &str| place.path("points").join(name);
    let kept = std::fs::read(path("batch=1_prompt-tokens=16.jsonl")).unwrap();
    std::fs::remove_file(path("batch=1_prompt-tokens=32.jsonl")).unwrap();
    // Killed in the middle of its second run, by a harness whose runs don't say what they are of.
    let whole = std::fs::read_to_string(path("batch=8_prompt-tokens=64.jsonl")).unwrap();
    let cut = whole[..whole.len() / 2].replace(r#""plan":"#, r#""plan_of_tomorrow":"#);
    std::fs::write(path("batch=8_prompt-tokens=64.jsonl"), &cut).unwrap();

    let output = run(&place, &SWEEP);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(std::fs::read(path("batch=1_prompt-tokens=16.jsonl")).unwrap(), kept);
    assert_eq!(stderr(&output).matches(": kept, as ").count(), 4, "{}", told(&output));
    assert_eq!(std::fs::read_to_string(path("batch=8_prompt-tokens=64.jsonl.1")).unwrap(), cut);
    for name in ["batch=1_prompt-tokens=32.jsonl", "batch=8_prompt-tokens=64.jsonl"] {
        assert_eq!(lines(&path(name)).last().unwrap()["status"], "complete", "{name}");
    }
    // More values of the same settings join in; another seed is another sweep.
    let more = ["--sweep", "batch=1,8,16", "--sweep", "prompt-tokens=16..64*2", "--recording", "points"];
    assert_eq!(run(&place, &more).status.code(), Some(0));
    assert_eq!(files(&place.path("points")).iter().filter(|name| name.ends_with(".jsonl")).count(), 9);
    let other = run(&place, &[&SWEEP[..], &["--seed", "2"]].concat());
    assert_eq!(other.status.code(), Some(2), "{}", told(&other));
    assert!(stderr(&other).contains("points is another sweep's folder:\n  seed: 2 now, 0 there"), "{}", told(&other));
    let other = run(&place, &[&SWEEP[..], &["--simulate", "time-per-token=1ms"]].concat());
    assert_eq!(other.status.code(), Some(2), "{}", told(&other));
    assert!(stderr(&other).contains("folder:\n  time-per-token: \"1ms\" now, \"200us\" there\n"), "{}", told(&other));
}

#[test]
fn a_sweep_that_goes_on_on_another_machine_says_so_once() {
    let place = Place::new();
    assert_eq!(run(&place, &SWEEP).status.code(), Some(0));
    let path = |name: &str| place.path("points").join(name);
    for name in ["batch=1_prompt-tokens=32.jsonl", "batch=8_prompt-tokens=16.jsonl"] {
        let mut there = lines(&path(name));
        there[0]["facts"]["host.name"] = "elsewhere".into();
        there[0]["facts"]["check.load"] = "warning: it is busy".into();
        std::fs::write(path(name), there.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
    std::fs::remove_file(path("batch=8_prompt-tokens=64.jsonl")).unwrap();
    let output = run(&place, &SWEEP);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let told_so = stderr(&output);
    assert_eq!(told_so.matches("not all measured under the same conditions").count(), 1, "{}", told(&output));
    assert!(
        told_so
            .contains(" at batch=1 prompt-tokens=16 and 2 more; 'elsewhere' at batch=1 prompt-tokens=32 and 1 more\n"),
        "{}",
        told(&output)
    );
    assert!(!told_so.contains("check.load"), "{}", told(&output));
    // What is swept is no condition, also where it says only how often.
    let stops = ["run", "--backend", "simulated", "--set", "iterations=4", "--sweep", "stop=20%,50%"];
    let output = place.command(BINARY).args(stops).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(!stderr(&output).contains("same conditions"), "{}", told(&output));
}

#[test]
fn ctrl_c_says_how_to_go_on_and_the_sweep_does() {
    let place = Place::new();
    let slow = ["--sweep", "batch=1,2,3", "--recording", "points", "--simulate", "real-time=true"];
    let small =
        ["run", "--backend", "simulated", "--set", "runs=8", "--set", "iterations=20", "--set", "max-new-tokens=2"];
    let mut command = place.command(BINARY);
    command.args(small).args(slow).args(["--simulate", "time-per-token=5ms"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let second = place.path("points/batch=2.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_to_string(&second).unwrap_or_default().lines().count() < 2 {
        assert!(Instant::now() < deadline, "the second point was not begun");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    let said = "1 of 3 points is finished; the same command with --recording points goes on";
    assert!(stderr(&output).contains(said), "{}", told(&output));

    let first = std::fs::read(place.path("points/batch=1.jsonl")).unwrap();
    let kept = lines(&second)[1].clone();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(std::fs::read(place.path("points/batch=1.jsonl")).unwrap(), first);
    // The runs that it had are not measured again.
    assert!(stderr(&output).contains("going on with points/batch=2.jsonl, which has "), "{}", told(&output));
    assert_eq!((lines(&second)[1].clone(), lines(&second).len()), (kept, 1 + 8 + 1));
    assert!(!place.path("points/batch=2.jsonl.1").exists());
}

#[test]
fn a_dry_run_says_how_long_and_runs_nothing() {
    let place = Place::new();
    let output = run(&place, &[&SWEEP[..], &["--dry-run"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(!place.path("points").exists() && place.recordings().is_empty());
    let text = stdout(&output);
    assert!(text.contains("6 recordings: about ") && text.contains("nothing was run"), "{}", told(&output));
    assert!(text.contains(" of the simulated model's own time; "), "{}", told(&output));
    // Three runs of 3 + 4 iterations.
    assert!(text.lines().any(|line| line.split_whitespace().take(4).eq(["8", "64", "3", "21"])), "{}", told(&output));
    let slept = run(&place, &["--dry-run", "--simulate", "real-time=true"]);
    assert!(!stdout(&slept).contains("own time"), "{}", told(&slept));
    let one = run(&place, &["--dry-run"]);
    assert!(stdout(&one).contains("1 recording: about "), "{}", told(&one));
    assert!(place.recordings().is_empty());
}

#[test]
fn a_dry_run_finds_what_can_not_be_run() {
    let place = Place::new();
    let output = run(&place, &["--sweep", "prompt-tokens=8,5000", "--dry-run"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    let (shown, said) = (stdout(&output), stderr(&output));
    assert!(shown.contains("1 recording: about ") && shown.contains("can't"), "{}", told(&output));
    assert!(
        said.contains("1 of 2 recordings can't be run as asked:\nprompt-tokens=5000: default can't be run"),
        "{said}"
    );
    assert!(said.contains("does not fit the context of 1024 tokens"), "{said}");
    let one = run(&place, &["--set", "batch=0", "--dry-run"]);
    assert_eq!((one.status.code(), stdout(&one).as_str()), (Some(2), ""), "{}", told(&one));
    assert!(stderr(&one).starts_with("error: default can't be run as asked: setting 'batch' is '0'"), "{}", told(&one));
    assert!(place.recordings().is_empty());
}

#[test]
fn a_point_that_fails_does_not_end_the_sweep() {
    let place = Place::new();
    let output = run(&place, &["--sweep", "prompt-tokens=8,5000,16", "--recording", "points"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stdout(&output).contains("failed"), "{}", told(&output));
    assert!(stderr(&output).contains("1 of 3 points failed"), "{}", told(&output));
    assert_eq!(lines(&place.path("points/prompt-tokens=16.jsonl")).last().unwrap()["status"], "complete");
}

#[test]
fn the_configuration_can_sweep() {
    let place = Place::new();
    place.write("harness.toml", "[run]\nreport = ['csv=all.csv']\n[sweep]\nbatch = [1, 2]\nwarmup = '1..4*2'\n");
    let output = run(&place, &["--recording", "points"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(files(&place.path("points")).len(), 8);
    // A folder is made where none is named.
    let output = run(&place, &["--sweep", "batch=2"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let folder = place.recordings().into_iter().next().unwrap();
    assert!(folder.display().to_string().ends_with("-default-sweep"), "{}", folder.display());
    assert_eq!(files(&folder), ["batch=2.jsonl", "sweep.json"]);
}

#[test]
fn a_sweep_of_which_nothing_can_be_run_shows_nothing() {
    let place = Place::new();
    let output = run(&place, &["--sweep", "batch=many,0", "--recording", "points"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{}", told(&output));
    for said in ["'batch' is 'many'", "'batch' is '0'", "error: none of 2 points could be run, as it says above"] {
        assert_eq!(stderr(&output).matches(said).count(), 1, "{}", told(&output));
    }
}

#[test]
fn what_can_not_be_swept_is_refused_before_anything_is_run() {
    let place = Place::new();
    let refuse = |name: &str, more: &[&str]| {
        let output = run(&place, more);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{}", told(&output));
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_snapshot_path("snapshots");
        settings.bind(|| insta::assert_snapshot!(format!("sweep_{name}"), stderr(&output)));
        assert!(place.recordings().is_empty());
    };
    refuse("unknown", &["--sweep", "speed=1,2"]);
    refuse("range", &["--sweep", "batch=1..8"]);
    refuse("backwards", &["--sweep", "batch=8..1+1"]);
    refuse("standing", &["--sweep", "batch=1..8*1"]);
    refuse("empty", &["--sweep", "batch="]);
    refuse("twice", &["--sweep", "batch=1,2", "--sweep", "batch=4"]);
    refuse("too_many", &["--sweep", "batch=1..1000+1", "--sweep", "warmup=1..1000+1"]);
    refuse("set", &["--sweep", "runs=1,2"]);
    refuse("report", &["--sweep", "batch=1,2", "--report", "csv"]);
    refuse("report_set", &["--sweep", "batch=1,2", "--report-set", "csv.samples=true"]);
    refuse("no_setting", &["--sweep", "batch"]);
    place.write("points/sweep.json", "mine");
    refuse("other_file", &["--sweep", "batch=1,2", "--recording", "points"]);
    place.write("harness.toml", "[sweep]\nspeed = [1]\n");
    refuse("unknown_in_configuration", &[]);
    place.write("harness.toml", "[sweep]\nbatch = []\n");
    refuse("no_values", &[]);
}

#[test]
fn two_sweeps_do_not_work_in_one_folder() {
    let place = Place::new();
    assert_eq!(run(&place, &SWEEP).status.code(), Some(0));
    let there = files(&place.path("points"));
    let other = std::fs::File::open(place.path("points/sweep.json")).unwrap();
    other.lock().unwrap();
    let output = run(&place, &SWEEP);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("another harness is at work on the sweep in points"), "{}", told(&output));
    assert_eq!(files(&place.path("points")), there);
    drop(other);
    assert_eq!(run(&place, &SWEEP).status.code(), Some(0));
}
