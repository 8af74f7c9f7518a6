//! Makes the model ready that the settings name.

use std::sync::Arc;

use harness_core::Server;
use harness_core::roofline::Traffic;
use harness_engine::{LoadOptions, Loaded, Watcher, load_simulated};

use crate::download::Downloads;
use crate::failure::Failure;
use crate::progress::Screen;
use crate::settings::ModelSettings;

/// A model that is ready to serve, and what is known of it.
pub(crate) struct Model {
    pub(crate) server: Server,
    /// What its decoding must read; `None` of a model that computes nothing.
    pub(crate) traffic: Option<Traffic>,
    /// `GPU-…`, as NVML has it, where the model is on an NVIDIA GPU.
    pub(crate) gpu_uuid: Option<String>,
    /// What the user should know about the choices that were made, a sentence each.
    pub(crate) notes: Vec<String>,
    /// Threads that the model computes with on the CPU; `None` where it computes elsewhere, or nothing.
    pub(crate) threads: Option<usize>,
    /// Whether the CPU was taken because no GPU can be used.
    pub(crate) auto_cpu: bool,
}

/// Loads it, and shows what is downloaded for it. Synthetic prompts are drawn from `seed`.
pub(crate) fn load(settings: &ModelSettings, seed: u64, screen: &Screen) -> Result<Model, Failure> {
    let loaded = match settings {
        ModelSettings::Gpt2(options) => {
            let watcher = Watcher::new(Arc::new(Downloads::new(screen.clone())));
            let loaded = harness_engine::load(&LoadOptions { watcher, ..options.clone() });
            // A download that failed leaves its line.
            screen.clear();
            loaded?
        }
        ModelSettings::Simulated(settings) => load_simulated(settings, seed),
    };
    Ok(Model::of(loaded, seed))
}

impl Model {
    /// Of what the engine loaded.
    pub(crate) fn of(loaded: Loaded, seed: u64) -> Self {
        let Loaded { backend, tokenizer, traffic, clock, gpu_uuid, notes, threads, auto_cpu } = loaded;
        Self { server: Server::new(backend, tokenizer, clock, seed), traffic, gpu_uuid, notes, threads, auto_cpu }
    }
}
