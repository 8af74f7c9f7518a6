//! Ctrl-C: the first ends the invocation after the present iteration, the second at once.

use std::sync::atomic::{AtomicBool, Ordering};

use harness_core::StopFlag;

use crate::failure::Failure;
use crate::log::tell;

/// Sets `stop` at the first signal.
pub(crate) fn watch(stop: StopFlag) -> Result<(), Failure> {
    static SEEN: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if SEEN.swap(true, Ordering::SeqCst) {
            // Finished runs are on disk; a guest or a GPU that does not come back is left behind.
            std::process::exit(130);
        }
        stop.set();
        tell("\nstopping after this iteration; once more to stop at once");
    })
    .map_err(|error| Failure::failed(format!("can't watch for Ctrl-C: {error}")))
}
