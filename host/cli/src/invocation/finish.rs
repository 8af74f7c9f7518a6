//! Ends the recording, shows it, and says where it is: after looking.

use std::path::Path;
use std::sync::Arc;

use harness_core::format::plural;
use harness_core::session::Broken;
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
    if failure.is_none() || !recording.runs.is_empty() {
        for report in &prepared.reports {
            match report.deliver(&recording, &settings.limits, Arc::<PluginLog>::clone(&log)) {
                Ok(()) => {}
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
        Some(failure) => Err(failure.and(&what_is_kept(&kept, recording.runs.len()))),
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

/// Of so many runs that were measured.
fn what_is_kept(kept: &Kept, runs: usize) -> String {
    let (there, path) = match kept {
        Kept::All(path) | Kept::Anew { path, .. } => (runs, path),
        Kept::Part { path, runs, .. } => (*runs, path),
        Kept::InMemory => return String::new(),
    };
    // Nobody knows what became of what went into a pipe or a device.
    if !path.is_file() {
        return String::new();
    }
    let path = path.display();
    let lost = match runs - there.min(runs) {
        0 => String::new(),
        lost => format!(
            "; {} more could not be written, and {} only in what is shown here",
            plural(lost, "run"),
            if lost == 1 { "is" } else { "are" }
        ),
    };
    match there {
        0 if lost.is_empty() => String::new(),
        1 => format!("1 finished run is kept in {path}{lost}"),
        there => format!(
            "{} kept in {path}{lost}",
            if there == 0 { "no finished run is".into() } else { format!("{there} finished runs are") }
        ),
    }
}
