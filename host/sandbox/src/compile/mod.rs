//! Compiles components where a hostile one can do no harm: in a child process of this binary that has little memory and time,
//! no files and no network. What it answers is what `wasmtime` deserialises, and how much an instance takes.

mod child;
mod confine;
mod footprint;
mod parent;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::{Config, Engine};

use child::ARGUMENT;
pub use child::main as compiler_main;
pub(crate) use confine::{address_space, memory_images};
pub(crate) use footprint::Footprint;
pub use parent::{ChildCompiler, Confinement};

use crate::limits::LimitError;

/// How much of the machine the compilation of one component may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimits {
    /// Bytes, beside what the compiler itself takes.
    pub memory: u64,
    /// Processor time. Twice as much may pass on the clock.
    pub time: Duration,
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self { memory: 416 << 20, time: Duration::from_secs(30) }
    }
}

/// What compiles components that are not in the cache.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// A child process with limits.
    Child(ChildCompiler),
    /// This process, without limits: for components that are as trusted as this binary.
    InProcess,
}

/// A compiled component.
pub(crate) struct Compiled {
    pub(crate) footprint: Footprint,
    /// For `Component::deserialize`.
    pub(crate) artifact: Vec<u8>,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum CompileError {
    /// It is no valid component; wasmtime's words.
    Invalid(String),
    /// It takes too much.
    Limit(LimitError),
    /// There was no more memory.
    OutOfMemory,
    /// The system gives it too little.
    System(String),
    /// The compiler ended without an answer.
    Broken(String),
}

/// What the child answers, before the artifact.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Compiled(Footprint),
    Invalid(String),
    OutOfMemory,
}

/// The configuration of every engine: code is only taken where it was compiled for the same. `memory_images` is what
/// [`memory_images`] says.
pub(crate) fn config(memory_images: bool) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    // No backtrace of a guest is ever shown, so what would make one need not be read, unpacked and registered at each load.
    config.generate_address_map(false);
    config.memory_init_cow(memory_images);
    // Windows needs it whatever is shown.
    config.native_unwind_info(cfg!(windows));
    config
}

impl Compiler {
    pub(crate) fn compile(&self, engine: &Engine, component: &[u8]) -> Result<Compiled, CompileError> {
        match self {
            Self::Child(child) => child.compile(component),
            Self::InProcess => compile(engine, component),
        }
    }
}

fn compile(engine: &Engine, component: &[u8]) -> Result<Compiled, CompileError> {
    let artifact = engine.precompile_component(component).map_err(|error| {
        let line = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
        match out_of_memory(&error) {
            true => CompileError::OutOfMemory,
            false => CompileError::Invalid(line),
        }
    })?;
    let footprint = Footprint::of(&artifact).map_err(CompileError::Broken)?;
    Ok(Compiled { footprint, artifact })
}

/// Whether the system refused memory.
pub(crate) fn out_of_memory(error: &wasmtime::Error) -> bool {
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::OutOfMemory;
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(refused))
        || error.is::<wasmtime::error::OutOfMemory>()
        || format!("{error:#}").contains("Cannot allocate memory")
}
