//! The files of tokenizers that are none of ours, by their names.

use std::path::Path;

/// Names that other kinds have.
const NAMES: [&str; 4] = ["vocab.txt", "tekken.json", "vocab.bpe", "encoder.json"];
/// Ends of names: of SentencePiece's models and of tiktoken's ranks.
const ENDS: [&str; 3] = [".model", ".spm", ".tiktoken"];

/// Whether a file of that name is a tokenizer of another kind.
pub(crate) fn is_of_another_kind(name: &str) -> bool {
    NAMES.contains(&name) || ENDS.iter().any(|end| name.len() > end.len() && name.ends_with(end))
}

/// The first such file of a folder by name.
pub(crate) fn find(folder: &Path) -> Option<String> {
    let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| is_of_another_kind(name)).min()
}
