//! What does not change through a run: the driver, the GPUs, their limits.

use nvml_wrapper::enum_wrappers::device::Clock;
use nvml_wrapper::{Device, Nvml, cuda_driver_version_major, cuda_driver_version_minor};
use serde::Serialize;

use crate::device;

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
pub(crate) fn details(nvml: &Nvml) -> Details {
    let count = nvml.device_count().unwrap_or(0);
    let gpus = (0..count).filter_map(|index| gpu(index, &nvml.device_by_index(index).ok()?)).collect();
    Details {
        driver_version: nvml.sys_driver_version().ok(),
        cuda_version: cuda_version(nvml),
        nvml_version: nvml.sys_nvml_version().ok(),
        gpus,
    }
}

fn gpu(index: u32, device: &Device<'_>) -> Option<GpuDetails> {
    let memory = device.memory_info().ok();
    Some(GpuDetails {
        index,
        uuid: device.uuid().ok()?,
        name: device.name().unwrap_or_else(|_| "unnamed GPU".to_owned()),
        memory: memory.as_ref().map(|memory| memory.total),
        memory_used: memory.as_ref().map(|memory| memory.used),
        pci_bus_id: device.pci_info().ok().map(|pci| pci.bus_id),
        compute_capability: device.cuda_compute_capability().ok().map(|c| format!("{}.{}", c.major, c.minor)),
        mig: mig(device),
    })
}

/// As [`crate::Nvml::facts`].
pub(crate) fn facts(nvml: &Nvml, gpu: &str) -> Vec<(String, String)> {
    let mut facts = Facts(Vec::new());
    facts.add("driver.version", nvml.sys_driver_version().ok());
    facts.add("cuda.version", cuda_version(nvml));
    facts.add("nvml.version", nvml.sys_nvml_version().ok());
    if let Ok(device) = device::find(nvml, gpu) {
        of_gpu(&mut facts, &device);
    }
    facts.0
}

fn of_gpu(facts: &mut Facts, device: &Device<'_>) {
    facts.add("gpu.name", device.name().ok());
    facts.add("gpu.uuid", device.uuid().ok());
    facts.add("gpu.index", device.index().ok());
    facts.add("gpu.pci_bus_id", device.pci_info().ok().map(|pci| pci.bus_id));
    facts.add("gpu.vbios", device.vbios_version().ok());
    facts.add("gpu.memory", device.memory_info().ok().map(|memory| memory.total));
    facts.add("gpu.power_limit", device.power_management_limit().ok().map(device::milli));
    facts.add("gpu.power_limit_default", device.power_management_limit_default().ok().map(device::milli));
    facts.add("gpu.ecc", device.is_ecc_enabled().ok().map(|ecc| on_off(ecc.currently_enabled)));
    facts.add("gpu.mig", mig(device).map(on_off));
    facts.add("gpu.sm_clock_max", device.max_clock_info(Clock::SM).ok().map(device::mega));
    facts.add("gpu.memory_clock_max", device.max_clock_info(Clock::Memory).ok().map(device::mega));
    facts.add("gpu.memory_bus_width", device.memory_bus_width().ok());
    facts.add("gpu.persistence_mode", device.is_in_persistent_mode().ok().map(on_off));
    facts.add("gpu.pcie_generation", device.current_pcie_link_gen().ok());
    facts.add("gpu.pcie_generation_max", device.max_pcie_link_gen().ok());
    facts.add("gpu.pcie_width", device.current_pcie_link_width().ok());
    facts.add("gpu.pcie_width_max", device.max_pcie_link_width().ok());
}

struct Facts(Vec<(String, String)>);

impl Facts {
    fn add(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.push((name.to_owned(), value.to_string()));
        }
    }
}

pub(crate) fn cuda_version(nvml: &Nvml) -> Option<String> {
    let version = nvml.sys_cuda_driver_version().ok()?;
    Some(format!("{}.{}", cuda_driver_version_major(version), cuda_driver_version_minor(version)))
}

fn mig(device: &Device<'_>) -> Option<bool> {
    device.mig_mode().ok().map(|mode| mode.current != 0)
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
