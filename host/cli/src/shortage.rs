//! What is said where the system gives this process no more memory or no more threads.
//!
//! The standard library and wasmtime panic or abort then, wherever they are. That is no fault of theirs or ours, and the process
//! ends as after any error: by a sentence and exit code 1. Each finished run is on the disk before.
#![allow(
    unsafe_code,
    reason = "an allocator is unsafe to be one, and the standard library sets no signal's disposition"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

const NO_THREADS: &str = "error: the system gives this process no more threads; raise or lift the limit on them (ulimit -u, the pids \
                          limit of the control group) or on memory (ulimit -v), or set RAYON_NUM_THREADS lower. What was recorded until \
                          then is kept";
const NO_MEMORY: &str = "error: the system gives this process no more memory; raise or lift the limit on it (ulimit -v, RLIMIT_AS), see \
                         to it that the system may overcommit (vm.overcommit_memory, vm.max_map_count), or ask for less (runs, \
                         iterations, batch). What was recorded until then is kept";

/// What to say of a panic, if it is of what the system gives no more of.
pub(crate) fn meant_by(panic: &str) -> Option<&'static str> {
    let says = |parts: &[&str]| parts.iter().any(|part| panic.contains(part));
    // Threads need memory, too: the kind of error is looked at before what was being done.
    if says(&["Cannot allocate memory", "OutOfMemory", "munmap failed"]) {
        return Some(NO_MEMORY);
    }
    says(&["failed to spawn thread", "Resource temporarily unavailable", "WouldBlock"]).then_some(NO_THREADS)
}

thread_local! {
    /// Whether this thread was refused memory. It is all that tells that abort from others.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, which remembers that it had nothing to give.
#[derive(Debug)]
pub struct Allocator;

fn given(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        // A thread that ends has none any more.
        let _ = REFUSED.try_with(|refused| refused.set(true));
    }
    pointer
}

// SAFETY: the system's allocator does the work, and remembering allocates nothing.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        given(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        given(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        given(unsafe { System.realloc(pointer, layout, size) })
    }
}

/// From here on an abort for want of memory is a sentence and exit code 1.
pub(crate) fn install() {
    #[cfg(unix)]
    // SAFETY: the handler stays; what it calls is said there.
    unsafe {
        let handler: extern "C" fn(libc::c_int) = aborted;
        libc::signal(libc::SIGABRT, handler as libc::sighandler_t);
    }
}

/// The standard library aborts where an allocation fails that nobody can do without: in the thread that asked, from outside the
/// allocator. So what follows may do what other code may; it allocates nothing for paths of usual length. Of any other abort it makes
/// nothing: the process ends by it when this returns.
#[cfg(unix)]
extern "C" fn aborted(_: libc::c_int) {
    if REFUSED.try_with(Cell::get).unwrap_or(false) {
        for part in [NO_MEMORY, "\n"] {
            // SAFETY: the text is there as long as the process. Where it can't be shown there is nothing to be done.
            let _ = unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
        }
        harness_core::temporaries::remove_all();
        crate::exit::at_once(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the standard library and wasmtime say, word for word.
    #[test]
    fn the_system_is_blamed_for_what_it_refuses() {
        for memory in [
            "failed to allocate an alternative stack: Cannot allocate memory (os error 12)",
            "failed to set up alternative stack guard page: Cannot allocate memory (os error 12)",
            "failed to allocate memory for sigaltstack: Os { code: 12, kind: OutOfMemory, message: \"Cannot allocate memory\" }",
            "failed to spawn thread: Os { code: 12, kind: OutOfMemory, message: \"Cannot allocate memory\" }",
            "munmap failed during thread shutdown",
        ] {
            assert_eq!(meant_by(memory), Some(NO_MEMORY), "{memory}");
        }
        for threads in [
            "failed to spawn thread: Os { code: 11, kind: WouldBlock, message: \"Resource temporarily unavailable\" }",
            "The global thread pool has not been initialized.: ThreadPoolBuildError { kind: IOError(Os { code: 11, kind: WouldBlock, \
             message: \"Resource temporarily unavailable\" }) }",
        ] {
            assert_eq!(meant_by(threads), Some(NO_THREADS), "{threads}");
        }
        assert_eq!(meant_by("index out of bounds: the len is 3 but the index is 12"), None);
    }
}
