//! The kernel that takes a new token of each sequence through all layers in one launch: whether it suits the model, the
//! batch and the GPU, and its launch.

#![allow(unsafe_code, reason = "launches kernels, which take addresses of the device")]

use super::args::StepLayers;
use super::driver::{DriverError, Gpu, Kernel, Launch};
use super::layout::Dims;
use super::pass::Pass;
use crate::options::DTypeChoice;

/// Of `kernels/step_layers.cu`.
const CLUSTER: u32 = 4;
const CLUSTERS: u32 = 24;
const THREADS: u32 = 384;
/// Of each kernel the most rows, and the shared memory of a block.
const KERNELS: [(usize, u32); 3] = [(16, 212_992), (32, 172_032), (64, 200_832)];
/// Of each 12,288 bytes of the head's weights, those that the second-level cache reads while layers are computed: few
/// enough to stay there beside what layers need.
const HEAD_AHEAD: i32 = 4096;

/// Pairs of numbers that are kept of each row.
pub(crate) const STATISTICS: usize = CLUSTERS as usize;

/// The kernels for steps, where the model and the GPU suit them, with the most rows of each.
pub(crate) struct Steps(Vec<Step>);

struct Step {
    rows: usize,
    shared: u32,
    kernel: Kernel,
}

impl Steps {
    pub(crate) fn find(gpu: &Gpu, dims: &Dims, dtype: DTypeChoice) -> Result<Self, DriverError> {
        let mut found = Vec::new();
        if gpu.compute_capability() < (9, 0) || dtype == DTypeChoice::F32 || !suits(dims) {
            return Ok(Self(found));
        }
        for (rows, shared) in KERNELS {
            let kernel = gpu.kernel(&format!("step_layers_{dtype}_{rows}"))?;
            if shared + kernel.fixed_shared()? > gpu.most_shared() {
                continue;
            }
            kernel.allow_shared(shared)?;
            if kernel.clusters(CLUSTER, THREADS, shared)? >= CLUSTERS {
                found.push(Step { rows, shared, kernel });
            }
        }
        Ok(Self(found))
    }

    /// The most rows of each kernel.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Vec<usize> {
        self.0.iter().map(|step| step.rows).collect()
    }

    /// Whether a step of so many sequences takes this kernel.
    pub(crate) fn suit(&self, sequences: usize) -> bool {
        self.0.iter().any(|step| sequences <= step.rows)
    }

    /// Launches the embedding, all layers and the last norm of a step; false where that takes other kernels.
    pub(crate) fn launch(&self, pass: &Pass<'_>, sequences: usize) -> Result<bool, DriverError> {
        let Some(step) = self.0.iter().find(|step| sequences <= step.rows) else { return Ok(false) };
        let (model, memory) = (pass.model, pass.memory);
        let cache = memory.cache(0);
        let (norm_weight, norm_bias) = model.norm();
        let parameter = StepLayers {
            layers: model.layer(0, 0),
            layer_bytes: model.layer_bytes as u64,
            at: model.offsets,
            token_embedding: model.token_embedding(),
            position_embedding: model.position_embedding(),
            tokens: memory.tokens(0),
            rows: memory.state_rows(0),
            keys: cache.keys,
            values: cache.values,
            cache_layer_bytes: memory.layer_cache_bytes() as u64,
            x: memory.residual(),
            attended: memory.attended(),
            hidden: memory.hidden(),
            statistics: memory.statistics(),
            norm_weight,
            norm_bias,
            normed: memory.normed(),
            arrived: memory.arrived(),
            failed: memory.failed(),
            head: model.head(),
            m: sequences as i32,
            layer_count: model.dims.layers as i32,
            room: cache.room,
            epsilon: model.epsilon,
            scale: model.scale,
            scale_by_layer: i32::from(model.scale_by_layer),
            gelu_erf: i32::from(model.gelu_erf),
            head_tiles: (model.dims.vp / 8) as i32,
            head_ahead: HEAD_AHEAD,
        };
        let launch = Launch {
            grid: (CLUSTER * CLUSTERS, 1, 1),
            threads: THREADS,
            shared: step.shared,
            dependent: true,
            cooperative: false,
        };
        // SAFETY: all addresses are of the model's and the memory's parts, which are as large as the sizes say and live
        // as long as the graph that this launch is part of.
        unsafe { pass.gpu.launch(&step.kernel, launch, &parameter) }?;
        Ok(true)
    }
}

/// Whether the model has the one shape that the kernels are for.
fn suits(dims: &Dims) -> bool {
    (dims.heads, dims.head_size, dims.width, dims.fp, dims.size) == (12, 64, 768, 3072, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    #[test]
    fn the_smallest_published_size_suits_the_kernels_and_no_other() {
        for (name, suited) in [("gpt2", true), ("gpt2-medium", false), ("gpt2-large", false), ("gpt2-xl", false)] {
            let config = synthetic::size(name).unwrap();
            assert_eq!(suits(&Dims::new(&config, DTypeChoice::BF16)), suited, "{name}");
            assert!(!suits(&Dims::new(&config, DTypeChoice::F32)));
        }
    }
}
