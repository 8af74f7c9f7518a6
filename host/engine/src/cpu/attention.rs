//! Attention of new tokens to a cache of keys and values.

#![allow(unsafe_code, reason = "threads write to parts of one slice")]

use rayon::prelude::*;

use crate::cpu::elementwise::{add_up, softmax};
use crate::cpu::{Shared, vectorized};

/// Multiplications under which a second thread is not worth it.
const SHARED: usize = 1 << 17;

/// The sizes of one attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Sequences.
    pub(crate) batch: usize,
    /// New tokens of each.
    pub(crate) tokens: usize,
    /// Tokens of each that the cache had before.
    pub(crate) past: usize,
    /// Heads.
    pub(crate) heads: usize,
    /// Numbers of a head's key.
    pub(crate) size: usize,
    /// Tokens that the cache has room for.
    pub(crate) room: usize,
}

impl Shape {
    /// Numbers of one token's queries, keys and values together.
    fn row(&self) -> usize {
        3 * self.heads * self.size
    }
}

/// Writes the new tokens' keys (`part` 1) or values (`part` 2) of `qkv` `[batch, tokens, 3, heads, size]` into a cache
/// `[batch, heads, room, size]`.
pub(crate) fn append(shape: Shape, part: usize, qkv: &[f32], cache: &mut [f32]) {
    let Shape { batch, tokens, past, heads, size, room } = shape;
    for sequence in 0..batch {
        for token in 0..tokens {
            let row = &qkv[(sequence * tokens + token) * shape.row() + part * heads * size..][..heads * size];
            for (head, numbers) in row.chunks_exact(size).enumerate() {
                let place = ((sequence * heads + head) * room + past + token) * size;
                cache[place..place + size].copy_from_slice(numbers);
            }
        }
    }
}

/// `softmax(q kᵀ · scale) v` for each new token, which sees its own sequence from `starts` to itself. The result is
/// `[batch, tokens, heads * size]`; tokens before their sequence's start give zeros.
pub(crate) fn attend(
    shape: Shape,
    starts: &[usize],
    scale: f32,
    qkv: &[f32],
    keys: &[f32],
    values: &[f32],
    out: &mut [f32],
) {
    let Shape { batch, tokens, past, heads, size, room } = shape;
    assert!(
        qkv.len() == batch * tokens * shape.row()
            && keys.len() >= batch * heads * room * size
            && values.len() >= batch * heads * room * size
            && out.len() == batch * tokens * heads * size
            && starts.len() == batch
            && past + tokens <= room,
        "lengths of an attention agree"
    );
    let shared = Shared::new(out);
    let task = |scores: &mut Vec<f32>, index: usize| {
        let (sequence, head) = (index / heads, index % heads);
        let cached = (sequence * heads + head) * room * size;
        for token in 0..tokens {
            let row = sequence * tokens + token;
            // SAFETY: this head's numbers of this row, which only this task writes.
            let out = unsafe { shared.part((row * heads + head) * size, size) };
            let (start, end) = (starts[sequence], past + token + 1);
            if start >= end {
                out.fill(0.0);
                continue;
            }
            let seen = cached + start * size..cached + end * size;
            let query = &qkv[row * shape.row() + head * size..][..size];
            scores.resize(end - start, 0.0);
            dots(query, &keys[seen.clone()], scale, scores);
            softmax(scores);
            mix(scores, &values[seen], out);
        }
    };
    if batch * tokens * heads * size * (past + tokens) < SHARED {
        let mut scores = Vec::with_capacity(past + tokens);
        (0..batch * heads).for_each(|index| task(&mut scores, index));
    } else {
        (0..batch * heads).into_par_iter().for_each_init(|| Vec::with_capacity(past + tokens), task);
    }
}

vectorized! {
    fn dots(query: &[f32], keys: &[f32], scale: f32, scores: &mut [f32]) {
        let size = query.len();
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(size)) {
            let mut sums = [0f32; 16];
            let (queries, keys) = (query.chunks_exact(16), key.chunks_exact(16));
            let (last_query, last_key) = (queries.remainder(), keys.remainder());
            for (query, key) in queries.zip(keys) {
                for lane in 0..16 {
                    sums[lane] += query[lane] * key[lane];
                }
            }
            for ((sum, query), key) in sums.iter_mut().zip(last_query).zip(last_key) {
                *sum += query * key;
            }
            *score = add_up(sums) * scale;
        }
    }
}

vectorized! {
    fn mix(weights: &[f32], values: &[f32], out: &mut [f32]) {
        const BLOCK: usize = 64;
        let size = out.len();
        // A block of results stays in registers while all values pass.
        for (index, out) in out.chunks_mut(BLOCK).enumerate() {
            let first = index * BLOCK;
            if let Ok(out) = <&mut [f32; BLOCK]>::try_from(&mut *out) {
                let mut sums = [0f32; BLOCK];
                for (weight, value) in weights.iter().zip(values.chunks_exact(size)) {
                    for (sum, value) in sums.iter_mut().zip(&value[first..first + BLOCK]) {
                        *sum += weight * value;
                    }
                }
                *out = sums;
            } else {
                out.fill(0.0);
                for (weight, value) in weights.iter().zip(values.chunks_exact(size)) {
                    for (out, value) in out.iter_mut().zip(&value[first..]) {
                        *out += weight * value;
                    }
                }
            }
        }
    }
}
