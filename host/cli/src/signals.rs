//! Signals whose disposition comes from whoever started this process, or which end a process without a word.
#![allow(unsafe_code, reason = "the standard library sets no signal's disposition")]

#[cfg(unix)]
use std::sync::OnceLock;
#[cfg(unix)]
use std::sync::atomic::{AtomicI32, Ordering};

/// Those that end a test after its iteration.
#[cfg(unix)]
const ENDING: [libc::c_int; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGXCPU, libc::SIGUSR1, libc::SIGUSR2];

/// Those of them by which a system or a scheduler says that time is over, and that would end the process at once.
#[cfg(unix)]
const TIME_IS_OVER: [(libc::c_int, &str); 3] = [
    (libc::SIGXCPU, "the limit on processor time is reached (SIGXCPU; ulimit -t)"),
    (libc::SIGUSR1, "SIGUSR1 came, which schedulers send before they end a job"),
    (libc::SIGUSR2, "SIGUSR2 came, which schedulers send before they end a job"),
];

/// The one that came; 0 where none did.
#[cfg(unix)]
static OVER: AtomicI32 = AtomicI32::new(0);

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

/// Takes the signals by which a system or a scheduler says that time is over as the one that asks a process to end.
pub(crate) fn take_time_limits() {
    #[cfg(unix)]
    for (signal, _) in TIME_IS_OVER {
        // SAFETY: the handler keeps to what may be done in one: an atomic exchange, and a signal to this process.
        unsafe { libc::signal(signal, time_is_over as *const () as libc::sighandler_t) };
    }
}

#[cfg(unix)]
extern "C" fn time_is_over(signal: libc::c_int) {
    // The system repeats SIGXCPU each second, which is no second wish to end.
    if OVER.swap(signal, Ordering::Relaxed) == 0 {
        // SAFETY: both may be called in a handler.
        unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
    }
}

/// Why time is over, where the system or a scheduler said so.
pub(crate) fn why_over() -> Option<&'static str> {
    #[cfg(unix)]
    {
        let came = OVER.load(Ordering::Relaxed);
        TIME_IS_OVER.iter().find(|(signal, _)| *signal == came).map(|(_, why)| *why)
    }
    #[cfg(not(unix))]
    None
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
