//! The tensors of a model: of one safetensors file, or of several and their index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};
use harness_core::format::plural;
use harness_core::text::visible_line;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use super::file::File;
use super::folder::WeightFiles;
use super::shards::Shards;
use crate::error::LoadError;
use crate::options::DTypeChoice;
use crate::weights::Matrix;

/// The token embeddings.
pub(super) const EMBEDDING: &str = "wte.weight";
/// The output head, which may be the same.
pub(super) const HEAD: &str = "lm_head.weight";

/// Of the tensors that are not used, how many are named, and how many characters of a name are shown.
const MAX_SHOWN: usize = 3;
const MAX_NAME: usize = 100;

pub(super) struct Tensors {
    /// The weights' file, or the index of several.
    path: PathBuf,
    /// In the order of their names.
    files: Vec<File>,
    /// The full names of those that were looked for and found.
    used: Mutex<BTreeSet<String>>,
}

/// A tensor, by its full name in a file.
struct Found<'a> {
    name: String,
    file: &'a File,
    info: &'a TensorInfo,
}

impl Tensors {
    pub(super) fn open(files: &WeightFiles) -> Result<Self, LoadError> {
        match files {
            WeightFiles::One(path) => Ok(Self::new(path.clone(), vec![File::open(path)?])),
            WeightFiles::Sharded { index, shards } => Self::open_shards(index, shards),
        }
    }

    fn open_shards(index: &Path, shards: &Shards) -> Result<Self, LoadError> {
        let disagree = |what: String| {
            LoadError::Unusable(format!(
                "the index {} and its files disagree: {what}; copy or download the whole model again",
                index.display()
            ))
        };
        let mut files = Vec::new();
        let mut found = BTreeMap::new();
        for name in shards.files() {
            let path = index.with_file_name(name);
            if path.symlink_metadata().is_err() {
                return Err(LoadError::Unusable(format!(
                    "the weights {} are missing, which {} names; copy or download the whole model again",
                    path.display(),
                    index.display()
                )));
            }
            let file = File::open(&path)?;
            for tensor in file.names() {
                let place = shards.weight_map.get(&tensor);
                if let Some(other) = found.insert(tensor.clone(), name) {
                    return Err(disagree(format!("the tensor '{tensor}' is in {other} and in {name}")));
                }
                if place.is_none_or(|place| place != name) {
                    let place = place.map_or("nowhere".to_owned(), |place| format!("in {place}"));
                    return Err(disagree(format!("the tensor '{tensor}' is in {name}, and by the index {place}")));
                }
            }
            files.push(file);
        }
        if let Some((tensor, name)) = shards.weight_map.iter().find(|(tensor, _)| !found.contains_key(*tensor)) {
            return Err(disagree(format!("the tensor '{tensor}' is not in {name}, where the index has it")));
        }
        Ok(Self::new(index.to_owned(), files))
    }

    fn new(path: PathBuf, files: Vec<File>) -> Self {
        Self { path, files, used: Mutex::default() }
    }

    /// What to tell of the tensors that nobody looked for.
    pub(super) fn unused(&self) -> Option<String> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.files.iter().flat_map(File::names);
        let unused: BTreeSet<_> = names.filter(|name| !used.contains(name) && !is_mask(name)).collect();
        let shown = unused.iter().take(MAX_SHOWN).map(|name| {
            let name: String = name.chars().take(MAX_NAME).collect();
            format!("'{}'", visible_line(&name))
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = if unused.len() > MAX_SHOWN { " and others" } else { "" };
        let adapter = match unused.iter().any(|name| name.contains("lora_")) {
            true => "; for an adapter, merge it into the model with peft's merge_and_unload()",
            false => "",
        };
        (!unused.is_empty()).then(|| {
            format!(
                "the weights {} have {} that a GPT-2 does not use: {shown}{more}{adapter}",
                self.path.display(),
                plural(unused.len(), "tensor")
            )
        })
    }

    /// The whole files, one after another.
    pub(super) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.files.iter().map(File::bytes)
    }

    /// The dtype of a tensor.
    pub(super) fn dtype(&self, name: &str) -> Result<DTypeChoice, LoadError> {
        self.find(name)?.dtype()
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

    /// Refuses weights with more layers than config.json says: without them they are another model.
    pub(super) fn check_layers(&self, layers: usize) -> Result<(), LoadError> {
        let layer = |name: String| {
            let name = name.strip_prefix("transformer.").unwrap_or(&name);
            name.strip_prefix("h.")?.split('.').next()?.parse::<usize>().ok()
        };
        match self.files.iter().flat_map(File::names).filter_map(layer).max() {
            Some(last) if last >= layers => Err(LoadError::Unusable(format!(
                "the weights {} have {} layers, and config.json beside them says n_layer = {layers}; correct it, or give the weights that \
                 belong to it",
                self.path.display(),
                last.saturating_add(1)
            ))),
            _ => Ok(()),
        }
    }

    /// Whether there is a tensor of that name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Whether two tensors have the same shape, dtype and bytes.
    pub(super) fn equal(&self, one: &str, other: &str) -> Result<bool, LoadError> {
        let (one, other) = (self.find(one)?, self.find(other)?);
        Ok(one.info.dtype == other.info.dtype && one.info.shape == other.info.shape && one.data() == other.data())
    }

    /// The error for a tensor that the model needs.
    pub(super) fn missing(&self, name: &str) -> LoadError {
        let wanted = match name {
            HEAD => format!("'{name}', though config.json has tie_word_embeddings = false"),
            EMBEDDING => format!("'{name}' (nor 'transformer.{name}', nor '{HEAD}' tied to it)"),
            _ => format!("'{name}' (nor 'transformer.{name}')"),
        };
        LoadError::Unusable(format!(
            "the weights {} have no tensor {wanted}; give the weights of the GPT-2 that config.json beside them describes",
            self.path.display()
        ))
    }

    fn find(&self, name: &str) -> Result<Found<'_>, LoadError> {
        let names = [format!("transformer.{name}"), name.to_owned()];
        let aliases = names.iter().flat_map(|name| self.files.iter().filter_map(move |file| file.alias(name)));
        let names = names.iter().map(String::as_str).chain(aliases);
        let found = names
            .flat_map(|name| self.files.iter().map(move |file| (name, file)))
            .find_map(|(name, file)| file.info(name).map(|info| Found { name: name.to_owned(), file, info }))
            .ok_or_else(|| self.missing(name))?;
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(found.name.clone());
        Ok(found)
    }

    fn numbers(&self, name: &str, shape: &[usize]) -> Result<Numbers<'_>, LoadError> {
        let found = self.find(name)?;
        if found.info.shape != shape {
            return Err(LoadError::Unusable(format!(
                "the tensor '{}' of the weights {} has the shape {:?}, but by config.json it is {shape:?}; give the \
                 config.json and the weights of the same model",
                found.name,
                found.file.path.display(),
                found.info.shape
            )));
        }
        let bytes = found.data();
        Ok(match found.dtype()? {
            DTypeChoice::F32 => Numbers::F32(bytes),
            DTypeChoice::F16 => Numbers::F16(bytes),
            DTypeChoice::BF16 => Numbers::BF16(bytes),
        })
    }
}

impl<'a> Found<'a> {
    fn data(&self) -> &'a [u8] {
        self.file.data(self.info)
    }

    fn dtype(&self) -> Result<DTypeChoice, LoadError> {
        match self.info.dtype {
            Dtype::F32 => Ok(DTypeChoice::F32),
            Dtype::F16 => Ok(DTypeChoice::F16),
            Dtype::BF16 => Ok(DTypeChoice::BF16),
            other => Err(LoadError::Unusable(format!(
                "the tensor '{}' of the weights {} has the dtype {other:?}, and only F32, F16 and BF16 can be used; \
                 convert the model to one of them",
                self.name,
                self.file.path.display()
            ))),
        }
    }
}

/// Whether it is what older transformers saved with each layer: which positions it sees, and the number for the others.
fn is_mask(name: &str) -> bool {
    let name = name.strip_prefix("transformer.").unwrap_or(name);
    let part = name.strip_prefix("h.").and_then(|name| name.split_once('.'));
    part.is_some_and(|(layer, part)| {
        layer.parse::<usize>().is_ok() && ["attn.bias", "attn.masked_bias"].contains(&part)
    })
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
