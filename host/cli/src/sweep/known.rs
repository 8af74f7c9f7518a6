//! A point of a sweep, and what is known of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness_core::Recording;
use harness_core::compare::{self, Unlike};
use harness_core::recording::Status;
use harness_core::text::visible_line;

use super::axes::Point;
use crate::failure::Failure;
use crate::files;
use crate::progress::Screen;
use crate::settings::{Recording as Place, RunSettings};

/// A point and what is known of it.
pub(super) struct Known {
    pub(super) point: Point,
    /// All settings of the workload at this point.
    pub(super) values: Vec<(String, String)>,
    pub(super) path: PathBuf,
    /// Settings for this point alone.
    pub(super) settings: RunSettings,
    pub(super) recording: Option<Arc<Recording>>,
    pub(super) failure: Option<Failure>,
}

impl Known {
    /// Whether the recording is of this point, whatever its file is called.
    pub(super) fn is_in(&self, recording: &Recording) -> bool {
        let swept = |name: &str| self.point.0.iter().any(|(swept, _)| swept == name);
        let has = |(name, value): &(String, String)| recording.facts.get(&format!("setting.{name}")) == Some(value);
        // What is private of a setting is not in the recording.
        self.settings.private || self.values.iter().filter(|(name, _)| swept(name)).all(has)
    }

    /// Whether its file has runs of it, and no end.
    pub(super) fn is_resumable(&self) -> bool {
        let is_file = self.path.symlink_metadata().is_ok_and(|there| there.is_file());
        let there = is_file.then(|| Recording::read(&self.path).ok()).flatten();
        there.is_some_and(|there| {
            there.status != Status::Complete && there.runs.iter().any(|run| run.plan.is_some()) && self.is_in(&there)
        })
    }

    /// Its settings, to go on with its file.
    pub(super) fn resumed(&self) -> RunSettings {
        let mut settings = self.settings.clone();
        if let Place::At(place) = settings.recording {
            settings.recording = Place::Resumed(place);
        }
        settings
    }

    /// Whether it was recorded, and its file does not have that any more.
    pub(super) fn is_gone(&self) -> bool {
        let there = |recording: &Arc<Recording>| {
            finished(&self.path)
                .is_some_and(|there| there.facts == recording.facts && there.runs.len() == recording.runs.len())
        };
        self.recording.as_ref().is_some_and(|recording| !there(recording))
    }
}

/// The recording of a point that is done. What can't be read is no finished point; it is set aside.
pub(super) fn finished(path: &Path) -> Option<Recording> {
    // A link there leads to what is not this point's.
    let is_file = path.symlink_metadata().is_ok_and(|there| there.is_file());
    let recording = is_file.then(|| Recording::read(path).ok()).flatten()?;
    (recording.status == Status::Complete).then(|| recording.without_samples())
}

/// Says what the points were not measured alike in, if there is more of it than was told: a sweep may go on on another machine,
/// or after an update.
pub(super) fn tell_unlike(known: &[Known], told: &mut Vec<(String, Option<String>)>, screen: &Screen) {
    let done: Vec<_> = known.iter().filter_map(|point| Some((&point.point, point.recording.as_deref()?))).collect();
    let unlike = compare::unlike(done.iter().map(|(_, recording)| *recording));
    let values =
        unlike.iter().flat_map(|unlike| unlike.values.iter().map(|(value, _)| (unlike.fact.clone(), value.clone())));
    let new: Vec<_> = values.filter(|value| !told.contains(value)).collect();
    if new.is_empty() {
        return;
    }
    told.extend(new);
    let group = |(value, places): &(Option<String>, Vec<usize>)| {
        let value = value.as_deref().map_or("none".to_owned(), |value| format!("'{}'", visible_line(value)));
        let first = places.first().and_then(|&place| done.get(place)).map(|(point, _)| point.to_string());
        let more = match places.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{value} at {}{more}", visible_line(&first.unwrap_or_default()))
    };
    let line = |unlike: &Unlike| {
        format!("  {}: {}", visible_line(&unlike.fact), unlike.values.iter().map(group).collect::<Vec<_>>().join("; "))
    };
    screen.insist_lines(&format!(
        "warning: these points were not all measured under the same conditions, so what differs between them may not be the settings' doing:\n{}\n\
         another folder, named with --recording, has all of them measured anew; without the files of some points, this one has those",
        unlike.iter().map(line).collect::<Vec<_>>().join("\n")
    ));
}

/// Keeps what there is of a point that is run again.
pub(super) fn set_aside(path: &Path, screen: &Screen) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    if path.is_symlink() || !files::is_recording(path) {
        return Err(Failure::usage(format!(
            "{} is in the place of a point's recording, and is none; move it away, or name another folder with --recording",
            path.display()
        )));
    }
    let free = (1..u32::MAX).map(|number| path.with_extension(format!("jsonl.{number}"))).find(|path| !path.exists());
    let Some(free) = free else { return Ok(()) };
    std::fs::rename(path, &free)
        .map_err(|error| Failure::failed(format!("can't set {} aside: {error}; move it yourself", path.display())))?;
    screen.say(&format!(
        "{} is not finished, or another point's: kept as {}, and run again",
        path.display(),
        free.display()
    ));
    Ok(())
}
