//! The kernel that takes a new token of each sequence through all layers in one launch: whether it suits the model, the
//! batch and the GPU, and how it is launched.

use super::driver::{DriverError, Gpu, Kernel, Launch};
use super::layout::Dims;
use crate::options::DTypeChoice;

/// Of `kernels/step_layers.cu`.
const CLUSTER: u32 = 4;
const CLUSTERS: u32 = 24;
const THREADS: u32 = 384;
/// Of each kernel the most rows, and the shared memory of a block.
const KERNELS: [(usize, u32); 3] = [(16, 212_992), (32, 172_032), (64, 200_832)];
/// Of each 12,288 bytes of the head's weights, those that the second-level cache reads while layers are computed: few
/// enough to stay there beside what layers need.
pub(crate) const HEAD_AHEAD: i32 = 4096;

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

    /// The kernel for so many sequences and its launch; none where a step takes other kernels.
    pub(crate) fn of(&self, sequences: usize) -> Option<(&Kernel, Launch)> {
        let step = self.0.iter().find(|step| sequences <= step.rows)?;
        let launch = Launch {
            grid: (CLUSTER * CLUSTERS, 1, 1),
            threads: THREADS,
            shared: step.shared,
            dependent: true,
            cooperative: false,
        };
        Some((&step.kernel, launch))
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
