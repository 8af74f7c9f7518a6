//! `harness plugin new`: what it makes builds with its language's own tool and does what a plugin should.
//!
//! Building JavaScript and Python installs their tools from npm and PyPI, so that is done with `-- --include-ignored` only.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness;
use harness_tests::{Place, stderr, stdout, told};

const KINDS: [&str; 3] = ["workload", "report", "both"];

fn make(place: &Place, name: &str, lang: &str, kind: &str) -> PathBuf {
    let output = harness(place, &["plugin", "new", name, "--lang", lang, "--kind", kind]);
    assert!(output.status.success(), "{}", told(&output));
    let last = format!("  harness plugin test {}\n", component(name, lang));
    assert!(stdout(&output).ends_with(&last), "{}", told(&output));
    place.path(name)
}

fn component(name: &str, lang: &str) -> String {
    match lang {
        "rust" => format!("target/wasm32-wasip2/release/{}.wasm", name.replace('-', "_")),
        _ => format!("{name}.wasm"),
    }
}

fn built(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", told(&output));
}

fn does_what_it_should(place: &Place, component: &Path, kind: &str) {
    let component = component.to_str().unwrap();
    let checked = harness(place, &["plugin", "check", component]);
    let kinds = if kind == "both" { "workload, report" } else { kind };
    let first = format!("{component} can be used: {kinds}\n");
    assert!(checked.status.success() && stdout(&checked).starts_with(&first), "{}", told(&checked));

    let tested = harness(place, &["plugin", "test", component]);
    assert!(tested.status.success(), "{}", told(&tested));
    let did = |what: &str| stdout(&tested).contains(what);
    assert_eq!(did("workload: 2 runs of "), kind != "report", "{}", told(&tested));
    assert_eq!(did("  latency = "), kind != "report", "{}", told(&tested));
    assert_eq!(did("report on a recording"), kind != "workload", "{}", told(&tested));

    // What else the READMEs say to run.
    let run = ["run", "--plugin", component, "--quick", "--backend", "simulated", "--report", "json"];
    let reported = match kind {
        "report" => harness(place, &["run", "--quick", "--backend", "simulated", "--report", component]),
        _ => harness(place, &run),
    };
    assert!(reported.status.success() && stdout(&reported).contains("latency"), "{}", told(&reported));
    if kind != "workload" {
        let reported = harness(place, &["report", "--with", component, "--set", "decimals=1"]);
        assert!(reported.status.success() && stdout(&reported).contains("latency"), "{}", told(&reported));
        for refused in [
            harness(place, &["report", "--with", component, "--set", "decimals=many"]),
            harness(place, &["plugin", "test", component, "--report-set", "decimals=many"]),
        ] {
            let said = "setting 'decimals' is 'many', and must be 0 to 9";
            assert!(refused.status.code() == Some(2) && stderr(&refused).contains(said), "{}", told(&refused));
        }
    }
    if kind != "report" {
        let refused = harness(place, &["plugin", "test", component, "--set", "lengths=16,few"]);
        let said = "'few' in setting 'lengths' is not a whole number of 1 or more";
        assert!(refused.status.code() == Some(2) && stderr(&refused).contains(said), "{}", told(&refused));
    }
}

/// Nothing is left of the templates' own name and world, and the contract is the host's.
fn is_filled_in(folder: &Path, name: &str, kind: &str) {
    let world = match kind {
        "both" => "plugin",
        "workload" => "workload-plugin",
        _ => "report-plugin",
    };
    let mut named = 0;
    for (path, text) in texts(folder) {
        if path.ends_with("wit/plugin.wit") {
            assert_eq!(text, include_str!("../../wit/plugin.wit"));
            continue;
        }
        let own = text.replace(name, "").replace(&name.replace('-', "_"), "");
        assert!(!own.contains("my-plugin") && !own.contains("my_plugin"), "{}: {text}", path.display());
        let others = own.matches("workload-plugin").count() + own.matches("report-plugin").count();
        let wanted = if world == "plugin" { 0 } else { own.matches(world).count() };
        assert_eq!(others, wanted, "{}: {text}", path.display());
        named += text.matches(name).count();
    }
    assert!(named >= 2, "{named} times {name} in {}", folder.display());
    for file in [".gitignore", "README.md", "wit/plugin.wit"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
}

fn texts(folder: &Path) -> Vec<(PathBuf, String)> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => texts(&path),
            false => vec![(path.clone(), std::fs::read_to_string(&path).unwrap())],
        })
        .collect()
}

#[test]
fn each_project_is_filled_in() {
    let place = Place::new();
    for lang in ["rust", "javascript", "python"] {
        for kind in KINDS {
            // Names that have the templates' own words in them.
            for (number, start) in ["a", "my-plugin-2", "workload-plugin", "plugin"].into_iter().enumerate() {
                let name = format!("{start}-{lang}-{kind}-{number}");
                is_filled_in(&make(&place, &name, lang, kind), &name, kind);
            }
        }
    }
}

#[test]
fn rust_builds_and_runs() {
    let place = Place::new();
    // Shared and kept, so that wit-bindgen compiles once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-new");
    let cargo = |folder: &Path, arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(folder).env("CARGO_TARGET_DIR", &target).args(arguments).args(["--release", "--offline"]);
        built(&mut cargo);
    };
    for kind in KINDS {
        let name = format!("a-{kind}");
        let folder = make(&place, &name, "rust", kind);
        // The example has the same dependencies, and what it needs is on this machine.
        let lock = include_str!("../../examples/latency-sweep/Cargo.lock");
        std::fs::write(folder.join("Cargo.lock"), lock.replace("\"latency-sweep\"", &format!("\"{name}\""))).unwrap();
        cargo(&folder, &["build", "--target", "wasm32-wasip2"]);
        let component = component(&name, "rust").replacen("target", target.to_str().unwrap(), 1);
        does_what_it_should(&place, Path::new(&component), kind);
        if kind == "both" {
            cargo(&folder, &["test"]);
        }
    }
}

#[test]
#[ignore = "installs componentize-js from npm; run with -- --include-ignored"]
fn javascript_builds_and_runs() {
    let place = Place::new();
    for kind in KINDS {
        let name = format!("a-{kind}");
        let folder = make(&place, &name, "javascript", kind);
        for arguments in [["install", "--no-audit"].as_slice(), &["run", "build"], &["test"]] {
            built(Command::new("npm").current_dir(&folder).args(arguments));
        }
        does_what_it_should(&place, &folder.join(component(&name, "javascript")), kind);
    }
}

#[test]
#[ignore = "installs componentize-py from PyPI; run with -- --include-ignored"]
fn python_builds_and_runs() {
    let place = Place::new();
    for kind in KINDS {
        let name = format!("a-{kind}");
        let output = harness(&place, &["plugin", "new", &name, "--lang", "python", "--kind", kind]);
        let folder = place.path(&name);
        // What it says to run next, as it says it.
        let next = stdout(&output);
        for command in next.lines().filter(|line| line.starts_with("  ") && line.contains(".venv")) {
            built(Command::new("sh").current_dir(&folder).args(["-c", command]));
        }
        built(Command::new("python3").current_dir(&folder).args(["-m", "unittest"]));
        does_what_it_should(&place, &folder.join(component(&name, "python")), kind);
    }
}

#[test]
fn a_name_that_some_tool_refuses_is_refused() {
    let place = Place::new();
    let long = "a".repeat(65);
    for name in ["", "Mine", "1st", "a_b", "a b", "../a", "a/b", "-", "ends-", "my--plugin", "é", &long] {
        let output = harness(&place, &["plugin", "new", "--lang", "rust", "--", name]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        let said = format!("'{name}' can't be a plugin's name; choose lower-case letters, digits and single '-'");
        assert!(stderr(&output).contains(&said), "{}", told(&output));
    }
    let output = harness(&place, &["plugin", "new", "match", "--lang", "rust"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("choose another, such as 'match-plugin'"), "{}", told(&output));
    assert_eq!(std::fs::read_dir(place.folder()).unwrap().count(), 0);
}

#[test]
fn nothing_is_replaced() {
    let place = Place::new();
    place.write("full/mine.txt", "mine");
    place.write("file", "mine");
    std::fs::create_dir(place.path("empty")).unwrap();
    for name in ["full", "file"] {
        let output = harness(&place, &["plugin", "new", name, "--lang", "python"]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        let said = format!("{name} is there already, and is not an empty folder; choose another name, or move it away");
        assert!(stderr(&output).contains(&said), "{}", told(&output));
    }
    assert_eq!(std::fs::read_dir(place.path("full")).unwrap().count(), 1);
    make(&place, "empty", "python", "report");
}

#[test]
fn an_unknown_language_or_kind_is_refused_with_the_known_ones() {
    let place = Place::new();
    for (arguments, known) in [
        (["--lang", "cobol", "--kind", "both"], "[possible values: rust, javascript, python]"),
        (["--lang", "rust", "--kind", "plan"], "possible values: workload, report, both"),
    ] {
        let output = harness(&place, &[&["plugin", "new", "mine"], arguments.as_slice()].concat());
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(stderr(&output).contains(known), "{}", told(&output));
    }
    assert!(!place.path("mine").exists());
}
