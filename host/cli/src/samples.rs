//! Recordings to try reports on: the documented test's own workload on the simulated model, so that they are always of this
//! version's form.

use std::sync::Arc;
use std::time::Duration;

use harness_bundle::builtin;
use harness_core::run::Series;
use harness_core::{
    Budget, Facts, NoGpus, NoSensors, Recorder, Recording, SensorLog, Sensors, Session, Status, metric::name,
};
use harness_engine::{SimulatedSettings, load_simulated};
use harness_sandbox::{Limits, NoLog, Sandbox};

use crate::facts;
use crate::failure::Failure;
use crate::invocation::Model;

/// A recording to try a report on.
pub(crate) struct Sample {
    pub(crate) what: &'static str,
    pub(crate) recording: Arc<Recording>,
}

struct Kind {
    what: &'static str,
    runs: u32,
    iterations: u32,
    gpu: bool,
    fails_at: Option<u64>,
}

const KINDS: [Kind; 4] = [
    Kind { what: "with a GPU's sensors", runs: 10, iterations: 100, gpu: true, fails_at: None },
    Kind { what: "without a GPU", runs: 2, iterations: 5, gpu: false, fails_at: None },
    Kind { what: "of a test that failed in its third run", runs: 10, iterations: 20, gpu: true, fails_at: Some(70) },
    Kind { what: "of ten thousand samples", runs: 1, iterations: 10_000, gpu: false, fails_at: None },
];

/// One of each kind.
pub(crate) fn all(sandbox: &Sandbox) -> Result<Vec<Sample>, Failure> {
    KINDS.iter().map(|kind| Ok(Sample { what: kind.what, recording: Arc::new(record(sandbox, kind)?) })).collect()
}

fn record(sandbox: &Sandbox, kind: &Kind) -> Result<Recording, Failure> {
    const WORKLOAD: &str = "default";
    let Some(builtin) = builtin(WORKLOAD) else {
        return Err(Failure::failed("this harness has no built-in workload to make sample recordings with"));
    };
    let plugin = sandbox.load(builtin.name, builtin.wasm)?;
    let limits = Limits::default();
    let description = plugin.describe_workload(&limits)?;
    let set = [("runs", kind.runs), ("iterations", kind.iterations)].map(|(k, v)| (k.to_owned(), v.to_string()));
    let values = description.values(WORKLOAD, &set, false)?;
    let simulated = SimulatedSettings { fail_at: kind.fails_at, ..SimulatedSettings::default() };
    let Model { server, .. } = Model::of(load_simulated(&simulated, 0), 0);
    let gpu = if kind.gpu { gpu_facts() } else { Vec::new() };
    let start = "2026-01-01T00:00:00Z";
    let facts: Facts = facts::gather(start, 0, server.model(), &plugin, &description, &values, gpu);
    let sensors: Box<dyn Sensors> = match kind.gpu {
        true => Box::new(Played { runs: 0 }),
        false => Box::new(NoSensors { reason: "this is a sample without a GPU".into() }),
    };
    let budget = Budget { wall_time: Duration::from_secs(u64::from(u32::MAX)), ..Budget::default() };
    let recorder = Recorder::in_memory(facts);
    let session = Session::new(server, sensors, recorder, budget);
    let (session, result) = plugin.run(session, Arc::new(NoGpus), &values, &limits, Arc::new(NoLog));
    let (status, message, summary) = match result {
        Ok(summary) => (Status::Complete, None, summary),
        Err(error) => (Status::Failed, Some(error.to_string()), Vec::new()),
    };
    Ok(session.into_recorder().end(status, message, summary, "2026-01-01T00:10:00Z".into()).recording)
}

fn gpu_facts() -> Vec<(String, String)> {
    [("driver.version", "580.159.04"), ("cuda.version", "13.0"), ("gpu.name", "sample GPU"), ("gpu.index", "0")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// Sensors that say what a GPU under load might, a little more each run; in the second run it is throttled.
struct Played {
    runs: u32,
}

impl Sensors for Played {
    fn start(&mut self) {}

    fn stop(&mut self) -> SensorLog {
        const SAMPLES: usize = 12;
        self.runs += 1;
        let run = f64::from(self.runs);
        let series = |value: f64, step: f64| Series {
            values: (0..SAMPLES).map(|index| value + step * index as f64).collect(),
            times: (0..SAMPLES).map(|index| index as f64 * 0.1).collect(),
        };
        let series = [
            (name::gpu_utilization, series(0.90, 0.005)),
            (name::memory_controller_utilization, series(0.55, 0.005)),
            (name::memory_utilization, series(0.012, 0.0)),
            (name::gpu_memory_used, series(1.0e9, 0.0)),
            (name::power, series(400.0 + 5.0 * run, 1.0)),
            (name::temperature, series(45.0 + run, 0.1)),
            (name::sm_clock, series(1.98e9, 0.0)),
            (name::memory_clock, series(2.619e9, 0.0)),
        ];
        let throttled = if self.runs == 2 { 0.25 } else { 0.0 };
        SensorLog {
            series: series.into_iter().map(|(metric, series)| (metric.to_owned(), series)).collect(),
            values: [
                (name::energy, 500.0 + run),
                (name::throttled_time, throttled),
                (name::sm_occupancy, 0.25),
                (name::tensor_active, 0.05),
                (name::dram_bandwidth_utilization, 0.6 + run / 1e3),
            ]
            .map(|(metric, value)| (metric.to_owned(), value))
            .into_iter()
            .collect(),
            absent: Default::default(),
        }
    }
}
