//! Renders recordings with report plugins and puts the results where the user wants them.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness_core::{Facts, Recorder, Recording, Status};
use harness_sandbox::{Limits, LogSink, NoLog, Output, Plugin, PluginError, Sandbox, printable};

use crate::failure::Failure;
use crate::log::tell;
use crate::plugins::Plugins;
use crate::settings::ReportTarget;

/// A report plugin that is loaded, described and knows its settings and where it writes.
pub(crate) struct Ready {
    plugin: Plugin,
    settings: Vec<(String, String)>,
    out: Option<PathBuf>,
}

impl Ready {
    /// Loads the plugin and checks what can be checked before a recording is there.
    pub(crate) fn new(
        sandbox: &Sandbox,
        plugins: &Plugins,
        target: &ReportTarget,
        set: &[(String, String)],
        limits: &Limits,
    ) -> Result<Self, Failure> {
        let plugin = plugins.load(sandbox, &target.plugin, None)?;
        let description = plugin.describe_report(limits)?;
        let settings = description.values(&target.plugin, set, false)?;
        if let Some(folder) = target.out.as_deref().and_then(Path::parent)
            && !folder.as_os_str().is_empty()
            && !folder.is_dir()
        {
            return Err(Failure::usage(format!(
                "the report '{}' can't be written to {}: there is no folder {}; make it, or name another place",
                target.plugin,
                target.out.as_deref().unwrap_or(folder).display(),
                folder.display()
            )));
        }
        Ok(Self { plugin, settings, out: target.out.clone() })
    }

    /// Has the report show a recording without a run, for what it says of its settings: a value that it refuses is said before
    /// the test, not after it.
    pub(crate) fn try_settings(&self, limits: &Limits) -> Result<(), Failure> {
        let empty = Recorder::in_memory(Facts::new()).end(Status::Complete, None, Vec::new(), String::new())?;
        match self.plugin.render(Arc::new(empty), &self.settings, limits, Arc::new(NoLog)) {
            Err(error @ PluginError::BadSetting { .. }) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Renders and writes.
    pub(crate) fn deliver(
        &self,
        recording: &Arc<Recording>,
        limits: &Limits,
        log: Arc<dyn LogSink>,
    ) -> Result<(), Failure> {
        match (self.plugin.render(Arc::clone(recording), &self.settings, limits, log)?, &self.out) {
            (Output::Text(text), None) => print(&text),
            (Output::Text(text), Some(file)) => self.write(file, text.as_bytes()),
            // The plugin chooses the names, so the user must choose the folder, and nothing in it is replaced.
            (Output::Files(_), None) => Err(Failure::usage(format!(
                "the report '{0}' makes files; name a folder for them: {0}=FOLDER",
                self.plugin.name()
            ))),
            (Output::Files(files), Some(folder)) => {
                std::fs::create_dir_all(folder).map_err(|error| self.unwritten(folder, &error))?;
                files.iter().try_for_each(|file| {
                    let path = folder.join(&file.name);
                    std::fs::File::create_new(&path)
                        .and_then(|mut new| new.write_all(&file.contents))
                        .map_err(|error| self.unwritten(&path, &error))?;
                    tell(&format!("wrote {}", path.display()));
                    Ok(())
                })
            }
        }
    }

    fn write(&self, path: &Path, contents: &[u8]) -> Result<(), Failure> {
        std::fs::write(path, contents).map_err(|error| self.unwritten(path, &error))
    }

    fn unwritten(&self, path: &Path, error: &std::io::Error) -> Failure {
        Failure::failed(format!(
            "the report '{}' can't be written to {}: {error}; the recording is kept, and \
             `harness report --with {}=OUT` writes it elsewhere",
            self.plugin.name(),
            path.display(),
            self.plugin.name()
        ))
    }
}

/// Prints a plugin's text; on a terminal it can't hold escape sequences.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let text = if stdout.is_terminal() { printable(text) } else { text.to_owned() };
    let line_end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    written(write!(stdout, "{text}{line_end}").and_then(|()| stdout.flush()))
}

/// Takes a closed pipe for what it is: the reader has enough.
pub(crate) fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::Closed),
        Err(error) => Err(Failure::failed(format!("can't write to stdout: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Prints a line to stdout.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    written(writeln!(std::io::stdout().lock(), "{text}"))
}
