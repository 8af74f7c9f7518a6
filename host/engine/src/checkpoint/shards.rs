//! A checkpoint whose weights lie in several files: which they are, as its index has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use harness_core::format::count;
use harness_core::{input, keyed};
use serde::Deserialize;

use super::lfs;
use crate::error::LoadError;

/// The index's file in a model folder.
pub(crate) const INDEX_FILE: &str = "model.safetensors.index.json";

/// The most bytes of an index; those of models with 600 billion parameters have 9 MB.
pub(crate) const MAX_BYTES: u64 = 32 << 20;
/// The most files; transformers makes one for every 5 GB at first.
const MAX_FILES: usize = 4096;

/// Which tensor lies in which file.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Shards {
    /// A file's name by a tensor's.
    pub(crate) weight_map: BTreeMap<String, String>,
}

impl Shards {
    /// Reads an index. Each file that it names lies in the index's own folder and ends in `.safetensors`.
    pub(crate) fn read(index: &Path) -> Result<Self, LoadError> {
        let bytes = input::read(index, MAX_BYTES).map_err(|error| damaged(index, &error.fault.to_string()))?;
        lfs::refuse_pointer(index, &bytes)?;
        Self::parse(&bytes).map_err(|error| damaged(index, &error))
    }

    fn parse(json: &[u8]) -> Result<Self, String> {
        let shards: Self = keyed::document(json).map_err(|error| error.to_string())?;
        let files = shards.files();
        if files.is_empty() {
            return Err("its weight_map names no file".into());
        }
        if files.len() > MAX_FILES {
            return Err(format!("its weight_map names more than {} files", count(MAX_FILES as u64)));
        }
        if let Some(file) = files.into_iter().find(|file| !is_plain(file)) {
            // Shown as Rust writes it: it can hold anything.
            return Err(format!(
                "its weight_map names the file {:?}, and only names like model-00001-of-00002.safetensors are followed",
                file.chars().take(200).collect::<String>()
            ));
        }
        Ok(shards)
    }

    /// The names of the files, each once and in order.
    pub(crate) fn files(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

/// Whether it is the name of a file in the same folder on every system.
fn is_plain(file: &str) -> bool {
    file.len() <= 200
        && !file.starts_with(['.', '-'])
        && file.strip_suffix(".safetensors").is_some_and(|stem| !stem.is_empty())
        && file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn damaged(index: &Path, error: &str) -> LoadError {
    LoadError::Unusable(format!(
        "the index {} can't be used: {error}; copy it again from the model's source",
        index.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_each_of_its_files_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(INDEX_FILE);
        let json = r#"{"metadata": {"total_size": 9}, "weight_map": {
            "wte.weight": "model-00002-of-00002.safetensors", "wpe.weight": "model-00001-of-00002.safetensors",
            "ln_f.weight": "model-00002-of-00002.safetensors"}}"#;
        std::fs::write(&path, json).unwrap();
        let shards = Shards::read(&path).unwrap();
        let files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        assert_eq!(shards.files().into_iter().collect::<Vec<_>>(), files);
        assert_eq!(shards.weight_map["wte.weight"], files[1]);
    }

    #[test]
    fn an_index_that_leads_elsewhere_or_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(INDEX_FILE);
        for name in [
            "../model.safetensors",
            "/etc/model.safetensors",
            "a/b.safetensors",
            r"a\b.safetensors",
            "C:x.safetensors",
            ".safetensors",
            ".x.safetensors",
            "-x.safetensors",
            "pytorch_model.bin",
            "model.safetensors\0",
            "\u{202e}.safetensors",
            "",
            &format!("{}.safetensors", "x".repeat(200)),
        ] {
            std::fs::write(&path, serde_json::json!({"weight_map": {"a": name}}).to_string()).unwrap();
            let error = Shards::read(&path).unwrap_err().to_string();
            assert!(error.contains("only names like model-00001-of-00002.safetensors"), "{name}: {error}");
            assert!(error.starts_with(&format!("the index {} can't be used", path.display())), "{error}");
            assert!(!error.contains('\u{202e}') && !error.contains('\0'), "{error}");
        }
        for (json, why) in [
            ("{}", "missing field `weight_map`"),
            ("{", "EOF"),
            (r#"{"weight_map": {}}"#, "names no file"),
            (r#"{"weight_map": {"a": 1}}"#, "invalid type"),
        ] {
            std::fs::write(&path, json).unwrap();
            let error = Shards::read(&path).unwrap_err().to_string();
            assert!(error.contains(why), "{json}: {error}");
        }
        let many: BTreeMap<_, _> = (0..=MAX_FILES).map(|n| (n.to_string(), format!("{n}.safetensors"))).collect();
        let error = Shards::parse(serde_json::json!({ "weight_map": many }).to_string().as_bytes()).unwrap_err();
        assert_eq!(error, "its weight_map names more than 4,096 files");
        std::fs::File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(Shards::read(&path).unwrap_err().to_string().contains("33,554,433 bytes"));
        std::fs::remove_file(&path).unwrap();
        assert!(Shards::read(&path).is_err());
    }
}
