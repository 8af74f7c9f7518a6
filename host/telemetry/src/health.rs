//! What `harness doctor` asks the driver: the state of a GPU before it measures.

use harness_core::doctor::{GpuHealth, GpuProcess, Reading};
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor, TemperatureThreshold};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use crate::device::{mega, milli};
use crate::error::explain;

/// As [`crate::Nvml::health`].
pub(crate) fn health(nvml: &Nvml, gpu: &str) -> Result<GpuHealth, String> {
    let device = crate::device::find(nvml, gpu)?;
    Ok(GpuHealth {
        uuid: device.uuid().map_err(|error| explain(&error))?,
        name: device.name().unwrap_or_else(|_| "unnamed GPU".to_owned()),
        processes: processes(&device),
        persistence_mode: told(device.is_in_persistent_mode()),
        ecc: told(device.is_ecc_enabled()).map(|ecc| ecc.currently_enabled),
        mig: told(device.mig_mode()).map(|mode| mode.current != 0),
        power_limit: told(device.power_management_limit()).map(milli),
        power_limit_default: told(device.power_management_limit_default()).map(milli),
        sm_clock_application: told(device.applications_clock(Clock::SM)).map(mega),
        sm_clock_max: told(device.max_clock_info(Clock::SM)).map(mega),
        temperature: told(device.temperature(TemperatureSensor::Gpu)).map(f64::from),
        temperature_slowdown: told(device.temperature_threshold(TemperatureThreshold::Slowdown)).map(f64::from),
        pcie_generation: told(device.current_pcie_link_gen()),
        pcie_generation_max: told(device.max_pcie_link_gen()),
        pcie_width: told(device.current_pcie_link_width()),
        pcie_width_max: told(device.max_pcie_link_width()),
    })
}

/// Driver and CUDA version.
pub(crate) fn versions(nvml: &Nvml) -> (Reading<String>, Reading<String>) {
    let cuda = crate::details::cuda_version(nvml).ok_or_else(|| "the driver does not say".to_owned());
    (told(nvml.sys_driver_version()), cuda)
}

fn told<T>(reading: Result<T, NvmlError>) -> Reading<T> {
    reading.map_err(|error| explain(&error))
}

fn processes(device: &Device<'_>) -> Reading<Vec<GpuProcess>> {
    let compute = told(device.running_compute_processes())?;
    // A GPU without graphics has none of the other kind.
    let graphics = device.running_graphics_processes().unwrap_or_default();
    let mut pids: Vec<u32> = compute.iter().chain(&graphics).map(|process| process.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let name = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned());
    let others = pids.into_iter().filter(|pid| *pid != std::process::id());
    Ok(others.map(|pid| GpuProcess { pid, name: name(pid) }).collect())
}
