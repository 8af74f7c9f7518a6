//! How much memory and time one input may take. libFuzzer looks at the whole process only, which grows over many inputs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_long;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The system's allocator, which counts what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn took(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes);
    PEAK.fetch_max(held, Ordering::Relaxed);
}

fn gave(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: all is done by the system's allocator, with the arguments as they are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        took(size);
        gave(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

// SAFETY: POSIX has it so; its unit is a millionth of a second.
unsafe extern "C" {
    /// Processor time of this process.
    safe fn clock() -> c_long;
}

/// Does it, and panics where it took more heap or more processor time; on the clock, libFuzzer's `-timeout` says how much.
pub fn within<T>(bytes: usize, time: Duration, work: impl FnOnce() -> T) -> T {
    let (before, started) = (HELD.load(Ordering::Relaxed), clock());
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    let took = Duration::from_micros(clock().wrapping_sub(started).unsigned_abs());
    assert!(peak <= bytes, "it took {peak} bytes, and may take {bytes}");
    assert!(took <= time, "it took {took:?}, and may take {time:?}");
    result
}
