//! A panic, in any thread, is one report and exit code 1: what was recorded is on disk, and what is wrong is ours.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsString;
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use harness_core::{private, temporaries};

use crate::log::{tell, tell_lines};
use crate::{exit, facts, shortage};

/// Where to send it.
const ISSUES: &str = match env!("CARGO_PKG_REPOSITORY").is_empty() {
    true => "the project's issue tracker",
    false => env!("CARGO_PKG_REPOSITORY"),
};
/// Of what the panic itself says, in characters.
const MAX_SAID: usize = 2000;

/// What is being recorded.
static RECORDING: Mutex<Option<PathBuf>> = Mutex::new(None);
/// Whether the report has no path and no name of the user's.
static PRIVATE: AtomicBool = AtomicBool::new(false);

/// From here on a panic ends this process with a report. It does not unwind: a thread that panicked alone would be missed by
/// nobody, and what unwinds on the way may panic again.
pub(crate) fn install() {
    panic::set_hook(Box::new(|panic| {
        static REPORTED: AtomicBool = AtomicBool::new(false);
        if !REPORTED.swap(true, Ordering::SeqCst) {
            match panic.payload_as_str().and_then(shortage::meant_by) {
                Some(sentence) => tell(sentence),
                None => report(panic),
            }
            temporaries::remove_all();
            // What libraries left to be run at the end may panic again, or wait for what this thread holds.
            exit::at_once(1);
        }
        // The thread that was first ends the process.
        loop {
            std::thread::park();
        }
    }));
}

/// Reports are to be as private as recordings.
pub(crate) fn keep_private() {
    PRIVATE.store(true, Ordering::Relaxed);
}

/// Says where to look for what was recorded, while `Known` lives.
pub(crate) fn recording_to(path: &Path) -> Known {
    set(Some(path.to_owned()));
    Known
}

/// While it lives, there is a recording that a panic would cut.
pub(crate) struct Known;

impl Drop for Known {
    fn drop(&mut self) {
        set(None);
    }
}

fn set(path: Option<PathBuf>) {
    *RECORDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = path;
}

fn report(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let said = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let said: String = said.unwrap_or("it does not say why").chars().take(MAX_SAID).collect();
    let place = panic.location().map_or("an unknown place".to_owned(), ToString::to_string);
    let thread = std::thread::current();
    // Whoever holds it may be the one that panicked.
    let kept = RECORDING.try_lock().ok().and_then(|path| path.clone()).filter(|path| path.exists());
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let backtrace = Backtrace::capture();
    let report = Report {
        said: &said,
        place: &place,
        thread: thread.name().unwrap_or("without a name"),
        arguments: arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        kept: kept.map(|path| path.display().to_string()),
        private: PRIVATE.load(Ordering::Relaxed) || arguments.iter().any(|argument| argument == "--private"),
    };
    tell_lines(&report.text());
    if backtrace.status() == BacktraceStatus::Captured {
        tell_lines(&backtrace.to_string());
    }
}

struct Report<'a> {
    said: &'a str,
    place: &'a str,
    thread: &'a str,
    arguments: Vec<String>,
    kept: Option<String>,
    private: bool,
}

impl Report<'_> {
    fn text(&self) -> String {
        let line =
            shlex::try_join(self.arguments.iter().map(String::as_str)).unwrap_or_else(|_| self.arguments.join(" "));
        let kept = match &self.kept {
            Some(path) => format!("what was recorded until then is kept in {path}"),
            None => "nothing was being recorded".to_owned(),
        };
        let hidden = |text: &str| if self.private { private::message(text, &self.names()) } else { text.to_owned() };
        format!(
            "error: harness panicked: {}\n\
             This is a fault of harness, whatever it was given. Please report it to {ISSUES} with these lines:\n  \
             version: {} ({}), {} {}\n  command: harness {}\n  at: {}, thread '{}'\n{}",
            hidden(self.said),
            env!("CARGO_PKG_VERSION"),
            env!("HARNESS_COMMIT"),
            std::env::consts::OS,
            std::env::consts::ARCH,
            hidden(&line),
            self.place,
            self.thread,
            hidden(&kept),
        )
    }

    /// What may stand in the report of which the last component is all that is shown.
    fn names(&self) -> Vec<String> {
        let folders = [std::env::current_dir().ok(), std::env::home_dir()];
        let folders = folders.into_iter().flatten().map(|folder| folder.display().to_string());
        let values = self
            .arguments
            .iter()
            .flat_map(|argument| [Some(argument.as_str()), argument.split_once('=').map(|(_, value)| value)]);
        let paths = values.flatten().filter(|value| value.contains(['/', '\\'])).map(ToOwned::to_owned);
        folders.chain(paths).chain(self.kept.clone()).chain(facts::host_name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(private: bool) -> String {
        let arguments =
            ["run", "--model", "/home/me/secret folder/gpt2", "--report", "csv=/home/me/out.csv", "--set=prompt=a b"];
        let report = Report {
            said: "it broke at /home/me/secret folder/gpt2",
            place: "host/core/src/runner.rs:1:2",
            thread: "main",
            arguments: arguments.map(ToOwned::to_owned).to_vec(),
            kept: Some("/home/me/r.jsonl".into()),
            private,
        };
        report.text()
    }

    #[test]
    fn a_report_says_what_whoever_mends_it_needs() {
        let text = text(false);
        for part in [
            "it broke at /home/me/secret folder/gpt2",
            "version: 0.1.0 (",
            "command: harness run --model '/home/me/secret folder/gpt2' --report 'csv=/home/me/out.csv' '--set=prompt=a b'",
            "at: host/core/src/runner.rs:1:2, thread 'main'",
            "kept in /home/me/r.jsonl",
            "the project's issue tracker",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_private_one_has_no_folder() {
        let text = text(true);
        assert!(!text.contains("/home") && !text.contains("secret folder"), "{text}");
        assert!(text.contains("gpt2") && text.contains("out.csv") && text.contains("r.jsonl"), "{text}");
    }
}
