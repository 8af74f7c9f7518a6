//! What the harness is about, without any of the things it is made with: requests and plans, the runner
//! that serves them, the runs it records, the metrics those hold, and the recording on disk.
//!
//! This crate knows no wasmtime, candle, NVML, clap or wasm. The model, the GPU's sensors and time itself
//! come in through the traits [`Backend`], [`Sensors`], [`Gpus`] and [`Clock`].

pub mod aggregation;
pub mod backend;
pub mod bandwidth;
pub mod clock;
pub mod compare;
pub mod control;
mod cost;
pub mod doctor;
pub mod error;
pub mod fact;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod input;
pub mod keyed;
pub mod metric;
pub mod model;
pub mod plan;
pub mod private;
pub mod random;
pub mod recording;
pub mod request;
pub mod roofline;
pub mod run;
mod runner;
pub mod sensors;
pub mod server;
pub mod session;
pub mod stop_tokens;
pub mod temporaries;
pub mod tokenizer;
pub mod vigil;
mod warmup;
pub mod warning;

pub use harness_figures::{format, statistics, text};

pub use backend::{Backend, Memory, MemoryKind, Sequence, Served};
pub use bandwidth::Bandwidth;
pub use clock::{Clock, VirtualClock, WallClock};
pub use control::{Budget, Progress, StopFlag};
pub use cost::PluginCost;
pub use error::{BackendError, MeasureError, Stop};
pub use metric::{Direction, Metric, Reading};
pub use model::{ModelInfo, TokenTimes};
pub use plan::Plan;
pub use recording::{Ended, Facts, Kept, Recorder, Recording, Status};
pub use request::{Finish, Prompt, Request, Sampling, TokenRequest};
pub use run::{Run, Series};
pub use sensors::{GpuDevice, GpuState, Gpus, NoGpus, NoSensors, SensorLog, Sensors};
pub use server::{Generation, Server};
pub use session::{Observer, Session, Work};
pub use stop_tokens::StopTokens;
pub use tokenizer::Tokenizer;
pub use vigil::{Standstill, Vigil};
pub use warning::{Throttled, Warning};
