//! Chooses the GPU whose sensors are read.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use harness_core::doctor::Check;
use harness_core::text::visible_line;
use harness_core::{GpuDevice, GpuState, Gpus, NoSensors, Sensors};
use harness_engine::cuda_devices;
use harness_telemetry::{Nvml, Options, Refused};

use crate::failure::Failure;
use crate::health::{self, SILENT};
use crate::settings::SensorChoice;

/// The sensors of a run.
pub(crate) struct Telemetry {
    pub(crate) sensors: Box<dyn Sensors>,
    /// Whether those are a GPU's.
    pub(crate) read: bool,
    pub(crate) gpus: Arc<dyn Gpus>,
    pub(crate) facts: Vec<(String, String)>,
    /// Said once, where the model runs on a GPU that can't be read.
    pub(crate) note: Option<String>,
    /// What the quick checks of `doctor` say of that GPU and of the machine; empty where no GPU's sensors are read.
    pub(crate) checks: Vec<Check>,
}

/// Opens NVML and the sensors that the user chose, in that time. `model_gpu` is the UUID of the GPU that the model runs on.
///
/// Without NVML, or where the model's own GPU can't be read, the run goes on and its sensor metrics are absent; a GPU that
/// the user named must be there. Where no sensors are to be read nothing is opened, unless a plugin asks for the machine's GPUs.
pub(crate) fn open(choice: &SensorChoice, model_gpu: Option<&str>, limit: Duration) -> Result<Telemetry, Failure> {
    let without = |reason: String, note: Option<String>, gpus: MachineGpus, facts: Vec<(String, String)>| {
        let sensors = Box::new(NoSensors { reason });
        Ok(Telemetry { sensors, read: false, gpus: Arc::new(gpus), facts, note, checks: Vec::new() })
    };
    let (gpu, named) = match choice {
        SensorChoice::Off => {
            let reason = "sensors are off (--sensors none)".to_owned();
            return without(reason.clone(), None, MachineGpus::closed(reason), cuda_facts(model_gpu));
        }
        SensorChoice::Auto => match model_gpu {
            Some(uuid) => (uuid.to_owned(), false),
            None => {
                let gpus = MachineGpus { limit, opened: OnceLock::new() };
                return without("the model does not run on a GPU".into(), None, gpus, Vec::new());
            }
        },
        SensorChoice::Index(index) => (index.to_string(), true),
        SensorChoice::Uuid(uuid) => (uuid.clone(), true),
    };
    let nvml = Nvml::open(limit);
    let model_facts = match &nvml {
        Ok(nvml) => facts(nvml, model_gpu),
        Err(_) => cuda_facts(model_gpu),
    };
    let opened = nvml.and_then(|nvml| {
        let default = Options::default();
        let options = Options {
            start_limit: default.start_limit.min(limit),
            stop_limit: default.stop_limit.min(limit),
            ..default
        };
        let sensors = nvml.sampler(&gpu, options)?;
        // Where the sensors are another GPU's than the model's, `gpu.*` stays the model's.
        let other = model_gpu.is_some_and(|model| nvml.uuid(&gpu).as_deref() != Ok(model));
        let prefix = if other { "sensors." } else { "" };
        let more = if other || model_gpu.is_none() { nvml.facts(&gpu) } else { Vec::new() };
        let more: Vec<_> = more.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect();
        let checks = health::quick(&nvml, &gpu);
        // A driver that hung while it said the least of all this is none to measure beside.
        match nvml.silence() {
            Some(refused) => Err(refused),
            None => Ok((nvml, sensors, more, checks)),
        }
    });
    match opened {
        Ok((nvml, sensors, more, checks)) => {
            let facts = model_facts.into_iter().chain(more).collect();
            Ok(Telemetry { sensors, read: true, gpus: Arc::new(nvml), facts, note: None, checks })
        }
        Err(refused) if named => Err(Failure::Usage(format!(
            "the sensors of GPU {} can't be read: {refused}{}",
            visible_line(&gpu),
            what_to_do(&refused, "; --sensors none measures without them")
        ))),
        Err(refused) => {
            let to_do = what_to_do(&refused, "");
            let note = format!("no GPU sensors: {refused}; the run goes on without their metrics{to_do}");
            let reason = refused.to_string();
            without(reason.clone(), Some(note), MachineGpus::closed(reason), model_facts)
        }
    }
}

/// Advice, where the driver does not answer.
fn what_to_do(refused: &Refused, more: &str) -> String {
    if refused.is_silence() { format!("\n{SILENT}{more}") } else { String::new() }
}

/// The machine's GPUs, for plugins. NVML is opened when the first asks.
struct MachineGpus {
    limit: Duration,
    opened: OnceLock<Result<Nvml, String>>,
}

impl MachineGpus {
    /// None can be read, for that reason.
    fn closed(reason: String) -> Self {
        Self { limit: Duration::ZERO, opened: OnceLock::from(Err(reason)) }
    }

    fn nvml(&self) -> Result<&Nvml, &str> {
        let open = || {
            Nvml::open(self.limit).map_err(|refused| {
                if refused.is_silence() {
                    tracing::warn!("the plugin is told of no GPU: {refused}");
                }
                refused.to_string()
            })
        };
        self.opened.get_or_init(open).as_ref().map_err(String::as_str)
    }
}

impl Gpus for MachineGpus {
    fn devices(&self) -> Vec<GpuDevice> {
        self.nvml().map(Gpus::devices).unwrap_or_default()
    }

    fn read(&self, index: u32) -> Result<GpuState, String> {
        self.nvml().map_err(|reason| format!("GPU {index} can't be read: {reason}"))?.read(index)
    }
}

/// What the driver says of the GPU that the model runs on.
fn facts(nvml: &Nvml, model_gpu: Option<&str>) -> Vec<(String, String)> {
    let Some(uuid) = model_gpu else { return Vec::new() };
    let facts = nvml.facts(uuid);
    if facts.iter().any(|(name, _)| name == "gpu.uuid") {
        facts
    } else {
        facts.into_iter().chain(cuda_facts(model_gpu)).collect()
    }
}

/// What CUDA alone says of it, on which the model runs by now.
fn cuda_facts(model_gpu: Option<&str>) -> Vec<(String, String)> {
    let Some(uuid) = model_gpu else { return Vec::new() };
    let name = cuda_devices().ok().and_then(|devices| devices.into_iter().find(|device| device.uuid == uuid));
    let name = name.map(|device| ("gpu.name".to_owned(), device.name));
    name.into_iter().chain([("gpu.uuid".to_owned(), uuid.to_owned())]).collect()
}
