//! The text of `docs/recordings.md`: the schema of a recording, field by field.

use std::fmt::Write;

use super::SCHEMA;
use crate::fact::{FACTS, Privacy};

/// A field of a line: its name, its type, and what it is.
type Field = (&'static str, &'static str, &'static str);

const HEADER: &[Field] = &[
    ("type", "text", "`header`"),
    ("schema", "text", "`harness-recording/1`; another number is another meaning, and is refused"),
    ("facts", "object of texts", "what is true of the whole recording, in the order below"),
];

const RUN: &[Field] = &[
    ("type", "text", "`run`"),
    ("label", "text", "the plan's name for it, such as `run 1`"),
    (
        "plan",
        "text",
        "a digest of what was asked for, by which a resumed test finds its runs; the oldest recordings don't have it",
    ),
    ("iterations", "whole number", "measured iterations that were served"),
    ("asked", "whole number, or not there", "iterations that were asked for, where a time limit ended the run before"),
    ("time_limit", "seconds, or not there", "the plan's limit on the run's time"),
    ("warmup", "whole number", "iterations that were served first and not recorded"),
    ("warmup_time", "seconds", "what these took; the oldest recordings don't say"),
    ("warmup_steady", "true, false, or not there", "whether latency got steady in a warm-up that waited for it"),
    ("batch", "whole number", "requests that an iteration served together"),
    (
        "standstill",
        "object, or not there",
        "seconds in which the process did not run: `stopped`, `suspended`, `clock_jump`",
    ),
    ("wall_time", "seconds", "from the first measured iteration's start to the last one's end"),
    ("values", "object of numbers", "the run's figure for each metric, in its base unit ([metrics.md](metrics.md))"),
    (
        "samples",
        "object of objects",
        "for the metrics that have samples: `values`, in the order in which they were taken, and `times`, where they were noted, in seconds \
         from the start of the first measured iteration",
    ),
    ("absent", "object of texts, or not there", "the metrics that could not be measured, and why"),
];

const END: &[Field] = &[
    ("type", "text", "`end`"),
    ("status", "text", "`complete`, `interrupted`, `stopped` (by a limit) or `failed`"),
    ("message", "text, or not there", "why, where it is not complete"),
    ("time", "text", "when, in RFC 3339 and UTC"),
    (
        "runs",
        "whole number",
        "how many were recorded; where there are others than these, the recording is not complete",
    ),
    (
        "summary",
        "list of objects",
        "what the workload made of the runs: `name`, `unit`, `help`, `better`, `value`; `host_value`, where the host's own mean differs; \
         `unmeasured`, where it bears a host metric's name that no run recorded",
    ),
    ("plugin_cost", "object", "what the workload cost beside the model: loading, time, calls, bytes, memory"),
];

/// The text of `docs/recordings.md`.
pub fn document() -> String {
    let mut text = format!(
        "# Recordings\n\n\
         <!-- Made from host/core/src/recording/document.rs and fact.rs; `UPDATE_DOCS=1 cargo test -p harness-core` writes it anew. -->\n\n\
         A recording is a file of JSON Lines (`{SCHEMA}`), in UTF-8: the first line says what is known before the first run, each following\n\
         line is a finished run, and the last one says how it ended. A line is on the disk before the next run starts. A file without an end\n\
         is of a test that was killed; its runs are whole. What a version adds, older ones pass over.\n\n\
         ```sh\n\
         jq -r 'select(.type == \"run\") | [.label, .values.latency] | @tsv' recording.jsonl    # a figure of each run\n\
         jq -r 'select(.type == \"header\").facts[\"gpu.name\"]' recording.jsonl                  # a fact\n\
         ```\n\n\
         ```python\n\
         import json, pandas\n\n\
         lines = [json.loads(line) for line in open(\"recording.jsonl\")]\n\
         runs = pandas.json_normalize([line for line in lines if line[\"type\"] == \"run\"])\n\
         print(runs[[\"label\", \"values.latency\", \"values.tokens_per_second\"]])\n\
         ```\n"
    );
    for (title, fields) in [("The first line", HEADER), ("A run", RUN), ("The end", END)] {
        let _ = write!(text, "\n## {title}\n\n| field | is | what it says |\n| --- | --- | --- |\n");
        for (name, kind, meaning) in fields {
            let _ = writeln!(text, "| `{name}` | {kind} | {meaning} |");
        }
    }
    text.push_str(
        "\n## Facts\n\n\
         All are texts. What a machine does not say is not there. Of the GPU whose sensors are read, where the model is on another, the same facts\n\
         begin with `sensors.`. The class is what a comparison makes of a difference: other **work** is refused, another **condition** is told, and\n\
         so is a **momentary** one, which changes by itself on the same machine and is passed over between a sweep's points; **passing** facts are\n\
         found anew each time, and **display** facts are for the reader alone.\n\n\
         | fact | class | what it says |\n| --- | --- | --- |\n",
    );
    for fact in FACTS {
        let privacy = match fact.privacy {
            Privacy::Open => "",
            Privacy::LeftOut => "; left out by `--private`",
            Privacy::Path => "; by `--private` the last part of a path alone",
        };
        let _ = writeln!(text, "| `{}` | {} | {}{privacy} |", fact.name, fact.class.as_str(), fact.meaning);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::cost::PluginCost;
    use crate::recording::tests::{facts, reading};
    use crate::recording::{End, Line, Status};
    use crate::run::{Run, Series};
    use crate::vigil::Standstill;

    #[test]
    fn document_is_true() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/recordings.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, document(), "docs/recordings.md is stale: UPDATE_DOCS=1 cargo test -p harness-core");
    }

    /// Every field that is ever written is in the document, and no other.
    #[test]
    fn every_field_is_documented() {
        let mut run = Run {
            plan: Some("0".into()),
            asked: Some(1),
            time_limit: Some(1.0),
            warmup_time: Some(1.0),
            warmup_steady: Some(true),
            standstill: Some(Standstill { stopped: 1.0, suspended: 1.0, clock_jump: 1.0 }),
            ..Run::default()
        };
        run.values.insert("latency".into(), 1.0);
        run.samples.insert("latency".into(), Series { values: vec![1.0], times: vec![1.0] });
        run.absent.insert("power".into(), "why".into());
        let end = End {
            status: Status::Failed,
            message: Some("why".into()),
            time: String::new(),
            runs: Some(1),
            summary: vec![reading("latency", 1.0)],
            plugin_cost: Some(PluginCost::default()),
        };
        for (line, fields) in
            [(Line::Header { schema: SCHEMA, facts: &facts() }, HEADER), (Line::Run(&run), RUN), (Line::End(&end), END)]
        {
            let Value::Object(written) = serde_json::to_value(line).unwrap() else { panic!("no object") };
            let written: BTreeSet<&str> = written.keys().map(String::as_str).collect();
            assert_eq!(written, fields.iter().map(|field| field.0).collect());
        }
    }
}
