//! When a mean is known well enough to make no further run.

use super::{CONFIDENCE, mean, mean_interval};

/// How far the 95% interval of the mean reaches to either side, as a share of the mean; none where that is not known, or the mean is
/// not over 0.
pub fn known_to(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|mean| *mean > 0.0)?;
    Some(mean_interval(values, CONFIDENCE)?.half_width() / mean)
}

/// The fewest values after which [`is_known_to`] may end a series.
///
/// Whoever looks after each value and stops at the first narrow interval stops too often where the spread looks small by chance,
/// so the interval holds the truth less often than it says; the more values before the first look, the less so. Begun at 3, a 95%
/// interval holds it in 90% where the spread is twice what is asked for, begun at 8 in 93% or more whatever the spread
/// (`docs/measurements.md` has how often).
///
/// Y. S. Chow and H. Robbins, 'On the asymptotic theory of fixed-width sequential confidence intervals for the mean', Annals of
/// Mathematical Statistics 36, 1965, for the rule; N. Starr, 'The performance of a sequential procedure for the fixed-width interval
/// estimation of the mean', the same 37, 1966, for what the number before the first look does.
pub const FEWEST_TO_STOP: usize = 8;

/// Whether the mean is known to a share of itself, from enough values to say so.
pub fn is_known_to(values: &[f64], share: f64) -> bool {
    values.len() >= FEWEST_TO_STOP && known_to(values).is_some_and(|known| known <= share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_narrow_enough_when_its_half_is() {
        // 2 ± 2.365 · 1.069 / √8: 44.7 %.
        let wide = [1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0];
        assert!(is_known_to(&wide, 0.45) && !is_known_to(&wide, 0.44));
        assert!(!is_known_to(&[1.0; FEWEST_TO_STOP - 1], 0.01) && is_known_to(&[1.0; FEWEST_TO_STOP], 0.01));
        assert!(!is_known_to(&[0.0; 10], 0.01) && !is_known_to(&[f64::NAN; 10], 0.01));
        assert_eq!((known_to(&[-1.0, 1.0]), known_to(&[-1.0, -1.1])), (None, None));
    }
}
