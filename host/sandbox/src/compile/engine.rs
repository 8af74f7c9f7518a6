//! The engine that compiles, and that runs what was compiled.

use wasmtime::{Config, Engine};

use super::answer::{CompileError, Compiled};
use super::footprint::Footprint;

/// The configuration of every engine: code is only taken where it was compiled for the same. `memory_images` is what
/// `confine::memory_images` says.
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

/// Compiles in this process.
pub(super) fn compile(engine: &Engine, component: &[u8]) -> Result<Compiled, CompileError> {
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
