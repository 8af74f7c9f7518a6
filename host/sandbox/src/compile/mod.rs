//! Compiles components where a hostile one can do no harm: in a child process of this binary that has little memory and time,
//! no files and no network. What it answers is what `wasmtime` deserialises, and how much an instance takes.

mod answer;
mod child;
mod confine;
mod engine;
mod footprint;
mod load_limits;
mod parent;

use wasmtime::Engine;

pub(crate) use answer::{CompileError, Compiled};
pub use child::main as compiler_main;
pub use confine::Confinement;
pub(crate) use confine::{address_space, memory_images};
pub(crate) use engine::{config, out_of_memory};
pub(crate) use footprint::Footprint;
pub use load_limits::LoadLimits;
pub use parent::ChildCompiler;

/// What compiles components that are not in the cache.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// A child process with limits.
    Child(ChildCompiler),
    /// This process, without limits: for components that are as trusted as this binary.
    InProcess,
}

impl Compiler {
    pub(crate) fn compile(&self, engine: &Engine, component: &[u8]) -> Result<Compiled, CompileError> {
        match self {
            Self::Child(child) => child.compile(component),
            Self::InProcess => engine::compile(engine, component),
        }
    }
}
