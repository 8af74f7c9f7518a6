//! What a command works with: made once of arguments, configuration and defaults; arguments win.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use harness_core::Budget;
use harness_engine::{LoadOptions, SimulatedSettings};
use harness_sandbox::{Limits, LoadLimits};

use crate::args;
use crate::config::{self, Config};
use crate::destination::Destination;
use crate::failure::Failure;
use crate::plugins::{Pin, Plugins};
use crate::report_set::ReportSets;
use crate::report_target::ReportTarget;
use crate::sweep::axes::Axis;
use crate::{places, units};

/// How long the idle GPU is watched, unless the user says otherwise: ten steps of an H100's energy counter.
const IDLE_TIME: Duration = Duration::from_secs(1);
/// What computes the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BackendChoice {
    /// The best that this binary has for the device.
    #[default]
    Auto,
    /// GPT-2 on candle.
    Candle,
    /// GPT-2 on our own kernels.
    Fused,
    /// No model: set times on a virtual clock.
    Simulated,
}

impl FromStr for BackendChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "candle" => Ok(Self::Candle),
            "fused" => Ok(Self::Fused),
            "simulated" => Ok(Self::Simulated),
            _ => Err(format!("no backend is called '{text}'; use auto, fused, candle or simulated")),
        }
    }
}

/// What the model is.
#[derive(Clone, Debug)]
pub(crate) enum ModelSettings {
    /// GPT-2.
    Gpt2(LoadOptions),
    /// No model.
    Simulated(SimulatedSettings),
}

/// Which GPU's sensors are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SensorChoice {
    /// The model's.
    Auto,
    /// None.
    Off,
    /// NVML's number.
    Index(u32),
    /// `GPU-…`.
    Uuid(String),
}

/// Where a recording goes.
#[derive(Clone, Debug)]
pub(crate) enum Recording {
    /// A file; of a sweep, a folder.
    At(Destination),
    /// A new one in this folder.
    Among(Destination),
    /// One that is there, and lacks runs.
    Resumed(Destination),
}

/// What `harness run` works with.
#[derive(Clone, Debug)]
pub(crate) struct RunSettings {
    pub(crate) plugin: String,
    pub(crate) pin: Option<Pin>,
    pub(crate) plugins: Plugins,
    pub(crate) set: Vec<(String, String)>,
    /// Empty where one recording is to be made.
    pub(crate) sweep: Vec<Axis>,
    /// Only say what would be run.
    pub(crate) dry_run: bool,
    pub(crate) quick: bool,
    pub(crate) quiet: bool,
    /// Whether what says more of the user than of the measurement is left out of the recording.
    pub(crate) private: bool,
    pub(crate) seed: u64,
    pub(crate) model: ModelSettings,
    pub(crate) sensors: SensorChoice,
    /// How long the driver is waited for.
    pub(crate) driver_time: Duration,
    /// Whether the memory's bandwidth is measured.
    pub(crate) roofline: bool,
    /// How long the idle GPU's power is measured.
    pub(crate) idle_time: Duration,
    pub(crate) reports: Vec<ReportTarget>,
    pub(crate) report_sets: ReportSets,
    pub(crate) recording: Recording,
    pub(crate) limits: Limits,
    pub(crate) load_limits: LoadLimits,
    pub(crate) budget: Budget,
}

impl RunSettings {
    pub(crate) fn resolve(args: args::Run) -> Result<Self, Failure> {
        let config = config::read(args.model.config.as_deref())?;
        let seed = args.seed.or(config.run.seed).unwrap_or(0);
        // The last of a name wins, so the configuration comes first.
        let mut set = config::pairs("set", &config.set)?;
        let sweep = match args.sweep.as_slice() {
            [] => config::axes("sweep", &config.sweep)?,
            given => given.iter().map(|(name, values)| Axis::parse(name, values)).collect::<Result<_, _>>()?,
        };
        if let Some(axis) = sweep.iter().find(|axis| args.set.iter().any(|(name, _)| *name == axis.setting)) {
            return Err(Failure::usage(format!("'{}' is both set and swept; leave one of them out", axis.setting)));
        }
        if args.resume.is_some() && !sweep.is_empty() {
            return Err(Failure::usage(
                "--resume goes on with one recording; a sweep goes on by the same command, with its folder as --recording",
            ));
        }
        if args.report.len().max(config.run.report.len()) > MOST_REPORTS {
            return Err(Failure::usage(format!(
                "more than {MOST_REPORTS} reports are asked for; `harness report` makes more of the recording"
            )));
        }
        let of_reports = [("--report", &args.report), ("--report-set", &args.report_set)];
        if let Some((flag, _)) = of_reports.iter().find(|(_, given)| !sweep.is_empty() && !given.is_empty()) {
            return Err(Failure::usage(format!(
                "{flag} does nothing for a sweep, which ends with one table; `harness report FILE --with NAME` shows a point"
            )));
        }
        set.extend(args.set);
        let reports = match args.report.is_empty() {
            true => config.run.report.iter().map(|report| report.0.clone()).collect(),
            false => args.report.iter().map(|text| report_target(text)).collect::<Result<_, _>>()?,
        };
        let recording = args.recording.map(Destination::named).or(config.run.recording.clone());
        let limits = limits(&args.limits, &config);
        let plugins = plugins(&args.registries, &config);
        let report_sets = ReportSets::new(&config.report_set, args.report_set, &plugins)?;
        let model = model(args.model, &config, seed)?;
        if let (true, ModelSettings::Gpt2(LoadOptions { download: true, .. })) =
            (offline(&args.registries, &config), &model)
        {
            return Err(Failure::usage(
                "--offline fetches nothing, and --download fetches the model; leave one of them out",
            ));
        }
        let quick = args.quick || config.run.quick.unwrap_or(false);
        let idle_time = args.idle_time.or(config.run.idle_time.map(|time| time.0));
        Ok(Self {
            plugin: args.plugin.or(config.run.plugin.clone()).unwrap_or_else(|| "default".into()),
            pin: args.sha256,
            plugins,
            set,
            sweep,
            dry_run: args.dry_run,
            quick,
            roofline: args.roofline || config.run.roofline.unwrap_or(false),
            idle_time: idle_time.unwrap_or(if quick { Duration::ZERO } else { IDLE_TIME }),
            quiet: args.quiet || config.run.quiet.unwrap_or(false),
            private: args.private || config.run.private.unwrap_or(false),
            seed,
            model,
            driver_time: time(args.driver.max_driver_time, config.limits.max_driver_time, harness_telemetry::LIMIT),
            sensors: sensors(args.sensors.as_deref().or(config.run.sensors.as_deref()))?,
            report_sets,
            reports,
            recording: match (args.resume.map(Destination::named), recording) {
                (Some(place), _) => Recording::Resumed(place),
                (None, Some(place)) => Recording::At(place),
                (None, None) => Recording::Among(recordings(&config)?),
            },
            limits,
            load_limits: load_limits(&args.limits, &config),
            budget: budget(&args.limits, &config, &limits),
        })
    }
}

/// The most reports of a run: each is loaded before it.
const MOST_REPORTS: usize = 32;

/// How much may be measured.
pub(crate) fn budget(args: &args::Limits, config: &Config, limits: &Limits) -> Budget {
    let default = Budget::default();
    let config = &config.limits;
    Budget {
        iterations: args.max_iterations.or(config.max_iterations).unwrap_or(default.iterations),
        wall_time: limits.wall_time,
        runs: args.max_runs.or(config.max_runs).unwrap_or(default.runs),
        recording: args.max_recording.or(config.max_recording.map(|size| size.0)).unwrap_or(default.recording),
    }
}

impl args::Sources {
    /// The configuration, and what plugins can be named by.
    pub(crate) fn read(&self) -> Result<(Config, Plugins), Failure> {
        let config = config::read(self.config.as_deref())?;
        let plugins = plugins(&self.registries, &config);
        Ok((config, plugins))
    }
}

/// What plugins can be named by.
fn plugins(args: &args::Registries, config: &Config) -> Plugins {
    let mut plain_http = config.registries.plain_http.clone();
    plain_http.extend(args.plain_http.iter().cloned());
    let cache = config.registries.cache.as_deref().map_or_else(places::artifacts, |folder| Ok(Some(absolute(folder))));
    let options = cache.map(|cache| harness_registry::Options { cache, offline: offline(args, config), plain_http });
    Plugins::new(config.plugins.clone(), options)
}

/// A folder that the configuration names, from the present one.
fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn offline(args: &args::Registries, config: &Config) -> bool {
    args.offline || config.registries.offline.unwrap_or(false)
}

/// The folder of recordings.
pub(crate) fn recordings(config: &Config) -> Result<Destination, Failure> {
    config.run.recordings.clone().or_else(|| places::recordings().map(Destination::named)).ok_or_else(|| {
        Failure::usage(
            "there is no folder for recordings; set HOME or HARNESS_RECORDINGS to an absolute path, or name a file with `harness run \
             --recording FILE`",
        )
    })
}

/// The model of `run` and `generate`.
pub(crate) fn model(args: args::Model, config: &Config, seed: u64) -> Result<ModelSettings, Failure> {
    let backend = args.backend.or(config.model.backend.map(|b| b.0)).unwrap_or_default();
    let mut simulate = config::pairs("simulate", &config.simulate)?;
    let simulate_given = !args.simulate.is_empty();
    simulate.extend(args.simulate.iter().cloned());
    let settings = simulated(&simulate)?;
    let given =
        |what: &str, why: &str| Err(Failure::usage(format!("{what} does nothing {why}; leave one of them out")));
    let gpt2 = |backend| {
        Ok(ModelSettings::Gpt2(LoadOptions {
            model: args.model.clone().or(config.model.model.clone()).unwrap_or_else(|| "gpt2".into()),
            device: args.device.or(config.model.device.map(|d| d.0)).unwrap_or_default(),
            backend,
            dtype: args.dtype.or(config.model.dtype.map(|d| d.0)),
            tf32: args.tf32 || config.model.tf32.unwrap_or(false),
            download: args.download || config.model.download.unwrap_or(false),
            seed,
            ..LoadOptions::default()
        }))
    };
    match backend {
        BackendChoice::Simulated => {
            let flags = [
                ("--model", args.model.is_some()),
                ("--device", args.device.is_some()),
                ("--dtype", args.dtype.is_some()),
                ("--tf32", args.tf32),
                ("--download", args.download),
            ];
            if let Some((flag, _)) = flags.iter().find(|(_, given)| *given) {
                return given(flag, "with the simulated backend");
            }
            Ok(ModelSettings::Simulated(settings))
        }
        _ if simulate_given => given("--simulate", "without --backend simulated"),
        BackendChoice::Auto => gpt2(harness_engine::BackendChoice::Auto),
        BackendChoice::Candle => gpt2(harness_engine::BackendChoice::Candle),
        BackendChoice::Fused => gpt2(harness_engine::BackendChoice::Fused),
    }
}

/// The longest time that the simulated model takes for a token.
const MOST_SIMULATED: Duration = Duration::from_secs(3600);

fn simulated(pairs: &[(String, String)]) -> Result<SimulatedSettings, Failure> {
    // Longer ones, added up over a whole test, leave what a clock can hold.
    let short = |value: &str| match units::duration(value)? {
        time if time <= MOST_SIMULATED => Ok(time),
        _ => Err(format!("'{value}' is longer than {} s", MOST_SIMULATED.as_secs())),
    };
    let mut settings = SimulatedSettings::default();
    for (name, value) in pairs {
        let wrong = |what: String| Failure::usage(format!("--simulate {name}: {what}"));
        match name.as_str() {
            "time-to-first-token" => settings.time_to_first_token = short(value).map_err(wrong)?,
            "time-per-token" => settings.time_per_token = short(value).map_err(wrong)?,
            "jitter" => {
                settings.jitter = value
                    .parse()
                    .ok()
                    .filter(|jitter| (0.0..=1.0).contains(jitter))
                    .ok_or_else(|| wrong(format!("'{value}' is no number from 0 to 1")))?;
            }
            "run-jitter" => {
                settings.run_jitter = value
                    .parse()
                    .ok()
                    .filter(|jitter| (0.0..=0.2).contains(jitter))
                    .ok_or_else(|| wrong(format!("'{value}' is no number from 0 to 0.2")))?;
            }
            "cold" => {
                settings.cold = value
                    .parse()
                    .ok()
                    .filter(|cold| (0.0..=100.0).contains(cold))
                    .ok_or_else(|| wrong(format!("'{value}' is no number from 0 to 100")))?;
            }
            "memory" => settings.memory = units::bytes(value).map_err(wrong)?,
            "memory-peak" => settings.memory_peak = units::bytes(value).map_err(wrong)?,
            "fail-at" | "panic-at" | "panic-beside" | "starve-at" => {
                let number = value.parse().map_err(|_| wrong(format!("'{value}' is no number of a request")))?;
                match name.as_str() {
                    "fail-at" => settings.fail_at = Some(number),
                    "panic-at" => settings.panic_at = Some(number),
                    "panic-beside" => settings.panic_beside = Some(number),
                    _ => settings.starve_at = Some(number),
                }
            }
            "real-time" => {
                settings.real_time =
                    value.parse().map_err(|_| wrong(format!("'{value}' is neither true nor false")))?;
            }
            _ => {
                return Err(Failure::usage(format!(
                    "the simulated model has no setting '{name}'; it has: time-to-first-token, time-per-token, jitter, \
                     run-jitter, cold, memory, memory-peak, fail-at, real-time, and for tests of harness panic-at, panic-beside and starve-at"
                )));
            }
        }
    }
    settings.memory_peak = settings.memory_peak.max(settings.memory);
    Ok(settings)
}

/// The limits of plugins.
pub(crate) fn limits(args: &args::Limits, config: &Config) -> Limits {
    let default = Limits::default();
    let config = &config.limits;
    let size = |flag: Option<u64>, file: Option<config::Size>, default: usize| {
        flag.or(file.map(|size| size.0)).map_or(default, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    };
    Limits {
        memory: size(args.max_memory, config.max_memory, default.memory),
        call_time: time(args.max_call_time, config.max_call_time, default.call_time),
        guest_time: time(args.max_guest_time, config.max_guest_time, default.guest_time),
        output: size(args.max_output, config.max_output, default.output),
        log_lines: args.max_log_lines.or(config.max_log_lines).unwrap_or(default.log_lines),
        wall_time: time(args.max_time, config.max_time, default.wall_time),
        describe_time: time(args.max_describe_time, config.max_describe_time, default.describe_time),
        render_time: time(args.max_render_time, config.max_render_time, default.render_time),
    }
}

/// The limits of compiling a plugin.
pub(crate) fn load_limits(args: &args::Limits, config: &Config) -> LoadLimits {
    let default = LoadLimits::default();
    let memory = args.max_load_memory.or(config.limits.max_load_memory.map(|size| size.0));
    LoadLimits {
        memory: memory.unwrap_or(default.memory),
        time: time(args.max_load_time, config.limits.max_load_time, default.time),
    }
}

fn time(flag: Option<Duration>, file: Option<config::Time>, default: Duration) -> Duration {
    flag.or(file.map(|time| time.0)).unwrap_or(default)
}

fn sensors(text: Option<&str>) -> Result<SensorChoice, Failure> {
    Ok(match text {
        None | Some("auto") => SensorChoice::Auto,
        Some("none") => SensorChoice::Off,
        Some(text) if text.starts_with("GPU-") || text.starts_with("MIG-") => SensorChoice::Uuid(text.to_owned()),
        Some(text) => SensorChoice::Index(text.parse().map_err(|_| {
            Failure::usage(format!(
                "'{text}' names no GPU; use auto, none, a number or a UUID as `harness devices` lists them"
            ))
        })?),
    })
}

/// `NAME[=OUT]`.
pub(crate) fn report_target(text: &str) -> Result<ReportTarget, Failure> {
    text.parse().map_err(Failure::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_simulated_setting_sets_what_it_names() {
        let default = SimulatedSettings::default;
        let time = Duration::from_millis(7);
        for (name, value, expected) in [
            ("time-to-first-token", "7ms", SimulatedSettings { time_to_first_token: time, ..default() }),
            ("time-per-token", "7ms", SimulatedSettings { time_per_token: time, ..default() }),
            ("jitter", "0.5", SimulatedSettings { jitter: 0.5, ..default() }),
            ("run-jitter", "0.1", SimulatedSettings { run_jitter: 0.1, ..default() }),
            ("cold", "3", SimulatedSettings { cold: 3.0, ..default() }),
            ("memory", "1GiB", SimulatedSettings { memory: 1 << 30, memory_peak: 1 << 30, ..default() }),
            ("memory", "1MiB", SimulatedSettings { memory: 1 << 20, ..default() }),
            ("memory-peak", "3GiB", SimulatedSettings { memory_peak: 3 << 30, ..default() }),
            ("memory-peak", "1MiB", SimulatedSettings { memory_peak: default().memory, ..default() }),
            ("fail-at", "4", SimulatedSettings { fail_at: Some(4), ..default() }),
            ("panic-at", "4", SimulatedSettings { panic_at: Some(4), ..default() }),
            ("panic-beside", "4", SimulatedSettings { panic_beside: Some(4), ..default() }),
            ("starve-at", "4", SimulatedSettings { starve_at: Some(4), ..default() }),
            ("real-time", "true", SimulatedSettings { real_time: true, ..default() }),
        ] {
            let settings = simulated(&[(name.into(), value.into())]);
            assert!(settings.is_ok_and(|settings| settings == expected), "{name}={value}");
        }
    }

    #[test]
    fn simulated_settings_are_checked() {
        let of = |name: &str, value: &str| simulated(&[(name.into(), value.into())]);
        assert_eq!(of("jitter", "0.1").unwrap().jitter, 0.1);
        assert_eq!(of("memory", "8GiB").unwrap().memory_peak, 8 << 30);
        assert!(of("real-time", "yes").is_err() && of("memory-peak", "much").is_err());
        for (name, value) in
            [("jitter", "2"), ("jitter", "x"), ("speed", "1"), ("fail-at", "-1"), ("time-per-token", "5")]
        {
            assert!(of(name, value).is_err(), "{name}={value}");
        }
    }
}
