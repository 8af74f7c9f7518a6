//! Bytes of this process in the machine's memory, as Linux counts them.

#![allow(unsafe_code, reason = "the standard library does not tell the limits of a process")]

use std::path::Path;

use harness_core::{BackendError, Memory, MemoryKind};

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

/// Refuses what needs `bytes` more than this process can get: Linux kills a process that takes more than there is, and what it
/// has not written is lost. `what` says what they are for, `instead` what to do.
pub(crate) fn check_room(bytes: u64, what: &str, instead: &str) -> Result<(), BackendError> {
    fits(bytes, available(), what, instead)
}

fn fits(bytes: u64, available: Option<u64>, what: &str, instead: &str) -> Result<(), BackendError> {
    match available {
        Some(available) if bytes > available => Err(BackendError::OutOfMemory(format!(
            "{what} do not fit this machine, which has {available} bytes of memory available; {instead}"
        ))),
        _ => Ok(()),
    }
}

/// Bytes that this process can still get of the machine, of its control groups and of its own limit on address space; `None`
/// where that can't be told.
pub(crate) fn available() -> Option<u64> {
    let machine = field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:").ok()?;
    let group = room_in_group(Path::new("/")).unwrap_or(u64::MAX);
    Some(machine.min(group).min(room_in_addresses().unwrap_or(u64::MAX)))
}

/// What RLIMIT_AS (`ulimit -v`) leaves; `None` where there is no limit.
#[cfg(target_os = "linux")]
fn room_in_addresses() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one struct, which is ours.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    if got != 0 || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    let taken = field(&std::fs::read_to_string("/proc/self/status").ok()?, "VmSize:").ok()?;
    Some(limit.rlim_cur.saturating_sub(taken))
}

#[cfg(not(target_os = "linux"))]
fn room_in_addresses() -> Option<u64> {
    None
}

/// The files of one version of control groups.
struct Groups {
    /// Where the groups are.
    top: &'static str,
    limit: &'static str,
    used: &'static str,
    /// Of `memory.stat`: files that were read a while ago, which are given up before anybody is refused.
    idle: &'static str,
}

const V1: Groups = Groups {
    top: "sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    idle: "total_inactive_file ",
};
const V2: Groups = Groups { top: "sys/fs/cgroup", limit: "memory.max", used: "memory.current", idle: "inactive_file " };

/// The least room that the limits of this process's groups and of those around them leave; `None` where there is no limit. `root`
/// has `proc` and `sys` in it.
fn room_in_group(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let of = |line: &str| {
        // Of version 1 a line has the names of what it controls, of version 2 none.
        let (_, line) = line.split_once(':')?;
        let (controls, path) = line.split_once(":/")?;
        match controls.split(',').any(|control| control == "memory") {
            true => Some(V1.room(root, path)),
            false if controls.is_empty() => Some(V2.room(root, path)),
            false => None,
        }
    };
    groups.lines().filter_map(of).flatten().min()
}

impl Groups {
    fn room(&self, root: &Path, own: &str) -> Option<u64> {
        let top = root.join(self.top);
        let room = |group: &Path| {
            let number = |file: &str| std::fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
            let most = number(self.limit)?;
            let stat = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
            let idle = stat.lines().find_map(|line| line.strip_prefix(self.idle)?.parse::<u64>().ok()).unwrap_or(0);
            Some(most.saturating_sub(number(self.used)?.saturating_sub(idle)))
        };
        top.join(own).ancestors().take_while(|group| group.starts_with(&top)).filter_map(room).min()
    }
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
        // Version 1, beside which there may be a version 2 without memory; an ancestor may not be seen from a container.
        write("proc/self/cgroup", "4:cpu,memory:/host/box\n0::/\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n");
        assert!(room_in_group(root.path()).unwrap() > 1 << 60);
        write("sys/fs/cgroup/memory/host/box/memory.limit_in_bytes", "4096\n");
        write("sys/fs/cgroup/memory/host/box/memory.usage_in_bytes", "4000\n");
        write("sys/fs/cgroup/memory/host/box/memory.stat", "inactive_file 1\ntotal_inactive_file 2000\n");
        assert_eq!(room_in_group(root.path()), Some(2096));
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_is_free() {
        let fits = |available| fits(1000, available, "1000 bytes for a test", "do less");
        assert_eq!(fits(None), Ok(()));
        assert_eq!(fits(Some(1000)), Ok(()));
        assert_eq!(
            fits(Some(999)).unwrap_err().to_string(),
            "out of memory: 1000 bytes for a test do not fit this machine, which has 999 bytes of memory available; do less"
        );
    }
}
