//! GPT-2's architecture, as config.json has it.

use std::path::Path;

use harness_core::{StopTokens, input, keyed};
use serde::Deserialize;
use serde_json::Value;

use super::names::CONFIG_FILE;
use super::{lfs, stop};
use crate::error::LoadError;

/// How a model generates, which may name other tokens that end a text.
pub(crate) const GENERATION_FILE: &str = "generation_config.json";

/// The classes of transformers whose weights are those of a language model.
const ARCHITECTURES: [&str; 3] = ["GPT2LMHeadModel", "GPT2DoubleHeadsModel", "GPT2Model"];

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
    /// The tokens that end a text.
    pub stop_tokens: StopTokens,
}

/// config.json, as far as it matters here. What is left out has the default of transformers' `GPT2Config`.
#[derive(Deserialize)]
struct Json {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    // Each of transformers' general names, its `attribute_map`, stands for one of GPT-2's.
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    hidden_size: Option<usize>,
    max_position_embeddings: Option<usize>,
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
    #[serde(default, deserialize_with = "stop::present")]
    eos_token_id: Option<Value>,
    quantization_config: Option<Value>,
    pruned_heads: Option<Value>,
}

/// generation_config.json, as far as it matters here.
#[derive(Deserialize)]
struct Generation {
    #[serde(default, deserialize_with = "stop::present")]
    eos_token_id: Option<Value>,
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
            stop_tokens: StopTokens::new([stop::END_OF_TEXT]).unwrap_or_default(),
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

    /// Reads a folder's config.json, and of its generation_config.json what ends a text.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, LoadError> {
        let config = Self::read(&folder.join(CONFIG_FILE))?;
        let path = folder.join(GENERATION_FILE);
        if path.symlink_metadata().is_err() {
            return Ok(config);
        }
        let shown = path.display();
        let unusable = |what: String| LoadError::Unusable(format!("the file {shown} {what}"));
        let text = input::read_text(&path, MAX_BYTES).map_err(|error| {
            unusable(format!("can't be read: {}; copy it again from the model's source", error.fault))
        })?;
        lfs::refuse_pointer(&path, text.as_bytes())?;
        let json: Generation = keyed::document(text.as_bytes()).map_err(|error| {
            unusable(format!("can't be understood: {error}; copy it again from the model's source"))
        })?;
        match stop::tokens(json.eos_token_id.as_ref(), config.vocabulary).map_err(unusable)? {
            Some(stop_tokens) => Ok(Self { stop_tokens, ..config }),
            None => Ok(config),
        }
    }

    /// Reads a config.json.
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
        lfs::refuse_pointer(path, text.as_bytes())?;
        let json: Json = keyed::document(text.as_bytes()).map_err(|error| {
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
        if let Some(kinds) = &json.architectures
            && !kinds.is_empty()
            && !kinds.iter().any(|kind| ARCHITECTURES.contains(&kind.as_str()))
        {
            let quoted = |kinds: &[&str]| kinds.iter().map(|kind| format!("\"{kind}\"")).collect::<Vec<_>>();
            let [first, middle, last] = ARCHITECTURES.map(|kind| format!("\"{kind}\""));
            let kinds: Vec<_> = kinds.iter().map(String::as_str).collect();
            let found = format!("[{}]", quoted(&kinds).join(", "));
            return unsupported("architectures", &found, &format!("{first}, {middle} or {last}"));
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
        let size = |names: [&str; 2], sizes: [Option<usize>; 2]| match sizes {
            [Some(one), Some(other)] if one != other => Err(format!(
                "has {} = {one} and {} = {other}, which are two names of one size; correct it",
                names[0], names[1]
            )),
            [one, other] => Ok(one.or(other)),
        };
        let layers = size(["n_layer", "num_hidden_layers"], [json.n_layer, json.num_hidden_layers])?;
        let heads = size(["n_head", "num_attention_heads"], [json.n_head, json.num_attention_heads])?;
        let width = size(["n_embd", "hidden_size"], [json.n_embd, json.hidden_size])?.unwrap_or(published.width);
        let context =
            size(["n_positions", "max_position_embeddings"], [json.n_positions, json.max_position_embeddings])?;
        let config = Self {
            layers: layers.unwrap_or(published.layers),
            heads: heads.unwrap_or(published.heads),
            width,
            hidden: json.n_inner.unwrap_or(width.saturating_mul(4)),
            context: context.or(json.n_ctx).unwrap_or(published.context),
            vocabulary: json.vocab_size.unwrap_or(published.vocabulary),
            epsilon: json.layer_norm_epsilon.unwrap_or(published.epsilon),
            activation,
            scale_scores: json.scale_attn_weights.unwrap_or(true),
            scale_scores_by_layer: json.scale_attn_by_inverse_layer_idx.unwrap_or(false),
            upcast_attention: json.reorder_and_upcast_attn.unwrap_or(false),
            tied: json.tie_word_embeddings.unwrap_or(true),
            stop_tokens: StopTokens::NONE,
        };
        config.check()?;
        // What transformers takes where config.json has none.
        let of_default =
            || StopTokens::new([stop::END_OF_TEXT].into_iter().filter(|&token| (token as usize) < config.vocabulary));
        let stop_tokens =
            stop::tokens(json.eos_token_id.as_ref(), config.vocabulary)?.or_else(of_default).unwrap_or_default();
        Ok(Self { stop_tokens, ..config })
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
            stop_tokens: StopTokens::new([5, 6]).unwrap(),
        };
        assert_eq!(config, expected);
        let aliases =
            r#"{"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 8, "max_position_embeddings": 16}"#;
        let config = parse(aliases).unwrap();
        assert_eq!((config.layers, config.heads, config.width, config.context), (3, 2, 8, 16));
    }

    #[test]
    fn tokens_that_end_a_text_are_those_of_the_vocabulary() {
        let stop = |text: &str| parse(text).unwrap().stop_tokens.as_slice().to_vec();
        assert_eq!(stop("{}"), [50_256]);
        assert_eq!(stop(r#"{"vocab_size": 9}"#), [0_u32; 0]);
        assert_eq!(stop(r#"{"eos_token_id": null}"#), [0_u32; 0]);
        assert_eq!(stop(r#"{"eos_token_id": 8, "vocab_size": 9}"#), [8]);
        assert_eq!(stop(r#"{"eos_token_id": [8, 9, 8, 0], "vocab_size": 9}"#), [8, 0]);
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
            (r#"{"eos_token_id": [1, "a"]}"#, "has eos_token_id = \"a\", which is no token; correct it"),
            (
                r#"{"eos_token_id": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]}"#,
                "has more than 16 tokens in eos_token_id, which is not supported; leave some of them out",
            ),
            (
                r#"{"n_embd": 8, "hidden_size": 16}"#,
                "has n_embd = 8 and hidden_size = 16, which are two names of one size; correct it",
            ),
            (
                r#"{"architectures": ["GPT2ForSequenceClassification"]}"#,
                "has architectures = [\"GPT2ForSequenceClassification\"], which is not supported; supported is \
                 \"GPT2LMHeadModel\", \"GPT2DoubleHeadsModel\" or \"GPT2Model\", so use a model that has it",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
    }
}
