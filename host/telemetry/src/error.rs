//! NVML's errors in words that can stand as a reason in a recording.

use nvml_wrapper::error::NvmlError;

/// What an error means, as a clause that ends with NVML's own name for it.
pub(crate) fn explain(error: &NvmlError) -> String {
    let (clause, code) = match error {
        NvmlError::NotSupported => ("the GPU does not have it", "NOT_SUPPORTED"),
        NvmlError::NoPermission => ("this user may not read it", "NO_PERMISSION"),
        NvmlError::NotFound => ("the driver has none", "NOT_FOUND"),
        NvmlError::NoData => ("the driver has no data", "NO_DATA"),
        NvmlError::DriverNotLoaded => ("the NVIDIA driver is not loaded", "DRIVER_NOT_LOADED"),
        NvmlError::LibRmVersionMismatch => (
            "NVML and the loaded NVIDIA driver are of different versions, as after an update without a restart",
            "LIB_RM_VERSION_MISMATCH",
        ),
        NvmlError::GpuLost => ("the GPU fell off the bus", "GPU_IS_LOST"),
        NvmlError::ResetRequired => ("the GPU needs a reset", "RESET_REQUIRED"),
        NvmlError::OperatingSystem => ("the operating system or a cgroup blocks the GPU", "OPERATING_SYSTEM"),
        NvmlError::Timeout => ("the driver did not answer in time", "TIMEOUT"),
        NvmlError::InvalidArg => ("the driver refused the call", "INVALID_ARGUMENT"),
        NvmlError::Uninitialized => ("NVML was not initialised", "UNINITIALIZED"),
        NvmlError::InsufficientPower => ("the GPU's power cables are not properly attached", "INSUFFICIENT_POWER"),
        NvmlError::IrqIssue => ("the driver has an interrupt problem with the GPU", "IRQ_ISSUE"),
        NvmlError::Unknown => ("the driver failed for a reason of its own", "UNKNOWN"),
        NvmlError::FailedToLoadSymbol(text) => {
            let symbol = text.split([' ', ':']).find(|word| word.starts_with("nvml")).unwrap_or("the function");
            return format!("the driver is too old: its NVML lacks {symbol}");
        }
        other => return format!("NVML: {other}"),
    };
    format!("{clause} (NVML_ERROR_{code})")
}

/// Whether the GPU will answer nothing more before a reset.
pub(crate) fn is_lost(error: &NvmlError) -> bool {
    matches!(error, NvmlError::GpuLost | NvmlError::ResetRequired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_error() {
        assert_eq!(explain(&NvmlError::NotSupported), "the GPU does not have it (NVML_ERROR_NOT_SUPPORTED)");
        let missing = "libnvidia-ml.so.1: undefined symbol: nvmlDeviceGetSamples";
        assert_eq!(
            explain(&NvmlError::FailedToLoadSymbol(missing.into())),
            "the driver is too old: its NVML lacks nvmlDeviceGetSamples"
        );
    }
}
