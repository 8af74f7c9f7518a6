//! What the backends on NVIDIA GPUs share, over CUDA's driver API: which GPUs there are, and how much of a GPU's memory
//! this process holds. Compiled with the cargo feature `cuda` or `candle-cuda`.

#![allow(unsafe_code, reason = "CUDA's driver API is C")]

use std::ffi::c_void;

use harness_core::{BackendError, Memory, MemoryKind};

#[cfg(not(feature = "cuda"))]
use candle_core::cuda_backend::cudarc::driver as cuda;
#[cfg(feature = "cuda")]
use cudarc::driver as cuda;

use cuda::result::{self, DriverError};
use cuda::sys::{CUdevice, CUdevice_attribute, CUmemPool_attribute, CUmemoryPool, CUresult};

use crate::device::CudaDevice;
use crate::error::LoadError;

/// The CUDA version of the driver's interface that `fused` is written for.
#[cfg(feature = "cuda")]
const DRIVER: i32 = 13_000;

/// The compute capability that `fused` needs.
pub(crate) const CAPABILITY: (u32, u32) = (8, 0);

/// The GPUs in CUDA's order, at least one, or why none can be used.
pub(crate) fn devices() -> Result<Vec<CudaDevice>, String> {
    let failed = |error: DriverError| match error.0 {
        CUresult::CUDA_ERROR_NO_DEVICE => "the NVIDIA driver finds no GPU (CUDA_ERROR_NO_DEVICE)".to_owned(),
        CUresult::CUDA_ERROR_STUB_LIBRARY => "the NVIDIA driver is not installed (CUDA_ERROR_STUB_LIBRARY)".to_owned(),
        _ => format!("the NVIDIA driver reports {error}"),
    };
    // Where candle's CUDA is compiled in, the binary is linked to the library and doesn't start without it.
    #[cfg(not(feature = "candle-cuda"))]
    // SAFETY: loading NVIDIA's library only runs its initialisers.
    if !unsafe { cuda::sys::is_culib_present() } {
        return Err("the NVIDIA driver is not installed (there is no libcuda.so.1)".into());
    }
    // An older driver lacks functions, and cudarc panics where one is missing. These two every driver has.
    #[cfg(feature = "cuda")]
    check_version(driver_version().map_err(failed)?)?;
    result::init().map_err(failed)?;
    let count = result::device::get_count().map_err(failed)?;
    if count == 0 {
        return Err("the NVIDIA driver finds no GPU".into());
    }
    (0..count).map(|index| describe(index).map_err(failed)).collect()
}

#[cfg(feature = "cuda")]
fn driver_version() -> Result<i32, DriverError> {
    let mut version = 0;
    // SAFETY: the driver writes one number.
    unsafe { cuda::sys::cuDriverGetVersion(&raw mut version) }.result()?;
    Ok(version)
}

#[cfg(feature = "cuda")]
fn check_version(version: i32) -> Result<(), String> {
    let text = |version: i32| format!("{}.{}", version / 1000, version % 1000 / 10);
    match version < DRIVER {
        true => Err(format!(
            "the NVIDIA driver supports CUDA {} only; harness needs {}, which is driver 580 or newer",
            text(version),
            text(DRIVER)
        )),
        false => Ok(()),
    }
}

fn describe(index: i32) -> Result<CudaDevice, DriverError> {
    let device = result::device::get(index)?;
    let compute_capability = (
        attribute(device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    );
    Ok(CudaDevice {
        index: index as usize,
        name: result::device::get_name(device)?,
        uuid: uuid(device)?,
        // SAFETY: the device comes from the driver.
        memory: unsafe { result::device::total_mem(device) }? as u64,
        compute_capability,
        backends: backends(compute_capability),
    })
}

/// Those that this binary has for such a GPU, the best one first.
fn backends(compute_capability: (u32, u32)) -> Vec<&'static str> {
    let fused = cfg!(feature = "cuda") && compute_capability >= CAPABILITY;
    let candle = cfg!(feature = "candle-cuda");
    [("fused", fused), ("candle", candle)].into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

/// A number that the driver has of a device; none of them is negative.
pub(crate) fn attribute(device: CUdevice, attribute: CUdevice_attribute) -> Result<u32, DriverError> {
    // SAFETY: the device comes from the driver.
    let value = unsafe { result::device::get_attribute(device, attribute) }?;
    Ok(u32::try_from(value).unwrap_or(0))
}

/// As NVML writes it.
fn uuid(device: CUdevice) -> Result<String, DriverError> {
    let bytes = result::device::get_uuid(device)?.bytes;
    let hex: String = bytes.iter().map(|byte| format!("{:02x}", *byte as u8)).collect();
    Ok(format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// The GPU number `index`, or what to do where there is none.
pub(crate) fn choose(index: usize) -> Result<CudaDevice, LoadError> {
    let devices = devices().map_err(|why| {
        LoadError::Unusable(format!(
            "the device cuda:{index} can't be used: {why}; install or load the NVIDIA driver, or use --device cpu"
        ))
    })?;
    let count = devices.len();
    devices.into_iter().nth(index).ok_or_else(|| {
        let there = match count {
            1 => "1 GPU, cuda:0".to_owned(),
            _ => format!("{count} GPUs, cuda:0 to cuda:{}", count - 1),
        };
        LoadError::Unusable(format!(
            "there is no device cuda:{index}: this machine has {there}; use one of them, or --device cpu"
        ))
    })
}

/// Why a GPU that is there can't be opened.
pub(crate) fn not_opened(index: usize, out_of_memory: bool, why: &str) -> LoadError {
    match out_of_memory {
        true => LoadError::OutOfMemory(format!(
            "cuda:{index} has no memory left to start on; end what else uses it, or use another device"
        )),
        false => LoadError::DeviceLost(format!("cuda:{index} can't be opened: {why}")),
    }
}

/// The memory of an open GPU, and the pool that everything is allocated from. Its functions need the GPU's context to
/// be the thread's.
pub(crate) struct DeviceMemory {
    description: CudaDevice,
    pool: Result<Pool, String>,
}

/// A memory pool.
struct Pool(CUmemoryPool);

// SAFETY: a pool is a handle of the driver, whose functions may be called from any thread.
unsafe impl Send for Pool {}

impl DeviceMemory {
    /// Of the GPU `device`.
    pub(crate) fn new(description: CudaDevice, device: CUdevice) -> Result<Self, DriverError> {
        let pool = if attribute(device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? > 0 {
            // SAFETY: the device comes from the driver.
            let pool = Pool(unsafe { result::device::get_mem_pool(device) }?);
            // Freed memory stays in the pool. By default every synchronisation, so every token, gives it back, and the
            // next one has to map it again.
            pool.set(CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)?;
            Ok(pool)
        } else {
            Err("this GPU's driver has no memory pools, so it doesn't tell how much this process holds".to_owned())
        };
        Ok(Self { description, pool })
    }

    /// What GPU it is.
    pub(crate) fn description(&self) -> &CudaDevice {
        &self.description
    }

    /// Bytes that can still be allocated: the GPU's free ones, and those that the pool keeps unused.
    pub(crate) fn free(&self) -> Option<u64> {
        let (free, _) = result::mem_get_info().ok()?;
        let kept = self.pool.as_ref().ok().and_then(|pool| {
            let reserved = pool.get(CUmemPool_attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT).ok()?;
            let used = pool.get(CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT).ok()?;
            Some(reserved.saturating_sub(used))
        });
        Some(free as u64 + kept.unwrap_or(0))
    }

    /// An error if `bytes` more are certain not to fit; `what` says what they are for.
    pub(crate) fn check_room(&self, bytes: u64, what: &str) -> Result<(), BackendError> {
        match self.free() {
            Some(free) if bytes > free => Err(self.out_of_memory(what)),
            _ => Ok(()),
        }
    }

    /// That `what` doesn't fit.
    pub(crate) fn out_of_memory(&self, what: &str) -> BackendError {
        let CudaDevice { index, name, .. } = &self.description;
        let free = self.free().map_or("too few".to_owned(), |free| free.to_string());
        BackendError::OutOfMemory(format!(
            "{what} do not fit cuda:{index} ({name}), which has {free} bytes free; use a smaller batch, shorter \
             sequences, a smaller model or --dtype f16, or end what else uses the GPU"
        ))
    }

    /// Live and peak bytes of the pool.
    pub(crate) fn usage(&self) -> Result<Memory, String> {
        let pool = self.pool.as_ref().map_err(Clone::clone)?;
        let read =
            |attribute| pool.get(attribute).map_err(|error| format!("the GPU's memory pool can't be read: {error}"));
        Ok(Memory {
            kind: MemoryKind::Device,
            allocated: read(CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?,
            peak: read(CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?,
        })
    }

    /// Starts the pool's peak anew.
    pub(crate) fn reset_peak(&mut self) {
        if let Ok(pool) = &self.pool
            && let Err(error) = pool.set(CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0)
        {
            self.pool = Err(format!("the peak of the GPU's memory pool can't be reset: {error}"));
        }
    }
}

impl Pool {
    fn get(&self, attribute: CUmemPool_attribute) -> Result<u64, DriverError> {
        let mut value = 0u64;
        // SAFETY: the pool is the device's, and the attributes in use here are 64-bit.
        unsafe { result::mem_pool::get_attribute(self.0, attribute, (&raw mut value).cast::<c_void>()) }?;
        Ok(value)
    }

    fn set(&self, attribute: CUmemPool_attribute, mut value: u64) -> Result<(), DriverError> {
        // SAFETY: as above; the driver only reads the value.
        unsafe { result::mem_pool::set_attribute(self.0, attribute, (&raw mut value).cast::<c_void>()) }
    }
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;

    #[test]
    fn an_old_driver_is_answered_with_the_one_that_is_needed() {
        assert_eq!(
            check_version(12_040).unwrap_err(),
            "the NVIDIA driver supports CUDA 12.4 only; harness needs 13.0, which is driver 580 or newer"
        );
        assert_eq!(check_version(13_000), Ok(()));
        assert_eq!(check_version(13_020), Ok(()));
    }

    #[test]
    fn fused_is_offered_from_compute_capability_8_on() {
        assert!(!backends((7, 5)).contains(&"fused"));
        assert!(backends((8, 0)).contains(&"fused") && backends((12, 0)).contains(&"fused"));
    }
}
