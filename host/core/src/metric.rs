//! What is measured: the one list of host metrics, from which `docs/metrics.md` is made.

use serde::{Deserialize, Serialize};

use crate::aggregation::{Across, Aggregation};
use crate::keyed::Object;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// It only describes.
    Neither,
}

/// A metric as a plugin or a recording names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Lower case, digits and `_`.
    pub name: String,
    /// `s`, `B`, `J`, `W`, `Hz`, `Cel`, `1`, `1/s`, `tokens`, `tokens/s` …
    pub unit: String,
    /// One sentence.
    pub help: String,
    /// Which way is better.
    pub better: Direction,
    /// Whether a run's value averages sensor samples.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sampled: bool,
}

impl Metric {
    /// The most characters of a name.
    pub const MAX_NAME: usize = 64;

    /// Whether a name is one that every report format can carry.
    pub fn valid_name(name: &str) -> bool {
        name.len() <= Self::MAX_NAME
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }
}

/// A metric with its figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Object<FlatReading>")]
pub struct Reading {
    /// What it is.
    #[serde(flatten)]
    pub metric: Metric,
    /// In the metric's unit.
    pub value: f64,
    /// What the host computed in its place, when that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_value: Option<f64>,
    /// It bears the name of a host metric that no run recorded, or gives it another unit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unmeasured: bool,
}

/// A [`Reading`] as it is read: serde takes a flattened field apart by keeping all that there is, of whatever size.
#[derive(Deserialize)]
struct FlatReading {
    name: String,
    unit: String,
    help: String,
    better: Direction,
    #[serde(default)]
    sampled: bool,
    value: f64,
    #[serde(default)]
    host_value: Option<f64>,
    #[serde(default)]
    unmeasured: bool,
}

impl From<Object<FlatReading>> for Reading {
    fn from(Object(flat): Object<FlatReading>) -> Self {
        let FlatReading { name, unit, help, better, sampled, value, host_value, unmeasured } = flat;
        Self { metric: Metric { name, unit, help, better, sampled }, value, host_value, unmeasured }
    }
}

impl Reading {
    /// Why it is [`Reading::unmeasured`], as what follows its name.
    pub fn why_unmeasured(&self) -> String {
        match definition(&self.metric.name).filter(|metric| metric.unit != self.metric.unit) {
            Some(metric) => format!("in '{}', and the metric of that name is in '{}'", self.metric.unit, metric.unit),
            None => "which no run recorded".into(),
        }
    }
}

/// Where a figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The host's clock around the backend.
    Clock,
    /// Counted from what came out.
    Count,
    /// The device's own timers.
    Device,
    /// The allocator.
    Memory,
    /// NVML.
    Sensor,
}

/// The definition of a host metric.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Lower case, digits and `_`.
    pub name: &'static str,
    /// Base unit.
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Which way is better.
    pub better: Direction,
    /// Where the figure comes from.
    pub source: Source,
    /// What its samples are; `None` when it has none.
    pub samples: Option<&'static str>,
    /// How a run's value comes about.
    pub aggregation: Aggregation,
    /// How those of several devices become one.
    pub across: Across,
}

impl Definition {
    /// As a plugin or a recording has it.
    pub fn metric(&self) -> Metric {
        Metric {
            name: self.name.to_owned(),
            unit: self.unit.to_owned(),
            help: self.help.to_owned(),
            better: self.better,
            sampled: self.source == Source::Sensor && self.samples.is_some(),
        }
    }

    /// Whether a run's value grows with how much the run served, as a sum does and a mean or a rate does not.
    pub fn is_total(&self) -> bool {
        self.aggregation.is_total()
    }
}

/// The host metric of that name.
pub fn definition(name: &str) -> Option<&'static Definition> {
    METRICS.iter().find(|metric| metric.name == name)
}

macro_rules! metrics {
    ($($name:ident $unit:literal $better:ident $source:ident [$samples:expr] $aggregation:expr, $across:ident => $help:literal)*) => {
        /// Names of the host metrics.
        pub mod name {
            $(#[doc = $help] #[allow(non_upper_case_globals)] pub const $name: &str = stringify!($name);)*
        }
        /// Every host metric, in the order in which reports show them.
        pub const METRICS: &[Definition] = &[$(Definition {
            name: name::$name,
            unit: $unit,
            help: $help,
            better: Direction::$better,
            source: Source::$source,
            samples: $samples,
            aggregation: $aggregation,
            across: Across::$across,
        }),*];
    };
}

const ITERATION: Option<&str> = Some("one an iteration");
const TOKEN: Option<&str> = Some("one a token after the first");
const SENSOR: Option<&str> = Some("one a distinct sensor reading");

metrics! {
    throughput "1/s" Higher Clock [None] Aggregation::Rate { amount: "requests completed", time: "wall time of the run" }, Sum
        => "Requests completed in a second."
    latency "s" Lower Clock [ITERATION] Aggregation::Mean, Mean
        => "Time from a request to its last token in host memory, by the host's clock, the device synchronised."
    memory_allocated "B" Lower Memory [None] Aggregation::Last, Sum
        => "Bytes that this process holds on the GPU, from the allocator's own count."
    memory_peak "B" Lower Memory [None] Aggregation::Highest, Sum
        => "Most bytes that this process held on the GPU at any moment of the run."
    gpu_utilization "1" Higher Sensor [SENSOR] Aggregation::TimeWeightedMean, Mean
        => "Share of time in which any kernel ran on the GPU (NVML's utilization.gpu)."
    memory_utilization "1" Neither Sensor [SENSOR] Aggregation::Mean, Mean
        => "Share of the GPU's memory in use, by every process and the driver (NVML's used / total)."
    gpu_memory_used "B" Neither Sensor [SENSOR] Aggregation::Mean, Sum
        => "Bytes of the GPU's memory in use, by every process and the driver (NVML)."
    memory_controller_utilization "1" Neither Sensor [SENSOR] Aggregation::TimeWeightedMean, Mean
        => "Share of time in which device memory was read or written (NVML's utilization.memory); not the memory in use."
    sm_occupancy "1" Neither Sensor [None] Aggregation::CounterMean, Mean
        => "Warps resident on the streaming multiprocessors, as a share of the most that fit (NVML's GPM, Hopper and newer)."
    tensor_active "1" Neither Sensor [None] Aggregation::CounterMean, Mean
        => "Share of time in which the tensor cores were active, over all multiprocessors (NVML's GPM, Hopper and newer)."
    dram_bandwidth_utilization "1" Neither Sensor [None] Aggregation::CounterMean, Mean
        => "Bytes that device memory moved, as a share of the most that it can by its clock (NVML's GPM, Hopper and newer)."
    tokens_per_second "tokens/s" Higher Clock [None] Aggregation::Rate { amount: "new tokens", time: "wall time of the run" }, Sum
        => "New tokens in a second, over all requests of the run."
    prefill_throughput "tokens/s" Higher Clock [None] Aggregation::Rate { amount: "prompt tokens", time: "times to first token" }, Sum
        => "Prompt tokens read in a second, until the first token is there; over all requests of the run."
    decode_throughput "tokens/s" Higher Clock [None] Aggregation::Rate { amount: "new tokens after the first", time: "times between tokens" }, Sum
        => "New tokens after each request's first in a second of the time between tokens, over all requests of the run."
    time_to_first_token "s" Lower Clock [ITERATION] Aggregation::Mean, Mean
        => "Time from a request to its first token (TTFT)."
    inter_token_latency "s" Lower Clock [TOKEN] Aggregation::Mean, Mean
        => "Time between following tokens of a request (ITL)."
    memory_limit_share "1" Higher Clock [None] Aggregation::Rate { amount: "bytes that decoding had to read", time: "time between tokens / the memory's measured bandwidth" }, Mean
        => "Share of the memory's limit that decoding reaches, where --roofline measured it: weights once a step, earlier keys and values of each sequence."
    device_time "s" Lower Device [ITERATION] Aggregation::Mean, Mean
        => "Time between the first and the last work of a request on the GPU, by CUDA events."
    host_overhead "s" Neither Device [None] Aggregation::Difference { of: "latency", less: "device_time" }, Again
        => "Part of the latency in which the GPU had no work of the request: launching it, and handing its tokens over."
    prompt_tokens "tokens" Neither Count [ITERATION] Aggregation::Sum, Sum
        => "Prompt tokens read in the run, over all requests."
    new_tokens "tokens" Neither Count [ITERATION] Aggregation::Sum, Sum
        => "Tokens generated in the run, over all requests, counted from what came out."
    energy "J" Lower Sensor [None] Aggregation::Counter, Sum
        => "Energy that the GPU took during the run."
    energy_per_request "J" Lower Sensor [None] Aggregation::Share { of: "energy", among: "requests" }, Again
        => "Energy that the GPU took for each request."
    energy_per_token "J" Lower Sensor [None] Aggregation::Share { of: "energy", among: "new tokens" }, Again
        => "Energy that the GPU took for each new token."
    power "W" Lower Sensor [SENSOR] Aggregation::Mean, Sum
        => "Power that the GPU drew (NVML)."
    temperature "Cel" Neither Sensor [SENSOR] Aggregation::Mean, Highest
        => "Temperature of the GPU (NVML)."
    sm_clock "Hz" Neither Sensor [SENSOR] Aggregation::Mean, Mean
        => "Clock of the streaming multiprocessors (NVML)."
    memory_clock "Hz" Neither Sensor [SENSOR] Aggregation::Mean, Mean
        => "Clock of the GPU's memory (NVML)."
    throttled_time "s" Lower Sensor [None] Aggregation::TimeHeld, Highest
        => "Time in which the GPU's clocks were held down by power, heat or a power brake, whatever the reason."
    throttled_time_sw_power_cap "s" Lower Sensor [None] Aggregation::As(name::throttled_time), Highest
        => "Time in which clocks were held down to keep to the power limit."
    throttled_time_hw_slowdown "s" Lower Sensor [None] Aggregation::As(name::throttled_time), Highest
        => "Time in which the hardware held clocks down by half or more."
    throttled_time_sw_thermal_slowdown "s" Lower Sensor [None] Aggregation::As(name::throttled_time), Highest
        => "Time in which the driver held clocks down because of heat."
    throttled_time_hw_thermal_slowdown "s" Lower Sensor [None] Aggregation::As(name::throttled_time), Highest
        => "Time in which the hardware held clocks down because of heat."
    throttled_time_hw_power_brake_slowdown "s" Lower Sensor [None] Aggregation::As(name::throttled_time), Highest
        => "Time in which clocks were held down by the system's power-brake signal."
    resident_memory "B" Lower Memory [None] Aggregation::Last, Apart
        => "Bytes of this process in the machine's memory (VmRSS), where the model runs on the CPU."
    resident_memory_peak "B" Lower Memory [None] Aggregation::Highest, Apart
        => "Most bytes of this process in the machine's memory during the run (VmHWM), where the model runs on the CPU."
}

/// The text of `docs/metrics.md`.
pub fn document() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         <!-- Made from host/core/src/metric.rs; `UPDATE_DOCS=1 cargo test -p harness-core` writes it anew. -->\n\n\
         Every figure is in a base unit: `s` seconds, `B` bytes, `J` joules, `W` watts, `Hz` hertz, `Cel` degrees\n\
         Celsius, `1` a ratio in 0..1. A metric that could not be measured is absent, with a reason, and never zero.\n\
         A sensor average is worth what the number of its samples is worth: reports print it, and call fewer than 3\n\
         too few. A sensor that failed, hung or lost its GPU before the last tenth of a run has no figure for that run, and\n\
         says from when on.\n\n\
         | metric | unit | better | samples | value of a run | meaning |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for metric in METRICS {
        let better = match metric.better {
            Direction::Higher => "higher",
            Direction::Lower => "lower",
            Direction::Neither => "–",
        };
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            metric.name,
            metric.unit,
            better,
            metric.samples.unwrap_or("–"),
            metric.aggregation.sentence(),
            metric.help
        ));
    }
    text.push_str(SENSORS);
    text
}

/// What the sensors' figures are worth, in `docs/metrics.md`.
const SENSORS: &str = "
## What energy is worth

`energy` is what NVML's counter gained between a reading just before the run and one just after it. The counter moves each 0.1 s
or so, and each reading may be of the step before: a run's energy is known to what it takes in 0.1 s, 1 % of a run of 10 s, and a run
under 0.3 s has none. `idle.power`, over 1 s, is known to 10 % in the same way; a longer `--idle-time` makes it better.

A counter that can't be right gives no energy, and the run says why:

- It went backwards, or did not move.
- It counted more than 1.25 times the power limit in the run's time and one step of its own. The GPU itself keeps its mean power to the
  limit within a second; what goes over lasts milliseconds. The quarter above it is room for that
  second and for the sensor's own error, 5 % where NVIDIA states it.
- Over 2 s or more it counted less than half of the power sensor's mean. The two differ in good health, because the sensor looks for a
  part of the time only (a quarter of it on an H100, by Yang, Adamek and Armour, 'Part-time Power Measurements: nvidia-smi's Lack of
  Attention', arXiv:2312.02741). But a load that swings between nothing and its peak in equal parts, and is seen at its peak alone, still
  counts half. So a counter that stands still for less than half of a run is not found out.

## What GPM is worth

`sm_occupancy`, `tensor_active` and `dram_bandwidth_utilization` are means between two samples, one just before the run and one just
after it, of the whole GPU: idle time between requests counts, and so does what another process does. They are absent, with the reason,
where the driver or the GPU has no GPM, where the GPU is partitioned (MIG), and for runs under 0.1 s.

## What a recording takes

While a test runs, and when it is read again, a recording is held in memory: 8 bytes a sample, 8 more where its time is noted (latency
and the sensors), and about 6 KiB a run on a machine without a GPU for its values and for what is absent and why. 10,000 runs of one
iteration take 63 MiB, 20 million samples 153 MiB (a debug build on an AMD EPYC with two cores; `ru_maxrss` less that of an empty
recording). On disk a sample has about 20 bytes and a run about 2 kB beside them.

A recording has at most 20 million samples, 2 GiB on disk, 176 MiB in memory, of which 64 MiB are texts, counted before a line is parsed: 160 bytes for
a key with its value, 8 for a number of a list, 96 for a list or object, 768 for a line, and the bytes of texts, none of which has more than
16 MiB. To show or compare one takes more: a report holds what it asked for a second time.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_true() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, document(), "docs/metrics.md is stale: UPDATE_DOCS=1 cargo test -p harness-core");
    }

    #[test]
    fn names_are_valid_and_unique() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert!(names.iter().all(|name| Metric::valid_name(name)));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_name_is_short_and_of_few_characters() {
        let long = "a".repeat(Metric::MAX_NAME);
        for name in ["a", "a1", "a_b", "z_9_", &long] {
            assert!(Metric::valid_name(name), "{name}");
        }
        for name in ["", "1a", "_a", "A", "aB", "a-b", "a b", "ä", "aä", &format!("{long}a")] {
            assert!(!Metric::valid_name(name), "{name}");
        }
    }

    #[test]
    fn definitions_say_of_their_values_what_they_are() {
        let those = |of: fn(&Definition) -> bool| -> Vec<&str> {
            METRICS.iter().filter(|metric| of(metric)).map(|metric| metric.name).collect()
        };
        let sampled = [
            "gpu_utilization",
            "memory_utilization",
            "gpu_memory_used",
            "memory_controller_utilization",
            "power",
            "temperature",
            "sm_clock",
            "memory_clock",
        ];
        assert_eq!(those(|metric| metric.metric().sampled), sampled);
        let totals: Vec<&str> = those(Definition::is_total);
        let (throttled, others): (Vec<&str>, Vec<&str>) =
            totals.into_iter().partition(|name| name.starts_with("throttled_time"));
        assert_eq!((throttled.len(), &others[..]), (6, &["prompt_tokens", "new_tokens", "energy"][..]));
        assert!(definition("speed").is_none());
    }

    #[test]
    fn what_is_not_measured_is_not_for_a_reason() {
        let latency = Metric { unit: "ms".into(), ..definition("latency").unwrap().metric() };
        let mut reading = Reading { metric: latency, value: 1.0, host_value: None, unmeasured: true };
        assert_eq!(reading.why_unmeasured(), "in 'ms', and the metric of that name is in 's'");
        reading.metric.unit = "s".into();
        assert_eq!(reading.why_unmeasured(), "which no run recorded");
    }
}
