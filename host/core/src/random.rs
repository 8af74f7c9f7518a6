//! Random numbers that are the same on every machine: integer arithmetic only, and each number a pure function of
//! its seed and position, so that they can be drawn in parallel and in any order.

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 'Fast splittable pseudorandom number generators', 2014).
#[inline]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of SplitMix64 with random access.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    seed: u64,
}

impl Stream {
    /// The stream number `stream` of `seed`; two streams of a seed have nothing in common.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed: mix(mix(seed.wrapping_add(GOLDEN)) ^ stream.wrapping_mul(GOLDEN).wrapping_add(1)) }
    }

    /// The `index`-th number of the stream.
    #[inline]
    pub fn at(&self, index: u64) -> u64 {
        mix(self.seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// The `index`-th number of the stream as one of `0..bound`; `bound` must not be 0. Bias is under `bound` / 2^64.
    #[inline]
    pub fn below(&self, index: u64, bound: u32) -> u32 {
        // The high word of a 32.64 fixed-point product is smaller than `bound`, so the cast loses nothing.
        ((u128::from(self.at(index)) * u128::from(bound)) >> 64) as u32
    }

    /// The `index`-th number of the stream as a float in [-1, 1), a multiple of 2^-23: exact on every machine.
    #[inline]
    pub fn symmetric(&self, index: u64) -> f32 {
        let steps = (self.at(index) >> 40) as i32 - (1 << 23);
        steps as f32 / (1 << 23) as f32
    }

    /// The `index`-th number of a standard normal distribution, by G. E. P. Box and M. E. Muller, 'A note on the generation
    /// of random normal deviates', 1958. Logarithm and cosine are the platform's, so the last digit may be, too.
    pub fn normal(&self, index: u64) -> f64 {
        // In (0, 1), whose logarithm is finite.
        let even = |index: u64| ((self.at(index) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (radius, turn) = (even(2 * index), even(2 * index + 1));
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    }
}

/// 2^64 divided by the golden ratio, odd: SplitMix64's increment.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_sequence() {
        // First outputs of SplitMix64 from state 1234567, as in the reference implementation by S. Vigna.
        let mut state = 1_234_567_u64;
        let outputs: Vec<u64> = (0..3)
            .map(|_| {
                state = state.wrapping_add(GOLDEN);
                mix(state)
            })
            .collect();
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_stay_in_their_range_and_fill_it() {
        let stream = Stream::new(7, 3);
        let floats: Vec<f32> = (0..10_000).map(|i| stream.symmetric(i)).collect();
        assert!(floats.iter().all(|x| (-1.0..1.0).contains(x)));
        let mean = floats.iter().sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.02, "mean {mean}");
        let mut seen = [false; 7];
        (0..1_000).for_each(|i| seen[stream.below(i, 7) as usize] = true);
        assert!(seen.iter().all(|&s| s));
    }

    #[test]
    fn normal_numbers_are_normal() {
        let stream = Stream::new(11, 2);
        let numbers: Vec<f64> = (0..100_000).map(|i| stream.normal(i)).collect();
        let within = |reach: f64| numbers.iter().filter(|x| x.abs() < reach).count() as f64 / 1e5;
        assert!((within(1.0) - 0.6827).abs() < 0.005 && (within(1.96) - 0.95).abs() < 0.003);
        assert!((numbers.iter().sum::<f64>() / 1e5).abs() < 0.01);
    }

    /// Of the same seed the same weights, prompts and samples, in every version: what a Python of ours made of the papers.
    #[test]
    fn a_stream_stays_what_it_is() {
        for (seed, stream, index, number, of_7, of_50257, steps) in [
            (0, 0, 0, 9_639_420_846_141_804_449, 3, 26261, 378_394),
            (7, 3, 0, 11_469_559_596_805_108_599, 4, 31248, 2_042_895),
            (7, 3, 1, 14_132_616_206_114_372_202, 5, 38503, 4_464_931),
            (7, 4, 1, 357_113_642_435_402_372, 0, 972, -8_063_816),
            (u64::MAX, u64::MAX, u64::MAX, 7_143_049_006_341_191_355, 2, 19460, -1_892_043),
            (1 << 63, 1, 12_345_678_901, 2_810_156_394_552_296, 0, 7, -8_386_053),
        ] {
            let stream = Stream::new(seed, stream);
            assert_eq!(
                (stream.at(index), stream.below(index, 7), stream.below(index, 50257)),
                (number, of_7, of_50257)
            );
            assert_eq!(stream.symmetric(index), steps as f32 / 8_388_608.0);
        }
        for (seed, stream, index, normal) in [
            (0, 0, 0, -0.258_439_176_340_689_86),
            (7, 3, 0, 0.098_636_459_408_106_04),
            (7, 3, 1, -0.156_133_748_619_072_14),
            (11, 2, 99_999, -1.135_403_901_632_358_7_f64),
        ] {
            assert!((Stream::new(seed, stream).normal(index) - normal).abs() < 1e-14);
        }
    }
}
