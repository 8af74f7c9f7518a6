//! Samples made few enough to draw, and figures of them.

/// At most about `most` of the points, in order: of each stretch the lowest and the highest, so that no peak is lost.
pub(crate) fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let stretches = most.max(2) / 2;
    if points.len() <= stretches * 2 {
        return points.to_vec();
    }
    let mut kept = Vec::with_capacity(stretches * 2);
    for stretch in 0..stretches {
        let part = &points[stretch * points.len() / stretches..(stretch + 1) * points.len() / stretches];
        let by_value =
            |(a, b): &(usize, &(f64, f64)), (c, d): &(usize, &(f64, f64))| b.1.total_cmp(&d.1).then(a.cmp(c));
        let lowest = part.iter().enumerate().min_by(by_value).map(|(index, _)| index);
        let highest = part.iter().enumerate().max_by(by_value).map(|(index, _)| index);
        let mut ends: Vec<usize> = lowest.into_iter().chain(highest).collect();
        ends.sort_unstable();
        ends.dedup();
        kept.extend(ends.into_iter().map(|index| part[index]));
    }
    kept
}

/// The least and the greatest; none of nothing.
pub(crate) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let mut values = values.into_iter();
    let first = values.next()?;
    Some(values.fold((first, first), |(least, most), value| (least.min(value), most.max(value))))
}

/// Counts of values in stretches of equal width.
pub(crate) struct Histogram {
    /// Where the first begins, in the values' unit.
    pub(crate) start: f64,
    /// Of each, in the values' unit.
    pub(crate) width: f64,
    /// How many values are in each; the last has the greater ones, too.
    pub(crate) counts: Vec<u64>,
    /// How many values of the last are beyond its end.
    pub(crate) beyond: u64,
}

impl Histogram {
    /// Empty, from `start` to `end`.
    pub(crate) fn new((start, end): (f64, f64), bins: usize) -> Self {
        let bins = if end > start { bins.max(1) } else { 1 };
        let width = (end - start) / bins as f64;
        Self { start, width, counts: vec![0; bins], beyond: 0 }
    }

    pub(crate) fn add(&mut self, value: f64) {
        let last = self.counts.len() - 1;
        // A cast of what is no number or below 0 is 0.
        let bin = if self.width > 0.0 { ((value - self.start) / self.width) as usize } else { 0 };
        self.counts[bin.min(last)] += 1;
        // A hair beyond is the greatest value itself, after rounding.
        self.beyond += u64::from(value > self.end() + self.width * 1e-6);
    }

    pub(crate) fn end(&self) -> f64 {
        self.start + self.width * self.counts.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_extremes_and_order() {
        let mut points: Vec<(f64, f64)> = (0..1_000_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        points[123_456].1 = 99.0;
        points[777_777].1 = -5.0;
        let few = thinned(&points, 400);
        assert!(few.len() <= 400, "{}", few.len());
        assert!(few.contains(&(123_456.0, 99.0)) && few.contains(&(777_777.0, -5.0)));
        assert!(few.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thinned(&points[..400], 400), points[..400]);
        assert_eq!(thinned(&[(0.0, 1.0); 9], 4).len(), 4);
        assert!(thinned(&[], 4).is_empty());
    }

    #[test]
    fn every_value_is_in_the_histogram_once() {
        let mut histogram = Histogram::new((1.0, 2.0), 4);
        [1.0, 1.1, 1.3, 1.99, 2.0, 50.0].into_iter().for_each(|value| histogram.add(value));
        assert_eq!((histogram.counts.as_slice(), histogram.beyond), ([2, 1, 0, 3].as_slice(), 1));
        let mut same = Histogram::new((1.0, 1.0), 4);
        same.add(1.0);
        assert_eq!((same.counts.as_slice(), same.beyond), ([1].as_slice(), 0));
    }
}
