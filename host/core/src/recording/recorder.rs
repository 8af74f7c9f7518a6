//! Records an invocation, in memory and in a file.

use std::fs::{File, TryLockError};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::extent::Extent;
use super::sink::{self, Sink};
use super::{End, Facts, Line, Recording, RecordingError, SCHEMA, Status, read};
use crate::cost::PluginCost;
use crate::error::Stop;
use crate::input::{self, InputError};
use crate::metric::Reading;
use crate::run::Run;

/// Writes a recording line by line.
pub struct Recorder {
    sink: Option<Sink>,
    recording: Recording,
    /// Of what was written.
    extent: Extent,
    max_bytes: u64,
    /// Whether a line could not be written.
    failed: bool,
    /// Runs in the file.
    written: usize,
}

/// What was recorded, and where it is found.
#[derive(Debug)]
pub struct Ended {
    /// All that was recorded, also what is in no file.
    pub recording: Recording,
    /// Where it is.
    pub kept: Kept,
}

/// Where a recording is, after it was looked for.
#[derive(Debug)]
pub enum Kept {
    /// In memory alone.
    InMemory,
    /// In the file, all of it.
    All(PathBuf),
    /// In another file than it was written to, all of it.
    Anew {
        /// The one that it was written to.
        from: PathBuf,
        /// What became of that one, as the rest of a sentence.
        fault: String,
        /// Where it is now.
        path: PathBuf,
    },
    /// Not all of it could be written.
    Part {
        /// Where the rest is.
        path: PathBuf,
        /// How many runs are there.
        runs: usize,
        /// Why, unless [`Recorder::run`] has said so.
        error: Option<RecordingError>,
    },
}

impl Recorder {
    /// Creates the file and writes the first line. A file that is there is never replaced.
    pub fn create(path: &Path, facts: Facts) -> Result<Self, RecordingError> {
        Self::begin(path, facts, Sink::create)
    }

    fn begin(path: &Path, facts: Facts, create: fn(&Path) -> std::io::Result<Sink>) -> Result<Self, RecordingError> {
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AlreadyExists => RecordingError::Exists { path: path.to_owned() },
            _ => RecordingError::Write { path: path.to_owned(), source },
        };
        let recording = Recording::empty(facts);
        let header = Line::Header { schema: SCHEMA, facts: &recording.facts };
        let mut sink = create(path).map_err(failed)?;
        if let Err(error) = sink.line(&header) {
            sink.remove();
            return Err(failed(error));
        }
        let extent = Extent::of(&header);
        Ok(Self { sink: Some(sink), extent, ..Self::of(recording) })
    }

    /// Goes on with a recording that has no whole end, or one of a test that failed or was ended: cuts off what is behind its last
    /// whole run, and appends to it. While it is held, no other process can do so.
    pub fn reopen(path: &Path) -> Result<Self, RecordingError> {
        let unread = |error: InputError| RecordingError::Read { path: path.to_owned(), source: error.fault };
        let unwritten = |source: std::io::Error| RecordingError::Write { path: path.to_owned(), source };
        // Only a regular file within its bound.
        drop(input::open(path, Recording::MAX_BYTES).map_err(unread)?);
        let file = File::options().read(true).append(true).open(path).map_err(unwritten)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(RecordingError::InUse { path: path.to_owned() });
        }
        let read::Whole { mut recording, extent, bytes } = read::whole(path, BufReader::new(&file))?;
        if recording.status == Status::Complete {
            return Err(RecordingError::Complete { path: path.to_owned() });
        }
        (recording.status, recording.message) = (Status::Unfinished, None);
        (recording.summary, recording.plugin_cost) = (Vec::new(), None);
        let sink = Sink::reopen(file, path, bytes).map_err(unwritten)?;
        let written = recording.runs.len();
        Ok(Self { sink: Some(sink), extent, written, ..Self::of(recording) })
    }

    /// The same in a file, under the first name like this one that is free.
    pub fn create_among(path: &Path, facts: &Facts) -> Result<Self, RecordingError> {
        let tried = sink::names(path).map(|path| Self::begin(&path, facts.clone(), Sink::create_new));
        let taken = || Err(RecordingError::Exists { path: path.to_owned() });
        tried.into_iter().find(|tried| !matches!(tried, Err(RecordingError::Exists { .. }))).unwrap_or_else(taken)
    }

    /// Refuses a path that [`Recorder::create`] would refuse because of what is there already: to be asked before what
    /// takes long.
    pub fn check_vacant(path: &Path) -> Result<(), RecordingError> {
        match sink::is_taken(path) {
            true => Err(RecordingError::Exists { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    /// Keeps the recording in memory only, for a rehearsal.
    pub fn in_memory(facts: Facts) -> Self {
        Self::of(Recording::empty(facts))
    }

    fn of(recording: Recording) -> Self {
        let extent = Extent::default();
        Self { sink: None, recording, extent, max_bytes: Recording::MAX_BYTES, failed: false, written: 0 }
    }

    /// Takes no run with which the recording would have more bytes.
    pub fn limit(&mut self, max_bytes: u64) {
        self.max_bytes = max_bytes.min(Recording::MAX_BYTES);
    }

    /// Where it is written.
    pub fn path(&self) -> Option<&Path> {
        self.sink.as_ref().map(Sink::path)
    }

    /// What was recorded so far.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Appends a run; on disk when this returns. What is written can be read again: a run that is too much for that is neither
    /// written nor kept. One that can't be written is kept in memory.
    pub fn run(&mut self, run: Arc<Run>) -> Result<(), RecordingError> {
        let line = Line::Run(&run);
        let extent = self.extent.with(&line);
        if extent.bytes > self.max_bytes {
            return Err(RecordingError::Full(Stop::RecordingSize { bytes: extent.bytes, max: self.max_bytes }));
        }
        if let Some(over) = extent.over {
            return Err(RecordingError::Full(Stop::RecordingExtent { over: over.to_string() }));
        }
        let written = write(self.sink.as_mut(), &line);
        self.recording.runs.push(run);
        match written {
            Ok(()) => {
                self.extent = extent;
                self.written += 1;
            }
            Err(_) => self.failed = true,
        }
        written
    }

    /// Keeps what the workload cost, for the last line.
    pub fn plugin_cost(&mut self, cost: PluginCost) {
        self.recording.plugin_cost = Some(cost);
    }

    /// Writes the last line, and looks whether all that was written is there; what is not, is written again from memory.
    /// Readings that bear the name of a host metric are checked against the runs; those that differ by over 0.1% get the
    /// host's figure beside them. `time` is now, in RFC 3339.
    pub fn end(mut self, status: Status, message: Option<String>, mut summary: Vec<Reading>, time: String) -> Ended {
        for reading in &mut summary {
            self.recording.audit(reading);
        }
        let plugin_cost = self.recording.plugin_cost;
        let runs = Some(self.recording.runs.len());
        let end = End { status, message: message.clone(), time, runs, summary: summary.clone(), plugin_cost };
        // Also where a run could not be written: this line is short, and says why.
        let written = write(self.sink.as_mut(), &Line::End(&end));
        let kept = match self.sink.take() {
            None => Kept::InMemory,
            Some(sink) => self.kept(&sink, &end, written.err()),
        };
        Ended { recording: Recording { status, message, summary, ..self.recording }, kept }
    }

    fn kept(&self, sink: &Sink, end: &End, error: Option<RecordingError>) -> Kept {
        let path = sink.path().to_owned();
        match (sink.fault(), error) {
            (None, None) if !self.failed => Kept::All(path),
            (None, error) => Kept::Part { path, runs: self.written, error: error.filter(|_| !self.failed) },
            (Some(fault), _) => match self.anew(&path, end) {
                Ok(anew) => Kept::Anew { from: path, fault, path: anew },
                Err(error) => Kept::Part { path, runs: 0, error: Some(error) },
            },
        }
    }

    /// Writes all that is in memory to a new file.
    fn anew(&self, path: &Path, end: &End) -> Result<PathBuf, RecordingError> {
        let mut recorder = Self::create_among(path, &self.recording.facts)?;
        let lines = self.recording.runs.iter().map(|run| Line::Run(run)).chain([Line::End(end)]);
        for line in lines {
            if let Err(error) = write(recorder.sink.as_mut(), &line) {
                if let Some(sink) = recorder.sink.take() {
                    sink.remove();
                }
                return Err(error);
            }
        }
        Ok(recorder.path().unwrap_or(path).to_owned())
    }
}

fn write(sink: Option<&mut Sink>, line: &Line<'_>) -> Result<(), RecordingError> {
    let Some(sink) = sink else { return Ok(()) };
    sink.line(line).map_err(|source| RecordingError::Write { path: sink.path().to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::tests::{facts, reading, recorded, run};

    fn ended(recorder: Recorder) -> Ended {
        recorder.end(Status::Complete, None, vec![reading("latency", 0.5)], "2026-01-01T00:00:00Z".into())
    }

    #[test]
    fn a_summary_that_differs_gets_the_hosts_figure() {
        let mut recorder = Recorder::in_memory(Facts::new());
        recorder.run(run("a", 1.0)).unwrap();
        let ended = recorder.end(Status::Complete, None, vec![reading("latency", 1.01)], String::new()).recording;
        assert_eq!(ended.summary[0].host_value, Some(1.0));
    }

    #[test]
    fn a_host_metric_that_no_run_recorded_is_marked() {
        let mut recorder = Recorder::in_memory(Facts::new());
        recorder.run(run("a", 1.0)).unwrap();
        let mut milliseconds = reading("latency", 1000.0);
        milliseconds.metric.unit = "ms".into();
        let summary = vec![reading("gpu_utilization", 0.99), milliseconds];
        let ended = recorder.end(Status::Complete, None, summary, String::new()).recording;
        assert!(ended.summary.iter().all(|reading| reading.unmeasured));
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = recorded(folder.path());
        let before = std::fs::read(&path).unwrap();
        assert!(
            matches!(Recorder::create(&path, facts()), Err(RecordingError::Exists { path: there }) if there == path)
        );
        let beside = Recorder::create_among(&path, &facts()).unwrap();
        assert_eq!(beside.path().unwrap(), path.with_file_name("recording-2.jsonl"));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    /// Whatever happens to the file, all of it is found where it is said to be.
    #[test]
    fn what_is_not_there_at_the_end_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        for (name, spoil, lies_at) in [
            ("removed", (|path| std::fs::remove_file(path).unwrap()) as fn(&Path), "removed.jsonl"),
            ("moved", |path| std::fs::rename(path, path.with_extension("elsewhere")).unwrap(), "moved.jsonl"),
            ("cut", |path| std::fs::write(path, "").unwrap(), "cut-2.jsonl"),
            (
                "replaced",
                |path| {
                    std::fs::remove_file(path).unwrap();
                    std::fs::write(path, "mine").unwrap();
                },
                "replaced-2.jsonl",
            ),
        ] {
            let path = folder.path().join(format!("{name}.jsonl"));
            let mut recorder = Recorder::create(&path, facts()).unwrap();
            recorder.run(run("a", 0.25)).unwrap();
            spoil(&path);
            recorder.run(run("b", 0.75)).unwrap();
            let Ended { recording, kept } = ended(recorder);
            let Kept::Anew { from, path: anew, .. } = kept else { panic!("{name}: {kept:?}") };
            assert_eq!((&from, &anew), (&path, &folder.path().join(lies_at)), "{name}");
            assert_eq!(Recording::read(&anew).unwrap(), recording, "{name}");
        }
        assert_eq!(std::fs::read(folder.path().join("replaced.jsonl")).unwrap(), b"mine");
    }

    #[test]
    fn a_whole_file_is_said_to_be_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut recorder = Recorder::create(&path, facts()).unwrap();
        recorder.run(run("a", 0.5)).unwrap();
        let Ended { recording, kept } = ended(recorder);
        assert!(matches!(kept, Kept::All(at) if at == path));
        assert_eq!(Recording::read(&path).unwrap(), recording);
    }

    /// As on a disk that was full for a while.
    #[test]
    fn a_run_that_was_not_written_is_missed_also_where_the_end_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut recorder = Recorder::create(&path, facts()).unwrap();
        recorder.run(run("a", 0.5)).unwrap();
        recorder.failed = true;
        let Ended { kept, .. } = ended(recorder);
        assert!(matches!(kept, Kept::Part { runs: 1, error: None, .. }), "{kept:?}");
    }

    /// A device that takes nothing.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_can_not_be_written_is_kept_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        // Not the device itself, lest a fault removes it.
        let full = &folder.path().join("full");
        std::os::unix::fs::symlink("/dev/full", full).unwrap();
        assert!(matches!(Recorder::create(full, facts()), Err(RecordingError::Write { .. })));
        let mut recorder = Recorder { sink: Some(Sink::create(full).unwrap()), ..Recorder::in_memory(facts()) };
        assert!(recorder.run(run("a", 0.5)).is_err());
        let Ended { recording, kept } = ended(recorder);
        assert_eq!(recording.runs.len(), 1);
        assert!(matches!(kept, Kept::Part { runs: 0, error: None, .. }), "{kept:?}");
    }

    #[test]
    fn what_is_there_is_said_before_anything_takes_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = recorded(folder.path());
        for taken in [&path, folder.path()] {
            assert!(matches!(Recorder::check_vacant(taken), Err(RecordingError::Exists { path }) if path == taken));
        }
        let free = folder.path().join("b");
        assert!(Recorder::check_vacant(&free).is_ok());
        #[cfg(unix)]
        {
            // A recording through it would make the file that it leads to.
            std::os::unix::fs::symlink("nowhere", &free).unwrap();
            assert!(Recorder::check_vacant(&free).is_err());
            assert!(Recorder::check_vacant(Path::new("/dev/null")).is_ok());
        }
    }

    #[test]
    fn a_run_that_is_too_much_is_neither_written_nor_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let record = |limit: u64| {
            let _ = std::fs::remove_file(&path);
            let mut recorder = Recorder::create(&path, facts()).unwrap();
            recorder.limit(limit);
            recorder.run(run("a", 0.25)).unwrap();
            let second = recorder.run(run("b", 0.75)).map_err(|error| error.to_string());
            (second, std::fs::metadata(&path).unwrap().len(), recorder.recording().runs.len())
        };
        let (second, bytes, runs) = record(u64::MAX);
        assert_eq!((second, runs), (Ok(()), 2));
        assert_eq!(record(bytes), (Ok(()), bytes, 2));
        let (second, less, runs) = record(bytes - 1);
        let told = format!("with one more run the recording would have {bytes} bytes, and it may have {}", bytes - 1);
        assert_eq!((second, runs), (Err(told), 1));
        assert!(less < bytes);

        let mut recorder = Recorder::in_memory(facts());
        let error = recorder.run(run(&"x".repeat((16 << 20) + 1), 1.0)).unwrap_err().to_string();
        let told = "with one more run the recording has a text of more than 16,777,216 bytes";
        assert_eq!((error.as_str(), recorder.recording().runs.len()), (told, 0));
        recorder.run(run("a", 1.0)).unwrap();
        assert!(matches!(ended(recorder).kept, Kept::InMemory));
    }

    /// A device that takes two runs and no more.
    #[cfg(target_os = "linux")]
    #[test]
    fn of_what_is_cut_off_it_is_said_how_much_is_there() {
        use std::io::BufRead;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let reader = {
            let path = path.clone();
            std::thread::spawn(move || {
                let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
                file.lines().take(3).map(Result::unwrap).collect::<Vec<_>>()
            })
        };
        let mut recorder = Recorder::create(&path, facts()).unwrap();
        recorder.run(run("a", 0.25)).unwrap();
        recorder.run(run("b", 0.75)).unwrap();
        assert_eq!(reader.join().unwrap().len(), 3);
        // Not one that failed itself: the last line alone.
        let Ended { kept, .. } = ended(recorder);
        assert!(matches!(kept, Kept::Part { runs: 2, error: Some(RecordingError::Write { .. }), .. }), "{kept:?}");
    }
}
