//! What was fetched, kept under its digest as an OCI image layout keeps blobs: `sha256/<hex>`. What is read is checked again.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::layout::MOST_COMPONENT;

/// A folder.
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
        let path = self.path(digest);
        let failed = |source| RegistryError::Cache { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        // No more is ever put there, so a longer file has another digest anyway.
        file.take(MOST_COMPONENT + 1).read_to_end(&mut bytes).map_err(failed)?;
        match Digest::of(&bytes) {
            found if found == *digest => Ok(Some(bytes)),
            found => Err(RegistryError::Damaged { path, found: found.to_string() }),
        }
    }

    /// Keeps bytes that were checked. Who reads meanwhile sees all of them or none.
    pub(crate) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), RegistryError> {
        let path = self.path(digest);
        let failed = |source| RegistryError::Cache { path: path.clone(), source };
        let folder = self.folder.join("sha256");
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
        let cache = Cache::new(folder.path().join("file"));
        let error = cache.put(&Digest::of(b""), b"").unwrap_err().to_string();
        assert!(error.contains("HARNESS_ARTIFACTS"), "{error}");
    }
}
