//! What NVML lists of one GPU: it says how many there are, then fills the room that it is given.

use nvml_wrapper_sys::bindings as nvml;

use super::{Device, ask, check};
use crate::error::{Error, nonsense};
use crate::plausible::{self, within};

/// Samples that the driver takes itself and keeps for some seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Buffer {
    /// Per cent.
    Utilization,
    /// Per cent.
    MemoryControllerUtilization,
    /// Milliwatts.
    Power,
}

impl Buffer {
    fn kind(self) -> nvml::nvmlSamplingType_t {
        match self {
            Self::Utilization => nvml::nvmlSamplingType_enum_NVML_GPU_UTILIZATION_SAMPLES,
            Self::MemoryControllerUtilization => nvml::nvmlSamplingType_enum_NVML_MEMORY_UTILIZATION_SAMPLES,
            Self::Power => nvml::nvmlSamplingType_enum_NVML_TOTAL_POWER_SAMPLES,
        }
    }

    fn holds(self, value: f64) -> bool {
        match self {
            Self::Utilization | Self::MemoryControllerUtilization => (0.0..=100.0).contains(&value),
            Self::Power => (1.0..=f64::from(*plausible::POWER.end())).contains(&value),
        }
    }
}

/// How many entries it says there are, if so many can be.
fn entries(function: &'static str, count: u32) -> Result<u32, Error> {
    if count <= plausible::ENTRIES { Ok(count) } else { nonsense(function, format!("{count} entries")) }
}

/// Lists of processes.
macro_rules! processes {
    ($($name:ident: $function:ident;)*) => {
        impl Device {
            $(pub(crate) fn $name(&self) -> Result<Vec<u32>, Error> {
                let handle = self.handle;
                ask!(self.driver, $function, |f| {
                    let mut count = 0;
                    // SAFETY: as nvml.h has it: asked with no room, it says how much there must be.
                    match unsafe { f(handle.raw(), &raw mut count, std::ptr::null_mut()) } {
                        nvml::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE => {}
                        code => {
                            check(code)?;
                            // Success with no room is that there are none.
                            return if count == 0 { Ok(Vec::new()) } else { nonsense(stringify!($function), count) };
                        }
                    }
                    // A few more may have come meanwhile.
                    let mut count = entries(stringify!($function), count)? + 8;
                    let none =
                        nvml::nvmlProcessInfo_t { pid: 0, usedGpuMemory: 0, gpuInstanceId: 0, computeInstanceId: 0 };
                    let mut processes = vec![none; count as usize];
                    // SAFETY: as above; there is the room that is named.
                    check(unsafe { f(handle.raw(), &raw mut count, processes.as_mut_ptr()) })?;
                    processes.truncate(entries(stringify!($function), count)? as usize);
                    processes
                        .into_iter()
                        .map(|process| within(stringify!($function), process.pid, &plausible::PROCESS))
                        .collect()
                })
            })*
        }
    };
}

processes! {
    compute_processes: nvmlDeviceGetComputeRunningProcesses_v3;
    graphics_processes: nvmlDeviceGetGraphicsRunningProcesses_v3;
}

impl Device {
    /// Samples newer than a time: their times in microseconds since 1970, or 0 of a slot that was not filled, and values.
    pub(crate) fn samples(&self, buffer: Buffer, since: u64) -> Result<Vec<(u64, f64)>, Error> {
        match self.samples_once(buffer, since) {
            // A sample came in between the question how many there are and the one for them.
            Err(Error::Code(nvml::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE)) => self.samples_once(buffer, since),
            answer => answer,
        }
    }

    fn samples_once(&self, buffer: Buffer, since: u64) -> Result<Vec<(u64, f64)>, Error> {
        const FUNCTION: &str = "nvmlDeviceGetSamples";
        let (handle, kind) = (self.handle, buffer.kind());
        ask!(self.driver, nvmlDeviceGetSamples, |f| {
            let (mut of, mut count) = (0, 0);
            // SAFETY: as nvml.h has it: asked with no room, it says how much there must be.
            check(unsafe { f(handle.raw(), kind, since, &raw mut of, &raw mut count, std::ptr::null_mut()) })?;
            if count == 0 {
                return Ok(Vec::new());
            }
            let room = entries(FUNCTION, count)? as usize;
            let none = nvml::nvmlSample_t { timeStamp: 0, sampleValue: nvml::nvmlValue_t { ullVal: 0 } };
            let mut samples = vec![none; room];
            // SAFETY: as above; there is the room that is named.
            check(unsafe { f(handle.raw(), kind, since, &raw mut of, &raw mut count, samples.as_mut_ptr()) })?;
            samples.truncate(entries(FUNCTION, count)? as usize);
            let read = |sample: nvml::nvmlSample_t| match number(of, sample.sampleValue) {
                Some(_) if sample.timeStamp == 0 => Ok((0, 0.0)),
                Some(value) if buffer.holds(value) => Ok((sample.timeStamp, value)),
                Some(value) => nonsense(FUNCTION, value),
                None => nonsense(FUNCTION, format!("values of type {of}")),
            };
            samples.into_iter().map(read).collect()
        })
    }
}

/// The number in a value of that type.
fn number(of: nvml::nvmlValueType_t, value: nvml::nvmlValue_t) -> Option<f64> {
    // SAFETY: every bit pattern is a number of each of these types, and all 8 bytes were written before.
    unsafe {
        Some(match of {
            nvml::nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE => value.dVal,
            nvml::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT => value.uiVal.into(),
            nvml::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG => value.ulVal as f64,
            nvml::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG => value.ullVal as f64,
            nvml::nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG => value.sllVal as f64,
            nvml::nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT => value.siVal.into(),
            nvml::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_SHORT => value.usVal.into(),
            _ => return None,
        })
    }
}
