//! Why the driver gave no answer, in words that can stand as a reason in a recording.

use std::fmt;

use nvml_wrapper_sys::bindings::{self as nvml, nvmlReturn_t};

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
    let (clause, name) = match code {
        nvml::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED => ("the GPU does not have it", "NOT_SUPPORTED"),
        nvml::nvmlReturn_enum_NVML_ERROR_NO_PERMISSION => ("this user may not read it", "NO_PERMISSION"),
        nvml::nvmlReturn_enum_NVML_ERROR_NOT_FOUND => ("the driver has none", "NOT_FOUND"),
        nvml::nvmlReturn_enum_NVML_ERROR_NO_DATA => ("the driver has no data", "NO_DATA"),
        nvml::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED => ("the NVIDIA driver is not loaded", "DRIVER_NOT_LOADED"),
        nvml::nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH => (
            "NVML and the loaded NVIDIA driver are of different versions, as after an update without a restart",
            "LIB_RM_VERSION_MISMATCH",
        ),
        nvml::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST => ("the GPU fell off the bus", "GPU_IS_LOST"),
        nvml::nvmlReturn_enum_NVML_ERROR_RESET_REQUIRED => ("the GPU needs a reset", "RESET_REQUIRED"),
        nvml::nvmlReturn_enum_NVML_ERROR_OPERATING_SYSTEM => {
            ("the operating system or a cgroup blocks the GPU", "OPERATING_SYSTEM")
        }
        nvml::nvmlReturn_enum_NVML_ERROR_TIMEOUT => ("the driver did not answer in time", "TIMEOUT"),
        nvml::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT => ("the driver refused the call", "INVALID_ARGUMENT"),
        nvml::nvmlReturn_enum_NVML_ERROR_UNINITIALIZED => ("NVML was not initialised", "UNINITIALIZED"),
        nvml::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_POWER => {
            ("the GPU's power cables are not properly attached", "INSUFFICIENT_POWER")
        }
        nvml::nvmlReturn_enum_NVML_ERROR_IRQ_ISSUE => ("the driver has an interrupt problem with the GPU", "IRQ_ISSUE"),
        nvml::nvmlReturn_enum_NVML_ERROR_FUNCTION_NOT_FOUND => {
            ("the driver is too old for this function of NVML", "FUNCTION_NOT_FOUND")
        }
        nvml::nvmlReturn_enum_NVML_ERROR_MEMORY => ("the driver is out of memory", "MEMORY"),
        nvml::nvmlReturn_enum_NVML_ERROR_UNKNOWN => ("the driver failed for a reason of its own", "UNKNOWN"),
        other => return format!("the driver failed (NVML's error {other})"),
    };
    format!("{clause} (NVML_ERROR_{name})")
}

/// Whether the GPU will answer nothing more before a reset.
pub(crate) fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Code(nvml::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST | nvml::nvmlReturn_enum_NVML_ERROR_RESET_REQUIRED)
    )
}

/// Whether the GPU does not have what was asked for, in which case nothing is wrong.
pub(crate) fn is_not_supported(error: &Error) -> bool {
    matches!(error, Error::Code(nvml::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED))
}

/// Whether the driver has nothing at present where it may have something later.
pub(crate) fn is_nothing_new(error: &Error) -> bool {
    matches!(error, Error::Code(nvml::nvmlReturn_enum_NVML_ERROR_NOT_FOUND | nvml::nvmlReturn_enum_NVML_ERROR_NO_DATA))
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
        let code = Error::Code(nvml::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED);
        assert_eq!(explain(&code), "the GPU does not have it (NVML_ERROR_NOT_SUPPORTED)");
        assert_eq!(explain(&Error::Code(777)), "the driver failed (NVML's error 777)");
        assert_eq!(
            explain(&Error::Missing("nvmlDeviceGetSamples")),
            "the driver is too old: its NVML lacks nvmlDeviceGetSamples"
        );
    }
}
