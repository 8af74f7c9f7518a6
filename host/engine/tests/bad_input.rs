//! Model folders and devices that can't be used, and what is said about them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Checkpoint, Tensor, try_load};
#[cfg(not(any(feature = "cuda", feature = "candle-cuda")))]
use harness_engine::{DeviceChoice, LoadError, LoadOptions, load};
use safetensors::Dtype;
use serde_json::json;

/// What is said about a folder after `spoil` has been at it; its path is replaced by FOLDER.
fn message(checkpoint: &Checkpoint, spoil: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    checkpoint.write(folder.path());
    spoil(folder.path());
    let Err(error) = try_load(folder.path(), None) else { panic!("it was loaded") };
    assert!(error.is_unusable());
    error.to_string().replace(folder.path().to_str().unwrap(), "FOLDER")
}

fn tiny() -> Checkpoint {
    Checkpoint::tiny(json!({}))
}

fn remove(file: &'static str) -> impl FnOnce(&Path) {
    move |folder| std::fs::remove_file(folder.join(file)).unwrap()
}

fn write(file: &'static str, bytes: &'static [u8]) -> impl FnOnce(&Path) {
    move |folder| std::fs::write(folder.join(file), bytes).unwrap()
}

#[test]
fn a_folder_without_configuration() {
    assert_eq!(
        message(&tiny(), remove("config.json")),
        "the model folder FOLDER has no config.json; give a folder that has config.json and model.safetensors, as \
         Hugging Face transformers saves them"
    );
}

#[test]
fn a_configuration_that_cant_be_understood() {
    assert_eq!(
        message(&tiny(), write("config.json", b"{\"n_layer\": \"two\"}")),
        "the model's configuration FOLDER/config.json can't be understood: invalid type: string \"two\", expected \
         usize at line 1 column 17; correct it, or save the model anew with Hugging Face transformers"
    );
}

#[test]
fn an_option_that_is_not_supported() {
    assert_eq!(
        message(&Checkpoint::tiny(json!({"activation_function": "relu"})), |_| ()),
        "the model's configuration FOLDER/config.json has activation_function = \"relu\", which is not supported; \
         supported is \"gelu_new\", \"gelu_pytorch_tanh\" or \"gelu\", so use a model that has it"
    );
}

#[test]
fn a_folder_without_weights() {
    assert_eq!(
        message(&tiny(), remove("model.safetensors")),
        "the model folder FOLDER has no model.safetensors; give a folder that has config.json and model.safetensors, \
         as Hugging Face transformers saves them"
    );
}

#[test]
fn a_folder_with_weights_of_the_old_kind_only() {
    let rename = |folder: &Path| {
        std::fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).unwrap();
    };
    assert_eq!(
        message(&tiny(), rename),
        "the model folder FOLDER has its weights only in pytorch_model.bin, which can run code when it is read; load and \
         save the model with transformers and safe_serialization=True to get model.safetensors"
    );
    for (file, why) in [
        ("pytorch_model.bin.index.json", "whose files can run code when they are read"),
        ("tf_model.h5", "which is TensorFlow's format"),
        ("flax_model.msgpack", "which is Flax's format"),
        ("gpt2.Q8_0.gguf", "which is llama.cpp's format"),
    ] {
        let rename = |folder: &Path| std::fs::rename(folder.join("model.safetensors"), folder.join(file)).unwrap();
        let said = message(&tiny(), rename);
        assert!(said.contains(&format!("has its weights only in {file}, {why}; load and save")), "{said}");
    }
}

const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

/// Splits the weights after `h.0` and writes an index of both files.
fn shard(folder: &Path) {
    let (mut first, second) = (tiny(), tiny());
    let rest = first.tensors.split_off("transformer.h.1");
    let map: Vec<_> =
        first.tensors.keys().map(|name| (name, FIRST)).chain(rest.keys().map(|name| (name, SECOND))).collect();
    let map: BTreeMap<_, _> = map.into_iter().collect();
    std::fs::write(folder.join("model.safetensors.index.json"), json!({ "weight_map": map }).to_string()).unwrap();
    std::fs::write(folder.join(FIRST), first.weights()).unwrap();
    std::fs::write(folder.join(SECOND), Checkpoint { tensors: rest, ..second }.weights()).unwrap();
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
}

fn change_index(folder: &Path, from: &str, to: &str) {
    let path = folder.join("model.safetensors.index.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn weights_in_several_files_that_do_not_belong_together() {
    let said = |spoil: &dyn Fn(&Path)| {
        message(&tiny(), |folder| {
            shard(folder);
            spoil(folder);
        })
    };
    let whole = tempfile::tempdir().unwrap();
    tiny().write(whole.path());
    shard(whole.path());
    assert!(try_load(whole.path(), None).is_ok());

    assert_eq!(
        said(&|folder| std::fs::remove_file(folder.join(SECOND)).unwrap()),
        format!(
            "the weights FOLDER/{SECOND} are missing, which FOLDER/model.safetensors.index.json names; copy or download the \
             whole model again"
        )
    );
    let disagree = |what: String| {
        format!(
            "the index FOLDER/model.safetensors.index.json and its files disagree: {what}; copy or download the whole model again"
        )
    };
    let tensor = "transformer.h.1.attn.c_attn.bias";
    assert_eq!(
        said(&|folder| std::fs::write(folder.join(SECOND), tiny().weights()).unwrap()),
        disagree(format!("the tensor 'transformer.h.0.attn.c_attn.bias' is in {FIRST} and in {SECOND}"))
    );
    let place = format!("\"{tensor}\":\"{SECOND}\"");
    assert_eq!(
        said(&|folder| change_index(folder, &place, &format!("\"{tensor}\":\"{FIRST}\""))),
        disagree(format!("the tensor '{tensor}' is in {SECOND}, and by the index in {FIRST}"))
    );
    assert_eq!(
        said(&|folder| change_index(folder, &format!("{place},"), "")),
        disagree(format!("the tensor '{tensor}' is in {SECOND}, and by the index nowhere"))
    );
    assert_eq!(
        said(&|folder| change_index(folder, &place, &format!("{place},\"more\":\"{FIRST}\""))),
        disagree(format!("the tensor 'more' is not in {FIRST}, where the index has it"))
    );
    assert!(
        said(&|folder| change_index(folder, SECOND, "../x.safetensors"))
            .contains("names the file \"../x.safetensors\"")
    );
    let cut = said(&|folder| std::fs::write(folder.join(SECOND), b"abc").unwrap());
    assert!(cut.starts_with(&format!("the weights FOLDER/{SECOND} are cut off or damaged")), "{cut}");
}

/// In the Hugging Face cache, a snapshot's files are links to others; the same weights have the same sha256.
#[cfg(unix)]
#[test]
fn weights_in_several_files_may_be_links() {
    let (folder, blobs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tiny().write(folder.path());
    shard(folder.path());
    let sha256 = common::load(folder.path()).backend.info().weights.clone();
    for name in [FIRST, SECOND] {
        std::fs::rename(folder.path().join(name), blobs.path().join(name)).unwrap();
        std::os::unix::fs::symlink(blobs.path().join(name), folder.path().join(name)).unwrap();
    }
    assert_eq!(common::load(folder.path()).backend.info().weights, sha256);
}

#[test]
fn pointers_of_git_lfs() {
    const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    for file in
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    {
        let pointer = |folder: &Path| std::fs::write(folder.join(file), POINTER).unwrap();
        assert_eq!(
            message(&tiny(), pointer),
            format!(
                "FOLDER/{file} is a Git LFS pointer and not the file itself; run `git lfs pull` in its folder, or download the \
                 file"
            )
        );
    }
    let sharded = |folder: &Path| {
        shard(folder);
        std::fs::write(folder.join(SECOND), POINTER).unwrap();
    };
    assert!(message(&tiny(), sharded).contains(&format!("FOLDER/{SECOND} is a Git LFS pointer")));
    let index = |folder: &Path| {
        shard(folder);
        std::fs::write(folder.join("model.safetensors.index.json"), POINTER).unwrap();
    };
    assert!(message(&tiny(), index).contains("index.json is a Git LFS pointer"));
}

#[test]
fn other_kinds_of_model() {
    let said =
        message(&Checkpoint::tiny(json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})), |_| ());
    assert_eq!(
        said,
        "the model's configuration FOLDER/config.json has model_type = \"llama\", which is not supported; supported is \
         \"gpt2\", so use a model that has it"
    );
    let generation = write("generation_config.json", b"{\"eos_token_id\": [1.5]}");
    assert_eq!(
        message(&tiny(), generation),
        "the file FOLDER/generation_config.json has eos_token_id = 1.5, which is no token; correct it"
    );
}

#[test]
fn tokenizers_of_other_kinds() {
    const ADVICE: &str = "which is not supported; supported is a tokenizer.json, or a vocab.json and a merges.txt of GPT-2's \
                          kind: save the tokenizer with transformers 5 to get a tokenizer.json";
    let class: &[u8] = br#"{"tokenizer_class": "BertTokenizer"}"#;
    for (files, what) in [
        (&[("vocab.txt", b"[UNK]\n".as_slice())][..], "is in vocab.txt"),
        (&[("tokenizer.model", b"\x0a")], "is in tokenizer.model"),
        (&[("source.spm", b""), ("target.spm", b""), ("vocab.json", b"{}")], "is in source.spm"),
        (&[("spiece.model", b"")], "is in spiece.model"),
        (&[("qwen.tiktoken", b""), ("tokenizer_config.json", b"{}")], "is in qwen.tiktoken"),
        (&[("vocab.txt", b""), ("tokenizer_config.json", class)], "is a BertTokenizer"),
        (&[("vocab.json", b"{}"), ("merges.txt", b""), ("tokenizer_config.json", class)], "is a BertTokenizer"),
        (&[("vocab.json", b"{}")], "has vocab.json and no merges.txt"),
        (&[("merges.txt", b"")], "is missing, though merges.txt is there"),
        (&[("tokenizer_config.json", b"{}")], "is missing, though tokenizer_config.json is there"),
        (
            &[("tokenizer_config.json", br#"{"auto_map": {"AutoTokenizer": ["a.B", null]}}"#)],
            "is made by Python code that comes with the model (auto_map)",
        ),
    ] {
        let spoil = |folder: &Path| {
            files.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
        };
        let said = message(&tiny(), spoil);
        assert_eq!(said, format!("the tokenizer of the model folder FOLDER {what}, {ADVICE}"));
    }
    let said = message(&Checkpoint::tiny(json!({"tokenizer_class": "BertTokenizer"})), |_| ());
    assert!(said.contains("is a BertTokenizer, which is not supported"), "{said}");
}

/// Tokens that a folder gives numbers are those numbers, or nothing is loaded.
#[test]
fn added_tokens_have_the_numbers_that_the_folder_gives_them() {
    let files = |folder: &Path, added: &str| {
        std::fs::write(folder.join("vocab.json"), r#"{"a": 0, "b": 1, "ab": 2}"#).unwrap();
        std::fs::write(folder.join("merges.txt"), "a b\n").unwrap();
        std::fs::write(folder.join("added_tokens.json"), added).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    tiny().write(folder.path());
    files(folder.path(), r#"{"<x>": 50, "<y>": 7}"#);
    let tokenizer = common::load(folder.path()).tokenizer;
    assert_eq!(tokenizer.encode("ab<y>a<x>").unwrap(), [2, 7, 0, 50]);
    assert_eq!(tokenizer.decode(&[2, 30, 7, 0, 50]).unwrap(), "ab<y>a<x>");
    for (added, why) in [
        (r#"{"<x>": 1}"#, "its added token \"<x>\" has the number 1 of \"b\""),
        (r#"{"b": 9}"#, "its added token \"b\" should be number 9, and its vocabulary makes it 1"),
        (r#"{"<x>": "50"}"#, "it has no number for '<x>'"),
        (r#"{"<x>": -1}"#, "it has no number for '<x>'"),
        (r#"{"<x>": 50, "<y>": 50}"#, "it has one number for '<y>' and '<x>'"),
        ("[]", "invalid type: sequence, expected a map at line 1 column 0"),
        ("{", "EOF while parsing an object at line 1 column 1"),
    ] {
        assert_eq!(
            message(&tiny(), |folder| files(folder, added)),
            format!(
                "the tokenizer FOLDER/added_tokens.json can't be used: {why}; copy it again from the model's source"
            )
        );
    }
    let json = br#"{"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
        "added_tokens": [{"id": 9, "content": "<x>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true}]}"#;
    let said = message(&tiny(), write("tokenizer.json", json));
    assert!(said.contains("its added token \"<x>\" should be number 9, and its vocabulary makes it 1"), "{said}");
}

/// A file is not blamed for what another one beside it says.
#[test]
fn what_is_said_of_a_tokenizer_is_said_of_the_file_that_says_it() {
    for (file, text, why) in [
        ("tokenizer_config.json", r#"{"add_bos_token": 1}"#, "add_bos_token is neither true nor false"),
        ("tokenizer_config.json", r#"{"unk_token": []}"#, "unk_token: invalid type: sequence, expected an object"),
        ("tokenizer_config.json", r#"{"pad_token": {"x": 1}}"#, "pad_token: missing field `content`"),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": {"x": "a"}}"#,
            "added_tokens_decoder of 'x', which is no token's number",
        ),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": {"1": "a"}}"#,
            "its added token \"a\" has the number 1 of \"b\"",
        ),
        ("special_tokens_map.json", r#"{"unk_token": 5}"#, "unk_token: invalid type: integer `5`, expected an object"),
        (
            "special_tokens_map.json",
            r#"{"additional_special_tokens": 5}"#,
            "additional_special_tokens is no list of tokens",
        ),
        ("vocab.json", r#"{"a": "x"}"#, "invalid type: string \"x\", expected u32 at line 1 column 9"),
        ("merges.txt", "ab", "it is no list of pairs: line 1 is none"),
        ("tokenizer.json", "[]", "invalid type: sequence, expected an object at line 1 column 0"),
        (
            "tokenizer.json",
            r#"{"added_tokens": [[]], "model": {"type": "BPE", "vocab": {}, "merges": []}}"#,
            "invalid type: sequence, expected an object at line 1 column 18",
        ),
        (
            "tokenizer.json",
            r#"{"added_tokens": [], "model": {"some": "thing"}}"#,
            "its model is of no known kind, or lacks something at line 1 column 48",
        ),
    ] {
        let files = |folder: &Path| {
            std::fs::write(folder.join("vocab.json"), r#"{"a": 0, "b": 1, "ab": 2}"#).unwrap();
            std::fs::write(folder.join("merges.txt"), "a b\n").unwrap();
            std::fs::write(folder.join(file), text).unwrap();
        };
        assert_eq!(
            message(&tiny(), files),
            format!("the tokenizer FOLDER/{file} can't be used: {why}; copy it again from the model's source")
        );
    }
}

/// GPT-2's own files, of which the second is cut.
#[test]
fn merges_that_are_cut_off() {
    let own = |name: &str| std::fs::read_to_string(Path::new("data/gpt2-bpe").join(name)).unwrap();
    let (vocabulary, merges) = (own("vocab.json"), own("merges.txt"));
    let files = |folder: &Path, lines: usize| {
        let merges: String = merges.split_inclusive('\n').take(lines).collect();
        std::fs::write(folder.join("vocab.json"), &vocabulary).unwrap();
        std::fs::write(folder.join("merges.txt"), merges).unwrap();
    };
    let whole = tempfile::tempdir().unwrap();
    tiny().write(whole.path());
    files(whole.path(), usize::MAX);
    let model = common::load(whole.path());
    assert_eq!(model.notes, [""; 0]);
    assert_eq!(model.tokenizer.encode("Hello world").unwrap(), [15_496, 995]);
    for lines in [0, 1, 100, 40_000] {
        let said = message(&tiny(), |folder| files(folder, lines));
        assert!(said.starts_with("the tokenizer FOLDER/merges.txt can't be used: it "), "{said}");
        assert!(said.contains("no merge") && said.ends_with("copy it again from the model's source"), "{said}");
    }
    files(whole.path(), 49_990);
    let notes = common::load(whole.path()).notes;
    let [note] = &notes[..] else { panic!("{notes:?}") };
    assert!(note.contains("merges.txt: no merge makes 11 tokens of vocab.json beside it, such as "), "{note}");
}

#[test]
fn tensors_that_are_not_used_are_named() {
    let notes = |add: &[&str]| {
        let mut checkpoint = tiny();
        for name in add {
            checkpoint.tensors.insert((*name).into(), Tensor::f32(&[1], &[0.0]));
        }
        let folder = tempfile::tempdir().unwrap();
        checkpoint.write(folder.path());
        let notes = common::load(folder.path()).notes;
        let notes = notes.iter().filter(|note| note.contains("tensor"));
        notes.map(|note| note.replace(folder.path().to_str().unwrap(), "FOLDER")).collect::<Vec<_>>()
    };
    // Older transformers saved these.
    assert_eq!(notes(&["transformer.h.0.attn.bias", "h.1.attn.masked_bias", "transformer.h.1.attn.bias"]), [""; 0]);
    let said = "the weights FOLDER/model.safetensors have";
    assert_eq!(notes(&["score.weight"]), [format!("{said} 1 tensor that a GPT-2 does not use: 'score.weight'")]);
    let lora = |layer: usize| format!("base_model.transformer.h.{layer}.attn.c_attn.lora_A.weight");
    let (one, other) = (lora(0), lora(1));
    assert_eq!(
        notes(&[&one, &other, "h.0.attn.c_attn.bias", "a\nb\u{1b}"]),
        [format!(
            "{said} 4 tensors that a GPT-2 does not use: 'a\\u{{a}}b\\u{{1b}}', '{one}', '{other}' and others; for an adapter, merge \
             it into the model with peft's merge_and_unload()"
        )]
    );
}

#[test]
fn a_configuration_that_is_no_object() {
    for (json, found) in [("[]", "sequence"), ("5", "integer `5`"), ("[\"gpt2\"]", "sequence"), ("null", "null")] {
        for (file, start) in [
            ("config.json", "the model's configuration FOLDER/config.json can't be understood"),
            ("generation_config.json", "the file FOLDER/generation_config.json can't be understood"),
        ] {
            let said = message(&tiny(), |folder| std::fs::write(folder.join(file), json).unwrap());
            assert!(
                said.starts_with(&format!("{start}: invalid type: {found}, expected an object at line 1")),
                "{said}"
            );
        }
    }
    let said = message(&tiny(), write("generation_config.json", b"no JSON"));
    assert!(said.starts_with("the file FOLDER/generation_config.json can't be understood: expected"), "{said}");
    let said = message(&tiny(), |folder| {
        shard(folder);
        std::fs::write(folder.join("model.safetensors.index.json"), "[]").unwrap();
    });
    assert!(said.contains("index.json can't be used: invalid type: sequence, expected an object"), "{said}");
}

/// On such a decoder the library panics, when it is used.
#[test]
fn a_decoder_that_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    tiny().write(folder.path());
    let json = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Strip", "content": "a", "start": 0, "stop": 9},
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}"#;
    std::fs::write(folder.path().join("tokenizer.json"), json).unwrap();
    let model = common::load(folder.path());
    let error = model.tokenizer.decode(&[0]).unwrap_err();
    assert!(error.starts_with("the tokens can't be decoded: the library that reads it failed ("), "{error}");
}

#[test]
fn a_tensor_is_missing() {
    let mut checkpoint = tiny();
    checkpoint.tensors.remove("transformer.h.1.mlp.c_fc.bias");
    assert_eq!(
        message(&checkpoint, |_| ()),
        "the weights FOLDER/model.safetensors have no tensor 'h.1.mlp.c_fc.bias' (nor \
         'transformer.h.1.mlp.c_fc.bias'); give the weights of the GPT-2 that config.json beside them describes"
    );
    let mut checkpoint = Checkpoint::tiny(json!({"tie_word_embeddings": false}));
    checkpoint.tensors.remove("lm_head.weight");
    assert_eq!(
        message(&checkpoint, |_| ()),
        "the weights FOLDER/model.safetensors have no tensor 'lm_head.weight', though config.json has \
         tie_word_embeddings = false; give the weights of the GPT-2 that config.json beside them describes"
    );
}

#[test]
fn a_tensor_has_another_shape() {
    let mut checkpoint = tiny();
    checkpoint.config["n_embd"] = json!(15);
    assert_eq!(
        message(&checkpoint, |_| ()),
        "the tensor 'transformer.wte.weight' of the weights FOLDER/model.safetensors has the shape [60, 12], but by \
         config.json it is [60, 15]; give the config.json and the weights of the same model"
    );
}

#[test]
fn a_tensor_has_another_dtype() {
    for (name, shape) in [("transformer.wte.weight", vec![60, 12]), ("transformer.h.0.ln_1.bias", vec![12])] {
        let mut checkpoint = tiny();
        let bytes = vec![0; 8 * shape.iter().product::<usize>()];
        checkpoint.tensors.insert(name.into(), Tensor { dtype: Dtype::F64, shape, bytes });
        assert_eq!(
            message(&checkpoint, |_| ()),
            format!(
                "the tensor '{name}' of the weights FOLDER/model.safetensors has the dtype F64, and only F32, F16 and \
                 BF16 can be used; convert the model to one of them"
            )
        );
    }
}

#[test]
fn weights_are_cut_off_anywhere() {
    let checkpoint = tiny();
    let bytes = checkpoint.weights();
    for length in [1, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let cut = |folder: &Path| std::fs::write(folder.join("model.safetensors"), &bytes[..length]).unwrap();
        assert_eq!(
            message(&checkpoint, cut),
            format!(
                "the weights FOLDER/model.safetensors are cut off or damaged: the file's {length} bytes are not what \
                 its header says; copy or download it again"
            )
        );
    }
    assert_eq!(
        message(&checkpoint, write("model.safetensors", b"")),
        "the weights FOLDER/model.safetensors are an empty file; copy or download them again"
    );
}

#[test]
fn weights_are_something_else() {
    assert_eq!(
        message(&tiny(), write("model.safetensors", b"PK\x03\x04 a zip archive and no safetensors")),
        "the weights FOLDER/model.safetensors are not in the safetensors format (header too large); give a file that \
         Hugging Face transformers or safetensors wrote"
    );
}

#[test]
fn a_tokenizer_that_cant_be_used() {
    assert_eq!(
        message(&tiny(), write("tokenizer.json", b"{}")),
        "the tokenizer FOLDER/tokenizer.json can't be used: Model missing. at line 1 column 2; copy it again \
         from the model's source"
    );
    // On both of these the library panics.
    assert_eq!(
        message(&tiny(), write("tokenizer.json", br#"{"decoder": {"type": ByteLevel}}"#)),
        "the tokenizer FOLDER/tokenizer.json can't be used: it is no JSON: expected value at line 1 column 22; copy it again \
         from the model's source"
    );
    let panics = br#"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": 1}}"#;
    let message = message(&tiny(), write("tokenizer.json", panics));
    assert!(
        message.contains("tokenizer.json can't be used: the library that reads it failed (Precompiled: "),
        "{message}"
    );
}

#[test]
fn a_vocabulary_that_cant_be_used() {
    let broken = |folder: &Path| {
        std::fs::write(folder.join("vocab.json"), "{\"a\": 0}").unwrap();
        std::fs::write(folder.join("merges.txt"), "#version: 0.2\na b\n").unwrap();
    };
    assert_eq!(
        message(&tiny(), broken),
        "the tokenizer FOLDER/merges.txt can't be used: line 2 has a token that vocab.json beside it does not have; copy it \
         again from the model's source"
    );
}

#[test]
fn a_file_instead_of_a_folder() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let Err(error) = try_load(file.path(), None) else { panic!("it was loaded") };
    assert_eq!(
        error.to_string().replace(path, "FILE"),
        "the model FILE is a file; give the folder that holds config.json and model.safetensors"
    );
}

/// In the binary without CUDA, which is what the tests are built as.
#[cfg(not(any(feature = "cuda", feature = "candle-cuda")))]
#[test]
fn a_gpu_without_cuda() {
    let options = LoadOptions { device: DeviceChoice::Cuda(7), ..Default::default() };
    let Err(error) = load(&options) else { panic!("it was loaded") };
    assert_eq!(
        error,
        LoadError::Unusable(
            "the device cuda:7 can't be used: this harness was built without CUDA; build it with the cargo feature \
             cuda (`cargo build --release --features cuda`), or use --device cpu"
                .into()
        )
    );
}

#[cfg(not(any(feature = "cuda", feature = "candle-cuda")))]
#[test]
fn auto_takes_the_cpu_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    tiny().write(folder.path());
    let options = LoadOptions { model: folder.path().to_str().unwrap().into(), ..Default::default() };
    let model = load(&options).unwrap_or_else(|error| panic!("{error}"));
    assert!(model.auto_cpu);
    let said =
        "no NVIDIA GPU can be used: this harness was built without CUDA (cargo feature cuda); running on the CPU";
    assert_eq!(model.notes[0], said);
}

#[test]
fn layers_that_config_json_does_not_have_are_no_model() {
    let error = message(&tiny(), |folder| {
        let path = folder.join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config["n_layer"] = 1.into();
        std::fs::write(path, config.to_string()).unwrap();
    });
    assert!(error.contains("have 2 layers, and config.json beside them says n_layer = 1"), "{error}");
}
