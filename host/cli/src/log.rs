//! Lines on stderr: the program's own, and the plugins'.

use std::io::{IsTerminal, Write};

use harness_sandbox::{LogLevel, LogSink, printable};
use tracing_subscriber::EnvFilter;

use crate::progress::Screen;

/// Starts the program's log: warnings, or more with `-v`; `HARNESS_LOG` sets it finely.
pub(crate) fn init(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "trace",
    };
    // wasmtime's and candle's traces would bury ours.
    let filter = EnvFilter::try_from_env("HARNESS_LOG").unwrap_or_else(|_| {
        EnvFilter::new(format!(
            "error,harness={level},harness_core={level},harness_engine={level},harness_telemetry={level},harness_sandbox={level},\
             harness_registry={level}"
        ))
    });
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .without_time()
        .with_target(false)
        .init();
}

/// A line on stderr. A reader that has gone is no reason to stop measuring.
pub(crate) fn tell(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let line = if stderr.is_terminal() { printable(line) } else { line.to_owned() };
    let _ = writeln!(stderr, "{line}");
}

/// Shows the lines of plugins above the progress.
pub(crate) struct PluginLog {
    pub(crate) screen: Screen,
    pub(crate) least: LogLevel,
}

impl LogSink for PluginLog {
    fn log(&self, plugin: &str, level: LogLevel, line: &str) {
        if level < self.least {
            return;
        }
        let (word, stays) = match level {
            LogLevel::Trace => ("trace: ", false),
            LogLevel::Debug => ("debug: ", false),
            LogLevel::Info => ("", false),
            LogLevel::Warn => ("warning: ", true),
            LogLevel::Error => ("error: ", true),
        };
        let line = format!("{plugin}: {word}{line}");
        if stays { self.screen.insist(&line) } else { self.screen.say(&line) }
    }
}
