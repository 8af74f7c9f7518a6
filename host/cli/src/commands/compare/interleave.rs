//! Runs two configurations in turn, A B B A, so that what drifts (heat, clocks, other load) hits both alike.
//!
//! Each recording is made by a process of its own, so that neither configuration finds the other's memory.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use clap::Parser;
use harness_core::Recording;
use harness_core::compare::{Incomparable, Named, Options, compare};

use crate::args::{Arguments, Command};
use crate::failure::Failure;
use crate::interrupt;
use crate::log::{self, tell};
use crate::now;

const ORDER: [usize; 4] = [0, 1, 1, 0];
const NAMES: [&str; 2] = ["a", "b"];
/// Of `harness run`.
const PRIVATE: &str = "--private";

/// Records both, and returns the recordings of A and of B.
pub(super) fn run(
    a: &str,
    b: &str,
    rounds: u32,
    recordings: &Path,
    config: Option<&Path>,
    private: bool,
    options: &Options,
) -> Result<(Vec<Named>, Vec<Named>), Failure> {
    let mut words = [words(a)?, words(b)?];
    for words in words.iter_mut().filter(|words| private && !words.iter().any(|word| word == PRIVATE)) {
        words.push(PRIVATE.to_owned());
    }
    let time = now::in_names(now::now());
    let folder = recordings.join(format!("{time}-interleave"));
    // The child hears of Ctrl-C, too, and ends its recording before it ends; whoever signals this process alone ends what follows.
    let stop = interrupt::watch()?;
    let mut sides: [Vec<Named>; 2] = Default::default();
    let total = rounds as usize * ORDER.len();
    for step in 0..total {
        if stop.is_set() {
            return Err(Failure::Interrupted(format!(
                "interrupted; what was recorded is kept in {}",
                folder.display()
            )));
        }
        let which = ORDER[step % ORDER.len()];
        let path = folder.join(format!("{:04}-{}.jsonl", step + 1, NAMES[which]));
        tell(&format!("{}/{total}: {}", step + 1, NAMES[which].to_uppercase()));
        let ended = record(&words[which], &path, config);
        let kept = format!("what was recorded is kept in {}", folder.display());
        ended.map_err(|failure| failure.and(if step > 0 { &kept } else { "" }))?;
        sides[which].push(Named { recording: Recording::read(&path)?.without_samples(), path });
        // That they can't be compared is better known now than at the end.
        if step == 1 {
            let [a, b] = &sides;
            let options = &Options { paired: false, ..options.clone() };
            if let Err(error @ (Incomparable::OtherWork { .. } | Incomparable::UnknownMetric { .. })) =
                compare(a, std::slice::from_ref(b), options)
            {
                return Err(error.into());
            }
        }
    }
    tell(&format!("recorded in {}", folder.display()));
    let [a, b] = sides;
    Ok((a, b))
}

fn words(arguments: &str) -> Result<Vec<String>, Failure> {
    let words = shlex::split(arguments).ok_or_else(|| {
        Failure::usage(format!("'{arguments}' has a quote that does not end; quote it as for a shell"))
    })?;
    let own = ["--recording", "--sweep"];
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

fn record(words: &[String], path: &PathBuf, config: Option<&Path>) -> Result<(), Failure> {
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
    let ended = interrupt::tie(&mut command).stdout(Stdio::null()).spawn().and_then(|mut child| {
        let _held = child.stdin.take();
        child.wait()
    });
    let status = ended.map_err(|error| Failure::failed(format!("can't start `harness run`: {error}")))?;
    let shown = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "));
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => Err(Failure::usage(format!("`harness run {shown}` can't be run, as it says above"))),
        Some(130) => Err(Failure::Interrupted("interrupted".into())),
        _ => Err(Failure::failed(format!("`harness run {shown}` failed ({status}), as it says above"))),
    }
}
