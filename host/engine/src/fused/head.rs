//! The kernel that computes the head of up to 64 sequences and chooses their next tokens: whether the GPU and the model
//! have it, and its launch.

#![allow(unsafe_code, reason = "launches kernels, which take addresses of the device")]

use super::args::{Address, Choose, Head};
use super::driver::{DriverError, Gpu, Kernel, overlapping};
use super::layout::Dims;
use crate::options::DTypeChoice;

/// Of `kernels/head.cu`.
const THREADS: u32 = 288;
const STAGE_BYTES: u32 = 16384;
const ROWS: [usize; 3] = [16, 32, 64];
/// Weights under way: as many stages as hide the memory's latency, and fewer where there is no room.
const MOST_STAGES: u32 = 6;
const LEAST_STAGES: u32 = 3;

/// The kernels for heads, those for the fewest rows first.
pub(crate) struct Heads(Vec<OfRows>);

struct OfRows {
    rows: usize,
    stages: u32,
    shared: u32,
    kernel: Kernel,
}

impl Heads {
    pub(crate) fn find(gpu: &Gpu, dims: &Dims, dtype: DTypeChoice) -> Result<Self, DriverError> {
        let mut found = Vec::new();
        if gpu.compute_capability() < (9, 0) || dtype == DTypeChoice::F32 {
            return Ok(Self(found));
        }
        for rows in ROWS {
            let kernel = gpu.kernel(&format!("head_{dtype}_{rows}"))?;
            let of_rows = 2 * (rows * (dims.dp + 32)) as u32;
            let room = gpu.most_shared().saturating_sub(kernel.fixed_shared()? + of_rows);
            let stages = (room / STAGE_BYTES).min(MOST_STAGES);
            if stages >= LEAST_STAGES {
                let shared = of_rows + stages * STAGE_BYTES;
                kernel.allow_shared(shared)?;
                found.push(OfRows { rows, stages, shared, kernel });
            }
        }
        Ok(Self(found))
    }

    /// Launches the head of `choose.m` normed rows `a` of `kp` columns, and the choice; false where that takes other
    /// kernels. `logits` is 0 where they are not kept.
    pub(crate) fn launch(
        &self,
        gpu: &Gpu,
        (a, w, logits): (Address, Address, Address),
        kp: usize,
        choose: Choose,
    ) -> Result<bool, DriverError> {
        let Some(head) = self.0.iter().find(|head| choose.m as usize <= head.rows) else { return Ok(false) };
        let parameter = Head { a, w, logits, kp: kp as i32, stages: head.stages as i32, choose };
        let launch = overlapping(gpu, (gpu.multiprocessors(), 1, 1), THREADS, head.shared);
        // SAFETY: all addresses are of the model's and the memory's parts, which are as large as the sizes say and live
        // as long as the graph that this launch is part of.
        unsafe { gpu.launch(&head.kernel, launch, &parameter) }?;
        Ok(true)
    }
}
