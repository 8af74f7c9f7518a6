//! Where files lie.

use std::path::PathBuf;
use std::time::SystemTime;

use harness_core::input::Fault;
use harness_core::recording::RecordingError;

/// The user's folder for recordings: `HARNESS_RECORDINGS`, else the XDG data folder.
pub(crate) fn recordings() -> PathBuf {
    named("HARNESS_RECORDINGS")
        .unwrap_or_else(|| xdg("XDG_DATA_HOME", ".local/share").join("harness").join("recordings"))
}

/// The folder for compiled plugins.
pub(crate) fn cache() -> PathBuf {
    xdg("XDG_CACHE_HOME", ".cache").join("harness").join("plugins")
}

/// The user's folder for what was fetched from registries: `HARNESS_ARTIFACTS`, else in the XDG cache folder.
pub(crate) fn artifacts() -> PathBuf {
    named("HARNESS_ARTIFACTS").unwrap_or_else(|| xdg("XDG_CACHE_HOME", ".cache").join("harness").join("artifacts"))
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

fn xdg(variable: &str, fallback: &str) -> PathBuf {
    named(variable).unwrap_or_else(|| std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default().join(fallback))
}

/// The recordings in a folder, newest first. A folder that isn't there has none.
pub(crate) fn list(folder: &std::path::Path) -> Result<Vec<PathBuf>, RecordingError> {
    let failed = |error| RecordingError::Read { path: folder.to_owned(), source: Fault::System(error) };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            // A file that vanishes between the two calls is simply not there.
            let Ok(metadata) = entry.metadata() else { continue };
            found.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), path));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}
