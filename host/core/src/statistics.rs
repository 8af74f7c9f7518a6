//! Figures of figures.

/// The arithmetic mean; `None` of nothing. Summed in order and divided once, as the documented test has it.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    Some(values.iter().sum::<f64>() / values.len() as f64)
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
    fn mean_of_nothing_is_none() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
    }

    #[test]
    fn zero_does_not_differ_from_zero() {
        assert!(!differs(0.0, 0.0, 0.001));
        assert!(differs(1.0, 1.0011, 0.001));
        assert!(!differs(1.0, 1.0009, 0.001));
    }
}
