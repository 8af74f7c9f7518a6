//! The GPU's sensors, read through NVML behind core's [`Sensors`](harness_core::Sensors) and
//! [`Gpus`](harness_core::Gpus).
//!
//! Only this crate knows NVML, and in it only `driver` calls it, never without a limit (`guarded`). A thread of its own reads the GPU through each run ([`sampler`](Nvml::sampler)); what it
//! noted becomes a run's series and values in functions that call no NVML (`summary`, `distinct`), so that the rules on
//! which samples count can be read and tested in one place.
//!
//! How an H100 (driver 580.159) behaves, since the design leans on it:
//!
//! | what | seen |
//! | --- | --- |
//! | `nvmlDeviceGetSamples`, utilisation | a window each 200 ms, 71 of them kept, visible 2 to 8 ms after its time stamp; a call takes 2 ms |
//! | `nvmlDeviceGetSamples`, power | a momentary value each 20 ms, 119 of them kept; 0.4 ms |
//! | `nvmlDeviceGetSamples`, clocks | always `NVML_ERROR_NOT_FOUND` |
//! | `nvmlDeviceGetPowerUsage` | the mean of the last second, renewed each 100 ms: after a step of load it is right a second later |
//! | energy counter | moves each 100 ms; a call takes 3 ms, up to 30 |
//! | clocks, temperature | renewed each 100 ms |
//! | everything else that is polled | 3 to 30 µs a call |
//!
//! So every tick polls what is cheap, buffers are fetched twice a second and at the end, and the energy counter is read
//! just before and just after the run; so is GPM, on GPUs that have it.

mod details;
mod device;
mod distinct;
mod driver;
mod error;
mod file;
mod gpm;
mod guarded;
mod health;
mod library;
mod plausible;
mod readings;
mod sampler;
mod summary;

pub use details::{Details, GpuDetails, UnreadableGpu};
pub use driver::was_loaded;
pub use error::Refused;
pub use guarded::{LIMIT, Silent, unanswered, within};
pub use library::Nvml;
pub use sampler::Options;
