//! Renders recordings with report plugins and puts the results where the user wants them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness_core::text::visible;
use harness_core::{Facts, Recorder, Recording, Status};
use harness_sandbox::{Artifact, Limits, LogSink, NoLog, Output, Plugin, PluginError, Sandbox};

use crate::failure::Failure;
use crate::files;
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
        if let Some(file) = &target.out {
            not_a_recording(&target.plugin, file)?;
        }
        Ok(Self { plugin, settings, out: target.out.clone() })
    }

    /// Where it writes, unless that is stdout.
    pub(crate) fn out(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    /// Has the report show a recording without a run: a setting that it refuses, and files that have no place, are said
    /// before the test, not after it.
    pub(crate) fn rehearse(&self, limits: &Limits) -> Result<(), Failure> {
        let empty = Recorder::in_memory(Facts::new()).end(Status::Complete, None, Vec::new(), String::new())?;
        match (self.plugin.render(Arc::new(empty), &self.settings, limits, Arc::new(NoLog)), &self.out) {
            (Err(error @ PluginError::BadSetting { .. }), _) => {
                let name = self.plugin.name();
                Err(Failure::from(error).and(&format!(
                    "This is the report {name}, whose settings are given with --report-set {name}.KEY=VALUE"
                )))
            }
            (Ok(Output::Files(_)), None) => Err(self.no_folder()),
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
            (Output::Files(_), None) => Err(self.no_folder()),
            (Output::Files(made), Some(folder)) => {
                // None where one is there, so that the same can be tried again.
                let there = |file: &&Artifact| folder.join(&file.name).symlink_metadata().is_ok();
                if let Some(file) = made.iter().find(there) {
                    return Err(Failure::failed(format!(
                        "the report '{}' can't be written to {}: it has a file {} already, which is not replaced; nothing was written, and \
                         another folder takes it",
                        self.plugin.name(),
                        folder.display(),
                        file.name
                    )));
                }
                std::fs::create_dir_all(folder).map_err(|error| self.unwritten(folder, &error))?;
                made.iter().try_for_each(|file| {
                    let path = folder.join(&file.name);
                    files::create(&path, &file.contents).map_err(|error| self.unwritten(&path, &error))?;
                    tell(&format!("wrote {}", path.display()));
                    Ok(())
                })
            }
        }
    }

    fn no_folder(&self) -> Failure {
        Failure::usage(format!("the report '{0}' makes files; name a folder for them: {0}=FOLDER", self.plugin.name()))
    }

    fn write(&self, path: &Path, contents: &[u8]) -> Result<(), Failure> {
        not_a_recording(self.plugin.name(), path)?;
        files::replace(path, contents).map_err(|error| self.unwritten(path, &error))
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

/// A report is made again in a moment, a recording is not.
fn not_a_recording(report: &str, path: &Path) -> Result<(), Failure> {
    if !files::is_recording(path) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "the report '{report}' can't be written to {}: that is a recording, which no report replaces; name another file",
        path.display()
    )))
}

/// Prints a plugin's text. Into a pipe, too: what reads there is as often a person, and the built-in formats for programs have nothing in
/// them that would be shown otherwise.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let text = visible(text);
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
    let mut stdout = std::io::stdout().lock();
    // Names in it may be a stranger's.
    written(writeln!(stdout, "{}", visible(text)))
}
