//! Ends the recording, shows it, and says where it is: after looking.

use std::path::Path;
use std::sync::Arc;

use harness_core::format::plural;
use harness_core::session::Broken;
use harness_core::text::visible_line;
use harness_core::{Ended, Kept, MeasureError, Reading, Recording, Session, Status, Stop, StopFlag, Warning, private};
use harness_sandbox::PluginError;

use super::execute::Executed;
use super::prepare::Prepared;
use crate::advice::Advice;
use crate::failure::Failure;
use crate::plugin_log::PluginLog;
use crate::progress::Screen;
use crate::settings::{ModelSettings, RunSettings};
use crate::{facts, now};

pub(super) fn finish(
    settings: &RunSettings,
    prepared: &Prepared,
    executed: Executed,
    screen: &Screen,
) -> Result<Arc<Recording>, Failure> {
    let Executed { session, result, stop, path, log, .. } = executed;
    let (Ended { recording, kept }, failure) = end(session, result, &stop, &path, settings);
    let recording = Arc::new(recording);
    if let Kept::Anew { from, fault, path } = &kept {
        let (from, path) = (from.display(), path.display());
        screen.warn(&format!("the recording {from} {fault} meanwhile; all of it is written again, to {path}"));
    }
    for reading in &recording.summary {
        if reading.unmeasured {
            screen.warn(&format!("the plugin gives {}, {}", reading.metric.name, reading.why_unmeasured()));
        }
        if let Some(host) = reading.host_value {
            screen.warn(&format!(
                "the plugin gives {} as {}, but the mean of the recorded runs is {host}; the recording has both",
                reading.metric.name, reading.value
            ));
        }
    }
    for warning in Warning::of(&recording) {
        screen.warn(&warning.to_string());
    }
    // What was recorded is shown also where the rest failed, and one report's failure is not another's.
    let mut failure = failure.or_else(|| match &kept {
        Kept::Part { error: Some(error), .. } => Some(Failure::failed(error.advised())),
        _ => None,
    });
    let lost = recording.runs.len() - kept_runs(&kept, recording.runs.len());
    let mut shown = lost == 0;
    if failure.is_none() || !recording.runs.is_empty() {
        for report in &prepared.reports {
            match report.deliver(&recording, lost == 0, &settings.limits, Arc::<PluginLog>::clone(&log)) {
                Ok(()) => shown |= report.is_shown(),
                Err(error) if failure.is_none() => failure = Some(error),
                Err(error) => error.print(),
            }
        }
    }
    match failure {
        None => {
            if let Kept::All(path) | Kept::Anew { path, .. } = &kept
                && path.is_file()
            {
                screen.say(&format!("recorded in {}", path.display()));
            }
            Ok(recording)
        }
        Some(failure) => {
            let shown = shown || show(settings, prepared, &recording, screen);
            Err(failure.and(&what_is_kept(&kept, recording.runs.len(), shown)))
        }
    }
}

/// Shows runs that are in no file on stderr, where nothing else has shown them; whether it could.
fn show(settings: &RunSettings, prepared: &Prepared, recording: &Arc<Recording>, screen: &Screen) -> bool {
    match prepared.workload.report(settings).and_then(|report| report.text(recording, &settings.limits)) {
        Ok(text) => {
            screen.insist_lines(&text);
            true
        }
        Err(failure) => {
            failure.print();
            false
        }
    }
}

/// Writes the last line of the recording and says how the invocation ended.
fn end(
    session: Session,
    result: Result<Vec<Reading>, PluginError>,
    stop: &StopFlag,
    path: &Path,
    settings: &RunSettings,
) -> (Ended, Option<Failure>) {
    let broken = session.broken().cloned();
    let unasked = session.unasked();
    let recorder = session.into_recorder();
    let (status, summary, failure) = match (broken, result) {
        // What the plugin makes of it matters less than what happened to the host.
        (Some(Broken::Recording(error)), _) => (Status::Failed, Vec::new(), Some(Failure::failed(error.advised()))),
        (Some(Broken::Measure(MeasureError::Stopped(_))), _) if stop.is_set() => {
            (Status::Interrupted, Vec::new(), Some(Failure::Interrupted("interrupted".into())))
        }
        (Some(Broken::Measure(error @ MeasureError::Stopped(Stop::OtherPlan { .. }))), _) => {
            (Status::Failed, Vec::new(), Some(Failure::usage(error.advised())))
        }
        (Some(Broken::Measure(error @ MeasureError::Stopped(_))), _) => (
            Status::Stopped,
            Vec::new(),
            Some(Failure::failed(format!("{} was ended: {}", settings.plugin, error.advised()))),
        ),
        (Some(Broken::Measure(error)), _) => (Status::Failed, Vec::new(), Some(Failure::failed(error))),
        (None, Err(_)) if stop.is_set() => {
            (Status::Interrupted, Vec::new(), Some(Failure::Interrupted("interrupted".into())))
        }
        // Its summary is of the runs that it asked for, and the recording has others.
        (None, Ok(_)) if unasked > 0 => {
            let others = if unasked == 1 { "1 is".to_owned() } else { format!("{unasked} are") };
            let told = format!(
                "{} asked for fewer runs than the recording has: {others} of another test; record anew",
                settings.plugin
            );
            (Status::Failed, Vec::new(), Some(Failure::usage(told)))
        }
        (None, Ok(summary)) => (Status::Complete, summary, None),
        (None, Err(error)) => (Status::Failed, Vec::new(), Some(Failure::from(error))),
    };
    let message = failure.as_ref().map(Failure::message);
    let message = message
        .map(|text| if settings.private { private::message(text, &named(settings, path)) } else { text.to_owned() });
    (recorder.end(status, message, summary, now::now().to_string()), failure)
}

/// Paths and names of this invocation that a message may have in it.
fn named(settings: &RunSettings, recording: &Path) -> Vec<String> {
    let model = match &settings.model {
        ModelSettings::Gpt2(options) => options.model.clone(),
        ModelSettings::Simulated(_) => String::new(),
    };
    let folders = [std::env::current_dir().ok(), std::env::home_dir(), Some(recording.to_owned())];
    let folders = folders.into_iter().flatten().map(|folder| folder.display().to_string());
    // Of a bare name, nothing is private.
    let given = [settings.plugin.clone(), model].into_iter().filter(|given| given.contains(['/', '\\']));
    folders.chain(given).chain(facts::host_name()).collect()
}

/// How many of so many runs are in the file.
fn kept_runs(kept: &Kept, runs: usize) -> usize {
    match kept {
        Kept::All(_) | Kept::Anew { .. } | Kept::InMemory => runs,
        // Nobody knows what became of what went into a pipe or a device.
        Kept::Part { path, .. } if path.exists() && !path.is_file() => runs,
        Kept::Part { path, .. } if !path.is_file() => 0,
        Kept::Part { runs: there, .. } => (*there).min(runs),
    }
}

/// Of so many runs that were measured; `shown` is whether those that are in no file were.
fn what_is_kept(kept: &Kept, runs: usize, shown: bool) -> String {
    let (Kept::All(path) | Kept::Anew { path, .. } | Kept::Part { path, .. }) = kept else { return String::new() };
    if runs == 0 || (path.exists() && !path.is_file()) {
        return String::new();
    }
    let there = kept_runs(kept, runs);
    let path = visible_line(&path.display().to_string()).into_owned();
    let kept = match there {
        0 => format!("no finished run is kept in {path}"),
        1 => format!("1 finished run is kept in {path}"),
        there => format!("{there} finished runs are kept in {path}"),
    };
    let lost = runs - there;
    let is = if lost == 1 { "is" } else { "are" };
    match (lost, shown) {
        (0, _) => kept,
        (_, true) => {
            format!("{kept}; {} more could not be written, and {is} only in what is shown here", plural(lost, "run"))
        }
        (_, false) => format!("{kept}; {} more could not be written, and {is} lost", plural(lost, "run")),
    }
}
