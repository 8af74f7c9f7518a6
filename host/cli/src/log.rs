//! Lines on stderr.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use harness_core::text::{visible, visible_line};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::fmt::writer::MakeWriterExt;

/// Sets the log finely, in `tracing`'s notation.
const VARIABLE: &str = "HARNESS_LOG";
/// What it calls the lines of plugins.
pub(crate) const PLUGIN: &str = "plugin";
/// What the libraries call lines that are notes, such as of their caches.
const NOTE: &str = "harness::note";

/// Whether the user wants errors and warnings only. What it decides is what is shown, and nothing else.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From here on notes are left out.
pub(crate) fn hush() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether notes are left out.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Starts the program's log: warnings, or more with `-v`.
pub(crate) fn init(verbose: u8) {
    let (level, plugin) = match verbose {
        0 => ("warn", "info"),
        1 => ("info", "debug"),
        _ => ("trace", "trace"),
    };
    // wasmtime's and candle's traces would bury ours.
    let usual = format!(
        "error,harness={level},harness_core={level},harness_engine={level},harness_telemetry={level},harness_sandbox={level},\
         harness_registry={level},{PLUGIN}={plugin}"
    );
    let set = std::env::var(VARIABLE).ok().filter(|set| !set.is_empty());
    let filter = set.and_then(|set| {
        let wrong =
            |error| tell(&format!("warning: {VARIABLE}={set} is no filter ({error}); write such as harness=info"));
        EnvFilter::try_new(&set).map_err(wrong).ok()
    });
    let filter = filter.unwrap_or_else(|| EnvFilter::new(usual));
    // What others said, such as a registry, is in the fields.
    let fields = debug_fn(|writer, field, value| {
        let value = format!("{value:?}");
        match field.name() {
            "message" => write!(writer, "{}", visible(&value)),
            name => write!(writer, "{name}={}", visible(&value)),
        }
    });
    tracing_subscriber::fmt()
        .fmt_fields(fields.delimited(" "))
        .with_writer(std::io::stderr.with_filter(|event| event.target() != NOTE || !is_quiet()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .without_time()
        .with_target(false)
        .init();
}

/// What is wrong with the words of a command line, in lines of our own: line ends in a word are shown as what they are.
pub(crate) fn of_words(error: &clap::Error, words: impl Iterator<Item = String>) -> String {
    let mut text = error.render().to_string();
    for word in words {
        // It says the whole word, what is before the sign, or what is behind it.
        let parts = word.split_once('=').map_or(Vec::new(), |(name, value)| vec![name, value]);
        for part in std::iter::once(word.as_str()).chain(parts) {
            // clap leaves out what steers a terminal.
            let said = clap::builder::StyledStr::from(part.to_owned()).to_string();
            if let (Cow::Owned(shown), false) = (visible_line(part), said.is_empty()) {
                text = text.replace(&said, &shown);
            }
        }
    }
    text
}

/// A line on stderr. Names in it may be a stranger's. A reader that has gone is no reason to stop measuring.
pub(crate) fn tell(line: &str) {
    tell_lines(&visible_line(line));
}

/// Several lines on stderr, of which whoever made them knows that no name in them has more.
pub(crate) fn tell_lines(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", visible(text));
}

/// A line on stderr, unless the user wants none that is neither an error nor a warning.
pub(crate) fn note(line: &str) {
    note_lines(&visible_line(line));
}

/// The same of several.
pub(crate) fn note_lines(text: &str) {
    if !is_quiet() {
        tell_lines(text);
    }
}
