//! What was measured is kept, whatever happens to the files meanwhile, and nothing is said of them before it was looked for.

#![cfg(target_os = "linux")]
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::{BINARY, harness};
use harness_tests::{Place, lines, stderr, stdout, told};

/// Starts a run of about 2 s, and returns once it has recorded some runs of its 100.
fn running(place: &Place) -> Child {
    let mut command = place.command(BINARY);
    command
        .args(["run", "--backend", "simulated", "--simulate", "real-time=true", "--simulate", "time-per-token=4ms"])
        .args(["--set", "runs=100", "--set", "iterations=2", "--set", "warmup=0", "--set", "max-new-tokens=2"])
        .args(["--recording", "r.jsonl", "--report", "csv"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_to_string(place.path("r.jsonl")).unwrap_or_default().matches(r#""type":"run""#).count() < 3 {
        assert!(Instant::now() < deadline, "no runs were recorded");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Header, 100 runs and end.
fn whole(path: &Path) -> bool {
    let lines = lines(path);
    lines.len() == 102 && lines[101]["status"] == "complete" && lines[0]["schema"] == "harness-recording/1"
}

#[test]
fn a_recording_that_goes_while_it_is_made_is_written_again() {
    for (spoil, why, now_at) in [
        (
            (|place| std::fs::remove_file(place.path("r.jsonl")).unwrap()) as fn(&Place),
            "was removed, moved or renamed",
            "r.jsonl",
        ),
        (
            |place| std::fs::rename(place.path("r.jsonl"), place.path("elsewhere")).unwrap(),
            "was removed, moved or renamed",
            "r.jsonl",
        ),
        (
            |place| std::fs::File::options().write(true).open(place.path("r.jsonl")).unwrap().set_len(100).unwrap(),
            "was changed by something else",
            "r-2.jsonl",
        ),
        (
            |place| {
                place.write("mine", "mine");
                std::fs::rename(place.path("mine"), place.path("r.jsonl")).unwrap();
            },
            "has another file in its place",
            "r-2.jsonl",
        ),
    ] {
        let place = Place::new();
        let child = running(&place);
        spoil(&place);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let warning =
            format!("warning: the recording r.jsonl {why} meanwhile; all of it is written again, to {now_at}\n");
        assert!(stderr(&output).contains(&warning), "{}", told(&output));
        assert!(stderr(&output).ends_with(&format!("recorded in {now_at}\n")), "{}", told(&output));
        assert!(whole(&place.path(now_at)), "{why}");
        if now_at != "r.jsonl" && why.starts_with("has") {
            assert_eq!(std::fs::read(place.path("r.jsonl")).unwrap(), b"mine");
        }
    }
}

/// Files of this process may have so many blocks of 512 bytes.
fn with_small_files(place: &Place, blocks: u32, arguments: &[&str]) -> Output {
    let mut command: Command = place.command("sh");
    command.args(["-c", &format!(r#"ulimit -f {blocks}; exec "$@""#), "sh", BINARY]).args(arguments);
    command.output().unwrap()
}

#[test]
fn a_write_that_fails_keeps_what_is_whole_and_shows_the_rest() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--recording", "r.jsonl", "--report", "csv"];
    let output = with_small_files(&place, 512, &run);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let kept = lines(&place.path("r.jsonl"));
    let runs = kept.iter().filter(|line| line["type"] == "run").count();
    assert!((1..10).contains(&runs), "{runs} runs");
    let said = stderr(&output);
    assert!(said.contains("error: can't write the recording r.jsonl: File too large"), "{said}");
    assert!(
        said.contains(&format!(
            "finished run{} kept in r.jsonl; 1 run more could not be written",
            if runs == 1 { " is" } else { "s are" }
        )),
        "{said}"
    );
    // The run that could not be written is shown all the same.
    let shown = stdout(&output);
    assert!(
        shown.lines().any(|line| line.starts_with("tokens_per_second,") || line.contains("tokens_per_second")),
        "{shown}"
    );
    let again = harness(&place, &["report", "r.jsonl", "--with", "json"]);
    assert!(again.status.success(), "{}", told(&again));
}

#[test]
fn a_recording_that_can_not_be_begun_leaves_no_file() {
    let place = Place::new();
    let output = with_small_files(&place, 0, &["run", "--backend", "simulated", "--quick", "--recording", "r.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("can't write the recording r.jsonl: File too large"), "{}", told(&output));
    assert!(!place.path("r.jsonl").exists());
}

#[test]
fn a_report_that_can_not_be_written_is_found_before_the_test() {
    let place = Place::new();
    place.write("a_file", "");
    std::fs::create_dir(place.path("a_folder")).unwrap();
    for out in ["/sys/kernel/figures.csv", "/proc/figures.csv", "a_folder", "a_file/figures.csv", "nowhere/figures.csv"]
    {
        let report = format!("csv={out}");
        let run = ["run", "--backend", "simulated", "--quick", "--recording", "r.jsonl", "--report", &report];
        let output = harness(&place, &run);
        assert_eq!(output.status.code(), Some(2), "{out}: {}", told(&output));
        let start = format!("error: the report 'csv' can't be written to {out}: ");
        assert!(stderr(&output).starts_with(&start), "{out}: {}", told(&output));
        assert!(!place.path("r.jsonl").exists(), "{out}");
    }
}

#[test]
fn of_two_that_save_one_baseline_one_does() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--quick", "--quiet", "--recording", "r.jsonl"];
    assert!(harness(&place, &run).status.success());
    let save = || {
        let mut command = place.command(BINARY);
        command.args(["baseline", "save", "main", "r.jsonl"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let all: Vec<Child> = (0..8).map(|_| save()).collect();
    let ended: Vec<Output> = all.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let (saved, refused): (Vec<_>, Vec<_>) = ended.iter().partition(|output| output.status.success());
    assert_eq!(saved.len(), 1);
    for output in refused {
        assert_eq!(output.status.code(), Some(2), "{}", told(output));
        let said = "error: there is a baseline 'main'; --replace takes its place, or choose another name\n";
        assert_eq!(stderr(output), said);
    }
    assert_eq!(
        lines(&place.path("r.jsonl")),
        lines(&place.path(".local/share/harness/recordings/baselines/main.jsonl"))
    );
}

#[test]
fn the_latest_recording_is_the_one_that_was_started_last() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--quick", "--quiet", "--report", "csv=/dev/null"];
    for _ in 0..2 {
        assert!(harness(&place, &run).status.success());
    }
    let found = place.recordings();
    let [second, first] = &found[..] else { panic!("{found:?}") };
    // As by a copy, which is written later than what it is of.
    std::fs::File::options().append(true).open(first).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    let folder = first.parent().unwrap();
    std::fs::write(folder.join("zz-empty.jsonl"), "").unwrap();
    std::fs::write(folder.join("zz-foreign.jsonl"), "{\"event\":1}\n").unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("zz-pipe.jsonl")).status().unwrap().success());
    let output = harness(&place, &["recordings"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(stdout(&output), format!("{}\n{}\n", second.display(), first.display()));
    let said = stderr(&output);
    for passed_over in [
        "zz-empty.jsonl is no recording: line 1: the file is empty",
        "zz-foreign.jsonl is no recording",
        "zz-pipe.jsonl: it is a pipe",
    ] {
        assert!(
            said.lines().any(|line| line.starts_with("warning: passed over: ") && line.contains(passed_over)),
            "{said}"
        );
    }
    let output = harness(&place, &["baseline", "save", "main"]);
    assert!(stderr(&output).contains(&format!("kept {} as", second.display())), "{}", told(&output));
}

/// Nothing that was written beside its place is left there.
#[test]
fn a_report_that_is_cut_off_leaves_what_was_there() {
    let place = Place::new();
    place.write("out/figures.csv", "before");
    let run = ["run", "--backend", "simulated", "--recording", "/dev/null", "--report", "html=out/figures.csv"];
    let output = with_small_files(&place, 8, &run);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let start = "error: the report 'html' can't be written to out/figures.csv: File too large";
    assert!(stderr(&output).contains(start), "{}", told(&output));
    let left: Vec<_> = std::fs::read_dir(place.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["figures.csv"]);
    assert_eq!(std::fs::read(place.path("out/figures.csv")).unwrap(), b"before");
}

/// A pipe in the place of the file would wait for a reader for ever.
#[test]
fn a_pipe_in_the_place_of_a_recording_holds_up_nothing() {
    let place = Place::new();
    let child = running(&place);
    std::fs::remove_file(place.path("r.jsonl")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("r.jsonl")).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(
        stderr(&output).ends_with("recorded in r-2.jsonl\n") && whole(&place.path("r-2.jsonl")),
        "{}",
        told(&output)
    );
}

/// Nothing can be opened any more, but what was written is there.
#[test]
fn what_is_kept_is_known_where_nothing_more_can_be_opened() {
    let place = Place::new();
    let child = running(&place);
    let pid = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let limited = Command::new("prlimit").args(["--nofile=1:1", "--pid", pid.trim()]).status().unwrap();
    assert!(limited.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(whole(&place.path("r.jsonl")) && stderr(&output).ends_with("recorded in r.jsonl\n"), "{}", told(&output));
}

/// The reader of stdout has enough; a pipeline still wants to know.
#[test]
fn a_reader_that_goes_makes_no_failed_gate_pass() {
    let place = Place::new();
    for (recording, time) in [("a.jsonl", "1ms"), ("b.jsonl", "2ms")] {
        let time = format!("time-per-token={time}");
        let run =
            ["run", "--backend", "simulated", "--quiet", "--simulate", &time, "--seed", "1", "--recording", recording];
        assert!(harness(&place, &[&run[..], &["--report", "csv=/dev/null"]].concat()).status.success());
    }
    for format in ["table", "json"] {
        let gate = format!(
            "{{ {BINARY} compare a.jsonl b.jsonl --format {format} --fail-on-regression 5; echo $? >code; }} | true"
        );
        place.command("sh").args(["-c", &gate]).output().unwrap();
        assert_eq!(std::fs::read_to_string(place.path("code")).unwrap(), "3\n", "{format}");
    }
}

/// As of a job that is to outlive its terminal.
#[test]
fn a_signal_that_was_ignored_stays_so() {
    let place = Place::new();
    let mut command = place.command("env");
    command.args(["--ignore-signal=HUP,INT", BINARY, "run", "--backend", "simulated", "--simulate", "real-time=true"]);
    command.args([
        "--simulate",
        "time-per-token=4ms",
        "--set",
        "runs=50",
        "--set",
        "iterations=2",
        "--set",
        "warmup=0",
    ]);
    command.args(["--set", "max-new-tokens=2", "--recording", "r.jsonl", "--report", "csv=/dev/null"]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    while std::fs::read_to_string(place.path("r.jsonl")).unwrap_or_default().matches(r#""type":"run""#).count() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    harness_tests::signal(&child, "HUP");
    harness_tests::signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(lines(&place.path("r.jsonl")).len(), 52);
}

/// What is in no file is shown, wherever the reports were to go.
#[test]
fn runs_that_could_not_be_written_are_shown() {
    let place = Place::new();
    let simulated = ["run", "--backend", "simulated", "--quick", "--set", "iterations=40", "--set", "runs=4"];
    for (more, of) in [
        (&["--recording", "r.jsonl", "--report", "json=r.json"][..], "r.jsonl"),
        (&["--recording", "sw", "--sweep", "batch=1,2"], "sw/batch=1.jsonl"),
    ] {
        let output = with_small_files(&place, 12, &[&simulated[..], more].concat());
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        let said = stderr(&output);
        assert!(said.contains("only in what is shown here") && said.contains(of), "{}", told(&output));
        assert!(said.contains("throughput") && said.contains("/s"), "{}", told(&output));
        assert!(!said.contains("makes it of the recording"), "{}", told(&output));
    }
    let run = "--backend simulated --quick --set iterations=40 --set runs=4";
    let output = with_small_files(&place, 12, &["compare", "--interleave", run, run, "--rounds", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("only in what is shown here"), "{}", told(&output));
    assert!(stderr(&output).contains("throughput"), "{}", told(&output));
}

/// A pipe is waited for by nobody.
#[test]
fn a_pipe_that_nobody_reads_takes_no_recording() {
    let place = Place::new();
    assert!(place.command("mkfifo").arg("p").status().unwrap().success());
    let output = harness(&place, &["run", "--backend", "simulated", "--quick", "--recording", "p"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(
        stderr(&output).contains("can't write the recording p: it is a pipe that nobody reads"),
        "{}",
        told(&output)
    );
    let read = "cat p > read & exec \"$@\"";
    let run = ["run", "--backend", "simulated", "--quick", "--quiet", "--report", "csv=/dev/null", "--recording", "p"];
    let output = place.command("sh").args(["-c", read, "sh", BINARY]).args(run).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(lines(&place.path("read")).last().unwrap()["status"], "complete");
}

/// Schedulers and limits on processor time give a process a moment to end.
#[test]
fn a_signal_that_time_is_over_ends_the_test_after_its_iteration() {
    for (signal, why) in [("XCPU", "ulimit -t"), ("USR1", "SIGUSR1"), ("USR2", "SIGUSR2")] {
        let place = Place::new();
        let child = running(&place);
        // The system repeats it.
        let twice = format!("pkill -{signal} -P {0}; pkill -{signal} -P {0}", child.id());
        place.command("sh").args(["-c", &twice]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", told(&output));
        assert!(
            stderr(&output).contains(why) && stderr(&output).contains("stopping after this iteration"),
            "{}",
            told(&output)
        );
        assert_eq!(lines(&place.path("r.jsonl")).last().unwrap()["status"], "interrupted", "{}", told(&output));
    }
}

#[test]
fn a_recording_from_the_future_is_pointed_out() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--quick", "--quiet", "--report", "csv=/dev/null"];
    assert!(harness(&place, &run).status.success());
    let made = place.recordings().remove(0);
    let text = std::fs::read_to_string(&made).unwrap();
    let year = text.split(r#""start":""#).nth(1).unwrap().split('-').next().unwrap().to_owned();
    let future = made.with_file_name("a.jsonl");
    std::fs::write(&future, text.replacen(&format!(r#""start":"{year}-"#), r#""start":"2999-"#, 1)).unwrap();
    let output = harness(&place, &["report", "--with", "csv"]);
    let said = format!("warning: the latest recording, {}, says that it was started at 2999-", future.display());
    assert!(output.status.success() && stderr(&output).contains(&said), "{}", told(&output));
}

/// A link in a folder that came from somewhere is not followed, and neither is it silent.
#[cfg(unix)]
#[test]
fn a_link_among_the_recordings_is_told_of() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--quick", "--quiet", "--report", "csv=/dev/null"];
    assert!(harness(&place, &run).status.success());
    let made = place.recordings().remove(0);
    std::os::unix::fs::symlink("/etc/passwd", made.with_file_name("li\nnk.jsonl")).unwrap();
    let output = harness(&place, &["recordings"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(stderr(&output).contains(r"li\u{a}nk.jsonl is a link; name it to have it read"), "{}", told(&output));
    assert_eq!(stdout(&output).lines().count(), 1, "{}", told(&output));
}

/// What goes while a sweep is at work.
#[test]
fn a_sweep_says_what_went_meanwhile() {
    let sweep = "run --backend simulated --quick --simulate real-time=true --sweep max-new-tokens=20,40 --recording sw";
    for (gone, made, code) in [("sweep.json", None, 0), ("sweep.svg", Some("sweep.svg"), 1)] {
        let place = Place::new();
        let child =
            place.command(BINARY).args(sweep.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !place.path("sw/max-new-tokens=20.jsonl").exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        match made {
            None => std::fs::remove_file(place.path("sw").join(gone)).unwrap(),
            Some(folder) => std::fs::create_dir(place.path("sw").join(folder)).unwrap(),
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
        assert!(stderr(&output).contains(gone), "{}", told(&output));
        assert!(place.path("sw/sweep.json").is_file(), "{}", told(&output));
    }
}

/// What a sweep finds in its folder and what it leaves there is looked at.
#[test]
fn a_sweeps_points_are_what_their_files_say() {
    let place = Place::new();
    let sweep =
        ["run", "--backend", "simulated", "--quick", "--quiet", "--sweep", "max-new-tokens=20,40", "--recording", "sw"];
    assert!(harness(&place, &sweep).status.success());
    let at = |tokens: u32| place.path(&format!("sw/max-new-tokens={tokens}.jsonl"));
    let first = lines(&at(20));
    std::fs::copy(at(40), at(20)).unwrap();
    let again = harness(&place, &sweep);
    assert!(again.status.success(), "{}", told(&again));
    assert_eq!(lines(&at(20))[0]["facts"]["setting.max-new-tokens"], "20", "{}", told(&again));
    assert_eq!(lines(&at(20))[1]["values"]["new_tokens"], first[1]["values"]["new_tokens"]);
}
