//! Files that a user names or a stranger made, in every place that takes one: what is no file, or too much of one, is
//! refused in a sentence, at once, and without its memory. A test that hangs is killed, and fails.

#![cfg(target_os = "linux")]
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::BINARY;
use harness_tests::peak::{self, Ended};
use harness_tests::{Place, golden, lines, stderr, told};
use serde_json::{Value, json};

/// The most memory that a command may have taken that refused something.
const MAX_MEMORY: u64 = 512 << 20;

fn harness(place: &Place, arguments: &[&str]) -> Ended {
    let ended = peak::run(place.command(BINARY).args(arguments));
    let told = told(&ended.output);
    assert!(!told.contains("panicked"), "{arguments:?}: {told}");
    assert!(ended.memory < MAX_MEMORY, "{arguments:?}: {} bytes of memory, {told}", ended.memory);
    ended
}

/// A recording of two short runs, `good.jsonl`.
fn place() -> Place {
    let place = Place::new();
    let arguments = ["run", "--backend", "simulated", "--quick", "--quiet", "--recording", "good.jsonl"];
    let ended = harness(&place, &arguments);
    assert!(ended.output.status.success(), "{}", told(&ended.output));
    place
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.bind(|| insta::assert_snapshot!(format!("inputs_{name}"), text));
}

/// What there may be in a file's place, by name.
const KINDS: [&str; 6] = ["fifo", "socket", "zero", "sparse", "folder", "loop"];

/// Makes one of each. The socket is there as long as what is returned.
fn make_kinds(place: &Place) -> UnixListener {
    let at = |name: &str| place.path(name);
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    symlink("/dev/zero", at("zero")).unwrap();
    File::create(at("sparse")).unwrap().set_len(20_000_000_000).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    symlink("loop", at("loop")).unwrap();
    UnixListener::bind(at("socket")).unwrap()
}

/// Exit code and message of a command for each kind, which is `{}` in the arguments.
fn refusals(place: &Place, what: &str, arguments: &[&str]) -> String {
    let of = |kind: &&str| {
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace("{}", kind)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refusal(place, &format!("{what} {kind}"), &arguments)
    };
    KINDS.iter().map(of).collect()
}

fn refusal(place: &Place, what: &str, arguments: &[&str]) -> String {
    let ended = harness(place, arguments);
    let said = stderr(&ended.output).replace(&format!("{}/", place.folder().display()), "");
    let said: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(said.len(), 1, "{what}: {}", told(&ended.output));
    format!("{what}, exit {}: {}\n", ended.output.status.code().unwrap_or(-1), said[0])
}

#[test]
fn recordings_that_are_no_files() {
    let place = place();
    let _socket = make_kinds(&place);
    let text = [
        refusals(&place, "report", &["report", "{}"]),
        refusals(&place, "compare", &["compare", "good.jsonl", "{}"]),
        refusals(&place, "baseline", &["baseline", "save", "bad", "{}"]),
    ];
    snapshot("recordings", &text.concat());
}

#[test]
fn plugins_that_are_no_files() {
    let place = place();
    let _socket = make_kinds(&place);
    let run = ["run", "--backend", "simulated", "--quick"];
    let text = [
        refusals(&place, "plugin", &[&run[..], &["--plugin", "./{}"]].concat()),
        refusals(&place, "report", &[&run[..], &["--report", "./{}"]].concat()),
        refusals(&place, "with", &["report", "good.jsonl", "--with", "./{}"]),
        refusals(&place, "check", &["plugin", "check", "./{}"]),
    ];
    snapshot("plugins", &text.concat());
    assert!(place.recordings().is_empty());
}

#[test]
fn configurations_that_are_no_files() {
    let place = place();
    let _socket = make_kinds(&place);
    let mut text = refusals(&place, "config", &["recordings", "--config", "{}"]);
    // The one that nobody named.
    for kind in KINDS {
        symlink(kind, place.path("harness.toml")).unwrap();
        text.push_str(&refusal(&place, &format!("harness.toml is {kind}"), &["recordings"]));
        std::fs::remove_file(place.path("harness.toml")).unwrap();
    }
    place.write("latin1.toml", b"[run]\nplugin = 'caf\xe9'\n");
    text.push_str(&refusal(&place, "config", &["recordings", "--config", "latin1.toml"]));
    snapshot("configurations", &text);
}

#[test]
fn sweeps_whose_manifest_is_no_file() {
    let place = place();
    let _socket = make_kinds(&place);
    std::fs::create_dir(place.path("points")).unwrap();
    let sweep =
        ["run", "--backend", "simulated", "--quick", "--quiet", "--sweep", "batch=1,2", "--recording", "points"];
    let mut text = String::new();
    for kind in KINDS {
        std::fs::rename(place.path(kind), place.path("points/sweep.json")).unwrap();
        text.push_str(&refusal(&place, &format!("sweep.json is {kind}"), &sweep));
        std::fs::rename(place.path("points/sweep.json"), place.path(kind)).unwrap();
    }
    snapshot("sweeps", &text);
}

/// A model folder that can be used.
fn model(place: &Place) {
    for entry in std::fs::read_dir(golden().join("prefixed-f32")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        place.write(&format!("model/{name}"), std::fs::read(&path).unwrap());
    }
}

#[test]
fn models_whose_files_are_none() {
    let place = Place::new();
    let _socket = make_kinds(&place);
    model(&place);
    let run = ["run", "--quick", "--quiet", "--device", "cpu", "--model", "./model", "--set", "prompt-tokens=4"];
    let mut text = String::new();
    let files = ["config.json", "model.safetensors", "tokenizer.json", "vocab.json", "merges.txt"];
    for (file, kind) in files.into_iter().flat_map(|file| KINDS.map(|kind| (file, kind))) {
        let path = place.path("model").join(file);
        let was = std::fs::read(&path).ok();
        let _ = std::fs::remove_file(&path);
        symlink(place.path(kind), &path).unwrap();
        // One of these two alone is no tokenizer.
        let beside = [("vocab.json", "merges.txt"), ("merges.txt", "vocab.json")];
        let beside =
            beside.iter().find(|(one, _)| *one == file).map(|(_, other)| place.write(&format!("model/{other}"), "{}"));
        text.push_str(&refusal(&place, &format!("{file} is {kind}"), &run));
        for made in [Some(path.clone()), beside].into_iter().flatten() {
            std::fs::remove_file(made).unwrap();
        }
        if let Some(was) = was {
            std::fs::write(&path, was).unwrap();
        }
    }
    let ended = harness(&place, &run);
    assert!(ended.output.status.success(), "the model itself is good: {}", told(&ended.output));
    // Files that say of themselves that they are large.
    let weights = place.path("model/model.safetensors");
    let file = File::options().write(true).open(&weights).unwrap();
    file.set_len(20_000_000_000).unwrap();
    text.push_str(&refusal(&place, "model.safetensors that has grown", &run));
    file.write_all_at(&50_000_000u64.to_le_bytes(), 0).unwrap();
    text.push_str(&refusal(&place, "model.safetensors with a header of 50 MB", &run));
    std::fs::copy(golden().join("prefixed-f32/model.safetensors"), &weights).unwrap();
    let tokenizer =
        |new: String| format!(r#"{{"version":"1.0","model":{{"type":"BPE","new":[{new}],"vocab":{{}},"merges":[]}}}}"#);
    place.write("model/tokenizer.json", tokenizer("1,".repeat(7 << 20)));
    text.push_str(&refusal(&place, "tokenizer.json of numbers", &run));
    place.write("model/tokenizer.json", tokenizer("[1,1],".repeat(600_000)));
    text.push_str(&refusal(&place, "tokenizer.json of lists", &run));
    std::fs::remove_file(place.path("model/tokenizer.json")).unwrap();
    place.write("model/vocab.json", "{}");
    place.write("model/merges.txt", "a b\n".repeat(3 << 20));
    text.push_str(&refusal(&place, "merges.txt of many lines", &run));
    place.write("model/merges.txt", "a b\n".repeat(1_000_000));
    text.push_str(&refusal(&place, "merges.txt of the most lines", &run));
    let header = format!(r#"{{"a":{{"dtype":"F32","data_offsets":[0,4],"shape":[{}1]}}}}"#, "1,".repeat(2_000_000));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes().chain([0; 4]));
    std::fs::write(&weights, bytes).unwrap();
    text.push_str(&refusal(&place, "model.safetensors with a long shape", &run));
    snapshot("models", &text);
}

/// Writes `start`, then `piece` so often that it has about `bytes`, then `end`.
fn repeat(path: &Path, start: &str, piece: &str, bytes: usize, end: &str) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(start.as_bytes()).unwrap();
    let block = piece.repeat((1 << 16) / piece.len() + 1);
    for _ in 0..bytes / block.len() {
        file.write_all(block.as_bytes()).unwrap();
    }
    file.write_all(end.as_bytes()).unwrap();
}

const HEADER: &str = "{\"type\":\"header\",\"schema\":\"harness-recording/1\",\"facts\":{}}\n";
const RUN: &str = r#"{"type":"run","label":"a","iterations":1,"warmup":0,"batch":1,"wall_time":1.0,"values":{"latency":1.0},"samples":{"#;

#[test]
fn recordings_that_are_too_much_are_refused_within_their_bounds() {
    let place = Place::new();
    let mut text = String::new();
    let after = |line: &str| format!("{HEADER}{line}");
    let long = 200_000_000;
    let tiny_run = format!("{RUN}}}}}\n");
    for (what, start, piece, bytes, end) in [
        ("a long label", after(r#"{"type":"run","label":""#), "x", long, "\"}\n"),
        ("a long key", after(r#"{"type":"run",""#), "x", long, "\":1}\n"),
        ("a long fact", HEADER.replace("}}\n", "\"a\":\""), "x", long, "\"}}\n"),
        ("many facts", HEADER.replace("}}\n", ""), "\"a\":\"\",", long, "\"b\":\"\"}}\n"),
        ("many samples", after(&format!("{RUN}\"latency\":{{\"values\":[")), "1,", long, "1]}}}\n"),
        (
            "many samples, type last",
            after("{\"samples\":{\"latency\":{\"values\":["),
            "1,",
            long,
            "1]}},\"type\":\"run\"}\n",
        ),
        ("many values", after(r#"{"type":"run","values":{"#), "\"a\":1,", long, "\"b\":1}}\n"),
        ("many series", after(RUN), "\"a\":{\"values\":[1]},", long, "\"b\":{\"values\":[1]}}}\n"),
        ("many lists in each other", after(r#"{"type":"run","new":"#), "[", long, "\n"),
        ("a long number", after(r#"{"type":"run","new":"#), "1", long, "}\n"),
        ("a long unknown list", after(r#"{"type":"run","new":["#), "[],", long, "[]]}\n"),
        ("many readings", after(r#"{"type":"end","status":"complete","time":"","summary":["#), "{},", long, "{}]}\n"),
        ("many runs", HEADER.to_owned(), tiny_run.as_str(), long, ""),
        ("an endless first line", String::new(), "x", long, ""),
    ] {
        let path = place.path("much.jsonl");
        repeat(&path, &start, piece, bytes, end);
        text.push_str(&refusal(&place, what, &["report", "much.jsonl"]));
        std::fs::remove_file(path).unwrap();
    }
    File::create(place.path("sparse.jsonl")).unwrap().set_len(20_000_000_000).unwrap();
    text.push_str(&refusal(&place, "a sparse file", &["report", "sparse.jsonl"]));
    snapshot("too_much", &text);
}

#[test]
fn recordings_whose_lines_do_not_belong_together_are_refused() {
    let place = place();
    let good = std::fs::read_to_string(place.path("good.jsonl")).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let [header, run, .., end] = lines[..] else { panic!("{good}") };
    let mut text = String::new();
    let untimed = format!("{RUN}\"a\":{{\"values\":[1,2],\"times\":[1]}}}}}}");
    for (what, lines) in [
        ("a run after the end", vec![header, run, end, run]),
        ("two ends", vec![header, run, end, end]),
        ("two first lines", vec![header, run, header, run, end]),
        ("a first line after the end", vec![header, run, end, header]),
        ("an end and something else", vec![header, run, end, "{"]),
        ("no first line", vec![run, end]),
        ("a line of no kind", vec![header, "{}"]),
        ("a line of another kind", vec![header, r#"{"type":"walk"}"#]),
        ("fewer times than samples", vec![header, &untimed]),
    ] {
        place.write("odd.jsonl", lines.join("\n") + "\n");
        text.push_str(&refusal(&place, what, &["report", "odd.jsonl"]));
    }
    snapshot("order", &text);
    // As another program may write it: the same lines with their keys in another order.
    let sorted = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().sort_keys();
        line.to_string()
    };
    place.write("sorted.jsonl", lines.iter().map(|line| sorted(line) + "\n").collect::<String>());
    let report = |file: &str| harness(&place, &["report", file, "--with", "csv"]).output;
    assert_eq!(report("sorted.jsonl"), report("good.jsonl"));
}

/// What no harness records, and is still a number: every report shows it or refuses it, and so does a comparison.
#[test]
fn figures_that_no_harness_records_do_no_harm() {
    let place = place();
    let good = lines(&place.path("good.jsonl"));
    type Spoil = fn(&mut Value);
    let spoilt: [(&str, Spoil); 7] = [
        ("nothing", |run| run["iterations"] = json!(0)),
        ("no batch", |run| run["batch"] = json!(0)),
        ("endless", |run| {
            for count in ["iterations", "batch", "warmup", "asked"] {
                run[count] = json!(u32::MAX);
            }
        }),
        ("backwards", |run| {
            for time in ["wall_time", "warmup_time", "time_limit"] {
                run[time] = json!(-1e300);
            }
        }),
        ("huge", |run| {
            let values = run["values"].as_object_mut().unwrap();
            values.values_mut().for_each(|value| *value = json!(1e60));
            for series in run["samples"].as_object_mut().unwrap().values_mut() {
                series["values"].as_array_mut().unwrap().iter_mut().for_each(|value| *value = json!(-1e60));
            }
        }),
        ("unordered", |run| {
            let latency = &mut run["samples"]["latency"];
            let count = latency["values"].as_array().unwrap().len();
            latency["times"] = (0..count).map(|at| -(at as f64) * 1e300).collect();
        }),
        ("empty", |run| {
            run["samples"] = json!({"latency": {"values": []}, "": {"values": []}});
            run["values"] = json!({"": 1});
            run["label"] = json!("");
        }),
    ];
    for (what, spoil) in spoilt {
        let mut lines = good.clone();
        lines.iter_mut().filter(|line| line["type"] == "run").for_each(spoil);
        place.write("odd.jsonl", lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        for report in ["default", "table", "json", "csv", "markdown", "html", "prometheus", "bencher", "junit"] {
            let ended = harness(&place, &["report", "odd.jsonl", "--with", report]);
            assert_eq!(ended.output.status.code(), Some(0), "{what} {report}: {}", told(&ended.output));
        }
        for format in ["table", "json", "html"] {
            let ended = harness(&place, &["compare", "good.jsonl", "odd.jsonl", "--force", "--format", format]);
            assert!(matches!(ended.output.status.code(), Some(0 | 4)), "{what} {format}: {}", told(&ended.output));
        }
    }
}

/// A recording that is within its bounds may still be more than a report can have.
#[test]
fn large_recordings_are_shown_and_compared_within_bounds() {
    let place = Place::new();
    let end = "{\"type\":\"end\",\"status\":\"complete\",\"time\":\"\",\"summary\":[]}\n";
    let facts = place.path("facts.jsonl");
    let fact = format!(",\"{}\":\"{}\"", "f", "x".repeat(15_000));
    let mut file = BufWriter::new(File::create(&facts).unwrap());
    write!(file, "{}", HEADER.trim_end().strip_suffix("}}").unwrap()).unwrap();
    for number in 0..4_000 {
        let fact = fact.replacen("\"f\"", &format!("\"f{number}\""), 1);
        write!(file, "{}", if number == 0 { &fact[1..] } else { &fact }).unwrap();
    }
    write!(file, "}}}}\n{end}").unwrap();
    drop(file);
    let samples = place.path("samples.jsonl");
    let start = format!("{HEADER}{RUN}\"latency\":{{\"values\":[");
    repeat(&samples, &start, "1,", 40_000_000, &format!("1]}}}},\"absent\":{{}}}}\n{end}"));
    for recording in ["facts.jsonl", "samples.jsonl"] {
        for with in ["json", "csv", "html", "table"] {
            let ended = harness(&place, &["report", recording, "--with", &format!("{with}=out-{with}")]);
            assert!(!told(&ended.output).contains("can't read"), "{recording}, {with}: {}", told(&ended.output));
        }
    }
    let many = ["samples.jsonl"; 6];
    harness(&place, &[&["compare", "--force"][..], &many].concat());
}
