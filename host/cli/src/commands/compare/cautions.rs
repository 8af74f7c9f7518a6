//! What the reader of a comparison should know of its recordings before they trust it.

use harness_core::compare::Named;
use harness_core::{Warning, format};

use crate::log::tell;

/// Two recordings of a side whose figures are the same in every run: no two measurements are.
pub(super) fn repeated(side: &[Named]) -> Option<String> {
    let again = |(at, named): (usize, &Named)| {
        let first = side.iter().take(at).find(|other| other.recording.runs == named.recording.runs)?;
        Some(format!(
            "{} and {} have the same figures to the last digit, as the simulated model gives for one --seed: together they say \
             no more than one of them",
            first.path.display(),
            named.path.display()
        ))
    };
    side.iter().enumerate().find_map(again)
}

/// Says what the reader should know of a recording before they trust it.
pub(in crate::commands) fn warn(named: &Named) {
    for caution in cautions(named, |_| true) {
        tell(&format!("warning: {caution}"));
    }
}

/// What of a recording is not there, and which warnings its runs give reason for.
pub(super) fn cautions(named: &Named, which: fn(&Warning) -> bool) -> Vec<String> {
    let (path, recording) = (named.path.display(), &named.recording);
    let mut said = recording.notes.clone();
    if !named.is_complete() && !recording.runs.is_empty() {
        let runs = format::plural(recording.runs.len(), "finished run");
        said.push(format!("{path} is {}: only its {runs} count", recording.status.as_str()));
    }
    said.extend(
        Warning::of(recording).iter().filter(|warning| which(warning)).map(|warning| format!("{path}: {warning}")),
    );
    said
}
