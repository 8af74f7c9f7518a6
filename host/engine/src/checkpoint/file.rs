//! One memory-mapped safetensors file.

#![allow(unsafe_code, reason = "a file that is mapped can be changed by others")]

use std::path::{Path, PathBuf};

use harness_core::input::{self, Fault};
use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{SafeTensorError, SafeTensors};

use super::lfs;
use crate::error::LoadError;

/// The most bytes of a header; GPT-2's largest has 150 kB.
const MAX_HEADER: u64 = 4 << 20;

/// One memory-mapped safetensors file.
pub(super) struct File {
    pub(super) path: PathBuf,
    map: Mmap,
    metadata: Metadata,
    /// Where the numbers start in the file.
    start: usize,
}

impl File {
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
        let map = unsafe { Mmap::map(&file) }.map_err(cant_read)?;
        lfs::refuse_pointer(path, &map)?;
        let header = map.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        if header.is_some_and(|length| length > MAX_HEADER) {
            return Err(LoadError::Unusable(format!(
                "the weights {shown} are not in the safetensors format (header too large); give a file that Hugging Face \
                 transformers or safetensors wrote"
            )));
        }
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|error| {
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
        Ok(Self { path: path.to_owned(), map, metadata, start: header + 8 })
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The names of its tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = String> + use<> {
        self.metadata.offset_keys().into_iter()
    }

    /// The tensor of exactly that name.
    pub(super) fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.metadata.info(name)
    }

    /// The tensor that was left out under that name, because it is the same as another one of this name. safetensors'
    /// `save_model` notes that in the file's metadata.
    pub(super) fn alias(&self, name: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(name).map(String::as_str)
    }

    /// A tensor's numbers.
    pub(super) fn data(&self, info: &TensorInfo) -> &[u8] {
        // read_metadata checked that offsets lie in the file and agree with shape and dtype.
        &self.map[self.start + info.data_offsets.0..self.start + info.data_offsets.1]
    }
}
