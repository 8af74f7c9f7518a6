//! The tensors of one memory-mapped safetensors file.

#![allow(unsafe_code, reason = "a file that is mapped can be changed by others")]

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use harness_core::input::{self, Fault};
use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::error::LoadError;
use crate::options::DTypeChoice;
use crate::weights::Matrix;

/// The most bytes of a header; GPT-2's largest has 150 kB.
const MAX_HEADER: u64 = 4 << 20;

pub(super) struct Tensors {
    path: PathBuf,
    file: Mmap,
    metadata: Metadata,
    /// Where the numbers start in the file.
    start: usize,
}

impl Tensors {
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let shown = path.display();
        let cant_read = |fault: Fault| {
            LoadError::Unusable(format!(
                "the weights {shown} can't be read: {fault}; give a folder as Hugging Face transformers saves it"
            ))
        };
        // Mapped and not read, so of any size.
        let file = input::open(path, u64::MAX).map_err(|error| cant_read(error.fault))?;
        let cant_read = |error| cant_read(Fault::System(error));
        let length = file.metadata().map_err(cant_read)?.len();
        if length == 0 {
            return Err(LoadError::Unusable(format!(
                "the weights {shown} are an empty file; copy or download them again"
            )));
        }
        // SAFETY: the file is only read. Another process that cuts it meanwhile would end this one, as it would
        // end every program that maps its weights.
        let file = unsafe { Mmap::map(&file) }.map_err(cant_read)?;
        let header = file.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        if header.is_some_and(|length| length > MAX_HEADER) {
            return Err(LoadError::Unusable(format!(
                "the weights {shown} are not in the safetensors format (header too large); give a file that Hugging Face \
                 transformers or safetensors wrote"
            )));
        }
        let (header, metadata) = SafeTensors::read_metadata(&file).map_err(|error| {
            LoadError::Unusable(match error {
                SafeTensorError::HeaderTooSmall
                | SafeTensorError::InvalidHeaderLength
                | SafeTensorError::MetadataIncompleteBuffer => format!(
                    "the weights {shown} are cut off or damaged: the file's {length} bytes are not what its header \
                     says; copy or download it again"
                ),
                error => format!(
                    "the weights {shown} are not in the safetensors format ({error}); give a file that Hugging Face \
                     transformers or safetensors wrote"
                ),
            })
        })?;
        Ok(Self { path: path.to_owned(), file, metadata, start: header + 8 })
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.file
    }

    /// The dtype of a tensor.
    pub(super) fn dtype(&self, name: &str) -> Result<DTypeChoice, LoadError> {
        let (full, info) = self.find(name)?;
        self.supported(full, info)
    }

    /// A `[rows, cols]` tensor as it is.
    pub(super) fn matrix(&self, name: &str, rows: usize, cols: usize, dtype: DTypeChoice) -> Result<Matrix, LoadError> {
        Ok(match self.numbers(name, &[rows, cols])? {
            Numbers::F32(bytes) => Matrix::from_fn(rows, cols, dtype, |index| f32_at(bytes, index)),
            Numbers::F16(bytes) => Matrix::from_fn(rows, cols, dtype, |index| f16_at(bytes, index)),
            Numbers::BF16(bytes) => Matrix::from_fn(rows, cols, dtype, |index| bf16_at(bytes, index)),
        })
    }

    /// An `[inputs, outputs]` tensor as `[outputs, inputs]`.
    pub(super) fn transposed(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        dtype: DTypeChoice,
    ) -> Result<Matrix, LoadError> {
        Ok(match self.numbers(name, &[inputs, outputs])? {
            Numbers::F32(bytes) => Matrix::transposed_from_fn(outputs, inputs, dtype, |index| f32_at(bytes, index)),
            Numbers::F16(bytes) => Matrix::transposed_from_fn(outputs, inputs, dtype, |index| f16_at(bytes, index)),
            Numbers::BF16(bytes) => Matrix::transposed_from_fn(outputs, inputs, dtype, |index| bf16_at(bytes, index)),
        })
    }

    /// A vector, in f32.
    pub(super) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        Ok(match self.numbers(name, &[length])? {
            Numbers::F32(bytes) => (0..length).map(|index| f32_at(bytes, index)).collect(),
            Numbers::F16(bytes) => (0..length).map(|index| f16_at(bytes, index)).collect(),
            Numbers::BF16(bytes) => (0..length).map(|index| bf16_at(bytes, index)).collect(),
        })
    }

    /// Whether there is a tensor of that name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Whether two tensors have the same shape, dtype and bytes.
    pub(super) fn equal(&self, one: &str, other: &str) -> Result<bool, LoadError> {
        let ((_, one), (_, other)) = (self.find(one)?, self.find(other)?);
        Ok(one.dtype == other.dtype && one.shape == other.shape && self.data(one) == self.data(other))
    }

    /// The error for a tensor that the model needs.
    pub(super) fn missing(&self, name: &str) -> LoadError {
        let wanted = if name == "lm_head.weight" {
            format!("'{name}', though config.json has tie_word_embeddings = false")
        } else {
            format!("'{name}' (nor 'transformer.{name}')")
        };
        LoadError::Unusable(format!(
            "the weights {} have no tensor {wanted}; give the weights of the GPT-2 that config.json beside them describes",
            self.path.display()
        ))
    }

    fn data(&self, info: &TensorInfo) -> &[u8] {
        // read_metadata checked that offsets lie in the file and agree with shape and dtype.
        &self.file[self.start + info.data_offsets.0..self.start + info.data_offsets.1]
    }

    fn find(&self, name: &str) -> Result<(String, &TensorInfo), LoadError> {
        let prefixed = format!("transformer.{name}");
        for full in [&prefixed, name] {
            if let Some(info) = self.metadata.info(full) {
                return Ok((full.to_owned(), info));
            }
        }
        Err(self.missing(name))
    }

    fn supported(&self, full: String, info: &TensorInfo) -> Result<DTypeChoice, LoadError> {
        match info.dtype {
            Dtype::F32 => Ok(DTypeChoice::F32),
            Dtype::F16 => Ok(DTypeChoice::F16),
            Dtype::BF16 => Ok(DTypeChoice::BF16),
            other => Err(LoadError::Unusable(format!(
                "the tensor '{full}' of the weights {} has the dtype {other:?}, and only F32, F16 and BF16 can be \
                 used; convert the model to one of them",
                self.path.display()
            ))),
        }
    }

    fn numbers(&self, name: &str, shape: &[usize]) -> Result<Numbers<'_>, LoadError> {
        let (full, info) = self.find(name)?;
        if info.shape != shape {
            return Err(LoadError::Unusable(format!(
                "the tensor '{full}' of the weights {} has the shape {:?}, but by config.json it is {shape:?}; give \
                 the config.json and the weights of the same model",
                self.path.display(),
                info.shape
            )));
        }
        let bytes = self.data(info);
        Ok(match self.supported(full, info)? {
            DTypeChoice::F32 => Numbers::F32(bytes),
            DTypeChoice::F16 => Numbers::F16(bytes),
            DTypeChoice::BF16 => Numbers::BF16(bytes),
        })
    }
}

/// Little-endian numbers, not necessarily aligned.
enum Numbers<'a> {
    F32(&'a [u8]),
    F16(&'a [u8]),
    BF16(&'a [u8]),
}

#[inline(always)]
fn f32_at(bytes: &[u8], index: usize) -> f32 {
    let at = &bytes[4 * index..4 * index + 4];
    f32::from_le_bytes([at[0], at[1], at[2], at[3]])
}

#[inline(always)]
fn f16_at(bytes: &[u8], index: usize) -> f32 {
    let at = &bytes[2 * index..2 * index + 2];
    f16::from_le_bytes([at[0], at[1]]).to_f32()
}

#[inline(always)]
fn bf16_at(bytes: &[u8], index: usize) -> f32 {
    let at = &bytes[2 * index..2 * index + 2];
    bf16::from_le_bytes([at[0], at[1]]).to_f32()
}
