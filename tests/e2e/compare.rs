//! `harness compare` and `harness baseline` from outside: verdicts, exit codes, and everything that can be wrong.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::BINARY;
use harness_tests::{EXAMPLE, Place, signal, stderr, stdout, told};
use serde_json::Value;

mod bad_input;
mod gate;

fn harness(place: &Place, arguments: &[&str]) -> Output {
    let output = place.command(BINARY).args(arguments).output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", told(&output));
    output
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{}", told(output)))
}

/// Ten runs that differ by 0.3 % from each other, and from those of another seed.
fn record(place: &Place, name: &str, seed: &str, more: &[&str]) {
    let base = ["run", "--backend", "simulated", "--quiet", "--recording", name, "--seed", seed, "--report", "csv"];
    let small = ["--set", "iterations=10", "--set", "max-new-tokens=5", "--simulate", "run-jitter=0.003"];
    let output = harness(place, &[&base[..], &small[..], more].concat());
    assert!(output.status.success(), "{}", told(&output));
}

/// A base, the same again, and one that is 5 % slower.
fn place() -> Place {
    let place = Place::new();
    record(&place, "base.jsonl", "1", &[]);
    record(&place, "same.jsonl", "2", &[]);
    let slower = ["--simulate", "time-per-token=210us", "--simulate", "time-to-first-token=525us"];
    record(&place, "slow.jsonl", "3", &slower);
    place
}

fn verdicts(output: &Output) -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("{}", told(output)));
    let rows = document["comparisons"][0]["metrics"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    rows.iter().map(|row| (text(&row["metric"]), text(&row["verdict"]))).collect()
}

fn verdict(output: &Output, metric: &str) -> String {
    verdicts(output).into_iter().find(|(name, _)| name == metric).unwrap().1
}

#[test]
fn a_slowdown_is_found_and_the_same_is_the_same() {
    let place = place();
    let same = harness(&place, &["compare", "base.jsonl", "same.jsonl", "--format", "json"]);
    assert_eq!(code(&same), 0, "{}", told(&same));
    assert!(verdicts(&same).iter().all(|(_, verdict)| verdict == "same" || verdict == "none"), "{}", told(&same));
    let slow = harness(&place, &["compare", "base.jsonl", "slow.jsonl", "--format", "json"]);
    assert_eq!(code(&slow), 0, "{}", told(&slow));
    for metric in ["latency", "throughput", "tokens_per_second", "inter_token_latency"] {
        assert_eq!(verdict(&slow, metric), "worse", "{metric}");
    }
    assert_eq!(verdict(&slow, "memory_peak"), "same");
    let back = harness(&place, &["compare", "slow.jsonl", "base.jsonl", "--format", "json"]);
    assert_eq!(verdict(&back, "latency"), "better");
}

#[test]
fn what_is_too_few_for_a_test_is_told() {
    let place = Place::new();
    for (name, seed) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
        record(&place, name, seed, &["--set", "runs=1"]);
    }
    let told_of = |arguments: &[&str]| {
        let output = harness(&place, &[&["compare", "--metric", "latency"], arguments].concat());
        assert_eq!(code(&output), 0, "{}", told(&output));
        stdout(&output).lines().last().unwrap().to_owned()
    };
    assert_eq!(told_of(&["a", "b"]), "1 figure could not be tested: that takes two runs a side at least.");
    // Recorded in the order a, b, c, d.
    let pairs = told_of(&["--paired", "--base", "a", "d", "--new", "b", "c"]);
    assert_eq!(pairs, "1 figure could not be tested: that takes three pairs, so two rounds of A B B A at least.");
    let pooled = told_of(&["--base", "a", "d", "--new", "b", "c"]);
    assert!(pooled.starts_with("over 1 figure, "), "{pooled}");
}

#[test]
fn a_gate_fails_on_what_is_beyond_it() {
    let place = place();
    let gate =
        |new: &str, percent: &str| harness(&place, &["compare", "base.jsonl", new, "--fail-on-regression", percent]);
    assert_eq!(code(&gate("same.jsonl", "3")), 0);
    let failed = gate("slow.jsonl", "3");
    assert_eq!(code(&failed), 3, "{}", told(&failed));
    assert!(stdout(&failed).contains("worse"), "the table is shown all the same: {}", told(&failed));
    assert!(
        stderr(&failed).contains("regression: ") && stderr(&failed).contains("latency is worse: +"),
        "{}",
        told(&failed)
    );
    assert_eq!(code(&gate("slow.jsonl", "10")), 0);
    let memory = ["compare", "base.jsonl", "slow.jsonl", "--metric", "memory_peak", "--fail-on-regression", "3"];
    assert_eq!(code(&harness(&place, &memory)), 0);
}

#[test]
fn tables_say_what_was_found_and_how() {
    let place = place();
    let table = harness(&place, &["compare", "base.jsonl", "slow.jsonl"]);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.bind(|| insta::assert_snapshot!("compare_table", stdout(&table)));
    let wide: Vec<String> =
        stdout(&table).lines().filter(|line| line.chars().count() > 100).map(str::to_owned).collect();
    assert!(wide.is_empty(), "{wide:?}");
    let markdown =
        harness(&place, &["compare", "base.jsonl", "slow.jsonl", "--format", "markdown", "--metric", "latency"]);
    settings.bind(|| insta::assert_snapshot!("compare_markdown", stdout(&markdown)));
}

#[test]
fn a_comparison_is_a_page_that_asks_for_nothing() {
    let place = place();
    let text = std::fs::read_to_string(place.path("slow.jsonl")).unwrap();
    // Held down clocks, a run that was cut, and a fact and a name that could be taken for markup.
    let lines: Vec<&str> = text.lines().collect();
    let run =
        lines[1].replacen("\"values\":{", "\"values\":{\"throttled_time\":0.5,\"throttled_time_sw_power_cap\":0.5,", 1);
    let header = lines[0].replacen("\"facts\":{", "\"facts\":{\"gpu.name\":\"<b>H100</b>\",", 1);
    place.write("a&<b>.jsonl", format!("{header}\n{run}\n{}", lines[2..8].join("\n")));
    let output = harness(&place, &["compare", "base.jsonl", "a&<b>.jsonl", "same.jsonl", "--format", "html"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let page = stdout(&output);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
    for never in ["http://", "https://", "<script", " src=", "<b>"] {
        assert!(!page.contains(never), "{never}: {page}");
    }
    let json = harness(&place, &["compare", "base.jsonl", "a&<b>.jsonl", "same.jsonl", "--format", "json"]);
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    let figures: Vec<f64> =
        page.split("<data value=\"").skip(1).map(|part| part.split('"').next().unwrap().parse().unwrap()).collect();
    let rows: Vec<&Value> =
        json["comparisons"].as_array().unwrap().iter().flat_map(|one| one["metrics"].as_array().unwrap()).collect();
    for row in &rows {
        assert!(figures.contains(&row["base"]["mean"].as_f64().unwrap()), "{row}");
        assert!(figures.contains(&row["new"]["mean"].as_f64().unwrap()), "{row}");
    }
    for verdict in ["better", "worse", "same", "ambiguous"] {
        let of_it = rows.iter().filter(|row| row["verdict"] == verdict).count();
        assert_eq!(page.contains(&format!(">{of_it} {verdict}</span>")), of_it > 0, "{verdict}");
        assert_eq!(page.matches(&format!("\">{verdict}</span>")).count(), of_it, "{verdict} in the table");
        assert_eq!(page.matches(&format!("<g class=\"{verdict}\">")).count(), of_it, "{verdict} in the chart");
    }
    assert!(page.contains("<h1>2 recordings beside base.jsonl</h1>") && page.contains("<h2>same.jsonl</h2>"), "{page}");
    // The charts are said in words, too.
    assert_eq!(page.matches("role=\"img\" aria-label=\"Changes with their 95 % intervals. throughput ").count(), 2);
    for said in [
        "a&amp;&lt;b&gt;.jsonl is unfinished: only its 7 finished runs count",
        "Clocks were held down in 1 of 7 runs of the new side (sw_power_cap)",
        "<td class=\"text\">none</td><td class=\"text\">&lt;b&gt;H100&lt;/b&gt;</td>",
        "<h3>Not compared</h3>",
        "Welch&#39;s t test",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[test]
fn sides_are_pooled_by_run_or_compared_each_with_the_base() {
    let place = place();
    let pooled = ["compare", "--base", "base.jsonl", "same.jsonl", "--new", "slow.jsonl", "--format", "json"];
    let document: Value = serde_json::from_str(&stdout(&harness(&place, &pooled))).unwrap();
    let table = harness(&place, &pooled[..6]);
    assert!(
        stdout(&table).starts_with("base  base.jsonl, same.jsonl (20 runs)\nnew   slow.jsonl (10 runs)\n"),
        "{}",
        told(&table)
    );
    let latency = &document["comparisons"][0]["metrics"][1];
    assert_eq!(
        (&latency["metric"], &latency["base"]["runs"], &latency["new"]["runs"]),
        (&"latency".into(), &20.into(), &10.into())
    );
    let each = harness(&place, &["compare", "base.jsonl", "same.jsonl", "slow.jsonl", "--format", "json"]);
    let document: Value = serde_json::from_str(&stdout(&each)).unwrap();
    let verdicts: Vec<&Value> =
        document["comparisons"].as_array().unwrap().iter().map(|one| &one["metrics"][1]["verdict"]).collect();
    assert_eq!(verdicts, ["same", "worse"]);
}

#[test]
fn facts_that_differ_are_listed_and_other_work_is_refused() {
    let place = place();
    let table = harness(&place, &["compare", "base.jsonl", "same.jsonl"]);
    assert!(stdout(&table).contains("model.weights: synthetic:1 → synthetic:2"), "{}", told(&table));
    record(&place, "batch.jsonl", "1", &["--set", "batch=8"]);
    let refused = harness(&place, &["compare", "base.jsonl", "batch.jsonl"]);
    assert_eq!((code(&refused), stdout(&refused).as_str()), (4, ""), "{}", told(&refused));
    assert!(stderr(&refused).contains("setting.batch: '8' here, '1' in the base"), "{}", told(&refused));
    let forced = harness(&place, &["compare", "base.jsonl", "batch.jsonl", "--force"]);
    assert_eq!(code(&forced), 0, "{}", told(&forced));
    assert!(
        stdout(&forced).contains("Other work, compared because of --force:\n  setting.batch: 1 → 8"),
        "{}",
        told(&forced)
    );
    let output = harness(
        &place,
        &[
            "run",
            "--backend",
            "simulated",
            "--quiet",
            "--quick",
            "--recording",
            "other.jsonl",
            "--plugin",
            harness_tests::EXAMPLE,
        ],
    );
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(code(&harness(&place, &["compare", "base.jsonl", "other.jsonl"])), 4);
}

#[test]
fn more_runs_of_the_same_are_the_same_work() {
    let place = place();
    record(&place, "short.jsonl", "4", &["--set", "runs=4"]);
    assert_eq!(code(&harness(&place, &["compare", "base.jsonl", "short.jsonl"])), 0);
}

#[test]
fn runs_that_a_time_limit_ended_are_compared_but_for_their_sums() {
    let place = Place::new();
    for (name, seed, speed) in
        [("a", "1", "200us"), ("b", "2", "200us"), ("slow_a", "3", "400us"), ("slow_b", "4", "400us")]
    {
        let base =
            ["run", "--backend", "simulated", "--quiet", "--plugin", EXAMPLE, "--recording", name, "--seed", seed];
        let point = ["--set", "lengths=16", "--set", "batches=1", "--set", "iterations=1000", "--set", "seconds=0.05"];
        let speed = format!("time-per-token={speed}");
        let output = harness(&place, &[&base[..], &point[..], &["--simulate", &speed]].concat());
        assert!(output.status.success(), "{}", told(&output));
    }
    let sides = ["--base", "a", "b", "--new", "slow_a", "slow_b"];
    let output = harness(&place, &[&["compare", "--format", "json"], &sides[..]].concat());
    assert_eq!(code(&output), 0, "{}", told(&output));
    for metric in ["latency", "tokens_per_second"] {
        assert_eq!(verdict(&output, metric), "worse", "{metric}");
    }
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let not: Vec<&Value> =
        document["comparisons"][0]["not_compared"].as_array().unwrap().iter().map(|metric| &metric["metric"]).collect();
    assert_eq!(not, ["prompt_tokens", "new_tokens"]);
    let table = harness(&place, &[&["compare"], &sides[..]].concat());
    let said = "new_tokens: it is a sum over a run, and in a a time limit ended runs before all iterations";
    assert!(stdout(&table).contains(said), "{}", told(&table));
    let asked = harness(&place, &[&["compare", "--metric", "new_tokens"], &sides[..]].concat());
    assert_eq!(code(&asked), 4, "{}", told(&asked));
}

#[test]
fn what_was_recorded_before_a_cut_is_compared_with_a_warning() {
    let place = place();
    let text = std::fs::read_to_string(place.path("base.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    place.write("cut.jsonl", format!("{}\n{}", lines[..5].join("\n"), &lines[5][..40]));
    let cut = harness(&place, &["compare", "base.jsonl", "cut.jsonl", "--format", "json"]);
    assert_eq!((code(&cut), verdict(&cut, "latency")), (0, "same".to_owned()), "{}", told(&cut));
    let said = stderr(&cut);
    assert!(
        said.contains("line 6 ends in the middle")
            && said.contains("cut.jsonl is unfinished: only its 4 finished runs count"),
        "{said}"
    );
}

#[test]
fn a_slow_first_run_and_held_down_clocks_are_told() {
    let place = place();
    let text = std::fs::read_to_string(place.path("base.jsonl")).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines[1]["values"]["latency"] = 0.0015.into();
    lines[2]["values"]["throttled_time"] = 0.25.into();
    lines[2]["values"]["throttled_time_sw_power_cap"] = 0.25.into();
    place.write("warm.jsonl", lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let said = stderr(&harness(&place, &["compare", "same.jsonl", "warm.jsonl"]));
    assert!(said.contains("warning: warm.jsonl: the first run's latency is 15."), "{said}");
    assert!(said.contains("raise --set warmup (it is 3)"), "{said}");
    assert!(said.contains("clocks were held down in 1 of 10 runs (sw_power_cap)"), "{said}");
    assert!(!said.contains("same.jsonl:"), "{said}");
}

#[test]
fn baselines_are_kept_compared_and_removed() {
    let place = place();
    let saved = harness(&place, &["baseline", "save", "main", "base.jsonl"]);
    assert_eq!(code(&saved), 0, "{}", told(&saved));
    std::fs::remove_file(place.path("base.jsonl")).unwrap();
    for side in ["baseline:main", "main"] {
        let compared = harness(&place, &["compare", side, "slow.jsonl", "--fail-on-regression", "3"]);
        assert_eq!(code(&compared), 3, "{}", told(&compared));
    }
    let list = harness(&place, &["baseline", "list"]);
    assert!(stdout(&list).lines().any(|line| line.trim_start().starts_with("main ")), "{}", told(&list));
    assert_eq!(code(&harness(&place, &["baseline", "save", "main", "slow.jsonl"])), 2);
    assert_eq!(code(&harness(&place, &["baseline", "save", "main", "slow.jsonl", "--replace"])), 0);
    let itself = harness(&place, &["compare", "main", "slow.jsonl", "--fail-on-regression", "3"]);
    assert_eq!(code(&itself), 4, "{}", told(&itself));
    assert!(stderr(&itself).contains("warning: slow.jsonl is in the base, too"), "{}", told(&itself));
    // Who only looks is told, and not stopped.
    assert_eq!(code(&harness(&place, &["compare", "main", "slow.jsonl"])), 0);
    assert_eq!(code(&harness(&place, &["baseline", "save", "../x", "slow.jsonl"])), 2);
    // Nothing was recorded into the folder of recordings, so there is no latest.
    assert_eq!(code(&harness(&place, &["baseline", "save", "latest"])), 2);
    assert_eq!(code(&harness(&place, &["baseline", "remove", "main"])), 0);
    refuse_any(&place, &["baseline", "remove", "main"], "there is no baseline 'main'");
    place.write("header.jsonl", std::fs::read_to_string(place.path("slow.jsonl")).unwrap().lines().next().unwrap());
    assert_eq!(code(&harness(&place, &["baseline", "save", "none", "header.jsonl"])), 4);
    // What is kept of a recording that was cut is said.
    let text = std::fs::read_to_string(place.path("slow.jsonl")).unwrap();
    place.write("cut.jsonl", text.lines().take(4).collect::<Vec<_>>().join("\n"));
    let cut = harness(&place, &["baseline", "save", "cut", "cut.jsonl"]);
    assert_eq!(code(&cut), 0, "{}", told(&cut));
    assert!(stderr(&cut).contains("cut.jsonl is unfinished: only its 3 finished runs count"), "{}", told(&cut));
    // A baseline that was spoilt since is named, and the others are listed all the same.
    place.write(".local/share/harness/recordings/baselines/spoilt.jsonl", "{");
    let list = harness(&place, &["baseline", "list"]);
    assert!(stderr(&list).contains("spoilt.jsonl is no recording: line 1"), "{}", told(&list));
    assert!(stdout(&list).contains(" cut "), "{}", told(&list));
    refuse_any(&place, &["compare", "spoilt", "slow.jsonl"], "spoilt.jsonl is no recording: line 1");
}

fn refuse_any(place: &Place, arguments: &[&str], message: &str) {
    let output = harness(place, arguments);
    assert_eq!(code(&output), 2, "{}", told(&output));
    assert!(stderr(&output).contains(message), "{}", told(&output));
}

/// A job that is killed leaves nothing at work on the GPU.
#[test]
fn what_is_being_recorded_ends_with_its_comparison() {
    let place = Place::new();
    let slow = "--backend simulated --simulate real-time=true --simulate time-per-token=5ms --set runs=1000";
    let mut command = place.command(BINARY);
    let mut child = command.args(["compare", "--interleave", slow, slow]).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let recorded = |place: &Place| std::fs::read_to_string(place.recordings().first()?.join("0001-a.jsonl")).ok();
    let wait = |what: &str, done: &dyn Fn(&str) -> bool| {
        while !recorded(&place).is_some_and(|text| done(&text)) {
            assert!(Instant::now() < deadline, "{what}: {:?}", recorded(&place));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait("no recording was begun", &|text| text.contains("\n"));
    signal(&child, "KILL");
    child.wait().unwrap();
    wait("the recording did not end", &|text| text.contains("\"status\":\"interrupted\""));
}

#[test]
fn interleaved_configurations_are_run_in_turn_and_compared() {
    let place = Place::new();
    let small =
        "--backend simulated --set runs=3 --set iterations=3 --set max-new-tokens=4 --simulate run-jitter=0.003";
    let slower = format!("{small} --simulate time-per-token=230us");
    let arguments =
        ["compare", "--interleave", small, &slower, "--rounds", "3", "--fail-on-regression", "3", "--format", "json"];
    let output = harness(&place, &arguments);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let latency = &document["comparisons"][0]["metrics"][1];
    assert_eq!(
        (&document["paired"], &latency["base"]["runs"]),
        (&true.into(), &6.into()),
        "a recording each: {latency}"
    );
    assert_eq!((code(&output), verdict(&output, "inter_token_latency")), (3, "worse".to_owned()), "{}", told(&output));
    let folder = place.path(".local/share/harness/recordings");
    let folder = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut files: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files.len(), 12);
    assert_eq!(files[..4], ["0001-a.jsonl", "0002-b.jsonl", "0003-b.jsonl", "0004-a.jsonl"]);
    // The same again from what was kept.
    let side = |name: &str| -> Vec<String> {
        let those = files.iter().filter(|file| file.ends_with(name));
        those.map(|file| folder.join(file).display().to_string()).collect()
    };
    let (a, b) = (side("a.jsonl"), side("b.jsonl"));
    let sides = |a: &[String], b: &[String], more: &[&str]| {
        let text = |side: &[String]| side.to_vec();
        let words = [vec!["compare".into(), "--base".into()], text(a), vec!["--new".into()], text(b)].concat();
        let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
        harness(&place, &words)
    };
    let again = sides(&a, &b, &["--paired", "--format", "json"]);
    let again: Value = serde_json::from_str(&stdout(&again)).unwrap();
    assert_eq!(again["comparisons"][0]["metrics"], document["comparisons"][0]["metrics"]);
    let said = stdout(&sides(&a, &b, &["--paired"]));
    assert!(said.contains("free of linear drift (Hills and Armitage)"), "{said}");
    assert!(
        said.lines().all(|line| line.chars().count() <= 100 || line.starts_with("base") || line.starts_with("new")),
        "{said}"
    );
    let refused = sides(&a[1..], &b, &["--paired"]);
    assert_eq!(code(&refused), 4, "{}", told(&refused));
    assert!(stderr(&refused).contains("can't be paired: the base has 5, the other side 6"), "{}", told(&refused));
    // Other work is found out after one of each, not at the end.
    let other = format!("{small} --set batch=2");
    let output = harness(&place, &["compare", "--interleave", small, &other, "--rounds", "50"]);
    assert_eq!(code(&output), 4, "{}", told(&output));
    let wrong = harness(&place, &["compare", "--interleave", "--backend simulated --set speed=1", small]);
    assert_eq!(code(&wrong), 2, "{}", told(&wrong));
}

#[test]
fn a_gate_that_can_not_fail_is_refused() {
    let place = place();
    let refused = |arguments: &[&str], exit: i32, part: &str| {
        let output = harness(&place, &[&["compare"], arguments, &["--fail-on-regression", "3"]].concat());
        assert_eq!(code(&output), exit, "{}", told(&output));
        assert!(stderr(&output).contains(part), "{}", told(&output));
    };
    let slow = ["base.jsonl", "slow.jsonl"];
    let over = "--threshold 6 % is over --fail-on-regression 3 %";
    refused(&[&slow[..], &["--threshold", "6"]].concat(), 2, over);
    refused(&[&slow[..], &["--metric", "new_tokens"]].concat(), 2, "new_tokens can't fail a gate");
    refused(&[&slow[..], &["--threshold", "3"]].concat(), 3, "up to 3 % is allowed");
    for (name, seed) in [("one.jsonl", "7"), ("other.jsonl", "8")] {
        record(&place, name, seed, &["--set", "runs=1"]);
    }
    refused(&["one.jsonl", "other.jsonl"], 4, "nothing can be tested, so that the gate can't pass");
}

#[test]
fn what_a_gate_can_not_compare_it_names() {
    let place = place();
    let text = std::fs::read_to_string(place.path("same.jsonl")).unwrap();
    let without = |line: &str| -> String {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["type"] == "run" {
            line["values"].as_object_mut().unwrap().remove("latency").unwrap();
            line["absent"]["latency"] = "lost".into();
        }
        format!("{line}\n")
    };
    place.write("lost.jsonl", text.lines().map(without).collect::<String>());
    let output = harness(&place, &["compare", "base.jsonl", "lost.jsonl", "--fail-on-regression", "3"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let said = stderr(&output);
    assert!(said.contains("not compared, so not held against it: latency (") && said.contains("lost"), "{said}");
}
