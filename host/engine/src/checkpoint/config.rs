//! GPT-2's architecture, as config.json has it.

use std::path::Path;

use harness_core::input;
use serde::Deserialize;
use serde_json::Value;

use crate::error::LoadError;

/// The most bytes of a config.json.
const MAX_BYTES: u64 = 1 << 20;

/// The MLP's activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `gelu_new`: GELU's approximation by tanh (Hendrycks and Gimpel 2016, section 2).
    GeluTanh,
    /// `gelu`: exact, by the error function.
    GeluErf,
}

/// The architecture of a GPT-2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Transformer blocks.
    pub layers: usize,
    /// Attention heads a block.
    pub heads: usize,
    /// Size of the residual stream.
    pub width: usize,
    /// Hidden units of an MLP.
    pub hidden: usize,
    /// Most positions.
    pub context: usize,
    /// Number of token ids.
    pub vocabulary: usize,
    /// Added to a layer norm's variance.
    pub epsilon: f64,
    /// Of the MLP.
    pub activation: Activation,
    /// Whether scores are divided by the square root of a head's size.
    pub scale_scores: bool,
    /// Whether scores are also divided by the block's number, from 1.
    pub scale_scores_by_layer: bool,
    /// Whether scores and their softmax are f32 whatever the weights are.
    pub upcast_attention: bool,
    /// Whether the output head is the token embeddings.
    pub tied: bool,
    /// The token that ends a text.
    pub end_of_text: Option<u32>,
}

/// config.json, as far as it matters here. What is left out has the default of transformers' `GPT2Config`.
#[derive(Deserialize)]
struct Json {
    model_type: Option<String>,
    n_layer: Option<usize>,
    n_head: Option<usize>,
    n_embd: Option<usize>,
    n_inner: Option<usize>,
    n_positions: Option<usize>,
    n_ctx: Option<usize>,
    vocab_size: Option<usize>,
    layer_norm_epsilon: Option<f64>,
    activation_function: Option<String>,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    reorder_and_upcast_attn: Option<bool>,
    tie_word_embeddings: Option<bool>,
    add_cross_attention: Option<bool>,
    /// `Some(Null)` where it is null, which is not the same as missing.
    #[serde(default, deserialize_with = "present")]
    eos_token_id: Option<Value>,
    quantization_config: Option<Value>,
    pruned_heads: Option<Value>,
}

impl Config {
    /// A published size: 1,024 positions and GPT-2's vocabulary.
    pub fn published(layers: usize, heads: usize, width: usize) -> Self {
        Self {
            layers,
            heads,
            width,
            hidden: 4 * width,
            context: 1024,
            vocabulary: 50_257,
            epsilon: 1e-5,
            activation: Activation::GeluTanh,
            scale_scores: true,
            scale_scores_by_layer: false,
            upcast_attention: false,
            tied: true,
            end_of_text: Some(50_256),
        }
    }

    /// Bytes of the weights with matrices of numbers of `size` bytes; those of vectors are f32.
    pub(crate) fn weight_bytes(&self, size: u64) -> u64 {
        let [layers, width, hidden, context, vocabulary] =
            [self.layers, self.width, self.hidden, self.context, self.vocabulary].map(|number| number as u128);
        let heads = if self.tied { 1 } else { 2 };
        let block = 4 * width * width + 2 * width * hidden;
        let matrices = layers * block + (heads * vocabulary + context) * width;
        let vectors = layers * (9 * width + hidden) + 2 * width;
        u64::try_from(matrices * u128::from(size) + 4 * vectors).unwrap_or(u64::MAX)
    }

    /// Numbers of one attention head.
    pub fn head_size(&self) -> usize {
        self.width / self.heads
    }

    /// What the scores of block number `layer`, from 0, are multiplied by.
    pub fn score_scale(&self, layer: usize) -> f64 {
        let by_size = if self.scale_scores { (self.head_size() as f64).sqrt() } else { 1.0 };
        let by_layer = if self.scale_scores_by_layer { (layer + 1) as f64 } else { 1.0 };
        1.0 / (by_size * by_layer)
    }

    pub(crate) fn read(path: &Path) -> Result<Self, LoadError> {
        let shown = path.display();
        let text = input::read_text(path, MAX_BYTES).map_err(|error| {
            LoadError::Unusable(if error.is_missing() {
                let folder = path.parent().unwrap_or(path).display();
                format!(
                    "the model folder {folder} has no config.json; give a folder that has config.json and \
                     model.safetensors, as Hugging Face transformers saves them"
                )
            } else {
                format!(
                    "the model's configuration {shown} can't be read: {}; give a folder as Hugging Face transformers saves it",
                    error.fault
                )
            })
        })?;
        let json: Json = serde_json::from_str(&text).map_err(|error| {
            LoadError::Unusable(format!(
                "the model's configuration {shown} can't be understood: {error}; correct it, or save the model anew \
                 with Hugging Face transformers"
            ))
        })?;
        Self::from_json(&json).map_err(|what| LoadError::Unusable(format!("the model's configuration {shown} {what}")))
    }

    /// The message continues 'the model's configuration PATH'.
    fn from_json(json: &Json) -> Result<Self, String> {
        let unsupported = |option: &str, value: &str, supported: &str| {
            Err(format!(
                "has {option} = {value}, which is not supported; supported is {supported}, so use a model that has it"
            ))
        };
        if let Some(kind) = &json.model_type
            && kind != "gpt2"
        {
            return unsupported("model_type", &format!("\"{kind}\""), "\"gpt2\"");
        }
        if json.add_cross_attention == Some(true) {
            return unsupported("add_cross_attention", "true", "false");
        }
        if json.quantization_config.as_ref().is_some_and(|value| !value.is_null()) {
            return unsupported("quantization_config", "a quantization", "none (weights in f32, f16 or bf16)");
        }
        if let Some(heads) = &json.pruned_heads
            && heads.as_object().is_some_and(|heads| !heads.is_empty())
        {
            return unsupported("pruned_heads", &heads.to_string(), "{}");
        }
        let activation = match json.activation_function.as_deref() {
            None | Some("gelu_new" | "gelu_pytorch_tanh") => Activation::GeluTanh,
            Some("gelu") => Activation::GeluErf,
            Some(other) => {
                return unsupported(
                    "activation_function",
                    &format!("\"{other}\""),
                    "\"gelu_new\", \"gelu_pytorch_tanh\" or \"gelu\"",
                );
            }
        };
        let published = Self::published(12, 12, 768);
        let width = json.n_embd.unwrap_or(published.width);
        let config = Self {
            layers: json.n_layer.unwrap_or(published.layers),
            heads: json.n_head.unwrap_or(published.heads),
            width,
            hidden: json.n_inner.unwrap_or(width.saturating_mul(4)),
            context: json.n_positions.or(json.n_ctx).unwrap_or(published.context),
            vocabulary: json.vocab_size.unwrap_or(published.vocabulary),
            epsilon: json.layer_norm_epsilon.unwrap_or(published.epsilon),
            activation,
            scale_scores: json.scale_attn_weights.unwrap_or(true),
            scale_scores_by_layer: json.scale_attn_by_inverse_layer_idx.unwrap_or(false),
            upcast_attention: json.reorder_and_upcast_attn.unwrap_or(false),
            tied: json.tie_word_embeddings.unwrap_or(true),
            end_of_text: end_of_text(json.eos_token_id.as_ref())?,
        };
        config.check()?;
        // The default of a small vocabulary's model, which then has no such token.
        let end_of_text = config.end_of_text.filter(|&token| (token as usize) < config.vocabulary);
        Ok(Self { end_of_text, ..config })
    }

    fn check(&self) -> Result<(), String> {
        // Far over every GPT-2, and small enough that no product of two overflows.
        const MOST: usize = 1 << 24;
        for (option, value) in [
            ("n_layer", self.layers),
            ("n_head", self.heads),
            ("n_embd", self.width),
            ("n_inner", self.hidden),
            ("n_positions", self.context),
            ("vocab_size", self.vocabulary),
        ] {
            if value == 0 || value > MOST {
                return Err(format!("has {option} = {value}, which no model can have; correct it"));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(format!(
                "has n_embd = {} and n_head = {}, but heads must divide the width evenly; correct them",
                self.width, self.heads
            ));
        }
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return Err(format!("has layer_norm_epsilon = {}, which must not be negative; correct it", self.epsilon));
        }
        Ok(())
    }
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A number, or a list of which the first counts, or nothing.
fn end_of_text(value: Option<&Value>) -> Result<Option<u32>, String> {
    let value = match value {
        Some(Value::Array(values)) => values.first(),
        value => value,
    };
    match value {
        // transformers' default where the key is missing altogether.
        None => Ok(Some(50_256)),
        Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|token| u32::try_from(token).ok())
            .map(Some)
            .ok_or_else(|| format!("has eos_token_id = {value}, which is no token; correct it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::from_json(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn an_empty_configuration_is_gpt2() {
        assert_eq!(parse("{}").unwrap(), Config::published(12, 12, 768));
    }

    #[test]
    fn every_option_is_taken_over() {
        let config = parse(
            r#"{"model_type": "gpt2", "n_layer": 3, "n_head": 2, "n_embd": 8, "n_inner": 20, "n_ctx": 16,
                "vocab_size": 30, "layer_norm_epsilon": 1e-3, "activation_function": "gelu",
                "scale_attn_weights": false, "scale_attn_by_inverse_layer_idx": true,
                "reorder_and_upcast_attn": true, "tie_word_embeddings": false, "eos_token_id": [5, 6],
                "something_else": {"a": 1}, "n_positions": null}"#,
        )
        .unwrap();
        let expected = Config {
            layers: 3,
            heads: 2,
            width: 8,
            hidden: 20,
            context: 16,
            vocabulary: 30,
            epsilon: 1e-3,
            activation: Activation::GeluErf,
            scale_scores: false,
            scale_scores_by_layer: true,
            upcast_attention: true,
            tied: false,
            end_of_text: Some(5),
        };
        assert_eq!(config, expected);
        assert_eq!(parse(r#"{"eos_token_id": null, "vocab_size": 9}"#).unwrap().end_of_text, None);
    }

    #[test]
    fn scores_are_scaled_as_the_options_say() {
        let config = Config::published(2, 4, 64);
        assert_eq!(config.score_scale(1), 0.25);
        assert_eq!(Config { scale_scores: false, ..config }.score_scale(1), 1.0);
        assert_eq!(Config { scale_scores_by_layer: true, ..config }.score_scale(1), 0.125);
    }

    #[test]
    fn what_is_not_supported_is_named_with_what_is() {
        for (text, error) in [
            (
                r#"{"activation_function": "relu"}"#,
                "has activation_function = \"relu\", which is not supported; supported is \"gelu_new\", \
                 \"gelu_pytorch_tanh\" or \"gelu\", so use a model that has it",
            ),
            (
                r#"{"add_cross_attention": true}"#,
                "has add_cross_attention = true, which is not supported; supported is false, so use a model that has it",
            ),
            (
                r#"{"model_type": "llama"}"#,
                "has model_type = \"llama\", which is not supported; supported is \"gpt2\", so use a model that has it",
            ),
            (
                r#"{"n_embd": 10, "n_head": 4}"#,
                "has n_embd = 10 and n_head = 4, but heads must divide the width evenly; correct them",
            ),
            (r#"{"n_layer": 0}"#, "has n_layer = 0, which no model can have; correct it"),
            (r#"{"eos_token_id": -1}"#, "has eos_token_id = -1, which is no token; correct it"),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
    }
}
