//! Figures of figures.
//!
//! Two kinds of figures must not be mixed up. A [`Distribution`] describes samples, and may describe those of all runs
//! together. An interval or a test says what is known of a mean; it takes one value a run, because samples within a run
//! depend on each other, and taking them for independent ones makes intervals too narrow by any factor.

mod crossover;
mod detectable;
mod distribution;
mod interval;
mod sequential;
mod steady;
mod welch;

pub use crossover::Crossover;
pub use detectable::{POWER, detectable};
pub use distribution::{Distribution, Outliers, PERCENTILES, Percentile, modified_z_score, quantile, samples_needed};
pub use interval::{CONFIDENCE, Interval, mean_interval};
pub use sequential::{FEWEST_TO_STOP, is_known_to, known_to};
pub use steady::{Steadiness, is_steady, truncation};
pub use welch::{Welch, holm, ratio_interval};

/// The arithmetic mean; none of nothing. Summed in order and divided once, as the documented test has it.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    Some(values.iter().sum::<f64>() / values.len() as f64)
}

/// The sample standard deviation (divided by n − 1), in the values' unit; none of fewer than two values.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    // A sum of equal values is rounded, and would leave a spread where there is none.
    if values.iter().all(|value| Some(value) == values.first()) {
        return Some(0.0);
    }
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The coefficient of variation: the sample standard deviation as a share of the mean's size; none of fewer than two
/// values, or where the mean is 0.
pub fn coefficient_of_variation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    if mean == 0.0 {
        return None;
    }
    Some(standard_deviation(values)? / mean.abs())
}

/// Whether two figures differ by more than `tolerance`, relative to the larger of them.
pub fn differs(a: f64, b: f64, tolerance: f64) -> bool {
    let scale = a.abs().max(b.abs());
    (a - b).abs() > tolerance * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_few_values_there_is_none() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(standard_deviation(&[1.0]), None);
        assert_eq!(standard_deviation(&[2.0, 4.0]), Some(2.0_f64.sqrt()));
        assert_eq!(coefficient_of_variation(&[1.0, -1.0]), None);
        assert_eq!(coefficient_of_variation(&[-2.0, -4.0]), Some(2.0_f64.sqrt() / 3.0));
    }

    #[test]
    fn equal_values_have_no_spread() {
        assert_eq!(standard_deviation(&[0.1; 7]), Some(0.0));
    }

    #[test]
    fn zero_does_not_differ_from_zero() {
        assert!(!differs(0.0, 0.0, 0.001));
        assert!(differs(1.0, 1.0011, 0.001));
        assert!(!differs(1.0, 1.0009, 0.001));
        assert!(differs(200.0, 200.3, 0.001) && !differs(200.0, 200.1, 0.001));
    }
}
