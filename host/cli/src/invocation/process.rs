//! An invocation in a process of its own, which finds nothing of another's in memory.

use std::path::Path;
use std::process::{Command as Process, Output, Stdio};

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::failure::Failure;
use crate::{interrupt, log};

/// The words of a text as a shell takes them, if they are arguments of a `harness run` that records where this program says.
pub(crate) fn words(arguments: &str) -> Result<Vec<String>, Failure> {
    let words = shlex::split(arguments).ok_or_else(|| {
        Failure::usage(format!("'{arguments}' has a quote that does not end; quote it as for a shell"))
    })?;
    let own = ["--recording", "--resume", "--sweep"];
    let taken = |word: &&String| own.iter().any(|flag| word.as_str() == *flag || word.starts_with(&format!("{flag}=")));
    match words.iter().find(taken) {
        Some(word) => {
            Err(Failure::usage(format!("'{word}' can't be given to --interleave, which chooses the recordings itself")))
        }
        None => readable(&words).map(|()| words),
    }
}

/// Better known before the first recording than at the one of B.
fn readable(words: &[String]) -> Result<(), Failure> {
    let line = ["harness", "run"].into_iter().chain(words.iter().map(String::as_str));
    let run = match Arguments::try_parse_from(line) {
        Ok(Arguments { command: Command::Run(run), .. }) => run,
        // Also what shows a help or a version, and records nothing.
        Ok(_) => return Err(Failure::usage("--interleave takes arguments of `harness run`")),
        Err(error) if error.use_stderr() => {
            let text = log::of_words(&error, words.iter().cloned());
            return Err(Failure::Usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end().into()));
        }
        Err(_) => return Err(Failure::usage("--interleave takes arguments of a `harness run` that records")),
    };
    match run.dry_run {
        true => Err(Failure::usage("'--dry-run' can't be given to --interleave: it records nothing to compare")),
        false => Ok(()),
    }
}

/// Makes a recording there; what it says goes to stderr.
pub(crate) fn record(words: &[String], path: &Path, config: Option<&Path>) -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::failed(format!("can't find this program: {error}")))?;
    let mut command = Process::new(own);
    command.arg("run").args(words).arg("--recording").arg(path);
    if !words.iter().any(|word| word == "-q" || word == "--quiet") {
        command.arg("--quiet");
    }
    if let Some(config) = config.filter(|_| !words.iter().any(|word| word.starts_with("--config"))) {
        command.arg("--config").arg(config);
    }
    // The comparison is what belongs on stdout.
    let ended = interrupt::tie(&mut command).stdout(Stdio::piped()).spawn().and_then(|mut child| {
        let _held = child.stdin.take();
        child.wait_with_output()
    });
    let Output { status, stdout, .. } =
        ended.map_err(|error| Failure::failed(format!("can't start `harness run`: {error}")))?;
    // It may be all that there is of its runs.
    if !status.success() && !stdout.is_empty() {
        log::tell_lines(String::from_utf8_lossy(&stdout).trim_end());
    }
    let shown = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "));
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => Err(Failure::usage(format!("`harness run {shown}` can't be run, as it says above"))),
        Some(130) => Err(Failure::Interrupted("interrupted".into())),
        _ => Err(Failure::failed(format!("`harness run {shown}` failed ({status}), as it says above"))),
    }
}
