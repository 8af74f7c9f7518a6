//! The recordings of a folder, by when what they record was started: a copy or a touch makes no recording newer.

use std::path::{Path, PathBuf};

use harness_core::Recording;
use harness_core::text::visible_line;

use crate::failure::Failure;
use crate::log::tell;
use crate::places;

/// The most bytes of memory that recordings take that are looked at together, their samples left out.
pub(crate) const MAX_TOGETHER: u64 = 128 << 20;

/// How many files that are passed over are named.
const MOST_NAMED: usize = 5;

/// Those of a folder, the newest first. What lies there and is none is told of. A folder that isn't there has none.
pub(crate) fn of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut none = Vec::new();
    let places::Listed { files, links } = places::list(folder)?;
    for path in files {
        match Recording::read_facts(&path) {
            Ok(facts) => found.push((facts.get("start").and_then(|start| start.parse::<jiff::Timestamp>().ok()), path)),
            Err(error) => none.push(error.to_string()),
        }
    }
    none.extend(
        links
            .iter()
            .map(|link| format!("{} is a link; name it to have it read", visible_line(&link.display().to_string()))),
    );
    // Of those without a start, the newest file is first, behind all others.
    found.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
    for error in none.iter().take(MOST_NAMED) {
        tell(&format!("warning: passed over: {error}"));
    }
    if none.len() > MOST_NAMED {
        tell(&format!("warning: {} more files there are no recordings", none.len() - MOST_NAMED));
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The newest recording of a folder; an error where there is none.
pub(crate) fn latest(folder: &Path) -> Result<PathBuf, Failure> {
    let latest = of(folder)?.into_iter().next().ok_or_else(|| {
        Failure::usage(format!(
            "there is no recording in {}; `harness run --quick` makes one, or name a file",
            folder.display()
        ))
    })?;
    let start =
        Recording::read_facts(&latest).ok().and_then(|facts| facts.get("start")?.parse::<jiff::Timestamp>().ok());
    if let Some(start) = start.filter(|start| *start > crate::now::now()) {
        tell(&format!(
            "warning: the latest recording, {}, says that it was started at {start}, which is still to come: a clock was wrong; name \
             another file if you mean one",
            latest.display()
        ));
    }
    Ok(latest)
}
