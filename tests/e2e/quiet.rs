//! Flags that only show: with `--quiet` and without, a command does the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use crate::BINARY;
use harness_tests::{HOSTILE, Place, lines, stderr, stdout, told};

const RUN: [&str; 2] = ["run", "--quick"];
const SIMULATED: [&str; 2] = ["--backend", "simulated"];

/// Its name, what is there before, the arguments, and the exit code.
type Case = (&'static str, fn(&Place), Vec<&'static str>, i32);

/// What a command left behind, but for what no two invocations have in common.
#[derive(Debug, PartialEq)]
struct Done {
    code: Option<i32>,
    files: BTreeMap<String, String>,
    errors: Vec<String>,
}

/// Of a recording, what kinds of lines it has and how it ended.
fn gist(path: &Path) -> String {
    if path.is_dir() || path.extension().is_none_or(|extension| extension != "jsonl") {
        return String::new();
    }
    if std::fs::read_to_string(path).unwrap() == "{}" {
        return "no recording".into();
    }
    let gist = |line: &serde_json::Value| format!("{} {}", line["type"], line["status"]);
    lines(path).iter().map(gist).collect::<Vec<_>>().join("; ")
}

fn files(place: &Place) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![place.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(place.folder()).unwrap().display().to_string();
            found.insert(name, gist(&path));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// All that is said but notes.
fn errors(output: &Output) -> Vec<String> {
    let said = stderr(output);
    let wanted = |line: &&str| line.starts_with("error:") || line.starts_with("warning:");
    said.lines().filter(wanted).map(ToOwned::to_owned).collect()
}

fn done(prepare: fn(&Place), arguments: &[&str]) -> (Done, Output) {
    let place = Place::with_gpu("normal");
    prepare(&place);
    let output = place.command(BINARY).args(arguments).output().unwrap();
    (Done { code: output.status.code(), files: files(&place), errors: errors(&output) }, output)
}

#[test]
fn quiet_changes_what_is_shown_and_nothing_else() {
    let nothing: fn(&Place) = |_| {};
    let there: fn(&Place) = |place| {
        place.write("r.jsonl", "{}");
    };
    let closed: fn(&Place) = |place| {
        place.write("folder", "a file");
    };
    let act = |act: &'static str| [&SIMULATED[..], &["--plugin", HOSTILE, "--set", act]].concat();
    let simulated = |more: &[&'static str]| [&SIMULATED[..], more].concat();
    let cases: Vec<Case> = vec![
        ("all is well", nothing, simulated(&[]), 0),
        ("a plan past the context", nothing, simulated(&["--set", "prompt-tokens=5000"]), 2),
        ("a plan without runs", nothing, simulated(&["--set", "runs=0"]), 2),
        // The GPU is looked at, and the memory read, only for what can be run.
        (
            "an unservable plan on a processor",
            nothing,
            vec!["--device", "cpu", "--roofline", "--idle-time", "5s", "--sensors", "0", "--set", "batch=0"],
            2,
        ),
        ("a processor that was not asked for", nothing, vec!["--set", "prompt-tokens=5000"], 2),
        ("a plugin that breaks", nothing, act("act=panic"), 1),
        ("a plugin that asks for what can't be served", nothing, act("act=too-long"), 1),
        ("a device that is lost", nothing, simulated(&["--simulate", "fail-at=7"]), 1),
        ("a report that is nowhere", nothing, simulated(&["--report", "nowhere.wasm"]), 2),
        ("a report that can't be written", nothing, simulated(&["--report", "csv=/dev/full"]), 1),
        ("a report into no folder", closed, simulated(&["--report", "csv=folder/out.csv"]), 2),
        ("a recording that is there", there, simulated(&[]), 2),
        ("a sweep with a point that fails", nothing, simulated(&["--sweep", "prompt-tokens=8,5000,16"]), 1),
        ("a sweep of which none can be run", nothing, simulated(&["--sweep", "prompt-tokens=5000,6000"]), 2),
        ("a dry run", nothing, simulated(&["--dry-run", "--sweep", "prompt-tokens=8,5000"]), 2),
    ];
    for (name, prepare, arguments, code) in cases {
        let arguments = [&RUN[..], &["--recording", "r.jsonl"], &arguments].concat();
        let (loud, told_loud) = done(prepare, &arguments);
        let (quiet, told_quiet) = done(prepare, &[&arguments[..], &["--quiet"]].concat());
        assert_eq!(loud, quiet, "{name}\n--- loud\n{}\n--- quiet\n{}", told(&told_loud), told(&told_quiet));
        assert_eq!(quiet.code, Some(code), "{name}: {}", told(&told_quiet));
        assert_eq!(quiet.errors.is_empty(), code == 0, "{name}: {}", told(&told_quiet));
        let all = stderr(&told_loud);
        for line in stderr(&told_quiet).lines() {
            assert!(all.lines().any(|other| other == line), "{name}: only the quiet one says '{line}'");
        }
    }
}

#[test]
fn an_unservable_plan_leaves_nothing_however_quiet() {
    for more in [&[][..], &["--quiet"]] {
        for what in [&["--set", "prompt-tokens=5000"][..], &["--sweep", "prompt-tokens=5000,6000"]] {
            let place = Place::new();
            let output = place.command(BINARY).args(RUN).args(SIMULATED).args(what).args(more).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{}", told(&output));
            assert!(place.recordings().is_empty(), "{:?}", place.recordings());
        }
    }
}

#[test]
fn a_failed_point_of_a_quiet_sweep_is_named() {
    let place = Place::new();
    let sweep = ["--quiet", "--sweep", "prompt-tokens=8,5000", "--sweep", "batch=1,2", "--recording", "points"];
    let output = place.command(BINARY).args(RUN).args(SIMULATED).args(sweep).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let said = stderr(&output);
    for point in ["prompt-tokens=5000 batch=1", "prompt-tokens=5000 batch=2"] {
        assert_eq!(said.matches(&format!("error: {point}: ")).count(), 1, "{}", told(&output));
    }
    // Both errors and the sum of them, and nothing else.
    assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 3, "{}", told(&output));
    assert!(!said.contains("point 1/4"), "{}", told(&output));
}

#[test]
fn notes_about_the_cache_are_quiet_too() {
    let place = Place::new();
    let cache = place.path("cache");
    let run = |quiet: bool, cache: &Path, more: &[&str]| {
        let mut command = place.command(BINARY);
        command.args(RUN).args(SIMULATED).args(more).args(quiet.then_some("--quiet")).env("XDG_CACHE_HOME", cache);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        output
    };
    run(true, &cache, &[]);
    let entries = || {
        let mut found = Vec::new();
        let mut folders = vec![cache.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found
    };
    assert!(!entries().is_empty(), "nothing was kept");
    let damage = || entries().iter().for_each(|entry| std::fs::write(entry, "damaged").unwrap());
    let block = || {
        for entry in entries() {
            std::fs::remove_file(&entry).unwrap();
            std::fs::create_dir_all(entry.join("in the way")).unwrap();
        }
    };
    let nowhere = Path::new("/dev/null/cache");
    let said = |quiet: bool, cache: &Path, more: &[&str]| stderr(&run(quiet, cache, more));
    for (prepare, cache, note) in [
        (&damage as &dyn Fn(), cache.as_path(), "is damaged"),
        (&block, &cache, "is compiled anew each time"),
        (&|| {}, nowhere, "plugins are compiled each time"),
    ] {
        prepare();
        assert!(said(false, cache, &[]).contains(note), "{note}");
        prepare();
        assert_eq!(said(true, cache, &[]), "", "{note}");
    }
}

#[test]
fn what_is_shown_is_the_same_report() {
    let report = |more: &[&str]| {
        let place = Place::new();
        let arguments = ["--report", "csv", "--set", "runs=2"];
        let output = place.command(BINARY).args(RUN).args(SIMULATED).args(arguments).args(more).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        stdout(&output)
    };
    assert_eq!(report(&[]), report(&["--quiet"]));
    assert_eq!(report(&[]), report(&["--verbose"]));
}
