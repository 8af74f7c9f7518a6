//! What the GPUs are and say.

use std::sync::OnceLock;

/// A GPU that the fake NVML lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// `GPU-…`
    pub uuid: &'static str,
    /// Product name.
    pub name: &'static str,
    /// PCI bus.
    pub bus: u32,
    /// Bytes.
    pub memory: u64,
    /// Bytes in use, to which the fake adds up to 128 MiB with time.
    pub memory_used: u64,
    /// The highest that utilisation gets, in per cent; it goes down by up to 2.
    pub utilization: u32,
    /// The same of the memory controller's.
    pub memory_controller_utilization: u32,
    /// The least power, in milliwatts; the fake adds up to 9 W with time.
    pub power: u32,
    /// Milliwatts.
    pub power_limit: u32,
    /// Degrees Celsius at the beginning.
    pub temperature: u32,
    /// Megahertz.
    pub sm_clock: u32,
    /// Megahertz.
    pub memory_clock: u32,
}

/// An H100 SXM, hard at work.
pub const SXM: Gpu = Gpu {
    uuid: "GPU-5a5e0001-1d2c-4b3a-9f10-000000000001",
    name: "NVIDIA H100 80GB HBM3",
    bus: 0xc1,
    memory: 85_520_809_984,
    memory_used: 2 << 30,
    utilization: 97,
    memory_controller_utilization: 24,
    power: 500_000,
    power_limit: 700_000,
    temperature: 45,
    sm_clock: 1980,
    memory_clock: 2619,
};

/// An H100 PCIe, nearly idle.
pub const PCIE: Gpu = Gpu {
    uuid: "GPU-9c1e0000-1d2c-4b3a-9f10-000000000000",
    name: "NVIDIA H100 PCIe",
    bus: 0x01,
    memory: 85_899_345_920,
    memory_used: 20 << 30,
    utilization: 12,
    memory_controller_utilization: 3,
    power: 80_000,
    power_limit: 350_000,
    temperature: 31,
    sm_clock: 1125,
    memory_clock: 1593,
};

/// So many of [`SXM`], each with a UUID and a place of its own; the first has its UUID.
pub(crate) fn many(count: usize) -> &'static [Gpu] {
    static MANY: OnceLock<Vec<Gpu>> = OnceLock::new();
    MANY.get_or_init(|| {
        let uuid = |number: usize| format!("GPU-5a5e0001-1d2c-4b3a-9f10-{:012}", number + 1).leak();
        let bus = |number: usize| number as u32 * 16 + 1;
        (0..count).map(|number| Gpu { uuid: uuid(number), bus: bus(number), ..SXM }).collect()
    })
}

/// Microseconds between two windows of utilisation.
pub(crate) const UTILIZATION_WINDOW: i64 = 200_000;
/// Microseconds between two samples of power.
pub(crate) const POWER_PERIOD: i64 = 20_000;
/// Microseconds between two steps of the energy counter.
const ENERGY_PERIOD: i64 = 100_000;
/// Of windows that differ, in microseconds and per cent: each with a short one, then a long one.
pub(crate) const UNEVEN: [(i64, u32); 2] = [(100_000, 80), (300_000, 40)];

/// What it says at a time in microseconds since `nvmlInit`; of utilisation and power also for times before.
impl Gpu {
    pub(crate) fn utilization_at(&self, window: i64) -> u32 {
        self.utilization - window.rem_euclid(3) as u32
    }

    pub(crate) fn memory_controller_utilization_at(&self, window: i64) -> u32 {
        self.memory_controller_utilization - window.rem_euclid(2) as u32
    }

    pub(crate) fn power_at(&self, period: i64) -> u32 {
        self.power + 1000 * period.rem_euclid(10) as u32
    }

    /// Millijoules: a start, and the mean power since.
    pub(crate) fn energy_at(&self, time: i64) -> u64 {
        let periods = (time / ENERGY_PERIOD).unsigned_abs();
        7_000_000 + periods * u64::from(self.power + 4500) / 10
    }

    pub(crate) fn memory_used_at(&self, time: i64) -> u64 {
        self.memory_used + (64 << 20) * (time / 100_000).rem_euclid(3).unsigned_abs()
    }

    pub(crate) fn temperature_at(&self, time: i64) -> u32 {
        self.temperature + (time / 250_000).rem_euclid(10) as u32
    }

    pub(crate) fn sm_clock_at(&self, time: i64) -> u32 {
        self.sm_clock - 15 * (time / 100_000).rem_euclid(4) as u32
    }
}
