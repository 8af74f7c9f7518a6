//! Where files lie. Only absolute places count: what lies in the present folder may be a stranger's.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use harness_core::input::Fault;
use harness_core::recording::RecordingError;

/// The user's folder for recordings: `HARNESS_RECORDINGS`, else in the XDG data folder.
pub(crate) fn recordings() -> Option<PathBuf> {
    named("HARNESS_RECORDINGS").or_else(|| Some(data()?.join("recordings")))
}

/// The folder for compiled plugins.
pub(crate) fn cache() -> Option<PathBuf> {
    Some(xdg("XDG_CACHE_HOME", ".cache")?.join("plugins"))
}

/// The user's folder for what was fetched from registries: `HARNESS_ARTIFACTS`, else in the XDG cache folder, if there is one. An
/// error where it would depend on the present folder.
pub(crate) fn artifacts() -> Result<Option<PathBuf>, String> {
    match named("HARNESS_ARTIFACTS") {
        Some(folder) if folder.is_absolute() => Ok(Some(folder)),
        Some(folder) => Err(format!(
            "HARNESS_ARTIFACTS is {}, and code is kept in no folder that depends on where harness is run; give an absolute path",
            folder.display()
        )),
        None => Ok(xdg("XDG_CACHE_HOME", ".cache").map(|folder| folder.join("artifacts"))),
    }
}

/// The user's own configuration.
pub(crate) fn configuration() -> Option<PathBuf> {
    Some(xdg("XDG_CONFIG_HOME", ".config")?.join("config.toml"))
}

/// What is remembered of files that were written for configurations that were found.
pub(crate) fn written() -> Option<PathBuf> {
    Some(data()?.join("written"))
}

fn data() -> Option<PathBuf> {
    xdg("XDG_DATA_HOME", ".local/share")
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// This program's folder in one of the XDG base directories, which ignore a path that is relative.
fn xdg(variable: &str, fallback: &str) -> Option<PathBuf> {
    base(named(variable), named("HOME"), fallback).map(|base| base.join("harness"))
}

fn base(named: Option<PathBuf>, home: Option<PathBuf>, fallback: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    named.filter(absolute).or_else(|| Some(home.filter(absolute)?.join(fallback)))
}

/// What has a recording's name in a folder.
#[derive(Default)]
pub(crate) struct Listed {
    /// The newest first.
    pub(crate) files: Vec<PathBuf>,
    /// A link in a folder that came from somewhere leads to what is not the folder's.
    pub(crate) links: Vec<PathBuf>,
}

/// What has a recording's name in a folder. In one that isn't there is nothing.
pub(crate) fn list(folder: &Path) -> Result<Listed, RecordingError> {
    let failed = |error| RecordingError::Read { path: folder.to_owned(), source: Fault::System(error) };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Listed::default()),
        Err(error) => return Err(failed(error)),
    };
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    let mut links = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            // A file that vanishes between the two calls is simply not there.
            let Ok(metadata) = entry.metadata() else { continue };
            match metadata.is_symlink() {
                true => links.push(path),
                false => found.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), path)),
            }
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    links.sort();
    Ok(Listed { files: found.into_iter().map(|(_, path)| path).collect(), links })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_folders_count() {
        let of = |named: Option<&str>, home: Option<&str>| {
            base(named.map(PathBuf::from), home.map(PathBuf::from), ".cache").map(|path| path.display().to_string())
        };
        assert_eq!(of(Some("/x"), Some("/home/me")).as_deref(), Some("/x"));
        for relative in [None, Some("."), Some("cache"), Some("./cache"), Some("../cache"), Some("~/cache")] {
            assert_eq!(of(relative, Some("/home/me")).as_deref(), Some("/home/me/.cache"), "{relative:?}");
            assert_eq!(of(relative, None), None, "{relative:?}");
            assert_eq!(of(relative, Some("here")), None, "{relative:?}");
        }
    }
}
