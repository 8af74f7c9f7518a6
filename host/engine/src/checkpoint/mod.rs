//! Reads a model folder in Hugging Face's form: `config.json`, and memory-mapped safetensors files.

mod config;
mod file;
pub(crate) mod folder;
pub(crate) mod lfs;
mod names;
pub(crate) mod shards;
mod stop;
mod tensors;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

pub use self::config::{Activation, Config};
pub(crate) use self::names::{CONFIG_FILE, WEIGHTS_FILE};
use self::tensors::{EMBEDDING, HEAD, Tensors};
use crate::error::LoadError;
use crate::memory;
use crate::options::DTypeChoice;
use crate::weights::{Affine, Block, Norm, Weights};

/// Weights and the sha256 of the file that they came from, in hexadecimal; of several, one after another in the order of their
/// names.
pub(crate) struct Loaded {
    pub(crate) weights: Weights,
    pub(crate) sha256: String,
    /// What the user should know about them.
    pub(crate) note: Option<String>,
}

/// Reads the model in `folder`, its matrices converted to `dtype` where one is given.
pub(crate) fn load(folder: &Path, dtype: Option<DTypeChoice>) -> Result<Loaded, LoadError> {
    let config = Config::of_folder(folder)?;
    let tensors = Tensors::open(&folder::weight_files(folder)?)?;
    tensors.check_layers(config.layers)?;
    // As many as config.json says, but a file has no more numbers than bytes for them, which are doubled at most.
    let file = tensors.bytes().map(|bytes| bytes.len() as u64).sum::<u64>();
    let bytes = match dtype {
        Some(dtype) => config.weight_bytes(dtype.size() as u64).min(2 * file),
        None => config.weight_bytes(4).min(file),
    };
    memory::check_room(bytes, &format!("{bytes} bytes for the weights of {}", folder.display()), SMALLER)?;
    let failed = AtomicBool::new(false);
    let (weights, sha256) = std::thread::scope(|scope| {
        let hash = scope.spawn(|| digest(tensors.bytes(), &failed));
        let weights = read(&tensors, config, dtype);
        failed.store(weights.is_err(), Ordering::Relaxed);
        let sha256 = hash.join().map(|digest| digest.into_iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        (weights, sha256)
    });
    let sha256 =
        sha256.map_err(|_| LoadError::Unusable(format!("the weights of {} could not be hashed", folder.display())))?;
    Ok(Loaded { weights: weights?, sha256, note: tensors.unused() })
}

/// What to do where weights do not fit the machine.
pub(crate) const SMALLER: &str = "use a smaller model or --dtype f16";

/// The sha256 of the files, unless it is of no use any more: a file of many gigabytes that is no model is refused at once.
fn digest<'a>(files: impl Iterator<Item = &'a [u8]>, failed: &AtomicBool) -> [u8; 32] {
    let mut hash = Sha256::new();
    for piece in files.flat_map(|bytes| bytes.chunks(1 << 24)) {
        if failed.load(Ordering::Relaxed) {
            break;
        }
        hash.update(piece);
    }
    hash.finalize().into()
}

fn read(tensors: &Tensors, config: Config, dtype: Option<DTypeChoice>) -> Result<Weights, LoadError> {
    // Of a tied pair, a file may have either.
    let embedding = match config.tied && !tensors.contains(EMBEDDING) && tensors.contains(HEAD) {
        true => HEAD,
        false => EMBEDDING,
    };
    let dtype = match dtype {
        Some(dtype) => dtype,
        None => tensors.dtype(embedding)?,
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
    let wte = tensors.matrix(embedding, config.vocabulary, width, dtype)?;
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
    let head = if tensors.contains(HEAD) {
        match embedding == HEAD || tensors.equal(HEAD, embedding)? {
            true => None,
            false => Some(tensors.matrix(HEAD, config.vocabulary, width, dtype)?),
        }
    } else if config.tied {
        None
    } else {
        return Err(tensors.missing(HEAD));
    };
    Ok(Weights { config, dtype, wte, wpe, blocks, ln_f, head })
}
