//! Runs plugins: loads a component, links it to the contract, limits it and calls it.
//!
//! This crate alone sees the types generated from `wit/`. Every value that comes from a guest is checked and turned into
//! one of `harness-core`'s before anything else sees it. A guest gets no file, socket, environment variable, argument or
//! running clock, and its randomness is the recording's seed.

mod bindings;
mod cache;
mod compile;
mod convert;
mod description;
mod error;
pub mod file_name;
mod guest_clock;
mod host;
mod kinds;
mod limits;
mod output;
mod payload;
mod plugin;
mod resident;
mod sandbox;
mod state;
mod text;
mod versions;
mod wasi;

pub use compile::{ChildCompiler, Compiler, Confinement, LoadLimits, compiler_main};
pub use description::{Description, Setting};
pub use error::PluginError;
pub use limits::Limits;
pub use output::{Artifact, Output};
pub use plugin::Plugin;
pub use sandbox::{Sandbox, sha256};
pub use state::{LogLevel, LogSink, NoLog};
pub use versions::CONTRACT_VERSIONS;
