//! The tokens of one call as they come in.

use std::time::Duration;

use harness_core::{Served, TokenRequest};

use super::memory::{Memory, NO_NUMBER};

/// What was taken of a call's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Every token that the device was asked for.
    All,
    /// All that are needed: every text has ended, and the device may give more.
    Needed,
    /// Not even those.
    Some,
}

/// The tokens of one call as they come in.
pub(crate) struct Tokens<'a> {
    requests: &'a [&'a TokenRequest],
    served: &'a mut Served,
    /// Of the longest sequence.
    steps: usize,
    /// Of these, how many were taken.
    taken: usize,
    /// Of the next token, how many sequences have it.
    seen: usize,
    next: Vec<u32>,
    done: Vec<bool>,
    /// Whether the logits of a sequence were not numbers.
    no_numbers: bool,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(requests: &'a [&'a TokenRequest], steps: usize, served: &'a mut Served) -> Self {
        let done = requests.iter().map(|request| request.max_new_tokens == 0).collect();
        Self { requests, served, steps, taken: 0, seen: 0, next: vec![0; requests.len()], done, no_numbers: false }
    }

    /// How many of the longest sequence were taken.
    pub(crate) fn count(&self) -> usize {
        self.taken
    }

    /// Of all tokens.
    pub(crate) fn taken(&self) -> Taken {
        if self.taken == self.steps {
            Taken::All
        } else if self.finished() {
            Taken::Needed
        } else {
            Taken::Some
        }
    }

    /// Whether the logits of a sequence were not numbers, so that there is no token after those that were taken.
    pub(crate) fn no_numbers(&self) -> bool {
        self.no_numbers
    }

    /// Whether all are taken that are needed.
    pub(crate) fn finished(&self) -> bool {
        self.taken == self.steps || self.done.iter().all(|&done| done)
    }

    /// Whether the next token of every sequence is there.
    pub(crate) fn look(&mut self, memory: &Memory) -> bool {
        let batch = self.requests.len();
        while self.taken < self.steps && self.seen < batch {
            let Some(token) = memory.take_token(self.taken * batch + self.seen) else { return false };
            self.next[self.seen] = token;
            self.seen += 1;
        }
        self.taken < self.steps
    }

    /// Takes the next tokens, which are there since `time`.
    pub(crate) fn take(&mut self, time: Duration) {
        if self.done.iter().all(|&done| done) {
            self.taken += 1;
            self.seen = 0;
            return;
        }
        self.served.token_times.push(time);
        for (index, (request, sequence)) in self.requests.iter().zip(&mut self.served.sequences).enumerate() {
            if self.done[index] {
                continue;
            }
            self.no_numbers |= self.next[index] == NO_NUMBER;
            self.done[index] = sequence.push(self.next[index], request);
        }
        if self.no_numbers {
            self.done.fill(true);
        }
        self.taken += 1;
        self.seen = 0;
    }
}
