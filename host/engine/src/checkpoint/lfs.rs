//! What Git LFS leaves in a file's place until it has fetched the file.

use std::path::Path;

use crate::error::LoadError;

/// What each of these pointers starts with (git-lfs, docs/spec.md).
const START: &[u8] = b"version https://git-lfs.github.com/spec/";

/// An error if the bytes of the file are a pointer of Git LFS.
pub(crate) fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    if !bytes.starts_with(START) {
        return Ok(());
    }
    Err(LoadError::Unusable(format!(
        "{} is a Git LFS pointer and not the file itself; run `git lfs pull` in its folder, or download the file",
        path.display()
    )))
}
