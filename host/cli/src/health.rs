//! Reads what `doctor` judges. Nothing here fails or hangs: what can't be read is said.

use std::time::Duration;

use harness_core::doctor::{self, Check, GpuHealth, Verdict};
use harness_telemetry::{Nvml, Refused};

use crate::machine::Machine;
use crate::plugins;

/// What to do about a driver that does not answer.
pub(crate) const SILENT: &str = "see whether `nvidia-smi` answers: if it hangs too, reset the GPU or restart the machine; if it is only slow, allow more \
     with --max-driver-time";

/// What was found of one GPU.
pub(crate) struct GpuChecks {
    /// Name and UUID, as they are printed.
    pub(crate) gpu: String,
    pub(crate) checks: Vec<Check>,
}

/// What can be told in moments: of the GPU given as `--sensors` takes it, and of the machine but for its load.
pub(crate) fn quick(nvml: &Nvml, gpu: &str) -> Vec<Check> {
    let mut checks = of_gpu(nvml.health(gpu));
    // What the GPU does not have is no check that was missed.
    let missed = checks.iter().filter(|c| c.verdict == Verdict::NotKnown && !c.found.contains("NOT_SUPPORTED"));
    let missed: Vec<String> = missed.map(Check::line).collect();
    if !missed.is_empty() && nvml.silence().is_none() {
        tracing::warn!("not looked at before the test: {}", missed.join("; "));
    }
    checks.extend(machine());
    checks
}

/// The same of the machine alone.
pub(crate) fn machine() -> Vec<Check> {
    doctor::of_machine(&Machine::this().health(false))
}

/// What a recording has of checks that did not pass: facts `check.NAME`.
pub(crate) fn facts(checks: &[Check]) -> impl Iterator<Item = (String, String)> {
    let noted = checks.iter().filter(|check| matches!(check.verdict, Verdict::Note | Verdict::Warning));
    noted.map(|check| (format!("check.{}", check.name), format!("{}: {}", check.verdict.as_str(), check.found)))
}

/// All that is looked at, for which the driver has so much time: of the machine and the driver, and of each GPU.
pub(crate) fn thorough(limit: Duration) -> (Vec<Check>, Vec<GpuChecks>) {
    let mut checks = doctor::of_machine(&Machine::this().health(true));
    checks.push(doctor::of_confinement(&plugins::confinement()));
    let nvml = match Nvml::open(limit) {
        Ok(nvml) => nvml,
        Err(refused) => {
            checks.push(no_gpu(&refused));
            return (checks, Vec::new());
        }
    };
    let (driver, cuda) = nvml.versions();
    checks.extend(doctor::of_driver(&driver, &cuda));
    let gpus = match nvml.details() {
        Ok(details) => {
            let readable = details.gpus.into_iter().map(|gpu| GpuChecks {
                gpu: format!("{} ({})", gpu.name, gpu.uuid),
                checks: of_gpu(nvml.health(&gpu.uuid)),
            });
            let unreadable = details.unreadable.into_iter().map(|gpu| GpuChecks {
                gpu: format!("GPU {}", gpu.index),
                checks: vec![Check { advice: String::new(), ..Check::no_gpu(gpu.reason) }],
            });
            readable.chain(unreadable).collect()
        }
        Err(refused) => {
            checks.push(no_gpu(&refused));
            Vec::new()
        }
    };
    // What was not read for it says so itself; what to do is said once.
    if let Some(silence) = nvml.silence().filter(|_| !checks.iter().any(|check| check.advice == SILENT)) {
        checks.push(no_gpu(&silence));
    }
    (checks, gpus)
}

fn of_gpu(health: Result<GpuHealth, Refused>) -> Vec<Check> {
    health.map_or_else(|refused| vec![no_gpu(&refused)], |health| doctor::of_gpu(&health))
}

/// That a GPU or the driver can't be read, with what to do.
fn no_gpu(refused: &Refused) -> Check {
    let check = Check::no_gpu(refused.to_string());
    if refused.is_silence() { Check { advice: SILENT.into(), ..check } } else { check }
}
