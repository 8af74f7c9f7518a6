//! Loads NVML and answers for the machine's GPUs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness_core::doctor::{GpuHealth, Reading};
use harness_core::{GpuDevice, GpuState, Gpus, Sensors};
use nvml_wrapper_sys::bindings as nvml;

use crate::details::{self, Details};
use crate::device;
use crate::driver::{Driver, Unopened};
use crate::error::{Error, Refused, explain};
use crate::guarded::Guard;
use crate::health;
use crate::sampler::{Options, Sampler};

/// Where drivers put NVML: the name that every driver installs, then the one that only development packages do.
const NAMES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// The NVIDIA driver's management library, loaded and initialised. Clones share it.
///
/// Whatever is asked of it returns in time: the driver has a limit for all that it is asked together. Once it was over, it is asked
/// nothing more, and what was not read says so ([`Nvml::silence`]).
#[derive(Clone, Debug)]
pub struct Nvml {
    driver: Driver,
}

impl Nvml {
    /// Loads the driver's library. For that and all that is asked of it the driver has so much time, such as [`LIMIT`](crate::LIMIT).
    ///
    /// # Errors
    ///
    /// Why there are no sensors, as a clause: 'no NVIDIA driver: libnvidia-ml.so.1 was not found'.
    pub fn open(limit: Duration) -> Result<Self, Refused> {
        let guard = Arc::new(Guard::new(limit)?);
        for name in NAMES {
            match Driver::open(name.as_ref(), Arc::clone(&guard)) {
                Err(Unopened::NotFound) => {}
                Err(Unopened::Refused(refused)) => return Err(refused),
                Ok(driver) => return Ok(Self { driver }),
            }
        }
        Err(Refused::new(format!("no NVIDIA driver: {} was not found", NAMES[0])))
    }

    /// Loads the library from a file, as tests do with a fake one.
    ///
    /// # Errors
    ///
    /// As [`Nvml::open`].
    pub fn open_library(path: &Path, limit: Duration) -> Result<Self, Refused> {
        match Driver::open(path.as_os_str(), Arc::new(Guard::new(limit)?)) {
            Err(Unopened::NotFound) => Err(Refused::new(format!("no NVIDIA driver: {} was not found", path.display()))),
            Err(Unopened::Refused(refused)) => Err(refused),
            Ok(driver) => Ok(Self { driver }),
        }
    }

    /// Sensors of one GPU, in a thread that lives as long as they do.
    ///
    /// `gpu` is a UUID, with or without `GPU-` and in either case, or the driver's number for it. CUDA counts GPUs in another
    /// order than the driver does, so a GPU known from CUDA must be given by its UUID.
    ///
    /// # Errors
    ///
    /// When there is no such GPU (the message lists those there are), or the thread could not be started.
    pub fn sampler(&self, gpu: &str, options: Options) -> Result<Box<dyn Sensors>, Refused> {
        let uuid = self.uuid(gpu)?;
        Ok(Box::new(Sampler::new(&self.driver, uuid, options)?))
    }

    /// The full UUID of a GPU given as [`Nvml::sampler`] takes it.
    ///
    /// # Errors
    ///
    /// When there is no such GPU (the message lists those there are), or another has its UUID.
    pub fn uuid(&self, gpu: &str) -> Result<String, Refused> {
        let uuid = device::find(&self.driver, gpu)?.uuid()?;
        // By its number a GPU is there even where another has its UUID.
        device::find(&self.driver, &uuid)?;
        Ok(uuid)
    }

    /// What the driver says of itself and of one GPU, for a recording: names such as `driver.version`, `gpu.power_limit`,
    /// and values in base units. What the GPU or the driver does not have is left out; all of the GPU is, when there is no
    /// such GPU.
    pub fn facts(&self, gpu: &str) -> Vec<(String, String)> {
        details::facts(&self.driver, gpu)
    }

    /// The state of a GPU given as [`Nvml::sampler`] takes it, each value with the reason where it can't be read.
    ///
    /// # Errors
    ///
    /// When there is no such GPU, or it is lost.
    pub fn health(&self, gpu: &str) -> Result<GpuHealth, Refused> {
        health::health(&self.driver, gpu)
    }

    /// The versions of the driver and of the newest CUDA that it serves.
    pub fn versions(&self) -> (Reading<String>, Reading<String>) {
        health::versions(&self.driver)
    }

    /// The driver and every GPU, with what is in use now.
    ///
    /// # Errors
    ///
    /// When the driver does not say how many GPUs there are.
    pub fn details(&self) -> Result<Details, Refused> {
        details::details(&self.driver)
    }

    /// That the driver did not answer in time, once it did not.
    pub fn silence(&self) -> Option<Refused> {
        self.driver.silence().map(Refused::from)
    }
}

impl Gpus for Nvml {
    fn devices(&self) -> Vec<GpuDevice> {
        self.driver.renew();
        let gpu = |gpu: details::GpuDetails| GpuDevice {
            index: gpu.index,
            uuid: gpu.uuid,
            name: gpu.name,
            memory: gpu.memory.unwrap_or(0),
        };
        match self.details() {
            Ok(details) => {
                for gpu in &details.unreadable {
                    tracing::warn!("GPU {} can't be read, and is kept from the plugin: {}", gpu.index, gpu.reason);
                }
                details.gpus.into_iter().map(gpu).collect()
            }
            Err(refused) => {
                tracing::warn!("the plugin is told of no GPU: {refused}");
                Vec::new()
            }
        }
    }

    fn read(&self, index: u32) -> Result<GpuState, String> {
        self.driver.renew();
        let device = self.driver.device(index).map_err(|error| match error {
            Error::Code(
                nvml::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT | nvml::nvmlReturn_enum_NVML_ERROR_NOT_FOUND,
            ) => format!("the driver lists no GPU {index}"),
            error => format!("GPU {index}: {}", explain(&error)),
        })?;
        device::state(&device).map_err(|error| format!("GPU {index}: {error}"))
    }
}
