//! Makes the model ready that the settings name.

use std::sync::Arc;

use harness_engine::{LoadOptions, Loaded, Watcher, load, load_simulated};

use crate::download::Downloads;
use crate::failure::Failure;
use crate::progress::Screen;
use crate::settings::ModelSettings;

/// Loads it, and shows what is downloaded for it.
pub(crate) fn ready(settings: &ModelSettings, seed: u64, screen: &Screen) -> Result<Loaded, Failure> {
    match settings {
        ModelSettings::Gpt2(options) => {
            let watcher = Watcher::new(Arc::new(Downloads::new(screen.clone())));
            let loaded = load(&LoadOptions { watcher, ..options.clone() });
            // A download that failed leaves its line.
            screen.clear();
            Ok(loaded?)
        }
        ModelSettings::Simulated(settings) => Ok(load_simulated(settings, seed)),
    }
}
