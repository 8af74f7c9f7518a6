//! Whether two means differ.

use super::interval::{Interval, t_quantile, two_sided};
use super::{mean, standard_deviation};

/// Welch's t test of two means whose values may differ in spread and number.
///
/// B. L. Welch, 'The generalization of Student's problem when several different population variances are involved',
/// Biometrika 34, 1947; the degrees of freedom are Satterthwaite's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welch {
    /// The second mean minus the first, in the values' unit.
    pub difference: f64,
    /// Its standard error.
    pub error: f64,
    /// Degrees of freedom; infinite where neither side has any spread.
    pub freedom: f64,
    /// The probability of a difference at least as large if the true means are the same.
    pub p: f64,
}

/// A side's part in the error of a comparison.
#[derive(Clone, Copy)]
struct Part {
    mean: f64,
    /// The square of the mean's standard error.
    error: f64,
    freedom: f64,
}

impl Part {
    fn of(values: &[f64]) -> Option<Self> {
        let (mean, deviation) = (mean(values)?, standard_deviation(values)?);
        let count = values.len() as f64;
        let error = deviation * deviation / count;
        (mean.is_finite() && error.is_finite()).then_some(Self { mean, error, freedom: count - 1.0 })
    }
}

/// Satterthwaite's degrees of freedom of the sum of two errors.
fn freedom(one: &Part, other: &Part) -> f64 {
    // As shares, so that squares of small errors don't vanish.
    let whole = one.error + other.error;
    let (one_share, other_share) = (one.error / whole, other.error / whole);
    1.0 / (one_share * one_share / one.freedom + other_share * other_share / other.freedom)
}

impl Welch {
    /// Of two sides' values; none where one has fewer than two, or a value is no finite number.
    pub fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        let (first, second) = (Part::of(first)?, Part::of(second)?);
        let difference = second.mean - first.mean;
        let error = (first.error + second.error).sqrt();
        if error == 0.0 {
            // Both sides always gave the same figure; what differs, differs.
            return Some(Self {
                difference,
                error,
                freedom: f64::INFINITY,
                p: if difference == 0.0 { 1.0 } else { 0.0 },
            });
        }
        let freedom = freedom(&first, &second);
        Some(Self { difference, error, freedom, p: two_sided(difference / error, freedom)? })
    }
}

/// The interval of the second mean as a multiple of the first: every ratio that Welch's test does not reject, with the
/// degrees of freedom that the test of that ratio has. It has 1 in it exactly when the test finds no difference. None where
/// [`Welch::of`] has none, or where the first mean is so near to 0 for its error that the interval has no end.
///
/// E. C. Fieller, 'Some problems in interval estimation', Journal of the Royal Statistical Society B 16, 1954, for
/// independent sides. T. Kalibera and R. Jones, 'Rigorous benchmarking in reasonable time', ISMM 2013, recommend it for
/// benchmarks.
pub fn ratio_interval(first: &[f64], second: &[f64], confidence: f64) -> Option<Interval> {
    let (first, second) = (Part::of(first)?, Part::of(second)?);
    let ratio = second.mean / first.mean;
    if !ratio.is_finite() {
        return None;
    }
    if first.error + second.error == 0.0 {
        return Some(Interval { low: ratio, high: ratio });
    }
    // By how much a ratio θ is rejected: |m₂ - θm₁| - t √(e₂ + θ²e₁).
    let rejected = |theta: f64| -> Option<f64> {
        let scaled = Part { error: theta * theta * first.error, ..first };
        let t = t_quantile(freedom(&scaled, &second), confidence)?;
        Some((second.mean - theta * first.mean).abs() - t * (scaled.error + second.error).sqrt())
    };
    // For large θ only the first side's error is left.
    if first.mean.abs() <= t_quantile(first.freedom, confidence)? * first.error.sqrt() {
        return None;
    }
    let step = (second.error + ratio * ratio * first.error).sqrt() / first.mean.abs();
    // A step of nothing would never end.
    let step = step.max(f64::MIN_POSITIVE);
    let (low, high) = (border(ratio, -step, &rejected)?, border(ratio, step, &rejected)?);
    Some(Interval { low, high })
}

/// Where, from `start` in steps that double, `rejected` turns from under 0 to over it.
fn border(start: f64, step: f64, rejected: &impl Fn(f64) -> Option<f64>) -> Option<f64> {
    let (mut inside, mut outside, mut step) = (start, start + step, step);
    while rejected(outside)? <= 0.0 {
        inside = outside;
        step *= 2.0;
        outside += step;
        if !outside.is_finite() {
            return None;
        }
    }
    loop {
        let middle = inside + (outside - inside) / 2.0;
        if middle == inside || middle == outside {
            return Some(inside);
        }
        match rejected(middle)? <= 0.0 {
            true => inside = middle,
            false => outside = middle,
        }
    }
}

/// Probabilities corrected for being several: whoever calls those below α finds one where there is none with a probability
/// of at most α, however the tests depend on each other. In the order in which they were given.
///
/// S. Holm, 'A simple sequentially rejective multiple test procedure', Scandinavian Journal of Statistics 6, 1979.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![1.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(p[index] * (p.len() - rank) as f64).min(1.0);
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(0.5..2.0f64, 2..20)
    }

    #[test]
    fn sides_without_spread_differ_or_do_not() {
        let of = |second: f64| Welch::of(&[2.0, 2.0], &[second, second]).unwrap().p;
        assert_eq!((of(2.0), of(2.1)), (1.0, 0.0));
        let interval = ratio_interval(&[2.0, 2.0], &[3.0, 3.0], 0.95).unwrap();
        assert_eq!((interval.low, interval.high), (1.5, 1.5));
    }

    #[test]
    fn a_ratio_too_small_for_a_number_has_an_interval_all_the_same() {
        assert!(ratio_interval(&[1e200, 1e200], &[1e-160, 3e-160], 0.95).unwrap().contains(0.0));
    }

    #[test]
    fn a_single_run_supports_nothing() {
        assert_eq!(Welch::of(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(ratio_interval(&[1.0, 2.0], &[1.0], 0.95), None);
    }

    #[test]
    fn what_is_no_number_supports_nothing() {
        // One without a spread, and one whose spread is no number.
        for side in [[f64::INFINITY; 2], [1e200, -1e200]] {
            assert_eq!(Welch::of(&side, &[1.0, 2.0]), None);
            assert_eq!(Welch::of(&[1.0, 2.0], &side), None);
        }
    }

    /// Then the other side's interval is that of the ratio.
    #[test]
    fn one_side_may_have_no_spread() {
        let near = |ours: f64, theirs: f64| assert!((ours - theirs).abs() < 1e-12, "{ours} {theirs}");
        let values = [3.0, 3.2, 2.9];
        let alone = crate::statistics::mean_interval(&values, 0.95).unwrap();
        let ratio = ratio_interval(&[2.0; 3], &values, 0.95).unwrap();
        near(ratio.low, alone.low / 2.0);
        near(ratio.high, alone.high / 2.0);
        let ratio = ratio_interval(&values, &[2.0; 3], 0.95).unwrap();
        near(ratio.low, 2.0 / alone.high);
        near(ratio.high, 2.0 / alone.low);
    }

    #[test]
    fn who_wants_less_confidence_gets_a_narrower_interval() {
        let of = |confidence| ratio_interval(&[1.0, 1.1, 0.9], &[2.0, 2.1, 2.2], confidence).unwrap();
        let (narrow, wide) = (of(0.4), of(0.95));
        assert!(wide.low < narrow.low && narrow.low < 2.1 && 2.1 < narrow.high && narrow.high < wide.high);
    }

    #[test]
    fn a_mean_that_may_be_zero_bounds_no_ratio() {
        assert_eq!(ratio_interval(&[-1.0, 1.2], &[1.0, 1.1], 0.95), None);
        assert_eq!(ratio_interval(&[0.0, 0.0], &[1.0, 1.0], 0.95), None);
    }

    proptest! {
        #[test]
        fn interval_and_test_agree(first in values(), second in values()) {
            if let (Some(interval), Some(test)) = (ratio_interval(&first, &second, 0.95), Welch::of(&first, &second)) {
                // At the very border rounding decides.
                if (test.p - 0.05).abs() > 1e-6 {
                    prop_assert_eq!(interval.contains(1.0), test.p > 0.05, "{:?} {:?}", interval, test);
                }
                prop_assert!(interval.contains(mean(&second).unwrap() / mean(&first).unwrap()));
            }
        }

        /// In any unit: steps of the wrong size leave what a number can hold before they find an end.
        #[test]
        fn a_ratio_has_no_unit(first in values(), second in values(), power in -480..480i32) {
            let scaled = |values: &[f64]| values.iter().map(|value| value * 2.0_f64.powi(power)).collect::<Vec<_>>();
            let ratio = ratio_interval(&scaled(&first), &scaled(&second), 0.95);
            prop_assert_eq!(ratio, ratio_interval(&first, &second, 0.95));
        }

        #[test]
        fn sides_can_be_exchanged(first in values(), second in values()) {
            let (there, back) = (Welch::of(&first, &second).unwrap(), Welch::of(&second, &first).unwrap());
            prop_assert_eq!(there.difference, -back.difference);
            prop_assert!((there.p - back.p).abs() < 1e-12);
        }

        #[test]
        fn correction_keeps_order_and_only_raises(p in prop::collection::vec(0.0..=1.0f64, 0..20)) {
            let corrected = holm(&p);
            for (i, &one) in p.iter().enumerate() {
                prop_assert!(corrected[i] >= one && corrected[i] <= 1.0);
                prop_assert!(p.iter().zip(&corrected).all(|(&q, &c)| q < one || c >= corrected[i] || q == one));
            }
        }

        #[test]
        fn any_floats_do_not_panic(
            first in prop::collection::vec(any::<f64>(), 0..8), second in prop::collection::vec(any::<f64>(), 0..8)
        ) {
            let _ = (Welch::of(&first, &second), ratio_interval(&first, &second, 0.95), holm(&first));
        }
    }
}
