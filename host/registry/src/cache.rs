//! What was fetched, kept under its digest as an OCI image layout keeps blobs: `sha256/<hex>`. What is read is checked again.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use harness_core::temporaries::Temporary;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::file::{self, Unread};
use crate::layout::MOST_COMPONENT;
use crate::private_folder::{FolderError, private_folder};

/// A folder of this user alone.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where what has this digest lies, or would.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("sha256").join(digest.hex())
    }

    /// What has this digest, if it is here.
    pub(crate) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, RegistryError> {
        // Nothing is made only to look into it.
        let is_missing = |error: std::io::Error| error.kind() == ErrorKind::NotFound;
        if self.folder.is_absolute() && self.folder.symlink_metadata().is_err_and(is_missing) {
            return Ok(None);
        }
        private_folder(&self.folder)?;
        let path = self.path(digest);
        let bytes = match file::read(&path, MOST_COMPONENT, false) {
            Ok(bytes) => bytes,
            Err(Unread::System(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // No more is ever put there.
            Err(error @ Unread::TooLong(_)) => return Err(RegistryError::Damaged { path, what: error.to_string() }),
            Err(error) => return Err(RegistryError::Cache { path, source: error.into() }),
        };
        match Digest::of(&bytes) {
            found if found == *digest => Ok(Some(bytes)),
            found => Err(RegistryError::Damaged { path, what: format!("its digest is {found}") }),
        }
    }

    /// Keeps bytes that were checked. Who reads meanwhile sees all of them or none.
    pub(crate) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), RegistryError> {
        private_folder(&self.folder)?;
        let path = self.path(digest);
        let failed = |source| RegistryError::Cache { path: path.clone(), source };
        let folder = self.folder.join("sha256");
        private_folder(&folder)?;
        let mut file = Temporary::private_in(&folder).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.put(&path, true).map_err(failed)
    }
}

impl From<FolderError> for RegistryError {
    fn from(error: FolderError) -> Self {
        Self::Folder(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_kept_is_found_and_checked_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("not/there/yet"));
        let digest = Digest::of(b"component");
        assert!(cache.get(&digest).unwrap().is_none());
        cache.put(&digest, b"component").unwrap();
        cache.put(&digest, b"component").unwrap();
        assert_eq!(cache.get(&digest).unwrap().unwrap(), b"component");
        // Nothing half-written stays.
        assert_eq!(fs::read_dir(cache.path(&digest).parent().unwrap()).unwrap().count(), 1);
        // Nor what a killed process left, once something is put there again.
        let left = cache.path(&digest).with_file_name(".harness-aB3dE6.new");
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
        fs::File::create(&left).unwrap().set_modified(long_ago).unwrap();
        cache.put(&digest, b"component").unwrap();
        assert!(!left.exists());

        for changed in ["componeNt", "comp", "a longer one", ""] {
            fs::write(cache.path(&digest), changed).unwrap();
            let error = cache.get(&digest).unwrap_err().to_string();
            let path = cache.path(&digest).display().to_string();
            assert!(error.contains(&path) && error.contains("its digest is sha256:"), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_none_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for named in [folder.path().join("file"), PathBuf::from("relative"), PathBuf::new()] {
            let cache = Cache::new(named);
            let digest = Digest::of(b"");
            for error in [cache.put(&digest, b"").unwrap_err(), cache.get(&digest).unwrap_err()] {
                assert!(error.to_string().contains("HARNESS_ARTIFACTS"), "{error}");
            }
        }
        assert!(!std::path::Path::new("relative").exists());
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_taken_from_what_others_can_write_and_nothing_but_files() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

        let place = tempfile::tempdir().unwrap();
        let cache = Cache::new(place.path().join("cache"));
        let digest = Digest::of(b"component");
        cache.put(&digest, b"component").unwrap();
        assert_eq!(cache.folder.metadata().unwrap().mode() & 0o7777, 0o700);
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o777)).unwrap();
        for error in [cache.get(&digest).unwrap_err(), cache.put(&digest, b"component").unwrap_err()] {
            assert!(error.is_usage() && error.to_string().contains("other users can write into the folder"), "{error}");
        }
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(cache.get(&digest).unwrap().is_some());

        let path = cache.path(&digest);
        fs::rename(&path, place.path().join("moved")).unwrap();
        symlink(place.path().join("moved"), &path).unwrap();
        assert!(matches!(cache.get(&digest), Err(RegistryError::Cache { .. })));
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(cache.get(&digest).unwrap_err().to_string().contains("no regular file"));
        fs::remove_file(&path).unwrap();
        fs::File::create(&path).unwrap().set_len(20 << 30).unwrap();
        assert!(matches!(cache.get(&digest), Err(RegistryError::Damaged { .. })));
    }
}
