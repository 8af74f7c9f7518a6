//! `harness devices`.

use harness_core::text;
use harness_engine::{CudaDevice, cuda_devices};
use harness_telemetry::Nvml;
use serde_json::json;

use crate::args::Devices;
use crate::health::SILENT;
use crate::{Outcome, deliver};

impl Devices {
    pub(crate) fn execute(self) -> Outcome {
        let limit = self.driver.limit();
        let cuda = harness_telemetry::within(limit, "CUDA's cuInit", cuda_devices);
        let cuda = cuda.unwrap_or_else(|silent| Err(silent.to_string()));
        let (nvml, silence) = match Nvml::open(limit) {
            Ok(nvml) => (nvml.details(), nvml.silence()),
            Err(refused) => (Err(refused), None),
        };
        // Also where some was read before the driver fell silent.
        let absent = nvml.as_ref().err().cloned().or(silence);
        let to_do = absent.as_ref().filter(|refused| refused.is_silence()).map(|_| SILENT);
        let absent = absent.map(|refused| refused.to_string());
        let cores = std::thread::available_parallelism().map(usize::from).ok();
        if self.json {
            let devices = cuda.as_ref().map(|devices| {
                devices
                    .iter()
                    .map(|d| {
                        let (major, minor) = d.compute_capability;
                        json!({
                            "device": format!("cuda:{}", d.index), "name": d.name, "uuid": d.uuid, "memory": d.memory,
                            "compute_capability": format!("{major}.{minor}"), "backends": d.backends,
                        })
                    })
                    .collect::<Vec<_>>()
            });
            let report = json!({
                "cpu": {"device": "cpu", "cores": cores, "backends": ["candle"]},
                "cuda": devices.clone().unwrap_or_default(),
                "cuda_absent": devices.err(),
                "nvml": nvml.as_ref().ok(),
                "nvml_absent": absent,
            });
            return deliver::line(&text::json(&format!("{report:#}")));
        }
        deliver::line("devices that a model can run on (--device), and by which backends (--backend)")?;
        deliver::line(&format!("  cpu     {} cores (candle)", cores.map_or("?".into(), |cores| cores.to_string())))?;
        match &cuda {
            Ok(devices) => devices.iter().try_for_each(|d| {
                let memory = gibibytes(d.memory);
                deliver::line(&format!("  cuda:{}  {}  {memory}  {} ({})", d.index, d.name, d.uuid, backends(d)))
            })?,
            Err(reason) => deliver::line(&format!("  no cuda: {reason}"))?,
        }
        deliver::line("\nGPUs whose sensors can be read (--sensors)")?;
        match &nvml {
            Ok(details) => {
                for gpu in &details.gpus {
                    let memory = gpu.memory.map(gibibytes).unwrap_or_default();
                    deliver::line(&format!("  {}  {}  {memory}  {}", gpu.index, gpu.name, gpu.uuid))?;
                }
                for gpu in &details.unreadable {
                    deliver::line(&format!("  {}  can't be read: {}", gpu.index, gpu.reason))?;
                }
                let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "?".into());
                deliver::line(&format!(
                    "\ndriver {}, CUDA {}, NVML {}",
                    version(&details.driver_version),
                    version(&details.cuda_version),
                    version(&details.nvml_version)
                ))?;
            }
            Err(reason) => deliver::line(&format!("  none: {reason}"))?,
        }
        if let (Some(absent), Ok(_)) = (&absent, &nvml) {
            deliver::line(&format!("  not all could be read: {absent}"))?;
        }
        to_do.map_or(Ok(()), |to_do| deliver::line(&format!("  {to_do}")))
    }
}

fn backends(device: &CudaDevice) -> String {
    let (major, minor) = device.compute_capability;
    match device.backends.is_empty() {
        true => format!("none: compute capability {major}.{minor} is too old"),
        false => device.backends.join(", "),
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
