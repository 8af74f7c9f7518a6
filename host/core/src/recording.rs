//! A recording: everything one invocation recorded, as JSON Lines on disk.
//!
//! The first line has the schema and the facts of the machine, each following line one finished run, the last line the
//! workload's summary and how it ended. A line is on disk before anything else happens, so that a kill at any moment
//! leaves all finished runs readable; a cut last line is said and left out.

pub mod document;
mod extent;
mod malformed;
mod read;
mod recorder;
mod sink;

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::cost::PluginCost;
use crate::error::Stop;
use crate::input::{self, Fault, InputError};
use crate::keyed;
use crate::metric::{self, Reading};
use crate::run::Run;
use crate::statistics::{differs, mean};
use crate::text::visible_line;
pub use recorder::{Ended, Kept, Recorder};

/// The schema this version writes and reads.
pub const SCHEMA: &str = "harness-recording/1";

/// Facts by name, such as `gpu.name`, in the order in which they were found.
pub type Facts = IndexMap<String, String>;

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The workload returned its summary.
    Complete,
    /// There is no last line, as the process was killed; or it tells of other runs than there are.
    Unfinished,
    /// The user ended it.
    Interrupted,
    /// A limit ended it.
    Stopped,
    /// The device, the plugin or the disk failed.
    Failed,
}

impl Status {
    /// As a recording spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Unfinished => "unfinished",
            Self::Interrupted => "interrupted",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// A line as it is written; `read` knows how it is read.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Header { schema: &'a str, facts: &'a Facts },
    Run(&'a Run),
    End(&'a End),
}

#[derive(Serialize, Deserialize)]
struct End {
    status: Status,
    /// Why, where it is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// When, in RFC 3339.
    time: String,
    /// How many were recorded; recordings of before 0.2.0 don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runs: Option<usize>,
    #[serde(default)]
    summary: Vec<Reading>,
    #[serde(default, deserialize_with = "keyed::optional", skip_serializing_if = "Option::is_none")]
    plugin_cost: Option<PluginCost>,
}

/// Why a recording could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file can't be made or written.
    #[error("can't write the recording {}: {source}", line(path))]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is something of that name.
    #[error("{} is there already, and a recording replaces nothing", line(path))]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The file can't be read.
    #[error("can't read the recording {}: {source}", line(path))]
    Read {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        source: Fault,
    },
    /// All of it is there already.
    #[error("{} is complete: there is nothing to go on with", line(path))]
    Complete {
        /// Where.
        path: PathBuf,
    },
    /// Another process is writing it.
    #[error("another process is writing {}", line(path))]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// A run is too much for what a recording may be.
    #[error("{0}")]
    Full(Stop),
    /// The file is no recording.
    #[error("{} is no recording: line {line}: {what}", self::line(path))]
    Malformed {
        /// Where.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The file is a recording of another version.
    #[error("{} has the schema '{}', and this harness reads '{SCHEMA}'", line(path), visible_line(found))]
    Schema {
        /// Where.
        path: PathBuf,
        /// The file's schema.
        found: String,
    },
}

/// A path in one line, whatever its name has in it.
fn line(path: &Path) -> String {
    visible_line(&path.display().to_string()).into_owned()
}

/// A recording as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Of the machine, the model and the settings.
    pub facts: Facts,
    /// In the order in which they were measured. Each is held once, however many have it.
    pub runs: Vec<Arc<Run>>,
    /// What the workload returned.
    pub summary: Vec<Reading>,
    /// How it ended.
    pub status: Status,
    /// Why, where it is not complete.
    pub message: Option<String>,
    /// What the workload cost beside the model; recordings of before 0.2.0 don't say.
    pub plugin_cost: Option<PluginCost>,
    /// What the reader has to say of the file, such as a cut last line.
    pub notes: Vec<String>,
}

/// How much a summary's figure may differ from the host's.
const TOLERANCE: f64 = 0.001;

impl Recording {
    /// The most bytes of a file that is read.
    pub const MAX_BYTES: u64 = 2 << 30;

    fn empty(facts: Facts) -> Self {
        Self {
            facts,
            runs: Vec::new(),
            summary: Vec::new(),
            status: Status::Unfinished,
            message: None,
            plugin_cost: None,
            notes: Vec::new(),
        }
    }

    /// Reads a file, line by line.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let failed = |error: InputError| RecordingError::Read { path: path.to_owned(), source: error.fault };
        let file = input::open(path, Self::MAX_BYTES).map_err(failed)?;
        read::parse(path, BufReader::new(file))
    }

    /// Reads the first line of a file, which has the facts.
    pub fn read_facts(path: &Path) -> Result<Facts, RecordingError> {
        let failed = |error: InputError| RecordingError::Read { path: path.to_owned(), source: error.fault };
        read::facts(path, BufReader::new(input::open(path, Self::MAX_BYTES).map_err(failed)?))
    }

    /// Without samples, which take most of its memory: for who needs each run's values alone.
    #[must_use]
    pub fn without_samples(mut self) -> Self {
        self.runs.iter_mut().for_each(|run| Arc::make_mut(run).samples.clear());
        self
    }

    /// About the bytes of memory that it takes, samples left out.
    pub fn weight(&self) -> u64 {
        const ENTRY: usize = 128;
        let texts = |facts: &Facts| facts.iter().map(|(name, value)| name.len() + value.len() + ENTRY).sum::<usize>();
        let runs = self.runs.iter().map(|run| {
            let absent = run.absent.iter().map(|(metric, reason)| metric.len() + reason.len() + ENTRY).sum::<usize>();
            run.label.len() + absent + (run.values.len() + 4) * ENTRY
        });
        let summary = self.summary.iter().map(|reading| reading.metric.help.len() + 2 * ENTRY).sum::<usize>();
        (texts(&self.facts) + runs.sum::<usize>() + summary) as u64
    }

    /// Whether both are of the same invocation, wherever they lie: same facts, the time of the start among them, and runs.
    pub fn same(&self, other: &Self) -> bool {
        self.facts == other.facts && self.runs == other.runs
    }

    /// The mean of a metric over the runs that have it; `None` when no run does.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        let values: Vec<f64> = self.runs.iter().filter_map(|run| run.values.get(metric).copied()).collect();
        mean(&values)
    }

    /// Marks a reading that bears the name of a host metric and is not the host's figure.
    pub(crate) fn audit(&self, reading: &mut Reading) {
        let Some(definition) = metric::definition(&reading.metric.name) else { return };
        let mean = self.mean(&reading.metric.name).filter(|_| definition.unit == reading.metric.unit);
        reading.unmeasured = mean.is_none();
        reading.host_value = mean.filter(|mean| differs(*mean, reading.value, TOLERANCE));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn run(label: &str, latency: f64) -> Arc<Run> {
        let mut run = Run { label: label.into(), iterations: 1, batch: 1, ..Run::default() };
        run.values.insert("latency".into(), latency);
        Arc::new(run)
    }

    pub(super) fn reading(name: &str, value: f64) -> Reading {
        let metric = metric::definition(name).unwrap().metric();
        Reading { metric, value, host_value: None, unmeasured: false }
    }

    pub(super) fn facts() -> Facts {
        Facts::from([("gpu.name".to_owned(), "a \"quoted\" GPU".to_owned())])
    }

    pub(super) fn recorded(folder: &Path) -> PathBuf {
        let path = folder.join("deep/recording.jsonl");
        let mut recorder = Recorder::create(&path, facts()).unwrap();
        recorder.run(run("a", 0.25)).unwrap();
        recorder.run(run("b", 0.75)).unwrap();
        recorder.plugin_cost(PluginCost { host_calls: 7, ..PluginCost::default() });
        let summary = vec![reading("latency", 0.5)];
        recorder.end(Status::Complete, None, summary, "2026-01-01T00:00:00Z".into());
        path
    }

    #[test]
    fn what_was_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::read(&recorded(folder.path())).unwrap();
        assert_eq!(recording.facts, facts());
        assert_eq!(recording.runs, [run("a", 0.25), run("b", 0.75)]);
        assert_eq!(recording.status, Status::Complete);
        assert_eq!(recording.summary, [reading("latency", 0.5)]);
        assert_eq!(recording.plugin_cost.map(|cost| cost.host_calls), Some(7));
    }

    #[test]
    fn another_schema_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        std::fs::write(&path, r#"{"type":"header","schema":"harness-recording/9","new":[]}"#).unwrap();
        let error = Recording::read(&path).unwrap_err().to_string();
        assert!(error.contains("'harness-recording/9'") && error.contains("'harness-recording/1'"), "{error}");
    }

    /// What an editor, or a system that lost its power, leaves at the end or between.
    #[test]
    fn what_is_whole_is_read_and_what_is_not_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = recorded(folder.path());
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let [header, first, second, end] = lines[..] else { panic!("{whole}") };
        let half = &second[..second.len() / 2];
        let zeros = "\0".repeat(4096);
        for (text, runs, notes) in [
            (format!("{whole}{zeros}"), 2, &["at the end, 4,096 bytes of zero are left out"][..]),
            (format!("{header}\n{first}\n{zeros}"), 1, &["at the end, 4,096 bytes of zero are left out"]),
            (
                format!("{header}\n{first}\n{half}{zeros}"),
                1,
                &[
                    "line 3 ends in the middle and is left out; before it is 1 run",
                    "at the end, 4,096 bytes of zero are left out",
                ],
            ),
            (
                format!("{header}\n{first}\n{half}"),
                1,
                &["line 3 ends in the middle and is left out; before it is 1 run"],
            ),
            (
                format!("{header}\n{first}\n{half}\n\n \n"),
                1,
                &["line 3 ends in the middle and is left out; before it is 1 run"],
            ),
            (format!("{header}\n\n{first}\r\n  \n\t{second}\n{end}\n\n"), 2, &["3 blank lines are left out"]),
        ] {
            std::fs::write(&path, &text).unwrap();
            let recording = Recording::read(&path).unwrap();
            assert_eq!(recording.runs.len(), runs, "{}", text.trim_end_matches('\0'));
            let notes: Vec<String> = notes.iter().map(|note| format!("{}: {note}", path.display())).collect();
            assert_eq!(recording.notes, notes, "{}", text.trim_end_matches('\0'));
        }
        for (text, why) in [
            (format!("{header}\n{first}\n\0\0{second}\n"), "line 3: 2 bytes of zero stand before it"),
            (format!("{header}\n{half}\n{second}\n{end}\n"), "line 2: the line ends in the middle"),
            (format!("{header}\n\n{half}\n{second}\n{end}\n"), "line 3: the line ends in the middle"),
        ] {
            std::fs::write(&path, &text).unwrap();
            let error = Recording::read(&path).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    /// A line taken out or doubled, as by an editor or a merge.
    #[test]
    fn other_runs_than_the_end_tells_of_are_said_and_not_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = recorded(folder.path());
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let [header, first, second, end] = lines[..] else { panic!("{whole}") };
        for (runs, there) in [(vec![first], 1), (vec![first, second, second], 3)] {
            std::fs::write(&path, format!("{header}\n{}\n{end}\n", runs.join("\n"))).unwrap();
            let recording = Recording::read(&path).unwrap();
            let said = format!("its end tells of 2 recorded runs, and {there} are there");
            assert_eq!((recording.status, recording.message), (Status::Unfinished, Some(said.clone())));
            assert_eq!(recording.notes, [format!("{}: {said}", path.display())]);
        }
        // As it was written before the end told of them.
        std::fs::write(&path, format!("{header}\n{first}\n{}\n", end.replace("\"runs\":2,", ""))).unwrap();
        assert_eq!(Recording::read(&path).unwrap().status, Status::Complete);
    }

    #[test]
    fn what_is_no_text_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        for (bytes, what) in [
            (&[0; 512][..], "begins with bytes of zero"),
            (b"\xef\xbb\xbf{\"type\":\"header\"}", "byte order mark"),
            (b"\xff\xfe{\0", "UTF-16"),
            (b"\xfe\xff\0{", "UTF-16"),
            (b"\x1f\x8b\x08", "gunzip"),
            (b"\x28\xb5\x2f\xfd\x04", "unzstd"),
            (b"\xfd7zXZ\0", "unxz"),
            (b"BZh91AY", "bunzip2"),
            (b"PK\x03\x04", "unzip"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Recording::read(&path).unwrap_err().to_string();
            assert!(error.contains("no recording: line 1") && error.contains(what), "{error}");
            assert_eq!(error, Recording::read_facts(&path).unwrap_err().to_string());
        }
    }

    /// Lists in the place of objects are refused, and no message has a name of our types in it.
    #[test]
    fn what_is_no_object_is_refused_in_plain_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = recorded(folder.path());
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let [header, first, _, end] = lines[..] else { panic!("{whole}") };
        let series = first.replace(r#""samples":{}"#, r#""samples":{"a":[[1.0],[]]}"#);
        let standstill = first.replace(r#""samples":{}"#, r#""samples":{},"standstill":[0.0,0.0,0.0]"#);
        let reading = end.replace(r#""summary":["#, r#""summary":[["a","s","b","lower",false,1.0,null,false],"#);
        let cost = replaced(end, r#""plugin_cost":{"#, r#""plugin_cost":[]"#);
        for (line, text, found) in [
            (1, format!("[]\n{first}\n"), "sequence"),
            (1, format!("5\n{first}\n"), "integer `5`"),
            (2, format!("{header}\n[]\n"), "sequence"),
            (2, format!("{header}\n[\"run\"]\n"), "sequence"),
            (2, format!("{header}\nnull\n"), "null"),
            (2, format!("{header}\n{series}\n"), "sequence"),
            (2, format!("{header}\n{standstill}\n"), "sequence"),
            (2, format!("{header}\n{reading}\n"), "sequence"),
            (2, format!("{header}\n{cost}\n"), "sequence"),
        ] {
            std::fs::write(&path, &text).unwrap();
            let error = Recording::read(&path).unwrap_err().to_string();
            let said = format!("line {line}: invalid type: {found}, expected an object");
            assert!(error.contains(&said), "{text}: {error}");
        }
    }

    /// The text with something else in the place of the object that starts there.
    fn replaced(text: &str, start: &str, instead: &str) -> String {
        let (before, after) = text.split_once(start).unwrap();
        format!("{before}{instead}{}", after.split_once('}').unwrap().1)
    }

    #[test]
    fn garbage_in_the_middle_is_an_error_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = recorded(folder.path());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("\"type\":\"run\"", "\"type\":\"walk\"", 1)).unwrap();
        let error = Recording::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_recording_weighs_what_its_texts_and_entries_weigh() {
        let folder = tempfile::tempdir().unwrap();
        let whole = Recording::read(&recorded(folder.path())).unwrap();
        let more = |change: &dyn Fn(&mut Recording)| {
            let mut changed = whole.clone();
            change(&mut changed);
            changed.weight() - whole.weight()
        };
        fn run_of(recording: &mut Recording) -> &mut Run {
            Arc::make_mut(&mut recording.runs[0])
        }
        let text = "x".repeat(1000);
        // An entry of a map is 128 bytes beside its texts.
        assert_eq!(more(&|of| _ = of.facts.insert(text.clone(), "four".into())), 1000 + 4 + 128);
        assert_eq!(more(&|of| _ = run_of(of).absent.insert(text.clone(), "four".into())), 1000 + 4 + 128);
        assert_eq!(more(&|of| _ = run_of(of).values.insert(text.clone(), 1.0)), 128);
        assert_eq!(more(&|of| run_of(of).label.push_str(&text)), 1000);
        assert_eq!(more(&|of| of.summary[0].metric.help.push_str(&text)), 1000);
        let reading = &whole.summary[0];
        assert_eq!(more(&|of| of.summary.push(reading.clone())), reading.metric.help.len() as u64 + 256);
        // A run has its numbers beside one value and a label of one character.
        assert_eq!(more(&|of| of.runs.push(run("c", 1.0))), 5 * 128 + 1);
        assert_eq!(Recording::empty(Facts::new()).weight(), 0);
    }

    #[test]
    fn the_same_invocation_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let one = Recording::read(&recorded(folder.path())).unwrap();
        let other = Recording { notes: vec!["a copy".into()], ..one.clone() };
        assert!(one.same(&other));
        assert!(!one.same(&Recording { facts: Facts::new(), ..one.clone() }));
        assert!(!one.same(&Recording { runs: vec![run("a", 0.25)], ..one.clone() }));
        assert_eq!(Recording::read_facts(&recorded(folder.path().join("again").as_path())).unwrap(), facts());
        assert_eq!((one.mean("latency"), one.mean("power")), (Some(0.5), None));
    }

    #[test]
    fn without_samples_all_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let whole = Recording::read(&recorded(folder.path())).unwrap();
        let mut sampled = whole.clone();
        for run in &mut sampled.runs {
            let series = crate::run::Series { values: vec![0.5], times: Vec::new() };
            Arc::make_mut(run).samples.insert("latency".into(), series);
        }
        assert_ne!(sampled, whole);
        assert_eq!(sampled.without_samples(), whole);
    }

    #[test]
    fn a_status_is_shown_as_it_is_recorded() {
        for status in [Status::Complete, Status::Unfinished, Status::Interrupted, Status::Stopped, Status::Failed] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    proptest! {
        /// A kill at any byte leaves every run readable whose line was finished.
        #[test]
        fn a_cut_anywhere_keeps_the_finished_runs(cut in 0.0..1.0_f64) {
            let folder = tempfile::tempdir().unwrap();
            let path = recorded(folder.path());
            let bytes = std::fs::read(&path).unwrap();
            let first = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
            let keep = first + ((bytes.len() - first) as f64 * cut) as usize;
            std::fs::write(&path, &bytes[..keep]).unwrap();
            let whole = bytes[first..keep].iter().filter(|&&b| b == b'\n').count();
            let recording = Recording::read(&path).unwrap();
            prop_assert!(recording.runs.len() >= whole.min(2));
            prop_assert_eq!(recording.notes.is_empty(), bytes[keep - 1] == b'\n' || bytes[keep] == b'\n');
        }

        /// Of a valid recording, with bytes of it replaced, removed, doubled and swapped.
        #[test]
        fn reading_what_was_spoilt_never_panics(
            spoil in proptest::collection::vec((0..5_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = std::fs::read(recorded(folder.path())).unwrap();
            for (how, at, other, byte) in spoil {
                let (at, other) = (at.index(bytes.len()), other.index(bytes.len()));
                let (from, to) = (at.min(other), at.max(other));
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.swap(at, other),
                    2 => bytes[at] = b"\n\"{}[],:-09e\\"[usize::from(byte) % 13],
                    3 => bytes.extend_from_within(from..to),
                    _ => _ = bytes.drain(from..to.min(bytes.len() - 1)),
                }
                bytes.truncate(1 << 16);
            }
            if let Ok(recording) = read::parse(Path::new("x"), std::io::Cursor::new(&bytes)) {
                let _ = crate::Warning::of(&recording);
                let side = vec![crate::compare::Named { path: "x".into(), recording }];
                let _ = crate::compare::compare(&side, std::slice::from_ref(&side), &crate::compare::Options::default());
            }
        }

        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::parse(Path::new("x"), std::io::Cursor::new(bytes));
        }
    }
}
