//! How well a mean is known. Nothing here calls the host, so it is tested without one.

/// Two-sided 95% quantiles of Student's t distribution for 1 to 30 degrees of freedom.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The two-sided 95% quantile of Student's t for so many degrees of freedom, 1 or more. Over 30 by the first terms of its expansion
/// about the normal distribution's (Abramowitz and Stegun, 26.7.5), which are right to 0.001 there.
fn quantile(degrees: usize) -> f64 {
    const Z: f64 = 1.959_964;
    let n = degrees as f64;
    match degrees.checked_sub(1).and_then(|index| T.get(index)) {
        Some(t) => *t,
        None => Z + (Z.powi(3) + Z) / (4.0 * n) + (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / (96.0 * n * n),
    }
}

/// A mean and the half-width of its 95% confidence interval, in the values' unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    pub mean: f64,
    pub half_width: f64,
}

impl Known {
    /// Of values that are independent of each other: runs are, the samples within one are not. None of fewer than two.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        if values.len() < 2 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (n - 1.0)).sqrt();
        Some(Self { mean, half_width: quantile(values.len() - 1) * deviation / n.sqrt() })
    }

    /// The half-width as a share of the mean; none of a mean of zero.
    pub fn share(self) -> Option<f64> {
        (self.mean != 0.0).then(|| self.half_width / self.mean.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `scipy.stats.t.interval(0.95, 4, loc=3, scale=scipy.stats.sem([1, 2, 3, 4, 5]))` has it.
    #[test]
    fn the_interval_is_students() {
        let known = Known::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!(known.mean, 3.0);
        assert!((known.half_width - 1.9632).abs() < 1e-3, "{known:?}");
        assert!((known.share().unwrap() - 0.6544).abs() < 1e-3, "{known:?}");
    }

    #[test]
    fn the_quantile_goes_on_where_the_table_ends() {
        assert!((quantile(31) - 2.0395).abs() < 1e-3);
        assert!((quantile(100) - 1.9840).abs() < 1e-3);
        assert!(quantile(30) > quantile(31) && quantile(1_000_000) > 1.9599);
    }

    #[test]
    fn one_value_says_nothing_of_its_spread() {
        assert_eq!(Known::of(&[1.0]), None);
        assert_eq!(Known::of(&[]), None);
        assert_eq!(Known::of(&[2.0, 2.0]).unwrap().share(), Some(0.0));
        assert_eq!(Known::of(&[-1.0, 1.0]).unwrap().share(), None);
    }
}
