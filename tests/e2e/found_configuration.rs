//! A clone of a stranger's: what its `harness.toml` may ask and what not, and what else lies in it that could be taken for something
//! else. The user's own configuration, and one that is given, are trusted.

#![cfg(unix)]
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::BINARY;
use harness_tests::{EXAMPLE, HOSTILE, Place, hostile, stderr, stdout, told};

const RUN: [&str; 5] = ["run", "--backend", "simulated", "--quick", "--quiet"];

/// A home folder, with a clone in it.
struct Home(Place);

impl Home {
    fn new() -> Self {
        let place = Place::new();
        place.write(".bashrc", "mine\n");
        place.write("clone/README", "a stranger's\n");
        place.write("clone/.git/hooks/pre-commit", "#!/bin/sh\n");
        place.write("clone/plugins/mine.wasm", std::fs::read(EXAMPLE).unwrap());
        Self(place)
    }

    fn found(text: &str) -> Self {
        let home = Self::new();
        home.0.write("clone/harness.toml", text);
        home
    }

    fn clone(&self, name: &str) -> std::path::PathBuf {
        self.0.path("clone").join(name)
    }

    fn command(&self) -> Command {
        let mut command = self.0.command(BINARY);
        command.current_dir(self.0.path("clone"));
        command
    }

    fn harness(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    fn run(&self, more: &[&str]) -> Output {
        self.harness(&[&RUN[..], more].concat())
    }

    /// Every file, but recordings and what is remembered where they are kept.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.0.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.0.folder()).unwrap().display().to_string();
                if path.is_symlink() {
                    files.insert(name, path.read_link().unwrap().into_os_string().into_encoded_bytes());
                } else if path.is_file() {
                    files.insert(name, std::fs::read(&path).unwrap());
                } else if name != ".local/share/harness" {
                    folders.push(path);
                }
            }
        }
        files
    }
}

fn done(output: Output) -> Output {
    assert!(output.status.success(), "{}", told(&output));
    output
}

fn refused(output: &Output, parts: &[&str]) {
    assert_eq!(output.status.code(), Some(2), "{}", told(output));
    for part in parts {
        assert!(stderr(output).contains(part), "{part}: {}", told(output));
    }
}

fn snapshot(home: &Home, name: &str, output: &Output) {
    let mut settings = insta::Settings::clone_current();
    let real = home.0.folder().canonicalize().unwrap();
    for folder in [&real, home.0.folder()] {
        settings.add_filter(&folder.display().to_string().replace('.', "\\."), "[home]");
    }
    settings.add_filter(EXAMPLE, "[example]");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    let text = format!("exit {}\n{}", output.status.code().unwrap_or(-1), stderr(output));
    settings.bind(|| insta::assert_snapshot!(format!("found_{name}"), text));
}

#[test]
fn what_a_stranger_may_not_ask_is_refused_and_nothing_is_written() {
    let digest = "0".repeat(64);
    let reference = format!("[run]\nplugin = 'oci://ghcr.io/team/mine@sha256:{digest}'\n");
    for (name, text) in [
        ("report_absolute", "[run]\nreport = ['csv=/tmp/harness-found.csv']\n"),
        ("report_parent", "[run]\nreport = ['csv=../.bashrc']\n"),
        ("report_link", "[run]\nreport = ['csv', 'json=figures.csv']\n"),
        ("report_linked_folder", "[run]\nreport = ['csv=out/figures.csv']\n"),
        ("report_hooks", "[run]\nreport = ['csv=hooks/pre-push']\n"),
        ("report_hidden", "[run]\nreport = ['csv=.envrc']\n"),
        ("report_hidden_folder", "[run]\nreport = ['csv=.cargo/config.toml']\n"),
        ("report_configuration", "[run]\nreport = ['csv=harness.toml']\n"),
        ("report_builtin", "[run]\nreport = ['csv=default']\n"),
        ("report_option", "[run]\nreport = ['csv=-rf']\n"),
        ("report_plugin", "[run]\nreport = ['../other.wasm=a.csv']\n"),
        ("recording", "\n[run]\nquick = true\nrecording = '../r.jsonl'\n"),
        ("recording_hidden", "[run]\nrecording = '.git/r.jsonl'\n"),
        ("recordings", "[run]\nrecordings = 'out/recordings'\n"),
        ("plugin_outside", "[run]\nplugin = '/opt/mine.wasm'\n"),
        ("plugin_link", "[run]\nplugin = './linked.wasm'\n"),
        ("plugin_reference", &reference),
        ("plugins_outside", &format!("[plugins.mine]\npath = '{EXAMPLE}'\n")),
        ("plugins_link", "[plugins]\nmine.path = 'linked.wasm'\n"),
        ("model", "[model]\nmodel = '../gpt2'\n"),
        ("download", "[model]\nmodel = 'someone/something'\ndownload = true\n"),
        ("limits", "[limits]\nmax-memory = '1GiB'\nmax-call-time = '1s'\nmax-log-lines = 1001\nmax-time = '25h'\n"),
        ("plain_http", "[registries]\nplain-http = ['registry.lan:5000']\n"),
        ("cache", "[registries]\ncache = 'artifacts'\n"),
        (
            "several",
            "[run]\nreport = ['csv=/etc/x']\n\n[limits]\nmax-iterations = 10000001\n[registries]\nplain-http = ['a']\n",
        ),
        // In every source.
        ("plugins_builtin", "[plugins.csv]\npath = 'plugins/mine.wasm'\n"),
        ("plugins_file", "[plugins.'/opt/mine.wasm']\npath = 'plugins/mine.wasm'\n"),
    ] {
        let home = Home::found(text);
        symlink("../.bashrc", home.clone("figures.csv")).unwrap();
        symlink("..", home.clone("out")).unwrap();
        symlink(".git/hooks", home.clone("hooks")).unwrap();
        symlink(EXAMPLE, home.clone("linked.wasm")).unwrap();
        let before = home.files();
        let output = home.run(&[]);
        snapshot(&home, name, &output);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", told(&output));
        assert_eq!(stdout(&output), "", "{name}");
        assert!(home.files() == before && home.0.recordings().is_empty(), "{name}: {}", told(&output));
        // A command that only looks takes it no further.
        assert_eq!(home.harness(&["recordings"]).status.code(), Some(2), "{name}");
    }
}

#[test]
fn what_a_stranger_may_ask_is_done() {
    let home = Home::found(
        "[run]\nplugin = 'mine'\nreport = ['csv=made/figures.csv', 'markdown']\nrecordings = 'kept'\nseed = 5\nsensors = 'none'\nidle-time = '0s'\n\
         roofline = false\n[model]\nmodel = 'gpt2'\nbackend = 'simulated'\ndownload = false\n[report-set.csv]\nwhat = 'summary'\n\
         [simulate]\njitter = 0\n[limits]\nmax-memory = '200MiB'\nmax-call-time = '9s'\nmax-guest-time = '1m'\nmax-output = '1MiB'\nmax-log-lines = 10\n\
         max-iterations = 1000000\nmax-time = '1h'\n[registries]\noffline = true\n[plugins.mine]\npath = 'plugins/mine.wasm'\n",
    );
    std::fs::create_dir(home.clone("made")).unwrap();
    let output = done(home.run(&[]));
    assert!(stdout(&output).contains("| "), "{}", told(&output));
    let figures = || std::fs::read_to_string(home.clone("made/figures.csv")).unwrap();
    assert!(figures().starts_with("metric,unit,value"));
    let recordings = || std::fs::read_dir(home.clone("kept")).unwrap().count();
    assert_eq!((recordings(), home.0.recordings().len()), (1, 0));
    // The same again, over what was written for it.
    done(home.run(&["--seed", "6"]));
    assert_eq!(recordings(), 2);
    done(home.harness(&["report"]));
    done(home.harness(&["baseline", "save", "main"]));
    assert!(home.clone("kept/baselines/main.jsonl").is_file() && recordings() == 3);
    // What somebody changed, or put there, is not replaced, and that is said before anything is measured.
    std::fs::write(home.clone("made/figures.csv"), "mine").unwrap();
    refused(&home.run(&[]), &["harness did not write", "made/figures.csv", "move it away"]);
    assert_eq!((figures().as_str(), recordings()), ("mine", 3));
    // The user may say so.
    done(home.run(&["--report", "csv=made/figures.csv"]));
    assert!(figures().starts_with("metric,unit,value"));
    assert_eq!(std::fs::read_to_string(home.0.path(".bashrc")).unwrap(), "mine\n");
}

#[test]
fn a_stranger_can_sweep_below_the_folder() {
    let home = Home::found("[run]\nrecording = 'points'\n[sweep]\nbatch = [1, 2]\n");
    done(home.run(&[]));
    assert!(home.clone("points/sweep.svg").is_file() && home.clone("points/batch=2.jsonl").is_file());
    // What lies where the chart goes is not followed.
    std::fs::remove_file(home.clone("points/sweep.svg")).unwrap();
    symlink("../../.bashrc", home.clone("points/sweep.svg")).unwrap();
    let output = home.run(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("no chart could be drawn"), "{}", told(&output));
    assert_eq!(std::fs::read_to_string(home.0.path(".bashrc")).unwrap(), "mine\n");
}

#[test]
fn an_artifact_that_a_stranger_names_is_not_fetched() {
    let reference = format!("oci://127.0.0.1:1/mine@sha256:{}", "0".repeat(64));
    let text = format!("[plugins.mine]\nreference = '{reference}'\n");
    let home = Home::found(&text);
    refused(&home.run(&["--plugin", "mine"]), &["is not on this machine", &format!("harness plugin pull {reference}")]);
    // Its name alone does no harm, and whoever trusts it has it fetched.
    done(home.run(&[]));
    let asked = home.run(&["--plugin", "mine", "--config", "harness.toml"]);
    assert!(
        asked.status.code() == Some(1) && stderr(&asked).contains("no answer from 127.0.0.1:1"),
        "{}",
        told(&asked)
    );
}

#[test]
fn what_is_given_or_the_users_own_is_trusted() {
    let asked = |folder: &Path| {
        format!(
            "[run]\nplugin = 'mine'\nreport = ['csv={0}/figures.csv']\nrecordings = '{0}/kept'\n[limits]\nmax-memory = '1GiB'\n\
             [registries]\nplain-http = ['registry.lan:5000']\ncache = '{0}/artifacts'\n[plugins.mine]\npath = '{EXAMPLE}'\n",
            folder.display()
        )
    };
    let home = Home::new();
    home.0.write("clone/harness.toml", asked(home.0.folder()));
    refused(
        &home.run(&[]),
        &[
            "line 3, run.report",
            "line 4, run.recordings",
            "line 6, limits.max-memory",
            "plain-http",
            "cache",
            "plugins.mine",
        ],
    );
    done(home.run(&["--config", "harness.toml"]));
    assert!(home.0.path("figures.csv").is_file());

    // The same as the user's own, from another clone.
    let home = Home::new();
    home.0.configure(&asked(home.0.folder()));
    done(home.run(&[]));
    assert!(home.0.path("figures.csv").is_file() && home.0.path("kept").is_dir());
    // Over it lies what is found, and what is given.
    home.0.write("clone/harness.toml", "[run]\nplugin = 'default'\n[limits]\nmax-memory = '900MiB'\n");
    let output = done(home.run(&["--report", "json"]));
    assert!(stdout(&output).contains("\"default\""), "{}", told(&output));
    home.0.write("clone/harness.toml", "[limits]\nmax-memory = '1025MiB'\n");
    refused(&home.run(&[]), &["1 GiB that hold without it"]);
    home.0.write("clone/harness.toml", "[plugins.mine]\npath = 'plugins/mine.wasm'\n");
    refused(&home.run(&[]), &["line 1, plugins.mine: your own configuration has a plugin of this name"]);
    home.0.write("clone/given.toml", "[run]\nplugin = 'default'\n");
    let output = done(home.run(&["--config", "given.toml", "--report", "json"]));
    assert!(stdout(&output).contains("\"default\""), "{}", told(&output));
    // `offline` is not taken back.
    home.0.configure("[registries]\noffline = true\n");
    home.0.write("clone/harness.toml", "[registries]\noffline = false\n");
    refused(&home.run(&[]), &["registries.offline"]);
}

#[test]
fn the_users_own_configuration_is_relative_to_its_folder() {
    let home = Home::new();
    home.0.write(".config/harness/plugins/mine.wasm", std::fs::read(EXAMPLE).unwrap());
    home.0.configure(
        "[run]\nplugin = './plugins/mine.wasm'\nreport = ['csv=figures.csv', 'again']\nrecordings = 'kept'\n[plugins.again]\npath = 'plugins/mine.wasm'\n",
    );
    let output = home.run(&["--report", "csv"]);
    done(output);
    assert!(home.0.path(".config/harness/kept").is_dir() && !home.clone("kept").exists());
    let output = done(home.harness(&["plugin", "inspect", "again"]));
    assert!(stdout(&output).contains("latency-sweep"), "{}", told(&output));
    // Another place that is named absolutely counts, one that is not doesn't.
    home.0.write("clone/config/harness/config.toml", "[run]\nplugin = 'none-such'\n");
    done(home.command().args(RUN).args(["--report", "csv"]).env("XDG_CONFIG_HOME", "config").output().unwrap());
    let elsewhere = home.clone("config");
    let output = home.command().args(RUN).env("XDG_CONFIG_HOME", elsewhere).output().unwrap();
    refused(&output, &["there is no plugin 'none-such'"]);
}

#[test]
fn a_configuration_that_others_can_write_is_not_the_users_own() {
    let home = Home::new();
    let path = home.0.configure("[run]\nseed = 5\n");
    done(home.run(&[]));
    let mode = |path: &Path, mode: u32| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    for loose in [0o620, 0o602] {
        mode(&path, loose);
        refused(&home.run(&[]), &["is not used: others can write to", "chmod go-w"]);
    }
    mode(&path, 0o644);
    mode(path.parent().unwrap(), 0o777);
    refused(&home.run(&[]), &["is not used: others can write to"]);
    mode(path.parent().unwrap(), 0o755);
    done(home.run(&[]));
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
        refused(&home.run(&[]), &["is another user's (number 12345"]);
    }
}

#[test]
fn planted_files_are_taken_for_no_builtin_plugin() {
    let home = Home::new();
    let hostile = std::fs::read(HOSTILE).unwrap();
    for name in ["default", "csv", "csv=figures.csv", "json", "default.wasm", "csv.wasm", "markdown=md", "typo"] {
        home.0.write(&format!("clone/{name}"), &hostile);
    }
    let output = done(home.run(&["--report", "json"]));
    assert!(stdout(&output).contains("\"default\"") && !stdout(&output).contains("hostile"), "{}", told(&output));
    done(home.run(&["--plugin", "default", "--report", "csv=figures.csv", "--report-set", "csv.what=summary"]));
    assert!(std::fs::read_to_string(home.clone("figures.csv")).unwrap().starts_with("metric,unit,value"));
    let output = done(home.harness(&["report", "--with", "csv"]));
    assert!(stdout(&output).starts_with("metric,unit,value"), "{}", told(&output));
    for command in ["inspect", "check", "test"] {
        let output = done(home.harness(&["plugin", command, "csv"]));
        assert!(!told(&output).contains("hostile"), "{}", told(&output));
    }
    // A built-in one's file name, too, which is said.
    let output = done(home.run(&["--plugin", "default.wasm", "--report", "csv.wasm"]));
    assert!(
        stderr(&output).contains("default.wasm is the built-in plugin default; ./default.wasm is the file"),
        "{}",
        told(&output)
    );
    // A file is named with its folder, or its extension.
    refused(&home.run(&["--plugin", "typo"]), &["named with its folder: ./typo"]);
    done(home.run(&["--plugin", "./typo", "--report", "csv"]));
    home.0.write("clone/mine.wasm", &hostile);
    done(home.run(&["--plugin", "mine.wasm", "--report", "csv"]));
    done(home.run(&["--plugin", "./default", "--report", "csv"]));
}

#[test]
fn a_link_in_the_folder_leads_nothing_out_of_it() {
    let home = Home::new();
    let link = |to: &str, at: &str| {
        std::fs::create_dir_all(home.clone(at).parent().unwrap()).unwrap();
        symlink(to, home.clone(at)).unwrap();
    };
    link("../.bashrc", "figures.csv");
    link("../.config", "out");
    link(".git/hooks/pre-commit", "hook.csv");
    link("../../.bashrc", "pages/harness.1");
    link("../.config", "my-plugin");
    link("../nothing", "nothing.csv");
    std::fs::create_dir(home.0.path(".config")).unwrap();
    let text = format!("{}=figures.csv", hostile("rep_rc.wasm").display());
    done(home.run(&["--recording", "r.jsonl"]));
    let before = home.files();
    let linked = "a link leads it to";
    refused(&home.run(&["--report", &text]), &[linked, ".bashrc; if you mean that place, name it"]);
    refused(&home.harness(&["report", "r.jsonl", "--with", &text]), &[linked]);
    refused(&home.harness(&["report", "r.jsonl", "--with", "csv=out/figures.csv"]), &[linked]);
    refused(&home.harness(&["report", "r.jsonl", "--with", "csv=hook.csv"]), &[linked, "pre-commit"]);
    refused(&home.harness(&["report", "r.jsonl", "--with", "csv=nothing.csv"]), &["is a link to what is not there"]);
    let files = format!("{HOSTILE}=out");
    refused(&home.harness(&["report", "r.jsonl", "--with", &files, "--set", "act=files"]), &[linked]);
    let reference = format!("oci://127.0.0.1:1/mine@sha256:{}", "0".repeat(64));
    refused(&home.harness(&["plugin", "pull", &reference, "--output", "figures.csv"]), &[linked]);
    refused(&home.harness(&["plugin", "pull", &reference, "--output", "r.jsonl"]), &["that is a recording"]);
    refused(&home.harness(&["man", "pages"]), &[linked]);
    refused(&home.harness(&["man", "out"]), &[linked]);
    refused(&home.harness(&["plugin", "new", "my-plugin", "--lang", "rust"]), &["is there already"]);
    let mut after = home.files();
    // Pages without a trap may have been written.
    after.retain(|name, _| before.contains_key(name) || !name.starts_with("clone/pages/"));
    assert!(after == before, "{:?}", after.keys());

    // What the user names is written: the place itself, one without links, links that stay, pipes and devices.
    let target = home.0.path("figures.csv");
    done(home.harness(&["report", "r.jsonl", "--with", &format!("csv={}", target.display())]));
    done(home.harness(&["report", "r.jsonl", "--with", "csv=../beside.csv"]));
    link("latest-1.csv", "latest.csv");
    home.0.write("clone/latest-1.csv", "old");
    done(home.harness(&["report", "r.jsonl", "--with", "csv=latest.csv"]));
    assert!(home.clone("latest.csv").is_symlink());
    for written in [target, home.0.path("beside.csv"), home.clone("latest-1.csv")] {
        assert!(std::fs::read_to_string(&written).unwrap().starts_with("metric,unit"), "{}", written.display());
    }
    let output = done(home.harness(&["report", "r.jsonl", "--with", "csv=/dev/stdout"]));
    assert!(stdout(&output).starts_with("metric,unit"), "{}", told(&output));
    done(home.harness(&["report", "r.jsonl", "--with", "csv=/dev/null"]));
    done(home.harness(&["man", "manual"]));
    assert!(std::fs::read_dir(home.clone("manual")).unwrap().count() > 10);
}

#[test]
fn no_file_of_a_report_is_what_the_next_command_reads() {
    let home = Home::new();
    done(home.run(&["--recording", "r.jsonl"]));
    let plant = format!("{}=.", hostile("rep_plant.wasm").display());
    for command in [vec!["report", "r.jsonl", "--with", &plant], [&RUN[..], &["--report", &plant]].concat()] {
        let before = home.files();
        let output = home.harness(&command);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(
            stderr(&output).contains("'harness.toml' is no name for a file: the next harness in that folder"),
            "{}",
            told(&output)
        );
        assert!(home.files() == before && home.0.recordings().is_empty());
    }
    let output = home.harness(&["plugin", "test", hostile("rep_plant.wasm").to_str().unwrap()]);
    assert!(
        output.status.code() == Some(1) && stderr(&output).contains("'harness.toml' is no name"),
        "{}",
        told(&output)
    );
    let with = format!("{HOSTILE}=made");
    for (names, why) in [
        ("Harness.TOML", "configuration"),
        ("CSV", "built-in plugin csv"),
        ("default.wasm", "built-in plugin default"),
        ("CON", "a device"),
        ("NUL.txt", "a device"),
        ("com\u{b9}.csv", "a device"),
        ("-rf", "starts with '-'"),
        ("~", "starts with '-' or '~'"),
        ("a.", "ends with a dot"),
        ("a ", "a blank"),
        ("a\u{2003}", "a blank"),
        ("a*", "has * in it"),
        ("é.txt,e\u{301}.TXT", "which some file systems take for one"),
        ("straße,STRASSE", "which some file systems take for one"),
    ] {
        let output = home.harness(&["report", "r.jsonl", "--with", &with, "--set", &format!("act=file={names}")]);
        assert_eq!(output.status.code(), Some(1), "{names}: {}", told(&output));
        assert!(stderr(&output).contains(why) && !home.clone("made").exists(), "{names}: {}", told(&output));
    }
    // Beside what is in the folder already.
    home.0.write("clone/made/Figures.CSV", "mine");
    let output = home.harness(&["report", "r.jsonl", "--with", &with, "--set", "act=file=a.txt,figures.csv"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(
        stderr(&output).contains("it has a file Figures.CSV already, and some file systems take figures.csv for it"),
        "{}",
        told(&output)
    );
    assert_eq!(std::fs::read_dir(home.clone("made")).unwrap().count(), 1);
    done(home.harness(&["report", "r.jsonl", "--with", &with, "--set", "act=file=a.txt"]));
}

#[test]
fn nothing_is_kept_in_the_present_folder() {
    let nowhere = [
        vec![],
        vec![("HOME", "")],
        vec![("HOME", ".")],
        vec![("HOME", "here"), ("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "./data")],
    ];
    for environment in nowhere {
        let home = Home::new();
        let harness = |more: &[(&str, &str)], arguments: &[&str]| {
            let mut command = home.command();
            command
                .env_remove("HOME")
                .env_remove("XDG_CACHE_HOME")
                .envs(environment.clone())
                .envs(more.iter().copied());
            command.args(arguments).output().unwrap()
        };
        let before = home.files();
        // Twice, so that what one keeps the other would find.
        for _ in 0..2 {
            let output = done(harness(&[], &["plugin", "check", "csv"]));
            let said = stderr(&output);
            assert_eq!(
                said.matches("plugins are compiled each time: there is no folder").count(),
                1,
                "{}",
                told(&output)
            );
        }
        let output = harness(&[], &RUN);
        refused(&output, &["there is no folder for recordings; set HOME or HARNESS_RECORDINGS", "--recording FILE"]);
        refused(&harness(&[], &["recordings"]), &["there is no folder for recordings"]);
        let reference = format!("oci://127.0.0.1:1/mine@sha256:{}", "0".repeat(64));
        // Without a place to keep it, it is fetched all the same; here nobody answers.
        let unanswered = harness(&[], &["plugin", "pull", &reference]);
        assert!(
            unanswered.status.code() == Some(1) && stderr(&unanswered).contains("no answer"),
            "{}",
            told(&unanswered)
        );
        refused(
            &harness(&[("HARNESS_ARTIFACTS", "here")], &["plugin", "pull", &reference]),
            &["HARNESS_ARTIFACTS is here"],
        );
        assert!(home.files() == before, "{:?}", home.files().keys());
        // What is named is enough.
        let output = done(harness(&[], &[&RUN[..], &["--recording", "r.jsonl"]].concat()));
        assert_eq!(stderr(&output), "", "quiet");
        done(harness(&[], &["report", "r.jsonl", "--with", "csv"]));
        done(harness(&[], &["compare", "r.jsonl", "r.jsonl"]));
        done(harness(&[("HARNESS_RECORDINGS", "kept")], &RUN));
        let mut left: Vec<String> = home.files().into_keys().filter(|name| !before.contains_key(name)).collect();
        left.retain(|name| name != "clone/r.jsonl" && !name.starts_with("clone/kept/"));
        assert!(left.is_empty(), "{left:?}");
    }
    // Where there is an absolute HOME, a relative folder of another kind is no reason to go without.
    let home = Home::new();
    let run = |arguments: &[&str]| home.command().args(arguments).env("XDG_CACHE_HOME", "cache").output().unwrap();
    let output = done(run(&["plugin", "check", "csv"]));
    assert_eq!(stderr(&output), "", "{}", told(&output));
    assert!(home.0.path(".cache/harness/plugins").is_dir() && !home.clone("cache").exists());
}

/// What a link in a clone leads to is neither shown nor replaced, and what lies there is not taken for the user's.
#[test]
fn what_a_clone_links_to_is_not_shown() {
    const SECRET: &str = "AKIA-SUPERSECRET";
    let silent = |output: &Output| assert!(!told(output).contains(SECRET), "{}", told(output));
    let sweep = "[model]\nbackend='simulated'\n[run]\nrecording='points'\n[sweep]\nruns=[1, 2]\n";

    let home = Home::found(sweep);
    home.0.write("secret", format!("{{\"token\": \"{SECRET}\"}}"));
    std::fs::create_dir(home.clone("points")).unwrap();
    symlink("../../secret", home.clone("points/sweep.json")).unwrap();
    let output = home.run(&[]);
    refused(&output, &["sweep.json is a link"]);
    silent(&output);
    std::fs::remove_file(home.clone("points/sweep.json")).unwrap();
    home.0.write("clone/points/sweep.json", format!("{{\"token\": \"{SECRET}\"}}"));
    silent(&home.run(&[]));

    // What is there under the names of a sweep and is none of it stays as it is.
    let home = Home::found(sweep);
    home.0.write("clone/points/sweep.svg", "my drawing");
    home.0.write("clone/points/runs=1.jsonl", "my notes");
    let output = home.run(&[]);
    assert!(stderr(&output).contains("is in the place of a point's recording, and is none"), "{}", told(&output));
    std::fs::remove_file(home.clone("points/runs=1.jsonl")).unwrap();
    home.run(&[]);
    assert_eq!(std::fs::read_to_string(home.clone("points/sweep.svg")).unwrap(), "my drawing");

    let home = Home::found("[run]\nrecordings='recs'\n");
    home.0.write("secret", SECRET);
    for folder in ["recs", "recs/baselines", "gpt2"] {
        std::fs::create_dir(home.clone(folder)).unwrap();
    }
    symlink("../../secret", home.clone("recs/a.jsonl")).unwrap();
    symlink("../../../secret", home.clone("recs/baselines/main.jsonl")).unwrap();
    refused(&home.harness(&["report"]), &["there is no recording in"]);
    refused(&home.harness(&["compare", "baseline:main", "baseline:main"]), &["there is no baseline 'main'"]);
    // Nor is anything shown of a file that was named and is no recording.
    silent(&home.harness(&["report", "../secret"]));

    // A size's name is a size, whatever lies there; and of a folder that is named, no line is shown.
    std::fs::write(home.clone("gpt2/config.json"), "{}").unwrap();
    symlink("../../secret", home.clone("gpt2/merges.txt")).unwrap();
    let small = ["--device", "cpu", "--max-new-tokens", "0", "hi"];
    done(home.harness(&[&["generate", "--model", "gpt2"][..], &small].concat()));
    silent(&home.harness(&[&["generate", "--model", "./gpt2"][..], &small].concat()));
}

/// However long what a configuration asks for is, it takes little memory and time to refuse it.
#[test]
fn a_configuration_that_asks_for_too_much_is_refused() {
    let long = format!("[sweep]\nprompt=['{}']\nruns='1..10000+1'\n", "x".repeat(900_000));
    let values = format!("[sweep]\nruns=[{}]\n", (0..150_000).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let axes: String = (0..60_000).map(|n| format!("a{n}=[1]\n")).collect();
    let reports = format!("[run]\nreport=[{}]\n", "'csv',".repeat(150_000));
    for (text, says) in [
        (long, "use shorter or fewer ones"),
        (values, "has more than 10000 values"),
        (format!("[sweep]\n{axes}"), "and may have 16"),
        (reports, "more than 32 reports"),
    ] {
        let home = Home::found(&text);
        let ended = harness_tests::peak::run(home.command().args(RUN));
        refused(&ended.output, &[says]);
        assert!(ended.memory < 512 << 20, "{says}: {} bytes", ended.memory);
    }
}

#[cfg(unix)]
#[test]
fn a_configuration_that_is_a_link_to_nothing_is_refused() {
    let place = Place::new();
    std::os::unix::fs::symlink("nowhere", place.path("harness.toml")).unwrap();
    let output = place
        .command(BINARY)
        .args(["run", "--backend", "simulated", "--quick", "--recording", "r.jsonl"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(stderr(&output).contains("harness.toml") && !place.path("r.jsonl").exists(), "{}", told(&output));
}
