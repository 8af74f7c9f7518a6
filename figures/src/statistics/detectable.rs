//! How small a difference a test could have found.

use statrs::distribution::{ChiSquared, Continuous};
use statrs::function::erf::erfc;

use super::interval::t_quantile;

/// The share of cases in which a difference that is called detectable is found.
pub const POWER: f64 = 0.8;

/// Into so many pieces the distribution of the estimated error is cut.
const PIECES: u32 = 400;

/// The minimum detectable effect: the true difference that a two-sided t test at `level` finds in its direction with a probability of
/// [`POWER`], in the unit of `error`, which is the difference's standard error with `freedom` degrees of freedom. Where a
/// difference that is not over `least` counts for nothing, it must be over that, too. None where there is no such number.
///
/// It is `error` times the δ at which P(Z + δ > max(t · s, `least` / `error`)) is the power: Z is standard normal, s² is chi-squared over its
/// `freedom`, independent of Z, and t is the test's critical value. Without `least` this is the noncentral t distribution's: N. L.
/// Johnson and B. L. Welch, 'Applications of the non-central t-distribution', Biometrika 31, 1940.
pub fn detectable(error: f64, freedom: f64, level: f64, least: f64) -> Option<f64> {
    if error == 0.0 {
        // Without any spread every difference is found that counts.
        return Some(least);
    }
    let critical = t_quantile(freedom, 1.0 - level)?;
    let least_errors = least / error;
    let errors = ChiSquared::new(freedom).ok()?;
    // Beyond its end, less than 1e-10 is left. Of a mean square's root the density is 2νs · f(νs²).
    let step = (1.0 + 8.0 / (2.0 * freedom).sqrt()) / f64::from(PIECES);
    let weighted: Vec<(f64, f64)> = (0..PIECES)
        .map(|piece| (f64::from(piece) + 0.5) * step)
        .map(|s| ((critical * s).max(least_errors), 2.0 * freedom * s * errors.pdf(freedom * s * s) * step))
        .collect();
    let found = |effect: f64| -> f64 {
        let above = |border: f64| 0.5 * erfc((border - effect) / std::f64::consts::SQRT_2);
        weighted.iter().map(|(border, weight)| weight * above(*border)).sum()
    };
    let (mut low, mut high) = (0.0, weighted.last()?.0 + 2.0);
    if !high.is_finite() || found(high) < POWER {
        return None;
    }
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return Some(high * error).filter(|effect| effect.is_finite());
        }
        if found(middle) < POWER { low = middle } else { high = middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_no_spread_everything_that_counts_is_found() {
        assert_eq!(detectable(0.0, f64::INFINITY, 0.05, 0.01), Some(0.01));
    }

    #[test]
    fn less_error_more_runs_and_fewer_figures_find_less() {
        let of = |error, freedom, level| detectable(error, freedom, level, 0.0).unwrap();
        assert!(of(1.0, 18.0, 0.05) < of(1.0, 8.0, 0.05));
        assert!(of(1.0, 18.0, 0.05) < of(1.0, 18.0, 0.005));
        assert!((of(2.0, 18.0, 0.05) / of(1.0, 18.0, 0.05) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn what_counts_for_nothing_has_to_be_passed() {
        let (without, with) = (detectable(1.0, 18.0, 0.05, 0.0).unwrap(), detectable(1.0, 18.0, 0.05, 10.0).unwrap());
        assert!(without < 3.0 && with > 10.5 && with < 11.0, "{without} {with}");
    }

    #[test]
    fn of_what_is_no_number_there_is_none() {
        for (error, freedom, level) in [(f64::NAN, 8.0, 0.05), (1.0, 0.0, 0.05), (1.0, 8.0, 0.0), (1.0, f64::NAN, 0.05)]
        {
            assert_eq!(detectable(error, freedom, level, 0.0), None);
        }
        // Freedom that no test has, of which the pieces are too few.
        assert_eq!(detectable(1.0, 0.1, 0.05, 0.0), None);
    }
}
