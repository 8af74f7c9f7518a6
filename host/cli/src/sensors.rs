//! Chooses the GPU whose sensors are read.

use std::sync::Arc;

use harness_core::doctor::Check;
use harness_core::{Gpus, NoGpus, NoSensors, Sensors};
use harness_telemetry::{Nvml, Options};

use crate::failure::Failure;
use crate::health;
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

/// Opens NVML and the sensors that the user chose. `model_gpu` is the UUID of the GPU that the model runs on.
///
/// Without NVML, or where the model's own GPU can't be read, the run goes on and its sensor metrics are absent; a GPU that
/// the user named must be there.
pub(crate) fn open(choice: &SensorChoice, model_gpu: Option<&str>) -> Result<Telemetry, Failure> {
    let nvml = Nvml::open();
    let gpus: Arc<dyn Gpus> = match &nvml {
        Ok(nvml) => Arc::new(nvml.clone()),
        Err(_) => Arc::new(NoGpus),
    };
    let model_facts = match &nvml {
        Ok(nvml) => facts(nvml, model_gpu),
        Err(_) => uuid_fact(model_gpu),
    };
    let without = |reason: String, note: Option<String>, gpus: Arc<dyn Gpus>, facts: Vec<(String, String)>| {
        Ok(Telemetry { sensors: Box::new(NoSensors { reason }), read: false, gpus, facts, note, checks: Vec::new() })
    };
    let (gpu, named) = match choice {
        SensorChoice::Off => return without("sensors are off (--sensors none)".into(), None, gpus, model_facts),
        SensorChoice::Auto => match model_gpu {
            Some(uuid) => (uuid.to_owned(), false),
            None => return without("the model does not run on a GPU".into(), None, gpus, model_facts),
        },
        SensorChoice::Index(index) => (index.to_string(), true),
        SensorChoice::Uuid(uuid) => (uuid.clone(), true),
    };
    let opened = nvml.and_then(|nvml| {
        let sensors = nvml.sampler(&gpu, Options::default())?;
        // Where the sensors are another GPU's than the model's, `gpu.*` stays the model's.
        let other = model_gpu.is_some_and(|model| nvml.uuid(&gpu).as_deref() != Ok(model));
        let prefix = if other { "sensors." } else { "" };
        let more = if other || model_gpu.is_none() { nvml.facts(&gpu) } else { Vec::new() };
        let more: Vec<_> = more.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect();
        Ok((sensors, more, health::quick(&nvml, &gpu)))
    });
    match opened {
        Ok((sensors, more, checks)) => {
            let facts = model_facts.into_iter().chain(more).collect();
            Ok(Telemetry { sensors, read: true, gpus, facts, note: None, checks })
        }
        Err(reason) if named => Err(Failure::usage(format!("the sensors of GPU {gpu} can't be read: {reason}"))),
        Err(reason) => {
            let note = format!("no GPU sensors: {reason}; the run goes on without their metrics");
            without(reason, Some(note), gpus, model_facts)
        }
    }
}

/// What the driver says of the GPU that the model runs on.
fn facts(nvml: &Nvml, model_gpu: Option<&str>) -> Vec<(String, String)> {
    let facts = model_gpu.map(|uuid| nvml.facts(uuid)).unwrap_or_default();
    if facts.is_empty() { uuid_fact(model_gpu) } else { facts }
}

/// What CUDA alone says of it.
fn uuid_fact(model_gpu: Option<&str>) -> Vec<(String, String)> {
    model_gpu.map(|uuid| ("gpu.uuid".to_owned(), uuid.to_owned())).into_iter().collect()
}
