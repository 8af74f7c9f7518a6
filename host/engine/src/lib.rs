//! Backends of the harness: GPT-2 on candle, on a CPU or an NVIDIA GPU, GPT-2 on our own kernels on an NVIDIA GPU, and
//! a simulated model that computes nothing.
//!
//! This crate owns where weights come from (folders, the Hugging Face cache and hub, a seed), tokenizers, and the
//! model's arithmetic. It hands out core's traits; no type of candle's or of the tokenizer's library leaves it.

#[cfg(test)]
mod allocations;
mod bandwidth;
mod candle_error;
pub mod checkpoint;
mod cpu;
#[cfg_attr(not(feature = "candle-cuda"), path = "cuda_absent.rs")]
mod cuda;
mod device;
mod error;
#[cfg(feature = "cuda")]
mod fused;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gpt2;
#[cfg(any(feature = "cuda", feature = "candle-cuda"))]
mod gpu;
mod guarded;
mod hub;
mod load;
mod memory;
mod options;
mod request;
mod simulated;
mod source;
mod synthetic;
mod threads;
mod tokenizer;
mod traffic;
pub mod weights;

pub use self::device::CudaDevice;
pub use self::error::LoadError;
pub use self::hub::observer::{DownloadObserver, Watcher};
pub use self::load::{Loaded, cuda_devices, load, load_simulated};
pub use self::options::{BackendChoice, DTypeChoice, DeviceChoice, LoadOptions};
pub use self::simulated::{Rehearsal, SimulatedSettings};
pub use self::tokenizer::gpt2_tokenizer;
