//! What is known of a mean.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{mean, standard_deviation};

/// Of every interval that is shown.
pub const CONFIDENCE: f64 = 0.95;

/// From `low` to `high`, in the values' unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a value lies in it, the ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Half of its width.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// The interval of the mean of which `values` are independent draws, by Student's t distribution: mean ± t · s / √n with
/// n − 1 degrees of freedom. None of fewer than two values or where one is no finite number.
///
/// Student, 'The probable error of a mean', Biometrika 6, 1908. It holds for normal values, and well enough for the means of
/// runs, which are near to normal by the central limit theorem.
pub fn mean_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let (mean, deviation) = (mean(values)?, standard_deviation(values)?);
    let count = values.len() as f64;
    let half = t_quantile(count - 1.0, confidence)? * deviation / count.sqrt();
    (mean.is_finite() && half.is_finite()).then_some(Interval { low: mean - half, high: mean + half })
}

/// The t that a draw stays below in size with probability `confidence`; none where there is no such number.
pub(super) fn t_quantile(freedom: f64, confidence: f64) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, freedom).ok()?;
    if !(0.0..1.0).contains(&confidence) {
        return None;
    }
    let t = distribution.inverse_cdf(f64::midpoint(1.0, confidence));
    t.is_finite().then_some(t)
}

/// The probability of a draw at least as far from 0 as `t`.
pub(super) fn two_sided(t: f64, freedom: f64) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, freedom).ok()?;
    // The lower tail: 1 − cdf would lose all digits of a small one.
    Some((2.0 * distribution.cdf(-t.abs())).clamp(0.0, 1.0)).filter(|p| p.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_too_few_values_there_is_none() {
        assert_eq!(mean_interval(&[], CONFIDENCE), None);
        assert_eq!(mean_interval(&[1.0], CONFIDENCE), None);
        assert_eq!(mean_interval(&[1.0, f64::NAN], CONFIDENCE), None);
        assert_eq!(mean_interval(&[f64::INFINITY; 2], CONFIDENCE), None);
        assert_eq!(mean_interval(&[1e200, -1e200], CONFIDENCE), None);
        assert_eq!(mean_interval(&[2.0; 3], CONFIDENCE), Some(Interval { low: 2.0, high: 2.0 }));
        assert_eq!(mean_interval(&[1.0, 2.0], 1.0), None);
    }

    proptest! {
        #[test]
        fn it_holds_the_mean_and_grows_with_confidence(values in prop::collection::vec(-1e6..1e6f64, 2..60)) {
            let mean = mean(&values).unwrap();
            let (narrow, wide) = (mean_interval(&values, 0.9).unwrap(), mean_interval(&values, 0.99).unwrap());
            prop_assert!(narrow.contains(mean) && wide.contains(mean));
            prop_assert!(narrow.half_width() <= wide.half_width());
        }

        #[test]
        fn it_scales_with_the_unit(values in prop::collection::vec(0.1..10.0f64, 2..20)) {
            let scaled: Vec<f64> = values.iter().map(|value| value * 1024.0).collect();
            let (one, other) = (mean_interval(&values, 0.95).unwrap(), mean_interval(&scaled, 0.95).unwrap());
            prop_assert!((one.low * 1024.0 - other.low).abs() <= 1e-9 * other.high.abs());
        }
    }
}
