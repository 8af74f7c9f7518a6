//! Names of a model's files in Hugging Face's form.

/// The weights' file in a model folder.
pub(crate) const WEIGHTS_FILE: &str = "model.safetensors";
/// The architecture's file in a model folder.
pub(crate) const CONFIG_FILE: &str = "config.json";
