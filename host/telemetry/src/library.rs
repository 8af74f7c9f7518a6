//! Loads NVML and answers for the machine's GPUs.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use harness_core::doctor::{GpuHealth, Reading};
use harness_core::{GpuDevice, GpuState, Gpus, Sensors};
use nvml_wrapper::error::NvmlError;

use crate::details::{self, Details};
use crate::device;
use crate::error::explain;
use crate::health;
use crate::sampler::{Options, Sampler};

/// Where drivers put NVML: the name that every driver installs, then the one that only development packages do.
const NAMES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// The NVIDIA driver's management library, loaded and initialised. Clones share it.
#[derive(Clone, Debug)]
pub struct Nvml {
    pub(crate) library: Arc<nvml_wrapper::Nvml>,
}

impl Nvml {
    /// Loads the driver's library.
    ///
    /// # Errors
    ///
    /// Why there are no sensors, as a clause: 'no NVIDIA driver: libnvidia-ml.so.1 was not found'.
    pub fn open() -> Result<Self, String> {
        for name in NAMES {
            match Self::load(name.as_ref()) {
                Err(NvmlError::LibloadingError(error)) if is_not_found(&error) => {}
                Err(error) => return Err(why_not(name, &error)),
                Ok(nvml) => return Ok(nvml),
            }
        }
        Err(format!("no NVIDIA driver: {} was not found", NAMES[0]))
    }

    /// Loads the library from a file, as tests do with a fake one.
    ///
    /// # Errors
    ///
    /// As [`Nvml::open`].
    pub fn open_library(path: &Path) -> Result<Self, String> {
        Self::load(path.as_os_str()).map_err(|error| match error {
            NvmlError::LibloadingError(error) if is_not_found(&error) => {
                format!("no NVIDIA driver: {} was not found", path.display())
            }
            error => why_not(&path.display().to_string(), &error),
        })
    }

    fn load(name: &OsStr) -> Result<Self, NvmlError> {
        let library = nvml_wrapper::Nvml::builder().lib_path(name).init()?;
        Ok(Self { library: Arc::new(library) })
    }

    /// Sensors of one GPU, in a thread that lives as long as they do.
    ///
    /// `gpu` is a UUID, with or without `GPU-` and in either case, or the driver's number for it. CUDA counts GPUs in another
    /// order than the driver does, so a GPU known from CUDA must be given by its UUID.
    ///
    /// # Errors
    ///
    /// When there is no such GPU (the message lists those there are), or the thread could not be started.
    pub fn sampler(&self, gpu: &str, options: Options) -> Result<Box<dyn Sensors>, String> {
        let uuid = self.uuid(gpu)?;
        Ok(Box::new(Sampler::new(self, uuid, options)?))
    }

    /// The full UUID of a GPU given as [`Nvml::sampler`] takes it.
    ///
    /// # Errors
    ///
    /// When there is no such GPU; the message lists those there are.
    pub fn uuid(&self, gpu: &str) -> Result<String, String> {
        device::find(&self.library, gpu).and_then(|device| device.uuid().map_err(|error| explain(&error)))
    }

    /// What the driver says of itself and of one GPU, for a recording: names such as `driver.version`, `gpu.power_limit`,
    /// and values in base units. What the GPU or the driver does not have is left out; all of the GPU is, when there is no
    /// such GPU.
    pub fn facts(&self, gpu: &str) -> Vec<(String, String)> {
        details::facts(&self.library, gpu)
    }

    /// The state of a GPU given as [`Nvml::sampler`] takes it, each value with the reason where it can't be read.
    ///
    /// # Errors
    ///
    /// When there is no such GPU, or it is lost.
    pub fn health(&self, gpu: &str) -> Result<GpuHealth, String> {
        health::health(&self.library, gpu)
    }

    /// The versions of the driver and of the newest CUDA that it serves.
    pub fn versions(&self) -> (Reading<String>, Reading<String>) {
        health::versions(&self.library)
    }

    /// The driver and every GPU, with what is in use now.
    pub fn details(&self) -> Details {
        details::details(&self.library)
    }
}

impl Gpus for Nvml {
    fn devices(&self) -> Vec<GpuDevice> {
        let gpu = |gpu: details::GpuDetails| GpuDevice {
            index: gpu.index,
            uuid: gpu.uuid,
            name: gpu.name,
            memory: gpu.memory.unwrap_or(0),
        };
        self.details().gpus.into_iter().map(gpu).collect()
    }

    fn read(&self, index: u32) -> Result<GpuState, String> {
        let device = self.library.device_by_index(index).map_err(|error| match error {
            NvmlError::InvalidArg | NvmlError::NotFound => format!("the driver lists no GPU {index}"),
            error => format!("GPU {index}: {}", explain(&error)),
        })?;
        device::state(&device).map_err(|error| format!("GPU {index}: {error}"))
    }
}

fn is_not_found(error: &impl std::fmt::Display) -> bool {
    error.to_string().contains("No such file or directory")
}

fn why_not(name: &str, error: &NvmlError) -> String {
    match error {
        NvmlError::LibloadingError(error) => format!("the NVIDIA driver's {name} could not be loaded: {error}"),
        NvmlError::FailedToLoadSymbol(_) => format!("{name} is no NVML: it lacks nvmlInit_v2"),
        error => explain(error),
    }
}
