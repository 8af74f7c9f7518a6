//! Bytes of this process in the machine's memory, as Linux counts them.

use std::path::Path;

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

/// Bytes that the machine can still give, and the control group (cgroup v2) that this process is in; `None` where that can't be
/// told.
pub(crate) fn available() -> Option<u64> {
    let machine = field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:").ok()?;
    Some(machine.min(room_in_group(Path::new("/")).unwrap_or(u64::MAX)))
}

/// The least room that the limits of the group and of those around it leave; `None` where there is no limit. `root` has `proc` and
/// `sys` in it.
fn room_in_group(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let top = root.join("sys/fs/cgroup");
    let room = |group: &Path| {
        let number = |file: &str| std::fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
        let most = number("memory.max")?;
        // Files that were read a while ago are given up before anybody is refused.
        let stat = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let idle = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok()).unwrap_or(0);
        Some(most.saturating_sub(number("memory.current")?.saturating_sub(idle)))
    };
    top.join(own).ancestors().take_while(|group| group.starts_with(&top)).filter_map(room).min()
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

    #[test]
    fn a_container_has_what_its_limits_leave() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(room_in_group(root.path()), None);
        write("proc/self/cgroup", "1:cpu:/\n0::/pod/box\n");
        write("sys/fs/cgroup/pod/box/memory.max", "max\n");
        write("sys/fs/cgroup/pod/box/memory.current", "500\n");
        assert_eq!(room_in_group(root.path()), None);
        // The pod's limit holds for all of its boxes.
        write("sys/fs/cgroup/pod/memory.max", "4096\n");
        write("sys/fs/cgroup/pod/memory.current", "3000\n");
        write("sys/fs/cgroup/pod/memory.stat", "anon 1000\ninactive_file 2000\n");
        assert_eq!(room_in_group(root.path()), Some(3096));
        write("sys/fs/cgroup/pod/box/memory.max", "1000\n");
        assert_eq!(room_in_group(root.path()), Some(500));
    }
}
