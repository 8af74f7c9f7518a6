//! Reads a model folder in Hugging Face's form: `config.json` and a memory-mapped `model.safetensors`.

mod config;
pub(crate) mod shards;
mod tensors;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

pub use self::config::{Activation, Config};
use self::tensors::Tensors;
use crate::error::LoadError;
use crate::memory;
use crate::options::DTypeChoice;
use crate::weights::{Affine, Block, Norm, Weights};

/// The weights' file in a model folder.
pub(crate) const WEIGHTS_FILE: &str = "model.safetensors";
/// The architecture's file in a model folder.
pub(crate) const CONFIG_FILE: &str = "config.json";

/// Weights and the sha256 of the file that they came from, in hexadecimal.
pub(crate) struct Loaded {
    pub(crate) weights: Weights,
    pub(crate) sha256: String,
}

/// Reads the model in `folder`, its matrices converted to `dtype` where one is given.
pub(crate) fn load(folder: &Path, dtype: Option<DTypeChoice>) -> Result<Loaded, LoadError> {
    let config = Config::read(&folder.join(CONFIG_FILE))?;
    let path = weights_file(folder)?;
    let tensors = Tensors::open(&path)?;
    // As many as config.json says, but a file has no more numbers than bytes for them, which are doubled at most.
    let file = tensors.bytes().len() as u64;
    let bytes = match dtype {
        Some(dtype) => config.weight_bytes(dtype.size() as u64).min(2 * file),
        None => config.weight_bytes(4).min(file),
    };
    memory::check_room(bytes, &format!("{bytes} bytes for the weights {}", path.display()), SMALLER)?;
    let failed = AtomicBool::new(false);
    let (weights, sha256) = std::thread::scope(|scope| {
        let hash = scope.spawn(|| digest(tensors.bytes(), &failed));
        let weights = read(&tensors, config, dtype);
        failed.store(weights.is_err(), Ordering::Relaxed);
        let sha256 = hash.join().map(|digest| digest.into_iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        (weights, sha256)
    });
    let sha256 = sha256.map_err(|_| LoadError::Unusable(format!("{} could not be hashed", path.display())))?;
    Ok(Loaded { weights: weights?, sha256 })
}

/// What to do where weights do not fit the machine.
pub(crate) const SMALLER: &str = "use a smaller model or --dtype f16";

/// The sha256 of the bytes, unless it is of no use any more: a file of many gigabytes that is no model is refused at once.
fn digest(bytes: &[u8], failed: &AtomicBool) -> impl IntoIterator<Item = u8> + use<> {
    let mut hash = Sha256::new();
    for piece in bytes.chunks(1 << 24) {
        if failed.load(Ordering::Relaxed) {
            break;
        }
        hash.update(piece);
    }
    hash.finalize()
}

fn weights_file(folder: &Path) -> Result<PathBuf, LoadError> {
    let path = folder.join(WEIGHTS_FILE);
    if path.symlink_metadata().is_ok() {
        return Ok(path);
    }
    let folder_name = folder.display();
    Err(LoadError::Unusable(if folder.join(shards::INDEX_FILE).is_file() {
        format!(
            "the model folder {folder_name} holds its weights in several files, and only one {WEIGHTS_FILE} can be \
             read; load and save the model with transformers and max_shard_size=\"100GB\" to put them into one"
        )
    } else if folder.join("pytorch_model.bin").is_file() {
        format!(
            "the model folder {folder_name} has only pytorch_model.bin, which can run code when it is read, and no \
             {WEIGHTS_FILE}; load and save the model with transformers and safe_serialization=True to get one"
        )
    } else {
        format!(
            "the model folder {folder_name} has no {WEIGHTS_FILE}; give a folder that has config.json and \
             {WEIGHTS_FILE}, as Hugging Face transformers saves them"
        )
    }))
}

fn read(tensors: &Tensors, config: Config, dtype: Option<DTypeChoice>) -> Result<Weights, LoadError> {
    let dtype = match dtype {
        Some(dtype) => dtype,
        None => tensors.dtype("wte.weight")?,
    };
    let (width, hidden) = (config.width, config.hidden);
    let norm = |name: &str| -> Result<Norm, LoadError> {
        Ok(Norm {
            weight: tensors.vector(&format!("{name}.weight"), width)?,
            bias: tensors.vector(&format!("{name}.bias"), width)?,
        })
    };
    // transformers' Conv1D keeps its weight as [in, out].
    let conv = |name: &str, inputs: usize, outputs: usize| -> Result<Affine, LoadError> {
        Ok(Affine {
            weight: tensors.transposed(&format!("{name}.weight"), inputs, outputs, dtype)?,
            bias: tensors.vector(&format!("{name}.bias"), outputs)?,
        })
    };
    let wte = tensors.matrix("wte.weight", config.vocabulary, width, dtype)?;
    let wpe = tensors.matrix("wpe.weight", config.context, width, dtype)?;
    let blocks = (0..config.layers)
        .map(|layer| {
            Ok(Block {
                ln_1: norm(&format!("h.{layer}.ln_1"))?,
                qkv: conv(&format!("h.{layer}.attn.c_attn"), width, 3 * width)?,
                proj: conv(&format!("h.{layer}.attn.c_proj"), width, width)?,
                ln_2: norm(&format!("h.{layer}.ln_2"))?,
                up: conv(&format!("h.{layer}.mlp.c_fc"), width, hidden)?,
                down: conv(&format!("h.{layer}.mlp.c_proj"), hidden, width)?,
            })
        })
        .collect::<Result<_, LoadError>>()?;
    let ln_f = norm("ln_f")?;
    // A file may repeat the tied head. One that differs is meant to be used, whatever config.json says.
    let head = if tensors.contains("lm_head.weight") {
        if tensors.equal("lm_head.weight", "wte.weight")? {
            None
        } else {
            Some(tensors.matrix("lm_head.weight", config.vocabulary, width, dtype)?)
        }
    } else if config.tied {
        None
    } else {
        return Err(tensors.missing("lm_head.weight"));
    };
    Ok(Weights { config, dtype, wte, wpe, blocks, ln_f, head })
}
