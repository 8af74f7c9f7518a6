//! Weights drawn from a seed in GPT-2's sizes and at its initial scale: as fast as trained ones, without a download,
//! and the same numbers on every machine.

use harness_core::random::Stream;

use crate::checkpoint::Config;
use crate::options::DTypeChoice;
use crate::weights::{Affine, Block, Matrix, Norm, Weights};

/// A uniform distribution of this half-width has GPT-2's initial standard deviation 0.02: 0.02 * sqrt(3), rounded to
/// f32 once and for all.
const HALF_WIDTH: f32 = 0.034_641_016;

/// The architecture of a published size.
pub(crate) fn size(name: &str) -> Option<Config> {
    let (layers, heads, width) = match name {
        "gpt2" => (12, 12, 768),
        "gpt2-medium" => (24, 16, 1024),
        "gpt2-large" => (36, 20, 1280),
        "gpt2-xl" => (48, 25, 1600),
        _ => return None,
    };
    Some(Config::published(layers, heads, width))
}

/// The weights of `config` from a seed.
///
/// Every matrix has a stream of its own, in the order wte, wpe, then qkv, proj, up and down of each block, and
/// number i of it, in `[out, in]` layout, comes from the stream's number i. As in GPT-2's own initialisation, the two
/// projections back to the residual stream are scaled down by sqrt(2 * layers), biases are 0 and norms the identity.
pub(crate) fn weights(config: Config, dtype: DTypeChoice, seed: u64) -> Weights {
    let mut stream = 0;
    let mut draw = |rows: usize, cols: usize, half_width: f32| {
        let numbers = Stream::new(seed, stream);
        stream += 1;
        Matrix::from_fn(rows, cols, dtype, |index| numbers.symmetric(index as u64) * half_width)
    };
    let norm = || Norm { weight: vec![1.0; config.width], bias: vec![0.0; config.width] };
    let residual = HALF_WIDTH / (2.0 * config.layers as f32).sqrt();
    let wte = draw(config.vocabulary, config.width, HALF_WIDTH);
    let wpe = draw(config.context, config.width, HALF_WIDTH);
    let mut affine = |rows: usize, cols: usize, half_width: f32| Affine {
        weight: draw(rows, cols, half_width),
        bias: vec![0.0; rows],
    };
    let blocks = (0..config.layers)
        .map(|_| Block {
            ln_1: norm(),
            qkv: affine(3 * config.width, config.width, HALF_WIDTH),
            proj: affine(config.width, config.width, residual),
            ln_2: norm(),
            up: affine(config.hidden, config.width, HALF_WIDTH),
            down: affine(config.width, config.hidden, residual),
        })
        .collect();
    Weights { dtype, wte, wpe, blocks, ln_f: norm(), head: None, config }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Data;

    fn numbers(matrix: &Matrix) -> &[f32] {
        match &matrix.data {
            Data::F32(numbers) => numbers,
            _ => panic!("not f32"),
        }
    }

    #[test]
    fn the_same_seed_gives_these_numbers_on_every_machine() {
        let config = Config { vocabulary: 50, context: 8, ..Config::published(2, 2, 16) };
        let weights = weights(config, DTypeChoice::F32, 7);
        let bits = |matrix: &Matrix| [0, 1, 100].map(|index| numbers(matrix)[index].to_bits());
        assert_eq!(bits(&weights.wte), [0xbc32_6a87, 0xbc81_62e9, 0x3cc6_0913]);
        assert_eq!(bits(&weights.blocks[1].down.weight), [0x3c3b_c40c, 0xba34_897d, 0x3a4e_fe80]);
    }

    #[test]
    fn the_scale_is_that_of_the_published_initialisation() {
        let weights = weights(Config { vocabulary: 5000, ..Config::published(2, 2, 64) }, DTypeChoice::F32, 0);
        let deviation = |matrix: &Matrix| {
            let numbers = numbers(matrix);
            (numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / numbers.len() as f64).sqrt()
        };
        assert!((deviation(&weights.wte) - 0.02).abs() < 1e-4);
        assert!((deviation(&weights.blocks[0].proj.weight) - 0.01).abs() < 2e-4);
        assert!((deviation(&weights.blocks[1].down.weight) - 0.01).abs() < 2e-4);
        assert_eq!(weights.parameters(), (5000 + 1024) * 64 + 2 * (12 * 64 * 64 + 13 * 64) + 128);
    }
}
