//! How fast the GPU's memory can be read.

#![allow(unsafe_code, reason = "launches kernels, which take addresses of the device")]

use harness_core::Bandwidth;

use super::args::Stream;
use super::driver::{DriverError, Gpu, Launch};

/// Bytes that are read at most.
const MOST: u64 = 4 << 30;
/// How many times the L2 the block is at least, or the cache would be measured.
const LEAST_CACHES: u64 = 8;
const THREADS: u32 = 512;
/// Blocks for each multiprocessor: all threads that it can hold.
const BLOCKS: u32 = 4;
/// Reads that only bring clocks up.
const WARMUP: usize = 5;
const READS: usize = 21;
/// Bytes of a load.
const LOAD: u64 = 16;

/// Reads a large block of memory again and again, and gives it back.
pub(super) fn measure(gpu: &Gpu) -> Result<Bandwidth, String> {
    let least = LEAST_CACHES * u64::from(gpu.cache_bytes().map_err(|error| told(gpu, error))?);
    let free = gpu.free().ok_or("the driver does not say how much memory is free")?;
    // Half of it, since the driver wants some for itself and the test for keys and values.
    let bytes = (free / 2).min(MOST) / LOAD * LOAD;
    if bytes < least.max(LOAD) {
        return Err(format!(
            "{least} bytes of GPU memory would have to be read, and half of the free memory is {bytes}"
        ));
    }
    let seconds = read(gpu, bytes).map_err(|error| told(gpu, error))?;
    Bandwidth::of(bytes, &seconds, "a streaming kernel, by CUDA events")
        .ok_or_else(|| "CUDA events gave no time for a read".into())
}

fn read(gpu: &Gpu, bytes: u64) -> Result<Vec<f64>, DriverError> {
    let kernel = gpu.kernel("stream_read")?;
    let block = gpu.outside_the_pool(bytes as usize)?;
    let out = gpu.mapped::<u32>(1)?;
    let launch = Launch {
        grid: (BLOCKS * gpu.multiprocessors(), 1, 1),
        threads: THREADS,
        shared: 0,
        dependent: false,
        cooperative: false,
    };
    let argument = Stream { from: block.address(), out: out.address(0), count: bytes / LOAD };
    let mut seconds = Vec::with_capacity(READS);
    for number in 0..WARMUP + READS {
        gpu.start()?;
        // SAFETY: the kernel reads `count` loads of the block and may write one number; both stay until it was waited for.
        unsafe { gpu.launch(&kernel, launch, &argument) }?;
        gpu.mark_end()?;
        gpu.await_end()?;
        let time = gpu.time()?.as_secs_f64();
        if number >= WARMUP {
            seconds.push(time);
        }
    }
    Ok(seconds)
}

fn told(gpu: &Gpu, error: DriverError) -> String {
    gpu.failed(error, "the block that is read to measure the memory's bandwidth").to_string()
}
