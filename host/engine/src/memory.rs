//! Bytes of this process in the machine's memory, as Linux counts them.

use harness_core::{Memory, MemoryKind};

/// Resident bytes, and their peak since [`reset_peak`].
pub(crate) fn resident() -> Result<Memory, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| {
        format!("this system does not tell how much memory a process has (/proc/self/status: {error})")
    })?;
    let allocated = field(&status, "VmRSS:")?;
    // The kernel raises the peak lazily, so it can lag behind the present value.
    let peak = field(&status, "VmHWM:")?.max(allocated);
    Ok(Memory { kind: MemoryKind::Resident, allocated, peak })
}

/// Starts the peak anew at the present value.
pub(crate) fn reset_peak() -> Result<(), String> {
    // proc(5): 5 resets the peak resident set size.
    std::fs::write("/proc/self/clear_refs", "5").map_err(|error| {
        format!("this system can't reset the peak of a process's memory (/proc/self/clear_refs: {error})")
    })
}

/// Bytes that the machine can still give, or `None` where that can't be told.
pub(crate) fn available() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:").ok()
}

fn field(status: &str, name: &str) -> Result<u64, String> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| format!("Linux gives no {name} line in kB"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_peak_follows_an_allocation_and_can_be_reset() {
        let block = vec![1u8; 64 << 20];
        std::hint::black_box(&block);
        drop(block);
        let before = resident().unwrap();
        assert!(before.peak >= before.allocated);
        if reset_peak().is_ok() {
            assert!(resident().unwrap().peak <= before.peak);
        }
    }
}
