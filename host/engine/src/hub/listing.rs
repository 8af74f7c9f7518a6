//! What the hub says there is of a model, and which of it is wanted.

use harness_core::keyed;
use serde::Deserialize;

use crate::checkpoint::shards::INDEX_FILE;
use crate::checkpoint::{CONFIG_FILE, WEIGHTS_FILE};
use crate::hub::environment::is_plain;
use crate::tokenizer::other::is_of_another_kind;

/// The most bytes of a listing.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// Small files that a model may have, with their most bytes. What can't be used is fetched as well: it is known then that it is there.
const OPTIONAL: [(&str, u64); 7] = [
    ("generation_config.json", 1 << 20),
    ("tokenizer_config.json", 16 << 20),
    ("special_tokens_map.json", 16 << 20),
    ("added_tokens.json", 16 << 20),
    ("tokenizer.json", 16 << 20),
    ("vocab.json", 16 << 20),
    ("merges.txt", 16 << 20),
];
/// The most bytes of a tokenizer of another kind.
const MAX_OTHER: u64 = 64 << 20;

/// A model at one commit.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    sha: String,
    #[serde(default, deserialize_with = "keyed::list")]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

/// In how many files the weights lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    One,
    Several,
}

impl Listing {
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let listing: Self = keyed::document(json).map_err(|error| format!("it is no list of files ({error})"))?;
        // It becomes a folder's name.
        match listing.sha.len() == 40 && listing.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => Ok(listing),
            false => Err("it names no commit".into()),
        }
    }

    pub(super) fn commit(&self) -> &str {
        &self.sha
    }

    pub(super) fn has(&self, file: &str) -> bool {
        self.siblings.iter().any(|sibling| sibling.rfilename == file)
    }

    /// The small files beside `config.json` that there are.
    pub(super) fn optional(&self) -> impl Iterator<Item = (&str, u64)> {
        let names = self.siblings.iter().map(|sibling| sibling.rfilename.as_str());
        // It becomes a file's name. One that is ours is enough.
        let others = names.filter(|name| {
            is_plain(name) && is_of_another_kind(name) && !self.has("tokenizer.json") && !self.has("vocab.json")
        });
        OPTIONAL.into_iter().filter(|(file, _)| self.has(file)).chain(others.map(|name| (name, MAX_OTHER)))
    }

    /// How the weights lie, or why they can't be used: a sentence that goes on from the model's name.
    pub(super) fn weights(&self) -> Result<Weights, String> {
        let any = |test: &dyn Fn(&str) -> bool| self.siblings.iter().any(|sibling| test(&sibling.rfilename));
        if !self.has(CONFIG_FILE) {
            return Err(if self.has("adapter_config.json") {
                "it is an adapter for another model (adapter_config.json), and only whole models can be used; merge \
                 the two with peft's merge_and_unload(), save that with transformers, and give its folder"
                    .into()
            } else {
                format!("it has no {CONFIG_FILE}, so it is no model of Hugging Face transformers; check the id")
            });
        }
        if self.has(WEIGHTS_FILE) {
            return Ok(Weights::One);
        }
        if self.has(INDEX_FILE) {
            return Ok(Weights::Several);
        }
        let pickled = |file: &str| file.starts_with("pytorch_model") && file.ends_with(".bin");
        Err(if any(&pickled) {
            format!(
                "it has its weights as pytorch_model.bin only, which can run code when it is read, and no {WEIGHTS_FILE}; \
                 load it with transformers, save it with save_pretrained, and give that folder"
            )
        } else if any(&|file| file.ends_with(".gguf")) {
            format!("it has its weights as GGUF only, and no {WEIGHTS_FILE}; use the model that it was made from")
        } else if any(&|file| file.ends_with(".safetensors")) {
            format!(
                "it has safetensors of other names, and neither {WEIGHTS_FILE} nor {INDEX_FILE}; load it with \
                 transformers, save it with save_pretrained, and give that folder"
            )
        } else {
            format!("it has no weights in safetensors ({WEIGHTS_FILE} or {INDEX_FILE}); check the id")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: &[&str]) -> Listing {
        let siblings: Vec<_> = files.iter().map(|file| serde_json::json!({"rfilename": file, "size": null})).collect();
        let json = serde_json::json!({"sha": "a".repeat(40), "id": "x", "siblings": siblings});
        Listing::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn weights_that_cant_be_used_are_named() {
        assert_eq!(listing(&["config.json", WEIGHTS_FILE, INDEX_FILE]).weights(), Ok(Weights::One));
        assert_eq!(listing(&["config.json", INDEX_FILE]).weights(), Ok(Weights::Several));
        for (files, why) in [
            (&["config.json", "pytorch_model.bin"][..], "pytorch_model.bin only, which can run code"),
            (&["config.json", "pytorch_model-00001-of-00002.bin"], "pytorch_model.bin only"),
            (&["config.json", "x.Q4.gguf"], "GGUF only"),
            (&["config.json", "unet.safetensors"], "safetensors of other names"),
            (&["config.json", "tf_model.h5", "sub/model.safetensors.bak"], "no weights in safetensors"),
            (&["adapter_config.json", "adapter_model.safetensors"], "an adapter for another model"),
            (&["README.md"], "no model of Hugging Face transformers"),
            (&[], "no model of Hugging Face transformers"),
        ] {
            let error = listing(files).weights().unwrap_err();
            assert!(error.contains(why), "{files:?}: {error}");
        }
    }

    #[test]
    fn a_tokenizer_of_another_kind_is_fetched_where_there_is_none_of_ours() {
        let optional = |files: &[&str]| {
            let listing = listing(files);
            listing.optional().map(|(file, _)| file.to_owned()).collect::<Vec<_>>()
        };
        let others = ["source.spm", "qwen.tiktoken", "spiece.model", "vocab.txt"];
        assert_eq!(optional(&others), others);
        assert_eq!(optional(&["a/b.model", "../x.spm", ".model", "model.safetensors", "-x.spm"]), [""; 0]);
        assert_eq!(optional(&["tokenizer.model", "tokenizer.json"]), ["tokenizer.json"]);
    }

    #[test]
    fn a_commit_that_is_none_names_no_folder() {
        for json in ["{}", "[]", "no", r#"{"sha": ".."}"#, r#"{"sha": "main"}"#, r#"{"sha": ""}"#] {
            assert!(Listing::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
