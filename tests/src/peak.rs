//! What a command took, measured from outside.

use std::collections::HashMap;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A command that has ended.
pub struct Ended {
    /// What it printed, and how it ended.
    pub output: Output,
    /// The most bytes that it and each of its descendants had in memory, added up.
    pub memory: u64,
    /// From its start to its end.
    pub time: Duration,
}

/// Runs a command to its end and watches it and its descendants.
pub fn run(command: &mut Command) -> Ended {
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let root = child.id();
    let waiting = std::thread::spawn(move || child.wait_with_output().unwrap());
    let mut most: HashMap<u32, u64> = HashMap::new();
    while !waiting.is_finished() {
        for process in tree(root) {
            let peak = most.entry(process).or_default();
            *peak = (*peak).max(resident_peak(process).unwrap_or(0));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ended { output: waiting.join().unwrap(), memory: most.values().sum(), time: start.elapsed() }
}

/// A process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        next += 1;
        for task in std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// The most bytes that a process had in memory so far; the kernel keeps count.
fn resident_peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}
