//! How much of the machine a plugin may use.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::compile::Footprint;

/// The limits of one call into a plugin. Iterations and wall time of a recording are `harness_core::Budget`'s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of all linear memories together.
    pub memory: usize,
    /// Time in the guest between two calls of the host.
    pub call_time: Duration,
    /// Time in the guest and in the host on its behalf in all, the model's work left out.
    pub guest_time: Duration,
    /// Bytes that the guest hands to the host in one call or returns.
    pub output: usize,
    /// Lines that the guest logs.
    pub log_lines: u64,
    /// Wall time of a run from the first instruction on, the model's work included.
    pub wall_time: Duration,
    /// Wall time of `describe`.
    pub describe_time: Duration,
    /// Wall time of `render`.
    pub render_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            call_time: Duration::from_secs(10),
            guest_time: Duration::from_secs(600),
            output: 64 << 20,
            log_lines: 1_000,
            wall_time: Duration::from_secs(24 * 3600),
            describe_time: Duration::from_secs(10),
            render_time: Duration::from_secs(60),
        }
    }
}

/// A limit that a guest ran into; its text says which, how much it is, and how to raise it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LimitError(pub(crate) String);

/// Bounds what a guest can make wasmtime allocate.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    most: usize,
    used: usize,
    table_elements: usize,
}

/// Most elements of all tables; a component of a real toolchain has some thousands.
const MOST_TABLE_ELEMENTS: usize = 1_000_000;
/// Bytes of a table's element.
const TABLE_ELEMENT: usize = 8;
/// Most core instances, of which a component of a real toolchain has some ten, and of their tables and memories. Each memory
/// has 4 GiB of address space, used or not.
pub(crate) const MOST_INSTANCES: usize = 10_000;
pub(crate) const MOST_TABLES: usize = 1_000;
pub(crate) const MOST_MEMORIES: usize = 100;

impl MemoryLimiter {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, used: 0, table_elements: 0 }
    }

    /// Bytes that it may have.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Bytes that the guest has in wasmtime: of linear memories, tables and instances.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Counts what an instance takes before there is one.
    pub(crate) fn instantiate(&mut self, footprint: &Footprint) -> Result<(), LimitError> {
        if footprint.instances > MOST_INSTANCES as u64 {
            return Err(LimitError(format!(
                "it is made of {} core instances, and may have {MOST_INSTANCES}",
                footprint.instances
            )));
        }
        self.resize(0, usize::try_from(footprint.bytes).unwrap_or(usize::MAX))
    }

    fn resize(&mut self, current: usize, desired: usize) -> Result<(), LimitError> {
        let used = self.used.saturating_sub(current).saturating_add(desired);
        if used > self.most {
            return Err(LimitError(format!(
                "it asked for {used} bytes of memory, and may have {}; allow more with --max-memory",
                self.most
            )));
        }
        self.used = used;
        Ok(())
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.resize(current, desired)?;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.table_elements.saturating_sub(current).saturating_add(desired);
        if elements > MOST_TABLE_ELEMENTS {
            return Err(wasmtime::Error::from(LimitError(format!(
                "it asked for tables of {elements} elements, and may have {MOST_TABLE_ELEMENTS}"
            ))));
        }
        self.resize(current.saturating_mul(TABLE_ELEMENT), desired.saturating_mul(TABLE_ELEMENT))?;
        self.table_elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MOST_INSTANCES
    }

    fn tables(&self) -> usize {
        MOST_TABLES
    }

    fn memories(&self) -> usize {
        MOST_MEMORIES
    }
}
