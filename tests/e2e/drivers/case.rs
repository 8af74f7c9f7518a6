//! One function of NVML that goes wrong from some call on, and what the binary makes of it.

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness_core::metric::{Definition, METRICS, Source};
use harness_tests::{Place, stderr, stdout, told};
use serde_json::Value;

use super::{LIMIT, harness};

/// A driver and what goes wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) setup: &'static str,
    pub(crate) function: &'static str,
    pub(crate) fault: &'static str,
    pub(crate) from: u32,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) code: i32,
    /// Metrics of some run that are not there, and facts that a healthy driver gives.
    pub(crate) lost: BTreeSet<String>,
    /// All reasons and messages.
    pub(crate) said: String,
}

impl Found {
    pub(crate) fn names(&self, function: &str) -> bool {
        self.said.contains(function)
    }
}

/// A zero of these can be true, and is taken.
const MAYBE_ZERO: [&str; 6] = [
    "gpu_utilization",
    "memory_controller_utilization",
    "sm_occupancy",
    "tensor_active",
    "dram_bandwidth_utilization",
    "throttled_time",
];

/// What the fake GPU's figures can be.
fn truth(metric: &str) -> (f64, f64) {
    match metric {
        "gpu_utilization" => (0.95, 0.97),
        "memory_controller_utilization" => (0.23, 0.24),
        "memory_utilization" => (0.025, 0.027),
        "gpu_memory_used" => (2_147_483_648.0, 2_281_701_376.0),
        "power" => (500.0, 509.0),
        "temperature" => (45.0, 55.0),
        "sm_clock" => (1.935e9, 1.98e9),
        "memory_clock" => (2.619e9, 2.619e9),
        // 504.5 W for as long as a busy machine takes.
        "energy" => (100.0, 15_000.0),
        "energy_per_request" | "energy_per_token" => (0.01, 15_000.0),
        "sm_occupancy" => (0.125, 0.125),
        "tensor_active" => (0.03, 0.03),
        "dram_bandwidth_utilization" => (0.5, 1.0),
        _ if metric.starts_with("throttled_time") => (0.0, 0.0),
        _ => panic!("{metric} has no truth here"),
    }
}

/// What a healthy driver says of itself and its GPU.
const FACTS: [(&str, &str); 21] = [
    ("driver.version", "580.159.04"),
    ("cuda.version", "13.0"),
    ("nvml.version", "13.580.159.04"),
    ("gpu.name", "NVIDIA H100 80GB HBM3"),
    ("gpu.uuid", "GPU-5a5e0001-1d2c-4b3a-9f10-000000000001"),
    ("gpu.index", "0"),
    ("gpu.pci_bus_id", "00000000:"),
    ("gpu.vbios", "96.00.89.00.01"),
    ("gpu.memory", "85520809984"),
    ("gpu.power_limit", "700"),
    ("gpu.power_limit_default", "700"),
    ("gpu.ecc", "on"),
    ("gpu.mig", ""),
    ("gpu.sm_clock_max", "1980000000"),
    ("gpu.memory_clock_max", "2619000000"),
    ("gpu.memory_bus_width", "5120"),
    ("gpu.persistence_mode", "on"),
    ("gpu.pcie_generation", "5"),
    ("gpu.pcie_generation_max", "5"),
    ("gpu.pcie_width", "16"),
    ("gpu.pcie_width_max", "16"),
];

/// Two runs of half a second, after the idle GPU was watched.
pub(crate) fn measure(place: &Place) -> Output {
    let run = ["run", "--backend", "simulated", "--simulate", "real-time=true", "--simulate", "time-per-token=5ms"];
    let test = ["runs=2", "iterations=10", "warmup=0", "max-new-tokens=10"].map(|set| ["--set", set]).concat();
    let more = ["--sensors", "0", "--idle-time", "300ms", "--report", "default"];
    harness(place, &[&run[..], &test, &more, &LIMIT].concat())
}

impl Case {
    pub(crate) fn new(setup: &'static str, function: &'static str, fault: &'static str, from: u32) -> Self {
        Self { setup, function, fault, from }
    }

    fn place(&self) -> Place {
        Place::with_gpu(&format!("{},{}={}@{}", self.setup, self.function, self.fault, self.from))
    }

    /// Measures with it. Fails unless the run is refused with a reason or recorded whole, with nothing that was not measured.
    pub(crate) fn run(&self) -> Found {
        let place = self.place();
        let output = measure(&place);
        let mut found = Found { code: output.status.code().unwrap(), said: stderr(&output), ..Found::default() };
        match found.code {
            0 => self.recorded(&place.recording(), &mut found),
            2 => {
                let why = "error: the sensors of GPU 0 can't be read: ";
                assert!(found.said.contains(why), "{self:?}: {}", told(&output));
                assert!(place.recordings().is_empty(), "{self:?}");
                found.lost.insert("the run".into());
            }
            _ => panic!("{self:?}: {}", told(&output)),
        }
        // Of GPUs that can't be read anyway the reason may be another.
        let hangs = match self.setup {
            "normal" => self.fault == "hang" && !found.lost.is_empty(),
            _ => found.said.contains("not answer"),
        };
        assert!(!hangs || found.names(self.function), "{self:?}: {found:?}");
        found
    }

    fn recorded(&self, lines: &[Value], found: &mut Found) {
        let end = lines.last().unwrap();
        assert_eq!((&end["type"], &end["status"]), (&"end".into(), &"complete".into()), "{self:?}: {end}");
        let runs: Vec<&Value> = lines.iter().filter(|line| line["type"] == "run").collect();
        assert_eq!(runs.len(), 2, "{self:?}");
        let sensed = |metric: &&Definition| metric.source == Source::Sensor;
        for (run, metric) in runs.iter().flat_map(|run| METRICS.iter().filter(sensed).map(move |metric| (run, metric)))
        {
            let name = metric.name;
            match (&run["values"][name], &run["absent"][name]) {
                (Value::Number(value), Value::Null) => {
                    let samples = run["samples"][name]["values"].as_array();
                    let samples = samples.into_iter().flatten().filter_map(Value::as_f64);
                    for value in value.as_f64().into_iter().chain(samples) {
                        self.check(name, value);
                    }
                }
                (Value::Null, Value::String(why)) if !why.is_empty() => {
                    found.lost.insert(name.to_owned());
                    found.said.push_str(why);
                }
                pair => panic!("{self:?}: {name} is {pair:?}"),
            }
        }
        let facts = &lines[0]["facts"];
        let told = found.said.clone();
        let said = |name: &str| told.contains(&format!("{name}: "));
        for (name, truth) in FACTS {
            match facts[name].as_str() {
                Some(said) if said.starts_with(truth) => {}
                // That a switch is off can be true.
                Some("off") if self.fault == "zero" => {}
                Some(said) => panic!("{self:?}: {name} is {said}"),
                None => {
                    assert!(
                        said(name) || (name.starts_with("gpu.") && said("gpu.*")),
                        "{self:?}: {name} is left out unsaid: {found:?}"
                    );
                    found.lost.insert(name.into());
                }
            }
        }
        match facts["idle.power"].as_str() {
            // The counter moves each 0.1 s.
            Some(watts) => assert!((300.0..=750.0).contains(&watts.parse().unwrap()), "{self:?}: {watts} W"),
            None => {
                assert!(found.said.contains("the power of the idle GPU is not known: "), "{self:?}: {found:?}");
                found.lost.insert("idle.power".into());
            }
        }
    }

    fn check(&self, metric: &str, value: f64) {
        let (least, most) = truth(metric);
        let zero = self.fault == "zero" && value == 0.0 && MAYBE_ZERO.contains(&metric);
        // A mean over time is rounded.
        let near = (least * (1.0 - 1e-9)..=most * (1.0 + 1e-9)).contains(&value);
        assert!(zero || near, "{self:?}: {metric} is {value}");
    }

    /// `doctor` and `devices`, which succeed whatever they find.
    pub(crate) fn look(&self) {
        for command in ["doctor", "devices"] {
            let output = harness(&self.place(), &[&[command], &LIMIT[..]].concat());
            assert_eq!(output.status.code(), Some(0), "{self:?}: {}", told(&output));
            let said = stdout(&output);
            let hung = said.contains("had not returned after");
            assert!(!hung || (self.fault == "hang" && said.contains(self.function)), "{self:?}: {said}");
        }
    }
}

/// Does it for each, several at a time: they mostly wait. What fails in one is shown, and the others are done.
pub(crate) fn each<T: Send>(cases: &[Case], act: impl Fn(&Case) -> T + Sync) -> Vec<T> {
    const AT_ONCE: usize = 8;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(case)));
            done.push((cases.iter().position(|other| other == case).unwrap(), outcome));
        }
        done
    };
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    let (done, failed): (Vec<_>, Vec<_>) = done.into_iter().partition(|(_, outcome)| outcome.is_ok());
    assert!(failed.is_empty(), "{} of {} failed", failed.len(), cases.len());
    done.into_iter().filter_map(|(_, outcome)| outcome.ok()).collect()
}
