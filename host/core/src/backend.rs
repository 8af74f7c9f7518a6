//! What computes the model.

use std::time::Duration;

use crate::bandwidth::Bandwidth;
use crate::clock::Clock;
use crate::error::BackendError;
use crate::model::ModelInfo;
use crate::request::{Finish, TokenRequest};

/// One generated sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequence {
    /// The new tokens, without the prompt.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
}

impl Sequence {
    /// Adds the next token of a request's answer; whether that was its last, for its number or because it ends the text.
    pub fn push(&mut self, token: u32, request: &TokenRequest) -> bool {
        self.tokens.push(token);
        if request.stop_tokens.contains(token) {
            self.finish = Finish::EndOfText;
            return true;
        }
        self.tokens.len() == request.max_new_tokens as usize
    }
}

/// What one call of [`Backend::serve`] gave. The runner reuses it, so that a measured iteration allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// One for each request, in their order.
    pub sequences: Vec<Sequence>,
    /// When the k-th new token of the batch was there, from the start of the call. As many as the longest sequence has.
    pub token_times: Vec<Duration>,
    /// Time that the device was given between the first and the last piece of work, where it can be measured; see
    /// [`Backend::note_device_time`].
    pub device_time: Option<Duration>,
}

impl Served {
    /// Empties it for `batch` sequences and keeps the allocations.
    pub fn reset(&mut self, batch: usize) {
        self.sequences.resize_with(batch, Sequence::default);
        for sequence in &mut self.sequences {
            sequence.tokens.clear();
            sequence.finish = Finish::Length;
        }
        self.token_times.clear();
        self.device_time = None;
    }
}

/// What a [`Memory`] reading counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Bytes that this process holds on the GPU.
    Device,
    /// Bytes of this process in the machine's memory.
    Resident,
}

/// Live and highest bytes since the last reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What is counted.
    pub kind: MemoryKind,
    /// Live bytes.
    pub allocated: u64,
    /// Highest live bytes since [`Backend::reset_peak_memory`].
    pub peak: u64,
}

/// A model on a device.
pub trait Backend: Send {
    /// What it is.
    fn info(&self) -> &ModelInfo;

    /// Makes ready for batches of `batch` sequences of at most `length` tokens (prompt and new ones together), whose longest
    /// prompt has `prompt`, so that serving them needs no memory that is not there.
    fn reserve(&mut self, batch: usize, prompt: usize, length: usize) -> Result<(), BackendError>;

    /// Serves the requests together. It returns when the last token of each is in host memory and the device is idle.
    fn serve(&mut self, requests: &[&TokenRequest], clock: &dyn Clock, served: &mut Served)
    -> Result<(), BackendError>;

    /// Sets [`Served::device_time`] of the call of [`Backend::serve`] just before, unless that has: for a backend that
    /// asks its driver for it, which takes time that no request should have in its latency. It may also make ready for
    /// the next call.
    fn note_device_time(&mut self, _served: &mut Served) -> Result<(), BackendError> {
        Ok(())
    }

    /// Logits after the last token of a prompt, one for each token of the vocabulary.
    fn prompt_logits(&mut self, prompt: &[u32]) -> Result<Vec<f32>, BackendError>;

    /// Live and peak memory, or why that can't be told.
    fn memory(&mut self) -> Result<Memory, String>;

    /// Starts the peak of [`Backend::memory`] anew.
    fn reset_peak_memory(&mut self);

    /// Why [`Served::device_time`] is never set; `None` when it is.
    fn no_device_time(&self) -> Option<String>;

    /// Reads the memory that the weights lie in as fast as it goes, for a moment; or why that can't be done.
    fn memory_bandwidth(&mut self) -> Result<Bandwidth, String> {
        Err(format!("the backend {} does not measure its memory", self.info().backend))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop_tokens::StopTokens;

    #[test]
    fn a_sequence_ends_with_its_number_or_with_the_text() {
        let request = TokenRequest {
            prompt: vec![1],
            max_new_tokens: 3,
            stop_tokens: StopTokens::new([9]).unwrap(),
            sampling: None,
        };
        for (tokens, last, finish) in [
            (&[5, 6, 7][..], &[false, false, true][..], Finish::Length),
            (&[5, 9], &[false, true], Finish::EndOfText),
            (&[5, 6, 9], &[false, false, true], Finish::EndOfText),
        ] {
            let mut served = Served { sequences: vec![Sequence::default()], ..Served::default() };
            let sequence = &mut served.sequences[0];
            assert_eq!(tokens.iter().map(|&token| sequence.push(token, &request)).collect::<Vec<_>>(), last);
            assert_eq!((&sequence.tokens[..], sequence.finish), (tokens, finish));
            // Nothing of it is in the next call's answer.
            (served.token_times, served.device_time) = (vec![Duration::ZERO], Some(Duration::ZERO));
            served.reset(2);
            assert_eq!(served.sequences, [Sequence::default(), Sequence::default()]);
            assert!(served.token_times.is_empty() && served.device_time.is_none());
        }
    }
}
