//! The files of a model's folder. The first byte chooses which of them the rest is.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use harness_engine::{DTypeChoice, fuzzing};
use harness_fuzz::bounds::within;
use harness_fuzz::scratch::Scratch;
use libfuzzer_sys::fuzz_target;

/// A GPT-2 of one layer whose weights the corpus has.
const CONFIG: &[u8] = br#"{"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"activation_function":"gelu_new","n_layer":1,"n_head":1,"n_embd":2,"n_inner":2,"n_positions":2,"vocab_size":2,"layer_norm_epsilon":1e-5,"bos_token_id":1,"eos_token_id":1}"#;

/// Of a tokenizer beside which these lie.
const VOCABULARY: &[u8] = br#"{"a":0,"aa":1,"<|endoftext|>":2}"#;
const TOKENIZER_FILES: [&str; 4] =
    ["tokenizer_config.json", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"];

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| {
    let scratch = Scratch::new();
    scratch.write("config.json", CONFIG);
    scratch
});

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let folder = SCRATCH.folder();
    // Hugging Face's library makes tables for each token; weights are converted to at most twice their bytes.
    within((4 << 20) + 2048 * bytes.len(), Duration::from_secs(5), || match (kind, kind % 4) {
        (252.., _) => beside("generation_config.json", bytes, || _ = fuzzing::weights(folder, None)),
        (248.., _) => beside("model.safetensors.index.json", bytes, || {
            SCRATCH.remove("model.safetensors");
            let _ = fuzzing::weights(folder, None);
        }),
        (240.., file) => {
            SCRATCH.remove("tokenizer.json");
            SCRATCH.write("vocab.json", VOCABULARY);
            SCRATCH.write("merges.txt", b"a a\n");
            beside(TOKENIZER_FILES[usize::from(file)], bytes, tokenize);
        }
        (_, 0) => {
            let path = SCRATCH.write("other.json", bytes);
            let _ = fuzzing::config(&path);
        }
        (_, 1) => {
            SCRATCH.write("model.safetensors", bytes);
            let dtypes = [None, Some(DTypeChoice::F32), Some(DTypeChoice::F16), Some(DTypeChoice::BF16)];
            let _ = fuzzing::weights(folder, dtypes[usize::from(kind / 4) % dtypes.len()]);
        }
        (_, 2) => {
            SCRATCH.write("tokenizer.json", bytes);
            tokenize();
        }
        _ => {
            let at = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            let (vocabulary, merges) = bytes.split_at(at);
            SCRATCH.remove("tokenizer.json");
            SCRATCH.write("vocab.json", vocabulary);
            SCRATCH.write("merges.txt", merges.get(1..).unwrap_or_default());
            tokenize();
        }
    });
});

/// Reads a folder that also has this file.
fn beside(file: &str, bytes: &[u8], read: impl FnOnce()) {
    SCRATCH.write(file, bytes);
    read();
    SCRATCH.remove(file);
}

fn tokenize() {
    let Ok(tokenizer) = fuzzing::tokenizer(SCRATCH.folder()) else { return };
    for text in ["", "Hello, world\n", "<|endoftext|> \u{202e}é\u{1f600}  aaaa"] {
        if let Ok(tokens) = tokenizer.encode(text) {
            let _ = tokenizer.decode(&tokens);
        }
    }
    let _ = tokenizer.decode(&[0, 1, 255, u32::MAX]);
}
