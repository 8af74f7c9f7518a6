//! Model folders and devices that can't be used, and what is said about them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

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
        "the model folder FOLDER has only pytorch_model.bin, which can run code when it is read, and no \
         model.safetensors; load and save the model with transformers and safe_serialization=True to get one"
    );
}

#[test]
fn a_folder_with_weights_in_several_files() {
    let split = |folder: &Path| {
        std::fs::rename(folder.join("model.safetensors"), folder.join("model-00001-of-00001.safetensors")).unwrap();
        std::fs::write(folder.join("model.safetensors.index.json"), "{}").unwrap();
    };
    assert_eq!(
        message(&tiny(), split),
        "the model folder FOLDER holds its weights in several files, and only one model.safetensors can be read; load \
         and save the model with transformers and max_shard_size=\"100GB\" to put them into one"
    );
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
        message(&tiny(), write("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")),
        "the weights FOLDER/model.safetensors are not in the safetensors format (header too large); give a file that \
         Hugging Face transformers or safetensors wrote"
    );
}

#[test]
fn a_tokenizer_that_cant_be_used() {
    assert_eq!(
        message(&tiny(), write("tokenizer.json", b"{}")),
        "the tokenizer FOLDER/tokenizer.json can't be used: Model missing. at line 1 column 2; copy it again \
         from the model's source, or remove it to use GPT-2's own"
    );
    // On both of these the library panics.
    assert_eq!(
        message(&tiny(), write("tokenizer.json", br#"{"decoder": {"type": ByteLevel}}"#)),
        "the tokenizer FOLDER/tokenizer.json can't be used: it is no JSON: expected value at line 1 column 22; copy it again \
         from the model's source, or remove it to use GPT-2's own"
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
        "the tokenizer FOLDER/vocab.json can't be used: Token `b` out of vocabulary; copy it again from the model's \
         source, or remove it to use GPT-2's own"
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
    assert_eq!(
        model.notes,
        ["no NVIDIA GPU can be used: this harness was built without CUDA (cargo feature cuda); running on the CPU"]
    );
}
