//! Reads what `doctor` judges. Nothing here fails or hangs: what can't be read is said.

use std::sync::mpsc;
use std::time::Duration;

use harness_core::doctor::{self, Check, Reading, Verdict};
use harness_telemetry::Nvml;

use crate::machine::Machine;
use crate::plugins;

/// How long the driver may take to answer everything.
const DRIVER_TIME: Duration = Duration::from_secs(10);

/// What was found of one GPU.
pub(crate) struct GpuChecks {
    /// Name and UUID, as they are printed.
    pub(crate) gpu: String,
    pub(crate) checks: Vec<Check>,
}

/// What can be told in moments: of the GPU given as `--sensors` takes it, and of the machine but for its load.
pub(crate) fn quick(nvml: &Nvml, gpu: &str) -> Vec<Check> {
    let (nvml, gpu) = (nvml.clone(), gpu.to_owned());
    let health = in_time(move || nvml.health(&gpu));
    let mut checks = health.map_or_else(|reason| vec![Check::no_gpu(reason)], |health| doctor::of_gpu(&health));
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

/// All that is looked at: of the machine and the driver, and of each GPU.
pub(crate) fn thorough() -> (Vec<Check>, Vec<GpuChecks>) {
    let mut checks = doctor::of_machine(&Machine::this().health(true));
    checks.push(doctor::of_confinement(&plugins::confinement()));
    let read = || {
        let nvml = Nvml::open()?;
        let gpus: Vec<_> = nvml
            .details()
            .gpus
            .into_iter()
            .map(|gpu| (format!("{} ({})", gpu.name, gpu.uuid), nvml.health(&gpu.uuid)))
            .collect();
        Ok((nvml.versions(), gpus))
    };
    match in_time(read) {
        Err(reason) => {
            checks.push(Check::no_gpu(reason));
            (checks, Vec::new())
        }
        Ok(((driver, cuda), gpus)) => {
            checks.extend(doctor::of_driver(&driver, &cuda));
            let of = |(gpu, health): (String, Result<_, _>)| GpuChecks {
                gpu,
                checks: health.map_or_else(|reason| vec![Check::no_gpu(reason)], |health| doctor::of_gpu(&health)),
            };
            (checks, gpus.into_iter().map(of).collect())
        }
    }
}

/// What a function gives, unless it takes too long; its thread is left behind then.
fn in_time<T: Send + 'static>(read: impl FnOnce() -> Reading<T> + Send + 'static) -> Reading<T> {
    let (give, take) = mpsc::channel();
    let started = std::thread::Builder::new().name("doctor".into()).spawn(move || {
        let _ = give.send(read());
    });
    started.map_err(|error| format!("no thread could be started: {error}"))?;
    take.recv_timeout(DRIVER_TIME)
        .unwrap_or_else(|_| Err(format!("the driver did not answer in {} s", DRIVER_TIME.as_secs())))
}
