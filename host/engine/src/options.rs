//! What a model is loaded with, as the user says it.

use std::fmt;
use std::str::FromStr;

use crate::hub::observer::Watcher;

/// Where the model is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first NVIDIA GPU if one can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of that number, in CUDA's order.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| {
                    format!("no device is called '{text}'; use auto, cpu, cuda, or cuda:N for the GPU number N")
                }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// What computes the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// The best that this binary has for the device.
    #[default]
    Auto,
    /// candle, on the CPU or an NVIDIA GPU.
    Candle,
    /// Our own kernels, on an NVIDIA GPU.
    Fused,
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Candle => "candle",
            Self::Fused => "fused",
        })
    }
}

/// The floating-point type of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DTypeChoice {
    /// 32-bit.
    F32,
    /// IEEE 16-bit.
    F16,
    /// 16-bit with the exponent of f32.
    BF16,
}

impl DTypeChoice {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// `f32`, `f16` or `bf16`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
        }
    }
}

impl FromStr for DTypeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::BF16),
            _ => Err(format!("no dtype is called '{text}'; use f32, f16 or bf16")),
        }
    }
}

impl fmt::Display for DTypeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be loaded, and where to.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// A folder, the id of a model on the Hugging Face hub, or one of `gpt2`, `gpt2-medium`, `gpt2-large`, `gpt2-xl`.
    pub model: String,
    /// Where it is to run.
    pub device: DeviceChoice,
    /// What is to compute it.
    pub backend: BackendChoice,
    /// Of the weights; `None` keeps the checkpoint's, and is f32 for synthetic weights.
    pub dtype: Option<DTypeChoice>,
    /// Whether f32 products of prompts run on tensor cores, their inputs rounded to tf32. Refused where it does nothing.
    pub tf32: bool,
    /// Whether a model that is not on this machine is fetched from the Hugging Face hub.
    pub download: bool,
    /// Sees it being fetched.
    pub watcher: Watcher,
    /// Draws synthetic weights.
    pub seed: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            model: "gpt2".into(),
            device: DeviceChoice::Auto,
            backend: BackendChoice::Auto,
            dtype: None,
            tf32: false,
            download: false,
            watcher: Watcher::default(),
            seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for (text, device) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda:0", DeviceChoice::Cuda(0)),
            ("cuda:17", DeviceChoice::Cuda(17)),
        ] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
    }

    #[test]
    fn an_unknown_device_or_dtype_is_answered_with_the_known_ones() {
        for text in ["gpu", "cuda:", "cuda:x", "cuda:+1", "cuda:99999999999999999999", "CPU", ""] {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert_eq!(
                error,
                format!("no device is called '{text}'; use auto, cpu, cuda, or cuda:N for the GPU number N")
            );
        }
        assert_eq!("fp16".parse::<DTypeChoice>().unwrap_err(), "no dtype is called 'fp16'; use f32, f16 or bf16");
    }
}
