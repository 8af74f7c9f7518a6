//! What does not change through a run: the driver, the GPUs, their limits.

use serde::Serialize;

use crate::device;
use crate::driver::{Device, Driver};
use crate::error::{Error, Refused, explain};

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
    let mut facts = Facts(Vec::new());
    facts.add("driver.version", driver.driver_version().ok());
    facts.add("cuda.version", driver.cuda_version().ok());
    facts.add("nvml.version", driver.nvml_version().ok());
    if let Ok(device) = device::find(driver, gpu) {
        of_gpu(&mut facts, &device);
    }
    facts.0
}

fn of_gpu(facts: &mut Facts, device: &Device) {
    facts.add("gpu.name", device.name().ok());
    facts.add("gpu.uuid", device.uuid().ok());
    facts.add("gpu.index", device.index().ok());
    facts.add("gpu.pci_bus_id", device.pci_bus_id().ok());
    facts.add("gpu.vbios", device.vbios().ok());
    facts.add("gpu.memory", device.memory().ok().map(|memory| memory.total));
    facts.add("gpu.power_limit", device.power_limit().ok().map(device::milli));
    facts.add("gpu.power_limit_default", device.power_limit_default().ok().map(device::milli));
    facts.add("gpu.ecc", device.ecc().ok().map(on_off));
    facts.add("gpu.mig", device.mig().ok().map(on_off));
    facts.add("gpu.sm_clock_max", device.sm_clock_max().ok().map(device::mega));
    facts.add("gpu.memory_clock_max", device.memory_clock_max().ok().map(device::mega));
    facts.add("gpu.memory_bus_width", device.memory_bus_width().ok());
    facts.add("gpu.persistence_mode", device.persistence_mode().ok().map(on_off));
    facts.add("gpu.pcie_generation", device.pcie_generation().ok());
    facts.add("gpu.pcie_generation_max", device.pcie_generation_max().ok());
    facts.add("gpu.pcie_width", device.pcie_width().ok());
    facts.add("gpu.pcie_width_max", device.pcie_width_max().ok());
}

struct Facts(Vec<(String, String)>);

impl Facts {
    fn add(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.push((name.to_owned(), value.to_string()));
        }
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
