//! Lines for the person who runs the plugin, shown by the host as its log level has it.

pub use crate::bindings::harness::plugin::log::Level;

/// Says something at a level. Natively, in unit tests, it goes to standard error.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::harness::plugin::log::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    #[allow(clippy::print_stderr)]
    {
        eprintln!("{level:?}: {message}");
    }
}

/// Something the user should know to trust the figures.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// Something the user may like to know.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// Something for whoever writes the plugin.
pub fn debug(message: &str) {
    log(Level::Debug, message);
}
