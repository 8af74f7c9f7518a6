//! The NVIDIA GPU that candle computes on: opening it, its memory, and time by its own events. Compiled only with the cargo
//! feature `candle-cuda`.

#![allow(unsafe_code, reason = "CUDA's driver API is C")]

use std::sync::Arc;
use std::time::Duration;

use candle_core::cuda_backend::cudarc::cublas::{result::CublasError, sys::cublasStatus_t};
use candle_core::cuda_backend::cudarc::driver::sys::{CUevent_flags, CUresult};
use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaEvent, CudaStream, DriverError};
use candle_core::cuda_backend::{CudaError, WrapErr};
use candle_core::{Device, Error, Result};
use harness_core::{BackendError, Memory};

use crate::candle_error::plain_message;
use crate::device::CudaDevice;
use crate::error::LoadError;
use crate::gpu::{self, DeviceMemory};

/// An open GPU.
pub(crate) struct Gpu {
    device: Device,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    memory: DeviceMemory,
    /// Around the work of one call.
    started: CudaEvent,
    stopped: CudaEvent,
}

impl Gpu {
    /// Opens the GPU number `index`.
    pub(crate) fn open(index: usize) -> std::result::Result<Self, LoadError> {
        Self::prepare(gpu::choose(index)?)
            .map_err(|error| gpu::not_opened(index, matches!(kind(&error), Kind::OutOfMemory), &plain_message(&error)))
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
        let memory = DeviceMemory::new(description, context.cu_device()).w()?;
        Ok(Self { context, stream, memory, started, stopped, device })
    }

    /// N of `cuda:N`.
    pub(crate) fn index(&self) -> usize {
        self.memory.description().index
    }

    /// As NVML has it.
    pub(crate) fn uuid(&self) -> &str {
        &self.memory.description().uuid
    }

    /// For candle.
    pub(crate) fn device(&self) -> Device {
        self.device.clone()
    }

    /// An error if `bytes` more are certain not to fit; `what` says what they are for.
    pub(crate) fn check_room(&self, bytes: u64, what: &str) -> std::result::Result<(), BackendError> {
        self.bind();
        self.memory.check_room(bytes, what)
    }

    fn out_of_memory(&self, what: &str) -> BackendError {
        self.bind();
        self.memory.out_of_memory(what)
    }

    /// For [`DeviceMemory`], which says less where this fails.
    fn bind(&self) {
        let _ = self.context.bind_to_thread();
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
        self.memory.usage()
    }

    /// Starts the pool's peak anew.
    pub(crate) fn reset_peak(&mut self) {
        self.memory.reset_peak();
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
