//! Brings a model up: source, weights, device, tokenizer and clock.

use std::sync::Arc;

use candle_core::Device;
use harness_core::{Backend, Clock, ModelInfo, TokenTimes, Tokenizer, WallClock};

use crate::checkpoint;
use crate::cuda::{self, Gpu};
use crate::error::LoadError;
use crate::gpt2::generate::{Gpt2, plain_message};
use crate::gpt2::{Arithmetic, Model};
use crate::options::{DTypeChoice, DeviceChoice, LoadOptions};
use crate::simulated::{Simulated, SimulatedSettings};
use crate::source::{self, Source};
use crate::synthetic;
use crate::tokenizer::{self, gpt2_tokenizer};
use crate::weights::Weights;

/// A model that is ready to serve, and what belongs to it.
pub struct Loaded {
    /// The model.
    pub backend: Box<dyn Backend>,
    /// Its tokenizer.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// The clock by which it serves.
    pub clock: Arc<dyn Clock>,
    /// `GPU-…`, as NVML has it, where the model is on an NVIDIA GPU.
    pub gpu_uuid: Option<String>,
    /// What the user should know about the choices that were made, a sentence each.
    pub notes: Vec<String>,
    /// Whether the CPU was taken because no GPU can be used.
    pub auto_cpu: bool,
}

/// An NVIDIA GPU that CUDA can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// N of `cuda:N`.
    pub index: usize,
    /// As its maker calls it.
    pub name: String,
    /// `GPU-…`, as NVML has it.
    pub uuid: String,
    /// Bytes of its memory.
    pub memory: u64,
}

/// The GPUs in CUDA's order, or why none can be used.
pub fn cuda_devices() -> Result<Vec<CudaDevice>, String> {
    cuda::devices()
}

/// Loads a model.
pub fn load(options: &LoadOptions) -> Result<Loaded, LoadError> {
    let mut notes = Vec::new();
    let (gpu, auto_cpu) = match options.device {
        DeviceChoice::Cpu => (None, false),
        DeviceChoice::Cuda(index) => (Some(Gpu::open(index)?), false),
        DeviceChoice::Auto => match cuda::devices() {
            Ok(_) => (Some(Gpu::open(0)?), false),
            Err(why) => {
                notes.push(format!("no NVIDIA GPU can be used: {why}; running on the CPU"));
                (None, true)
            }
        },
    };
    let (weights, origin, tokenizer) = weights(options)?;
    if origin.starts_with("synthetic:") {
        notes.push(format!(
            "the weights of {} are synthetic, drawn from the seed {}: as fast as trained ones, but the text means \
             nothing; use --download or a model folder for real ones",
            options.model, options.seed
        ));
    }
    let info = info(&options.model, &weights, origin, gpu.as_ref());
    let (device, arithmetic) = match &gpu {
        Some(gpu) => (gpu.device(), Arithmetic::Candle),
        None => (Device::Cpu, Arithmetic::Cpu),
    };
    let what = format!("{} bytes for the weights of {}", weights.matrix_bytes(), options.model);
    if let Some(gpu) = &gpu {
        gpu.check_room(weights.matrix_bytes(), &what).map_err(LoadError::from)?;
    }
    let model = Model::new(weights, &device, arithmetic).map_err(|error| match &gpu {
        Some(gpu) => LoadError::from(gpu.failed(&error, &what)),
        None => LoadError::Unusable(plain_message(&error)),
    })?;
    let gpu_uuid = gpu.as_ref().map(|gpu| gpu.uuid().to_owned());
    Ok(Loaded {
        backend: Box::new(Gpt2::new(info, model, gpu)),
        tokenizer,
        clock: Arc::new(WallClock::new()),
        gpu_uuid,
        notes,
        auto_cpu,
    })
}

/// The simulated model, with its own clock and GPT-2's tokenizer.
pub fn load_simulated(settings: &SimulatedSettings, seed: u64) -> Loaded {
    let (model, clock) = Simulated::new(settings, seed);
    Loaded {
        backend: Box::new(model),
        tokenizer: gpt2_tokenizer(),
        clock,
        gpu_uuid: None,
        notes: vec!["the model is simulated: times are as set, and the text means nothing".into()],
        auto_cpu: false,
    }
}

/// The weights, where they come from as a recording says it, and the tokenizer.
fn weights(options: &LoadOptions) -> Result<(Weights, String, Arc<dyn Tokenizer>), LoadError> {
    match source::find(&options.model, options.download)? {
        Source::Folder(folder) => {
            let loaded = checkpoint::load(&folder, options.dtype)?;
            let tokenizer = tokenizer::of_folder(&folder)?;
            Ok((loaded.weights, format!("sha256:{}", loaded.sha256), tokenizer))
        }
        Source::Synthetic(config) => {
            let dtype = options.dtype.unwrap_or(DTypeChoice::F32);
            let weights = synthetic::weights(config, dtype, options.seed);
            Ok((weights, format!("synthetic:{}", options.seed), gpt2_tokenizer()))
        }
    }
}

fn info(name: &str, weights: &Weights, origin: String, gpu: Option<&Gpu>) -> ModelInfo {
    let config = &weights.config;
    // Config::read bounds every size far below u32's.
    ModelInfo {
        name: name.into(),
        backend: "candle".into(),
        device: gpu.map_or_else(|| "cpu".into(), |gpu| format!("cuda:{}", gpu.index())),
        dtype: weights.dtype.to_string(),
        weights: origin,
        parameters: weights.parameters(),
        layers: config.layers as u32,
        heads: config.heads as u32,
        width: config.width as u32,
        vocabulary: config.vocabulary as u32,
        context: config.context as u32,
        end_of_text: config.end_of_text,
        token_times: TokenTimes::Host,
    }
}
