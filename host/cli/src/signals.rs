//! Signals whose disposition comes from whoever started this process, or which end a process without a word.
#![allow(unsafe_code, reason = "the standard library sets no signal's disposition")]

#[cfg(unix)]
use std::sync::OnceLock;

/// Those that end a test after its iteration.
#[cfg(unix)]
const ENDING: [libc::c_int; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

/// Of these, what was ignored at the start, as by `nohup` or of a job that a script put into the background.
#[cfg(unix)]
static IGNORED: OnceLock<Vec<libc::c_int>> = OnceLock::new();

/// Has children be waited for, and a file over the limit of its size be an error of the write.
pub(crate) fn settle() {
    #[cfg(unix)]
    {
        IGNORED.get_or_init(|| ENDING.into_iter().filter(|&signal| is_ignored(signal)).collect());
        // SAFETY: sets dispositions that are constants of the system, before there is another thread; no handler runs.
        unsafe {
            // Where it is ignored, as by some supervisors, nobody learns how a child ended.
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        }
    }
}

/// Once all of them have a handler: what was ignored stays so.
pub(crate) fn keep_ignored() {
    #[cfg(unix)]
    for &signal in IGNORED.get().into_iter().flatten() {
        // SAFETY: sets a disposition that is a constant of the system.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

#[cfg(unix)]
fn is_ignored(signal: libc::c_int) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: asks for a disposition, which is written whole where the call succeeds; nothing is set.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
