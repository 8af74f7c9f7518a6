//! What compiling a component gives.

use serde::{Deserialize, Serialize};

use super::footprint::Footprint;
use crate::limits::LimitError;

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
pub(super) enum Answer {
    Compiled(Footprint),
    Invalid(String),
    OutOfMemory,
}
