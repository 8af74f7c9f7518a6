//! The memory's limit of decoding: what a step must read, and how fast this device's memory can be read.
//!
//! A step of decoding reads every weight of its matrices once, whatever the batch, and for each sequence the keys and values
//! of all positions before its token. Nothing of that can be left out, and a model is far larger than the caches, so bytes
//! over bandwidth is the least time that a step can take: the memory roof of Williams, Waterman and Patterson, 'Roofline: an
//! insightful visual performance model' (CACM 52(4), 2009). What else is moved (activations, the new keys and values, padding)
//! is left out: the share that is reached is, if anything, a little too low. Of a model that fits the caches it says nothing.

use crate::bandwidth::Bandwidth;
use crate::request::TokenRequest;

/// Bytes that decoding must read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Weights, once a step.
    pub step: u64,
    /// Rows of embeddings, for each sequence of a step.
    pub sequence: u64,
    /// Keys and values of all layers, for each earlier position of each sequence of a step.
    pub position: u64,
}

/// What the steps of some iterations read, counted as they are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Steps that gave a token after the first.
    steps: u64,
    /// Sequences of all these steps.
    sequences: u64,
    /// Earlier positions of all these sequences.
    positions: u64,
}

impl Steps {
    /// Counts what served these requests, of which each got so many new tokens.
    pub fn note(&mut self, requests: &[&TokenRequest], new_tokens: impl Iterator<Item = usize>) {
        let mut most = 0;
        for (request, tokens) in requests.iter().zip(new_tokens) {
            // The first token is the prompt's. The step for the one after it has the prompt before its own position.
            let (prompt, steps) = (request.prompt.len() as u64, tokens.saturating_sub(1) as u64);
            self.sequences += steps;
            self.positions += steps * prompt + steps * steps.saturating_sub(1) / 2;
            most = most.max(steps);
        }
        self.steps += most;
    }

    /// New tokens that they gave: one a sequence of each step.
    pub fn tokens(&self) -> u64 {
        self.sequences
    }

    /// The bytes that they had to read.
    pub fn bytes(&self, traffic: &Traffic) -> f64 {
        self.steps as f64 * traffic.step as f64
            + self.sequences as f64 * traffic.sequence as f64
            + self.positions as f64 * traffic.position as f64
    }
}

/// What a run's decoding is measured against.
#[derive(Clone, Debug, PartialEq)]
pub struct Roofline {
    /// How fast the memory can be read.
    pub bandwidth: Bandwidth,
    /// What must be read.
    pub traffic: Traffic,
}

impl Roofline {
    /// For a recording.
    pub fn facts(&self) -> Vec<(String, String)> {
        let Self { bandwidth, traffic } = self;
        [
            ("bandwidth", format!("{:.0}", bandwidth.rate)),
            ("spread", format!("{:.4}", bandwidth.spread)),
            ("method", format!("{}, {} reads of {} bytes, median", bandwidth.method, bandwidth.reads, bandwidth.bytes)),
            ("step_bytes", traffic.step.to_string()),
            ("sequence_bytes", traffic.sequence.to_string()),
            ("position_bytes", traffic.position.to_string()),
        ]
        .map(|(name, value)| (format!("roofline.{name}"), value))
        .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop_tokens::StopTokens;

    fn request(prompt: usize) -> TokenRequest {
        TokenRequest { prompt: vec![0; prompt], max_new_tokens: 50, stop_tokens: StopTokens::NONE, sampling: None }
    }

    #[test]
    fn a_step_reads_the_weights_once_and_each_sequences_past() {
        let traffic = Traffic { step: 1_000_000, sequence: 100, position: 10 };
        // Steps for the second, third and fourth token, with 5, 6 and 7 positions before them.
        let mut steps = Steps::default();
        steps.note(&[&request(5)], [4].into_iter());
        assert_eq!(steps.bytes(&traffic), 3e6 + 3.0 * 100.0 + (5 + 6 + 7) as f64 * 10.0);
        // Beside a second sequence that ends after two tokens, with 8 positions before its second; and again.
        let mut steps = Steps::default();
        for _ in 0..2 {
            steps.note(&[&request(5), &request(8)], [4, 2].into_iter());
        }
        assert_eq!(steps.bytes(&traffic), 2.0 * (3e6 + 4.0 * 100.0 + (5 + 6 + 7 + 8) as f64 * 10.0));
        let mut none = Steps::default();
        none.note(&[&request(5), &request(5)], [0, 1].into_iter());
        assert_eq!(none.bytes(&traffic), 0.0);
    }

    #[test]
    fn what_decoding_is_measured_against_is_recorded() {
        let bandwidth = Bandwidth::of(1000, &[0.5, 0.4, 1.0], "read by a kernel").unwrap();
        let traffic = Traffic { step: 400, sequence: 10, position: 4 };
        let facts = Roofline { bandwidth, traffic }.facts();
        let expected = [
            ("roofline.bandwidth", "2000"),
            ("roofline.spread", "0.7500"),
            ("roofline.method", "read by a kernel, 3 reads of 1000 bytes, median"),
            ("roofline.step_bytes", "400"),
            ("roofline.sequence_bytes", "10"),
            ("roofline.position_bytes", "4"),
        ];
        assert_eq!(facts, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_token_after_the_first_is_one_of_a_step() {
        let mut steps = Steps::default();
        steps.note(&[&request(5), &request(8), &request(2)], [4, 2, 0].into_iter());
        assert_eq!(steps.tokens(), 3 + 1);
        steps.note(&[&request(5)], [7].into_iter());
        assert_eq!(steps.tokens(), 4 + 6);
    }
}
