//! What a plugin costs beside the model.

use serde::{Deserialize, Serialize};

/// What a call into a plugin took. Recorded with the runs, so that nobody has to believe that it is little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginCost {
    /// Seconds that loading the component took: compiling it, or finding what was compiled before, and linking.
    pub load_time: f64,
    /// Seconds in the guest's own code.
    pub guest_time: f64,
    /// The part of these seconds that lay in a run, its warm-up included. Zero by construction, and measured all the same.
    pub guest_time_in_runs: f64,
    /// Calls of the host, those of WASI included.
    pub host_calls: u64,
    /// Bytes of the values that the guest handed to the contract's functions and returned.
    pub bytes_to_host: u64,
    /// Bytes of the values that it got from them, and of its settings.
    pub bytes_to_guest: u64,
    /// Most bytes of linear memory that it had.
    pub memory_peak: u64,
}
