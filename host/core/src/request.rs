//! What a plugin asks to be generated.

use crate::backend::ModelInfo;
use crate::random::Stream;
use crate::session::MeasureError;
use crate::stop_tokens::StopTokens;
use crate::tokenizer::Tokenizer;

/// What a request starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Encoded by the model's tokenizer before anything is measured.
    Text(String),
    /// Token ids as they are.
    Tokens(Vec<u32>),
    /// That many tokens drawn from the recording's seed.
    Synthetic(u32),
}

/// How the next token is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; over 0.
    pub temperature: f32,
    /// Draw from the k most likely tokens only; 1 or more.
    pub top_k: Option<u32>,
    /// Draw from the most likely tokens that together reach this probability; in (0, 1].
    pub top_p: Option<f32>,
    /// The same seed draws the same tokens.
    pub seed: u64,
}

impl Sampling {
    fn check(&self) -> Result<(), MeasureError> {
        // Under the least one, logits divided by it are no numbers any more, and drawing is greedy anyway.
        const LEAST: f32 = 1e-4;
        if !self.temperature.is_finite() || self.temperature < LEAST {
            return Err(MeasureError::Invalid(format!(
                "temperature is {}, and must be at least {LEAST}; leave sampling out for greedy generation",
                self.temperature
            )));
        }
        if self.top_k == Some(0) {
            return Err(MeasureError::Invalid("top-k is 0, and must be 1 or more".into()));
        }
        if let Some(p) = self.top_p
            && !(p > 0.0 && p <= 1.0)
        {
            return Err(MeasureError::Invalid(format!("top-p is {p}, and must be over 0 and at most 1")));
        }
        Ok(())
    }
}

/// One sequence to generate, as a plugin asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What it starts from.
    pub prompt: Prompt,
    /// The most tokens it gives.
    pub max_new_tokens: u32,
    /// False makes the generation exactly `max_new_tokens` long.
    pub stop_at_end_of_text: bool,
    /// `None` is greedy.
    pub sampling: Option<Sampling>,
}

impl Request {
    /// Resolves the prompt to tokens and checks that the model can serve the request. `index` numbers the requests
    /// of a plan, so that each synthetic prompt of a plan differs.
    pub fn resolve(
        &self,
        model: &ModelInfo,
        tokenizer: &dyn Tokenizer,
        seed: u64,
        index: u64,
    ) -> Result<TokenRequest, MeasureError> {
        if let Some(sampling) = &self.sampling {
            sampling.check()?;
        }
        let too_long = |length: u64| {
            MeasureError::TooLong(format!(
                "the prompt has {length} tokens and {} new ones were asked for, which does not fit the context of {} \
                 tokens of {}; shorten the prompt or ask for fewer tokens",
                self.max_new_tokens, model.context, model.name
            ))
        };
        // What is only encoded need not fit.
        let fits = |length: u64| {
            length + u64::from(self.max_new_tokens) <= u64::from(model.context) || self.max_new_tokens == 0
        };
        let prompt = match &self.prompt {
            Prompt::Text(text) => tokenizer.encode(text).map_err(MeasureError::Invalid)?,
            Prompt::Tokens(tokens) => tokens.clone(),
            // Before drawing: a guest may ask for four billion.
            Prompt::Synthetic(length) if *length > model.context || !fits(u64::from(*length)) => {
                return Err(too_long(u64::from(*length)));
            }
            Prompt::Synthetic(length) => {
                let stream = Stream::new(seed, index);
                (0..u64::from(*length)).map(|i| synthetic_token(&stream, i, model)).collect()
            }
        };
        if prompt.is_empty() {
            return Err(MeasureError::Invalid("the prompt has no tokens; give at least one".into()));
        }
        if let Some(token) = prompt.iter().find(|&&token| token >= model.vocabulary) {
            return Err(MeasureError::Invalid(format!(
                "the prompt has token {token}, but {} has only the tokens 0 to {}; use a tokenizer and a model that \
                 belong together",
                model.name,
                model.vocabulary.saturating_sub(1)
            )));
        }
        if !fits(prompt.len() as u64) {
            return Err(too_long(prompt.len() as u64));
        }
        Ok(TokenRequest {
            prompt,
            max_new_tokens: self.max_new_tokens,
            stop_tokens: if self.stop_at_end_of_text { model.stop_tokens } else { StopTokens::NONE },
            sampling: self.sampling,
        })
    }
}

/// A token that ends no text, which would look like the border of two documents; any where all of them do.
fn synthetic_token(stream: &Stream, index: u64, model: &ModelInfo) -> u32 {
    let vocabulary = model.vocabulary.max(1);
    let token = stream.below(index, vocabulary);
    // Of so many in a row, one is none.
    let mut next = (0..=StopTokens::MAX as u32).map(|step| (token + step) % vocabulary);
    next.find(|&token| !model.stop_tokens.contains(token)).unwrap_or(token)
}

/// A request that a backend can serve: its prompt is tokens, and it fits the context.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRequest {
    /// At least one token, each smaller than the vocabulary.
    pub prompt: Vec<u32>,
    /// The most tokens to generate.
    pub max_new_tokens: u32,
    /// The tokens that end the generation early, where that is wanted.
    pub stop_tokens: StopTokens,
    /// `None` is greedy.
    pub sampling: Option<Sampling>,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// It has as many tokens as were asked for.
    #[default]
    Length,
    /// The model said so.
    EndOfText,
}
