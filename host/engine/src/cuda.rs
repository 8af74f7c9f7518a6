//! The NVIDIA GPU that candle computes on: opening it, its memory, and time by its own events. The only module that
//! knows CUDA, and compiled only with the cargo feature `candle-cuda`.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use candle_core::cuda_backend::cudarc::cublas::{result::CublasError, sys::cublasStatus_t};
use candle_core::cuda_backend::cudarc::driver::result;
use candle_core::cuda_backend::cudarc::driver::sys::{
    CUdevice, CUevent_flags, CUmemPool_attribute, CUmemoryPool, CUresult,
};
use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaEvent, CudaStream, DriverError};
use candle_core::cuda_backend::{CudaError, WrapErr};
use candle_core::{Device, Error, Result};
use harness_core::{BackendError, Memory, MemoryKind};

use crate::error::LoadError;
use crate::gpt2::generate::plain_message;
use crate::load::CudaDevice;

/// The GPUs in CUDA's order, at least one, or why none can be used.
pub(crate) fn devices() -> std::result::Result<Vec<CudaDevice>, String> {
    let failed = |error: DriverError| match error.0 {
        CUresult::CUDA_ERROR_NO_DEVICE => "the NVIDIA driver finds no GPU (CUDA_ERROR_NO_DEVICE)".to_owned(),
        CUresult::CUDA_ERROR_STUB_LIBRARY => "the NVIDIA driver is not installed (CUDA_ERROR_STUB_LIBRARY)".to_owned(),
        _ => format!("the NVIDIA driver reports {error}"),
    };
    result::init().map_err(failed)?;
    let count = result::device::get_count().map_err(failed)?;
    if count == 0 {
        return Err("the NVIDIA driver finds no GPU".into());
    }
    (0..count).map(|index| describe(index).map_err(failed)).collect()
}

fn describe(index: i32) -> std::result::Result<CudaDevice, DriverError> {
    let device = result::device::get(index)?;
    Ok(CudaDevice {
        index: index as usize,
        name: result::device::get_name(device)?,
        uuid: uuid(device)?,
        // SAFETY: the device comes from the driver.
        memory: unsafe { result::device::total_mem(device) }? as u64,
    })
}

/// As NVML writes it.
fn uuid(device: CUdevice) -> std::result::Result<String, DriverError> {
    let bytes = result::device::get_uuid(device)?.bytes;
    let hex: String = bytes.iter().map(|byte| format!("{:02x}", *byte as u8)).collect();
    Ok(format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// An open GPU.
pub(crate) struct Gpu {
    description: CudaDevice,
    device: Device,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    pool: std::result::Result<Pool, String>,
    /// Around the work of one call.
    started: CudaEvent,
    stopped: CudaEvent,
}

/// The memory pool that every tensor is allocated from.
struct Pool(CUmemoryPool);

// SAFETY: a pool is a handle of the driver, whose functions may be called from any thread.
unsafe impl Send for Pool {}

impl Gpu {
    /// Opens the GPU number `index`.
    pub(crate) fn open(index: usize) -> std::result::Result<Self, LoadError> {
        let devices = devices().map_err(|why| {
            LoadError::Unusable(format!(
                "the device cuda:{index} can't be used: {why}; install or load the NVIDIA driver, or use --device cpu"
            ))
        })?;
        let count = devices.len();
        let Some(description) = devices.into_iter().nth(index) else {
            let there = match count {
                1 => "1 GPU, cuda:0".to_owned(),
                _ => format!("{count} GPUs, cuda:0 to cuda:{}", count - 1),
            };
            return Err(LoadError::Unusable(format!(
                "there is no device cuda:{index}: this machine has {there}; use one of them, or --device cpu"
            )));
        };
        Self::prepare(description).map_err(|error| match kind(&error) {
            Kind::OutOfMemory => LoadError::OutOfMemory(format!(
                "cuda:{index} has no memory left to start on; end what else uses it, or use another device"
            )),
            _ => LoadError::DeviceLost(format!("cuda:{index} can't be opened: {}", plain_message(&error))),
        })
    }

    fn prepare(description: CudaDevice) -> Result<Self> {
        // A stream of its own: the per-thread stream that candle takes otherwise is another one when the model is
        // used from another thread.
        let device = Device::new_cuda_with_stream(description.index)?;
        let cuda = device.as_cuda_device()?;
        let stream = cuda.cuda_stream();
        let context = stream.context().clone();
        // SAFETY: all tensors are made and used on this one stream, so their uses need no events to order them.
        unsafe { cuda.disable_event_tracking() };
        let event = || context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).w();
        let (started, stopped) = (event()?, event()?);
        let pool = if context.has_async_alloc() {
            // SAFETY: the device is the context's.
            let pool = Pool(unsafe { result::device::get_mem_pool(context.cu_device()) }.w()?);
            // Freed memory stays in the pool. By default every synchronisation, so every token, gives it back, and the
            // next one has to map it again.
            pool.set(CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX).w()?;
            Ok(pool)
        } else {
            Err("this GPU's driver has no memory pools, so it doesn't tell how much this process holds".to_owned())
        };
        Ok(Self { description, context, stream, pool, started, stopped, device })
    }

    /// N of `cuda:N`.
    pub(crate) fn index(&self) -> usize {
        self.description.index
    }

    /// As NVML has it.
    pub(crate) fn uuid(&self) -> &str {
        &self.description.uuid
    }

    /// For candle.
    pub(crate) fn device(&self) -> Device {
        self.device.clone()
    }

    /// Bytes that can still be allocated: the GPU's free ones, and those that the pool keeps unused.
    fn free(&self) -> Option<u64> {
        let (free, _) = self.context.mem_get_info().ok()?;
        let kept = self.pool.as_ref().ok().and_then(|pool| {
            let reserved = pool.get(CUmemPool_attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT).ok()?;
            let used = pool.get(CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT).ok()?;
            Some(reserved.saturating_sub(used))
        });
        Some(free as u64 + kept.unwrap_or(0))
    }

    /// An error if `bytes` more are certain not to fit; `what` says what they are for.
    pub(crate) fn check_room(&self, bytes: u64, what: &str) -> std::result::Result<(), BackendError> {
        match self.free() {
            Some(free) if bytes > free => Err(self.out_of_memory(what)),
            _ => Ok(()),
        }
    }

    fn out_of_memory(&self, what: &str) -> BackendError {
        let CudaDevice { index, name, .. } = &self.description;
        let free = self.free().map_or("too few".to_owned(), |free| free.to_string());
        BackendError::OutOfMemory(format!(
            "{what} do not fit cuda:{index} ({name}), which has {free} bytes free; use a smaller batch, shorter \
             sequences, a smaller model or --dtype f16, or end what else uses the GPU"
        ))
    }

    /// What became of an error of candle's; `what` says what memory was asked for.
    pub(crate) fn failed(&self, error: &Error, what: &str) -> BackendError {
        match kind(error) {
            Kind::OutOfMemory => self.out_of_memory(what),
            Kind::Device => BackendError::DeviceLost(format!("cuda:{}: {}", self.index(), plain_message(error))),
            Kind::Other => BackendError::Invalid(plain_message(error)),
        }
    }

    /// Marks the start of a call's work on the GPU.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.started.record(&self.stream).w()
    }

    /// Waits for all work, and gives the GPU's time since [`Gpu::start`].
    pub(crate) fn stop(&mut self) -> Result<Duration> {
        self.stopped.record(&self.stream).w()?;
        self.stream.synchronize().w()?;
        let milliseconds = self.started.elapsed_ms(&self.stopped).w()?;
        Ok(Duration::from_secs_f64(f64::from(milliseconds.max(0.0)) / 1e3))
    }

    /// Live and peak bytes of the pool.
    pub(crate) fn memory(&mut self) -> std::result::Result<Memory, String> {
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
    fn get(&self, attribute: CUmemPool_attribute) -> std::result::Result<u64, DriverError> {
        let mut value = 0u64;
        // SAFETY: the pool is the device's, and the attributes in use here are 64-bit.
        unsafe { result::mem_pool::get_attribute(self.0, attribute, (&raw mut value).cast::<c_void>()) }?;
        Ok(value)
    }

    fn set(&self, attribute: CUmemPool_attribute, mut value: u64) -> std::result::Result<(), DriverError> {
        // SAFETY: as above; the driver only reads the value.
        unsafe { result::mem_pool::set_attribute(self.0, attribute, (&raw mut value).cast::<c_void>()) }
    }
}

enum Kind {
    OutOfMemory,
    /// Of the driver or a library on the GPU.
    Device,
    /// Of the arguments.
    Other,
}

fn kind(error: &Error) -> Kind {
    let error = match error {
        Error::WithBacktrace { inner, .. } => return kind(inner),
        Error::Cuda(error) => error,
        _ => return Kind::Other,
    };
    match error.downcast_ref::<CudaError>() {
        Some(CudaError::Cuda(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY))) => Kind::OutOfMemory,
        Some(CudaError::Load { cuda: DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY), .. }) => Kind::OutOfMemory,
        Some(CudaError::Cublas(CublasError(cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED))) => Kind::OutOfMemory,
        Some(CudaError::Cuda(_) | CudaError::Cublas(_) | CudaError::Curand(_) | CudaError::Load { .. }) => Kind::Device,
        _ => Kind::Other,
    }
}
