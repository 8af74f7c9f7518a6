//! Brings a model up: source, weights, device, tokenizer and clock.

use std::sync::Arc;

use candle_core::Device;
use harness_core::roofline::Traffic;
use harness_core::text::visible_line;
use harness_core::{Backend, Clock, ModelInfo, TokenTimes, Tokenizer, WallClock};

use crate::candle_error::plain_message;
use crate::checkpoint;
use crate::cuda;
use crate::device::CudaDevice;
use crate::error::LoadError;
#[cfg(feature = "cuda")]
use crate::fused::{self, Fused};
use crate::gpt2::generate::Gpt2;
use crate::gpt2::{Arithmetic, Model};
#[cfg(any(feature = "cuda", feature = "candle-cuda"))]
use crate::gpu;
use crate::memory;
use crate::options::{BackendChoice, DTypeChoice, DeviceChoice, LoadOptions};
use crate::simulated::{Simulated, SimulatedSettings};
use crate::source::{self, Source};
use crate::synthetic;
use crate::threads;
use crate::tokenizer::{self, gpt2_tokenizer};
use crate::traffic;
use crate::weights::Weights;

/// A model that is ready to serve, and what belongs to it.
pub struct Loaded {
    /// The model.
    pub backend: Box<dyn Backend>,
    /// Its tokenizer.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// What its decoding must read; `None` of a model that computes nothing.
    pub traffic: Option<Traffic>,
    /// The clock by which it serves.
    pub clock: Arc<dyn Clock>,
    /// `GPU-…`, as NVML has it, where the model is on an NVIDIA GPU.
    pub gpu_uuid: Option<String>,
    /// What the user should know about the choices that were made, a sentence each.
    pub notes: Vec<String>,
    /// Threads that the model computes with on the CPU; `None` where it computes elsewhere, or nothing.
    pub threads: Option<usize>,
    /// Whether the CPU was taken because no GPU can be used.
    pub auto_cpu: bool,
}

/// The GPUs in CUDA's order, or why none can be used.
pub fn cuda_devices() -> Result<Vec<CudaDevice>, String> {
    #[cfg(any(feature = "cuda", feature = "candle-cuda"))]
    return gpu::devices();
    #[cfg(not(any(feature = "cuda", feature = "candle-cuda")))]
    Err("this harness was built without CUDA (cargo feature cuda)".into())
}

/// Where a model computes, and by what.
enum Place {
    /// candle's, with matrix products of our own.
    Cpu,
    Candle(Box<cuda::Gpu>),
    #[cfg(feature = "cuda")]
    Fused(Box<fused::driver::Gpu>),
}

/// Loads a model.
pub fn load(options: &LoadOptions) -> Result<Loaded, LoadError> {
    check_tf32(options)?;
    let mut notes = Vec::new();
    let threads_note = threads::ready()?;
    let (place, auto_cpu) = place(options, &mut notes)?;
    match &place {
        Place::Cpu if options.tf32 => return Err(useless_tf32("on the CPU")),
        Place::Candle(_) if options.tf32 => return Err(useless_tf32("with the backend candle")),
        _ => {}
    }
    notes.extend(threads_note);
    let Found { weights, origin, tokenizer, notes: found } = weights(options)?;
    notes.extend(found);
    if origin.starts_with("synthetic:") {
        notes.push(format!(
            "the weights of {} are synthetic, drawn from the seed {}: as fast as trained ones, but the text means \
             nothing; use --download or a model folder for real ones",
            options.model, options.seed
        ));
    }
    if options.tf32 && weights.dtype != DTypeChoice::F32 {
        return Err(useless_tf32(&format!("with weights in {}", weights.dtype)));
    }
    let what = format!("{} bytes for the weights of {}", weights.matrix_bytes(), options.model);
    let room = weights.matrix_bytes();
    let info = |backend, device| info(&options.model, &weights, origin, backend, device);
    // The CPU keeps keys and values in f32 whatever the weights are in.
    let traffic = match place {
        Place::Cpu => traffic::of(&weights, 4),
        _ => traffic::of(&weights, weights.dtype.size()),
    };
    let threads = matches!(place, Place::Cpu).then(rayon::current_num_threads);
    let (backend, gpu_uuid): (Box<dyn Backend>, _) = match place {
        Place::Cpu => {
            let info = info("candle", "cpu".into());
            let model = Model::new(weights, &Device::Cpu, Arithmetic::Cpu)
                .map_err(|error| LoadError::Unusable(plain_message(&error)))?;
            (Box::new(Gpt2::new(info, model, None)), None)
        }
        Place::Candle(gpu) => {
            let info = info("candle", format!("cuda:{}", gpu.index()));
            gpu.check_room(room, &what)?;
            let model = Model::new(weights, &gpu.device(), Arithmetic::Candle)
                .map_err(|error| LoadError::from(gpu.failed(&error, &what)))?;
            let uuid = gpu.uuid().to_owned();
            (Box::new(Gpt2::new(info, model, Some(*gpu))), Some(uuid))
        }
        #[cfg(feature = "cuda")]
        Place::Fused(gpu) => {
            let info = info("fused", format!("cuda:{}", gpu.index()));
            gpu.check_room(room, &what)?;
            let uuid = gpu.uuid().to_owned();
            (Box::new(Fused::load(info, &weights, *gpu, options.tf32)?), Some(uuid))
        }
    };
    let traffic = Some(traffic);
    // Names in them are the user's, or those of a file.
    let notes = notes.iter().map(|note| visible_line(note).into_owned()).collect();
    Ok(Loaded { backend, tokenizer, traffic, clock: Arc::new(WallClock::new()), gpu_uuid, notes, threads, auto_cpu })
}

/// Opens what the model is to compute on, and says whether that is the CPU for want of a GPU.
fn place(options: &LoadOptions, notes: &mut Vec<String>) -> Result<(Place, bool), LoadError> {
    let backend = options.backend;
    if backend == BackendChoice::Fused {
        check_fused(options.device)?;
    }
    let index = match (options.device, backend) {
        (DeviceChoice::Cpu, _) => return Ok((Place::Cpu, false)),
        (DeviceChoice::Cuda(index), _) => index,
        (DeviceChoice::Auto, _) => match (usable(backend), backend) {
            (Ok(()), _) => 0,
            (Err(why), BackendChoice::Fused) => {
                return Err(LoadError::Unusable(format!(
                    "the backend fused can't be used: {why}; install or load the NVIDIA driver, or use --backend candle"
                )));
            }
            (Err(why), _) => {
                notes.push(format!("no NVIDIA GPU can be used: {why}; running on the CPU"));
                return Ok((Place::Cpu, true));
            }
        },
    };
    Ok((open(index, backend)?, false))
}

/// That this binary has the backend fused, and that it isn't to compute on the CPU.
fn check_fused(device: DeviceChoice) -> Result<(), LoadError> {
    let why = match (device, cfg!(feature = "cuda")) {
        (DeviceChoice::Cpu, _) => {
            "the backend fused computes on NVIDIA GPUs only, not on the device cpu; use --device cuda:N, or --backend \
             candle"
        }
        (_, false) => {
            "the backend fused can't be used: this harness was built without the cargo feature cuda; build it with \
             `cargo build --release --features cuda`, or use --backend candle"
        }
        (_, true) => return Ok(()),
    };
    Err(LoadError::Unusable(why.into()))
}

/// Why the first GPU can't be used.
fn usable(backend: BackendChoice) -> Result<(), String> {
    if backend == BackendChoice::Candle && cfg!(feature = "cuda") && !cfg!(feature = "candle-cuda") {
        return Err("this harness was built without the cargo feature candle-cuda, which candle needs for it".into());
    }
    match cuda_devices()?.first() {
        Some(CudaDevice { index, name, compute_capability: (major, minor), backends, .. })
            if backend == BackendChoice::Auto && backends.is_empty() =>
        {
            Err(format!(
                "cuda:{index} ({name}) has compute capability {major}.{minor}, too old for this harness (`harness devices`)"
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(feature = "cuda")]
fn open(index: usize, backend: BackendChoice) -> Result<Place, LoadError> {
    let candle = match backend {
        BackendChoice::Auto => gpu::choose(index)?.backends.first() == Some(&"candle"),
        BackendChoice::Candle => true,
        BackendChoice::Fused => false,
    };
    match candle {
        true => cuda::Gpu::open(index).map(Box::new).map(Place::Candle),
        false => fused::driver::Gpu::open(index).map(Box::new).map(Place::Fused),
    }
}

#[cfg(not(feature = "cuda"))]
fn open(index: usize, _: BackendChoice) -> Result<Place, LoadError> {
    cuda::Gpu::open(index).map(Box::new).map(Place::Candle)
}

/// What can be said before anything is loaded.
fn check_tf32(options: &LoadOptions) -> Result<(), LoadError> {
    match (options.tf32, options.backend, options.device, options.dtype) {
        (false, ..) => Ok(()),
        (_, BackendChoice::Candle, ..) => Err(useless_tf32("with the backend candle")),
        (_, _, DeviceChoice::Cpu, _) => Err(useless_tf32("on the CPU")),
        (.., Some(dtype)) if dtype != DTypeChoice::F32 => Err(useless_tf32(&format!("with weights in {dtype}"))),
        _ => Ok(()),
    }
}

fn useless_tf32(wherefore: &str) -> LoadError {
    LoadError::Unusable(format!(
        "--tf32 does nothing {wherefore}: it is for weights in f32 with the backend fused; leave it out"
    ))
}

/// The simulated model, with its own clock and GPT-2's tokenizer.
pub fn load_simulated(settings: &SimulatedSettings, seed: u64) -> Loaded {
    let (model, clock) = Simulated::new(settings, seed);
    Loaded {
        backend: Box::new(model),
        tokenizer: gpt2_tokenizer(),
        traffic: None,
        clock,
        gpu_uuid: None,
        notes: vec!["the model is simulated: times are as set, and the text means nothing".into()],
        threads: None,
        auto_cpu: false,
    }
}

/// What belongs to a model, wherever it computes.
struct Found {
    weights: Weights,
    /// Where they come from, as a recording says it.
    origin: String,
    tokenizer: Arc<dyn Tokenizer>,
    notes: Vec<String>,
}

fn weights(options: &LoadOptions) -> Result<Found, LoadError> {
    match source::find(&options.model, options.download, &options.watcher)? {
        Source::Folder(folder) => {
            let loaded = checkpoint::load(&folder, options.dtype)?;
            let (tokenizer, note) = tokenizer::of_folder(&folder)?;
            let origin = format!("sha256:{}", loaded.sha256);
            Ok(Found {
                weights: loaded.weights,
                origin,
                tokenizer,
                notes: loaded.note.into_iter().chain(note).collect(),
            })
        }
        Source::Synthetic(config) => {
            let dtype = options.dtype.unwrap_or(DTypeChoice::F32);
            let bytes = config.weight_bytes(dtype.size() as u64);
            let what = format!("{bytes} bytes for the weights of {}", options.model);
            memory::check_room(bytes, &what, checkpoint::SMALLER)?;
            let weights = synthetic::weights(config, dtype, options.seed);
            let origin = format!("synthetic:{}", options.seed);
            Ok(Found { weights, origin, tokenizer: gpt2_tokenizer(), notes: Vec::new() })
        }
    }
}

fn info(name: &str, weights: &Weights, origin: String, backend: &str, device: String) -> ModelInfo {
    let config = &weights.config;
    // Config::read bounds every size far below u32's.
    ModelInfo {
        name: name.into(),
        backend: backend.into(),
        device,
        dtype: weights.dtype.to_string(),
        weights: origin,
        parameters: weights.parameters(),
        layers: config.layers as u32,
        heads: config.heads as u32,
        width: config.width as u32,
        vocabulary: config.vocabulary as u32,
        context: config.context as u32,
        stop_tokens: config.stop_tokens,
        token_times: TokenTimes::Host,
    }
}
