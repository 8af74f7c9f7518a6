//! What an answer of the driver's can be. A driver that is out of order succeeds with numbers that no GPU has; they are refused where
//! they are read, so that none becomes a figure. Bounds are far above today's hardware. A zero that a GPU may well say (of
//! utilisation, of throttling) can't be told from a false one.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::error::{Error, nonsense};

/// GPUs of one machine.
pub(crate) const GPUS: RangeInclusive<u32> = 0..=1024;
/// Milliwatts: something is drawn, and less than 20 kW.
pub(crate) const POWER: RangeInclusive<u32> = 1..=20_000_000;
/// Degrees Celsius of what is at work.
pub(crate) const TEMPERATURE: RangeInclusive<u32> = 1..=200;
/// Megahertz.
pub(crate) const CLOCK: RangeInclusive<u32> = 1..=20_000;
/// Per cent.
pub(crate) const SHARE: RangeInclusive<u32> = 0..=100;
/// Bytes of a GPU's memory.
pub(crate) const MEMORY: RangeInclusive<u64> = 1..=1 << 50;
/// Off or on.
pub(crate) const SWITCH: RangeInclusive<u32> = 0..=1;
/// Generations of PCIe, which has 7.
pub(crate) const PCIE_GENERATION: RangeInclusive<u32> = 1..=16;
/// Lanes.
pub(crate) const PCIE_WIDTH: RangeInclusive<u32> = 1..=64;
/// Bits.
pub(crate) const BUS_WIDTH: RangeInclusive<u32> = 1..=1 << 20;
/// Reasons for low clocks: NVML has given out 9 bits of 64.
pub(crate) const REASONS: RangeInclusive<u64> = 0..=u32::MAX as u64;
/// Millijoules since the driver was loaded.
pub(crate) const ENERGY: RangeInclusive<u64> = 0..=u64::MAX;
/// Of CUDA: 1000 times the major version and 10 times the minor.
pub(crate) const CUDA_VERSION: RangeInclusive<i32> = 1000..=99_990;
/// Either part of a compute capability.
pub(crate) const CAPABILITY: RangeInclusive<i32> = 0..=99;
/// Entries of a list that the driver counts before it gives it: processes, samples.
pub(crate) const ENTRIES: u32 = 65_536;
/// Processes: Linux has no greater number.
pub(crate) const PROCESS: RangeInclusive<u32> = 1..=1 << 22;

/// The value, if it can be true.
pub(crate) fn within<T: PartialOrd + Display>(
    function: &'static str,
    value: T,
    bounds: &RangeInclusive<T>,
) -> Result<T, Error> {
    if bounds.contains(&value) { Ok(value) } else { nonsense(function, value) }
}

/// The text before the first NUL.
pub(crate) fn text(function: &'static str, bytes: &[u8]) -> Result<String, Error> {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return nonsense(function, "text without an end") };
    match std::str::from_utf8(&bytes[..end]) {
        Ok("") => nonsense(function, "empty text"),
        Ok(text) if !text.contains(char::is_control) => Ok(text.to_owned()),
        _ => nonsense(function, "what is no text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_with_an_end_is_text() {
        assert_eq!(text("f", b"H100\0\xff"), Ok("H100".to_owned()));
        for bytes in [&b"H100"[..], b"", b"\0", b"\xff\0", b"H\n\0"] {
            assert!(text("f", bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_no_gpu_has_is_refused_by_name() {
        assert_eq!(within("f", 500_000, &POWER), Ok(500_000));
        assert_eq!(
            within("nvmlDeviceGetPowerUsage", u32::MAX, &POWER),
            Err(Error::Nonsense { function: "nvmlDeviceGetPowerUsage", said: "4294967295".into() })
        );
        assert!(within("f", 0, &POWER).is_err());
    }
}
