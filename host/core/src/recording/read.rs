//! Reads recordings, which may be anybody's: line by line and each line piece by piece, so that a refused one has taken
//! no more memory than one that is read.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::extent::Extent;
use super::{End, Facts, Recording, RecordingError, SCHEMA, Status, line, malformed};
use crate::aggregation::Aggregation;
use crate::format::{count, plural};
use crate::input::Fault;
use crate::keyed::Object;
use crate::metric::definition;
use crate::run::Run;

/// The most bytes of a line of which more is said than what the parser says.
const MAX_DESCRIBED: u64 = 1 << 20;

/// The most facts; a harness finds about a hundred.
const MAX_FACTS: usize = 10_000;
/// The most readings of a summary; a plugin may return fewer.
const MAX_READINGS: usize = 10_000;

/// The most that a figure may be, of either sign: of what is larger a fourth power, which statistics take, is no number.
const MAX_FIGURE: f64 = 1e60;

/// The most seconds of a standstill: longer than any machine stands.
const MAX_TIME: f64 = 1e9;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Header,
    Run,
    End,
}

/// How lines begin that a harness wrote.
const WRITTEN: [(&[u8], Kind); 2] = [(br#"{"type":"run","#, Kind::Run), (br#"{"type":"end","#, Kind::End)];

#[derive(Deserialize)]
struct AnyLine {
    r#type: Kind,
}

#[derive(Deserialize)]
struct AnyHeader {
    schema: String,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    facts: Facts,
}

/// Why a line is not read.
enum Why {
    /// Of the line.
    Malformed(String),
    /// It is the file's last, and ends in the middle.
    Cut,
    /// The file can't be read any further.
    Read(io::Error),
}

/// Reads a recording; `path` is for messages.
pub(super) fn parse(path: &Path, source: impl BufRead + Seek) -> Result<Recording, RecordingError> {
    let mut lines = Lines::new(source);
    let mut number = 1;
    let mut recording = lines.recording(&mut number).map_err(|refused| refused.of(path, number))?;
    let notes = lines.left_out.notes(recording.runs.len()).into_iter().chain(lines.lacks.take());
    recording.notes = notes.map(|note| format!("{}: {note}", line(path))).collect();
    Ok(recording)
}

/// What a recording that has no whole end can be gone on with: all of it that is whole, and where that ends in the file.
pub(super) struct Whole {
    pub(super) recording: Recording,
    /// Of the file, from its start, its lines' ends included.
    pub(super) extent: Extent,
    /// Bytes of the file: the line's end may be missing behind them.
    pub(super) bytes: u64,
}

/// Reads a recording and where its last whole run ends.
pub(super) fn whole(path: &Path, source: impl BufRead + Seek) -> Result<Whole, RecordingError> {
    let mut lines = Lines::new(source);
    let mut number = 1;
    let recording = lines.recording(&mut number).map_err(|refused| refused.of(path, number))?;
    let (bytes, mut extent) = lines.whole;
    extent.end_line();
    Ok(Whole { recording, extent, bytes })
}

/// Reads the first line alone: what is known of an invocation before its first run.
pub(super) fn facts(path: &Path, source: impl BufRead + Seek) -> Result<Facts, RecordingError> {
    Lines::new(source).facts().map_err(|refused| refused.of(path, 1))
}

/// What is in a file beside its lines: an editor's blank lines, and what a system leaves that loses power while it writes.
#[derive(Clone, Copy, Debug, Default)]
struct LeftOut {
    /// The line that ends in the middle.
    cut: Option<usize>,
    blank_lines: usize,
    /// Bytes of zero at the end.
    zeros: u64,
}

impl LeftOut {
    fn notes(self, runs: usize) -> Vec<String> {
        let before = plural(runs, "run");
        let cut = self.cut.map(|line| format!("line {line} ends in the middle and is left out; before it is {before}"));
        let blank = (self.blank_lines > 0).then(|| match self.blank_lines {
            1 => "a blank line is left out".to_owned(),
            lines => format!("{} blank lines are left out", count(lines as u64)),
        });
        let zeros = (self.zeros > 0)
            .then(|| format!("at the end, {} of zero are left out", plural(self.zeros as usize, "byte")));
        [cut, blank, zeros].into_iter().flatten().collect()
    }
}

enum Refused {
    Line(Why),
    Schema(String),
}

impl Refused {
    fn of(self, path: &Path, line: usize) -> RecordingError {
        let path = path.to_owned();
        match self {
            Self::Line(Why::Malformed(what)) => RecordingError::Malformed { path, line, what },
            Self::Line(Why::Cut) => RecordingError::Malformed { path, line, what: malformed::CUT.to_owned() },
            Self::Line(Why::Read(error)) => RecordingError::Read { path, source: Fault::System(error) },
            Self::Schema(found) => RecordingError::Schema { path, found },
        }
    }
}

impl From<Why> for Refused {
    fn from(why: Why) -> Self {
        Self::Line(why)
    }
}

/// The lines of a file, of which one at a time is read.
struct Lines<R> {
    source: R,
    extent: Extent,
    /// Before the present line.
    before: Extent,
    /// Where the present line starts.
    start: u64,
    /// Bytes in the source's buffer that are of the present line, and were measured.
    ready: usize,
    /// Whether the present line was read to its end.
    ended: bool,
    left_out: LeftOut,
    /// What the end tells of and is not there.
    lacks: Option<String>,
    /// Where the last whole line but the end stops, and what is before that.
    whole: (u64, Extent),
}

impl<R: BufRead + Seek> Lines<R> {
    fn new(source: R) -> Self {
        let extent = Extent::default();
        let left_out = LeftOut::default();
        Self {
            source,
            extent,
            before: extent,
            start: 0,
            ready: 0,
            ended: false,
            left_out,
            lacks: None,
            whole: (0, extent),
        }
    }

    /// `number` is that of the present line.
    fn recording(&mut self, number: &mut usize) -> Result<Recording, Refused> {
        let mut recording = Recording::empty(self.facts()?);
        let mut end = None;
        self.is_whole()?;
        while self.next(number)? {
            let kind = self.kind();
            if let Some(end) = end {
                let what = match kind {
                    Ok(Kind::Run) => format!("a run follows the end, which is line {end}"),
                    Ok(Kind::End) => format!("a second end; the first is line {end}"),
                    _ => format!("something follows the end, which is line {end}"),
                };
                return Err(Why::Malformed(format!("{what}; {APART}")).into());
            }
            let read = kind.and_then(|kind| match kind {
                Kind::Header => Err(Why::Malformed(format!("a second first line; {APART}"))),
                Kind::Run => {
                    let run: Run = self.line()?;
                    check(&run).map_err(Why::Malformed)?;
                    recording.runs.push(Arc::new(run));
                    self.is_whole()
                }
                Kind::End => {
                    let End { status, message, runs, summary, plugin_cost, time: _ } = self.line()?;
                    at_most(MAX_READINGS, summary.len(), "readings").map_err(Why::Malformed)?;
                    (recording.status, recording.message) = (status, message);
                    (recording.summary, recording.plugin_cost) = (summary, plugin_cost);
                    let there = recording.runs.len();
                    if let Some(recorded) = runs.filter(|recorded| *recorded != there) {
                        let lacks =
                            format!("its end tells of {}, and {there} are there", plural(recorded, "recorded run"));
                        if status == Status::Complete {
                            (recording.status, recording.message) = (Status::Unfinished, Some(lacks.clone()));
                        }
                        self.lacks = Some(lacks);
                    }
                    end = Some(*number);
                    Ok(())
                }
            });
            match read {
                Ok(()) => {}
                Err(Why::Cut) => {
                    self.left_out.cut = Some(*number);
                    break;
                }
                Err(why) => return Err(why.into()),
            }
        }
        Ok(recording)
    }

    /// Takes note that all up to here is whole.
    fn is_whole(&mut self) -> Result<(), Why> {
        self.whole = (self.source.stream_position().map_err(Why::Read)?, self.extent);
        Ok(())
    }

    /// Those of the first line.
    fn facts(&mut self) -> Result<Facts, Refused> {
        if self.is_over()? {
            return Err(Why::Malformed("the file is empty".into()).into());
        }
        if let Some(what) = malformed::no_text(self.source.fill_buf().map_err(Why::Read)?) {
            return Err(Why::Malformed(what.into()).into());
        }
        let AnyHeader { schema } = self.line()?;
        if schema != SCHEMA {
            return Err(Refused::Schema(schema));
        }
        self.again()?;
        let Header { facts } = self.line()?;
        at_most(MAX_FACTS, facts.len(), "facts").map_err(Why::Malformed)?;
        Ok(facts)
    }

    /// What the present line is; it is read from its start again after this.
    fn kind(&mut self) -> Result<Kind, Why> {
        let start = self.source.fill_buf().map_err(Why::Read)?;
        if let Some((_, kind)) = WRITTEN.iter().find(|(written, _)| start.starts_with(written)) {
            return Ok(*kind);
        }
        let AnyLine { r#type } = self.line()?;
        self.again()?;
        Ok(r#type)
    }

    /// Whether there is no further byte.
    fn is_over(&mut self) -> Result<bool, Why> {
        self.source.fill_buf().map(<[u8]>::is_empty).map_err(Why::Read)
    }

    /// Goes on to the line after the present one, which was read to its end; whether there is one. `number` becomes its number.
    fn next(&mut self, number: &mut usize) -> Result<bool, Why> {
        self.extent.end_line();
        self.before = self.extent;
        *number += 1;
        let filler = self.filler()?;
        *number += filler.lines;
        self.left_out.blank_lines += filler.lines;
        self.start = self.source.stream_position().map_err(Why::Read)?;
        (self.ready, self.ended) = (0, false);
        let over = self.is_over()?;
        match filler.zeros {
            zeros if over => self.left_out.zeros = zeros,
            0 => {}
            zeros => {
                let what = format!("{} of zero stand before it", plural(zeros as usize, "byte"));
                return Err(Why::Malformed(what));
            }
        }
        Ok(!over)
    }

    /// Passes over blanks, line ends and bytes of zero, up to something else or the file's end.
    fn filler(&mut self) -> Result<Filler, Why> {
        let mut filler = Filler::default();
        loop {
            let buffer = self.source.fill_buf().map_err(Why::Read)?;
            let length = buffer.iter().position(|byte| !b" \t\r\n\0".contains(byte)).unwrap_or(buffer.len());
            let passed = buffer.get(..length).unwrap_or_default();
            filler.lines += passed.iter().filter(|&&byte| byte == b'\n').count();
            filler.zeros += passed.iter().filter(|&&byte| byte == 0).count() as u64;
            let whole = length == buffer.len() && length > 0;
            self.source.consume(length);
            if !whole {
                return Ok(filler);
            }
        }
    }

    /// Passes over the present line up to a byte of zero; whether there is one.
    fn skip_to_zero(&mut self) -> Result<bool, Why> {
        loop {
            let buffer = self.source.fill_buf().map_err(Why::Read)?;
            let at = buffer.iter().position(|byte| b"\n\0".contains(byte));
            let found = at.and_then(|at| buffer.get(at)).map(|&byte| byte == 0);
            let length = at.unwrap_or(buffer.len());
            if buffer.is_empty() {
                return Ok(false);
            }
            self.source.consume(length);
            if let Some(zero) = found {
                return Ok(zero);
            }
        }
    }

    /// Whether nothing but filler follows from here on; if so, it is left out.
    fn ends_here(&mut self) -> Result<bool, Why> {
        let filler = self.filler()?;
        let over = self.is_over()?;
        if over {
            self.left_out.zeros = filler.zeros;
        }
        Ok(over)
    }

    /// Goes back to the present line's start.
    fn again(&mut self) -> Result<(), Why> {
        self.source.seek(SeekFrom::Start(self.start)).map_err(Why::Read)?;
        self.extent = self.before;
        (self.ready, self.ended) = (0, false);
        Ok(())
    }

    /// Reads the present line.
    fn line<T: DeserializeOwned>(&mut self) -> Result<T, Why> {
        let error = match serde_json::from_reader(&mut *self) {
            Ok(Object(line)) => return Ok(line),
            Err(error) => error,
        };
        if self.extent.bytes > Recording::MAX_BYTES {
            let most = count(Recording::MAX_BYTES);
            return Err(Why::Malformed(format!("up to here the recording has more than {most} bytes, and none may")));
        }
        if let Some(over) = self.extent.over {
            return Err(Why::Malformed(format!("up to here the recording {over}, and none may")));
        }
        if error.is_io() {
            return Err(Why::Read(error.into()));
        }
        if error.is_eof() && self.ends_here()? {
            return Err(Why::Cut);
        }
        self.source.seek(SeekFrom::Start(self.start)).map_err(Why::Read)?;
        // It may go over into bytes of zero.
        if self.skip_to_zero()? && self.ends_here()? {
            return Err(Why::Cut);
        }
        self.source.seek(SeekFrom::Start(self.start)).map_err(Why::Read)?;
        let mut line = Vec::new();
        (&mut self.source).take(MAX_DESCRIBED).read_until(b'\n', &mut line).map_err(Why::Read)?;
        let whole = line.len() < MAX_DESCRIBED as usize;
        // Of a file whose first line is none nothing is shown: it may be no recording, but a secret.
        let shown = whole && self.start > 0;
        Err(Why::Malformed(malformed::describe(shown.then(|| line.trim_ascii_end()), &error)))
    }
}

/// What a line is not.
#[derive(Clone, Copy, Debug, Default)]
struct Filler {
    /// Ends of lines.
    lines: usize,
    /// Bytes of zero.
    zeros: u64,
}

/// What to do where there is more than one recording in a file.
const APART: &str = "a file has one recording: its first line, its runs and its end";

/// The present line.
impl<R: BufRead + Seek> Read for &mut Lines<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        if self.ready == 0 {
            let buffer = self.source.fill_buf()?;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let ready = end.unwrap_or(buffer.len());
            if ready == 0 {
                self.source.consume(usize::from(end.is_some()));
                self.ended = true;
                return Ok(0);
            }
            self.extent.take(buffer.get(..ready).unwrap_or_default());
            if self.extent.over.is_some() || self.extent.bytes > Recording::MAX_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            self.ready = ready;
        }
        let count = self.ready.min(into.len());
        self.source.read_exact(into.get_mut(..count).unwrap_or_default())?;
        self.ready -= count;
        Ok(count)
    }
}

fn at_most(most: usize, found: usize, what: &str) -> Result<(), String> {
    match found > most {
        true => Err(format!("{} {what}, and a recording has at most {}", count(found as u64), count(most as u64))),
        false => Ok(()),
    }
}

/// Differences and temperatures may be, and what no harness of this version measures.
fn may_be_negative(metric: &str) -> bool {
    definition(metric)
        .is_none_or(|metric| matches!(metric.aggregation, Aggregation::Difference { .. }) || metric.unit == "Cel")
}

/// What the parts of a run say of each other.
fn check(run: &Run) -> Result<(), String> {
    let unequal =
        run.samples.iter().find(|(_, series)| !series.times.is_empty() && series.times.len() != series.values.len());
    match unequal {
        Some((metric, series)) => Err(format!(
            "{metric} has {} and {}; each sample has its time, or none has",
            plural(series.values.len(), "sample"),
            plural(series.times.len(), "time")
        )),
        None => Ok(()),
    }?;
    if let Some((metric, value)) = run.values.iter().find(|(metric, value)| **value < 0.0 && !may_be_negative(metric)) {
        return Err(format!("{metric} is {value}, and can't be less than 0"));
    }
    let stood = run.standstill.unwrap_or_default();
    if [stood.stopped, stood.suspended, stood.clock_jump].iter().any(|time| time.abs() > MAX_TIME) {
        return Err(format!("its standstill is longer than {MAX_TIME:e} s"));
    }
    let samples =
        run.samples.iter().flat_map(|(metric, series)| series.values.iter().map(move |value| (metric, value)));
    match run.values.iter().chain(samples).find(|(_, value)| value.abs() > MAX_FIGURE) {
        Some((metric, value)) => {
            Err(format!("{metric} is {value:e}, and no figure of a recording is beyond {MAX_FIGURE:e}"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const HEADER: &str = r#"{"type":"header","schema":"harness-recording/1","facts":{}}"#;
    const RUN: &str =
        r#"{"type":"run","label":"a","iterations":1,"warmup":0,"batch":1,"wall_time":1,"values":{},"samples":{}}"#;
    const END: &str = r#"{"type":"end","status":"complete","time":"2026-01-01T00:00:00Z"}"#;

    /// What is said of a file of these lines, or its runs.
    fn read(lines: &[&str]) -> Result<usize, String> {
        let text = lines.join("\n") + "\n";
        match parse(Path::new("a"), Cursor::new(text.as_bytes())) {
            Ok(recording) => Ok(recording.runs.len()),
            Err(RecordingError::Malformed { line, what, .. }) => Err(format!("{line}: {what}")),
            Err(other) => Err(other.to_string()),
        }
    }

    #[test]
    fn a_file_has_one_recording() {
        assert_eq!(read(&[HEADER, RUN, RUN, END]), Ok(2));
        let apart = "a file has one recording: its first line, its runs and its end";
        for (lines, told) in [
            (&[HEADER, RUN, END, RUN][..], "4: a run follows the end, which is line 3"),
            (&[HEADER, END, "", END], "4: a second end; the first is line 2"),
            (&[HEADER, END, HEADER], "3: something follows the end, which is line 2"),
            (&[HEADER, RUN, HEADER, RUN], "3: a second first line"),
        ] {
            assert_eq!(read(lines), Err(format!("{told}; {apart}")));
        }
        assert_eq!(
            read(&[HEADER, END, "thanks"]),
            Err(format!("3: something follows the end, which is line 2; {apart}"))
        );
        let empty = parse(Path::new("a"), Cursor::new("")).unwrap_err().to_string();
        assert!(empty.contains("line 1: the file is empty"), "{empty}");
        // In any order of a line's parts.
        let turned =
            r#"{"label":"a","iterations":1,"warmup":0,"batch":1,"wall_time":1,"values":{},"samples":{},"type":"run"}"#;
        assert_eq!(read(&[HEADER, turned, RUN]), Ok(2));
    }

    #[test]
    fn facts_and_readings_are_bounded() {
        let header = |facts: usize| {
            let facts: Vec<String> = (0..facts).map(|fact| format!("\"{fact}\":\"\"")).collect();
            format!(r#"{{"type":"header","schema":"harness-recording/1","facts":{{{}}}}}"#, facts.join(","))
        };
        assert_eq!(read(&[&header(10_000)]), Ok(0));
        assert_eq!(read(&[&header(10_001)]), Err("1: 10,001 facts, and a recording has at most 10,000".into()));
        let end = |readings: usize| {
            let reading = r#"{"name":"a","unit":"1","help":"","better":"neither","value":1}"#;
            format!(
                r#"{{"type":"end","status":"complete","time":"","summary":[{}]}}"#,
                vec![reading; readings].join(",")
            )
        };
        assert_eq!(read(&[HEADER, &end(10_000)]), Ok(0));
        assert_eq!(read(&[HEADER, &end(10_001)]), Err("2: 10,001 readings, and a recording has at most 10,000".into()));
    }

    #[test]
    fn samples_have_all_their_times_or_none() {
        let run = |times: &str| {
            RUN.replace("\"samples\":{}", &format!(r#""samples":{{"latency":{{"values":[1,2],"times":[{times}]}}}}"#))
        };
        assert_eq!((read(&[HEADER, &run("")]), read(&[HEADER, &run("1,2")])), (Ok(1), Ok(1)));
        for (times, count) in [("1", "1 time"), ("1,2,3", "3 times")] {
            let told = format!("2: latency has 2 samples and {count}; each sample has its time, or none has");
            assert_eq!(read(&[HEADER, &run(times)]), Err(told));
        }
    }

    #[test]
    fn what_is_too_much_is_refused_where_it_is() {
        let deep =
            |lists: usize| RUN.replacen('{', &format!("{{\"new\":{}{},", "[".repeat(lists), "]".repeat(lists)), 1);
        let told = "3: up to here the recording has more than 64 lists and objects in each other, and none may";
        assert_eq!(read(&[HEADER, RUN, &deep(63), END]), Ok(2));
        assert_eq!(read(&[HEADER, RUN, &deep(64), END]), Err(told.into()));
    }

    #[test]
    fn what_stands_there_is_shown_of_a_recording_and_of_no_other_file() {
        let wrong = RUN.replace("\"values\":{}", "\"values\":{\"a\":NaN}");
        let at = wrong.find("NaN").unwrap() + 1;
        let told = read(&[HEADER, &wrong, END]).unwrap_err();
        assert!(told.starts_with(&format!("2: 'NaN' at character {at} is no number; ")), "{told}");
        // A line of a megabyte is not looked at again.
        let long = wrong.replace("\"label\":\"a\"", &format!("\"label\":\"{}\"", "x".repeat(MAX_DESCRIBED as usize)));
        let at = at + MAX_DESCRIBED as usize - 1;
        assert_eq!(read(&[HEADER, &long, END]), Err(format!("2: expected value at character {at}")));
        for line in ["hunter2 is it", "{\"type\": hunter2}", "{\"schema\": hunter2}"] {
            let told = read(&[line]).unwrap_err();
            assert!(told.starts_with("1: expected ") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_last_line_that_is_whole_and_wrong_is_not_left_out() {
        let half = &RUN[..RUN.len() / 2];
        let told = "3: expected value at character 1, where 'walk' is";
        assert_eq!((read(&[HEADER, RUN, "walk"]), read(&[HEADER, RUN, half])), (Err(told.into()), Ok(1)));
        let told = "3: expected `,` or `}` at character 14";
        assert_eq!(read(&[HEADER, RUN, r#"{"type":"run"]"#]), Err(told.into()));
        // What lies behind zeros is no end.
        for rest in [RUN, "x"] {
            assert!(read(&[HEADER, RUN, &format!("{half}\0\0\0{rest}")]).is_err());
        }
        assert_eq!(read(&[HEADER, RUN, &format!("{half}\0\0\0")]), Ok(1));
    }

    /// What a buffer holds makes no difference.
    #[test]
    fn lines_are_read_alike_whatever_comes_at_once() {
        let zeros = "\0".repeat(50);
        let half = &RUN[..RUN.len() / 2];
        for text in [
            format!("{HEADER}\n{RUN}\n \n\r\n{RUN}\n{END}\n\n{zeros}"),
            format!("{HEADER}\n{RUN}\n{half}{zeros}"),
            format!("{HEADER}\n{RUN}\n{half}\n{zeros}\n"),
            format!("{HEADER}\n{RUN}\n{half}{zeros}{RUN}"),
            format!("{HEADER}\n{half}\n{RUN}\n"),
        ] {
            let of = |size| {
                let read = parse(Path::new("a"), io::BufReader::with_capacity(size, Cursor::new(text.as_bytes())));
                read.map_err(|error| error.to_string())
            };
            let whole = of(1 << 16);
            for size in [1, 7, 64] {
                assert_eq!(of(size), whole, "{size} bytes at once");
            }
        }
    }
}
