//! What a workload can ask for.

use crate::{Generation, Gpu, GpuState, ModelError, ModelInfo, Prompt, Request, Run, Sampling};

/// The harness, as a workload sees it.
pub trait Host {
    /// What the model is and where it runs.
    fn model(&self) -> ModelInfo;

    /// Token ids of a text.
    ///
    /// # Errors
    ///
    /// When the text can't be encoded.
    fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError>;

    /// Text of token ids; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    ///
    /// When the model has no such token.
    fn decode(&self, tokens: &[u32]) -> Result<String, ModelError>;

    /// One generation outside any measured run, for a plugin that has to look at the answer. It is not recorded.
    ///
    /// # Errors
    ///
    /// When the host can't serve it.
    fn generate(&self, request: &Request) -> Result<Generation, ModelError>;

    /// Serves the plan and records it. The run is on the user's disk when this returns.
    ///
    /// # Errors
    ///
    /// When the host can't serve it; on [`ModelError::DeviceLost`] and [`ModelError::Stopped`] nothing more can be measured.
    fn measure(&self, plan: &Plan) -> Result<Box<dyn Run>, ModelError>;

    /// The GPUs as their driver reports them; empty on a machine without one.
    fn gpus(&self) -> Vec<Gpu>;

    /// What the sensors of the GPU of that driver's number say now.
    ///
    /// # Errors
    ///
    /// When the driver has no such GPU or does not answer, with its words.
    fn gpu_state(&self, index: u32) -> Result<GpuState, String>;
}

/// What one measured run serves.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Names the run in the recording.
    pub label: String,
    /// Served in turn: with a batch of B, iteration i serves the requests i·B to i·B + B − 1, each modulo their number.
    pub requests: Vec<Request>,
    /// Measured iterations; the most of them where there is a time limit.
    pub iterations: u32,
    /// Iterations served first and not recorded.
    pub warmup: u32,
    /// Warm-up goes on until latency is steady, for at most so many iterations; `warmup` is the least then.
    pub warmup_until_steady: Option<u32>,
    /// Requests served together in one forward pass.
    pub batch: u32,
    /// Seconds from the start of the first measured iteration after which none begins.
    pub time_limit: Option<f64>,
}

impl Plan {
    /// A plan of 100 iterations after 3 of warm-up, one request at a time.
    pub fn new(label: impl Into<String>, requests: Vec<Request>) -> Self {
        let label = label.into();
        Self { label, requests, iterations: 100, warmup: 3, warmup_until_steady: None, batch: 1, time_limit: None }
    }

    /// Sets the number of measured iterations.
    #[must_use]
    pub fn iterations(mut self, count: u32) -> Self {
        self.iterations = count;
        self
    }

    /// Sets the number of iterations served first and not recorded.
    #[must_use]
    pub fn warmup(mut self, count: u32) -> Self {
        self.warmup = count;
        self
    }

    /// Goes on with warm-up until the level of latency is steady, by White's MSER ([`Steadiness`](crate::statistics::Steadiness)),
    /// for at most so many iterations. [`Run::extent`] says how many it were, and whether it got steady.
    #[must_use]
    pub fn warmup_until_steady(mut self, most: u32) -> Self {
        self.warmup_until_steady = Some(most);
        self
    }

    /// Sets how many requests are served together in one forward pass.
    #[must_use]
    pub fn batch(mut self, size: u32) -> Self {
        self.batch = size;
        self
    }

    /// Sets how many seconds, over 0, may pass since the start of the first measured iteration until none begins any more. The
    /// first is always served, and one that has begun to its end. [`Run::extent`] says how many it were.
    #[must_use]
    pub fn time_limit(mut self, seconds: f64) -> Self {
        self.time_limit = Some(seconds);
        self
    }
}

impl Generation {
    /// Seconds from the request to its first token; none when it gave no token.
    pub fn time_to_first_token(&self) -> Option<f64> {
        self.token_times.first().copied()
    }
}

impl Request {
    /// A greedy request for exactly `max_new_tokens` tokens.
    pub fn new(prompt: Prompt, max_new_tokens: u32) -> Self {
        Self { prompt, max_new_tokens, stop_at_end_of_text: false, sampling: None }
    }

    /// Lets the generation end early, where the model says so.
    #[must_use]
    pub fn stop_at_end_of_text(mut self, stop: bool) -> Self {
        self.stop_at_end_of_text = stop;
        self
    }

    /// Draws tokens instead of taking the most likely; none is greedy.
    #[must_use]
    pub fn sampling(mut self, sampling: Option<Sampling>) -> Self {
        self.sampling = sampling;
        self
    }
}
