//! What a plugin asks to be generated.

use crate::error::MeasureError;
use crate::model::ModelInfo;
use crate::random::Stream;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::tests::info;

    struct Bytes;

    impl Tokenizer for Bytes {
        fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
            text.is_ascii().then(|| text.bytes().map(u32::from).collect()).ok_or_else(|| "it is not ASCII".into())
        }

        fn decode(&self, _tokens: &[u32]) -> Result<String, String> {
            Err("nothing is decoded here".into())
        }
    }

    fn resolve(prompt: Prompt, max_new_tokens: u32, sampling: Option<Sampling>) -> Result<TokenRequest, MeasureError> {
        Request { prompt, max_new_tokens, stop_at_end_of_text: false, sampling }.resolve(&info(), &Bytes, 7, 0)
    }

    #[test]
    fn what_fits_the_context_is_served_and_nothing_longer() {
        let tokens = |length| Prompt::Tokens(vec![255; length]);
        for (prompt, new, length) in [
            (Prompt::Text("hello".into()), 95, 5),
            (tokens(97), 3, 97),
            (Prompt::Synthetic(97), 3, 97),
            // What is only encoded or drawn.
            (tokens(101), 0, 101),
            (Prompt::Synthetic(100), 0, 100),
        ] {
            assert_eq!(resolve(prompt.clone(), new, None).unwrap().prompt.len(), length, "{prompt:?}");
        }
        for (prompt, new, length) in [
            (Prompt::Text("hello".into()), 96, 5),
            (tokens(98), 3, 98),
            (tokens(1), u32::MAX, 1),
            (Prompt::Synthetic(98), 3, 98),
            (Prompt::Synthetic(101), 0, 101),
            (Prompt::Synthetic(u32::MAX), 0, u32::MAX),
            (Prompt::Synthetic(u32::MAX), u32::MAX, u32::MAX),
        ] {
            let told = format!(
                "the prompt has {length} tokens and {new} new ones were asked for, which does not fit the context of 100 \
                 tokens of played; shorten the prompt or ask for fewer tokens"
            );
            assert_eq!(resolve(prompt, new, None), Err(MeasureError::TooLong(told)));
        }
    }

    #[test]
    fn a_prompt_is_of_the_models_tokens() {
        for (prompt, told) in [
            (Prompt::Text("é".into()), "it is not ASCII"),
            (Prompt::Text(String::new()), "the prompt has no tokens; give at least one"),
            (Prompt::Synthetic(0), "the prompt has no tokens; give at least one"),
            (
                Prompt::Tokens(vec![255, 256]),
                "the prompt has token 256, but played has only the tokens 0 to 255; use a tokenizer and a model that \
                 belong together",
            ),
        ] {
            assert_eq!(resolve(prompt, 1, None), Err(MeasureError::Invalid(told.into())));
        }
    }

    #[test]
    fn sampling_is_checked() {
        let of = |temperature, top_k, top_p| Some(Sampling { temperature, top_k, top_p, seed: 1 });
        for sampling in [
            None,
            of(1.0, None, None),
            of(1e-4, Some(1), Some(1.0)),
            of(1e9, Some(u32::MAX), Some(0.5)),
            of(0.7, None, Some(f32::MIN_POSITIVE)),
        ] {
            assert_eq!(resolve(Prompt::Synthetic(3), 1, sampling).unwrap().sampling, sampling);
        }
        let range = |p: &str| format!("top-p is {p}, and must be over 0 and at most 1");
        let least = |temperature: &str| {
            format!(
                "temperature is {temperature}, and must be at least 0.0001; leave sampling out for greedy generation"
            )
        };
        for (sampling, told) in [
            (of(0.0, None, None), least("0")),
            (of(-1.0, None, None), least("-1")),
            (of(0.00009, None, None), least("0.00009")),
            (of(f32::NAN, None, None), least("NaN")),
            (of(f32::INFINITY, None, None), least("inf")),
            (of(1.0, Some(0), None), "top-k is 0, and must be 1 or more".into()),
            (of(1.0, None, Some(0.0)), range("0")),
            (of(1.0, None, Some(-0.5)), range("-0.5")),
            (of(1.0, None, Some(1.5)), range("1.5")),
            (of(1.0, None, Some(f32::NAN)), range("NaN")),
        ] {
            assert_eq!(resolve(Prompt::Synthetic(3), 1, sampling), Err(MeasureError::Invalid(told)));
        }
    }

    #[test]
    fn a_generation_ends_early_only_where_that_is_wanted() {
        let model = ModelInfo { stop_tokens: StopTokens::new([3, 5]).unwrap(), ..info() };
        for (wanted, stop_tokens) in [(true, model.stop_tokens), (false, StopTokens::NONE)] {
            let prompt = Prompt::Tokens(vec![1]);
            let request = Request { prompt, max_new_tokens: 1, stop_at_end_of_text: wanted, sampling: None };
            assert_eq!(request.resolve(&model, &Bytes, 7, 0).unwrap().stop_tokens, stop_tokens);
        }
    }

    proptest! {
        #[test]
        fn a_synthetic_prompt_has_every_token_but_those_that_end_a_text(
            vocabulary in 1..30_u32, stops in prop::collection::vec(0..30_u32, 0..16), seed: u64,
        ) {
            let stop_tokens = StopTokens::new(stops).unwrap();
            let model = ModelInfo { vocabulary, context: 1000, stop_tokens, ..info() };
            let of = |index: u64| {
                let prompt = Prompt::Synthetic(999);
                Request { prompt, max_new_tokens: 1, stop_at_end_of_text: true, sampling: None }
                    .resolve(&model, &Bytes, seed, index).unwrap().prompt
            };
            let prompt = of(0);
            let others: Vec<u32> = (0..vocabulary).filter(|&token| !stop_tokens.contains(token)).collect();
            let mut seen = prompt.clone();
            seen.sort_unstable();
            seen.dedup();
            if others.is_empty() {
                prop_assert!(seen.iter().all(|&token| token < vocabulary));
            } else {
                prop_assert_eq!(&seen, &others);
            }
            prop_assert_eq!(&prompt, &of(0));
            prop_assert!(others.len() == 1 || vocabulary == 1 || prompt != of(1));
        }
    }
}
