//! What reaches a terminal or another program: nothing of a stranger's recording, plugin or file name deceives a reader or a parser, and
//! with `--private` nothing says who measured where.

use std::path::Path;
use std::process::Output;

use crate::BINARY;
use harness_tests::{HOSTILE, Place, lines, stderr, stdout, told};
use serde_json::{Map, Value, json};

mod private;

const REPORTS: [&[&str]; 12] = [
    &["default"],
    &["table"],
    &["json"],
    &["json", "--set", "samples=true"],
    &["csv"],
    &["csv", "--set", "what=runs"],
    &["csv", "--set", "what=samples"],
    &["csv", "--set", "what=distribution"],
    &["markdown"],
    &["html"],
    &["prometheus"],
    &["bencher"],
];

/// Of each range that must be shown, the first and the last.
const RANGES: [(u32, u32); 11] = [
    (0x00, 0x1f),
    (0x7f, 0x9f),
    (0x61c, 0x61c),
    (0x180e, 0x180e),
    (0x200b, 0x200f),
    (0x2028, 0x202e),
    (0x2060, 0x2069),
    (0xfeff, 0xfeff),
    (0xfff9, 0xfffb),
    (0xe0000, 0xe007f),
    (0xe0100, 0xe01ef),
];

fn harness(place: &Place, arguments: &[&str]) -> Output {
    let output = place.command(BINARY).args(arguments).output().unwrap();
    assert!(!stderr(&output).contains("thread 'main'"), "{}", told(&output));
    clean(&stdout(&output), arguments);
    clean(&stderr(&output), arguments);
    output
}

/// No character of the ranges but line feeds, tabs, and the ends of lines that CSV has.
fn clean(text: &str, what: &[&str]) {
    let raw = |character: &char| {
        let code = u32::from(*character);
        !"\n\t".contains(*character) && RANGES.iter().any(|(first, last)| (*first..=*last).contains(&code))
    };
    let found = text.replace("\r\n", "\n").chars().find(raw);
    assert_eq!(found.map(|found| found.escape_unicode().to_string()), None, "{what:?}: {text:?}");
}

/// What every text of the recording has in it.
fn spoiling() -> String {
    let ends = RANGES.iter().flat_map(|(first, last)| [*first, *last]).filter_map(char::from_u32);
    let characters: String = ends.chain("\u{1b}[31m\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\u{2066}".chars()).collect();
    format!(
        "=HYPERLINK(\"http://x\",\"y\")<img src=x onerror=alert(1)>'&|`*_ ![i](http://e.vil) ]]>{characters}\n::error::boo\r,=cmd()\r\n@x\t-y"
    )
}

/// Puts it before (or behind) the texts of a recording, but where a text is a name that the harness knows.
fn spoil(recording: &[Value], before: bool) -> String {
    let spoiling = spoiling();
    let spoilt = |text: &str| if before { format!("{spoiling}{text}") } else { format!("{text}{spoiling}") };
    let texts = |map: &Value| -> Map<String, Value> {
        let map = map.as_object().unwrap().iter();
        map.map(|(name, text)| (name.clone(), spoilt(text.as_str().unwrap()).into())).collect()
    };
    let mut recording = recording.to_vec();
    for line in &mut recording {
        match line["type"].as_str().unwrap() {
            "header" => {
                line["facts"] = texts(&line["facts"]).into();
                line["facts"][spoilt("x")] = spoilt("y").into();
            }
            "run" => {
                line["label"] = spoilt(line["label"].as_str().unwrap()).into();
                line["values"][spoilt("zz")] = 1.into();
                line["samples"][spoilt("zz")] = json!({ "values": [-1.5, 2.0, 3.0] });
                line["absent"] = texts(&line["absent"]).into();
                line["absent"][spoilt("abs")] = spoilt("why").into();
            }
            _ => {
                for reading in line["summary"].as_array_mut().unwrap() {
                    reading["unit"] = spoilt(reading["unit"].as_str().unwrap()).into();
                    reading["help"] = spoilt(reading["help"].as_str().unwrap()).into();
                }
                let own = json!({ "name": spoilt("own"), "unit": spoilt("s"), "help": spoilt("h"), "better": "lower", "value": -1.5 });
                line["summary"].as_array_mut().unwrap().push(own);
                line["status"] = "failed".into();
                line["message"] = spoilt("msg").into();
            }
        }
    }
    recording.iter().map(|line| format!("{line}\n")).collect()
}

/// A recording, and the same with every text spoilt in its beginning and in its end.
fn place() -> Place {
    let place = Place::new();
    let run = ["run", "--backend", "simulated", "--quick", "--quiet", "--recording", "good.jsonl", "--report", "csv"];
    let output = harness(&place, &run);
    assert!(output.status.success(), "{}", told(&output));
    let good = lines(&place.path("good.jsonl"));
    place.write("before.jsonl", spoil(&good, true));
    place.write("behind.jsonl", spoil(&good, false));
    place
}

fn report(place: &Place, recording: &str, with: &[&str]) -> String {
    let output = harness(place, &[&["report", recording, "--with"], with].concat());
    assert!(output.status.success(), "{}", told(&output));
    stdout(&output)
}

/// A name that a user or a stranger chose makes no line of its own, whichever message repeats it.
#[test]
fn a_name_with_line_ends_is_shown_in_one_line() {
    const NAME: &str = "a\nerror: b\r\u{1b}[2J\tc\u{202e}";
    const SHOWN: &str = "a\\u{a}error: b\\u{d}\\u{1b}[2J\\u{9}c\\u{202e}";
    let place = Place::new();
    place.write("broken.toml", "run = 5");
    std::fs::create_dir_all(place.path(NAME)).unwrap();
    place.write(&format!("{NAME}/config.json"), "[]");
    place.write(&format!("{NAME}.jsonl"), "no recording");
    place.write(&format!("{NAME}.wasm"), "no component");
    place.write(&format!("{NAME}.toml"), "run = 5");
    let folder = format!("./{NAME}");
    let [recording, plugin, config] = ["jsonl", "wasm", "toml"].map(|end| format!("{folder}.{end}"));
    let missing = format!("./no-{NAME}");
    let pair = format!("{NAME}=1");
    let run = ["run", "--backend", "simulated", "--quick"];
    for arguments in [
        &["generate", "--device", "cpu", "--model", NAME, "x"][..],
        &["generate", "--device", "cpu", "--model", NAME, "--download", "x"],
        &["generate", "--device", "cpu", "--model", &folder, "x"],
        &["generate", "--device", "cpu", "--model", &missing, "x"],
        &["generate", "--device", "cpu", "--model", &recording, "x"],
        &["report", &recording],
        &["report", &missing],
        &["compare", &recording, &missing],
        &["baseline", "save", NAME, &recording],
        &["plugin", "check", &plugin],
        &["plugin", "check", &missing],
        &["plugin", "inspect", NAME],
        &["plugin", "new", NAME, "--lang", "rust"],
        &["plugin", "pull", NAME],
        &[&run[..], &["--plugin", NAME]].concat(),
        &[&run[..], &["--report", NAME]].concat(),
        &[&run[..], &["--set", NAME]].concat(),
        &[&run[..], &["--set", &pair]].concat(),
        &[&run[..], &["--simulate", &pair]].concat(),
        &[&run[..], &["--sweep", &pair]].concat(),
        &[&run[..], &["--config", &missing]].concat(),
        &[&run[..], &["--recording", &recording]].concat(),
        &[&run[..], &["--report", &format!("csv=no/{NAME}/x")]].concat(),
    ] {
        let output = harness(&place, arguments);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {}", told(&output));
        let said = stderr(&output);
        // The program's own line on how to call it comes after one.
        let lines = said.trim_end().trim_end_matches("\n\nFor more information, try '--help'.").lines().count();
        assert!(said.starts_with("error: ") && lines == 1, "{arguments:?}: {said}");
        // A reference has its line ends as spaces.
        assert!(said.contains(if arguments[1] == "pull" { "\\u{1b}[2J" } else { SHOWN }), "{arguments:?}: {said}");
    }
    // Notes and warnings, too.
    let output =
        harness(&place, &[&run[..], &["--recording", &format!("{NAME}/r"), "--report", "csv=/dev/null"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    assert!(stderr(&output).contains(&format!("recorded in {SHOWN}/r\n")), "{}", told(&output));
    let recorded = std::fs::read_to_string(place.path(NAME).join("r")).unwrap();
    place.write(&format!("{NAME}/r"), format!("{recorded}\n\n"));
    place.write(
        "other",
        recorded.replace("gpt2", "a\\nerror: b").replace("\"seed\":\"0\"", "\"seed\":\"1\\nerror: b\""),
    );
    for arguments in [&["report", &format!("{NAME}/r")][..], &["compare", &format!("{NAME}/r"), "other"]] {
        let said = stderr(&harness(&place, arguments));
        assert!(said.contains("blank lines are left out"), "{arguments:?}: {said}");
        assert!(said.contains(SHOWN) && !said.contains("\nerror: b"), "{arguments:?}: {said}");
    }
    // Of arguments that are none, the rest are lines of the program's.
    let device = format!("--device={NAME}");
    for arguments in
        [&["generate", "--device", NAME, "x"][..], &["generate", &device, "x"], &[NAME], &["report", "a", NAME]]
    {
        let said = stderr(&harness(&place, arguments));
        assert!(said.contains(SHOWN) && !said.contains("\nerror: b"), "{arguments:?}: {said}");
    }
    let line = format!("--device '{NAME}'");
    let said = stderr(&harness(&place, &["compare", "--interleave", &line, "--dtype f16"]));
    assert!(said.contains(SHOWN) && !said.contains("\nerror: b"), "{said}");
    // Behind it are the file's lines.
    let said = stderr(&harness(&place, &[&run[..], &["--config", &config]].concat()));
    assert!(said.contains(SHOWN) && !said.contains("\nerror: "), "{said}");
}

/// Also that what is printed is what a file has: the built-in reports leave nothing to be shown otherwise.
#[test]
fn no_report_shows_raw_what_deceives() {
    let place = place();
    for recording in ["before.jsonl", "behind.jsonl"] {
        for (number, with) in REPORTS.iter().chain([&["junit"] as &[&str]].iter()).enumerate() {
            let printed = report(&place, recording, with);
            let file = format!("{recording}-{number}");
            let into = format!("{}={file}", with[0]);
            assert_eq!(report(&place, recording, &[&[into.as_str()], &with[1..]].concat()), "");
            assert_eq!(std::fs::read_to_string(place.path(&file)).unwrap(), printed, "{with:?}");
            if !["prometheus", "bencher"].contains(&with[0]) {
                assert!(
                    printed.contains("u{202e}") || printed.contains("u202e") || printed.contains("&#8238;"),
                    "{printed}"
                );
            }
        }
    }
}

#[test]
fn json_gives_every_text_back() {
    let place = place();
    for recording in ["before.jsonl", "behind.jsonl"] {
        let document: Value = serde_json::from_str(&report(&place, recording, &["json"])).unwrap();
        let lines = lines(&place.path(recording));
        for (name, value) in lines[0]["facts"].as_object().unwrap() {
            assert_eq!(&document["facts"][name], value, "{name}");
        }
        assert_eq!(document["facts"]["message"], lines.last().unwrap()["message"]);
        for (run, line) in document["runs"].as_array().unwrap().iter().zip(&lines[1..]) {
            assert_eq!((&run["label"], &run["absent"]), (&line["label"], &line["absent"]));
        }
        serde_json::from_str::<Value>(&report(&place, recording, &["bencher"])).unwrap();
    }
}

fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let line_end = character == '\r' && characters.peek() == Some(&'\n');
        let code = u32::from(character);
        if !"\n\t".contains(character) && !line_end && RANGES.iter().any(|(a, z)| (*a..=*z).contains(&code)) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[test]
fn csv_has_every_text_in_its_cell_and_no_formula() {
    let place = place();
    for recording in ["before.jsonl", "behind.jsonl"] {
        let lines = lines(&place.path(recording));
        let mut numbers = 0;
        for what in ["summary", "runs", "samples", "distribution"] {
            let text = report(&place, recording, &["csv", "--set", &format!("what={what}")]);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let head = reader.headers().unwrap().clone();
            for row in reader.records() {
                // One of another length is an error.
                let row = row.unwrap();
                for (name, cell) in head.iter().zip(&row) {
                    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
                    assert!(!formula || cell.parse::<f64>().is_ok(), "{name}: {cell:?}");
                    numbers += usize::from(cell == "-1.5");
                    if name == "label" {
                        let run: usize = row[0].parse().unwrap();
                        let label = shown(lines[run]["label"].as_str().unwrap());
                        // A mark stands before what would be a formula, and the rest is as it was.
                        assert_eq!(cell.replace('\'', ""), label.replace('\'', ""));
                        assert_eq!(
                            cell.starts_with("'=HYPERLINK(\"http://x\",\"y\")<img"),
                            recording.starts_with("before")
                        );
                    }
                }
            }
        }
        assert!(numbers >= 3, "figures below zero are figures");
    }
}

#[test]
fn junit_gives_every_text_back_that_xml_can_have() {
    let place = place();
    for recording in ["before.jsonl", "behind.jsonl"] {
        let text = report(&place, recording, &["junit"]);
        let document = roxmltree::Document::parse(&text).unwrap();
        let lines = lines(&place.path(recording));
        // XML 1.0 can have no other control characters in any way.
        let possible = |text: &str| -> String {
            let forbidden = |character: &char| *character < ' ' && !"\t\n\r".contains(*character);
            let show = |c: char| if forbidden(&c) { c.escape_unicode().to_string() } else { c.to_string() };
            text.chars().map(show).collect()
        };
        let attribute = |element: &str, name: &str| -> Vec<String> {
            let all = document.descendants().filter(|node| node.has_tag_name(element));
            all.filter_map(|node| node.attribute(name).map(str::to_owned)).collect()
        };
        let (names, values) = (attribute("property", "name"), attribute("property", "value"));
        for (name, value) in lines[0]["facts"].as_object().unwrap() {
            let at = names.iter().position(|known| *known == possible(name)).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(values[at], possible(value.as_str().unwrap()));
        }
        assert_eq!(attribute("testcase", "name")[0], possible(lines[1]["label"].as_str().unwrap()));
    }
}

#[test]
fn prometheus_has_one_line_a_sample_with_quoted_labels() {
    let place = place();
    for recording in ["before.jsonl", "behind.jsonl"] {
        let model = lines(&place.path(recording))[0]["facts"]["model.name"].as_str().unwrap().to_owned();
        // A carriage return is shown wherever it stands: the format has no escape for it.
        let model = shown(&model.replace("\r\n", "\r\r\n")).replace("\r\n", "\n");
        let mut samples = 0;
        for line in report(&place, recording, &["prometheus"]).lines() {
            if line.starts_with("# HELP harness_") || line.starts_with("# TYPE harness_") {
                continue;
            }
            assert!(line.starts_with("harness_"), "{line}");
            let (labels, number) = line.rsplit_once("} ").unwrap();
            number.parse::<f64>().unwrap();
            // As Prometheus reads a label's value.
            let (_, rest) = labels.split_once("model=\"").unwrap();
            let mut value = String::new();
            let mut characters = rest.chars();
            loop {
                match characters.next().unwrap() {
                    '"' => break,
                    '\\' => value.push(match characters.next().unwrap() {
                        'n' => '\n',
                        escaped => escaped,
                    }),
                    other => value.push(other),
                }
            }
            assert_eq!(value, model);
            samples += 1;
        }
        assert!(samples > 5);
    }
}

/// What GitHub would take for something else than text.
fn no_markup(markdown: &str) {
    for line in markdown.lines() {
        let text = without_code(line);
        for (never, why) in [("<", "HTML"), ("](", "a link"), ("http:", "a link"), ("&", "an entity")] {
            let found = text.match_indices(never).find(|(at, _)| !text[..*at].ends_with('\\'));
            assert_eq!(found, None, "{why}: {line}");
        }
        if line.starts_with("| ") {
            let cells = |line: &str| line.replace("\\|", "").matches('|').count();
            let of = if markdown.contains("| metric | base |") { 9 } else { 6 };
            assert_eq!(cells(line), of, "{line}");
        }
        assert!(!line.trim_start().starts_with("::"), "{line}");
    }
}

/// A line without its spans of code, which begin and end with as many backticks.
fn without_code(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        if before.ends_with('\\') {
            text.push('`');
            rest = &from[1..];
            continue;
        }
        let fence: String = from.chars().take_while(|c| *c == '`').collect();
        let inside = &from[fence.len()..];
        let mut search = 0;
        let end = loop {
            let Some(found) = inside[search..].find('`').map(|found| found + search) else { panic!("open: {line}") };
            let run = inside[found..].chars().take_while(|c| *c == '`').count();
            if run == fence.len() {
                break found + run;
            }
            search = found + run;
        };
        rest = &inside[end..];
    }
    text + rest
}

#[test]
fn markdown_and_pages_show_markup_as_text() {
    let place = place();
    for recording in ["before.jsonl", "behind.jsonl"] {
        no_markup(&report(&place, recording, &["markdown"]));
        assert!(!report(&place, recording, &["html"]).contains("<img"));
    }
}

#[test]
fn comparisons_show_what_deceives() {
    let place = place();
    let compare = |more: &[&str]| harness(&place, &[&["compare", "good.jsonl", "behind.jsonl"], more].concat());
    let refused = compare(&[]);
    assert_eq!(refused.status.code(), Some(4), "{}", told(&refused));
    assert!(stderr(&refused).contains("\\u{202e}"), "{}", told(&refused));
    for (a, b) in [("good.jsonl", "behind.jsonl"), ("before.jsonl", "behind.jsonl"), ("behind.jsonl", "good.jsonl")] {
        let compare = |format: &str| {
            let output = harness(&place, &["compare", a, b, "--force", "--format", format]);
            assert!(output.status.success(), "{}", told(&output));
            stdout(&output)
        };
        let document: Value = serde_json::from_str(&compare("json")).unwrap();
        let facts = document["comparisons"][0]["facts"].as_array().unwrap();
        let kernel = facts.iter().find(|fact| fact["fact"] == "os.kernel").unwrap();
        assert_eq!(kernel["base"], lines(&place.path(a))[0]["facts"]["os.kernel"]);
        let markdown = compare("markdown");
        assert!(markdown.contains("img src") && markdown.contains("u{202e}"), "{markdown}");
        no_markup(&markdown);
        let table = compare("table");
        assert!(table.lines().all(|line| !line.trim_start().starts_with("::")), "{table}");
        assert!(!compare("html").contains("<img"));
    }
}

#[test]
fn baselines_recordings_and_damaged_files_show_what_deceives() {
    let place = place();
    assert!(harness(&place, &["baseline", "save", "evil", "behind.jsonl"]).status.success());
    let listed = stdout(&harness(&place, &["baseline", "list"]));
    assert!(listed.contains("evil") && listed.contains("\\u{1b}"), "{listed}");

    let name = "\u{1b}[31m\u{202e}a\nb.jsonl";
    let folder = ".local/share/harness/recordings";
    let there = place.write(&format!("{folder}/{name}"), std::fs::read(place.path("behind.jsonl")).unwrap());
    let listed = stdout(&harness(&place, &["recordings"]));
    let line = format!("{}/\\u{{1b}}[31m\\u{{202e}}a\\u{{a}}b.jsonl\n", there.parent().unwrap().display());
    assert!(listed.contains(&line), "{listed}");

    let whole = std::fs::read_to_string(place.path("behind.jsonl")).unwrap();
    let header = whole.lines().next().unwrap();
    for (what, text) in [
        ("a schema", "{\"schema\":\"\\u001b[31m\\u202e\"}\n".to_owned()),
        ("a word", format!("{header}\n{{\"type\":\u{1b}\u{202e}x}}\n\n")),
        ("a type", format!("{header}\n{{\"type\":\"\\u001b\\u202e\"}}\n\n")),
        ("a figure", whole.replacen("\"values\":{\"", "\"values\":{\"\\u001b\\u202e\":\"\\u001b\\u202e\",\"", 1)),
    ] {
        let file = format!("{name}-{what}");
        place.write(&file, text);
        let output = harness(&place, &["report", &file]);
        assert_eq!(output.status.code(), Some(2), "{what}: {}", told(&output));
        assert!(stderr(&output).matches("\\u{202e}").count() >= 1, "{what}: {}", told(&output));
    }
    // A cut line is said.
    place.write(&format!("{name}-cut"), &whole[..whole.trim_end().len() - 20]);
    let output = harness(&place, &["report", &format!("{name}-cut")]);
    assert!(output.status.success() && stderr(&output).contains("\\u{1b}"), "{}", told(&output));
}

#[test]
fn a_plugin_is_shown_by_its_name_as_it_is() {
    let place = Place::new();
    let name = "\u{1b}]0;x\u{7}\u{202e}\u{200b}.wasm";
    std::fs::copy(HOSTILE, place.path(name)).unwrap();
    for command in [
        &["plugin", "check", name] as &[&str],
        &["plugin", "inspect", name],
        &["plugin", "test", name],
        &["plugin", "test", name, "--set", "act=log-escape"],
        &["plugin", "test", name, "--set", "act=bad-name"],
        &["plugin", "new", name, "--lang", "rust"],
        &["run", "--backend", "simulated", "--plugin", name, "--set", "act=panic"],
        &["run", "--backend", "simulated", "--plugin", name, "--set", "act=log-escape"],
        &["run", "--backend", "simulated", "--plugin", name, "--set", "a\u{1b}=1"],
        &["run", "--backend", "simulated", "--plugin", name, "--dry-run", "--sweep", "act=a\u{1b},b\u{202e}"],
        &["report", "--with", name, "--set", "act=escape"],
        &["report", "--with", "none\u{1b}"],
    ] {
        harness(&place, command);
    }
    assert!(Path::new(&place.path(name)).exists());
    assert!(stdout(&harness(&place, &["plugin", "check", name])).contains("\\u{1b}]0;x\\u{7}\\u{202e}\\u{200b}.wasm"));
}

/// Our own lines of a log, with what a registry said in them, are the same.
#[test]
fn the_log_shows_what_deceives() {
    let place = Place::new();
    let output = place
        .command(BINARY)
        .args(["plugin", "list"])
        .env("HARNESS_LOG", "a\u{1b}[31m\u{202e}=b")
        .env("XDG_CACHE_HOME", "/dev/null/\u{1b}[31m\u{202e}")
        .output()
        .unwrap();
    clean(&stderr(&output), &["HARNESS_LOG"]);
    assert!(stderr(&output).contains("\\u{202e}"), "{}", told(&output));
}

/// An argument may be a stranger's: a file's name in a pattern that the shell replaced.
#[test]
fn wrong_arguments_show_what_deceives() {
    let place = place();
    let name = "--x\u{1b}]0;a\u{7}\u{202e}\u{9b}\u{200b}";
    for arguments in [&["compare", name][..], &["run", "--dtype", name], &[name], &["run", "--sweep", name]] {
        let output = harness(&place, arguments);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(stderr(&output).contains("\\u{202e}"), "{}", told(&output));
        clean(&stderr(&output), arguments);
    }
}

/// How a recording ended is said by its end, and by nothing that only bears such a name.
#[test]
fn a_fact_does_not_say_how_a_recording_ended() {
    let place = Place::new();
    let header =
        json!({"type": "header", "schema": "harness-recording/1", "facts": {"status": "complete", "message": "fine"}});
    let end = json!({"type": "end", "status": "failed", "message": "the GPU fell off", "time": "", "summary": []});
    place.write("r.jsonl", format!("{header}\n{end}\n"));
    for with in ["junit", "table", "json", "prometheus"] {
        let said = report(&place, "r.jsonl", &[with]);
        assert!(!said.contains("fine") && !said.contains("harness_recording_complete 1"), "{with}: {said}");
        assert!(with == "prometheus" || said.contains("the GPU fell off"), "{with}: {said}");
    }
}
