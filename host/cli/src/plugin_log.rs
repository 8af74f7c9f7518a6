//! The lines of plugins.

use harness_sandbox::{LogLevel, LogSink};
use tracing::Level;

use crate::log::PLUGIN;
use crate::progress::Screen;

/// Shows the lines of plugins above the progress.
pub(crate) struct PluginLog {
    pub(crate) screen: Screen,
}

impl LogSink for PluginLog {
    fn log(&self, plugin: &str, level: LogLevel, line: &str) {
        let (word, stays) = match level {
            LogLevel::Trace if !tracing::enabled!(target: PLUGIN, Level::TRACE) => return,
            LogLevel::Debug if !tracing::enabled!(target: PLUGIN, Level::DEBUG) => return,
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
