//! What the device has to know of a batch's requests: their prompts, in the parts that are read in one pass each, and how
//! their tokens are chosen. It is put straight from the requests to where the device fetches it, because until then the
//! device has nothing to do.

use std::ops::Range;

use harness_core::{Sampling, TokenRequest};

use super::args::{Choice, Row};
use super::driver::Mapped;
use super::plain::{Plain, bytes};
use super::shape::{ChoiceShape, FEW_ROWS, PromptShape, QUERY_TILE};

/// Sequences whose prompts are read in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Number of the pass.
    pub(crate) pass: usize,
    pub(crate) sequences: Range<usize>,
    /// Tokens, with padding.
    pub(crate) rows: usize,
    /// Tokens of the longest prompt.
    longest: usize,
}

impl Part {
    pub(crate) fn shape(&self, choice: ChoiceShape) -> PromptShape {
        PromptShape {
            pass: self.pass,
            rows: self.rows,
            sequences: self.sequences.len(),
            tiles: self.longest.div_ceil(QUERY_TILE),
            first: self.sequences.start,
            choice,
        }
    }
}

/// The requests in parts whose prompts have at most `most` tokens together, or a single one more.
pub(crate) fn parts<'a>(requests: &'a [&'a TokenRequest], most: usize) -> impl Iterator<Item = Part> + 'a {
    let mut start = 0;
    (0..).map_while(move |pass| {
        let lengths = requests.get(start..)?.iter().map(|request| request.prompt.len());
        let (mut count, mut tokens, mut longest) = (0, 0, 0);
        for length in lengths {
            if count > 0 && tokens + length > most {
                break;
            }
            (count, tokens, longest) = (count + 1, tokens + length, longest.max(length));
        }
        let sequences = start..start + count;
        start += count;
        let rows = padded_rows(tokens, most.max(tokens));
        (count > 0).then_some(Part { pass, sequences, rows, longest })
    })
}

/// Rows of a pass are padded to a number that few prompts differ in, so that few graphs serve many lengths.
fn padded_rows(rows: usize, most: usize) -> usize {
    let step = match rows {
        0..=FEW_ROWS => 1,
        17..=128 => 8,
        129..=1024 => 32,
        _ => 128,
    };
    rows.next_multiple_of(step).min(most)
}

/// How a sequence's tokens are chosen.
pub(crate) fn choice(sampling: Option<&Sampling>) -> Choice {
    let greedy = Choice { seed: 0, temperature: 0.0, top_k: 0, top_p: 1.0, reserved: 0 };
    sampling.map_or(greedy, |sampling| Choice {
        seed: sampling.seed,
        temperature: sampling.temperature,
        top_k: sampling.top_k.unwrap_or(0),
        top_p: sampling.top_p.unwrap_or(1.0),
        ..greedy
    })
}

/// Whether a token is drawn among the most likely ones only; `kernels/choose.cu` has the same rule.
pub(crate) fn is_restricted(choice: &Choice, vocabulary: u32) -> bool {
    choice.temperature != 0.0 && ((choice.top_k > 0 && choice.top_k < vocabulary) || choice.top_p < 1.0)
}

/// Where in a job, in bytes from its start, the device finds what. First what belongs to the sequences, for as many as
/// there is memory for; then what belongs to a pass over prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobPlaces {
    /// A [`Row`] of each sequence.
    pub(crate) state_rows: usize,
    /// A [`Choice`] of each sequence.
    pub(crate) choices: usize,
    /// The number of steps that each sequence has taken.
    pub(crate) steps: usize,
    /// A [`Row`] of each token.
    pub(crate) rows: usize,
    /// The tokens.
    pub(crate) tokens: usize,
    /// The first row of each sequence, and the end of the last one.
    pub(crate) starts: usize,
    /// The place in the cache of each sequence.
    pub(crate) slots: usize,
    pub(crate) bytes: usize,
}

impl JobPlaces {
    /// For memory of `most` sequences, and a pass over `sequences` prompts of `rows` tokens.
    pub(crate) fn new(most: usize, rows: usize, sequences: usize) -> Self {
        let choices = most * size_of::<Row>();
        let steps = choices + most * size_of::<Choice>();
        let rows_at = (steps + 4 * most).next_multiple_of(8);
        let tokens = rows_at + rows * size_of::<Row>();
        let starts = tokens + 4 * rows;
        let slots = starts + 4 * (sequences + 1);
        Self { state_rows: 0, choices, steps, rows: rows_at, tokens, starts, slots, bytes: slots + 4 * sequences }
    }

    /// Where what a pass has to fetch begins: the first one the sequences' state, too.
    pub(crate) fn from(&self, pass: usize) -> usize {
        if pass == 0 { 0 } else { self.rows }
    }
}

/// Puts down a pass over `part`; the first one with where all sequences stand before it. `job` holds zeros where no job
/// has put anything, so that the sequences have taken no step.
pub(crate) fn put(job: &Mapped<u8>, places: JobPlaces, requests: &[&TokenRequest], part: &Part) {
    // Sequences and positions are bounded far below i32's.
    if part.pass == 0 {
        let (mut rows, mut choices) = (Writer::new(job, places.state_rows), Writer::new(job, places.choices));
        for (sequence, request) in (0..).zip(requests) {
            rows.put(Row { sequence, position: request.prompt.len() as i32 - 1 });
            choices.put(choice(request.sampling.as_ref()));
        }
    }
    let [mut rows, mut tokens, mut starts, mut slots] =
        [places.rows, places.tokens, places.starts, places.slots].map(|at| Writer::new(job, at));
    let mut row = 0;
    for sequence in part.sequences.clone() {
        let prompt = &requests[sequence].prompt;
        let sequence = sequence as i32;
        starts.put(row as i32);
        slots.put(sequence);
        for (position, &token) in (0..).zip(prompt) {
            rows.put(Row { sequence, position });
            tokens.put(token);
        }
        row += prompt.len();
    }
    starts.put(row as i32);
    for _ in row..part.rows {
        rows.put(Row::PADDING);
        tokens.put(0u32);
    }
}

/// Puts values one after the other.
struct Writer<'a> {
    job: &'a Mapped<u8>,
    at: usize,
}

impl<'a> Writer<'a> {
    fn new(job: &'a Mapped<u8>, at: usize) -> Self {
        Self { job, at }
    }

    fn put<T: Plain>(&mut self, value: T) {
        self.job.write_all(self.at, bytes(&[value]));
        self.at += size_of::<T>();
    }
}

#[cfg(test)]
mod tests {
    use harness_core::StopTokens;

    use super::*;

    fn requests(lengths: &[usize]) -> Vec<TokenRequest> {
        let request = |&length: &usize| TokenRequest {
            prompt: vec![1; length],
            max_new_tokens: 1,
            stop_tokens: StopTokens::NONE,
            sampling: None,
        };
        lengths.iter().map(request).collect()
    }

    fn split(lengths: &[usize], most: usize) -> Vec<(usize, Range<usize>, usize, usize)> {
        let requests = requests(lengths);
        let requests: Vec<_> = requests.iter().collect();
        parts(&requests, most).map(|part| (part.pass, part.sequences, part.rows, part.longest)).collect()
    }

    #[test]
    fn prompts_are_read_in_parts_that_fit() {
        assert_eq!(split(&[5, 5, 5], 100), [(0, 0..3, 15, 5)]);
        assert_eq!(split(&[5, 6, 5], 11), [(0, 0..2, 11, 6), (1, 2..3, 5, 5)]);
        assert_eq!(split(&[30, 3, 40], 20), [(0, 0..1, 30, 30), (1, 1..2, 3, 3), (2, 2..3, 40, 40)]);
        assert_eq!(split(&[], 20), []);
    }

    #[test]
    fn rows_are_padded_but_not_past_the_memory() {
        assert_eq!(split(&[17], 100), [(0, 0..1, 24, 17)]);
        assert_eq!(split(&[17], 20), [(0, 0..1, 20, 17)]);
        assert_eq!(split(&[1000, 100], 8192), [(0, 0..2, 1152, 1000)]);
    }

    #[test]
    fn a_job_ends_where_its_last_part_does() {
        let places = JobPlaces::new(3, 5, 2);
        assert_eq!((places.choices, places.steps, places.rows), (24, 96, 112));
        assert_eq!((places.tokens, places.starts, places.slots, places.bytes), (152, 172, 184, 192));
        assert_eq!((places.from(0), places.from(1)), (0, 112));
    }
}
