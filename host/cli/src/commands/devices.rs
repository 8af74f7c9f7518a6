//! `harness devices`.

use harness_core::text;
use harness_engine::{CudaDevice, cuda_devices};
use harness_telemetry::Nvml;
use serde_json::json;

use crate::args::Devices;
use crate::{Outcome, deliver};

impl Devices {
    pub(crate) fn execute(self) -> Outcome {
        let cuda = cuda_devices();
        let nvml = Nvml::open().map(|nvml| nvml.details());
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
                "nvml_absent": nvml.as_ref().err(),
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
                let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "?".into());
                deliver::line(&format!(
                    "\ndriver {}, CUDA {}, NVML {}",
                    version(&details.driver_version),
                    version(&details.cuda_version),
                    version(&details.nvml_version)
                ))
            }
            Err(reason) => deliver::line(&format!("  none: {reason}")),
        }
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
