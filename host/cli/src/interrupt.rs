//! Ctrl-C: the first ends the invocation after the present iteration, the second at once.

use std::io;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness_core::{StopFlag, temporaries};

use crate::exit;
use crate::failure::Failure;
use crate::log::{tell, tell_lines};
use crate::signals;

/// In the environment of a process that is to end with its parent.
const TIED: &str = "HARNESS_ENDS_WITH_STDIN";

/// How long an iteration may take after the parent's end. Finished runs are on disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has the harness that `command` starts end, as by Ctrl-C, when this process does, however that ends: its stdin is a pipe that
/// nothing is written to, and that must be held.
pub(crate) fn tie(command: &mut Command) -> &mut Command {
    command.env(TIED, "1").stdin(Stdio::piped())
}

/// What the first signal sets: the same flag, however often it is asked for.
pub(crate) fn watch() -> Result<StopFlag, Failure> {
    static SEEN: AtomicBool = AtomicBool::new(false);
    static STOP: OnceLock<StopFlag> = OnceLock::new();
    if let Some(stop) = STOP.get() {
        return Ok(stop.clone());
    }
    let stop = StopFlag::default();
    let set = stop.clone();
    ctrlc::set_handler(move || {
        if SEEN.swap(true, Ordering::SeqCst) {
            // Finished runs are on disk; a guest or a GPU that does not come back is left behind.
            temporaries::remove_all();
            exit::at_once(130);
        }
        set.set();
        match signals::why_over() {
            Some(why) => tell(&format!("{why}: stopping after this iteration")),
            None => tell_lines("\nstopping after this iteration; once more to stop at once"),
        }
    })
    .map_err(|error| Failure::failed(format!("can't watch for Ctrl-C: {error}")))?;
    signals::take_time_limits();
    signals::keep_ignored();
    if std::env::var_os(TIED).is_some() {
        let set = stop.clone();
        let watch = move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            set.set();
            tell_lines("\nwhat started this has ended: stopping after this iteration");
            std::thread::sleep(PATIENCE);
            temporaries::remove_all();
            exit::at_once(130);
        };
        std::thread::Builder::new()
            .spawn(watch)
            .map_err(|error| Failure::failed(format!("can't watch what started this: {error}")))?;
    }
    Ok(STOP.get_or_init(|| stop).clone())
}
