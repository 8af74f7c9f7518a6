//! A model that serves requests, one after another: its backend, its tokenizer and its clock. Nothing is recorded here.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, Served};
use crate::bandwidth::Bandwidth;
use crate::clock::Clock;
use crate::error::MeasureError;
use crate::model::ModelInfo;
use crate::request::{Finish, Request, TokenRequest};
use crate::tokenizer::Tokenizer;

/// Tokens of all prompts that are resolved together: the host holds them while it measures.
const MAX_PROMPT_TOKENS: usize = 1 << 24;

/// What a generation gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The tokens it started from.
    pub prompt: Vec<u32>,
    /// The new tokens.
    pub tokens: Vec<u32>,
    /// The new tokens decoded.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// From the request to its last token in host memory.
    pub latency: Duration,
    /// From the request to the k-th token.
    pub token_times: Vec<Duration>,
}

/// A model that serves requests.
pub struct Server {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Reused, so that a measured iteration allocates nothing.
    pub(crate) served: Served,
    tokenizer: Arc<dyn Tokenizer>,
    seed: u64,
}

impl Server {
    /// A server whose synthetic prompts are drawn from `seed`.
    pub fn new(backend: Box<dyn Backend>, tokenizer: Arc<dyn Tokenizer>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { backend, clock, served: Served::default(), tokenizer, seed }
    }

    /// The model.
    pub fn model(&self) -> &ModelInfo {
        self.backend.info()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Arc<dyn Tokenizer> {
        &self.tokenizer
    }

    /// The seed of synthetic prompts.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The request with its prompt as tokens, checked against the model. `index` numbers it among those of its plan, so that each
    /// synthetic prompt differs.
    pub fn resolve(&self, request: &Request, index: u64) -> Result<TokenRequest, MeasureError> {
        request.resolve(self.backend.info(), &*self.tokenizer, self.seed, index)
    }

    /// All requests of a plan, resolved.
    pub(crate) fn resolve_all(&self, requests: &[Request]) -> Result<Vec<TokenRequest>, MeasureError> {
        let mut resolved = Vec::new();
        let mut tokens = 0;
        for (request, index) in requests.iter().zip(0..) {
            let request = self.resolve(request, index)?;
            tokens += request.prompt.len();
            if tokens > MAX_PROMPT_TOKENS {
                return Err(MeasureError::Invalid(format!(
                    "its prompts have more than {MAX_PROMPT_TOKENS} tokens together; use fewer or shorter ones"
                )));
            }
            resolved.push(request);
        }
        Ok(resolved)
    }

    /// Makes ready for batches of these requests. A batch is as long as its longest prompt and its longest generation together.
    pub(crate) fn reserve(&mut self, batch: usize, requests: &[TokenRequest]) -> Result<(), MeasureError> {
        let prompt = requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0);
        let new = requests.iter().map(|request| request.max_new_tokens as usize).max().unwrap_or(0);
        Ok(self.backend.reserve(batch, prompt, prompt + new)?)
    }

    /// Serves one request, which may ask for no new tokens: then it is only encoded.
    pub fn generate(&mut self, request: &TokenRequest) -> Result<Generation, MeasureError> {
        let serves = request.max_new_tokens > 0;
        if serves {
            self.reserve(1, std::slice::from_ref(request))?;
        }
        let start = self.clock.now();
        if serves {
            self.backend.serve(&[request], &*self.clock, &mut self.served)?;
        } else {
            self.served.reset(1);
        }
        let latency = self.clock.now().saturating_sub(start);
        let sequence = self.served.sequences.first().cloned().unwrap_or_default();
        Ok(Generation {
            prompt: request.prompt.clone(),
            text: self.tokenizer.decode(&sequence.tokens).map_err(MeasureError::Invalid)?,
            tokens: sequence.tokens,
            finish: sequence.finish,
            latency,
            token_times: self.served.token_times.clone(),
        })
    }

    /// Serves one request `batch` times together; when the k-th token of the batch was there, from the start.
    pub fn time_tokens(&mut self, request: &TokenRequest, batch: usize) -> Result<&[Duration], MeasureError> {
        self.reserve(batch, std::slice::from_ref(request))?;
        self.backend.serve(&vec![request; batch], &*self.clock, &mut self.served)?;
        Ok(&self.served.token_times)
    }

    /// Logits after the last prompt token.
    pub fn prompt_logits(&mut self, prompt: &[u32]) -> Result<Vec<f32>, MeasureError> {
        Ok(self.backend.prompt_logits(prompt)?)
    }

    /// Reads the memory that the weights lie in as fast as it goes, for a moment; or why that can't be done.
    pub fn memory_bandwidth(&mut self) -> Result<Bandwidth, String> {
        self.backend.memory_bandwidth()
    }
}
