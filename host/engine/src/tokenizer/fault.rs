//! What is wrong with a tokenizer, and which of its files is to blame.

use std::path::Path;

use tokenizers::Tokenizer as HuggingFace;

use crate::error::LoadError;
use crate::guarded::guarded;

/// The error for a file that can't be used.
pub(super) fn damaged(path: &Path, error: &str) -> LoadError {
    LoadError::Unusable(format!(
        "the tokenizer {} can't be used: {error}; copy it again from the model's source",
        path.display()
    ))
}

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

/// An error if the tokenizer has another number for a token than the folder.
pub(super) fn check_number(tokenizer: &HuggingFace, content: &str, number: u32) -> Result<(), String> {
    match tokenizer.token_to_id(content) {
        Some(found) if found == number => Ok(()),
        found => Err(format!(
            "its added token {content:?} should be number {number}, and its vocabulary makes it {}",
            found.map_or("none".to_owned(), |found| found.to_string())
        )),
    }
}
