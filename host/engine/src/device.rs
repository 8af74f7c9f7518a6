//! GPUs as CUDA lists them.

/// An NVIDIA GPU that CUDA can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// N of `cuda:N`.
    pub index: usize,
    /// As its maker calls it.
    pub name: String,
    /// `GPU-…`, as NVML has it.
    pub uuid: String,
    /// Bytes of its memory.
    pub memory: u64,
    /// Major and minor.
    pub compute_capability: (u32, u32),
    /// The backends that this binary has for it, the best one first; none where it is too old.
    pub backends: Vec<&'static str>,
}
