//! What NVML says of one GPU.

use nvml_wrapper_sys::bindings as nvml;

use super::{Driver, Handle, ask, check, text};
use crate::error::{Error, nonsense};
use crate::plausible::{self, within};

/// One GPU.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(super) driver: Driver,
    pub(super) handle: Handle,
}

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Those that the driver keeps for itself included.
    pub(crate) total: u64,
    /// By every process.
    pub(crate) used: u64,
}

const SM: u32 = nvml::nvmlClockType_enum_NVML_CLOCK_SM;
const MEMORY: u32 = nvml::nvmlClockType_enum_NVML_CLOCK_MEM;
const GPU: u32 = nvml::nvmlTemperatureSensors_enum_NVML_TEMPERATURE_GPU;
const SLOWDOWN: u32 = nvml::nvmlTemperatureThresholds_enum_NVML_TEMPERATURE_THRESHOLD_SLOWDOWN;

/// Functions that write one figure, with the bounds of what it can be.
macro_rules! figures {
    ($($name:ident: $function:ident($($argument:expr),*) -> $type:ty, $bounds:ident;)*) => {
        impl Device {
            $(pub(crate) fn $name(&self) -> Result<$type, Error> {
                let handle = self.handle;
                ask!(self.driver, $function, |f| {
                    let mut value: $type = 0;
                    // SAFETY: as nvml.h has it: the handle is the library's own, and there is a place for the answer.
                    check(unsafe { f(handle.raw(), $($argument,)* &raw mut value) })?;
                    within(stringify!($function), value, &plausible::$bounds)
                })
            })*
        }
    };
}

figures! {
    index: nvmlDeviceGetIndex() -> u32, GPUS;
    temperature: nvmlDeviceGetTemperature(GPU) -> u32, TEMPERATURE;
    temperature_slowdown: nvmlDeviceGetTemperatureThreshold(SLOWDOWN) -> u32, TEMPERATURE;
    sm_clock: nvmlDeviceGetClockInfo(SM) -> u32, CLOCK;
    memory_clock: nvmlDeviceGetClockInfo(MEMORY) -> u32, CLOCK;
    sm_clock_max: nvmlDeviceGetMaxClockInfo(SM) -> u32, CLOCK;
    memory_clock_max: nvmlDeviceGetMaxClockInfo(MEMORY) -> u32, CLOCK;
    sm_clock_application: nvmlDeviceGetApplicationsClock(SM) -> u32, CLOCK;
    throttle_reasons: nvmlDeviceGetCurrentClocksThrottleReasons() -> u64, REASONS;
    power: nvmlDeviceGetPowerUsage() -> u32, POWER;
    power_limit: nvmlDeviceGetPowerManagementLimit() -> u32, POWER;
    power_limit_default: nvmlDeviceGetPowerManagementDefaultLimit() -> u32, POWER;
    energy: nvmlDeviceGetTotalEnergyConsumption() -> u64, ENERGY;
    persistence_switch: nvmlDeviceGetPersistenceMode() -> u32, SWITCH;
    memory_bus_width: nvmlDeviceGetMemoryBusWidth() -> u32, BUS_WIDTH;
    pcie_generation: nvmlDeviceGetCurrPcieLinkGeneration() -> u32, PCIE_GENERATION;
    pcie_generation_max: nvmlDeviceGetMaxPcieLinkGeneration() -> u32, PCIE_GENERATION;
    pcie_width: nvmlDeviceGetCurrPcieLinkWidth() -> u32, PCIE_WIDTH;
    pcie_width_max: nvmlDeviceGetMaxPcieLinkWidth() -> u32, PCIE_WIDTH;
}

/// Functions that write a present and a future setting.
macro_rules! switches {
    ($($name:ident: $function:ident;)*) => {
        impl Device {
            $(pub(crate) fn $name(&self) -> Result<bool, Error> {
                let handle = self.handle;
                ask!(self.driver, $function, |f| {
                    let (mut present, mut future) = (0, 0);
                    // SAFETY: as above, with two places.
                    check(unsafe { f(handle.raw(), &raw mut present, &raw mut future) })?;
                    within(stringify!($function), present, &plausible::SWITCH).map(|switch| switch == 1)
                })
            })*
        }
    };
}

switches! {
    ecc: nvmlDeviceGetEccMode;
    mig: nvmlDeviceGetMigMode;
}

/// Functions that write text.
macro_rules! texts {
    ($($name:ident: $function:ident;)*) => {
        impl Device {
            $(pub(crate) fn $name(&self) -> Result<String, Error> {
                let handle = self.handle;
                ask!(self.driver, $function, |f| {
                    // SAFETY: as above; there is the room that is named.
                    text(stringify!($function), |place, room| unsafe { f(handle.raw(), place, room) })
                })
            })*
        }
    };
}

texts! {
    uuid: nvmlDeviceGetUUID;
    name: nvmlDeviceGetName;
    vbios: nvmlDeviceGetVbiosVersion;
}

impl Device {
    /// Whether the driver stays loaded without a client.
    pub(crate) fn persistence_mode(&self) -> Result<bool, Error> {
        self.persistence_switch().map(|switch| switch == 1)
    }

    /// Per cent of the driver's last window: the GPU's time, and its memory controller's.
    pub(crate) fn utilization(&self) -> Result<(u32, u32), Error> {
        let handle = self.handle;
        ask!(self.driver, nvmlDeviceGetUtilizationRates, |f| {
            let mut rates = nvml::nvmlUtilization_t { gpu: 0, memory: 0 };
            // SAFETY: as above.
            check(unsafe { f(handle.raw(), &raw mut rates) })?;
            let share = |value| within("nvmlDeviceGetUtilizationRates", value, &plausible::SHARE);
            Ok((share(rates.gpu)?, share(rates.memory)?))
        })
    }

    pub(crate) fn memory(&self) -> Result<Memory, Error> {
        const FUNCTION: &str = "nvmlDeviceGetMemoryInfo_v2";
        let handle = self.handle;
        ask!(self.driver, nvmlDeviceGetMemoryInfo_v2, |f| {
            // What nvml.h's NVML_STRUCT_VERSION(Memory, 2) is.
            let version = (size_of::<nvml::nvmlMemory_v2_t>() | (2 << 24)) as u32;
            let mut memory = nvml::nvmlMemory_v2_t { version, total: 0, reserved: 0, free: 0, used: 0 };
            // SAFETY: as above, and the struct says its version.
            check(unsafe { f(handle.raw(), &raw mut memory) })?;
            let total = within(FUNCTION, memory.total, &plausible::MEMORY)?;
            match memory.used {
                used if used > total => nonsense(FUNCTION, format!("{used} bytes in use of {total}")),
                used => Ok(Memory { total, used }),
            }
        })
    }

    /// As `00000000:01:00.0`.
    pub(crate) fn pci_bus_id(&self) -> Result<String, Error> {
        let handle = self.handle;
        ask!(self.driver, nvmlDeviceGetPciInfo_v3, |f| {
            let mut pci = nvml::nvmlPciInfo_t {
                busIdLegacy: [0; 16],
                domain: 0,
                bus: 0,
                device: 0,
                pciDeviceId: 0,
                pciSubSystemId: 0,
                busId: [0; 32],
            };
            // SAFETY: as above.
            check(unsafe { f(handle.raw(), &raw mut pci) })?;
            plausible::text("nvmlDeviceGetPciInfo_v3", &pci.busId.map(|byte| byte as u8))
        })
    }

    /// CUDA compute capability, as `9.0`.
    pub(crate) fn compute_capability(&self) -> Result<String, Error> {
        let handle = self.handle;
        ask!(self.driver, nvmlDeviceGetCudaComputeCapability, |f| {
            let (mut major, mut minor) = (0, 0);
            // SAFETY: as above, with two places.
            check(unsafe { f(handle.raw(), &raw mut major, &raw mut minor) })?;
            let part = |value| within("nvmlDeviceGetCudaComputeCapability", value, &plausible::CAPABILITY);
            match (part(major)?, part(minor)?) {
                (0, minor) => nonsense("nvmlDeviceGetCudaComputeCapability", format!("0.{minor}")),
                (major, minor) => Ok(format!("{major}.{minor}")),
            }
        })
    }
}
