//! GPT-2 on candle's tensors (Radford and others 2019; the layers as Hugging Face transformers computes them).
//!
//! The model is written once. What its steps are made of differs: on a CPU the operations of [`crate::cpu`], with f32
//! activations whatever the weights are; elsewhere candle's own, with activations in the weights' type.

pub(crate) mod generate;
mod plain;

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::checkpoint::{Activation, Config};
use crate::cpu::{attention, ops, product};
use crate::options::DTypeChoice;
use crate::weights::{self, Data, Matrix, Weights};

/// Positions are reserved in steps of so many, so that prompts that differ a little need no new cache.
const CACHE_STEP: usize = 64;

/// Whose operations compute the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// Those of [`crate::cpu`].
    Cpu,
    /// candle's own.
    Candle,
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
}

struct Affine {
    weight: Tensor,
    bias: Tensor,
}

struct Block {
    ln_1: Norm,
    qkv: Affine,
    proj: Affine,
    ln_2: Norm,
    up: Affine,
    down: Affine,
}

/// Keys and values of one block, each `[batch, heads, room, head size]`.
struct Cache {
    keys: Tensor,
    values: Tensor,
}

/// A GPT-2 on a device.
pub(crate) struct Model {
    config: Config,
    arithmetic: Arithmetic,
    device: Device,
    wte: Tensor,
    wpe: Tensor,
    blocks: Vec<Block>,
    ln_f: Norm,
    head: Option<Tensor>,
    caches: Vec<Cache>,
    /// What the caches have room for: sequences, and tokens of each.
    reserved: (usize, usize),
}

/// New tokens of several sequences, which the caches hold the past of. Prompts of unequal length end together: the
/// shorter ones are padded on their left.
pub(crate) struct Batch<'a> {
    /// `[sequences, tokens]`.
    pub(crate) ids: &'a [u32],
    /// For each sequence, the first place that is not padding.
    pub(crate) starts: &'a [usize],
    /// Tokens that the caches hold of each sequence, padding included.
    pub(crate) past: usize,
}

impl Batch<'_> {
    fn sequences(&self) -> usize {
        self.starts.len()
    }

    fn tokens(&self) -> usize {
        self.ids.len() / self.starts.len()
    }

    /// Of each token; that of padding is of no consequence.
    fn positions(&self, context: usize) -> Vec<usize> {
        let tokens = self.tokens();
        self.starts
            .iter()
            .flat_map(|start| (0..tokens).map(move |token| (self.past + token).saturating_sub(*start)))
            // A sequence that has finished may be carried past the context.
            .map(|position| position.min(context - 1))
            .collect()
    }
}

impl Model {
    /// Puts the weights on the device.
    pub(crate) fn new(weights: Weights, device: &Device, arithmetic: Arithmetic) -> Result<Self> {
        let vectors = match (arithmetic, weights.dtype) {
            (Arithmetic::Cpu, _) | (_, DTypeChoice::F32) => DType::F32,
            (_, DTypeChoice::F16) => DType::F16,
            (_, DTypeChoice::BF16) => DType::BF16,
        };
        let vector = |numbers: Vec<f32>| {
            let length = numbers.len();
            Tensor::from_vec(numbers, length, device)?.to_dtype(vectors)
        };
        let norm = |norm: weights::Norm| -> Result<Norm> {
            Ok(Norm { weight: vector(norm.weight)?, bias: vector(norm.bias)? })
        };
        let affine = |affine: weights::Affine| -> Result<Affine> {
            Ok(Affine { weight: matrix(affine.weight, device)?, bias: vector(affine.bias)? })
        };
        let blocks = weights
            .blocks
            .into_iter()
            .map(|block| {
                Ok(Block {
                    ln_1: norm(block.ln_1)?,
                    qkv: affine(block.qkv)?,
                    proj: affine(block.proj)?,
                    ln_2: norm(block.ln_2)?,
                    up: affine(block.up)?,
                    down: affine(block.down)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            arithmetic,
            device: device.clone(),
            wte: matrix(weights.wte, device)?,
            wpe: matrix(weights.wpe, device)?,
            blocks,
            ln_f: norm(weights.ln_f)?,
            head: weights.head.map(|head| matrix(head, device)).transpose()?,
            caches: Vec::new(),
            reserved: (0, 0),
            config: weights.config,
        })
    }

    fn activations(&self) -> DType {
        match self.arithmetic {
            Arithmetic::Cpu => DType::F32,
            Arithmetic::Candle => self.wte.dtype(),
        }
    }

    /// What the caches would grow to for `batch` sequences of `length` tokens; `None` where there is room.
    fn growth(&self, batch: usize, length: usize) -> Option<(usize, usize)> {
        let (sequences, room) = self.reserved;
        if batch <= sequences && length <= room {
            return None;
        }
        Some((batch.max(sequences), length.next_multiple_of(CACHE_STEP).max(room)))
    }

    /// Bytes that [`Model::reserve`] would take beyond what the caches hold.
    pub(crate) fn growth_bytes(&self, batch: usize, length: usize) -> u64 {
        let bytes = |(sequences, room): (usize, usize)| {
            let numbers = 2 * self.config.layers as u64 * sequences as u64 * room as u64 * self.config.width as u64;
            numbers * self.activations().size_in_bytes() as u64
        };
        // The old caches are freed first.
        self.growth(batch, length).map_or(0, |grown| bytes(grown).saturating_sub(bytes(self.reserved)))
    }

    /// The most bytes that a pass on a CPU holds at once beside weights and caches, for prompts of `prompt` tokens; those of
    /// the steps after it, of one token a sequence, are less. It is what [`Model::forward`] allocates.
    pub(crate) fn working_bytes(&self, batch: usize, prompt: usize) -> u64 {
        const F32: u64 = 4;
        let [width, hidden, vocabulary] =
            [self.config.width, self.config.hidden, self.config.vocabulary].map(|size| size as u64);
        let (batch, rows) = (batch as u64, (batch as u64).saturating_mul(prompt.max(1) as u64));
        // At the end of a block: the residual stream, both norms, queries with keys and values, what was attended to and the MLP's
        // units. `forward` drops none of them before.
        let block = rows.saturating_mul(F32 * (width + 2 * width + 3 * width + width + hidden));
        // After the blocks only the last token of each sequence is left: its stream and norm, and the logits.
        let head = batch.saturating_mul(F32 * (2 * width + vocabulary));
        // Sampling takes one sequence after the other: candle copies its logits, sorts them and sums them up.
        let sampling = 10 * F32 * vocabulary;
        // A thread has the scores of one query, and the rows of a weight that it converts for `gemm`.
        let thread = F32 * (self.reserved.1.max(prompt) as u64 + product::GEMM_ROWS as u64 * width.max(hidden));
        let threads = rayon::current_num_threads() as u64 * thread;
        let ids = rows.saturating_mul(size_of::<u32>() as u64);
        block.max(head.saturating_add(sampling)).saturating_add(threads).saturating_add(ids)
    }

    /// Makes room for `batch` sequences of `length` tokens.
    pub(crate) fn reserve(&mut self, batch: usize, length: usize) -> Result<()> {
        let Some((sequences, room)) = self.growth(batch, length) else { return Ok(()) };
        self.caches.clear();
        self.reserved = (0, 0);
        let shape = (sequences, self.config.heads, room, self.config.head_size());
        let zeros = || Tensor::zeros(shape, self.activations(), &self.device);
        self.caches =
            (0..self.config.layers).map(|_| Ok(Cache { keys: zeros()?, values: zeros()? })).collect::<Result<_>>()?;
        self.reserved = (sequences, room);
        Ok(())
    }

    /// Computes the new tokens, adds them to the caches, and gives the logits after each sequence's last token,
    /// `[sequences, vocabulary]`.
    pub(crate) fn forward(&mut self, batch: &Batch<'_>) -> Result<Tensor> {
        let (sequences, tokens) = (batch.sequences(), batch.tokens());
        self.reserve(sequences, batch.past + tokens)?;
        let mut hidden = self.embed(batch)?;
        let mask = match self.arithmetic {
            Arithmetic::Cpu => None,
            Arithmetic::Candle => plain::mask(batch, self.scores(), &self.device)?,
        };
        for (layer, (block, cache)) in self.blocks.iter().zip(&self.caches).enumerate() {
            let normed = self.norm(&hidden, &block.ln_1)?;
            let qkv = self.affine(&normed, &block.qkv, None)?;
            let attended = self.attend(batch, layer, cache, &qkv, mask.as_ref())?;
            hidden = self.add_affine(hidden, &attended, &block.proj)?;
            let normed = self.norm(&hidden, &block.ln_2)?;
            let units = self.affine(&normed, &block.up, Some(self.config.activation))?;
            hidden = self.add_affine(hidden, &units, &block.down)?;
        }
        if tokens > 1 {
            hidden = hidden.reshape((sequences, tokens, ()))?.narrow(1, tokens - 1, 1)?.squeeze(1)?.contiguous()?;
        }
        let normed = self.norm(&hidden, &self.ln_f)?;
        self.project(&normed, self.head.as_ref().unwrap_or(&self.wte))
    }

    /// The type of attention's scores where candle computes them.
    fn scores(&self) -> DType {
        if self.config.upcast_attention { DType::F32 } else { self.activations() }
    }

    fn embed(&self, batch: &Batch<'_>) -> Result<Tensor> {
        let positions = batch.positions(self.config.context);
        match self.arithmetic {
            Arithmetic::Cpu => {
                let width = self.config.width;
                let ids: Vec<usize> = batch.ids.iter().map(|&id| id as usize).collect();
                let mut numbers = vec![0.0; ids.len() * width];
                ops::embed(&self.wte, &ids, &mut numbers, false)?;
                ops::embed(&self.wpe, &positions, &mut numbers, true)?;
                Tensor::from_vec(numbers, (ids.len(), width), &self.device)
            }
            Arithmetic::Candle => plain::embed(&self.wte, &self.wpe, batch.ids, &positions),
        }
    }

    fn norm(&self, x: &Tensor, norm: &Norm) -> Result<Tensor> {
        let epsilon = self.config.epsilon as f32;
        match self.arithmetic {
            Arithmetic::Cpu => x.apply_op1_no_bwd(&ops::LayerNorm { scale: &norm.weight, shift: &norm.bias, epsilon }),
            Arithmetic::Candle => candle_nn::ops::layer_norm(x, &norm.weight, &norm.bias, epsilon),
        }
    }

    fn affine(&self, x: &Tensor, affine: &Affine, activation: Option<Activation>) -> Result<Tensor> {
        match self.arithmetic {
            Arithmetic::Cpu => {
                let map = ops::Map { weight: &affine.weight, bias: Some(&affine.bias) };
                x.apply_op1_no_bwd(&ops::Product { map, activation })
            }
            Arithmetic::Candle => plain::affine(x, &affine.weight, &affine.bias, activation),
        }
    }

    /// `hidden + W x + b`. On a CPU `hidden` is changed in place, so nothing else may hold it.
    fn add_affine(&self, hidden: Tensor, x: &Tensor, affine: &Affine) -> Result<Tensor> {
        match self.arithmetic {
            Arithmetic::Cpu => {
                let map = ops::Map { weight: &affine.weight, bias: Some(&affine.bias) };
                hidden.inplace_op2(x, &ops::AddProduct(map))?;
                Ok(hidden)
            }
            Arithmetic::Candle => hidden + plain::affine(x, &affine.weight, &affine.bias, None)?,
        }
    }

    fn project(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        match self.arithmetic {
            Arithmetic::Cpu => {
                x.apply_op1_no_bwd(&ops::Product { map: ops::Map { weight, bias: None }, activation: None })
            }
            Arithmetic::Candle => x.matmul(&weight.t()?),
        }
    }

    fn attend(
        &self,
        batch: &Batch<'_>,
        layer: usize,
        cache: &Cache,
        qkv: &Tensor,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let scale = self.config.score_scale(layer);
        let shape = attention::Shape {
            batch: batch.sequences(),
            tokens: batch.tokens(),
            past: batch.past,
            heads: self.config.heads,
            size: self.config.head_size(),
            room: self.reserved.1,
        };
        match self.arithmetic {
            Arithmetic::Cpu => {
                cache.keys.inplace_op2(qkv, &ops::Append { shape, part: 1 })?;
                cache.values.inplace_op2(qkv, &ops::Append { shape, part: 2 })?;
                let attend = ops::Attend { shape, starts: batch.starts, scale: scale as f32 };
                qkv.apply_op3_no_bwd(&cache.keys, &cache.values, &attend)
            }
            Arithmetic::Candle => plain::attend(shape, qkv, &cache.keys, &cache.values, scale, mask, self.scores()),
        }
    }
}

fn matrix(matrix: Matrix, device: &Device) -> Result<Tensor> {
    let shape = (matrix.rows, matrix.cols);
    match matrix.data {
        Data::F32(numbers) => Tensor::from_vec(numbers, shape, device),
        Data::F16(numbers) => Tensor::from_vec(numbers, shape, device),
        Data::BF16(numbers) => Tensor::from_vec(numbers, shape, device),
    }
}

/// What is said of logits that no token can be chosen by.
pub(crate) const NO_NUMBERS: &str =
    "the model's logits are not numbers; its weights are damaged or overflow in this dtype";

/// The error for them.
fn no_numbers<T>() -> Result<T> {
    bail!("{NO_NUMBERS}")
}

/// The lowest index of each row's largest logit.
fn greedy(logits: &Tensor) -> Result<Vec<u32>> {
    if !logits.device().is_cpu() {
        return plain::greedy(logits);
    }
    let vocabulary = logits.dim(1)?;
    ops::with_numbers(logits, |numbers| {
        numbers
            .chunks_exact(vocabulary)
            .map(|row| match crate::cpu::elementwise::argmax(row) {
                Some(token) => Ok(token as u32),
                None => no_numbers(),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{allocations, synthetic};

    fn model(arithmetic: Arithmetic, dtype: DTypeChoice) -> Model {
        let config = Config { vocabulary: 100, context: 64, ..Config::published(2, 4, 32) };
        Model::new(synthetic::weights(config, dtype, 3), &Device::Cpu, arithmetic).unwrap()
    }

    fn rows(logits: &Tensor) -> Vec<Vec<f32>> {
        logits.to_dtype(DType::F32).unwrap().to_vec2().unwrap()
    }

    fn distance(one: &[f32], other: &[f32]) -> f32 {
        let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
        norm(&mut one.iter().zip(other).map(|(a, b)| a - b)) / norm(&mut other.iter().copied())
    }

    /// Prefill of unequal prompts, then two single steps, by the arithmetic that GPUs use and by the CPU's own.
    #[test]
    fn both_arithmetics_agree_with_padding_and_cache() {
        let run = |arithmetic| {
            let mut model = model(arithmetic, DTypeChoice::F32);
            let starts = [0, 3];
            let prompt = [1, 2, 3, 4, 5, 0, 0, 0, 6, 7];
            let mut all = rows(&model.forward(&Batch { ids: &prompt, starts: &starts, past: 0 }).unwrap());
            for (past, ids) in [(5, [8, 9]), (6, [10, 11])] {
                all.extend(rows(&model.forward(&Batch { ids: &ids, starts: &starts, past }).unwrap()));
            }
            all
        };
        for (cpu, candle) in run(Arithmetic::Cpu).iter().zip(&run(Arithmetic::Candle)) {
            assert!(distance(cpu, candle) < 1e-5, "{}", distance(cpu, candle));
        }
    }

    #[test]
    fn half_precision_weights_stay_close_to_f32_in_both_arithmetics() {
        let batch = Batch { ids: &[1, 2, 3, 4, 5, 6, 7], starts: &[0], past: 0 };
        let exact = rows(&model(Arithmetic::Cpu, DTypeChoice::F32).forward(&batch).unwrap());
        for (dtype, cpu, candle) in [(DTypeChoice::F16, 1e-3, 1e-2), (DTypeChoice::BF16, 1e-2, 5e-2)] {
            for (arithmetic, limit) in [(Arithmetic::Cpu, cpu), (Arithmetic::Candle, candle)] {
                let close = rows(&model(arithmetic, dtype).forward(&batch).unwrap());
                let distance = distance(&close[0], &exact[0]);
                assert!(distance < limit, "{dtype} {arithmetic:?}: {distance}");
            }
        }
    }

    #[test]
    fn ties_go_to_the_lowest_token_and_nan_is_an_error() {
        let logits = Tensor::new(&[[1f32, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
        assert_eq!(greedy(&logits).unwrap(), [1, 0]);
        assert_eq!(plain::greedy(&logits).unwrap(), [1, 0]);
        let logits = Tensor::new(&[[1f32, f32::NAN]], &Device::Cpu).unwrap();
        assert!(greedy(&logits).is_err());
    }

    /// What is checked before a run is what a pass takes: enough, and not so much that what fits is refused.
    #[test]
    fn a_pass_takes_what_was_foretold() {
        for (vocabulary, batch, prompt) in [(100, 1, 500), (100, 40, 100), (50_000, 40, 2), (5_000, 7, 1)] {
            let config = Config { vocabulary, context: 512, ..Config::published(2, 4, 64) };
            let mut model =
                Model::new(synthetic::weights(config, DTypeChoice::F32, 3), &Device::Cpu, Arithmetic::Cpu).unwrap();
            model.reserve(batch, prompt).unwrap();
            let (ids, starts) = (vec![1; batch * prompt], vec![0; batch]);
            let foretold = model.working_bytes(batch, prompt);
            let pass = || model.forward(&Batch { ids: &ids, starts: &starts, past: 0 }).unwrap();
            let (_, taken) = allocations::peak(pass);
            let ids = size_of_val(ids.as_slice()) as u64;
            assert!((taken + ids..2 * (taken + ids) + (2 << 20)).contains(&foretold), "{foretold} of {taken}");
        }
    }

    #[test]
    fn the_cache_grows_and_does_not_shrink() {
        let mut model = model(Arithmetic::Cpu, DTypeChoice::F32);
        assert_eq!(model.growth_bytes(1, 10), 2 * 2 * 64 * 32 * 4);
        model.reserve(1, 10).unwrap();
        assert_eq!(model.reserved, (1, 64));
        model.reserve(3, 2).unwrap();
        assert_eq!(model.reserved, (3, 64));
        assert_eq!(model.growth_bytes(2, 64), 0);
    }
}
