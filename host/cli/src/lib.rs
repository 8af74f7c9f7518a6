//! `harness`: measures what a GPU gives to language-model inference.
//!
//! Arguments and `harness.toml` become settings once; a command gets them ready-made. Only this crate prints or exits:
//! data goes to stdout, everything else to stderr. It is a library so that the fuzz targets reach what it parses; `main.rs` is the binary.

mod advice;
mod args;
mod baselines;
mod chart;
mod commands;
mod config;
mod deliver;
mod destination;
mod download;
mod exit;
mod facts;
mod failure;
mod file_names;
mod files;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod interrupt;
mod invocation;
mod log;
mod machine;
mod meant;
mod now;
mod panics;
mod places;
mod plugin_log;
mod plugins;
mod progress;
mod recordings;
mod report_set;
mod report_target;
mod samples;
mod sensors;
mod settings;
mod shortage;
mod signals;
mod sweep;
mod table;
mod units;
mod written;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::failure::Failure;
pub use crate::shortage::Allocator;

/// The program: what its arguments ask for, and the code that it ends with.
pub fn main() -> ExitCode {
    signals::settle();
    // This binary is also the process that compiles plugins.
    if let Some(code) = harness_sandbox::compiler_main(std::env::args_os()) {
        return code;
    }
    panics::install();
    shortage::install();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are asked for, and are ours alone.
        Err(error) if !error.use_stderr() => {
            let printed = deliver::written(error.print().and_then(|()| std::io::stdout().flush()));
            return ended(printed);
        }
        // An argument may be a stranger's, as a file's name in a pattern of the shell's.
        Err(error) => {
            log::tell_lines(
                log::of_words(&error, std::env::args_os().map(|word| word.to_string_lossy().into_owned())).trim_end(),
            );
            return ExitCode::from(2);
        }
    };
    log::init(arguments.verbose);
    ended(match arguments.command {
        Command::Run(command) => command.execute(),
        Command::Report(command) => command.execute(),
        Command::Recordings(command) => command.execute(),
        Command::Compare(command) => command.execute(),
        Command::Baseline(command) => command.execute(),
        Command::Generate(command) => command.execute(),
        Command::Plugin(command) => command.execute(),
        Command::Devices(command) => command.execute(),
        Command::Doctor(command) => command.execute(),
        Command::Completions(command) => command.execute(),
        Command::Man(command) => command.execute(),
    })
}

fn ended(result: Outcome) -> ExitCode {
    match result {
        Ok(()) => exit::end(0),
        Err(failure) => {
            failure.print();
            exit::end(failure.exit_code())
        }
    }
}

/// What a command gives.
type Outcome = Result<(), Failure>;
