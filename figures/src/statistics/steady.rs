//! Whether a series has reached its level.

/// Fewer values than this tell nothing of a level.
const FEWEST: usize = 10;

/// One look at noise on its way to a level may find it steady; so many in a row seldom do.
const LOOKS: usize = 5;

/// How many values at the start of a series belong to the way to its level and not to the level: the d, up to half of the
/// values, for which the rest's squared standard error Σ(x − mean)² / (n − d)² is least. The first such where several are.
/// None of fewer than ten values, or where one is no finite number.
///
/// K. P. White, 'An effective truncation heuristic for bias reduction in simulation output', Simulation 69, 1997 (the marginal
/// standard error rule, MSER).
pub fn truncation(values: &[f64]) -> Option<usize> {
    if values.len() < FEWEST || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let half = values.len() / 2;
    let mut best: Option<(usize, f64)> = None;
    // Mean and squares of what is after d, from the end on (Welford 1962): sums of squares would lose a small spread.
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for (d, value) in values.iter().enumerate().rev() {
        count += 1.0;
        let distance = value - mean;
        mean += distance / count;
        squares += distance * (value - mean);
        if d <= half && best.is_none_or(|(_, least)| squares / (count * count) <= least) {
            best = Some((d, squares / (count * count)));
        }
    }
    best.map(|(d, _)| d)
}

/// Whether a series is at its level: [`truncation`] keeps more than half of it. Where the least error is at half, it may well
/// be later, and there is too little of the level yet.
///
/// K. P. White and S. Robinson, 'The problem of the initial transient (again), or why MSER works', Journal of Simulation 4, 2010.
pub fn is_steady(values: &[f64]) -> bool {
    truncation(values).is_some_and(|d| d < values.len() / 2)
}

/// Watches a series until it is steady. Nothing foresees a step: a series that starts with a plateau of some ten values is
/// taken for steady on it.
///
/// It is where five looks in a row found [`is_steady`]; there is a look a value, and fewer in a long series.
#[derive(Clone, Debug)]
pub struct Steadiness {
    values: Vec<f64>,
    next_look: usize,
    /// Looks in a row that found it steady.
    found: usize,
}

impl Default for Steadiness {
    fn default() -> Self {
        Self { values: Vec::new(), next_look: FEWEST, found: 0 }
    }
}

impl Steadiness {
    /// The fewest values that can be found steady.
    pub const FEWEST: usize = FEWEST + LOOKS - 1;

    /// The next value, in any unit.
    pub fn note(&mut self, value: f64) {
        self.values.push(value);
        if self.values.len() >= self.next_look {
            self.found = if is_steady(&self.values) { self.found + 1 } else { 0 };
            // A look takes time in proportion to what there is, so there are fewer of many.
            self.next_look = self.values.len() + 1 + self.values.len() / 100;
        }
    }

    /// Whether it is steady.
    pub fn is_steady(&self) -> bool {
        self.found >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many values were seen when they were found steady.
    fn steady_at(values: &[f64]) -> Option<usize> {
        let mut watched = Steadiness::default();
        let found = |value: &f64| {
            watched.note(*value);
            watched.is_steady()
        };
        values.iter().position(found).map(|index| index + 1)
    }

    /// Even noise in -1..1 that is the same each time.
    fn noise(seed: u64, index: u64) -> f64 {
        let mut state =
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index.wrapping_mul(0xd1b5_4a32_d192_ed03));
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    #[test]
    fn what_is_level_from_the_start_is_steady_as_soon_as_can_be() {
        assert_eq!(steady_at(&[0.1; 30]), Some(Steadiness::FEWEST));
        assert_eq!(truncation(&[0.1; 30]), Some(0));
        assert_eq!(truncation(&[0.1; 9]), None);
        assert_eq!(truncation(&[f64::NAN; 20]), None);
    }

    #[test]
    fn a_short_series_is_looked_at_after_each_value_and_a_long_one_after_each_hundredth() {
        let mut watched = Steadiness::default();
        for count in 1..=2000 {
            let due = watched.next_look == count;
            watched.note(2.0 - 1e-4 * count as f64);
            let gap = watched.next_look - count;
            match count {
                10..100 => assert_eq!(gap, 1, "{count}"),
                1000..1100 if due => assert_eq!(gap, 11, "{count}"),
                1900..2000 if due => assert_eq!(gap, 20, "{count}"),
                _ => {}
            }
        }
    }

    #[test]
    fn a_step_is_cut_off_where_it_is() {
        let series: Vec<f64> = (0..60).map(|i| if i < 5 { 3.0 } else { 1.0 + 0.01 * noise(1, i) }).collect();
        assert_eq!(truncation(&series), Some(5));
        // Half of 12 is the first that is over 5; noise may add some to it.
        let found = steady_at(&series).unwrap();
        assert!((12 + LOOKS - 1..30).contains(&found), "{found}");
    }

    #[test]
    fn what_goes_on_changing_is_never_steady() {
        let falling: Vec<f64> = (0..500).map(|i| 2.0 - 0.001 * i as f64).collect();
        assert_eq!(steady_at(&falling), None);
        let noisy: Vec<f64> = (0..500).map(|i| 2.0 - 0.003 * i as f64 + 0.003 * noise(2, i)).collect();
        assert_eq!(steady_at(&noisy), None);
    }

    #[test]
    fn noise_alone_is_soon_steady_whatever_its_size() {
        let mut at: Vec<usize> = (0..1000u64)
            .map(|seed| {
                let series: Vec<f64> = (0..200).map(|i| 1.0 + 0.3 * noise(seed, i)).collect();
                steady_at(&series).unwrap()
            })
            .collect();
        at.sort_unstable();
        assert!(at[500] <= 20 && at[990] <= 80, "{} {}", at[500], at[990]);
    }

    proptest! {
        #[test]
        fn the_unit_does_not_matter(values in prop::collection::vec(0.1..10.0f64, 0..80), power in -20..20i32) {
            // By powers of two, so that nothing is rounded.
            let scaled: Vec<f64> = values.iter().map(|value| value * 2f64.powi(power)).collect();
            prop_assert_eq!(truncation(&values), truncation(&scaled));
        }

        #[test]
        fn it_is_the_least_by_the_definition(values in prop::collection::vec(0.1..10.0f64, 10..60)) {
            let error = |d: usize| {
                let rest = &values[d..];
                let mean = rest.iter().sum::<f64>() / rest.len() as f64;
                rest.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (rest.len() * rest.len()) as f64
            };
            let found = truncation(&values).unwrap();
            prop_assert!(found <= values.len() / 2);
            let least = (0..=values.len() / 2).map(error).fold(f64::INFINITY, f64::min);
            prop_assert!(error(found) <= least * (1.0 + 1e-9), "{} {}", error(found), least);
        }

        #[test]
        fn any_floats_do_not_panic(values in prop::collection::vec(any::<f64>(), 0..50)) {
            let _ = truncation(&values);
        }
    }
}
