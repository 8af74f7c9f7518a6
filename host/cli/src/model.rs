//! Makes the model ready that the settings name.

use harness_engine::{Loaded, load, load_simulated};

use crate::failure::Failure;
use crate::settings::ModelSettings;

/// Loads it.
pub(crate) fn ready(settings: &ModelSettings, seed: u64) -> Result<Loaded, Failure> {
    match settings {
        ModelSettings::Gpt2(options) => Ok(load(options)?),
        ModelSettings::Simulated(settings) => Ok(load_simulated(settings, seed)),
    }
}
