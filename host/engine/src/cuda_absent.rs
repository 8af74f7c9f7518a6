//! Stands in for `cuda.rs` in a binary without the cargo feature `candle-cuda`: there never is a GPU for candle.

use std::convert::Infallible;
use std::time::Duration;

use candle_core::{Device, Result};
use harness_core::{BackendError, Memory};

use crate::error::LoadError;

/// A GPU that is never there.
pub(crate) struct Gpu(Infallible);

impl Gpu {
    pub(crate) fn open(index: usize) -> std::result::Result<Self, LoadError> {
        Err(LoadError::Unusable(match cfg!(feature = "cuda") {
            true => format!(
                "the device cuda:{index} can't be used with the backend candle: this harness was built without the cargo \
                 feature candle-cuda; use --backend fused, or --device cpu"
            ),
            false => format!(
                "the device cuda:{index} can't be used: this harness was built without CUDA; build it with the cargo \
                 feature cuda (`cargo build --release --features cuda`), or use --device cpu"
            ),
        }))
    }

    pub(crate) fn index(&self) -> usize {
        match self.0 {}
    }

    pub(crate) fn uuid(&self) -> &str {
        match self.0 {}
    }

    pub(crate) fn device(&self) -> Device {
        match self.0 {}
    }

    pub(crate) fn check_room(&self, _bytes: u64, _what: &str) -> std::result::Result<(), BackendError> {
        match self.0 {}
    }

    pub(crate) fn failed(&self, _error: &candle_core::Error, _what: &str) -> BackendError {
        match self.0 {}
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn stop(&mut self) -> Result<Duration> {
        match self.0 {}
    }

    pub(crate) fn memory(&mut self) -> std::result::Result<Memory, String> {
        match self.0 {}
    }

    pub(crate) fn reset_peak(&mut self) {
        match self.0 {}
    }
}
