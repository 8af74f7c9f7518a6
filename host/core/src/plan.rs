//! What one measured run serves.

use sha2::{Digest, Sha256};

use crate::error::MeasureError;
use crate::request::{Prompt, Request};

/// Requests, and how often and how many at a time they are served.
#[derive(Clone, Debug, PartialEq)]
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
    /// The most requests of one batch.
    pub const MAX_BATCH: u32 = 4096;

    /// A plan with the contract's defaults: 100 iterations after 3 of warm-up, one request at a time.
    pub fn new(label: String, requests: Vec<Request>) -> Self {
        Self { label, requests, iterations: 100, warmup: 3, warmup_until_steady: None, batch: 1, time_limit: None }
    }

    /// What tells it from plans that ask for something else, but for the seed of the recording: the first 16 hexadecimal digits of a
    /// SHA-256 over all that it says.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        let Self { label, requests, iterations, warmup, warmup_until_steady, batch, time_limit } = self;
        add(label.as_bytes());
        for number in [*iterations, *warmup, *batch] {
            add(&number.to_le_bytes());
        }
        add(format!("{warmup_until_steady:?} {time_limit:?}").as_bytes());
        for Request { prompt, max_new_tokens, stop_at_end_of_text, sampling } in requests {
            match prompt {
                Prompt::Text(text) => {
                    add(b"text");
                    add(text.as_bytes());
                }
                Prompt::Tokens(tokens) => {
                    add(b"tokens");
                    tokens.iter().for_each(|token| add(&token.to_le_bytes()));
                }
                Prompt::Synthetic(length) => {
                    add(b"synthetic");
                    add(&length.to_le_bytes());
                }
            }
            add(format!("{max_new_tokens} {stop_at_end_of_text} {sampling:?}").as_bytes());
        }
        hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The most iterations of warm-up.
    pub fn most_warmup(&self) -> u32 {
        self.warmup_until_steady.map_or(self.warmup, |most| most.max(self.warmup))
    }

    /// Whether how much is served depends on what the model does: on how fast it is, or on when it is steady.
    pub fn is_open(&self) -> bool {
        self.time_limit.is_some() || self.warmup_until_steady.is_some()
    }

    /// Checks what can be checked without a model.
    pub fn check(&self) -> Result<(), MeasureError> {
        let wrong = |what: String| Err(MeasureError::Invalid(format!("run '{}': {what}", self.label)));
        if self.requests.is_empty() {
            return wrong("the plan has no requests; give at least one".into());
        }
        if self.iterations == 0 {
            return wrong("the plan has 0 iterations; measure at least 1".into());
        }
        if self.batch == 0 || self.batch > Self::MAX_BATCH {
            return wrong(format!("a batch of {} can't be served; use 1 to {}", self.batch, Self::MAX_BATCH));
        }
        if let Some(limit) = self.time_limit
            && !(limit.is_finite() && limit > 0.0)
        {
            return wrong(format!("a time limit of {limit} s can't be kept; use a finite number over 0"));
        }
        if let Some(index) = self.requests.iter().position(|request| request.max_new_tokens == 0) {
            return wrong(format!("request {index} asks for 0 new tokens; a measured request generates at least 1"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Prompt;

    fn plan() -> Plan {
        let request =
            Request { prompt: Prompt::Synthetic(1), max_new_tokens: 1, stop_at_end_of_text: false, sampling: None };
        Plan::new("run 1".into(), vec![request])
    }

    #[test]
    fn what_can_not_be_served_is_refused_with_what_can() {
        for served in [
            plan(),
            Plan { iterations: 1, warmup: 0, batch: 4096, ..plan() },
            Plan { time_limit: Some(0.1), ..plan() },
            Plan { time_limit: Some(f64::MAX), ..plan() },
        ] {
            assert_eq!(served.check(), Ok(()), "{served:?}");
        }
        let nothing_new = || Request { max_new_tokens: 0, ..plan().requests[0].clone() };
        let limit = |time_limit| Plan { time_limit: Some(time_limit), ..plan() };
        for (plan, told) in [
            (Plan { requests: Vec::new(), ..plan() }, "the plan has no requests; give at least one"),
            (Plan { iterations: 0, ..plan() }, "the plan has 0 iterations; measure at least 1"),
            (Plan { batch: 0, ..plan() }, "a batch of 0 can't be served; use 1 to 4096"),
            (Plan { batch: 4097, ..plan() }, "a batch of 4097 can't be served; use 1 to 4096"),
            (limit(0.0), "a time limit of 0 s can't be kept; use a finite number over 0"),
            (limit(-1.0), "a time limit of -1 s can't be kept; use a finite number over 0"),
            (limit(f64::INFINITY), "a time limit of inf s can't be kept; use a finite number over 0"),
            (limit(f64::NAN), "a time limit of NaN s can't be kept; use a finite number over 0"),
            (
                Plan { requests: vec![plan().requests[0].clone(), nothing_new()], ..plan() },
                "request 1 asks for 0 new tokens; a measured request generates at least 1",
            ),
        ] {
            assert_eq!(plan.check(), Err(MeasureError::Invalid(format!("run 'run 1': {told}"))));
        }
    }

    #[test]
    fn how_much_a_plan_serves_is_known_or_open() {
        let (limited, steady) =
            (Plan { time_limit: Some(1.0), ..plan() }, |most| Plan { warmup_until_steady: Some(most), ..plan() });
        assert_eq!((plan().most_warmup(), steady(50).most_warmup(), steady(2).most_warmup()), (3, 50, 3));
        assert_eq!([plan(), limited, steady(50)].map(|plan| plan.is_open()), [false, true, true]);
    }
}
