//! Goes on with the recording of a test that did not come to its end.

use std::path::Path;

use harness_core::compare::{self, Difference};
use harness_core::format::plural;
use harness_core::recording::RecordingError;
use harness_core::text::visible_line;
use harness_core::{Facts, Recorder, Recording, Status};

use crate::failure::Failure;
use crate::progress::Screen;

/// Refuses what can't be gone on with, before a model is loaded.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    match Recording::read(path)?.status {
        Status::Complete => Err(RecordingError::Complete { path: path.to_owned() }.into()),
        _ => Ok(()),
    }
}

/// The recording, if what is to be measured now is what it lacks; `facts` are those of this invocation.
pub(super) fn reopen(path: &Path, facts: &Facts, screen: &Screen) -> Result<Recorder, Failure> {
    let recorded = Recording::read_facts(path)?;
    let changed = compare::changed(&recorded, facts);
    if !changed.work.is_empty() {
        return Err(Failure::Usage(format!(
            "{} is of another test:\n{}\ngive the settings that it was recorded with, or record anew",
            visible_line(&path.display().to_string()),
            listed(&changed.work)
        )));
    }
    if !changed.conditions.is_empty() {
        screen.insist_lines(&format!(
            "warning: the runs that {} has were not measured under the conditions of now, so a difference between them and the others may \
             be theirs:\n{}",
            visible_line(&path.display().to_string()),
            listed(&changed.conditions)
        ));
    }
    let recorder = Recorder::reopen(path)?;
    let runs = plural(recorder.recording().runs.len(), "run");
    screen.say(&format!("going on with {}, which has {runs}", path.display()));
    Ok(recorder)
}

/// A line each.
fn listed(differences: &[Difference]) -> String {
    let shown = |value: &Option<String>| {
        value.as_deref().map_or("none".to_owned(), |value| format!("'{}'", visible_line(value)))
    };
    let line = |difference: &Difference| {
        let Difference { fact, base, new } = difference;
        format!("  {}: {} now, {} there", visible_line(fact), shown(new), shown(base))
    };
    differences.iter().map(line).collect::<Vec<_>>().join("\n")
}
