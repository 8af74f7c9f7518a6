//! What a GPT-2's decoding must read, by its shape and types.

use harness_core::roofline::Traffic;

use crate::weights::Weights;

/// Of a model whose keys and values are kept in numbers of `kept` bytes.
///
/// A step reads the matrices of all blocks and the output head, the vectors (f32 whatever the dtype), and of the embeddings
/// one row a sequence; a tied head is the token embeddings, and read whole.
pub(crate) fn of(weights: &Weights, kept: usize) -> Traffic {
    let (config, size) = (&weights.config, weights.dtype.size());
    let bytes = |rows: usize| (rows * config.width * size) as u64;
    let (tokens, positions) = (bytes(config.vocabulary), bytes(config.context));
    let vectors = 4 * (weights.parameters() - weights.matrix_bytes() / size as u64);
    let untied = weights.head.is_some();
    Traffic {
        step: weights.matrix_bytes() + vectors - positions - if untied { tokens } else { 0 },
        sequence: bytes(if untied { 2 } else { 1 }),
        position: (2 * config.layers * config.width * kept) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Config;
    use crate::options::DTypeChoice;
    use crate::synthetic;
    use crate::weights::Matrix;

    #[test]
    fn of_the_smallest_gpt2_in_f16() {
        // Radford et al. (2019): 12 blocks of a width of 768, 50,257 tokens, 1,024 positions; 124,439,808 parameters.
        let weights = synthetic::weights(Config::published(12, 12, 768), DTypeChoice::F16, 0);
        let traffic = of(&weights, 2);
        let vectors = 12 * (2 * 2 * 768 + 3 * 768 + 768 + 3072 + 768) + 2 * 768;
        let matrices = 124_439_808 - vectors;
        assert_eq!(traffic.step, 2 * (matrices - 1024 * 768) + 4 * vectors);
        assert_eq!(traffic.sequence, 2 * 768);
        assert_eq!(traffic.position, 12 * 2 * 768 * 2);
    }

    #[test]
    fn an_untied_head_is_read_and_its_embeddings_are_not() {
        let config = Config { vocabulary: 1000, context: 96, ..Config::published(2, 4, 64) };
        let tied = of(&synthetic::weights(config, DTypeChoice::F32, 0), 4);
        let mut untied = synthetic::weights(Config { tied: false, ..config }, DTypeChoice::F32, 0);
        untied.head = Some(Matrix::from_fn(config.vocabulary, config.width, DTypeChoice::F32, |_| 0.0));
        let untied = of(&untied, 4);
        assert_eq!((untied.step, untied.position), (tied.step, tied.position));
        assert_eq!(untied.sequence, tied.sequence + 4 * 64);
    }
}
