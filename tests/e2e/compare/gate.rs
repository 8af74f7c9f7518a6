//! `harness compare --fail-on-regression`: a gate passes only what was shown.

use super::*;

/// The last line on stdout.
fn last(output: &Output) -> String {
    stdout(output).lines().last().unwrap_or_default().to_owned()
}

fn gate(place: &Place, arguments: &[&str]) -> Output {
    harness(place, &[&["compare"], arguments, &["--fail-on-regression", "3"]].concat())
}

/// One that failed after 2 of 10 runs, one that has no end, and one of which the line of the end is of a stop.
fn incomplete(place: &Place) -> [&'static str; 3] {
    let run = ["run", "--backend", "simulated", "--quiet", "--recording", "failed.jsonl", "--seed", "4"];
    let small = ["--set", "iterations=10", "--set", "max-new-tokens=5", "--simulate", "run-jitter=0.003"];
    let output = harness(place, &[&run[..], &small, &["--simulate", "fail-at=34", "--report", "csv"]].concat());
    assert_eq!(code(&output), 1, "{}", told(&output));
    let text = std::fs::read_to_string(place.path("same.jsonl")).unwrap();
    let whole: Vec<&str> = text.lines().collect();
    place.write("cut.jsonl", whole[..4].join("\n") + "\n");
    place.write("stopped.jsonl", text.replace("\"status\":\"complete\"", "\"status\":\"stopped\""));
    ["failed.jsonl", "cut.jsonl", "stopped.jsonl"]
}

#[test]
fn a_gate_ends_with_pass_or_fail() {
    let place = place();
    for format in ["table", "markdown"] {
        let pass = gate(&place, &["base.jsonl", "same.jsonl", "--format", format]);
        assert_eq!(code(&pass), 0, "{}", told(&pass));
        assert!(last(&pass).starts_with("PASS: of 10 figures none is worse by more than 3 %"), "{}", told(&pass));
        assert!(last(&pass).contains("detectable: "), "{}", told(&pass));
        let fail = gate(&place, &["base.jsonl", "slow.jsonl", "--format", format]);
        assert_eq!(code(&fail), 3, "{}", told(&fail));
        assert!(last(&fail).starts_with("FAIL: ") && last(&fail).contains("worse: "), "{}", told(&fail));
        // Without a gate, nothing passes or fails.
        let none = harness(&place, &["compare", "base.jsonl", "slow.jsonl", "--format", format]);
        assert!(!stdout(&none).contains("FAIL") && !stdout(&none).contains("PASS"), "{}", told(&none));
    }
    for (new, pass) in [("same.jsonl", true), ("slow.jsonl", false)] {
        let output = gate(&place, &["base.jsonl", new, "--format", "json"]);
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let word = if pass { "PASS: " } else { "FAIL: " };
        assert_eq!(document["gate"]["pass"], pass, "{}", told(&output));
        assert!(document["gate"]["says"].as_str().unwrap().starts_with(word), "{}", told(&output));
        assert_eq!(document["gate"]["regressions"].as_array().unwrap().is_empty(), pass, "{}", told(&output));
        let page = gate(&place, &["base.jsonl", new, "--format", "html"]);
        assert!(stdout(&page).contains(&format!(">{}<", &word[..4])), "{}", told(&page));
        // A person who keeps stdout in a file is told, too.
        let said = if pass { "PASS: " } else { "regression: " };
        assert!(stderr(&output).contains(said) && stderr(&page).contains(said), "{}", told(&output));
    }
    let none = harness(&place, &["compare", "base.jsonl", "same.jsonl", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&stdout(&none)).unwrap()["gate"], Value::Null);
}

#[test]
fn an_incomplete_side_does_not_pass() {
    let place = place();
    for cut in incomplete(&place) {
        for sides in [["base.jsonl", cut], [cut, "base.jsonl"]] {
            let output = gate(&place, &sides);
            assert_eq!(code(&output), 4, "{}", told(&output));
            assert!(
                last(&output).starts_with("FAIL: not complete, so that the gate can't pass: "),
                "{}",
                told(&output)
            );
            assert!(last(&output).contains(cut) && stderr(&output).contains("--allow-incomplete"), "{}", told(&output));
            let allowed = gate(&place, &[&sides[..], &["--allow-incomplete"]].concat());
            assert_eq!(code(&allowed), 0, "{}", told(&allowed));
            assert!(last(&allowed).starts_with("PASS: "), "{}", told(&allowed));
            // What is compared, and not gated, is compared by what there is.
            let shown = harness(&place, &[&["compare"], &sides[..]].concat());
            assert_eq!(code(&shown), 0, "{}", told(&shown));
        }
    }
    // Pooled, of several, and in pairs, one is enough.
    let pooled = ["--base", "base.jsonl", "--new", "same.jsonl", "failed.jsonl"];
    let several = ["base.jsonl", "same.jsonl", "failed.jsonl"];
    let pairs = ["--paired", "--base", "base.jsonl", "failed.jsonl", "--new", "same.jsonl", "slow.jsonl"];
    for sides in [&pooled[..], &several] {
        let output = gate(&place, sides);
        assert_eq!(code(&output), 4, "{}", told(&output));
        assert!(last(&output).contains("failed.jsonl (failed, 2 finished runs)"), "{}", told(&output));
    }
    let output = gate(&place, &pairs);
    assert_eq!(code(&output), 4, "{}", told(&output));
    assert!(last(&output).starts_with("FAIL: "), "{}", told(&output));
    // What is worse is named all the same; allowed, it is a regression.
    let worse = ["failed.jsonl", "slow.jsonl"];
    let output = gate(&place, &worse);
    assert_eq!(code(&output), 4, "{}", told(&output));
    assert!(last(&output).contains("latency is worse: "), "{}", told(&output));
    assert_eq!(code(&gate(&place, &[&worse[..], &["--allow-incomplete"]].concat())), 3);
}

#[test]
fn what_the_runs_do_not_tell_can_fail_the_gate() {
    let place = place();
    for (name, seed) in [("noisy.jsonl", "11"), ("noisier.jsonl", "12")] {
        record(&place, name, seed, &["--set", "runs=4", "--simulate", "run-jitter=0.1"]);
    }
    let noisy = ["noisy.jsonl", "noisier.jsonl"];
    let passed = gate(&place, &noisy);
    assert_eq!(code(&passed), 0, "{}", told(&passed));
    assert!(last(&passed).starts_with("PASS: ") && last(&passed).contains(" ambiguous"), "{}", told(&passed));
    assert!(stderr(&passed).contains("ambiguous, so not held against it: "), "{}", told(&passed));
    let output = gate(&place, &[&noisy[..], &["--fail-on-inconclusive"]].concat());
    assert_eq!(code(&output), 4, "{}", told(&output));
    assert!(
        last(&output).starts_with("FAIL: the runs don't tell enough for the gate to pass; ambiguous: "),
        "{}",
        told(&output)
    );
    // What was shown passes; a regression stays one.
    assert_eq!(code(&gate(&place, &["base.jsonl", "same.jsonl", "--fail-on-inconclusive"])), 0);
    assert_eq!(code(&gate(&place, &["base.jsonl", "slow.jsonl", "--fail-on-inconclusive"])), 3);
    // Neither says anything without a gate.
    for flag in ["--fail-on-inconclusive", "--allow-incomplete"] {
        let output = harness(&place, &["compare", "base.jsonl", "same.jsonl", flag]);
        assert_eq!(code(&output), 2, "{}", told(&output));
    }
}

#[test]
fn what_is_on_one_side_only_is_not_conclusive() {
    let place = place();
    let text = std::fs::read_to_string(place.path("same.jsonl")).unwrap();
    place.write("lost.jsonl", text.replace("\"latency\":", "\"latenz\":"));
    let sides = ["base.jsonl", "lost.jsonl"];
    let output = gate(&place, &sides);
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert!(last(&output).contains("1 not compared"), "{}", told(&output));
    let output = gate(&place, &[&sides[..], &["--fail-on-inconclusive"]].concat());
    assert_eq!(code(&output), 4, "{}", told(&output));
    assert!(last(&output).contains("not compared: latency ("), "{}", told(&output));
}

#[test]
fn sides_that_can_not_be_compared_fail_on_stdout_too() {
    let place = place();
    record(&place, "other.jsonl", "5", &["--set", "batch=2"]);
    for format in ["table", "markdown"] {
        let output = gate(&place, &["base.jsonl", "other.jsonl", "--format", format]);
        assert_eq!(code(&output), 4, "{}", told(&output));
        assert!(
            stdout(&output).starts_with("FAIL: not compared: ") && stdout(&output).contains("batch"),
            "{}",
            told(&output)
        );
        assert_eq!(stdout(&output).lines().count(), 1, "{}", told(&output));
        // A side that is not there, is none, or can't be made.
        place.write("none.jsonl", "not a\nrecording");
        for new in ["gone.jsonl", "none.jsonl"] {
            let output = gate(&place, &["base.jsonl", new, "--format", format]);
            assert_eq!(code(&output), 2, "{}", told(&output));
            assert!(
                stdout(&output).starts_with("FAIL: not compared: ") && stdout(&output).contains(new),
                "{}",
                told(&output)
            );
        }
        let interleaved =
            ["--interleave", "--backend simulated", "--backend simulated --simulate fail-at=3", "--format", format];
        let output = gate(&place, &interleaved);
        assert_eq!(code(&output), 1, "{}", told(&output));
        assert!(stdout(&output).starts_with("FAIL: not compared: "), "{}", told(&output));
    }
    // No half of a document.
    for format in ["json", "html"] {
        let output = gate(&place, &["base.jsonl", "other.jsonl", "--format", format]);
        assert_eq!((code(&output), stdout(&output).as_str()), (4, ""));
    }
}

/// Between a recording and itself nothing is ever found.
#[test]
fn a_recording_does_not_pass_against_itself() {
    let place = place();
    std::fs::copy(place.path("same.jsonl"), place.path("copy.jsonl")).unwrap();
    for sides in [["same.jsonl", "copy.jsonl"], ["same.jsonl", "same.jsonl"]] {
        let output = gate(&place, &sides);
        assert_eq!(code(&output), 4, "{}", told(&output));
        assert!(
            last(&output).starts_with(&format!("FAIL: {} is in the base, too, so that the gate can't fail", sides[1]))
        );
    }
}

/// Runs of a kind that only the new side has would be left out.
#[test]
fn runs_without_a_counterpart_are_other_work() {
    let place = place();
    let text = std::fs::read_to_string(place.path("same.jsonl")).unwrap();
    let mut changed = 0;
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["type"] == "run" && changed < 4 {
            changed += 1;
            line["iterations"] = (line["iterations"].as_u64().unwrap() + 1).into();
        }
        line.to_string() + "\n"
    });
    place.write("kinds.jsonl", lines.collect::<String>());
    let output = gate(&place, &["base.jsonl", "kinds.jsonl"]);
    assert_eq!(code(&output), 4, "{}", told(&output));
    assert!(
        last(&output).starts_with("FAIL: not compared: kinds.jsonl did other work than base.jsonl"),
        "{}",
        told(&output)
    );
}

/// As where a sensor was lost after some runs.
#[test]
fn a_figure_of_some_runs_is_told_and_not_conclusive() {
    let place = place();
    let text = std::fs::read_to_string(place.path("same.jsonl")).unwrap();
    let mut lost = 0;
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["type"] == "run" && lost < 4 {
            lost += 1;
            line["values"].as_object_mut().unwrap().remove("latency");
        }
        line.to_string() + "\n"
    });
    place.write("partial.jsonl", lines.collect::<String>());
    let output = gate(&place, &["base.jsonl", "partial.jsonl"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let said = "latency (6 of 10 runs of partial.jsonl have it)";
    assert!(last(&output).contains(", 1 not of all runs") && stderr(&output).contains(said), "{}", told(&output));
    assert!(stdout(&output).contains(&format!("Not of all runs:\n  {said}")), "{}", told(&output));
    let output = gate(&place, &["base.jsonl", "partial.jsonl", "--fail-on-inconclusive"]);
    assert_eq!(code(&output), 4, "{}", told(&output));
    assert!(last(&output).contains(said), "{}", told(&output));
}

/// A gate that passes says what spoils its figures, for who reads nothing else.
#[test]
fn a_standstill_is_in_the_gates_line() {
    let place = place();
    let text = std::fs::read_to_string(place.path("same.jsonl")).unwrap();
    let standstill = r#""standstill":{"stopped":1.5,"suspended":0.0,"clock_jump":0.0},"wall_time""#;
    place.write("stood.jsonl", text.replacen(r#""wall_time""#, standstill, 1));
    let output = gate(&place, &["base.jsonl", "stood.jsonl"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert!(last(&output).contains("; stood.jsonl stood still in 1 of "), "{}", told(&output));
}

/// A line taken out of a recording that says it is complete.
#[test]
fn a_run_that_is_missing_does_not_pass() {
    let place = place();
    let text = std::fs::read_to_string(place.path("same.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = [&lines[..2], &lines[3..]].concat().join("\n") + "\n";
    place.write("without.jsonl", without);
    let output = gate(&place, &["base.jsonl", "without.jsonl"]);
    assert_eq!(code(&output), 4, "{}", told(&output));
    assert!(last(&output).starts_with("FAIL: not complete"), "{}", told(&output));
    assert!(stderr(&output).contains("without.jsonl: its end tells of "), "{}", told(&output));
}

/// What statistics can't reckon with is no figure, and what they can is told as a number.
#[test]
fn a_change_beyond_measure_does_not_pass() {
    let place = place();
    let text = std::fs::read_to_string(place.path("same.jsonl")).unwrap();
    let of_latency = |name: &str, value: f64| {
        let lines = text.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.pointer_mut("/values/latency").into_iter().for_each(|latency| *latency = value.into());
            line.to_string() + "\n"
        });
        place.write(name, lines.collect::<String>());
    };
    of_latency("beyond.jsonl", 1e308);
    let output = gate(&place, &["base.jsonl", "beyond.jsonl"]);
    assert_eq!(code(&output), 2, "{}", told(&output));
    assert!(
        last(&output).starts_with("FAIL: not compared: beyond.jsonl is no recording: line 2: latency is 1e308"),
        "{}",
        told(&output)
    );
    of_latency("huge.jsonl", 1e60);
    of_latency("tiny.jsonl", 5e-324);
    for base in ["base.jsonl", "tiny.jsonl"] {
        let output = gate(&place, &[base, "huge.jsonl"]);
        assert_eq!(code(&output), 3, "{}", told(&output));
        assert!(last(&output).starts_with("FAIL: latency is worse: "), "{}", told(&output));
        assert!(stdout(&output).contains("e6") && last(&output).len() < 200, "{}", told(&output));
        assert!(!stdout(&output).contains("inf") && !stdout(&output).contains("NaN"), "{}", told(&output));
    }
}

#[test]
fn the_smallest_change_that_could_be_found_is_shown() {
    let place = place();
    let detectable = |sides: [&str; 2], metric: &str| {
        let output = harness(&place, &[&["compare"], &sides[..], &["--format", "json", "--metric", metric]].concat());
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(document["power"], 0.8);
        document["comparisons"][0]["metrics"][0]["detectable"].as_f64()
    };
    record(&place, "few.jsonl", "6", &["--set", "runs=3"]);
    let (many, few) = (
        detectable(["base.jsonl", "same.jsonl"], "latency").unwrap(),
        detectable(["base.jsonl", "few.jsonl"], "latency").unwrap(),
    );
    // Ten runs that differ by 0.3 % find little more than the threshold of 1 %.
    assert!((0.01..0.015).contains(&many), "{many}");
    assert!(few > 0.0 && few.is_finite(), "{few}");
    // Without a spread, all that is over the threshold; without a direction, nothing.
    assert_eq!(detectable(["base.jsonl", "same.jsonl"], "memory_peak"), Some(0.01));
    assert_eq!(detectable(["base.jsonl", "same.jsonl"], "new_tokens"), None);
    let table = harness(&place, &["compare", "base.jsonl", "same.jsonl"]);
    assert!(
        stdout(&table).contains("Detectable, the smallest true change that 80 % of such comparisons find:\n"),
        "{}",
        told(&table)
    );
    assert!(stdout(&table).contains(", latency 1.1"), "{}", told(&table));
    let markdown = harness(&place, &["compare", "base.jsonl", "same.jsonl", "--format", "markdown"]);
    assert!(stdout(&markdown).contains("| detectable |"), "{}", told(&markdown));
}
