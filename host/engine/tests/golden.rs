//! Checkpoints and texts with what Hugging Face transformers and tokenizers make of them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::{distance, generate, golden, greedy, load, try_load};
use harness_core::{TokenRequest, Tokenizer};
use harness_engine::{DTypeChoice, gpt2_tokenizer};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt: Vec<u32>,
    logits: Vec<f64>,
    greedy: Vec<u32>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn tokens_and_logits_are_those_of_transformers() {
    for (name, dtype) in [("prefixed-f32", "f32"), ("bare-f16", "f16")] {
        let folder = golden().join(name);
        let cases = read::<Golden>(&folder.join("golden.json")).cases;
        assert!(!cases.is_empty());
        let mut model = load(&folder);
        assert_eq!(model.backend.info().dtype, dtype);
        for case in &cases {
            let logits = model.backend.prompt_logits(&case.prompt).unwrap();
            let distance = distance(&logits, &case.logits);
            assert!(distance < 1e-4, "{name}, prompt of {}: {distance}", case.prompt.len());
            let tokens = generate(&mut model, &[greedy(&case.prompt, case.greedy.len() as u32)]);
            assert_eq!(tokens[0], case.greedy, "{name}, prompt of {}", case.prompt.len());
        }
        // All prompts, of unequal length, at once.
        let requests: Vec<_> = cases.iter().map(|case| greedy(&case.prompt, case.greedy.len() as u32)).collect();
        let expected: Vec<_> = cases.iter().map(|case| case.greedy.clone()).collect();
        assert_eq!(generate(&mut model, &requests), expected, "{name}, batch");
    }
}

#[derive(Deserialize)]
struct Variant {
    /// The most tokens of each continuation.
    new: Option<u32>,
    #[serde(default)]
    cases: Vec<Case>,
    /// What an error must name.
    refused: Option<String>,
}

/// Every kind of GPT-2 that transformers 5 saves: it loads and computes the same, and ends a text where transformers does, or an
/// error says by name why it can't be used.
#[test]
fn each_variant_that_transformers_saves_is_equal_or_refused_by_name() {
    let (mut equal, mut refused) = (0, 0);
    for entry in std::fs::read_dir(golden().join("variants")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let variant: Variant = read(&folder.join("golden.json"));
        if let Some(option) = variant.refused {
            let Err(error) = try_load(&folder, None) else { panic!("{name} was loaded") };
            assert!(error.to_string().contains(&format!("has {option} = ")), "{name}: {error}");
            refused += 1;
            continue;
        }
        let mut model = load(&folder);
        let stop_tokens = model.backend.info().stop_tokens;
        for case in &variant.cases {
            let distance = distance(&model.backend.prompt_logits(&case.prompt).unwrap(), &case.logits);
            assert!(distance < 1e-5, "{name}, prompt of {}: {distance}", case.prompt.len());
            let request = TokenRequest { stop_tokens, ..greedy(&case.prompt, variant.new.unwrap()) };
            assert_eq!(generate(&mut model, &[request])[0], case.greedy, "{name}, prompt of {}", case.prompt.len());
            equal += 1;
        }
    }
    assert_eq!((equal, refused), (63, 5));
}

#[test]
fn another_dtype_stays_close() {
    for (name, dtype, limit) in [
        ("prefixed-f32", DTypeChoice::F16, 3e-3),
        ("prefixed-f32", DTypeChoice::BF16, 3e-2),
        ("bare-f16", DTypeChoice::F32, 1e-4),
        ("bare-f16", DTypeChoice::BF16, 3e-2),
    ] {
        let folder = golden().join(name);
        let mut model = try_load(&folder, Some(dtype)).unwrap();
        assert_eq!(model.backend.info().dtype, dtype.as_str());
        for case in read::<Golden>(&folder.join("golden.json")).cases {
            let distance = distance(&model.backend.prompt_logits(&case.prompt).unwrap(), &case.logits);
            assert!(distance < limit, "{name} in {dtype}, prompt of {}: {distance}", case.prompt.len());
        }
    }
}

#[test]
fn a_model_is_described_by_its_folder() {
    let folder = golden().join("prefixed-f32");
    let model = load(&folder);
    let info = model.backend.info();
    assert_eq!(info.name, folder.to_str().unwrap());
    assert_eq!((info.backend.as_str(), info.device.as_str()), ("candle", "cpu"));
    assert_eq!(info.weights, "sha256:dcf87b1704215a98789de8f3292f07d077dbd06ec242cd0d9887e82aac277a63");
    assert_eq!((info.layers, info.heads, info.width), (3, 4, 64));
    assert_eq!((info.vocabulary, info.context, info.stop_tokens.as_slice()), (512, 128, [0].as_slice()));
    assert_eq!(info.parameters, (512 + 128) * 64 + 3 * (12 * 64 * 64 + 13 * 64) + 2 * 64);
    assert!(!info.synthetic() && !model.auto_cpu);
    let note = format!("the model folder {} has no tokenizer, so GPT-2's own is used", folder.display());
    assert_eq!(model.notes, [note]);
}

fn check_texts(tokenizer: &dyn Tokenizer) {
    for Text { text, ids } in read::<Vec<Text>>(&golden().join("tokenizer/golden.json")) {
        assert_eq!(tokenizer.encode(&text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn texts_become_the_tokens_of_hugging_face() {
    check_texts(&*gpt2_tokenizer());
}

/// The tokenizer of a folder with these files beside a model.
fn folder_tokenizer(files: &[(&str, &Path)]) -> Arc<dyn Tokenizer> {
    let folder = tempfile::tempdir().unwrap();
    common::Checkpoint::tiny(serde_json::json!({})).write(folder.path());
    for (name, from) in files {
        std::fs::copy(from, folder.path().join(name)).unwrap();
    }
    load(folder.path()).tokenizer
}

#[test]
fn a_folder_with_vocabulary_and_merges_has_its_own_tokenizer() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/gpt2-bpe");
    let tokenizer =
        folder_tokenizer(&[("vocab.json", &data.join("vocab.json")), ("merges.txt", &data.join("merges.txt"))]);
    check_texts(&*tokenizer);
    assert_eq!(tokenizer.encode("<|endoftext|>").unwrap(), [50_256]);
}

#[derive(Deserialize)]
struct Folders {
    cases: Vec<FolderCase>,
}

#[derive(Deserialize)]
struct FolderCase {
    name: String,
    files: BTreeMap<String, String>,
    texts: Vec<Text>,
}

#[test]
fn a_folders_tokenizer_is_that_of_transformers_in_every_form() {
    let cases = read::<Folders>(&golden().join("tokenizer/folders.json")).cases;
    assert_eq!(cases.len(), 17);
    for FolderCase { name, files, texts } in cases {
        let folder = tempfile::tempdir().unwrap();
        common::Checkpoint::tiny(serde_json::json!({})).write(folder.path());
        for (file, text) in files {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let model = load(folder.path());
        assert!(model.notes.is_empty(), "{:?}", model.notes);
        assert_eq!(texts.len(), 8);
        for Text { text, ids } in texts {
            assert_eq!(model.tokenizer.encode(&text).unwrap(), ids, "{name}: {text:?}");
        }
    }
}

#[test]
fn a_folders_tokenizer_json_comes_first() {
    let json = tempfile::NamedTempFile::new().unwrap();
    let words = serde_json::json!({
        "version": "1.0", "truncation": {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "one": 1, "two": 2}, "unk_token": "[UNK]"}
    });
    std::fs::write(json.path(), words.to_string()).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/gpt2-bpe");
    let tokenizer = folder_tokenizer(&[("tokenizer.json", json.path()), ("vocab.json", &data.join("vocab.json"))]);
    // Nothing is cut off, whatever the file says.
    assert_eq!(tokenizer.encode("two one three two").unwrap(), [2, 1, 0, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_text_comes_back_from_its_tokens(text in ".{0,60}") {
        let tokenizer = gpt2_tokenizer();
        let tokens = tokenizer.encode(&text).unwrap();
        prop_assert!(tokens.iter().all(|&token| token < 50_257));
        prop_assert_eq!(tokenizer.decode(&tokens).unwrap(), text);
    }

    #[test]
    fn every_token_sequence_has_a_text(tokens in prop::collection::vec(0u32..50_257, 0..20)) {
        prop_assert!(gpt2_tokenizer().decode(&tokens).is_ok());
    }
}
