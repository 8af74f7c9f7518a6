//! Signals whose disposition comes from whoever started this process, or which end a process without a word.
#![allow(unsafe_code, reason = "the standard library sets no signal's disposition")]

/// Has children be waited for, and a file over the limit of its size be an error of the write.
pub(crate) fn settle() {
    #[cfg(unix)]
    // SAFETY: sets dispositions that are constants of the system, before there is another thread; no handler runs.
    unsafe {
        // Where it is ignored, as by some supervisors, nobody learns how a child ended.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
