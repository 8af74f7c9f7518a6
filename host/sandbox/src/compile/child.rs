//! The child's side: this binary again, started with [`ARGUMENT`] as its first argument.
//!
//! It reads a component from its standard input and writes an answer to its standard output: the length of the encoded
//! [`Answer`] in four bytes, the answer, and the artifact.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use wasmtime::Engine;

use super::answer::{Answer, CompileError};
use super::confine::{self, BEFORE_INPUT};
use super::engine;
use super::load_limits::LoadLimits;

/// By which the binary knows that it is to compile; what follows is in numbers: bytes, seconds of processor time, and whether there are memory
/// images.
pub(super) const ARGUMENT: &str = "--compile-a-component";

/// Most threads that compile: each has some memory of its own.
const MOST_THREADS: usize = 4;

/// Compiles one component, if these are the arguments of a child that is to do so; else `None`.
pub fn main(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<ExitCode> {
    if arguments.nth(1)? != ARGUMENT {
        return None;
    }
    let mut number = || arguments.next()?.to_str()?.parse().ok();
    let limits =
        number().zip(number()).map(|(memory, seconds)| LoadLimits { memory, time: Duration::from_secs(seconds) });
    let memory_images = number() == Some(1);
    Some(match limits.ok_or_else(|| "no limits".to_owned()).and_then(|limits| serve(&limits, memory_images)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    })
}

fn serve(limits: &LoadLimits, memory_images: bool) -> Result<(), String> {
    confine::close_inherited();
    let engine = Engine::new(&engine::config(memory_images)).map_err(|error| format!("{error:#}"))?;
    // Threads are started while that is allowed.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|error| error.to_string())?;
    let confinement = confine::confine(limits)?;
    let mut stdout = std::io::stdout().lock();
    // The parent may hear of it before a hostile component is read.
    stdout
        .write_all(&[BEFORE_INPUT, u8::from(confinement.files), u8::from(confinement.system_calls)])
        .map_err(unsent)?;
    stdout.flush().map_err(unsent)?;

    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component).map_err(|error| format!("no component came: {error}"))?;
    let (answer, artifact) = match engine::compile(&engine, &component) {
        Ok(compiled) => (Answer::Compiled(compiled.footprint), compiled.artifact),
        Err(CompileError::Invalid(reason)) => (Answer::Invalid(reason), Vec::new()),
        Err(CompileError::OutOfMemory | CompileError::Limit(_)) => (Answer::OutOfMemory, Vec::new()),
        Err(CompileError::Broken(reason) | CompileError::System(reason)) => return Err(reason),
    };
    let answer = postcard::to_allocvec(&answer).map_err(|error| error.to_string())?;
    let length = u32::try_from(answer.len()).map_err(|error| error.to_string())?;
    [&length.to_le_bytes()[..], &answer, &artifact]
        .into_iter()
        .try_for_each(|part| stdout.write_all(part))
        .map_err(unsent)?;
    stdout.flush().map_err(unsent)
}

fn unsent(error: std::io::Error) -> String {
    format!("the answer can't be sent: {error}")
}
