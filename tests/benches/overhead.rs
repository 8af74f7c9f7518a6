//! What the harness costs beside the model: `cargo bench -p harness`.
//!
//! - `iteration`: a measured iteration on a model that takes no time, one token and fifty.
//! - `host_call`: a call from a guest into the host, from the difference between a run with a million calls and one with none.
//! - `start`: the whole binary, `harness run --backend simulated --quick`, with a warm cache.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use harness_core::{Budget, Facts, NoGpus, NoSensors, Plan, Prompt, Recorder, Request, Server, Session};
use harness_engine::{Loaded, SimulatedSettings, load_simulated};
use harness_sandbox::{Compiler, Limits, NoLog, Sandbox};
use harness_tests::{HOSTILE, Place};

fn instant() -> Loaded {
    let settings = SimulatedSettings {
        time_to_first_token: Duration::ZERO,
        time_per_token: Duration::ZERO,
        jitter: 0.0,
        ..SimulatedSettings::default()
    };
    load_simulated(&settings, 0)
}

fn session() -> Session {
    let loaded = instant();
    Session::new(
        Server::new(loaded.backend, loaded.tokenizer, loaded.clock, 0),
        Box::new(NoSensors { reason: "a benchmark".into() }),
        Recorder::in_memory(Facts::new()),
        Budget { iterations: u64::MAX, wall_time: Duration::from_secs(1 << 30), runs: u64::MAX, ..Budget::default() },
    )
}

/// The wall time of a measured window on a model that takes no time is all the harness's; its clock is virtual, so the
/// wall time is taken around the whole run of many iterations.
fn iteration(criterion: &mut Criterion) {
    for tokens in [1, 50] {
        criterion.bench_function(&format!("iteration of {tokens} tokens"), |bencher| {
            bencher.iter_custom(|iterations| {
                let request = Request {
                    prompt: Prompt::Tokens(vec![1, 2, 3, 4, 5]),
                    max_new_tokens: tokens,
                    stop_at_end_of_text: false,
                    sampling: None,
                };
                let mut plan = Plan::new("benchmark".into(), vec![request]);
                plan.iterations = u32::try_from(iterations).unwrap_or(u32::MAX);
                plan.warmup = 0;
                let mut session = session();
                let started = Instant::now();
                session.measure(&plan).expect("the simulated model serves");
                started.elapsed()
            });
        });
    }
}

fn host_call(criterion: &mut Criterion) {
    let sandbox = Sandbox::new(Compiler::InProcess, None).expect("a sandbox");
    let plugin =
        sandbox.load("hostile", &std::fs::read(HOSTILE).expect("the guest is there")).expect("the guest loads");
    let run = |calls: u64| {
        let settings = [("act".to_owned(), "calls".to_owned()), ("count".to_owned(), calls.to_string())];
        let started = Instant::now();
        let (_, result) = plugin.run(session(), Arc::new(NoGpus), &settings, &Limits::default(), Arc::new(NoLog));
        result.expect("the guest runs");
        started.elapsed()
    };
    criterion.bench_function("call from a guest into the host", |bencher| {
        bencher.iter_custom(|calls| run(calls).saturating_sub(run(0)));
    });
}

fn start(criterion: &mut Criterion) {
    let place = Place::new();
    let run = || {
        let output = place
            .command(env!("CARGO_BIN_EXE_harness"))
            .args(["run", "--backend", "simulated", "--quick"])
            .output()
            .expect("the binary starts");
        assert!(output.status.success());
    };
    run();
    criterion.bench_function("harness run --backend simulated --quick", |bencher| bencher.iter(run));
}

criterion_group! {
    name = overhead;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4)).without_plots();
    targets = iteration, host_call, start
}
criterion_main!(overhead);
