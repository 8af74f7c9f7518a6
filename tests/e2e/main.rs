//! The binary from outside: each module is about a part of what a user sees. One program, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod bad_input;
mod budget;
mod ci_gate;
mod compare;
mod doctor;
mod drivers;
mod examples;
mod found_configuration;
mod golden;
mod gpu_proof;
mod gpu_sensors;
mod hostile;
mod hub;
mod imports;
mod inputs;
mod kept;
mod loading;
mod panics;
mod plugin_new;
mod plugins;
mod quiet;
mod readme;
mod registry;
mod reports;
mod resume;
mod run;
mod shown;
mod surroundings;
mod sweep;
mod versions;

use std::process::Output;

use harness_tests::Place;

/// The program.
const BINARY: &str = env!("CARGO_BIN_EXE_harness");

/// Runs it to its end.
fn harness(place: &Place, arguments: &[&str]) -> Output {
    place.command(BINARY).args(arguments).output().unwrap()
}
