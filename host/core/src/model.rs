//! What a model is, and where it runs.

use crate::stop_tokens::StopTokens;

/// What the model is and where it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// As the user named it.
    pub name: String,
    /// `candle`, `fused` or `simulated`.
    pub backend: String,
    /// `cpu`, `cuda:0`, `virtual` …
    pub device: String,
    /// Of the weights: `f32`, `f16` or `bf16`.
    pub dtype: String,
    /// `sha256:…` of the checkpoint, or `synthetic:<seed>`.
    pub weights: String,
    /// Number of weights; a tied head counts once.
    pub parameters: u64,
    /// Transformer blocks.
    pub layers: u32,
    /// Attention heads a block.
    pub heads: u32,
    /// Size of the residual stream.
    pub width: u32,
    /// Number of token ids.
    pub vocabulary: u32,
    /// Most tokens of a sequence.
    pub context: u32,
    /// The tokens that end a text.
    pub stop_tokens: StopTokens,
    /// How [`Served::token_times`](crate::backend::Served::token_times) came about.
    pub token_times: TokenTimes,
}

impl ModelInfo {
    /// Whether the weights are drawn from a seed rather than trained.
    pub fn synthetic(&self) -> bool {
        self.weights.starts_with("synthetic:")
    }
}

/// Where a backend takes the times of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTimes {
    /// The host saw each token in its own memory.
    Host,
    /// All tokens came at the end; the device stamped them.
    Device,
}

impl TokenTimes {
    /// For a recording's facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Device => "device",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn info() -> ModelInfo {
        ModelInfo {
            name: "played".into(),
            backend: "played".into(),
            device: "virtual".into(),
            dtype: "f32".into(),
            weights: "synthetic:1".into(),
            parameters: 1,
            layers: 1,
            heads: 1,
            width: 1,
            vocabulary: 256,
            context: 100,
            stop_tokens: StopTokens::NONE,
            token_times: TokenTimes::Host,
        }
    }

    #[test]
    fn facts_of_a_model_are_told_apart() {
        let of = |weights: &str| ModelInfo { weights: weights.into(), ..info() };
        assert!(of("synthetic:7").synthetic() && !of("sha256:00").synthetic());
        assert_eq!([TokenTimes::Host, TokenTimes::Device].map(TokenTimes::as_str), ["host", "device"]);
    }
}
