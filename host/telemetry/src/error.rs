//! Why the driver gave no answer, in words that can stand as a reason in a recording.

use std::fmt;

use nvml_wrapper::error::NvmlError;
use nvml_wrapper_sys::bindings::nvmlReturn_t;

use crate::guarded::Silent;

/// Why a call gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// NVML's code.
    Code(nvmlReturn_t),
    /// The library does not have the function.
    Missing(&'static str),
    /// The function succeeded, with what can't be true.
    Nonsense { function: &'static str, said: String },
    /// The call did not return in time.
    Silent(Silent),
}

impl Error {
    /// By nvml-wrapper's name, if it is an error of NVML's own.
    fn nvml(&self) -> Option<NvmlError> {
        match self {
            Self::Code(code) => Some((*code).into()),
            _ => None,
        }
    }
}

/// Says that a function's answer can't be true.
pub(crate) fn nonsense<T>(function: &'static str, said: impl fmt::Display) -> Result<T, Error> {
    Err(Error::Nonsense { function, said: said.to_string() })
}

/// What an error means, as a clause that ends with NVML's own name for it.
pub(crate) fn explain(error: &Error) -> String {
    let code = match error {
        Error::Code(code) => *code,
        Error::Missing(function) => return format!("the driver is too old: its NVML lacks {function}"),
        Error::Nonsense { function, said } => {
            return format!("the driver's answer can't be true: {function} gave {said}");
        }
        Error::Silent(silent) => return silent.to_string(),
    };
    let (clause, name) = match NvmlError::from(code) {
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
        NvmlError::FunctionNotFound => ("the driver is too old for this function of NVML", "FUNCTION_NOT_FOUND"),
        NvmlError::InsufficientMemory => ("the driver is out of memory", "MEMORY"),
        NvmlError::Unknown => ("the driver failed for a reason of its own", "UNKNOWN"),
        _ => return format!("the driver failed (NVML's error {code})"),
    };
    format!("{clause} (NVML_ERROR_{name})")
}

/// Whether the GPU will answer nothing more before a reset.
pub(crate) fn is_lost(error: &Error) -> bool {
    matches!(error.nvml(), Some(NvmlError::GpuLost | NvmlError::ResetRequired))
}

/// Whether the GPU does not have what was asked for, in which case nothing is wrong.
pub(crate) fn is_not_supported(error: &Error) -> bool {
    matches!(error.nvml(), Some(NvmlError::NotSupported))
}

/// Whether the driver has nothing at present where it may have something later.
pub(crate) fn is_nothing_new(error: &Error) -> bool {
    matches!(error.nvml(), Some(NvmlError::NotFound | NvmlError::NoData))
}

/// Why a GPU's sensors can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    reason: String,
    silent: bool,
}

impl Refused {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), silent: false }
    }

    /// Whether the driver did not answer in time, as its library and its other programs may not either.
    pub fn is_silence(&self) -> bool {
        self.silent
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { reason: explain(&error), silent: matches!(error, Error::Silent(_)) }
    }
}

impl From<Silent> for Refused {
    fn from(silent: Silent) -> Self {
        Error::Silent(silent).into()
    }
}

/// As a clause: 'no NVIDIA driver: libnvidia-ml.so.1 was not found'.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_error() {
        let code = Error::Code(NvmlError::NotSupported.into());
        assert_eq!(explain(&code), "the GPU does not have it (NVML_ERROR_NOT_SUPPORTED)");
        assert_eq!(explain(&Error::Code(777)), "the driver failed (NVML's error 777)");
        assert_eq!(
            explain(&Error::Missing("nvmlDeviceGetSamples")),
            "the driver is too old: its NVML lacks nvmlDeviceGetSamples"
        );
    }
}
