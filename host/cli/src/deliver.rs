//! Renders recordings with report plugins and puts the results where the user wants them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use harness_core::text::visible;
use harness_core::{Facts, Recorder, Recording, Status};
use harness_sandbox::file_name::folded;
use harness_sandbox::{Artifact, Limits, LogSink, NoLog, Output, Plugin, PluginError, Sandbox};

use crate::advice::freeing;
use crate::destination::{Destination, Unwritable};
use crate::failure::Failure;
use crate::log::note;
use crate::plugins::Plugins;
use crate::report_target::ReportTarget;
use crate::{file_names, files};

/// A report plugin that is loaded, described and knows its settings and where it writes.
pub(crate) struct Ready {
    plugin: Plugin,
    settings: Vec<(String, String)>,
    out: Option<Destination>,
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
        if let Some(out) = &target.out
            && let Some(folder) = out.path().parent()
            && !folder.as_os_str().is_empty()
            && !folder.is_dir()
        {
            return Err(Failure::usage(format!(
                "the report '{}' can't be written to {}: there is no folder {}; make it, or name another place",
                target.plugin,
                out.path().display(),
                folder.display()
            )));
        }
        let ready = Self { plugin, settings, out: target.out.clone() };
        if let Some(out) = &target.out {
            ready.check(out)?;
        }
        Ok(ready)
    }

    /// Where it writes, unless that is stdout.
    pub(crate) fn out(&self) -> Option<&Path> {
        self.out.as_ref().map(Destination::path)
    }

    /// Has the report show a recording without a run: a setting that it refuses, and files that have no place, are said
    /// before the test, not after it.
    pub(crate) fn rehearse(&self, limits: &Limits) -> Result<(), Failure> {
        let empty = Recorder::in_memory(Facts::new()).end(Status::Complete, None, Vec::new(), String::new()).recording;
        match (self.plugin.render(Arc::new(empty), &self.settings, limits, Arc::new(NoLog)), &self.out) {
            (Err(error @ PluginError::BadSetting { .. }), _) => {
                let name = self.plugin.name();
                Err(Failure::from(error).and(&format!(
                    "This is the report {name}, whose settings are given with --report-set {name}.KEY=VALUE"
                )))
            }
            (Ok(Output::Files(_)), None) => Err(self.no_folder()),
            (Ok(Output::Files(made)), Some(out)) => {
                named(self.plugin.name(), &made)?;
                self.writable(out, files::check_folder)
            }
            (Ok(Output::Text(_)), Some(out)) => self.writable(out, files::check),
            _ => Ok(()),
        }
    }

    fn writable(&self, out: &Destination, check: impl Fn(&Path) -> io::Result<()>) -> Result<(), Failure> {
        let place = out.resolved().map_err(|error| self.unwritten(out.path(), &error, true))?;
        check(&place).map_err(|error| {
            let (name, path) = (self.plugin.name(), out.path().display());
            let told = format!(
                "the report '{name}' can't be written to {path}: {error}; {}name another place: {name}=OUT",
                freeing(&error)
            );
            Failure::of_place(error.kind(), told)
        })
    }

    /// What it says of a recording, where that is a text.
    pub(crate) fn text(&self, recording: &Arc<Recording>, limits: &Limits) -> Result<String, Failure> {
        match self.plugin.render(Arc::clone(recording), &self.settings, limits, Arc::new(NoLog))? {
            Output::Text(text) => Ok(text),
            Output::Files(_) => Err(self.no_folder()),
        }
    }

    /// Whether it goes to stdout.
    pub(crate) fn is_shown(&self) -> bool {
        self.out.is_none()
    }

    /// Renders and writes. `again` is whether what it shows is in a file, too.
    pub(crate) fn deliver(
        &self,
        recording: &Arc<Recording>,
        again: bool,
        limits: &Limits,
        log: Arc<dyn LogSink>,
    ) -> Result<(), Failure> {
        match (self.plugin.render(Arc::clone(recording), &self.settings, limits, log)?, &self.out) {
            (Output::Text(text), None) => print(&text),
            (Output::Text(text), Some(file)) => {
                self.check(file)?;
                file.put(text.as_bytes()).map_err(|error| self.unwritten(file.path(), &error, again))
            }
            // The plugin chooses the names, so the user must choose the folder, and nothing in it is replaced.
            (Output::Files(_), None) => Err(self.no_folder()),
            (Output::Files(made), Some(out)) => self.files(&made, out, again),
        }
    }

    /// Writes all files, or none where one has no place, so that the same can be tried again.
    fn files(&self, made: &[Artifact], out: &Destination, again: bool) -> Result<(), Failure> {
        named(self.plugin.name(), made)?;
        let folder = out.resolved().map_err(|error| self.unwritten(out.path(), &error, again))?;
        let there = there(&folder);
        for file in made {
            let taken = |why: &str| {
                Failure::failed(format!(
                    "the report '{}' can't be written to {}: it has a file {why}, which is not replaced; nothing was written, and another \
                     folder takes it",
                    self.plugin.name(),
                    out.path().display()
                ))
            };
            match there.get(&folded(&file.name)) {
                Some(other) if *other != file.name => {
                    return Err(taken(&format!("{other} already, and some file systems take {} for it", file.name)));
                }
                None if folder.join(&file.name).symlink_metadata().is_err() => {}
                _ => return Err(taken(&format!("{} already", file.name))),
            }
        }
        let failed = |path: &Path, error| self.unwritten(path, &Unwritable::Failed(error), again);
        std::fs::create_dir_all(&folder).map_err(|error| failed(out.path(), error))?;
        made.iter().try_for_each(|file| {
            let path = out.path().join(&file.name);
            files::create(&folder.join(&file.name), &file.contents).map_err(|error| failed(&path, error))?;
            note(&format!("wrote {}", path.display()));
            Ok(())
        })
    }

    fn no_folder(&self) -> Failure {
        Failure::usage(format!("the report '{0}' makes files; name a folder for them: {0}=FOLDER", self.plugin.name()))
    }

    /// Refuses a place that may not be written to: also a recording's, for a report is made again in a moment, a recording is not.
    fn check(&self, out: &Destination) -> Result<(), Failure> {
        let place = out.check().map_err(|error| self.unwritten(out.path(), &error, true))?;
        if !files::is_recording(&place) {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "the report '{}' can't be written to {}: that is a recording, which no report replaces; name another file",
            self.plugin.name(),
            out.path().display()
        )))
    }

    fn unwritten(&self, path: &Path, error: &Unwritable, again: bool) -> Failure {
        let elsewhere = match error {
            Unwritable::Refused(_) => String::new(),
            Unwritable::Failed(_) if !again => String::new(),
            Unwritable::Failed(_) => format!(
                "; `harness report --with {}=OUT` makes it of the recording and writes it elsewhere",
                self.plugin.name()
            ),
        };
        error.failure(format!(
            "the report '{}' can't be written to {}: {error}{elsewhere}",
            self.plugin.name(),
            path.display()
        ))
    }
}

/// Refuses files that harness reads by their name: the names are a stranger's choice.
pub(crate) fn named(report: &str, made: &[Artifact]) -> Result<(), Failure> {
    let bad = |file: &Artifact| Some((file.name.clone(), file_names::reserved(&file.name)?));
    made.iter().find_map(bad).map_or(Ok(()), |(name, why)| {
        Err(Failure::from(PluginError::BadValue {
            plugin: report.to_owned(),
            function: "render",
            what: format!("'{name}' is no name for a file: {why}"),
        }))
    })
}

/// What the folder has, by what a file system may take for the same name.
fn there(folder: &Path) -> HashMap<String, String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).map(|name| (folded(&name), name)).collect()
}

/// Prints a plugin's text. Into a pipe, too: what reads there is as often a person, and the built-in formats for programs have nothing in
/// them that would be shown otherwise.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    let line_end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    // Piece by piece: what is shown may be several times as long.
    let mut pieces = pieces(text);
    let shown = pieces.try_for_each(|piece| stdout.write_all(visible(piece).as_bytes()));
    written(shown.and_then(|()| stdout.write_all(line_end.as_bytes())).and_then(|()| stdout.flush()))
}

/// The text in pieces of some size, none of which ends between the two characters of a line's end.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    const SIZE: usize = 64 << 10;
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = (SIZE..rest.len()).find(|&at| rest.is_char_boundary(at) && rest.as_bytes().get(at) != Some(&b'\n'));
        let (piece, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Takes a closed pipe for what it is: the reader has enough. The command goes on, for its exit code may be what is wanted.
pub(crate) fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::failed(format!("can't write to stdout: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Prints what is ours alone to stdout.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// Prints a line to stdout.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    // Names in it may be a stranger's.
    written(writeln!(stdout, "{}", visible(text)).and_then(|()| stdout.flush()))
}
