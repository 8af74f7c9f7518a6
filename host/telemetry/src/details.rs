//! What does not change through a run: the driver, the GPUs, their limits.

use serde::Serialize;

use crate::device;
use crate::driver::{Device, Driver};
use crate::error::{Error, Refused, explain, is_not_supported};

/// The driver and its GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// The NVIDIA driver's version.
    pub driver_version: Option<String>,
    /// The newest CUDA that the driver serves, as `13.0`.
    pub cuda_version: Option<String>,
    /// NVML's version.
    pub nvml_version: Option<String>,
    /// In the driver's order, which is not CUDA's.
    pub gpus: Vec<GpuDetails>,
    /// Those that do not say which they are.
    pub unreadable: Vec<UnreadableGpu>,
}

/// A GPU that the driver counts, and that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableGpu {
    /// The driver's number.
    pub index: u32,
    /// Why, as a clause.
    pub reason: String,
}

/// One GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GpuDetails {
    /// The driver's number.
    pub index: u32,
    /// `GPU-…`
    pub uuid: String,
    /// Product name.
    pub name: String,
    /// Bytes, those that the driver keeps for itself included.
    pub memory: Option<u64>,
    /// Bytes in use now, by every process.
    pub memory_used: Option<u64>,
    /// As `00000000:01:00.0`.
    pub pci_bus_id: Option<String>,
    /// CUDA compute capability, as `9.0`.
    pub compute_capability: Option<String>,
    /// Whether the GPU is partitioned into MIG instances.
    pub mig: Option<bool>,
}

/// As [`crate::Nvml::details`].
pub(crate) fn details(driver: &Driver) -> Result<Details, Refused> {
    let mut details = Details {
        driver_version: driver.driver_version().ok(),
        cuda_version: driver.cuda_version().ok(),
        nvml_version: driver.nvml_version().ok(),
        ..Details::default()
    };
    for index in 0..driver.count()? {
        match driver.device(index).and_then(|device| gpu(index, &device)) {
            Ok(gpu) => details.gpus.push(gpu),
            Err(error) => details.unreadable.push(UnreadableGpu { index, reason: explain(&error) }),
        }
    }
    Ok(details)
}

fn gpu(index: u32, device: &Device) -> Result<GpuDetails, Error> {
    let uuid = device.uuid()?;
    let memory = device.memory().ok();
    Ok(GpuDetails {
        index,
        uuid,
        name: device.name().unwrap_or_else(|_| "unnamed GPU".to_owned()),
        memory: memory.map(|memory| memory.total),
        memory_used: memory.map(|memory| memory.used),
        pci_bus_id: device.pci_bus_id().ok(),
        compute_capability: device.compute_capability().ok(),
        mig: device.mig().ok(),
    })
}

/// As [`crate::Nvml::facts`].
pub(crate) fn facts(driver: &Driver, gpu: &str) -> Vec<(String, String)> {
    let mut facts = Facts::default();
    facts.add("driver.version", driver.driver_version());
    facts.add("cuda.version", driver.cuda_version());
    facts.add("nvml.version", driver.nvml_version());
    match device::find(driver, gpu) {
        Ok(device) => of_gpu(&mut facts, &device),
        Err(refused) if refused.is_silence() => {}
        Err(refused) => facts.unsaid.push(format!("gpu.*: {refused}")),
    }
    if !facts.unsaid.is_empty() {
        tracing::warn!("the recording will lack what the driver does not say: {}", facts.unsaid.join("; "));
    }
    facts.said
}

fn of_gpu(facts: &mut Facts, device: &Device) {
    facts.add("gpu.name", device.name());
    facts.add("gpu.uuid", device.uuid());
    facts.add("gpu.index", device.index());
    facts.add("gpu.pci_bus_id", device.pci_bus_id());
    facts.add("gpu.vbios", device.vbios());
    facts.add("gpu.memory", device.memory().map(|memory| memory.total));
    facts.add("gpu.power_limit", device.power_limit().map(device::milli));
    facts.add("gpu.power_limit_default", device.power_limit_default().map(device::milli));
    facts.add("gpu.ecc", device.ecc().map(on_off));
    facts.add("gpu.mig", device.mig().map(on_off));
    facts.add("gpu.sm_clock_max", device.sm_clock_max().map(device::mega));
    facts.add("gpu.memory_clock_max", device.memory_clock_max().map(device::mega));
    facts.add("gpu.memory_bus_width", device.memory_bus_width());
    facts.add("gpu.persistence_mode", device.persistence_mode().map(on_off));
    facts.add("gpu.pcie_generation", device.pcie_generation());
    facts.add("gpu.pcie_generation_max", device.pcie_generation_max());
    facts.add("gpu.pcie_width", device.pcie_width());
    facts.add("gpu.pcie_width_max", device.pcie_width_max());
}

#[derive(Default)]
struct Facts {
    said: Vec<(String, String)>,
    /// What should be there, with the reason.
    unsaid: Vec<String>,
}

impl Facts {
    fn add(&mut self, name: &str, value: Result<impl ToString, Error>) {
        match value {
            Ok(value) => self.said.push((name.to_owned(), value.to_string())),
            // What a GPU does not have is no loss, and silence is told by who asked.
            Err(error) if is_not_supported(&error) || matches!(error, Error::Silent(_)) => {}
            Err(error) => self.unsaid.push(format!("{name}: {}", explain(&error))),
        }
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
