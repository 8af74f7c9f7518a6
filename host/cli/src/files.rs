//! Files that the user names: written whole or not at all, and never in the place of a recording.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use harness_core::temporaries::{Temporary, folder_of};
use harness_core::{Recording, input};

/// Puts `contents` in the place of what is at `path`, at once: who reads beside it, as node_exporter does, sees what was
/// there before or all of the new. A link's target is what is replaced; a pipe or a device is written to.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let path = match std::fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let there = match std::fs::metadata(&path) {
        Ok(there) if !there.is_file() => return std::fs::write(&path, contents),
        Ok(there) => {
            // A file that may not be written to is not replaced either.
            std::fs::OpenOptions::new().write(true).open(&path)?;
            Some(there.permissions())
        }
        Err(_) => None,
    };
    let mut new = match Temporary::beside(&path) {
        // One may write to a file in a folder that one may not write to.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && there.is_some() => {
            return std::fs::write(&path, contents);
        }
        new => new?,
    };
    new.write_all(contents)?;
    if let Some(permissions) = there {
        new.file().set_permissions(permissions)?;
    }
    new.put(&path, true)
}

/// Writes a file that is not there yet, whole or not at all; `AlreadyExists` if it is there.
pub(crate) fn create(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut new = Temporary::beside(path)?;
    new.write_all(contents)?;
    new.put(path, false)
}

/// Copies a file, whole or not at all; `AlreadyExists` if one is there and is not to be replaced.
pub(crate) fn copy(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    let mut new = Temporary::beside(to)?;
    // Something else may have taken its place since it was looked at.
    let from = input::open(from, Recording::MAX_BYTES).map_err(io::Error::other)?;
    io::copy(&mut from.take(Recording::MAX_BYTES), &mut new)?;
    new.put(to, replace)
}

/// Puts `contents` at `path`, at once, in the place of a file of this program's own; a link that lies there instead is not followed.
pub(crate) fn replace_own(path: &Path, contents: &[u8]) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(there) if !there.is_file() => Err(io::Error::new(ErrorKind::AlreadyExists, "what is there is no file")),
        _ => {
            let mut new = Temporary::beside(path)?;
            new.write_all(contents)?;
            new.put(path, true)
        }
    }
}

/// Whether a file could be put at `path`, of which nothing is changed.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => {
            Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder, and a file is wanted"))
        }
        // Opening a pipe waits for a reader.
        Ok(there) if !there.is_file() => Ok(()),
        Ok(_) => std::fs::OpenOptions::new().write(true).open(path).map(drop),
        Err(error) if error.kind() == ErrorKind::NotFound => Temporary::beside(path).map(drop),
        Err(error) => Err(error),
    }
}

/// Whether files could be put into the folder `path`, which need not be there.
pub(crate) fn check_folder(path: &Path) -> io::Result<()> {
    let there = path.ancestors().find(|folder| folder.symlink_metadata().is_ok());
    Temporary::in_folder(there.unwrap_or(Path::new("."))).map(drop)
}

/// Whether there is a recording at `path`, whole or not.
pub(crate) fn is_recording(path: &Path) -> bool {
    let mut start = Vec::new();
    input::open(path, u64::MAX).is_ok_and(|file| file.take(256).read_to_end(&mut start).is_ok())
        && String::from_utf8_lossy(&start).contains(r#""schema":"harness-recording/"#)
}

/// Whether both are one place, of which there need not be a file yet.
pub(crate) fn same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| -> Option<PathBuf> {
        if let Ok(whole) = std::fs::canonicalize(path) {
            return Some(whole);
        }
        Some(std::fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?))
    };
    one == other || place(one).is_some_and(|at| Some(at) == place(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_permissions_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, b"one").unwrap();
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let of = |path: &Path| std::fs::metadata(path).unwrap().permissions();
        assert_eq!(of(&path), of(&plain));
        #[cfg(unix)]
        {
            use std::os::unix::fs::{PermissionsExt, symlink};
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
            symlink(&path, folder.path().join("link")).unwrap();
            replace(&folder.path().join("link"), b"two").unwrap();
            assert_eq!(of(&path).mode() & 0o777, 0o640);
            assert!(folder.path().join("link").is_symlink());
            assert_eq!(std::fs::read(&path).unwrap(), b"two");
        }
        assert_eq!(create(&path, b"three").unwrap_err().kind(), ErrorKind::AlreadyExists);
        let left = std::fs::read_dir(folder.path()).unwrap();
        assert!(left.into_iter().all(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with('.')));
    }

    #[test]
    fn places_are_the_same_however_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(same(&at("new"), &folder.path().join(".").join("new")));
        assert!(!same(&at("new"), &at("other")));
        std::fs::write(at("there"), r#"{"type":"header","schema":"harness-recording/1""#).unwrap();
        assert!(is_recording(&at("there")) && !is_recording(&at("new")) && !is_recording(folder.path()));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("there"), at("link")).unwrap();
            assert!(same(&at("link"), &at("there")) && is_recording(&at("link")));
        }
    }
}
