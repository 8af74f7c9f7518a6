//! Finds a GPU, and reads what it says now.

use harness_core::GpuState;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use crate::error::{explain, is_lost};

/// Reasons that NVML gives for clocks below what was asked for, with their names in metrics (`throttled_time_…`).
pub(crate) const HELD_DOWN: [(&str, ThrottleReasons); 5] = [
    ("sw_power_cap", ThrottleReasons::SW_POWER_CAP),
    ("hw_slowdown", ThrottleReasons::HW_SLOWDOWN),
    ("sw_thermal_slowdown", ThrottleReasons::SW_THERMAL_SLOWDOWN),
    ("hw_thermal_slowdown", ThrottleReasons::HW_THERMAL_SLOWDOWN),
    ("hw_power_brake_slowdown", ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN),
];

/// Reasons that are settings and no distress: told of a GPU's state, counted in no metric.
const SET_SO: [(&str, ThrottleReasons); 3] = [
    ("applications_clocks_setting", ThrottleReasons::APPLICATIONS_CLOCKS_SETTING),
    ("sync_boost", ThrottleReasons::SYNC_BOOST),
    ("display_clock_setting", ThrottleReasons::DISPLAY_CLOCK_SETTING),
];

/// The GPU with that UUID, with or without `GPU-` and in either case, or of that number in the driver's order.
pub(crate) fn find<'a>(nvml: &'a Nvml, gpu: &str) -> Result<Device<'a>, String> {
    let gpu = gpu.trim();
    let count = nvml.device_count().map_err(|error| explain(&error))?;
    if let Ok(index) = gpu.parse::<u32>() {
        if index < count {
            return nvml.device_by_index(index).map_err(|error| format!("GPU {index}: {}", explain(&error)));
        }
        return Err(format!("the driver lists no GPU {index}; {}", known(nvml, count)));
    }
    for index in 0..count {
        let Ok(device) = nvml.device_by_index(index) else { continue };
        if device.uuid().is_ok_and(|uuid| same(&uuid, gpu)) {
            return Ok(device);
        }
    }
    // A slice of a partitioned GPU has a UUID and is in no list.
    if gpu.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("MIG-"))
        && let Ok(device) = nvml.device_by_uuid(gpu)
    {
        return Ok(device);
    }
    Err(format!("the driver lists no GPU with the UUID {gpu}; {}", known(nvml, count)))
}

fn same(uuid: &str, wanted: &str) -> bool {
    fn bare(uuid: &str) -> &str {
        match uuid.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("GPU-") => uuid.get(4..).unwrap_or(""),
            _ => uuid,
        }
    }
    !bare(wanted).is_empty() && bare(uuid).eq_ignore_ascii_case(bare(wanted))
}

fn known(nvml: &Nvml, count: u32) -> String {
    let describe = |index| {
        let device = nvml.device_by_index(index)?;
        Ok(format!("{}, {}", device.name()?, device.uuid()?))
    };
    let gpus: Vec<_> = (0..count)
        .map(|index| format!("{index} ({})", describe(index).unwrap_or_else(|error: NvmlError| explain(&error))))
        .collect();
    if gpus.is_empty() { "it lists none".to_owned() } else { format!("it lists {}", gpus.join(", ")) }
}

/// What the GPU says now. Fails only when the GPU is lost; any single sensor may be missing.
pub(crate) fn state(device: &Device<'_>) -> Result<GpuState, String> {
    fn optional<T>(reading: Result<T, NvmlError>) -> Result<Option<T>, String> {
        match reading {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_lost(&error) => Err(explain(&error)),
            Err(_) => Ok(None),
        }
    }
    let utilization = optional(device.utilization_rates())?;
    Ok(GpuState {
        utilization: utilization.as_ref().map(|u| ratio(u.gpu)),
        memory_controller_utilization: utilization.as_ref().map(|u| ratio(u.memory)),
        memory_used: optional(device.memory_info())?.map(|memory| memory.used),
        power: optional(device.power_usage())?.map(milli),
        temperature: optional(device.temperature(TemperatureSensor::Gpu))?.map(f64::from),
        sm_clock: optional(device.clock_info(Clock::SM))?.map(mega),
        memory_clock: optional(device.clock_info(Clock::Memory))?.map(mega),
        throttle_reasons: optional(device.current_throttle_reasons())?.map(reasons).unwrap_or_default(),
    })
}

fn reasons(set: ThrottleReasons) -> Vec<String> {
    HELD_DOWN
        .iter()
        .chain(&SET_SO)
        .filter(|(_, flag)| set.contains(*flag))
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

/// Per cent to a ratio.
pub(crate) fn ratio(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

/// Milliwatts to watts.
pub(crate) fn milli(milliwatts: u32) -> f64 {
    f64::from(milliwatts) / 1e3
}

/// Megahertz to hertz.
pub(crate) fn mega(megahertz: u32) -> f64 {
    f64::from(megahertz) * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_match_whatever_their_form() {
        let uuid = "GPU-2c3fa0e6-8e0a-4b6e-b2a8-0f1f3c9d7e11";
        assert!(same(uuid, uuid));
        assert!(same(uuid, "2C3FA0E6-8E0A-4B6E-B2A8-0F1F3C9D7E11"));
        assert!(same(uuid, "gpu-2c3fa0e6-8e0a-4b6e-b2a8-0f1f3c9d7e11"));
        assert!(!same(uuid, "GPU-2c3fa0e6-8e0a-4b6e-b2a8-0f1f3c9d7e12"));
        assert!(!same(uuid, "GPU-"));
        assert!(!same(uuid, "é"));
    }

    #[test]
    fn settings_are_told_and_idleness_is_not() {
        let set = ThrottleReasons::GPU_IDLE | ThrottleReasons::SYNC_BOOST | ThrottleReasons::SW_POWER_CAP;
        assert_eq!(reasons(set), ["sw_power_cap", "sync_boost"]);
    }
}
