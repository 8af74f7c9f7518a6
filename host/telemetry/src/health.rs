//! What `harness doctor` asks the driver: the state of a GPU before it measures.

use harness_core::doctor::{GpuHealth, GpuProcess, Reading};

use crate::device::{self, mega, milli};
use crate::driver::{Device, Driver};
use crate::error::{Error, Refused, explain, is_not_supported};

/// As [`crate::Nvml::health`].
pub(crate) fn health(driver: &Driver, gpu: &str) -> Result<GpuHealth, Refused> {
    let device = device::find(driver, gpu)?;
    Ok(GpuHealth {
        uuid: device.uuid()?,
        name: device.name().unwrap_or_else(|_| "unnamed GPU".to_owned()),
        processes: told(processes(&device)),
        persistence_mode: told(device.persistence_mode()),
        ecc: told(device.ecc()),
        mig: told(device.mig()),
        power_limit: told(device.power_limit()).map(milli),
        power_limit_default: told(device.power_limit_default()).map(milli),
        sm_clock_application: told(device.sm_clock_application()).map(mega),
        sm_clock_max: told(device.sm_clock_max()).map(mega),
        temperature: told(device.temperature()).map(f64::from),
        temperature_slowdown: told(device.temperature_slowdown()).map(f64::from),
        pcie_generation: told(device.pcie_generation()),
        pcie_generation_max: told(device.pcie_generation_max()),
        pcie_width: told(device.pcie_width()),
        pcie_width_max: told(device.pcie_width_max()),
    })
}

/// Driver and CUDA version.
pub(crate) fn versions(driver: &Driver) -> (Reading<String>, Reading<String>) {
    (told(driver.driver_version()), told(driver.cuda_version()))
}

fn told<T>(reading: Result<T, Error>) -> Reading<T> {
    reading.map_err(|error| explain(&error))
}

fn processes(device: &Device) -> Result<Vec<GpuProcess>, Error> {
    let mut pids = device.compute_processes()?;
    match device.graphics_processes() {
        Ok(graphics) => pids.extend(graphics),
        // A GPU without graphics has none of the other kind.
        Err(error) if is_not_supported(&error) => {}
        Err(error) => return Err(error),
    }
    pids.sort_unstable();
    pids.dedup();
    let name = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned());
    let others = pids.into_iter().filter(|pid| *pid != std::process::id());
    Ok(others.map(|pid| GpuProcess { pid, name: name(pid) }).collect())
}
