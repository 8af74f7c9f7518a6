//! Recordings kept under a name, and how a side of a comparison is found.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use harness_core::Recording;
use harness_core::compare::Named;

use crate::advice::freeing;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::{files, places};

/// Says that a baseline is meant, and no file.
const PREFIX: &str = "baseline:";

/// The baselines of a folder of recordings.
pub(crate) struct Baselines {
    /// Or why there is none, which matters only to who needs one.
    folder: Result<PathBuf, Failure>,
}

impl Baselines {
    pub(crate) fn new(recordings: &Result<Destination, Failure>) -> Self {
        let folder = match recordings {
            Ok(recordings) => recordings.join("baselines").for_new(),
            Err(failure) => Err(failure.clone()),
        };
        Self { folder }
    }

    fn folder(&self) -> Result<&Path, Failure> {
        self.folder.as_deref().map_err(Clone::clone)
    }

    fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        Ok(self.folder()?.join(format!("{name}.jsonl")))
    }

    /// The baseline of that name, if there is one.
    fn kept(&self, name: &str) -> Result<Option<PathBuf>, Failure> {
        if !valid(name) {
            return Ok(None);
        }
        self.path(name).map(|path| Some(path).filter(|path| path.exists() && !path.is_symlink()))
    }

    /// Keeps a copy of the recording, and returns where, and what was read.
    pub(crate) fn save(&self, name: &str, recording: &Path, replace: bool) -> Result<(PathBuf, Recording), Failure> {
        if !valid(name) {
            return Err(Failure::usage(format!(
                "'{name}' can't name a baseline; use letters, digits, '.', '-' and '_', beginning with a letter or a digit"
            )));
        }
        let read = Recording::read(recording)?;
        if read.runs.is_empty() {
            return Err(Failure::Incomparable(format!(
                "{} has no finished run ({}), so nothing can be compared with it",
                recording.display(),
                read.status.as_str()
            )));
        }
        let path = self.path(name)?;
        let taken = || {
            Failure::usage(format!("there is a baseline '{name}'; --replace takes its place, or choose another name"))
        };
        match (self.kept(name)?, replace) {
            (Some(_), false) => return Err(taken()),
            (Some(there), true) if !files::is_recording(&there) => {
                return Err(Failure::usage(format!(
                    "{} is no recording, and --replace takes the place of nothing else; move it away, or choose another name",
                    there.display()
                )));
            }
            _ => {}
        }
        let failed = |error: std::io::Error| {
            let told = format!(
                "can't keep the baseline as {}: {error}; {}name another folder with HARNESS_RECORDINGS",
                path.display(),
                freeing(&error)
            );
            Failure::of_place(error.kind(), told)
        };
        std::fs::create_dir_all(self.folder()?).map_err(failed)?;
        match files::copy(recording, &path, replace) {
            // Another was a moment faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(taken()),
            copied => copied.map_err(failed)?,
        }
        Ok((path, read))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        let Some(path) = self.kept(name)? else { return Err(self.unknown(name)?) };
        std::fs::remove_file(&path)
            .map_err(|error| Failure::failed(format!("can't remove {}: {error}", path.display())))
    }

    /// Names and files, by name.
    pub(crate) fn list(&self) -> Result<Vec<(String, PathBuf)>, Failure> {
        let named = |path: PathBuf| Some((path.file_stem()?.to_str()?.to_owned(), path));
        let mut found: Vec<_> = places::list(self.folder()?)?.files.into_iter().filter_map(named).collect();
        found.retain(|(name, _)| valid(name));
        found.sort();
        Ok(found)
    }

    /// Reads what `side` names: `baseline:NAME`, a file, or a baseline where there is no such file.
    pub(crate) fn read(&self, side: &str) -> Result<Named, Failure> {
        let path = match side.strip_prefix(PREFIX) {
            Some(name) => match self.kept(name)? {
                Some(path) => path,
                None => return Err(self.unknown(name)?),
            },
            None if there(side) => PathBuf::from(side),
            None => self.kept(side)?.ok_or_else(|| {
                Failure::usage(format!(
                    "there is no recording '{side}' and no baseline of that name; `harness recordings` and \
                     `harness baseline list` show those there are"
                ))
            })?,
        };
        // A comparison takes one value a run.
        let recording = Recording::read(&path)?.without_samples();
        Ok(Named { path, recording })
    }

    fn unknown(&self, name: &str) -> Result<Failure, Failure> {
        let known: Vec<String> = self.list()?.into_iter().map(|(name, _)| name).collect();
        let known = match known.is_empty() {
            true => format!("there is none in {}", self.folder()?.display()),
            false => format!("there are: {}", known.join(", ")),
        };
        Ok(Failure::usage(format!("there is no baseline '{name}'; {known}; `harness baseline save NAME` keeps one")))
    }
}

/// Whether there is something of that name, if only a link that leads nowhere.
fn there(side: &str) -> bool {
    Path::new(side).symlink_metadata().is_ok()
}

/// Whether a name is a file's plain name, too. Nothing that starts with a dot is.
fn valid(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        assert!(["main", "v1.2", "2026-11-25_f16"].iter().all(|name| valid(name)));
        assert!(["", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "ä"].iter().all(|name| !valid(name)));
    }
}
