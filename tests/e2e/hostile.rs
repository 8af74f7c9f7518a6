//! Guests that break rules: each is stopped with an error that names the limit and how to raise it, and the host lives on.

use std::process::Output;

use crate::BINARY;
use harness_tests::peak;
use harness_tests::raw::{self, FOR_EVER, Raw};
use harness_tests::{HOSTILE, Place, stderr, stdout, told};

fn act(place: &Place, act: &str, more: &[&str]) -> Output {
    place
        .command(BINARY)
        .args(["run", "--backend", "simulated", "--quiet", "--plugin", HOSTILE, "--set", &format!("act={act}")])
        .args(["--report", "default"])
        .args(match act {
            // It has to make the string before it can hand it over.
            "huge-string" | "huge-list" | "huge-plan" => {
                ["--max-call-time", "20s", "--max-guest-time", "20s", "--max-memory", "1GiB"]
            }
            // Calls of the host start the time between calls anew; only the time in all ends this one.
            "log-loop" => ["--max-call-time", "20s", "--max-guest-time", "200ms", "--max-memory", "64MiB"],
            _ => ["--max-call-time", "400ms", "--max-guest-time", "20s", "--max-memory", "64MiB"],
        })
        .args(more)
        .output()
        .unwrap()
}

fn snapshot(name: &str, output: &Output) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/\S*/hostile\.wasm", "hostile.wasm");
    settings.add_filter(r"memory 0x[0-9a-f]+", "memory [address]");
    settings.add_filter(r"/\S*/recordings/\S+\.jsonl", "[recording]");
    settings.add_filter(r"at /rustc/\S+", "at [std]");
    settings.add_filter(r"asked for \d+ bytes", "asked for [bytes] bytes");
    settings.add_filter(r"after [\d.]+ s, with \d+ bytes", "after [time] s, with [bytes] bytes");
    settings.add_filter(r"\(\d+\) panicked at", "panicked at");
    settings.add_filter(r"src/lib.rs:\d+:\d+", "src/lib.rs:[line]");
    settings.add_filter(r"wasm function \d+", "wasm function [n]");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    let text = format!("exit {}\n{}", output.status.code().unwrap_or(-1), stderr(output));
    settings.bind(|| insta::assert_snapshot!(format!("hostile_{name}"), text));
}

/// The same process went on to end the recording and to show it, and all that was measured is on disk.
fn host_lives_on(place: &Place, output: &Output, plugin: &str, label: &str) {
    assert!(stdout(output).starts_with(&format!("{plugin}: ")), "{}", told(output));
    let lines = place.recording();
    assert_eq!(lines[1]["label"], label, "{}", told(output));
    assert_eq!(lines[1]["samples"]["latency"]["values"].as_array().unwrap().len(), 2);
    let status = match output.status.code() {
        Some(0) => "complete",
        // A budget that is used up is no failure.
        _ if stderr(output).contains("--max-iterations") => "stopped",
        _ => "failed",
    };
    assert_eq!(lines.last().unwrap()["status"], status, "{}", told(output));
}

/// What it refuses after a run, it refuses in the check before it, too.
#[test]
fn a_setting_that_was_refused() {
    let place = Place::new();
    let output = act(&place, "setting", &[]);
    snapshot("setting", &output);
    assert!(place.recordings().is_empty(), "{}", told(&output));
}

macro_rules! hostile {
    ($($name:ident: $act:literal [$($more:literal),*];)*) => {$(
        #[test]
        fn $name() {
            let place = Place::new();
            let output = act(&place, $act, &[$($more),*]);
            snapshot($act, &output);
            host_lives_on(&place, &output, "hostile", "first");
        }
    )*};
}

hostile! {
    an_endless_loop: "loop" [];
    an_endless_loop_of_host_calls: "log-loop" [];
    endless_recursion: "recurse" [];
    endless_memory: "memory" [];
    a_panic_says_its_words: "panic" [];
    a_flood_of_log_lines: "log-flood" [];
    a_long_log_line_is_cut: "log-line" [];
    a_file: "file" [];
    a_file_to_write: "write" [];
    a_folder: "folder" [];
    a_socket: "socket" [];
    a_socket_to_listen_on: "listen" [];
    a_datagram_socket: "datagram" [];
    a_name_to_look_up: "lookup" [];
    nothing_on_standard_input: "input" [];
    no_environment: "environment" [];
    a_frozen_clock: "clock" [];
    sleep_returns_at_once: "sleep" [];
    handles_without_end: "handles" [];
    a_huge_string: "huge-string" [];
    a_huge_list: "huge-list" [];
    a_plan_of_too_many_requests: "huge-plan" ["--max-output", "1GiB"];
    a_prompt_that_is_too_long: "tall-text" [];
    samples_without_end: "samples" [];
    a_panic_after_a_run_keeps_the_run: "panic-after-a-run" [];
    no_iterations: "no-iterations" [];
    no_batch: "no-batch" [];
    no_requests: "no-requests" [];
    no_tokens: "no-tokens" [];
    a_request_past_the_context: "too-long" [];
    a_flood_of_synthetic_tokens: "synthetic-flood" [];
    a_token_that_is_none: "bad-token" [];
    sampling_that_is_none: "bad-sampling" [];
    iterations_without_end: "many-iterations" [];
    a_summary_with_nan: "nan" [];
    a_summary_with_infinity: "infinity" [];
    a_summary_of_too_many_readings: "readings" [];
    a_metric_with_endless_help: "long-help" [];
    an_endless_reason_to_give_up: "long-failure" [];
    a_summary_with_a_metric_twice: "twice" [];
    a_metric_that_is_no_name: "bad-name" [];
    a_plugin_that_gives_up: "give-up" [];
    a_stop_that_is_ignored: "ignore-stop" ["--max-iterations", "100"];
    a_mean_that_is_wrong: "wrong-mean" [];
    plans_that_fill_the_host: "plans" [];
    prompts_that_fill_the_host: "prompts" [];
}

#[test]
fn a_wrong_mean_is_marked_in_the_recording() {
    let place = Place::new();
    act(&place, "wrong-mean", &[]);
    let lines = place.recording();
    let reading = &lines.last().unwrap()["summary"][0];
    assert_eq!(reading["value"], 1e9);
    assert_eq!(reading["host_value"], lines[1]["values"]["latency"]);
}

#[test]
fn escapes_in_a_log_line_are_shown_and_do_not_reach_the_terminal() {
    let place = Place::new();
    let output = place
        .command(BINARY)
        .args(["run", "--backend", "simulated", "--plugin", HOSTILE, "--set", "act=log-escape"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(stderr(&output).contains("warning: a\\u{1b}[31mred\\u{d}line\n"), "{}", told(&output));
    assert!(!stderr(&output).contains('\u{1b}'));
}

#[test]
fn randomness_is_the_recordings_seed() {
    let drawn = |seed: &str| {
        let place = Place::new();
        let run = ["run", "--backend", "simulated", "--plugin", HOSTILE, "--set", "act=random", "--seed", seed];
        let output = place.command(BINARY).args(run).output().unwrap();
        let said = stderr(&output);
        let drawn = said.lines().find_map(|line| line.split_once("drew ")).unwrap_or_else(|| panic!("{said}")).1;
        drawn.to_owned()
    };
    assert_eq!(drawn("5"), drawn("5"));
    assert_ne!(drawn("5"), drawn("6"));
}

/// What no compiler makes, in core WebAssembly. Those of the first list are refused before anything is measured, those of the
/// second end a run that has begun.
#[test]
fn guests_that_no_compiler_makes() {
    let endless = |place: &Place, command: &[&str]| {
        let limits = ["--max-call-time", "300ms", "--max-guest-time", "20s"];
        place.command(BINARY).args(command).args(limits).output().unwrap()
    };
    let refused = [
        ("describe-loop", Raw::default().describe(FOR_EVER)),
        ("start-loop", Raw::default().with("(func $start (loop $again br $again)) (start $start)")),
        ("start-memory", Raw::default().memory_pages(20_000)),
        ("describe-about", Raw::default().describe("(call $about (i32.const 256))")),
        ("describe-no-text", Raw::default().named(r"\ff\ff0\00")),
        ("describe-control", Raw::default().named(r"\1b[31")),
        ("describe-unnamed", Raw::default().describe("(i32.store (i32.const 20) (i32.const 0))")),
        ("describe-outside", Raw::default().describe("(i32.store (i32.const 16) (i32.const -8))")),
        ("describe-long", Raw::default().describe("(i32.store (i32.const 20) (i32.const 60000))")),
        (
            "describe-settings",
            Raw::default().describe("(i32.store (i32.const 40) (i32.const 1024)) (i32.store (i32.const 44) (i32.const 1000))"),
        ),
        ("describe-trap", Raw::default().describe("unreachable")),
        (
            "cleanup-loop",
            Raw::default().with(
                r#"(func (export "cabi_post_harness:plugin/workload@0.2.0#describe") (param i32) (loop $again br $again))"#,
            ),
        ),
    ];
    for (name, raw) in refused {
        let place = Place::new();
        place.write("raw.wasm", raw.component());
        let output = endless(&place, &["run", "--backend", "simulated", "--quiet", "--plugin", "raw.wasm"]);
        snapshot(&format!("raw_{name}"), &output);
        assert!(!output.status.success() && place.recordings().is_empty(), "{name}: {}", told(&output));
    }
    // A report that never says what it is keeps nobody from measuring: it is refused before.
    let place = Place::new();
    place.write("raw.wasm", raw::report(FOR_EVER));
    let output = endless(&place, &["run", "--backend", "simulated", "--quiet", "--report", "raw.wasm"]);
    snapshot("raw_report-describe-loop", &output);
    assert!(!output.status.success() && place.recordings().is_empty(), "{}", told(&output));
    let ended = [
        ("nothing", Raw::default()),
        ("run-loop", Raw::default().then(FOR_EVER)),
        ("realloc-loop", Raw::default().realloc(FOR_EVER).then("(call $label (local.get $run) (i32.const 256))")),
        (
            "realloc-outside",
            Raw::default().realloc("(return (i32.const -8))").then("(call $label (local.get $run) (i32.const 256))"),
        ),
        (
            "realloc-calls",
            Raw::default()
                .realloc("(call $devices (i32.const 256))")
                .then("(call $label (local.get $run) (i32.const 256))"),
        ),
        (
            "dropped-plan",
            Raw::default()
                .then("(call $drop_plan (local.get $plan)) (call $measure (local.get $plan) (i32.const 256))"),
        ),
        ("dropped-twice", Raw::default().then("(call $drop_run (local.get $run)) (call $drop_run (local.get $run))")),
        (
            "dropped-run",
            Raw::default().then("(call $drop_run (local.get $run)) (call $label (local.get $run) (i32.const 256))"),
        ),
        ("made-up-handle", Raw::default().then("(call $measure (i32.const 12345) (i32.const 256))")),
        ("other-handle", Raw::default().then("(call $measure (local.get $run) (i32.const 256))")),
        (
            "log-no-text",
            Raw::default().then(
                "(i32.store (i32.const 64) (i32.const -1)) (call $log (i32.const 3) (i32.const 64) (i32.const 4))",
            ),
        ),
        ("log-no-level", Raw::default().then("(call $log (i32.const 99) (i32.const 64) (i32.const 3))")),
        ("log-outside", Raw::default().then("(call $log (i32.const 3) (i32.const 65000) (i32.const 100000))")),
        ("list-misplaced", Raw::default().then("(call $decode (i32.const 66) (i32.const 2) (i32.const 256))")),
        ("list-outside", Raw::default().then("(call $decode (i32.const 64) (i32.const 0x3fffffff) (i32.const 256))")),
        (
            "summary-outside",
            Raw::default()
                .then("(i32.store (i32.const 132) (i32.const 64)) (i32.store (i32.const 136) (i32.const 0x7fffffff))"),
        ),
        ("summary-no-case", Raw::default().then("(i32.store (i32.const 128) (i32.const 77))")),
        ("trap", Raw::default().then("unreachable")),
    ];
    for (name, raw) in ended {
        let place = Place::new();
        place.write("raw.wasm", raw.component());
        let output = endless(&place, &["run", "--backend", "simulated", "--quiet", "--plugin", "raw.wasm"]);
        snapshot(&format!("raw_{name}"), &output);
        host_lives_on(&place, &output, "raw0", "raw");
    }
}

/// What the host answers a plugin that asks while it describes itself: an error where the contract has one, nothing otherwise.
#[test]
fn nothing_is_answered_to_a_plugin_that_describes_itself() {
    let place = Place::new();
    let asks = "(call $devices (i32.const 256)) (if (i32.load (i32.const 260)) (then unreachable))
        (call $log (i32.const 4) (i32.const 64) (i32.const 4))
        (call $encode (i32.const 64) (i32.const 4) (i32.const 256))
        (if (i32.eqz (i32.load8_u (i32.const 256))) (then unreachable))
        (i32.store (i32.const 32) (i32.load (i32.const 264))) (i32.store (i32.const 36) (i32.load (i32.const 268)))";
    place.write("raw.wasm", Raw::default().describe(asks).component());
    let output = place.command(BINARY).args(["plugin", "check", "raw.wasm"]).output().unwrap();
    let said: String = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    let answer = "the host answers nothing while a plugin describes itself or renders a report";
    assert!(output.status.success() && said.contains(answer), "{}", told(&output));
    assert_eq!(stderr(&output), "");
}

/// An import that no plugin gets is refused before any of it runs, and all of them are told.
#[test]
fn imports_that_no_plugin_gets() {
    let import = |name: &str| format!(r#"(import "{name}" (instance (export "f" (func))))"#);
    let many: Vec<String> = (0..9).map(|number| format!("env:host/door{number}")).collect();
    let checked = |name: &str, imports: &[String]| {
        let place = Place::new();
        let exported = r#"(instance $none) (export "harness:plugin/workload@0.2.0" (instance $none))"#;
        let imports: String = imports.iter().map(|name| import(name)).collect();
        place.write("raw.wasm", wat::parse_str(format!("(component {imports} {exported})")).unwrap());
        let output = place.command(BINARY).args(["plugin", "check", "raw.wasm"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        snapshot(&format!("raw_import_{name}"), &output);
    };
    let [http, store, backdoor, cli, later] = [
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:keyvalue/store@0.2.0",
        "env:host/backdoor",
        "wasi:cli/environment@0.2.0",
        "wasi:cli/environment@0.3.0",
    ]
    .map(String::from);
    checked("several", &[http.clone(), cli.clone(), store, backdoor]);
    checked("of_a_later_wasi", &[later]);
    checked("many", &many);
    // What is there, but not like this, only wasmtime can tell.
    checked("of_another_type", &[cli]);
}

#[test]
fn no_line_of_a_plugin_looks_like_the_hosts_and_each_counts() {
    let place = Place::new();
    let run = |act: &str| {
        let run = ["run", "--backend", "simulated", "--plugin", HOSTILE, "--set", act];
        place.command(BINARY).args(run).output().unwrap()
    };
    let said = stderr(&run("act=log-forged"));
    for line in ["done", "error: pay here", "recorded in nowhere"] {
        assert!(said.lines().any(|said| said.starts_with(HOSTILE) && said.ends_with(&format!(": {line}"))), "{said}");
    }
    let output = run("act=forged-failure");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("it is too hard\n  recorded in nowhere\\u{d}error: pay here\n"), "{said}");
    let output = run("act=log-breaks");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("it logged more than 1000 lines") && said.lines().count() < 1100, "{}", said.len());
}

#[test]
fn what_a_plugin_says_to_its_author_is_shown_when_it_is_wanted() {
    let place = Place::new();
    let said = |more: &[&str], variable: &str| {
        let run = ["run", "--backend", "simulated", "--plugin", HOSTILE, "--set", "act=log-levels"];
        let mut command = place.command(BINARY);
        let said = stderr(&command.args(run).args(more).env("HARNESS_LOG", variable).output().unwrap());
        ["trace: step by step", "debug: for its author", ": for its user"].map(|line| said.contains(line))
    };
    assert_eq!(said(&[], ""), [false, false, true]);
    assert_eq!(said(&["-v"], ""), [false, true, true]);
    assert_eq!(said(&["-vv"], ""), [true, true, true]);
    assert_eq!(said(&[], "plugin=trace"), [true, true, true]);
}

/// On a model that takes no time, nothing else bounds them.
#[test]
fn a_recording_takes_so_many_samples() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--quiet", "--set", "runs=2", "--set", "iterations=15000"];
    let output = place.command(BINARY).args(run).args(["--set", "max-new-tokens=1000"]).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a recording takes 20000000 samples in all") && said.contains("1 finished run"), "{said}");
}

#[test]
fn a_log_line_without_end_is_cut() {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--plugin", HOSTILE, "--set", "act=log-line"];
    let output = place.command(BINARY).args(run).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("warning: long long") && said.contains("[…]"), "{said}");
    assert!(said.len() < 5_000, "{}", said.len());
}

/// A report of a recording that was made here.
fn report(place: &Place, act: &str) -> Output {
    let made = place.command(BINARY).args(["run", "--backend", "simulated", "--quick", "--quiet"]).output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
    place
        .command(BINARY)
        .args(["report", "--with", &format!("{HOSTILE}=out"), "--set", &format!("act={act}"), "--max-memory", "1GiB"])
        .args(["--max-call-time", "2s"])
        .output()
        .unwrap()
}

#[test]
fn escapes_in_a_report_are_shown_and_a_file_has_them() {
    let place = Place::new();
    assert!(report(&place, "escape").status.success());
    assert_eq!(std::fs::read_to_string(place.path("out")).unwrap(), "a\u{1b}[31mred");
    let printed = place.command(BINARY).args(["report", "--with", HOSTILE, "--set", "act=escape"]).output().unwrap();
    assert_eq!(stdout(&printed), "a\\u{1b}[31mred\n");
}

#[test]
fn files_stay_in_their_folder() {
    let names = [
        "outside",
        "parent",
        "absolute",
        "hidden",
        "backslash",
        "control",
        "nul",
        "long-name",
        "unnamed",
        "twins",
        "many-files",
    ];
    for name in names.into_iter().chain(["huge-output", "model", "loop", "runs"]) {
        let place = Place::new();
        let output = report(&place, name);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(!place.path("outside").exists() && !place.path("out").exists());
        // The recording is as it was.
        let shown = place.command(BINARY).args(["report", "--with", "csv"]).output().unwrap();
        assert!(shown.status.success() && stdout(&shown).contains("latency"), "{}", told(&shown));
        snapshot(&format!("report_{name}"), &output);
    }
    let place = Place::new();
    place.write("out/a.txt", "mine");
    let output = report(&place, "files");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert_eq!(std::fs::read_to_string(place.path("out/a.txt")).unwrap(), "mine");
    // None, also where it is a later one that is there.
    let place = Place::new();
    place.write("out/b.txt", "mine");
    let output = report(&place, "files");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(stderr(&output).contains("it has a file b.txt already"), "{}", told(&output));
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 1);
    let place = Place::new();
    let output = report(&place, "files");
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(std::fs::read_to_string(place.path("out/b.txt")).unwrap(), "x");
    assert_eq!(stdout(&output), "");
}

/// The host's time for a guest is the guest's: one that does nothing but call the host is ended like one that computes.
#[test]
fn time_of_the_host_for_a_guest_counts() {
    let decode = "(loop $again (call $decode (i32.const 0) (i32.const 15000000) (i32.const 256)) (br $again))";
    let devices = "(loop $again (global.set $free (i32.const 4096)) (call $devices (i32.const 256)) (br $again))";
    let text = "(loop $again (global.set $free (i32.const 2000000)) (call $encode (i32.const 4096) (i32.const 200000) (i32.const 256)) (br $again))";
    let run = ["run", "--backend", "simulated", "--quiet", "--plugin"];
    let describe_time = "the wall time of 1 s is used up; allow more with --max-describe-time";
    let guest_time = "it took more than 1 s in all, the host's work for it included; allow more with --max-guest-time";
    for (name, component, command, says) in [
        (
            "describe decodes",
            Raw::default().memory_pages(1000).describe(decode).component(),
            &["plugin", "check"][..],
            describe_time,
        ),
        ("describe asks", Raw::default().describe(devices).component(), &["plugin", "inspect"], describe_time),
        ("start draws", random_at_start(), &["plugin", "check"], describe_time),
        ("run encodes", Raw::default().memory_pages(600).then(text).component(), &run, guest_time),
        ("run asks", Raw::default().then(devices).component(), &run, guest_time),
    ] {
        let place = Place::new();
        place.write("raw.wasm", component);
        let mut command = {
            let mut started = place.command(BINARY);
            started.args(command).arg("raw.wasm");
            started
        };
        let took = peak::run(command.args(["--max-describe-time", "1s", "--max-guest-time", "1s"]));
        assert_eq!(took.output.status.code(), Some(1), "{name}: {}", told(&took.output));
        assert!(stderr(&took.output).contains(says), "{name}: {}", told(&took.output));
        assert!(took.memory < 512 << 20, "{name} took {} bytes", took.memory);
    }
    // A report, too, has a limit of its own.
    let place = Place::new();
    let quick = place.command(BINARY).args(["run", "--backend", "simulated", "--quick", "--quiet"]).output().unwrap();
    assert!(quick.status.success(), "{}", told(&quick));
    let render = ["report", "--with", HOSTILE, "--set", "act=loop", "--max-render-time", "300ms"];
    let output = place.command(BINARY).args(render).output().unwrap();
    let said = "the wall time of 0.3 s is used up; allow more with --max-render-time";
    assert!(output.status.code() == Some(1) && stderr(&output).contains(said), "{}", told(&output));
}

/// A component whose start function asks WASI for random bytes for ever.
fn random_at_start() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (import "wasi:random/random@0.2.0" (instance $random
                (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
            (core module $libc
                (memory (export "memory") 1000)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $get (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
            (core module $m
                (import "" "get" (func $get (param i64 i32)))
                (func $start (loop $again (call $get (i64.const 60000000) (i32.const 0)) (br $again)))
                (start $start)
                (func (export "f")))
            (core instance $i (instantiate $m (with "" (instance (export "get" (func $get))))))
            (func $d (canon lift (core func $i "f")))
            (instance $exported (export "describe" (func $d)) (export "run" (func $d)))
            (export "harness:plugin/workload@0.2.0" (instance $exported)))"#,
    )
    .unwrap()
}
