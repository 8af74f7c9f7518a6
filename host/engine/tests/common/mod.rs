//! Model folders made for tests, and a plain way to use the models in them.

#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use harness_core::random::Stream;
use harness_core::{Sequence, Served, StopTokens, TokenRequest};
use harness_engine::{DTypeChoice, DeviceChoice, LoadError, LoadOptions, Loaded};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

/// A tensor as a safetensors file holds it.
#[derive(Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn f32(shape: &[usize], numbers: &[f32]) -> Self {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub fn numbers(&self) -> Vec<f64> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes.chunks(4).map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()))).collect()
    }
}

/// A model folder before it is written.
#[derive(Clone)]
pub struct Checkpoint {
    pub config: Value,
    pub tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// A tiny GPT-2 with the given options beside its sizes, and weights that make greedy steps no near ties.
    pub fn tiny(options: Value) -> Self {
        let mut config = json!({
            "model_type": "gpt2", "n_layer": 2, "n_head": 3, "n_embd": 12, "n_positions": 32, "vocab_size": 60,
            "eos_token_id": 59,
        });
        for (key, value) in options.as_object().unwrap() {
            config[key] = value.clone();
        }
        let size = |key: &str| config[key].as_u64().unwrap() as usize;
        let (width, vocabulary) = (size("n_embd"), size("vocab_size"));
        let hidden = config["n_inner"].as_u64().map_or(4 * width, |hidden| hidden as usize);
        let mut tensors = BTreeMap::new();
        let mut stream = 0;
        let mut add = |name: String, shape: &[usize], around: f32| {
            let numbers = Stream::new(11, stream);
            stream += 1;
            let numbers: Vec<f32> = (0..shape.iter().product::<usize>())
                .map(|index| around + 0.4 * numbers.symmetric(index as u64))
                .collect();
            tensors.insert(name, Tensor::f32(shape, &numbers));
        };
        add("transformer.wte.weight".into(), &[vocabulary, width], 0.0);
        add("transformer.wpe.weight".into(), &[size("n_positions"), width], 0.0);
        for layer in 0..size("n_layer") {
            let name = |part: &str| format!("transformer.h.{layer}.{part}");
            for norm in ["ln_1", "ln_2"] {
                add(name(&format!("{norm}.weight")), &[width], 1.0);
                add(name(&format!("{norm}.bias")), &[width], 0.0);
            }
            for (part, inputs, outputs) in [
                ("attn.c_attn", width, 3 * width),
                ("attn.c_proj", width, width),
                ("mlp.c_fc", width, hidden),
                ("mlp.c_proj", hidden, width),
            ] {
                add(name(&format!("{part}.weight")), &[inputs, outputs], 0.0);
                add(name(&format!("{part}.bias")), &[outputs], 0.0);
            }
        }
        add("transformer.ln_f.weight".into(), &[width], 1.0);
        add("transformer.ln_f.bias".into(), &[width], 0.0);
        if config["tie_word_embeddings"] == json!(false) {
            add("lm_head.weight".into(), &[vocabulary, width], 0.0);
        }
        Self { config, tensors }
    }

    /// The bytes of its model.safetensors.
    pub fn weights(&self) -> Vec<u8> {
        let views = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }

    /// Writes the folder.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
        std::fs::write(folder.join("model.safetensors"), self.weights()).unwrap();
    }
}

/// `tests/golden` of the repository.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

/// Loads a folder on the CPU.
pub fn try_load(folder: &Path, dtype: Option<DTypeChoice>) -> Result<Loaded, LoadError> {
    let model = folder.to_str().unwrap().to_owned();
    harness_engine::load(&LoadOptions { model, device: DeviceChoice::Cpu, dtype, ..Default::default() })
}

/// Loads a folder that is as it should be.
pub fn load(folder: &Path) -> Loaded {
    try_load(folder, None).unwrap_or_else(|error| panic!("{error}"))
}

/// Loads a checkpoint through a temporary folder.
pub fn load_checkpoint(checkpoint: &Checkpoint) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    checkpoint.write(folder.path());
    load(folder.path())
}

/// A greedy request of exactly `new` tokens.
pub fn greedy(prompt: &[u32], new: u32) -> TokenRequest {
    TokenRequest { prompt: prompt.to_vec(), max_new_tokens: new, stop_tokens: StopTokens::NONE, sampling: None }
}

/// Serves requests together.
pub fn serve(model: &mut Loaded, requests: &[TokenRequest]) -> Served {
    let mut served = Served::default();
    model.backend.serve(&requests.iter().collect::<Vec<_>>(), &*model.clock, &mut served).unwrap();
    served
}

/// Serves requests together, for their tokens.
pub fn generate(model: &mut Loaded, requests: &[TokenRequest]) -> Vec<Vec<u32>> {
    serve(model, requests).sequences.into_iter().map(|Sequence { tokens, .. }| tokens).collect()
}

/// ‖a − b‖ / ‖b‖.
pub fn distance(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    (difference / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}
