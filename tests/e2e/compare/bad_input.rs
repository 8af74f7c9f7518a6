//! Recordings and arguments that nothing can be compared with: exit code and message of each.

use harness_tests::{Place, stderr, stdout, told};

use super::{code, harness, place};

/// Pins exit code and message.
fn refuse(name: &str, place: &Place, arguments: &[&str], expected: i32) {
    let output = harness(place, arguments);
    assert_eq!(code(&output), expected, "{}", told(&output));
    assert_eq!(stdout(&output), "", "{}", told(&output));
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&place.folder().display().to_string().replace('.', "\\."), "[folder]");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("../snapshots");
    settings
        .bind(|| insta::assert_snapshot!(format!("compare_{name}"), format!("exit {expected}\n{}", stderr(&output))));
}

#[test]
fn bad_recordings_are_refused() {
    let place = place();
    let text = std::fs::read_to_string(place.path("base.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    refuse("missing", &place, &["compare", "base.jsonl", "none.jsonl"], 2);
    refuse("no_such_baseline", &place, &["compare", "baseline:main", "base.jsonl"], 2);
    place.write("empty.jsonl", "");
    refuse("empty", &place, &["compare", "base.jsonl", "empty.jsonl"], 2);
    place.write("newer.jsonl", text.replacen("harness-recording/1", "harness-recording/2", 1));
    refuse("newer", &place, &["compare", "newer.jsonl", "base.jsonl"], 2);
    place.write("header.jsonl", format!("{}\n", lines[0]));
    refuse("no_run", &place, &["compare", "base.jsonl", "header.jsonl"], 4);
    let values = text.find("\"latency\":").unwrap() + "\"latency\":".len();
    let end = values + text[values..].find(',').unwrap();
    let with = |value: &str| format!("{}{value}{}", &text[..values], &text[end..]);
    let sample = text.find("\"values\":[").unwrap() + "\"values\":[".len();
    for (name, spoilt) in [
        ("nan", with("NaN")),
        ("infinity", with("-Infinity")),
        ("null", with("null")),
        ("text", with("\"fast\"")),
        ("huge", with("1e999")),
        ("nan_sample", format!("{}null,{}", &text[..sample], &text[sample..])),
        (
            "nan_summary",
            text.replacen("\"better\":\"higher\",\"value\":", "\"better\":\"higher\",\"value\":null,\"was\":", 1),
        ),
        // What statistics compute of it is no number.
        ("large", format!("{}1e308{}", &text[..values], &text[end..])),
        ("negative", format!("{}-0.5{}", &text[..values], &text[end..])),
        ("cut_header", lines[0][..50].to_owned()),
        ("cut_middle", format!("{}\n{}\n{}\n", lines[0], &lines[1][..60], lines[2])),
        ("no_schema", format!("{{\"type\":\"header\",\"facts\":{{}}}}\n{}\n", lines[1])),
    ] {
        let file = format!("{name}.jsonl");
        place.write(&file, spoilt);
        refuse(name, &place, &["compare", "base.jsonl", &file], 2);
        // Whoever else reads it says the same.
        let said = stderr(&harness(&place, &["compare", "base.jsonl", &file]));
        for other in [&["report", &file][..], &["baseline", "save", "bad", &file]] {
            let output = harness(&place, other);
            assert_eq!((code(&output), stderr(&output)), (2, said.clone()), "{other:?}");
        }
    }
    assert_eq!(code(&harness(&place, &["baseline", "list"])), 0);
    assert!(!place.path(".local/share/harness/recordings/baselines").exists());
}

#[test]
fn bad_arguments_are_refused() {
    let place = place();
    let both = ["compare", "base.jsonl", "same.jsonl"];
    let with = |more: &[&'static str]| [&both[..], more].concat();
    refuse("threshold", &place, &with(&["--fail-on-regression", "lots"]), 2);
    refuse("threshold_nan", &place, &with(&["--fail-on-regression", "NaN"]), 2);
    refuse("threshold_negative", &place, &with(&["--threshold=-1"]), 2);
    refuse("threshold_negative_word", &place, &with(&["--fail-on-regression", "-5"]), 2);
    refuse("threshold_infinite", &place, &with(&["--fail-on-regression", "inf"]), 2);
    refuse("threshold_missing", &place, &with(&["--threshold"]), 2);
    refuse("metric", &place, &with(&["--metric", "speed"]), 2);
    refuse("metric_absent", &place, &with(&["--metric", "power"]), 4);
    refuse("no_name", &place, &["compare", "base.jsonl", ""], 2);
    refuse("folder", &place, &["compare", "base.jsonl", "."], 2);
    refuse("baseline_outside", &place, &["compare", "baseline:../base", "base.jsonl"], 2);
    refuse("one_side", &place, &["compare", "base.jsonl"], 2);
    refuse("twice", &place, &["compare", "--base", "base.jsonl", "base.jsonl", "--new", "same.jsonl"], 2);
    refuse("paired", &place, &with(&["--paired"]), 2);
    refuse("rounds", &place, &with(&["--rounds", "3"]), 2);
    refuse("nothing", &place, &["compare"], 2);
    refuse("interleave_recording", &place, &["compare", "--interleave", "--recording x", "--quick"], 2);
    refuse("interleave_dry_run", &place, &["compare", "--interleave", "--dry-run", "--quick"], 2);
    refuse("interleave_help", &place, &["compare", "--interleave", "-h", "--quick"], 2);
    // Of B, before A is run.
    refuse("interleave_flag", &place, &["compare", "--interleave", "--quick", "--nope"], 2);
    refuse("interleave_quote", &place, &["compare", "--interleave", "--set prompt='", "--quick"], 2);
}
