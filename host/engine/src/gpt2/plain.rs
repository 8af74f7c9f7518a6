//! The steps of GPT-2 in candle's own operations, for devices that the harness has no arithmetic of its own for.

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::{Batch, no_numbers};
use crate::checkpoint::Activation;
use crate::cpu::attention::Shape;

/// Token and position embeddings, added.
pub(super) fn embed(wte: &Tensor, wpe: &Tensor, ids: &[u32], positions: &[usize]) -> Result<Tensor> {
    let positions: Vec<u32> = positions.iter().map(|&position| position as u32).collect();
    let rows = |table: &Tensor, rows: &[u32]| table.index_select(&Tensor::new(rows, table.device())?, 0);
    rows(wte, ids)? + rows(wpe, &positions)?
}

/// `W x + b` of each row, through an activation function where one is given.
pub(super) fn affine(x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
    let product = x.matmul(&weight.t()?)?.broadcast_add(bias)?;
    match activation {
        None => Ok(product),
        Some(Activation::GeluTanh) => product.gelu(),
        Some(Activation::GeluErf) => product.gelu_erf(),
    }
}

/// What is added to scores `[sequences, heads, tokens, past + tokens]`: minus infinity where a token may not look.
/// `None` where every token may see everything.
pub(super) fn mask(batch: &Batch<'_>, dtype: DType, device: &Device) -> Result<Option<Tensor>> {
    let (sequences, tokens, past) = (batch.sequences(), batch.tokens(), batch.past);
    if tokens == 1 && batch.starts.iter().all(|&start| start == 0) {
        return Ok(None);
    }
    let seen = past + tokens;
    let mut numbers = Vec::with_capacity(sequences * tokens * seen);
    for &start in batch.starts {
        for token in 0..tokens {
            let place = past + token;
            // Padding looks at padding: a row that sees nothing has no softmax.
            let first = if place < start { 0 } else { start };
            numbers.extend((0..seen).map(|key| if key < first || key > place { f32::NEG_INFINITY } else { 0.0 }));
        }
    }
    Tensor::from_vec(numbers, (sequences, 1, tokens, seen), device)?.to_dtype(dtype).map(Some)
}

/// Adds keys and values to the caches and attends to them; `[sequences * tokens, heads * size]`.
pub(super) fn attend(
    shape: Shape,
    qkv: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    scale: f64,
    mask: Option<&Tensor>,
    scores: DType,
) -> Result<Tensor> {
    let Shape { batch, tokens, past, heads, size, .. } = shape;
    let qkv = qkv.reshape((batch, tokens, 3, heads, size))?;
    let part = |part: usize| qkv.narrow(2, part, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
    let mut cached = [keys, values].into_iter().zip([1, 2]).map(|(cache, index)| -> Result<Tensor> {
        let cache = cache.narrow(0, 0, batch)?;
        cache.slice_set(&part(index)?, 2, past)?;
        cache.narrow(2, 0, past + tokens)
    });
    let (Some(keys), Some(values)) = (cached.next().transpose()?, cached.next().transpose()?) else {
        bail!("an attention has no keys or values");
    };
    let queries = (part(0)? * scale)?;
    let (queries, keys) = (queries.to_dtype(scores)?, keys.to_dtype(scores)?);
    let mut weights = queries.matmul(&keys.t()?)?;
    if let Some(mask) = mask {
        weights = weights.broadcast_add(mask)?;
    }
    let weights = candle_nn::ops::softmax_last_dim(&weights)?.to_dtype(values.dtype())?;
    weights.matmul(&values)?.transpose(1, 2)?.reshape((batch * tokens, heads * size))
}

/// The lowest index of each row's largest logit. candle's argmax may give any of several equals, and in f16 they
/// are common.
pub(super) fn greedy(logits: &Tensor) -> Result<Vec<u32>> {
    let vocabulary = logits.dim(1)?;
    let most = logits.max_keepdim(D::Minus1)?;
    let tokens = Tensor::arange(0u32, vocabulary as u32, logits.device())?.broadcast_as(logits.shape())?;
    let none = Tensor::new(u32::MAX, logits.device())?.broadcast_as(logits.shape())?;
    let tokens: Vec<u32> = logits.broadcast_eq(&most)?.where_cond(&tokens, &none)?.min(D::Minus1)?.to_vec1()?;
    if tokens.contains(&u32::MAX) {
        return no_numbers();
    }
    Ok(tokens)
}
