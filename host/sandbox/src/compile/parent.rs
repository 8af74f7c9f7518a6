//! The parent's side: starts a child, gives it the component, and believes its answer.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::answer::{Answer, CompileError, Compiled};
use super::child::ARGUMENT;
use super::confine::{BEFORE_INPUT, Confinement, address_space, memory_images};
use super::load_limits::LoadLimits;
use crate::limits::LimitError;

/// A child process of a binary that calls [`super::compiler_main`] before all else.
#[derive(Clone, Debug)]
pub struct ChildCompiler {
    program: PathBuf,
    limits: LoadLimits,
}

/// How much of what the child says when it fails is read.
const MOST_SAID: u64 = 4 << 10;
/// How often more time may pass on the clock than is spent by processors: the machine may be busy.
const CLOCK: u32 = 2;
/// Longer than any process.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// What a child's two descriptors gave.
struct Told {
    confinement: Option<Confinement>,
    answer: Option<(Answer, Vec<u8>)>,
    said: String,
}

impl ChildCompiler {
    /// Compiles in children of this binary, as it was when this process started.
    pub fn of_this_binary(limits: LoadLimits) -> std::io::Result<Self> {
        let running = PathBuf::from("/proc/self/exe");
        let program = if running.exists() { running } else { std::env::current_exe()? };
        Ok(Self { program, limits })
    }

    /// Compiles in children of another binary.
    pub fn of(program: PathBuf, limits: LoadLimits) -> Self {
        Self { program, limits }
    }

    /// What the system takes from a child.
    ///
    /// # Errors
    ///
    /// In words, where no child answers.
    pub fn confinement(&self) -> Result<Confinement, String> {
        // The least component there is.
        match self.ask(b"\0asm\x0d\0\x01\0") {
            Ok((Told { confinement: Some(confinement), .. }, _)) => Ok(confinement),
            Ok((Told { said, .. }, status)) => Err(ended(status, &said)),
            Err(
                CompileError::Broken(what)
                | CompileError::System(what)
                | CompileError::Invalid(what)
                | CompileError::Limit(LimitError(what)),
            ) => Err(what),
            Err(CompileError::OutOfMemory) => Err("there is no memory".into()),
        }
    }

    pub(super) fn compile(&self, component: &[u8]) -> Result<Compiled, CompileError> {
        // It is in the memory of both processes.
        if component.len() as u64 > self.limits.memory / 2 {
            return Err(CompileError::Limit(LimitError(format!(
                "it has {} bytes, more than half of the {} bytes of memory that compiling it may take; allow more with --max-load-memory",
                component.len(),
                self.limits.memory
            ))));
        }
        let (told, status) = self.ask(component)?;
        if let Some(confinement) = told.confinement
            && !(confinement.files && confinement.system_calls)
        {
            tracing::info!(
                "the process that compiles plugins has limits, but could do more here than compile: {confinement:?}"
            );
        }
        match told.answer {
            Some((Answer::Compiled(footprint), artifact)) if status.success() => Ok(Compiled { footprint, artifact }),
            Some((Answer::Invalid(reason), _)) if status.success() => Err(CompileError::Invalid(reason)),
            Some((Answer::OutOfMemory, _)) => Err(self.too_much_memory()),
            _ if said_out_of_memory(&told.said) => Err(self.too_much_memory()),
            _ if spent_its_time(status) => Err(self.too_much_time("processor time", self.limits.time)),
            _ => Err(CompileError::Broken(ended(status, &told.said))),
        }
    }

    /// Starts a child and waits for it, and for no longer than it may take.
    fn ask(&self, component: &[u8]) -> Result<(Told, ExitStatus), CompileError> {
        let unstarted = |error: std::io::Error| {
            // EAGAIN, EMFILE or ENFILE.
            if matches!(error.raw_os_error(), Some(11 | 24 | 23)) {
                return CompileError::System(format!(
                    "no process that compiles it can be started ({error}); raise or lift the limits on processes (ulimit -u, the pids limit of \
                     the control group) and open files (ulimit -n)"
                ));
            }
            if error.kind() == std::io::ErrorKind::OutOfMemory {
                return CompileError::System(format!(
                    "no process that compiles it can be started ({error}); raise or lift the limit on memory (ulimit -v, RLIMIT_AS), or see to it \
                     that the system may overcommit (vm.overcommit_memory)"
                ));
            }
            CompileError::Broken(format!("no process for it can be started ({}: {error})", self.program.display()))
        };
        // A limit that no clock can hold is none.
        let now = Instant::now();
        let deadline = now.checked_add(self.limits.time.saturating_mul(CLOCK)).unwrap_or(now + FOR_EVER);
        let mut child = self.start().map_err(unstarted)?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(CompileError::Broken("it has no pipes".into()));
        };
        let most = self.limits.memory;
        std::thread::scope(|scope| {
            let (done, ended) = mpsc::channel();
            let reader = scope.spawn(move || {
                let answer = answer(stdout, most);
                let _ = done.send(());
                answer
            });
            let said = scope.spawn(move || {
                let mut said = Vec::new();
                let _ = stderr.take(MOST_SAID).read_to_end(&mut said);
                String::from_utf8_lossy(&said).into_owned()
            });
            // One that ended before it read all says why itself.
            let writer = scope.spawn(move || drop(stdin.write_all(component)));
            let in_time = ended.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok();
            let status = match in_time.then(|| wait(&mut child, deadline)).flatten() {
                Some(status) => Some(status),
                None => {
                    let _ = child.kill();
                    let _ = child.wait();
                    None
                }
            };
            let _ = writer.join();
            let (confinement, answer) = reader.join().unwrap_or_default();
            let said = said.join().unwrap_or_default();
            match status {
                Some(status) => Ok((Told { confinement, answer, said }, status)),
                None => Err(self.too_much_time("time", self.limits.time.saturating_mul(CLOCK))),
            }
        })
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .arg(ARGUMENT)
            .arg(self.limits.memory.to_string())
            .arg(self.limits.time.as_secs().max(1).to_string())
            .arg(u8::from(memory_images()).to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // All threads take from one heap: of several, much would be reserved and not used, and yet count.
        command.env("MALLOC_ARENA_MAX", "1");
        // Without it a binary that is linked to CUDA's libraries does not start.
        let library_path: Option<OsString> = std::env::var_os("LD_LIBRARY_PATH");
        command.envs(library_path.map(|path| ("LD_LIBRARY_PATH", path)));
        command.spawn()
    }

    fn too_much_memory(&self) -> CompileError {
        if let Some(most) = address_space().filter(|most| *most < self.limits.memory.saturating_mul(2)) {
            return CompileError::System(format!(
                "the process that compiles it may have {most} bytes of addresses, which is too little; raise or lift that limit (ulimit -v, RLIMIT_AS)"
            ));
        }
        CompileError::Limit(LimitError(format!(
            "compiling it takes more than {} bytes of memory; allow more with --max-load-memory",
            self.limits.memory
        )))
    }

    fn too_much_time(&self, of_what: &str, time: Duration) -> CompileError {
        CompileError::Limit(LimitError(format!(
            "compiling it takes more than {} s of {of_what}; allow more with --max-load-time",
            time.as_secs_f64()
        )))
    }
}

/// Reads the answer, of at most so many bytes.
fn answer(mut stdout: impl Read, most: u64) -> (Option<Confinement>, Option<(Answer, Vec<u8>)>) {
    let mut first = [0; 3];
    let confinement = match stdout.read_exact(&mut first).map(|()| first) {
        Ok([BEFORE_INPUT, files, system_calls]) => Confinement { files: files == 1, system_calls: system_calls == 1 },
        _ => return (None, None),
    };
    let mut answer = || -> Option<(Answer, Vec<u8>)> {
        let mut length = [0; 4];
        stdout.read_exact(&mut length).ok()?;
        let mut encoded = Vec::new();
        stdout.by_ref().take(u64::from(u32::from_le_bytes(length)).min(most)).read_to_end(&mut encoded).ok()?;
        let mut artifact = Vec::new();
        stdout.by_ref().take(most).read_to_end(&mut artifact).ok()?;
        Some((postcard::from_bytes(&encoded).ok()?, artifact))
    };
    (Some(confinement), answer())
}

/// Waits for a child that has closed its output.
fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_micros(200)),
            _ => return None,
        }
    }
}

/// What the standard library says where there is no more memory, before it aborts.
fn said_out_of_memory(said: &str) -> bool {
    said.contains("memory allocation of") || said.contains("Cannot allocate memory")
}

#[cfg(unix)]
fn spent_its_time(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(libc::SIGXCPU)
}

#[cfg(not(unix))]
fn spent_its_time(_: ExitStatus) -> bool {
    false
}

/// How a child ended that did not answer.
fn ended(status: ExitStatus, said: &str) -> String {
    let said = said.lines().next().unwrap_or_default();
    let colon = if said.is_empty() { "" } else { ": " };
    format!("the process that compiles it ended with {status}{colon}{said}")
}
