//! Layer norm, activation functions, softmax and argmax on f32 slices.

use rayon::prelude::*;

use crate::checkpoint::Activation;
use crate::cpu::vectorized;

/// Partial sums of a reduction: a fixed number, so that results do not depend on the machine's vectors.
const LANES: usize = 16;

/// Fewer numbers than this are not worth a second thread.
const SHARED: usize = 1 << 15;

/// `(x - mean) / sqrt(variance + epsilon) * scale + shift` of each row of `scale.len()` numbers.
pub(crate) fn layer_norm(x: &[f32], scale: &[f32], shift: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = scale.len();
    if x.len() < SHARED {
        norm_rows(x, scale, shift, epsilon, out);
    } else {
        let rows = 16 * width;
        x.par_chunks(rows).zip(out.par_chunks_mut(rows)).for_each(|(x, out)| norm_rows(x, scale, shift, epsilon, out));
    }
}

vectorized! {
    fn norm_rows(x: &[f32], scale: &[f32], shift: &[f32], epsilon: f32, out: &mut [f32]) {
        let width = scale.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let mean = sum(x, |x| x) / width as f32;
            let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
            let factor = 1.0 / (variance + epsilon).sqrt();
            for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                *out = (x - mean) * factor * scale + shift;
            }
        }
    }
}

#[inline(always)]
fn sum(x: &[f32], value: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += value(*x);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += value(*x);
    }
    add_up(sums)
}

/// The sum of all lanes, pairwise.
#[inline(always)]
pub(super) fn add_up(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// Applies an activation function in place.
pub(crate) fn activate(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::GeluTanh => gelu_tanh(x),
        Activation::GeluErf => gelu_erf(x),
    }
}

vectorized! {
    fn gelu_tanh(x: &mut [f32]) {
        // 0.5 (1 + tanh(u)) is the logistic function of 2u.
        const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
        for x in x {
            let twice = TWICE_SQRT_2_OVER_PI * (*x + 0.044715 * *x * *x * *x);
            *x /= 1.0 + exp(-twice);
        }
    }
}

fn gelu_erf(x: &mut [f32]) {
    for x in x {
        *x *= 0.5 * (1.0 + candle_core::cpu::erf::erf_f32(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// e to the x, within 2 units in the last place, in a form that vectorizes: x = n ln 2 + r, and a polynomial for
/// e^r with the coefficients of Cephes' expf (S. Moshier). Results below the smallest normal number are 0, and
/// arguments over 88.37 give at least 2.4e38.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // f32::max and min drop NaN, which has to come through.
    let clamped = if x > 88.376_26 { 88.376_26 } else { x };
    let clamped = if clamped < -87.336_54 { -87.336_54 } else { clamped };
    let n = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let polynomial = 1.987_569_2e-4;
    let polynomial = polynomial * r + 1.398_2e-3;
    let polynomial = polynomial * r + 8.333_452e-3;
    let polynomial = polynomial * r + 4.166_579_6e-2;
    let polynomial = polynomial * r + 1.666_666_6e-1;
    let polynomial = polynomial * r + 0.5;
    let value = polynomial * r * r + r + 1.0;
    // n is in -126..=128, so half of it at a time keeps both factors normal.
    let half = (n * 0.5 + ROUND) - ROUND;
    let power = |n: f32| f32::from_bits(((n + (ROUND + 127.0)).to_bits() & 0x1ff) << 23);
    let scaled = value * power(half) * power(n - half);
    if x < -87.336_54 { 0.0 } else { scaled }
}

vectorized! {
    /// Softmax in place: results add up to 1.
    pub(crate) fn softmax(x: &mut [f32]) {
        let mut most = [f32::NEG_INFINITY; LANES];
        let chunks = x.chunks_exact(LANES);
        for (most, x) in most.iter_mut().zip(chunks.remainder()) {
            *most = if *x > *most { *x } else { *most };
        }
        for chunk in chunks {
            for (most, x) in most.iter_mut().zip(chunk) {
                *most = if *x > *most { *x } else { *most };
            }
        }
        let most = most.into_iter().fold(f32::NEG_INFINITY, |most, x| if x > most { x } else { most });
        for x in x.iter_mut() {
            *x = exp(*x - most);
        }
        let factor = 1.0 / sum(x, |x| x);
        for x in x {
            *x *= factor;
        }
    }
}

vectorized! {
    /// The lowest index of the largest number; `None` where a number is NaN or there is none.
    pub(crate) fn argmax(x: &[f32]) -> Option<usize> {
        let mut most = [f32::NEG_INFINITY; LANES];
        let mut valid = [true; LANES];
        for chunk in x.chunks(LANES) {
            for ((most, valid), x) in most.iter_mut().zip(&mut valid).zip(chunk) {
                *most = if *x > *most { *x } else { *most };
                *valid &= !x.is_nan();
            }
        }
        if valid.contains(&false) {
            return None;
        }
        let most = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let block = x.chunks(64).position(|chunk| chunk.iter().fold(false, |found, x| found | (*x == most)))?;
        x[64 * block..].iter().position(|x| *x == most).map(|index| 64 * block + index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exp_is_close_everywhere() {
        for step in -870_000..=880_000 {
            let x = step as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.5e-7, "exp({x}) is off by {error}");
        }
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(1000.0) > 2e38);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn activations_are_gelu() {
        for step in -2000..=2000 {
            let x = f64::from(step) * 0.01;
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            let tanh = 0.5 * x * (1.0 + inner.tanh());
            let erf = 0.5 * x * (1.0 + candle_core::cpu::erf::erf_f64(x / 2f64.sqrt()));
            for (activation, exact) in [(Activation::GeluTanh, tanh), (Activation::GeluErf, erf)] {
                let mut result = [x as f32];
                activate(activation, &mut result);
                let error = (f64::from(result[0]) - exact).abs();
                assert!(error < 3e-7 * x.abs().max(1.0), "{activation:?}({x}) is off by {error}");
            }
        }
    }

    #[test]
    fn a_layer_norm_has_mean_0_and_variance_1_before_scale_and_shift() {
        let x: Vec<f32> = (0..7 * 5000).map(|i| ((i * 37) % 101) as f32).collect();
        let (scale, shift) = ([2.0; 7], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let mut out = vec![0.0; x.len()];
        layer_norm(&x, &scale, &shift, 1e-5, &mut out);
        for (x, out) in x.chunks(7).zip(out.chunks(7)) {
            let mean = x.iter().sum::<f32>() / 7.0;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 7.0;
            for ((x, out), shift) in x.iter().zip(out).zip(shift) {
                assert!((out - ((x - mean) / (variance + 1e-5).sqrt() * 2.0 + shift)).abs() < 1e-5);
            }
        }
    }

    proptest! {
        #[test]
        fn argmax_takes_the_first_of_equals(values in prop::collection::vec(-3i8..3, 1..300)) {
            let numbers: Vec<f32> = values.iter().map(|x| f32::from(*x)).collect();
            let most = values.iter().max().unwrap();
            prop_assert_eq!(argmax(&numbers), values.iter().position(|x| x == most));
        }

        #[test]
        fn a_softmax_is_a_distribution_in_the_same_order(values in prop::collection::vec(-50f32..50.0, 1..100)) {
            let mut out = values.clone();
            softmax(&mut out);
            prop_assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let total: f64 = values.iter().map(|x| f64::from(*x).exp()).sum();
            for (x, out) in values.iter().zip(&out) {
                let exact = f64::from(*x).exp() / total;
                prop_assert!((f64::from(*out) - exact).abs() < 1e-6 + 1e-5 * exact);
            }
        }
    }

    #[test]
    fn argmax_of_what_is_no_number_is_none() {
        assert_eq!(argmax(&[]), None);
        assert_eq!(argmax(&[1.0, f32::NAN, 2.0]), None);
        assert_eq!(argmax(&[f32::NEG_INFINITY; 3]), Some(0));
    }
}
