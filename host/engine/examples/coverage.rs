//! How often intervals hold the truth, how often `compare` calls a change where there is none, and how often it finds one:
//! `cargo run --release -p harness-engine --example coverage`. The figures are in docs/measurements.md; `tests/coverage.rs`
//! holds the library to them.
//!
//! Recordings are made by the session that `harness run` uses, on the simulated model, whose distributions are known: each run
//! has a factor drawn from a normal distribution, each token a time drawn evenly around the set one.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "an example prints, and ends at what can't be")]
#![allow(missing_docs, dead_code, reason = "tests/coverage.rs has this file as a module")]

use std::sync::Arc;
use std::time::Duration;

use harness_core::compare::{Named, Options, Row, Verdict, compare};
use harness_core::statistics::{CONFIDENCE, is_known_to, mean_interval};
use harness_core::{Budget, Facts, NoSensors, Plan, Prompt, Recorder, Request, Run, Server, Session, Status};
use harness_engine::{SimulatedSettings, load_simulated};

/// Runs of a recording, as the documented test has them.
pub(crate) const RUNS: usize = 10;
/// Iterations of a run: the spread between runs does not come from these, so few will do.
const ITERATIONS: u32 = 10;
const TOKENS: u32 = 5;
const FIRST: Duration = Duration::from_micros(500);
const NEXT: Duration = Duration::from_micros(200);

/// A recording of a model that is `slower` times as slow, with so much spread between runs.
pub(crate) fn recording(seed: u64, spread: f64, slower: f64) -> Named {
    of_runs(seed, spread, slower, Facts::new(), |runs| runs.len() >= RUNS)
}

fn of_runs(seed: u64, spread: f64, slower: f64, facts: Facts, done: impl Fn(&[Arc<Run>]) -> bool) -> Named {
    let settings = SimulatedSettings {
        time_to_first_token: FIRST.mul_f64(slower),
        time_per_token: NEXT.mul_f64(slower),
        run_jitter: spread,
        ..SimulatedSettings::default()
    };
    let loaded = load_simulated(&settings, seed);
    let sensors = Box::new(NoSensors { reason: "simulated".into() });
    let budget = Budget { iterations: u64::MAX, wall_time: Duration::from_secs(3600), ..Budget::default() };
    let recorder = Recorder::in_memory(facts);
    let mut session =
        Session::new(Server::new(loaded.backend, loaded.tokenizer, loaded.clock, seed), sensors, recorder, budget);
    let request =
        Request { prompt: Prompt::Synthetic(3), max_new_tokens: TOKENS, stop_at_end_of_text: false, sampling: None };
    while !done(session.runs()) {
        let mut plan = Plan::new("run".into(), vec![request.clone()]);
        (plan.iterations, plan.warmup) = (ITERATIONS, 0);
        session.measure(&plan).expect("the simulated model serves");
    }
    let recording = session.into_recorder().end(Status::Complete, None, Vec::new(), String::new()).recording;
    Named { path: format!("seed {seed}").into(), recording }
}

/// What the mean of latencies tends to, in seconds.
fn true_latency() -> f64 {
    FIRST.as_secs_f64() + f64::from(TOKENS - 1) * NEXT.as_secs_f64()
}

/// The share of recordings whose 95% interval of a metric holds what its mean tends to.
pub(crate) fn coverage(metric: &str, recordings: u64, spread: f64) -> f64 {
    let truth = match metric {
        "latency" => true_latency(),
        "time_to_first_token" => FIRST.as_secs_f64(),
        _ => NEXT.as_secs_f64(),
    };
    let holds = |seed: &u64| {
        let recording = recording(*seed, spread, 1.0).recording;
        let values: Vec<f64> = recording.runs.iter().filter_map(|run| run.values.get(metric).copied()).collect();
        assert_eq!(values.len(), RUNS);
        mean_interval(&values, CONFIDENCE).is_some_and(|interval| interval.contains(truth))
    };
    (0..recordings).filter(holds).count() as f64 / recordings as f64
}

/// What a stop rule does to an interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped {
    /// The share of recordings whose 95% interval of the mean latency holds what it tends to.
    pub(crate) coverage: f64,
    /// Runs of a recording, on average.
    pub(crate) runs: f64,
}

/// Recordings that end once the mean latency is known to a share of it, after at most 100 runs, as with `--set stop=1% --set runs=100`.
pub(crate) fn stopped(recordings: u64, spread: f64, share: f64) -> Stopped {
    const MOST: usize = 100;
    let latencies =
        |runs: &[Arc<Run>]| -> Vec<f64> { runs.iter().filter_map(|run| run.values.get("latency").copied()).collect() };
    let done = |runs: &[Arc<Run>]| runs.len() >= MOST || is_known_to(&latencies(runs), share);
    let (mut holds, mut made) = (0, 0);
    for seed in 0..recordings {
        let values = latencies(&of_runs(5_000_000 + seed, spread, 1.0, Facts::new(), done).recording.runs);
        made += values.len();
        holds +=
            usize::from(mean_interval(&values, CONFIDENCE).is_some_and(|interval| interval.contains(true_latency())));
    }
    Stopped { coverage: holds as f64 / recordings as f64, runs: made as f64 / recordings as f64 }
}

/// Shares of pairs of recordings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Those of which any metric was called better or worse.
    pub(crate) any_change: f64,
    /// Those of which latency was called worse.
    pub(crate) latency_worse: f64,
    /// Those of which latency was called the same.
    pub(crate) latency_same: f64,
}

/// Compares pairs of recordings, the second of each `slower` times as slow, as `harness compare` does.
pub(crate) fn pairs(number: u64, spread: f64, slower: f64, threshold: f64) -> Shares {
    let options = Options { threshold, ..Options::default() };
    let mut counted = Counted::default();
    for pair in 0..number {
        // Seeds of no other pair, nor of the recordings of `coverage`.
        let (base, new) = (recording(10_000 + 2 * pair, spread, 1.0), recording(10_001 + 2 * pair, spread, slower));
        counted.add(&compare(&[base], &[vec![new]], &options).expect("they did the same")[0].rows);
    }
    counted.shares(number)
}

#[derive(Default)]
struct Counted {
    any: usize,
    worse: usize,
    same: usize,
}

impl Counted {
    fn add(&mut self, rows: &[Row]) {
        let verdict = |metric: &str| rows.iter().find(|row| row.metric.name == metric).and_then(|row| row.verdict);
        let called = |verdict| matches!(verdict, Some(Verdict::Better | Verdict::Worse));
        self.any += usize::from(rows.iter().any(|row| called(row.verdict)));
        self.worse += usize::from(verdict("latency") == Some(Verdict::Worse));
        self.same += usize::from(verdict("latency") == Some(Verdict::Same));
    }

    fn shares(&self, number: u64) -> Shares {
        let share = |count: usize| count as f64 / number as f64;
        Shares { any_change: share(self.any), latency_worse: share(self.worse), latency_same: share(self.same) }
    }
}

/// Compares sides that were recorded in turn, A B B A, one run each, on a machine that gets slower by `drift` in all, as
/// `harness compare --interleave` with its 5 rounds does; or, not `paired`, as if they were independent.
pub(crate) fn interleaved(number: u64, spread: f64, slower: f64, drift: f64, paired: bool, threshold: f64) -> Shares {
    const STEPS: u64 = 20;
    let options = Options { threshold, paired, ..Options::default() };
    let mut counted = Counted::default();
    for round in 0..number {
        let mut sides: [Vec<Named>; 2] = Default::default();
        for step in 0..STEPS {
            let which = [0, 1, 1, 0][step as usize % 4];
            let drifted = 1.0 + drift * step as f64 / (STEPS - 1) as f64;
            let start = Facts::from([("start".to_owned(), format!("2026-01-01T00:00:{step:02}Z"))]);
            let seed = 1_000_000 + STEPS * round + step;
            sides[which].push(of_runs(seed, spread, [1.0, slower][which] * drifted, start, |runs| !runs.is_empty()));
        }
        let [base, new] = sides;
        counted.add(&compare(&base, &[new], &options).expect("they did the same")[0].rows);
    }
    counted.shares(number)
}

fn main() {
    const NUMBER: u64 = 1000;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    println!("95 % intervals that hold the truth, of {NUMBER} recordings of {RUNS} runs");
    for spread in [0.003, 0.01] {
        for metric in ["latency", "time_to_first_token", "inter_token_latency"] {
            println!("  spread {:.1} %, {metric}: {}", spread * 100.0, percent(coverage(metric, NUMBER, spread)));
        }
    }
    println!("no change: {NUMBER} pairs of which any metric is called better or worse; latency called the same");
    for (spread, threshold) in [(0.003, 0.0), (0.01, 0.0), (0.003, 0.01), (0.01, 0.01)] {
        let shares = pairs(NUMBER, spread, 1.0, threshold);
        println!(
            "  spread {:.1} %, threshold {:.0} %: {}; {}",
            spread * 100.0,
            threshold * 100.0,
            percent(shares.any_change),
            percent(shares.latency_same)
        );
    }
    println!("a true slowdown: {NUMBER} pairs of which latency is called worse, {RUNS} runs a side, threshold 1 %");
    for spread in [0.003, 0.005, 0.01] {
        for slower in [1.01, 1.015, 1.02, 1.03] {
            let shares = pairs(NUMBER, spread, slower, 0.01);
            println!(
                "  spread {:.1} %, {:.1} % slower: {}",
                spread * 100.0,
                (slower - 1.0) * 100.0,
                percent(shares.latency_worse)
            );
        }
    }
    println!("in turn, A B B A, 5 rounds of one run each: {NUMBER} of them; as pairs, and as if they were independent");
    for (spread, drift) in [(0.003, 0.0), (0.003, 0.1), (0.01, 0.0), (0.01, 0.1)] {
        let of = |slower, paired, threshold| interleaved(NUMBER, spread, slower, drift, paired, threshold);
        let [none, plain_none] = [true, false].map(|paired| of(1.0, paired, 0.0).any_change);
        let [found, plain] = [true, false].map(|paired| of(1.03, paired, 0.01).latency_worse);
        let same = of(1.0, true, 0.01).latency_same;
        println!(
            "  spread {:.1} %, drift {:.0} %: no change, any called {} and {}; latency called the same {}; 3 % slower, called worse {} and {}",
            spread * 100.0,
            drift * 100.0,
            percent(none),
            percent(plain_none),
            percent(same),
            percent(found),
            percent(plain)
        );
    }
    println!(
        "stop=1%: {NUMBER} recordings of at most 100 runs whose interval of latency holds the truth, and their runs on average"
    );
    for spread in [0.003, 0.01, 0.015, 0.02, 0.03] {
        let stopped = stopped(NUMBER, spread, 0.01);
        println!("  spread {:.1} %: {}, {:.1} runs", spread * 100.0, percent(stopped.coverage), stopped.runs);
    }
}
