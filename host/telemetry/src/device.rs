//! Finds a GPU, and reads what it says now.

use harness_core::GpuState;
use nvml_wrapper::bitmasks::device::ThrottleReasons;

use crate::driver::{Device, Driver};
use crate::error::{Error, Refused, explain, is_lost};

/// Reasons that NVML gives for clocks below what was asked for, with their names in metrics (`throttled_time_…`).
pub(crate) const HELD_DOWN: [(&str, u64); 5] = [
    ("sw_power_cap", ThrottleReasons::SW_POWER_CAP.bits()),
    ("hw_slowdown", ThrottleReasons::HW_SLOWDOWN.bits()),
    ("sw_thermal_slowdown", ThrottleReasons::SW_THERMAL_SLOWDOWN.bits()),
    ("hw_thermal_slowdown", ThrottleReasons::HW_THERMAL_SLOWDOWN.bits()),
    ("hw_power_brake_slowdown", ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN.bits()),
];

/// Reasons that are settings and no distress: told of a GPU's state, counted in no metric.
const SET_SO: [(&str, u64); 3] = [
    ("applications_clocks_setting", ThrottleReasons::APPLICATIONS_CLOCKS_SETTING.bits()),
    ("sync_boost", ThrottleReasons::SYNC_BOOST.bits()),
    ("display_clock_setting", ThrottleReasons::DISPLAY_CLOCK_SETTING.bits()),
];

/// The GPU with that UUID, with or without `GPU-` and in either case, or of that number in the driver's order.
pub(crate) fn find(driver: &Driver, gpu: &str) -> Result<Device, Refused> {
    let gpu = gpu.trim();
    let count = driver.count()?;
    if let Ok(index) = gpu.parse::<u32>() {
        if index < count {
            return driver.device(index).map_err(|error| about(index, error));
        }
        return Err(Refused::new(format!("the driver lists no GPU {index}; {}", known(driver, count))));
    }
    let mut found: Option<(u32, Device)> = None;
    for index in 0..count {
        match driver.device(index).and_then(|device| Ok((device.uuid()?, device))) {
            Ok((uuid, device)) if same(&uuid, gpu) => {
                if let Some((other, _)) = found {
                    let both = format!("the driver gives the GPUs {other} and {index} the same UUID, {gpu}");
                    return Err(Refused::new(both));
                }
                found = Some((index, device));
            }
            Err(error @ Error::Silent(_)) => return Err(error.into()),
            // Another GPU's failure is no concern of this one; where this one fails, the list says so.
            Ok(_) | Err(_) => {}
        }
    }
    if let Some((_, device)) = found {
        return Ok(device);
    }
    // A slice of a partitioned GPU has a UUID and is in no list.
    if gpu.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("MIG-"))
        && let Ok(device) = driver.device_by_uuid(gpu)
    {
        return Ok(device);
    }
    Err(Refused::new(format!("the driver lists no GPU with the UUID {gpu}; {}", known(driver, count))))
}

fn about(index: u32, error: Error) -> Refused {
    match error {
        Error::Silent(_) => error.into(),
        error => Refused::new(format!("GPU {index}: {}", explain(&error))),
    }
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

fn known(driver: &Driver, count: u32) -> String {
    let describe = |index| {
        let device = driver.device(index)?;
        Ok(format!("{}, {}", device.name()?, device.uuid()?))
    };
    let gpus: Vec<_> = (0..count)
        .map(|index| format!("{index} ({})", describe(index).unwrap_or_else(|error: Error| explain(&error))))
        .collect();
    if gpus.is_empty() { "it lists none".to_owned() } else { format!("it lists {}", gpus.join(", ")) }
}

/// What the GPU says now. Fails only when the GPU is lost or the driver silent; any single sensor may be missing.
pub(crate) fn state(device: &Device) -> Result<GpuState, String> {
    fn optional<T>(reading: Result<T, Error>) -> Result<Option<T>, String> {
        match reading {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_lost(&error) || matches!(error, Error::Silent(_)) => Err(explain(&error)),
            Err(_) => Ok(None),
        }
    }
    let utilization = optional(device.utilization())?;
    Ok(GpuState {
        utilization: utilization.map(|(gpu, _)| ratio(gpu)),
        memory_controller_utilization: utilization.map(|(_, memory_controller)| ratio(memory_controller)),
        memory_used: optional(device.memory())?.map(|memory| memory.used),
        power: optional(device.power())?.map(milli),
        temperature: optional(device.temperature())?.map(f64::from),
        sm_clock: optional(device.sm_clock())?.map(mega),
        memory_clock: optional(device.memory_clock())?.map(mega),
        throttle_reasons: optional(device.throttle_reasons())?.map(reasons).unwrap_or_default(),
    })
}

fn reasons(set: u64) -> Vec<String> {
    HELD_DOWN.iter().chain(&SET_SO).filter(|(_, flag)| set & *flag != 0).map(|(name, _)| (*name).to_owned()).collect()
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
        assert_eq!(reasons(set.bits()), ["sw_power_cap", "sync_boost"]);
    }
}
