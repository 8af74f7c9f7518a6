//! Ends the process, whatever the GPU's driver does.
//!
//! What the driver's library left to be run at the end waits for its own locks, which a call that never returned may hold. So none of
//! it is run while such a call is out, and it is waited for no longer than a limit where there is none. All that is written is
//! written by then: output is flushed here, files are whole before a command returns.

#![allow(unsafe_code, reason = "only the C library ends a process without running what was left to be run")]

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// How long the driver's library may take at the end, which it does in milliseconds.
const LIMIT: Duration = Duration::from_secs(3);

/// Ends the process with that code, or says how it is to end.
pub(crate) fn end(code: u8) -> ExitCode {
    // A reader that has gone is no reason to stay.
    let _ = std::io::stdout().flush();
    if harness_telemetry::unanswered() {
        at_once(code);
    }
    if harness_telemetry::was_loaded() {
        // Without a thread to watch it there is no waiting.
        let watch = move || {
            std::thread::sleep(LIMIT);
            at_once(code);
        };
        if std::thread::Builder::new().spawn(watch).is_err() {
            at_once(code);
        }
    }
    ExitCode::from(code)
}

/// Ends the process now, and runs nothing more; not even what is left to be written, which may be what it hangs in.
pub(crate) fn at_once(code: u8) -> ! {
    #[cfg(unix)]
    // SAFETY: it has no conditions.
    unsafe {
        libc::_exit(code.into())
    }
    #[cfg(not(unix))]
    std::process::exit(code.into())
}
