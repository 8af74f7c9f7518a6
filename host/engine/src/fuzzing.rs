//! What the fuzz targets in `tests/fuzz` reach of this crate beside its public parts.

use std::path::Path;
use std::sync::Arc;

use harness_core::Tokenizer;

use crate::checkpoint::{self, Config};
use crate::error::LoadError;
use crate::options::DTypeChoice;

/// Reads a `config.json`.
pub fn config(path: &Path) -> Result<Config, LoadError> {
    Config::read(path)
}

/// Reads the architecture and the weights of a folder; returns the sha256 of the weights.
pub fn weights(folder: &Path, dtype: Option<DTypeChoice>) -> Result<String, LoadError> {
    checkpoint::load(folder, dtype).map(|loaded| loaded.sha256)
}

/// The tokenizer of a folder.
pub fn tokenizer(folder: &Path) -> Result<Arc<dyn Tokenizer>, LoadError> {
    crate::tokenizer::of_folder(folder).map(|(tokenizer, _)| tokenizer)
}
