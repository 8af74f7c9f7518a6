//! The lines of plugins.

use harness_core::text::visible_line;
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
        // One line, in which a tab may stand.
        let line = format!("{}: {word}{line}", visible_line(plugin));
        if stays { self.screen.insist_lines(&line) } else { self.screen.say_lines(&line) }
    }
}
