//! The sampler through the real nvml-wrapper, on a library that plays scenarios (see `fake_nvml`).

#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fake_nvml::{PCIE, SXM};
use harness_core::metric::{Definition, METRICS, Source, name};
use harness_core::{Gpus, SensorLog, Sensors};
use harness_telemetry::{LIMIT, Nvml, Options};
use tempfile::TempDir;

/// The library stays loaded while the folder of its file is there.
struct Fake {
    nvml: Nvml,
    _folder: TempDir,
}

fn fake(scenario: &str) -> Fake {
    let folder = tempfile::tempdir().unwrap();
    let library = fake_nvml::install(folder.path(), scenario).unwrap();
    Fake { nvml: Nvml::open_library(&library, LIMIT).unwrap(), _folder: folder }
}

fn refused(scenario: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let library = fake_nvml::install(folder.path(), scenario).unwrap();
    Nvml::open_library(&library, LIMIT).unwrap_err().to_string()
}

impl Fake {
    fn sampler(&self) -> Box<dyn Sensors> {
        self.nvml.sampler(SXM.uuid, Options::default()).unwrap()
    }
}

fn run(sensors: &mut dyn Sensors, milliseconds: u64) -> SensorLog {
    sensors.start();
    sleep(Duration::from_millis(milliseconds));
    sensors.stop()
}

fn run_scenario(scenario: &str, milliseconds: u64) -> SensorLog {
    let fake = fake(scenario);
    let log = run(&mut *fake.sampler(), milliseconds);
    every_metric_is_accounted_for(&log);
    log
}

fn every_metric_is_accounted_for(log: &SensorLog) {
    // What energy is divided by, the runner knows.
    let sensed = |metric: &&Definition| metric.source == Source::Sensor && !metric.name.starts_with("energy_per_");
    for metric in METRICS.iter().filter(sensed) {
        let places = [
            log.series.contains_key(metric.name),
            log.values.contains_key(metric.name),
            log.absent.contains_key(metric.name),
        ];
        assert!(metric.samples.is_some() || !places[0], "{} has no samples", metric.name);
        assert_ne!(places[0] || places[1], places[2], "{}: {log:#?}", metric.name);
        if metric.samples.is_some() {
            // Only of a mean over time there is more to say than its samples.
            let weighted = [name::gpu_utilization, name::memory_controller_utilization].contains(&metric.name);
            assert!(!places[1] || (weighted && places[0]), "{} is the mean of its samples", metric.name);
        }
    }
    for (metric, series) in &log.series {
        assert!(!series.values.is_empty(), "{metric}");
        assert_eq!(series.values.len(), series.times.len(), "{metric}");
        assert!(series.times.is_sorted_by(|a, b| a < b), "{metric}: {:?}", series.times);
        assert!(series.times.iter().all(|time| *time >= 0.0), "{metric}: {:?}", series.times);
    }
}

fn values<'a>(log: &'a SensorLog, metric: &str) -> &'a [f64] {
    &log.series.get(metric).unwrap_or_else(|| panic!("no {metric}: {log:#?}")).values
}

#[track_caller]
fn all_within(log: &SensorLog, metric: &str, least: f64, most: f64) {
    let values = values(log, metric);
    assert!(values.iter().all(|value| (least..=most).contains(value)), "{metric}: {values:?}");
}

#[test]
fn normal_values_are_in_base_units() {
    let log = run_scenario("normal", 700);
    assert!(log.absent.is_empty(), "{:?}", log.absent);
    all_within(&log, name::gpu_utilization, 0.95, 0.97);
    all_within(&log, name::memory_controller_utilization, 0.23, 0.24);
    all_within(&log, name::gpu_memory_used, 2_147_483_648.0, 2_281_701_376.0);
    all_within(&log, name::memory_utilization, 0.025, 0.027);
    all_within(&log, name::power, 500.0, 509.0);
    all_within(&log, name::temperature, 45.0, 55.0);
    all_within(&log, name::sm_clock, 1.935e9, 1.98e9);
    all_within(&log, name::memory_clock, 2.619e9, 2.619e9);
    // Mean power 504.5 W; the counter moves each 0.1 s, and a busy machine lets the run last longer.
    let energy = log.values[name::energy];
    assert!((300.0..5000.0).contains(&energy), "{energy}");
    assert_eq!(log.values[name::throttled_time], 0.0);
    assert_eq!(log.values[name::throttled_time_sw_power_cap], 0.0);
}

#[test]
fn samples_are_distinct_and_many() {
    let log = run_scenario("normal", 700);
    // A window of 200 ms each, 20 ms for power, 100 ms for clocks and temperature, and 10 ms for the rest.
    let windows = values(&log, name::gpu_utilization).len();
    let length = log.series[name::gpu_memory_used].times.last().copied().unwrap();
    assert!((2..=2 + (length / 0.2) as usize).contains(&windows), "{windows} in {length} s");
    let power = values(&log, name::power).len();
    assert!((25..=3 + (length / 0.02) as usize).contains(&power), "{power} in {length} s");
    let clock = values(&log, name::memory_clock).len();
    assert!((4..=2 + (length / 0.095) as usize).contains(&clock), "{clock} in {length} s");
    assert!(values(&log, name::gpu_memory_used).len() > 20);
}

#[test]
fn a_sampler_serves_run_after_run() {
    let fake = fake("normal");
    let mut sensors = fake.sampler();
    for _ in 0..3 {
        let log = run(&mut *sensors, 120);
        every_metric_is_accounted_for(&log);
        assert!(values(&log, name::power).len() >= 3, "{log:#?}");
        assert!(log.absent[name::energy].contains("too short for the energy counter"), "{:?}", log.absent);
    }
}

#[test]
fn a_field_that_is_not_supported_is_absent_and_says_why() {
    let log = run_scenario("no-energy,no-temperature,no-throttle", 350);
    let why = "the GPU does not have it (NVML_ERROR_NOT_SUPPORTED)";
    assert_eq!(log.absent[name::energy], why);
    assert_eq!(log.absent[name::temperature], why);
    assert_eq!(log.absent[name::throttled_time], why);
    assert_eq!(log.absent[name::throttled_time_hw_slowdown], why);
    assert!(log.series.contains_key(name::power));
    for metric in [name::energy, name::throttled_time] {
        assert!(!log.values.contains_key(metric), "{:?}", log.values);
    }
}

#[test]
fn a_gpu_with_no_sensors_at_all_does_not_stop_the_run() {
    let words =
        ["energy", "buffer", "utilization", "memory", "power", "temperature", "clocks", "throttle", "limits", "gpm"];
    let log = run_scenario(&words.map(|word| format!("no-{word}")).join(","), 50);
    assert!(log.series.is_empty() && log.values.is_empty(), "{log:#?}");
}

#[test]
fn without_buffers_polls_count_only_where_the_window_moved_on() {
    let log = run_scenario("no-buffer", 900);
    let windows = &log.series[name::gpu_utilization];
    let length = log.series[name::gpu_memory_used].times.last().copied().unwrap();
    assert!(windows.values.len() <= 1 + (length / 0.2) as usize, "{windows:?} in {length} s");
    all_within(&log, name::gpu_utilization, 0.95, 0.97);
    assert!(values(&log, name::power).len() < 20, "{log:#?}");
}

#[test]
fn a_gpu_that_is_lost_keeps_what_was_read_of_nearly_the_whole_run() {
    let log = run_scenario("lost-after:1900", 2000);
    assert!(log.series[name::sm_clock].times.last().is_some_and(|last| *last < 1.95), "{log:#?}");
    let why = &log.absent[name::energy];
    assert!(why.starts_with("the GPU was lost 1.") && why.ends_with("(NVML_ERROR_GPU_IS_LOST)"), "{why}");
    assert_eq!(&log.absent[name::throttled_time], why);
}

#[test]
fn a_mean_over_the_run_until_the_gpu_was_lost_is_not_the_runs() {
    let fake = fake("lost-after:300");
    let mut sensors = fake.sampler();
    let log = run(&mut *sensors, 1000);
    every_metric_is_accounted_for(&log);
    assert!(log.series.is_empty() && log.values.is_empty(), "{log:#?}");
    let why = &log.absent[name::sm_clock];
    assert!(why.starts_with("the GPU was lost 0.3 s into the run"), "{why}");

    // And the next run goes on without.
    let log = run(&mut *sensors, 20);
    every_metric_is_accounted_for(&log);
    assert!(log.series.is_empty() && log.values.is_empty(), "{log:#?}");
    assert_eq!(log.absent[name::power], "the GPU was lost before the run began (NVML_ERROR_GPU_IS_LOST)");
}

#[test]
fn a_call_that_hangs_in_mid_run_loses_samples_only() {
    let log = run_scenario("hang:300", 700);
    let times = &log.series[name::sm_clock].times;
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(gap >= 0.3, "{times:?}");
    // The driver kept on sampling, and the counter on counting.
    assert!(values(&log, name::power).len() >= 25, "{log:#?}");
    assert!(log.values.contains_key(name::energy), "{log:#?}");
}

#[test]
fn a_sensor_that_fails_or_lies_from_early_on_is_absent_and_says_in_which_function() {
    for (fault, metric, why) in [
        ("nvmlDeviceGetTemperature=fail.999@3", name::temperature, "a reason of its own (NVML_ERROR_UNKNOWN)"),
        ("nvmlDeviceGetTemperature=lie@3", name::temperature, "nvmlDeviceGetTemperature gave 4294967295"),
        ("nvmlDeviceGetMemoryInfo_v2=zero@3", name::memory_utilization, "nvmlDeviceGetMemoryInfo_v2 gave 0"),
        ("nvmlDeviceGetCurrentClocksThrottleReasons=lie@3", name::throttled_time, "gave 18446744073709551615"),
    ] {
        let log = run_scenario(fault, 1000);
        let reason = log.absent.get(metric).unwrap_or_else(|| panic!("{fault}: {log:#?}"));
        assert!(reason.starts_with("from 0.0 s into the run on: ") && reason.ends_with(why), "{fault}: {reason}");
        assert!(log.series.contains_key(name::power), "{fault}: {log:#?}");
    }
    // Polls take the place of a buffer that lies, and nothing is lost by it.
    let log = run_scenario("nvmlDeviceGetSamples=lie@1", 1000);
    assert!(log.absent.is_empty(), "{:?}", log.absent);
    all_within(&log, name::power, 500.0, 509.0);
}

#[test]
fn a_call_that_never_returns_in_mid_run_costs_what_it_holds_up() {
    let fake = fake("nvmlDeviceGetPowerUsage=hang@3");
    let options = Options { stop_limit: Duration::from_millis(100), ..Options::default() };
    let mut sensors = fake.nvml.sampler(SXM.uuid, options).unwrap();
    let log = run(&mut *sensors, 800);
    every_metric_is_accounted_for(&log);
    assert!(log.series.is_empty() && log.values.is_empty(), "{log:#?}");
    for metric in [name::power, name::sm_clock, name::throttled_time] {
        let why = "the driver did not answer from 0.0 s into the run on (nvmlDeviceGetPowerUsage)";
        assert_eq!(log.absent[metric], why, "{metric}");
    }
    assert!(harness_telemetry::unanswered());
}

#[test]
fn each_function_that_is_missing_costs_what_it_gives() {
    for function in fake_nvml::FUNCTIONS {
        let folder = tempfile::tempdir().unwrap();
        let library = fake_nvml::install(folder.path(), &format!("normal,without:{function}")).unwrap();
        let nvml = match Nvml::open_library(&library, LIMIT) {
            Ok(nvml) => nvml,
            Err(refused) => {
                assert_eq!(*function, "nvmlInit_v2");
                assert!(refused.to_string().ends_with("is no NVML: it lacks nvmlInit_v2"), "{refused}");
                continue;
            }
        };
        let lacks = format!("the driver is too old: its NVML lacks {function}");
        let found = nvml.sampler("0", Options::default());
        let mut sensors = match found {
            Ok(sensors) => sensors,
            Err(refused) => {
                assert!(refused.to_string().ends_with(&lacks), "{function}: {refused}");
                continue;
            }
        };
        let log = run(&mut *sensors, 350);
        every_metric_is_accounted_for(&log);
        // Without the driver's own samples there are polls, of which this run has few.
        let said =
            |reason: &String| *reason == lacks || (*function == "nvmlDeviceGetSamples" && reason.contains("too short"));
        assert!(log.absent.values().all(said), "{function}: {:?}", log.absent);
        let facts = nvml.facts("0");
        let health = nvml.health("0").unwrap();
        assert!(facts.len() >= 18, "{function}: {facts:?}");
        assert!(health.name == SXM.name || *function == "nvmlDeviceGetName", "{health:?}");
    }
}

#[test]
fn a_hang_at_the_start_holds_the_run_up_no_longer_than_the_limit() {
    let fake = fake("hang-start:900");
    let options = Options { start_limit: Duration::from_millis(100), ..Options::default() };
    let mut sensors = fake.nvml.sampler(SXM.uuid, options).unwrap();
    let before = Instant::now();
    sensors.start();
    let waited = before.elapsed();
    assert!(waited < Duration::from_millis(800), "{waited:?}");
    sleep(Duration::from_millis(100));
    let log = sensors.stop();
    every_metric_is_accounted_for(&log);
    assert_eq!(
        log.absent[name::energy],
        "NVML did not answer when the run began (nvmlDeviceGetTotalEnergyConsumption)"
    );
    drop(sensors);
}

#[test]
fn a_hang_at_the_end_keeps_what_there_is() {
    let fake = fake("hang-stop:900");
    let options = Options { stop_limit: Duration::from_millis(100), ..Options::default() };
    let mut sensors = fake.nvml.sampler(SXM.uuid, options).unwrap();
    sensors.start();
    sleep(Duration::from_millis(300));
    let before = Instant::now();
    let log = sensors.stop();
    let waited = before.elapsed();
    assert!(waited < Duration::from_millis(800), "{waited:?}");
    every_metric_is_accounted_for(&log);
    assert!(log.series.contains_key(name::sm_clock));
    let why = "NVML did not answer when the run ended (nvmlDeviceGetTotalEnergyConsumption)";
    assert_eq!(log.absent[name::energy], why);

    // Nobody waits for a thread that is known to hang.
    let before = Instant::now();
    let log = run(&mut *sensors, 20);
    assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
    every_metric_is_accounted_for(&log);
    let why = "NVML did not answer during the run (nvmlDeviceGetTotalEnergyConsumption)";
    assert_eq!(log.absent[name::sm_clock], why);

    // Once it is back, so are the readings.
    sleep(Duration::from_millis(1000));
    let log = run(&mut *sensors, 350);
    every_metric_is_accounted_for(&log);
    assert!(log.series.contains_key(name::sm_clock), "{log:#?}");
}

#[test]
fn energy_read_late_is_not_the_runs() {
    let log = run_scenario("hang-stop:500", 400);
    assert_eq!(log.absent[name::energy], "NVML did not answer when the run ended");
    assert!(log.series.contains_key(name::sm_clock));
}

#[test]
fn a_counter_that_stands_still_or_goes_backwards_gives_no_energy() {
    let log = run_scenario("stall", 350);
    assert!(log.absent[name::energy].contains("did not move"), "{:?}", log.absent);
    for backwards in ["wrap", "restart"] {
        let log = run_scenario(backwards, 350);
        assert!(log.absent[name::energy].contains("went backwards"), "{backwards}: {:?}", log.absent);
    }
}

#[test]
fn a_counter_that_jumps_past_the_power_limit_gives_no_energy() {
    let log = run_scenario("jump", 350);
    let why = &log.absent[name::energy];
    assert!(why.starts_with("the energy counter jumped: 1000"), "{why}");
    assert!(why.ends_with("is more than the power limit of 700 W allows"), "{why}");
    // Where the driver tells no limit, nothing can be held against it.
    assert!(run_scenario("jump,no-limits", 350).values[name::energy] > 1e6);
}

#[test]
fn a_counter_that_stalls_in_mid_run_gives_no_energy() {
    let log = run_scenario("stall:400", 2200);
    let why = &log.absent[name::energy];
    assert!(why.starts_with("the energy counter stood still for a part of the run: it counted "), "{why}");
    // And one that only missed its last steps is right to within them.
    let log = run_scenario("stall:2000", 2200);
    let energy = log.values[name::energy];
    assert!((850.0..1200.0).contains(&energy), "{energy}");
}

#[test]
fn windows_of_two_lengths_are_averaged_over_time() {
    let log = run_scenario("uneven", 1700);
    let values = values(&log, name::gpu_utilization);
    let plain = values.iter().sum::<f64>() / values.len() as f64;
    // Four periods of 0.1 s at 80 % and 0.3 s at 40 %, and one window more at either end.
    let mean = log.values[name::gpu_utilization];
    assert!((0.46..=0.54).contains(&mean), "{mean} of {values:?}");
    assert!(plain > mean + 0.04, "{plain} and {mean} of {values:?}");
}

#[test]
fn gpm_is_what_lies_between_the_runs_ends() {
    let fake = fake("normal");
    let mut sensors = fake.sampler();
    for milliseconds in [300, 800] {
        let began = Instant::now();
        let log = run(&mut *sensors, milliseconds);
        let most = began.elapsed().as_secs_f64();
        every_metric_is_accounted_for(&log);
        assert_eq!((log.values[name::sm_occupancy], log.values[name::tensor_active]), (0.125, 0.03));
        // The fake tells the seconds between the samples by it.
        let between = (log.values[name::dram_bandwidth_utilization] - 0.5) * 10.0;
        assert!((milliseconds as f64 / 1e3..=most).contains(&between), "{between} of {milliseconds} ms, {most} s");
    }
}

#[test]
fn without_gpm_it_is_said_why() {
    let figures = [name::sm_occupancy, name::tensor_active, name::dram_bandwidth_utilization];
    let absent = |scenario: &str, milliseconds| {
        let log = run_scenario(scenario, milliseconds);
        let reasons: Vec<String> = figures.iter().map(|metric| log.absent[*metric].clone()).collect();
        assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{reasons:?}");
        reasons[0].clone()
    };
    assert_eq!(absent("no-gpm", 150), "the GPU has no GPM; Hopper and newer have");
    assert_eq!(absent("gpm-forbidden", 150), "this user may not read it (NVML_ERROR_NO_PERMISSION)");
    assert_eq!(absent("mig", 150), "the GPU is partitioned (MIG), and GPM is read of whole GPUs only");
    assert_eq!(absent("old-driver", 150), "the driver is too old: its NVML lacks nvmlGpmQueryDeviceSupport");
    let short = absent("normal", 30);
    assert!(short.starts_with("the run of 0.0") && short.contains("too short for GPM"), "{short}");
    assert!(absent("lost-after:50", 200).starts_with("the GPU was lost 0."));
}

#[test]
fn throttling_is_timed_by_reason() {
    let log = run_scenario("throttled:150", 500);
    let time = log.values[name::throttled_time];
    assert!(time > 0.0 && time < 0.5 + 1.0, "{time}");
    assert_eq!(log.values[name::throttled_time_sw_power_cap], time);
    assert_eq!(log.values[name::throttled_time_hw_thermal_slowdown], 0.0);
}

#[test]
fn heat_and_a_power_brake_that_begin_in_mid_run_are_timed_and_told_apart() {
    for (word, its, others) in [
        ("hot:300", name::throttled_time_hw_thermal_slowdown, name::throttled_time_hw_power_brake_slowdown),
        ("brake:300", name::throttled_time_hw_power_brake_slowdown, name::throttled_time_hw_thermal_slowdown),
    ] {
        let log = run_scenario(word, 600);
        let time = log.values[name::throttled_time];
        // From 0.3 s on; a busy machine lets the run last longer.
        let length = log.series[name::gpu_memory_used].times.last().copied().unwrap();
        assert!((time - (length - 0.3)).abs() < 0.1, "{word}: {time} of {length}");
        assert_eq!(log.values[its], time, "{word}");
        assert_eq!(log.values[name::throttled_time_hw_slowdown], time, "{word}");
        assert_eq!(log.values[others], 0.0, "{word}");
        assert_eq!(log.values[name::throttled_time_sw_power_cap], 0.0, "{word}");
        // The clock fell with it.
        let clocks = values(&log, name::sm_clock);
        assert!(clocks[0] > 1.9e9 && clocks[clocks.len() - 1] < 1e9, "{word}: {clocks:?}");
    }
}

#[test]
fn the_gpu_is_found_by_its_uuid_whatever_its_number() {
    let fake = fake("two-gpus");
    let bare = SXM.uuid.trim_start_matches("GPU-").to_uppercase();
    for gpu in [SXM.uuid, &bare, "1"] {
        assert_eq!(fake.nvml.uuid(gpu).unwrap(), SXM.uuid);
        let log = run(&mut *fake.nvml.sampler(gpu, Options::default()).unwrap(), 60);
        all_within(&log, name::memory_clock, 2.619e9, 2.619e9);
        all_within(&log, name::power, 500.0, 509.0);
    }
    let log = run(&mut *fake.nvml.sampler("0", Options::default()).unwrap(), 60);
    all_within(&log, name::memory_clock, 1.593e9, 1.593e9);
    all_within(&log, name::power, 80.0, 89.0);
}

#[test]
fn an_unknown_gpu_is_refused_with_those_there_are() {
    let fake = fake("two-gpus");
    let known = format!("it lists 0 ({}, {}), 1 ({}, {})", PCIE.name, PCIE.uuid, SXM.name, SXM.uuid);
    let error = fake.nvml.sampler("GPU-nosuch", Options::default()).err().unwrap().to_string();
    assert_eq!(error, format!("the driver lists no GPU with the UUID GPU-nosuch; {known}"));
    let error = fake.nvml.sampler("2", Options::default()).err().unwrap().to_string();
    assert_eq!(error, format!("the driver lists no GPU 2; {known}"));
}

#[test]
fn devices_and_their_state() {
    let fake = fake("two-gpus,throttled:0");
    let devices = fake.nvml.devices();
    assert_eq!(devices.iter().map(|d| (d.index, d.uuid.as_str())).collect::<Vec<_>>(), [(0, PCIE.uuid), (1, SXM.uuid)]);
    assert_eq!(devices[1].name, SXM.name);
    assert_eq!(devices[1].memory, SXM.memory);

    let state = fake.nvml.read(0).unwrap();
    assert!(state.utilization.is_some_and(|u| (0.10..=0.12).contains(&u)), "{state:?}");
    assert!(state.power.is_some_and(|watts| (80.0..=89.0).contains(&watts)), "{state:?}");
    assert_eq!(state.memory_clock, Some(1.593e9));
    assert!(state.throttle_reasons.is_empty(), "{state:?}");
    assert_eq!(fake.nvml.read(7).unwrap_err(), "the driver lists no GPU 7");

    let details = fake.nvml.details().unwrap();
    assert_eq!(details.cuda_version.as_deref(), Some("13.0"));
    assert_eq!(details.gpus[1].pci_bus_id.as_deref(), Some("00000000:C1:00.0"));
    assert_eq!(details.gpus[0].compute_capability.as_deref(), Some("9.0"));
}

#[test]
fn facts_are_in_base_units_and_leave_out_what_is_not_there() {
    let facts = fake("two-gpus").nvml.facts(SXM.uuid);
    let expected = [
        ("driver.version", "580.159.04"),
        ("cuda.version", "13.0"),
        ("nvml.version", "13.580.159.04"),
        ("gpu.name", SXM.name),
        ("gpu.uuid", SXM.uuid),
        ("gpu.index", "1"),
        ("gpu.pci_bus_id", "00000000:C1:00.0"),
        ("gpu.vbios", "96.00.89.00.01"),
        ("gpu.memory", "85520809984"),
        ("gpu.power_limit", "700"),
        ("gpu.power_limit_default", "700"),
        ("gpu.ecc", "on"),
        ("gpu.mig", "off"),
        ("gpu.sm_clock_max", "1980000000"),
        ("gpu.memory_clock_max", "2619000000"),
        ("gpu.memory_bus_width", "5120"),
        ("gpu.persistence_mode", "on"),
        ("gpu.pcie_generation", "5"),
        ("gpu.pcie_generation_max", "5"),
        ("gpu.pcie_width", "16"),
        ("gpu.pcie_width_max", "16"),
    ];
    assert_eq!(facts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);

    let facts = fake("no-limits").nvml.facts("0");
    assert_eq!(facts.last().map(|fact| fact.0.as_str()), Some("gpu.memory"));
    let facts = fake("normal").nvml.facts("GPU-nosuch");
    assert_eq!(facts.last().map(|fact| fact.0.as_str()), Some("nvml.version"));
}

#[test]
fn the_drivers_library_is_found_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    fake_nvml::install(folder.path(), "normal").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child_opens_by_name"])
        .env("LD_LIBRARY_PATH", folder.path())
        .env("FAKE_NVML", "two-gpus")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}

#[test]
#[ignore = "the_drivers_library_is_found_by_its_name runs it"]
fn child_opens_by_name() {
    if std::env::var_os("FAKE_NVML").is_some() {
        assert_eq!(Nvml::open(LIMIT).unwrap().uuid("0").unwrap(), PCIE.uuid);
    }
}

#[test]
fn why_there_are_no_sensors() {
    assert_eq!(refused("no-driver"), "the NVIDIA driver is not loaded (NVML_ERROR_DRIVER_NOT_LOADED)");
    assert!(refused("mismatch").contains("of different versions"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libnvidia-ml.so.1");
    let error = Nvml::open_library(&file, LIMIT).unwrap_err().to_string();
    assert_eq!(error, format!("no NVIDIA driver: {} was not found", file.display()));
    std::fs::write(&file, "no library").unwrap();
    assert!(Nvml::open_library(&file, LIMIT).unwrap_err().to_string().contains("could not be loaded"));
}
