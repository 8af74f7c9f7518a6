//! What a command took, seen from outside: memory and time of it and of all that it started and waited for.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command that has ended.
pub struct Ended {
    /// What it printed, and its exit status.
    pub output: Output,
    /// The most bytes of memory that it, or any process that it waited for, had at once.
    pub memory: u64,
    /// From its start to its end.
    pub time: Duration,
}

#[allow(clippy::zombie_processes, reason = "it is waited for by wait4, which also tells what it took")]
/// Runs a command to its end. What the test itself holds at the start counts, too (Linux inherits it), so hold little.
pub fn run(command: &mut Command) -> Ended {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, stderr) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let mut status = 0;
    // SAFETY: rusage is a struct of numbers, for which zeros are values.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let id = child.id() as libc::pid_t;
    // SAFETY: the kernel writes one status and one rusage, which are ours; nothing else waits for this child.
    let waited = unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) };
    assert_eq!(waited, id, "the child is waited for once");
    let time = start.elapsed();
    let output =
        Output { status: ExitStatus::from_raw(status), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
    // Linux counts in KiB.
    Ended { output, memory: usage.ru_maxrss as u64 * 1024, time }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}
