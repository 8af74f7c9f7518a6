//! The NVIDIA GPU that `fused` computes on: its kernels, memory, graphs and events, over CUDA's driver API. Everything
//! runs in one stream, in order. The only module of `fused` that calls the driver.

#![allow(unsafe_code, reason = "CUDA's driver API is C")]

use std::cell::{Cell, UnsafeCell};
use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use cudarc::driver::result;
use cudarc::driver::sys::{
    self, CUcontext, CUctx_flags, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUevent_flags, CUfunction,
    CUfunction_attribute, CUgraph, CUgraphExec, CUgraphInstantiate_flags, CUlaunchAttribute, CUlaunchAttributeID,
    CUlaunchAttributeValue, CUlaunchAttributeValue_union__bindgen_ty_1, CUlaunchConfig, CUmodule, CUresult, CUstream,
    CUstreamCaptureMode,
};
use harness_core::{BackendError, Memory};

use super::plain::Plain;
use crate::device::CudaDevice;
use crate::error::LoadError;
use crate::gpu::{self, DeviceMemory, attribute};

pub(crate) use cudarc::driver::result::DriverError;

mod images {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

/// How many times a place that the GPU writes to is looked at, some milliseconds long, before the driver is asked whether
/// all is well: longer than a step takes, so that a run that is well does without the driver while it is measured.
const PATIENCE: u32 = 1 << 22;

const INVALID: DriverError = DriverError(CUresult::CUDA_ERROR_INVALID_VALUE);

/// The GPU's primary context and the one stream in which all work is done. What lives on the GPU keeps it alive.
struct Context {
    device: CUdevice,
    context: CUcontext,
    stream: CUstream,
}

// SAFETY: these are handles of the driver, whose functions may be called from any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    fn new(device: CUdevice) -> Result<Self, DriverError> {
        // A thread that waits by spinning sees a token some microseconds sooner. Refused where the context is in use
        // already, which is no reason to stop.
        // SAFETY: the device comes from the driver.
        let _ = unsafe { sys::cuDevicePrimaryCtxSetFlags_v2(device, CUctx_flags::CU_CTX_SCHED_SPIN as u32) };
        // SAFETY: as above.
        let context = unsafe { result::primary_ctx::retain(device) }?;
        let mut new = Self { device, context, stream: std::ptr::null_mut() };
        new.bind()?;
        new.stream = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        Ok(new)
    }

    /// Makes it the thread's, which the model may have been moved to.
    fn bind(&self) -> Result<(), DriverError> {
        // SAFETY: the context is retained.
        unsafe { result::ctx::set_current(self.context) }
    }

    fn synchronize(&self) -> Result<(), DriverError> {
        // SAFETY: the stream is this context's.
        unsafe { result::stream::synchronize(self.stream) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // Nothing can be done about an error here: after a fault every function fails.
        let _ = self.bind();
        if !self.stream.is_null() {
            let _ = self.synchronize();
            // SAFETY: nothing uses the stream any more: all that does holds the context.
            let _ = unsafe { result::stream::destroy(self.stream) };
        }
        // SAFETY: it was retained once.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// The modules that this GPU can run.
struct Modules {
    context: Arc<Context>,
    modules: Vec<CUmodule>,
}

// SAFETY: handles of the driver, as above.
unsafe impl Send for Modules {}
// SAFETY: as above.
unsafe impl Sync for Modules {}

impl Modules {
    fn load(context: Arc<Context>) -> Result<Self, DriverError> {
        let mut loaded = Self { context, modules: Vec::new() };
        for (_, image) in images::IMAGES {
            // SAFETY: the image is nvcc's, which says in itself how long it is.
            match unsafe { result::module::load_data(image.as_ptr().cast()) } {
                Ok(module) => loaded.modules.push(module),
                Err(DriverError(CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(loaded)
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        let _ = self.context.bind();
        let _ = self.context.synchronize();
        for module in self.modules.drain(..) {
            // SAFETY: the stream is idle, and what could launch a kernel of it holds these modules.
            let _ = unsafe { result::module::unload(module) };
        }
    }
}

/// A function of a kernel file.
#[derive(Clone)]
pub(crate) struct Kernel {
    function: CUfunction,
    /// Bytes of its one parameter.
    parameter: usize,
    modules: Arc<Modules>,
}

// SAFETY: a handle of the driver, as above.
unsafe impl Send for Kernel {}

impl Kernel {
    /// Lets a launch ask for up to `bytes` of dynamic shared memory; without it the most is 48 KiB.
    pub(crate) fn allow_shared(&self, bytes: u32) -> Result<(), DriverError> {
        self.modules.context.bind()?;
        let bytes = i32::try_from(bytes).map_err(|_| INVALID)?;
        let limit = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function's module is loaded.
        unsafe { result::function::set_function_attribute(self.function, limit, bytes) }
    }

    /// How many blocks of it fit a multiprocessor at once, as a cooperative launch must know.
    pub(crate) fn blocks_per_multiprocessor(&self, threads: u32, shared: u32) -> Result<u32, DriverError> {
        self.modules.context.bind()?;
        let threads = i32::try_from(threads).map_err(|_| INVALID)?;
        // SAFETY: the function's module is loaded.
        let blocks =
            unsafe { result::occupancy::max_active_block_per_multiprocessor(self.function, threads, shared as usize) }?;
        Ok(u32::try_from(blocks).unwrap_or(0))
    }

    /// Bytes of shared memory that it takes beside what a launch asks for.
    pub(crate) fn fixed_shared(&self) -> Result<u32, DriverError> {
        self.modules.context.bind()?;
        let what = CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
        let mut bytes = 0;
        // SAFETY: the function's module is loaded, and the driver writes one number.
        unsafe { sys::cuFuncGetAttribute(&raw mut bytes, what, self.function) }.result()?;
        Ok(u32::try_from(bytes).unwrap_or(0))
    }

    /// How many clusters of `blocks` blocks of it fit the GPU at once.
    pub(crate) fn clusters(&self, blocks: u32, threads: u32, shared: u32) -> Result<u32, DriverError> {
        self.modules.context.bind()?;
        let dimensions = CUlaunchAttributeValue_union__bindgen_ty_1 { x: blocks, y: 1, z: 1 };
        let mut attribute = CUlaunchAttribute {
            id: CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
            pad: [0; 4],
            value: CUlaunchAttributeValue { clusterDim: dimensions },
        };
        let config = CUlaunchConfig {
            gridDimX: blocks,
            gridDimY: 1,
            gridDimZ: 1,
            blockDimX: threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: shared,
            hStream: self.modules.context.stream,
            attrs: &raw mut attribute,
            numAttrs: 1,
        };
        let mut clusters = 0;
        // SAFETY: the function's module is loaded; the driver reads the configuration and writes one number.
        unsafe { sys::cuOccupancyMaxActiveClusters(&raw mut clusters, self.function, &raw const config) }.result()?;
        Ok(u32::try_from(clusters).unwrap_or(0))
    }
}

/// How a kernel is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// Blocks in x, y and z.
    pub(crate) grid: (u32, u32, u32),
    /// Of a block.
    pub(crate) threads: u32,
    /// Bytes of dynamic shared memory.
    pub(crate) shared: u32,
    /// Whether it may start while the kernel before it still runs; it waits for that one itself. Needs compute
    /// capability 9.0.
    pub(crate) dependent: bool,
    /// Whether all its blocks must run at once.
    pub(crate) cooperative: bool,
}

/// A launch that may start while its predecessor still runs, where the GPU can do that.
pub(crate) fn overlapping(gpu: &Gpu, grid: (u32, u32, u32), threads: u32, shared: u32) -> Launch {
    Launch { grid, threads, shared, dependent: gpu.compute_capability() >= (9, 0), cooperative: false }
}

/// An open GPU.
pub(crate) struct Gpu {
    memory: DeviceMemory,
    multiprocessors: u32,
    most_shared: u32,
    modules: Arc<Modules>,
    /// Around the work of one call.
    started: Event,
    stopped: Event,
    /// Of nothing; see [`Gpu::keep_ready`].
    between: Event,
    /// What the GPU writes after that work: the number of the call, where it can.
    ended: Mapped<u32>,
    /// Of the call; 0 where only an event says that it ended.
    call: Cell<u32>,
    context: Arc<Context>,
}

impl Gpu {
    /// Opens the GPU number `index`.
    pub(crate) fn open(index: usize) -> Result<Self, LoadError> {
        let description = gpu::choose(index)?;
        check_capability(&description)?;
        Self::prepare(description)
            .map_err(|error| gpu::not_opened(index, error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY, &explain(error)))
    }

    fn prepare(description: CudaDevice) -> Result<Self, DriverError> {
        let device = result::device::get(i32::try_from(description.index).map_err(|_| INVALID)?)?;
        let context = Arc::new(Context::new(device)?);
        Ok(Self {
            memory: DeviceMemory::new(description, device)?,
            multiprocessors: attribute(device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            most_shared: attribute(device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            modules: Arc::new(Modules::load(context.clone())?),
            started: Event::new(&context)?,
            stopped: Event::new(&context)?,
            between: Event::new(&context)?,
            ended: mapped(&context, 1)?,
            call: Cell::new(0),
            context,
        })
    }

    /// N of `cuda:N`.
    pub(crate) fn index(&self) -> usize {
        self.memory.description().index
    }

    /// As NVML has it.
    pub(crate) fn uuid(&self) -> &str {
        &self.memory.description().uuid
    }

    /// Major and minor.
    pub(crate) fn compute_capability(&self) -> (u32, u32) {
        self.memory.description().compute_capability
    }

    /// How many it has.
    pub(crate) fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// Bytes of shared memory that a block can have at most, with [`Kernel::allow_shared`].
    pub(crate) fn most_shared(&self) -> u32 {
        self.most_shared
    }

    /// The kernel of that name; `CUDA_ERROR_NOT_FOUND` if there is none for this GPU.
    pub(crate) fn kernel(&self, name: &str) -> Result<Kernel, DriverError> {
        self.context.bind()?;
        for &module in &self.modules.modules {
            let name = CString::new(name).map_err(|_| INVALID)?;
            // SAFETY: the module is loaded.
            let function = match unsafe { result::module::get_function(module, name) } {
                Ok(function) => function,
                Err(DriverError(CUresult::CUDA_ERROR_NOT_FOUND)) => continue,
                Err(error) => return Err(error),
            };
            let (mut offset, mut parameter) = (0, 0);
            // SAFETY: the function's module is loaded, and the driver writes two numbers.
            unsafe { sys::cuFuncGetParamInfo(function, 0, &raw mut offset, &raw mut parameter) }.result()?;
            return Ok(Kernel { function, parameter, modules: self.modules.clone() });
        }
        Err(DriverError(CUresult::CUDA_ERROR_NOT_FOUND))
    }

    /// Launches a kernel with its one parameter; while capturing, notes it instead.
    ///
    /// # Safety
    ///
    /// `parameter` is of the type that the kernel takes, and what it points to is there, large enough, and stays until
    /// the kernel is done: for a capture, until the graph is launched no more.
    pub(crate) unsafe fn launch<T: Copy>(
        &self,
        kernel: &Kernel,
        launch: Launch,
        parameter: &T,
    ) -> Result<(), DriverError> {
        if size_of::<T>() != kernel.parameter {
            return Err(INVALID);
        }
        self.context.bind()?;
        let attribute = |id, value| CUlaunchAttribute { id, pad: [0; 4], value };
        let mut attributes = [
            attribute(
                CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
                CUlaunchAttributeValue { programmaticStreamSerializationAllowed: i32::from(launch.dependent) },
            ),
            attribute(
                CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_COOPERATIVE,
                CUlaunchAttributeValue { cooperative: i32::from(launch.cooperative) },
            ),
        ];
        let attributes = match (launch.dependent, launch.cooperative) {
            (false, false) => &mut [],
            (true, false) => &mut attributes[..1],
            (false, true) => &mut attributes[1..],
            (true, true) => &mut attributes[..],
        };
        let config = CUlaunchConfig {
            gridDimX: launch.grid.0,
            gridDimY: launch.grid.1,
            gridDimZ: launch.grid.2,
            blockDimX: launch.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: launch.shared,
            hStream: self.context.stream,
            attrs: attributes.as_mut_ptr(),
            numAttrs: attributes.len() as u32,
        };
        let mut parameters = [std::ptr::from_ref(parameter).cast_mut().cast::<c_void>()];
        // SAFETY: the driver reads the configuration and as many bytes of the parameter as checked above before it
        // returns; the rest the caller answers for.
        unsafe {
            sys::cuLaunchKernelEx(&raw const config, kernel.function, parameters.as_mut_ptr(), std::ptr::null_mut())
        }
        .result()
    }

    /// Notes the launches that `record` makes, instead of starting them, in a graph. What waits fails in it, and what
    /// allocates must not be called.
    pub(crate) fn capture(&self, record: impl FnOnce(&Self) -> Result<(), DriverError>) -> Result<Graph, DriverError> {
        self.context.bind()?;
        let stream = self.context.stream;
        // SAFETY: the stream is this context's.
        unsafe { result::stream::begin_capture(stream, CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) }?;
        let recorded = record(self);
        // Also after an error, or the stream could not be used any more.
        // SAFETY: as above.
        let graph = unsafe { result::stream::end_capture(stream) }.map(Captured);
        recorded?;
        let graph = graph?;
        if graph.0.is_null() {
            return Err(DriverError(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        }
        // SAFETY: the graph was just made.
        let exec = unsafe { result::graph::instantiate(graph.0, CUgraphInstantiate_flags(0)) }?;
        let graph = Graph { exec, modules: self.modules.clone() };
        // SAFETY: as above. Without it, the first launch would take longer.
        unsafe { result::graph::upload(exec, stream) }?;
        Ok(graph)
    }

    /// Starts the launches of a graph.
    ///
    /// # Safety
    ///
    /// What the parameters of its launches point to is still there.
    pub(crate) unsafe fn launch_graph(&self, graph: &Graph) -> Result<(), DriverError> {
        self.context.bind()?;
        // SAFETY: the graph is instantiated; the rest the caller answers for.
        unsafe { result::graph::launch(graph.exec, self.context.stream) }
    }

    /// Waits for all work.
    pub(crate) fn synchronize(&self) -> Result<(), DriverError> {
        self.context.bind()?;
        self.context.synchronize()
    }

    /// Whether all work is done; an error if some of it failed.
    fn is_idle(&self) -> Result<bool, DriverError> {
        self.context.bind()?;
        // SAFETY: the stream is this context's.
        match unsafe { sys::cuStreamQuery(self.context.stream) } {
            CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            result => result.result().map(|()| true),
        }
    }

    /// Marks the start of a call's work on the GPU.
    pub(crate) fn start(&self) -> Result<(), DriverError> {
        self.context.bind()?;
        self.started.record()
    }

    /// Says that the work whose time is taken ends with what was started last. The device notes when it is done, so that
    /// this may be said long before.
    pub(crate) fn mark_end(&self) -> Result<(), DriverError> {
        self.context.bind()?;
        self.stopped.record()?;
        let call = self.call.get().wrapping_add(1).max(1);
        // SAFETY: the place is this GPU's, and is given back after the stream's work.
        let written = unsafe { sys::cuStreamWriteValue32_v2(self.context.stream, self.ended.address(0), call, 0) };
        self.call.set(if written == CUresult::CUDA_ERROR_NOT_SUPPORTED {
            0
        } else {
            written.result().map(|()| call)?
        });
        Ok(())
    }

    /// Waits for the work before [`Gpu::mark_end`] to end. The driver's own way to wait took 5 to 20 µs more, as its code
    /// and data are out of the processor's cache after a long request.
    pub(crate) fn await_end(&self) -> Result<(), DriverError> {
        let call = self.call.get();
        if call != 0 && self.wait_until(|| self.ended.read(0) == call)? {
            return Ok(());
        }
        self.context.bind()?;
        // SAFETY: the event is this context's.
        unsafe { result::event::synchronize(self.stopped.event) }
    }

    /// Waits until what the GPU writes is there; false if all work is done and it is not.
    pub(crate) fn wait_until(&self, mut is_there: impl FnMut() -> bool) -> Result<bool, DriverError> {
        loop {
            for _ in 0..PATIENCE {
                if is_there() {
                    return Ok(true);
                }
                std::hint::spin_loop();
            }
            if self.is_idle()? {
                return Ok(is_there());
            }
        }
    }

    /// The GPU's time from [`Gpu::start`] to [`Gpu::mark_end`], once that has come.
    pub(crate) fn time(&self) -> Result<Duration, DriverError> {
        self.context.bind()?;
        // SAFETY: both are recorded in the one stream.
        let milliseconds = unsafe { result::event::elapsed(self.started.event, self.stopped.event) }?;
        Ok(Duration::from_secs_f64(f64::from(milliseconds.max(0.0)) / 1e3))
    }

    /// Goes the driver's way to the GPU once, between two calls. After a long call the driver's code and data are out of the
    /// processor's cache, and [`Gpu::start`] took 10 to 24 µs, in which the GPU has nothing to do; after this it takes 2.
    pub(crate) fn keep_ready(&self) -> Result<(), DriverError> {
        self.context.bind()?;
        self.between.record()
    }

    /// `bytes` bytes on the GPU, all zero.
    pub(crate) fn zeroed(&self, bytes: usize) -> Result<Buffer, DriverError> {
        self.context.bind()?;
        let stream = self.context.stream;
        // The driver refuses to allocate nothing.
        // SAFETY: the stream is this context's.
        let address = unsafe { result::malloc_async(stream, bytes.max(1)) }?;
        let buffer = Buffer { address, bytes, context: self.context.clone() };
        // SAFETY: the memory was just allocated, in the same stream.
        unsafe { result::memset_d8_async(address, 0, bytes.max(1), stream) }?;
        Ok(buffer)
    }

    /// Bytes of the cache that all multiprocessors share.
    pub(crate) fn cache_bytes(&self) -> Result<u32, DriverError> {
        attribute(self.context.device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)
    }

    /// Bytes that can still be allocated, where the driver says it.
    pub(crate) fn free(&self) -> Option<u64> {
        self.context.bind().ok()?;
        self.memory.free()
    }

    /// `bytes` bytes on the GPU, all zero, that are given back to it and not to the pool, and so are counted in no figure.
    pub(crate) fn outside_the_pool(&self, bytes: usize) -> Result<Scratch, DriverError> {
        self.context.bind()?;
        // SAFETY: the context is the thread's.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }?;
        let scratch = Scratch { address, context: self.context.clone() };
        // SAFETY: the memory was just allocated. It is set in the one stream, before all that reads it.
        unsafe { result::memset_d8_async(address, 0, bytes.max(1), self.context.stream) }?;
        Ok(scratch)
    }

    /// `count` values in the host's memory that the GPU can read and write, all zero.
    pub(crate) fn mapped<T: Plain>(&self, count: usize) -> Result<Mapped<T>, DriverError> {
        self.context.bind()?;
        mapped(&self.context, count)
    }

    /// An error if `bytes` more are certain not to fit; `what` says what they are for.
    pub(crate) fn check_room(&self, bytes: u64, what: &str) -> Result<(), BackendError> {
        self.context.bind().map_err(|error| self.failed(error, what))?;
        self.memory.check_room(bytes, what)
    }

    /// That `what` doesn't fit.
    pub(crate) fn out_of_memory(&self, what: &str) -> BackendError {
        let _ = self.context.bind();
        self.memory.out_of_memory(what)
    }

    /// What became of an error of the driver's; `what` says what memory was asked for.
    pub(crate) fn failed(&self, error: DriverError, what: &str) -> BackendError {
        match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => self.out_of_memory(what),
            _ => BackendError::DeviceLost(lost(self.index(), error.0, &explain(error))),
        }
    }

    /// Live and peak bytes of the pool.
    pub(crate) fn memory(&self) -> Result<Memory, String> {
        self.memory.usage()
    }

    /// Starts the pool's peak anew.
    pub(crate) fn reset_peak(&mut self) {
        self.memory.reset_peak();
    }
}

/// As [`Gpu::mapped`]; the context must be the thread's.
fn mapped<T: Plain>(context: &Arc<Context>, count: usize) -> Result<Mapped<T>, DriverError> {
    let bytes = count.checked_mul(size_of::<T>()).ok_or(INVALID)?.max(1);
    // SAFETY: the memory is zeroed below.
    let host = unsafe { result::malloc_host(bytes, sys::CU_MEMHOSTALLOC_DEVICEMAP | sys::CU_MEMHOSTALLOC_PORTABLE) }?;
    let mut mapped = Mapped { host: host.cast(), address: 0, count, context: context.clone(), values: PhantomData };
    // SAFETY: as many bytes were allocated.
    unsafe { std::ptr::write_bytes(host.cast::<u8>(), 0, bytes) };
    // SAFETY: the memory was allocated with DEVICEMAP.
    unsafe { sys::cuMemHostGetDevicePointer_v2(&raw mut mapped.address, host, 0) }.result()?;
    Ok(mapped)
}

/// `fused` has no kernels for older GPUs.
fn check_capability(description: &CudaDevice) -> Result<(), LoadError> {
    let CudaDevice { index, name, compute_capability, .. } = description;
    if *compute_capability >= gpu::CAPABILITY {
        return Ok(());
    }
    let text = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    let remedy = match cfg!(feature = "candle-cuda") {
        true => "use --backend candle or --device cpu",
        false => "use --device cpu, or build harness with the cargo feature candle-cuda",
    };
    Err(LoadError::Unusable(format!(
        "unsupported GPU: cuda:{index} ({name}) has compute capability {}; the backend fused needs {} or newer; {remedy}",
        text(*compute_capability),
        text(gpu::CAPABILITY)
    )))
}

/// The name of an error and the driver's words for it.
fn explain(error: DriverError) -> String {
    match error.error_string() {
        Ok(text) => format!("{:?}: {}", error.0, text.to_string_lossy()),
        Err(_) => format!("{:?}", error.0),
    }
}

fn lost(index: usize, error: CUresult, explained: &str) -> String {
    // After one of these the driver fails every call of the process.
    let fault = matches!(
        error,
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
            | CUresult::CUDA_ERROR_LAUNCH_TIMEOUT
            | CUresult::CUDA_ERROR_ASSERT
            | CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR
            | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
            | CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | CUresult::CUDA_ERROR_INVALID_PC
            | CUresult::CUDA_ERROR_LAUNCH_FAILED
            | CUresult::CUDA_ERROR_TENSOR_MEMORY_LEAK
            | CUresult::CUDA_ERROR_ECC_UNCORRECTABLE
            | CUresult::CUDA_ERROR_NVLINK_UNCORRECTABLE
            | CUresult::CUDA_ERROR_CONTAINED
    );
    let remedy = if fault { "; this process can't use the GPU any more: start harness again" } else { "" };
    format!("cuda:{index}: {explained}{remedy}")
}

struct Event {
    event: CUevent,
    context: Arc<Context>,
}

// SAFETY: a handle of the driver, as above.
unsafe impl Send for Event {}

impl Event {
    /// The context must be the thread's.
    fn new(context: &Arc<Context>) -> Result<Self, DriverError> {
        Ok(Self { event: result::event::create(CUevent_flags::CU_EVENT_DEFAULT)?, context: context.clone() })
    }

    fn record(&self) -> Result<(), DriverError> {
        // SAFETY: the event and the stream are of one context.
        unsafe { result::event::record(self.event, self.context.stream) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: it was created and is destroyed once.
        let _ = unsafe { result::event::destroy(self.event) };
    }
}

/// A graph that is not instantiated yet.
struct Captured(CUgraph);

impl Drop for Captured {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it was made by a capture and is destroyed once.
            let _ = unsafe { result::graph::destroy(self.0) };
        }
    }
}

/// Launches that start together.
pub(crate) struct Graph {
    exec: CUgraphExec,
    modules: Arc<Modules>,
}

// SAFETY: a handle of the driver; a graph is owned, so no two threads use it at once.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.modules.context.bind();
        // SAFETY: it was instantiated and is destroyed once; the driver lets a launch under way finish.
        let _ = unsafe { result::graph::exec_destroy(self.exec) };
    }
}

/// Memory on the GPU, of the pool. Freed in the stream's order, so after the work that was started before.
pub(crate) struct Buffer {
    address: CUdeviceptr,
    bytes: usize,
    context: Arc<Context>,
}

impl Buffer {
    /// Where the GPU finds the byte number `offset`.
    pub(crate) fn address(&self, offset: usize) -> u64 {
        debug_assert!(offset <= self.bytes, "{offset} of {}", self.bytes);
        self.address + offset as u64
    }

    fn check(&self, offset: usize, bytes: usize) -> Result<(), DriverError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(INVALID),
        }
    }

    /// Copies `bytes` to the byte number `offset`, after the work that was started before, and waits for it.
    pub(crate) fn upload(&self, offset: usize, bytes: &[u8]) -> Result<(), DriverError> {
        self.check(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.context.bind()?;
        // SAFETY: the place is within the buffer, and the copy is over before `bytes` can go.
        unsafe { result::memcpy_htod_async(self.address(offset), bytes, self.context.stream) }?;
        self.context.synchronize()
    }

    /// `count` values from the byte number `offset` on, after the work that was started before.
    pub(crate) fn download<T: Plain>(&self, offset: usize, count: usize) -> Result<Vec<T>, DriverError> {
        self.check(offset, count.checked_mul(size_of::<T>()).ok_or(INVALID)?)?;
        // SAFETY: every pattern of bits is a plain value, zeros too.
        let mut values = vec![unsafe { std::mem::zeroed::<T>() }; count];
        if values.is_empty() {
            return Ok(values);
        }
        self.context.bind()?;
        // SAFETY: the place is within the buffer, and the copy is over before `values` can go.
        unsafe { result::memcpy_dtoh_async(&mut values, self.address(offset), self.context.stream) }?;
        self.context.synchronize()?;
        Ok(values)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: it was allocated in this stream and is freed once.
        let _ = unsafe { result::free_async(self.address, self.context.stream) };
    }
}

/// Memory on the GPU that is not of the pool.
pub(crate) struct Scratch {
    address: CUdeviceptr,
    context: Arc<Context>,
}

impl Scratch {
    /// Where the GPU finds its first byte.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // The GPU may still be reading it.
        let _ = self.context.synchronize();
        // SAFETY: it was allocated so and is freed once.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

/// Values in the host's memory that the GPU reads and writes over the bus.
pub(crate) struct Mapped<T: Plain> {
    host: *mut T,
    address: CUdeviceptr,
    count: usize,
    context: Arc<Context>,
    /// The GPU may change them at any time.
    values: PhantomData<UnsafeCell<T>>,
}

// SAFETY: it owns its memory, whose values are plain.
unsafe impl<T: Plain> Send for Mapped<T> {}

impl<T: Plain> Mapped<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Where the GPU finds the value number `index`.
    pub(crate) fn address(&self, index: usize) -> u64 {
        debug_assert!(index <= self.count, "{index} of {}", self.count);
        self.address + (index * size_of::<T>()) as u64
    }

    /// The place of a value; an index out of range ends the program, as a slice's does.
    fn at(&self, index: usize) -> *mut T {
        assert!(index < self.count, "{index} of {}", self.count);
        // SAFETY: it is within the memory.
        unsafe { self.host.add(index) }
    }

    /// The value number `index` as it is now; the GPU may have written it.
    pub(crate) fn read(&self, index: usize) -> T {
        // SAFETY: the place holds a value, and the GPU writes one of at most 8 bytes at once.
        unsafe { self.at(index).read_volatile() }
    }

    /// Sets the value number `index`; the GPU sees it from the next launch on, or as soon as it looks.
    pub(crate) fn write(&self, index: usize, value: T) {
        // SAFETY: as above; no reference to the values lives, or its maker answers for it.
        unsafe { self.at(index).write_volatile(value) }
    }

    /// Sets the values from number `index` on; a range out of bounds ends the program, as a slice's does.
    pub(crate) fn write_all(&self, index: usize, values: &[T]) {
        assert!(index + values.len() <= self.count, "{index} + {} of {}", values.len(), self.count);
        // SAFETY: the places are within the memory, which no slice of the host's overlaps.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.host.add(index), values.len()) };
    }
}

impl<T: Plain> Drop for Mapped<T> {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // The GPU may still be using them.
        let _ = self.context.synchronize();
        // SAFETY: it was allocated so and is freed once.
        let _ = unsafe { result::free_host(self.host.cast()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(compute_capability: (u32, u32)) -> CudaDevice {
        CudaDevice {
            index: 1,
            name: "NVIDIA X".into(),
            uuid: "GPU-0".into(),
            memory: 1,
            compute_capability,
            backends: Vec::new(),
        }
    }

    #[test]
    fn without_a_driver_it_is_said_what_is_missing() {
        let Err(why) = gpu::devices() else {
            return;
        };
        assert!(why.contains("the NVIDIA driver"), "{why}");
        let Err(LoadError::Unusable(message)) = Gpu::open(3) else {
            panic!("it opened");
        };
        assert!(message.contains("cuda:3") && message.contains(&why) && message.contains("--device cpu"), "{message}");
    }

    #[test]
    fn an_old_gpu_is_refused_with_what_to_do() {
        let Err(LoadError::Unusable(message)) = check_capability(&device((7, 5))) else {
            panic!("it was taken");
        };
        assert!(message.starts_with("unsupported GPU: cuda:1 (NVIDIA X) has compute capability 7.5"), "{message}");
        assert!(message.contains("8.0") && message.contains("--device cpu"), "{message}");
        assert_eq!(check_capability(&device((8, 0))), Ok(()));
    }

    #[test]
    fn after_a_fault_the_process_has_to_start_again() {
        let fault = lost(0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS");
        assert!(fault.starts_with("cuda:0: CUDA_ERROR_ILLEGAL_ADDRESS; ") && fault.contains("start harness again"));
        assert_eq!(lost(0, CUresult::CUDA_ERROR_NOT_FOUND, "X"), "cuda:0: X");
    }
}
