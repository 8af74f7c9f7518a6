//! What takes from the compiling process all that it does not need, before it reads a stranger's component: memory and time by
//! resource limits, and on Linux files and network by Landlock, and every system call that compiling does not use by seccomp.
#![allow(unsafe_code, reason = "resource limits and descriptors have no safe interface in the standard library")]

use super::load_limits::LoadLimits;

/// What a child can't do on this system, beside that its memory and time are limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Open any file or port, by Landlock.
    pub files: bool,
    /// Make any system call that compiling does not need, by seccomp.
    pub system_calls: bool,
}

/// The first byte that the child sends.
pub(super) const BEFORE_INPUT: u8 = 0xc0;

/// Whether a guest's memory may start as the image of a file in memory, which a limit on the size of files forbids. A child must be
/// told, since it may write no file at all.
pub(crate) fn memory_images() -> bool {
    #[cfg(unix)]
    return resources::most(libc::RLIMIT_FSIZE).is_none();
    #[cfg(not(unix))]
    true
}

/// The most bytes of addresses that this process may have, if there is a limit (`ulimit -v`).
pub(crate) fn address_space() -> Option<u64> {
    #[cfg(unix)]
    return resources::most(libc::RLIMIT_AS);
    #[cfg(not(unix))]
    None
}

/// Closes what the parent had open for others.
pub(super) fn close_inherited() {
    #[cfg(target_os = "linux")]
    // SAFETY: nothing in this process uses a descriptor over 2 yet; system calls on integers touch no memory.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
        // A child that nobody waits for does not go on.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}

/// Takes everything away that compiling with the threads that there are does not need. An error where the limits can't be set; what the
/// system can't take away is in the answer.
pub(super) fn confine(limits: &LoadLimits) -> Result<Confinement, String> {
    #[cfg(unix)]
    resources::limit(limits)?;
    #[cfg(target_os = "linux")]
    let confinement = Confinement { files: files::close(), system_calls: system_calls::close()? };
    #[cfg(not(target_os = "linux"))]
    let confinement = Confinement { files: false, system_calls: false };
    #[cfg(not(unix))]
    let _ = limits;
    Ok(confinement)
}

#[cfg(unix)]
mod resources {
    use crate::compile::load_limits::LoadLimits;

    /// Address space that is reserved and not used, as `malloc` does.
    const RESERVED: u64 = 64 << 20;

    pub(super) fn limit(limits: &LoadLimits) -> Result<(), String> {
        let (space, data) = in_use();
        let seconds = limits.time.as_secs().max(1);
        // What is written to counts against the second, so that it is what the compiler really uses.
        set(libc::RLIMIT_AS, space.saturating_add(limits.memory).saturating_add(RESERVED))?;
        #[cfg(target_os = "linux")]
        set(libc::RLIMIT_DATA, data.saturating_add(limits.memory))?;
        #[cfg(not(target_os = "linux"))]
        let _ = data;
        set(libc::RLIMIT_CPU, seconds)?;
        set(libc::RLIMIT_FSIZE, 0)?;
        set(libc::RLIMIT_CORE, 0)
    }

    /// Bytes of address space and of data that this process has already.
    fn in_use() -> (u64, u64) {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: Vec<u64> = pages.split(' ').filter_map(|field| field.trim().parse().ok()).collect();
        // SAFETY: asks for a constant.
        let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let field = |number: usize| pages.get(number).copied().unwrap_or(0).saturating_mul(page);
        (field(0), field(5))
    }

    /// The present limit, if there is one.
    pub(super) fn most(resource: Resource) -> Option<u64> {
        let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call takes a valid pointer to a struct that lives on this stack.
        let known = unsafe { libc::getrlimit(resource, &raw mut now) == 0 };
        (known && now.rlim_cur != libc::RLIM_INFINITY).then_some(now.rlim_cur)
    }

    #[cfg(target_env = "gnu")]
    type Resource = libc::__rlimit_resource_t;
    #[cfg(not(target_env = "gnu"))]
    type Resource = libc::c_int;

    fn set(resource: Resource, most: u64) -> Result<(), String> {
        let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls take a valid pointer to a struct that lives on this stack.
        let done = unsafe {
            libc::getrlimit(resource, &raw mut now) == 0 && {
                let most = (most as libc::rlim_t).min(now.rlim_max);
                now = libc::rlimit { rlim_cur: most, rlim_max: most };
                libc::setrlimit(resource, &raw const now) == 0
            }
        };
        done.then_some(()).ok_or_else(|| format!("a resource limit can't be set: {}", std::io::Error::last_os_error()))
    }
}

#[cfg(target_os = "linux")]
mod files {
    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};

    /// Whether no file and no port can be opened from here on. seccomp forbids it as well; this holds where that has a gap.
    pub(super) fn close() -> bool {
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(ABI::V6))
            .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(ABI::V6)))
            .and_then(|ruleset| ruleset.scope(Scope::from_all(ABI::V6)))
            .and_then(landlock::Ruleset::create)
            .and_then(landlock::RulesetCreated::restrict_self);
        // An older Landlock that knows files alone is enough: seccomp has the rest.
        ruleset.is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced)
    }
}

#[cfg(target_os = "linux")]
mod system_calls {
    use std::collections::BTreeMap;

    use libc::c_long;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        TargetArch,
    };

    /// What a process does that reads, computes in memory, and writes to descriptors that it has. No open, no socket, no new
    /// process or thread, no signal to another, no new program.
    const ALLOWED: &[c_long] = &[
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// Whether every other system call fails from here on, in all threads.
    pub(super) fn close() -> Result<bool, String> {
        let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(false) };
        let failed = |error: &dyn std::fmt::Display| format!("no filter of system calls can be made: {error}");
        let filter = filter(arch).map_err(|error| failed(&error))?;
        let program = BpfProgram::try_from(filter).map_err(|error| failed(&error))?;
        // A kernel without seccomp refuses.
        Ok(seccompiler::apply_filter_all_threads(&program).is_ok())
    }

    fn filter(arch: TargetArch) -> Result<SeccompFilter, seccompiler::BackendError> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
        // Memory, but none that can be run.
        let no_code =
            SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?;
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(call, vec![SeccompRule::new(vec![no_code.clone()])?]);
        }
        // A signal only to itself, as `abort` sends it.
        let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(std::process::id()))?;
        rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![own])?]);
        SeccompFilter::new(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow, arch)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    /// Tells the second of these tests that it is in a process of its own.
    const INSIDE: &str = "HARNESS_TEST_CONFINED";

    #[test]
    fn a_confined_process_reaches_nothing() {
        let tests = std::env::current_exe().unwrap();
        let inside = "compile::confine::tests::inside_a_confined_process";
        let mut command = Command::new(tests);
        let output =
            command.args([inside, "--exact", "--nocapture", "--test-threads=1"]).env(INSIDE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    }

    #[test]
    fn inside_a_confined_process() {
        if std::env::var_os(INSIDE).is_none() {
            return;
        }
        let inherited = std::mem::ManuallyDrop::new(std::fs::File::open("/proc/self/status").unwrap());
        close_inherited();
        assert!(inherited.metadata().is_err());
        let folder = std::env::temp_dir().join("harness-test-confined");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let limits = LoadLimits { memory: 64 << 20, time: std::time::Duration::from_secs(10) };
        let confinement = confine(&limits).unwrap();
        // What this system can't take away is not asked for here; doctor says it.
        if confinement.files || confinement.system_calls {
            assert!(std::fs::read("/etc/hostname").is_err());
            assert!(std::fs::read_dir("/").is_err());
            assert!(std::fs::write(&folder, "x").is_err());
            assert!(std::net::TcpStream::connect(address).is_err());
        }
        if confinement.system_calls {
            assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_err());
            assert!(Command::new("/bin/true").status().is_err());
            assert!(std::thread::Builder::new().spawn(|| ()).is_err());
            // SAFETY: system calls on integers, or that make a new mapping, touch no memory of this process.
            let (killed, code) = unsafe {
                let code = libc::mmap(
                    std::ptr::null_mut(),
                    4096,
                    libc::PROT_READ | libc::PROT_EXEC,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                );
                (libc::kill(libc::getppid(), 0), code)
            };
            assert!(killed != 0 && code == libc::MAP_FAILED);
        }
        assert!(Vec::<u8>::new().try_reserve_exact(512 << 20).is_err());
    }
}
