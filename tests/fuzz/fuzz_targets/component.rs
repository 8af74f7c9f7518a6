//! A component, loaded and asked what it is. It is compiled in this process, which has no limits but libFuzzer's: those of the process
//! that compiles plugins are tested in `tests/e2e/loading.rs`.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use harness_fuzz::sections;
use harness_sandbox::{Compiler, Limits, Sandbox};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(Compiler::InProcess, None).unwrap());

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mutated = sections::mutate(&data[..size], max_size, seed);
    data[..mutated.len()].copy_from_slice(&mutated);
    mutated.len()
});

fuzz_target!(|data: &[u8]| {
    let Ok(plugin) = SANDBOX.load("fuzzed", data) else { return };
    let time = Duration::from_millis(200);
    let limits = Limits {
        memory: 16 << 20,
        call_time: time,
        guest_time: time,
        output: 1 << 20,
        describe_time: time,
        ..Limits::default()
    };
    assert!(plugin.is_workload() || plugin.is_report());
    if plugin.is_workload() {
        let _ = plugin.describe_workload(&limits);
    }
    if plugin.is_report() {
        let _ = plugin.describe_report(&limits);
    }
});
