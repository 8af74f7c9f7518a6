//! What is wrong with a tokenizer, and which of its files is to blame.

use std::path::Path;

use super::files::damaged;
use crate::error::LoadError;
use crate::guarded::guarded;

/// A fault of one of a folder's files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) file: &'static str,
    pub(super) what: String,
}

impl Fault {
    /// For `map_err`.
    pub(super) fn in_file(file: &'static str) -> impl FnOnce(String) -> Self {
        move |what| Self { file, what }
    }

    pub(super) fn of(self, folder: &Path) -> LoadError {
        damaged(&folder.join(self.file), &self.what)
    }
}

/// Calls what may panic in the library, which is then a fault of that file.
pub(super) fn caught<T>(file: &'static str, call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    guarded(|| Ok(call())).unwrap_or_else(|what| Err(Fault { file, what }))
}
