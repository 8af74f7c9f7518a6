//! Which files of a model folder hold the weights, and what is said where none of them can be read.

use std::path::{Path, PathBuf};

use super::names::{CONFIG_FILE, WEIGHTS_FILE};
use super::shards::{INDEX_FILE, Shards};
use crate::error::LoadError;

/// Where a folder has its weights.
pub(crate) enum WeightFiles {
    /// All in one.
    One(PathBuf),
    /// In several, and which, an index says.
    Sharded { index: PathBuf, shards: Shards },
}

/// How much of a model a folder of the Hugging Face cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Weights that can be read, all files of them.
    All,
    /// Weights of a kind that can't be read.
    Other,
    /// Not all of its weights: a download that was cut off.
    Part,
}

/// Finds the weights of a folder.
pub(crate) fn weight_files(folder: &Path) -> Result<WeightFiles, LoadError> {
    let path = folder.join(WEIGHTS_FILE);
    if there(&path) {
        return Ok(WeightFiles::One(path));
    }
    let index = folder.join(INDEX_FILE);
    if there(&index) {
        return Shards::read(&index).map(|shards| WeightFiles::Sharded { index, shards });
    }
    let folder_name = folder.display();
    Err(LoadError::Unusable(match other(folder) {
        Some((file, why)) => format!(
            "the model folder {folder_name} has its weights only in {file}, {why}; load and save the model with \
             transformers and safe_serialization=True to get {WEIGHTS_FILE}"
        ),
        None => format!(
            "the model folder {folder_name} has no {WEIGHTS_FILE}; give a folder that has {CONFIG_FILE} and \
             {WEIGHTS_FILE}, as Hugging Face transformers saves them"
        ),
    }))
}

/// How much of a model there is.
pub(crate) fn holds(folder: &Path) -> Holds {
    match weight_files(folder) {
        Ok(WeightFiles::One(_)) => Holds::All,
        Ok(WeightFiles::Sharded { shards, .. }) => {
            let complete = shards.files().into_iter().all(|file| folder.join(file).exists());
            if complete { Holds::All } else { Holds::Part }
        }
        // An index that is damaged is said when it is read.
        Err(_) if there(&folder.join(INDEX_FILE)) => Holds::All,
        Err(_) if other(folder).is_some() => Holds::Other,
        Err(_) => Holds::Part,
    }
}

/// A file with weights of another kind, and why it isn't read.
fn other(folder: &Path) -> Option<(String, &'static str)> {
    let pickled = "which can run code when it is read";
    let named = [
        ("pytorch_model.bin", pickled),
        ("pytorch_model.bin.index.json", "whose files can run code when they are read"),
        ("tf_model.h5", "which is TensorFlow's format"),
        ("flax_model.msgpack", "which is Flax's format"),
    ];
    let found = named.into_iter().find(|(file, _)| there(&folder.join(file)));
    found.map(|(file, why)| (file.to_owned(), why)).or_else(|| {
        let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.ends_with(".gguf")).min().map(|file| (file, "which is llama.cpp's format"))
    })
}

/// Whether there is something of that name, and be it a link that leads nowhere: that is said when it is read.
fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
