//! The points of a sweep. Nothing here calls the host, so it is tested without one.

/// One run of the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Tokens of each prompt.
    pub length: u32,
    /// Requests served together.
    pub batch: u32,
}

impl Point {
    /// Each length with each batch, in their order; the short ones come first if they do in `lengths`.
    pub fn grid(lengths: &[u32], batches: &[u32]) -> Vec<Self> {
        lengths.iter().flat_map(|&length| batches.iter().map(move |&batch| Self { length, batch })).collect()
    }

    /// Whether a sequence of the prompt and so many new tokens fits.
    pub fn fits(self, new_tokens: u32, context: u32) -> bool {
        self.length.checked_add(new_tokens).is_some_and(|length| length <= context)
    }

    /// The label of its run.
    pub fn label(self) -> String {
        format!("{} tokens x {}", self.length, self.batch)
    }

    /// What this plugin calls the point's figure of a host metric. Not the host's own name: the host expects that to be a mean over
    /// all runs.
    pub fn figure(self, metric: &str) -> String {
        format!("{metric}_{}_x{}", self.length, self.batch)
    }
}

/// Whole numbers of 1 or more, separated by commas, each once.
pub fn counts(text: &str) -> Option<Vec<u32>> {
    let mut counts: Vec<u32> = Vec::new();
    for part in text.split(',') {
        let count = part.trim().parse().ok().filter(|&count| count > 0)?;
        // Twice would give two figures of one name.
        if !counts.contains(&count) {
            counts.push(count);
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_counts_each_once() {
        assert_eq!(counts("16, 64,16"), Some(vec![16, 64]));
        for wrong in ["", "0", "16,", "16,few", "-1", "4294967296"] {
            assert_eq!(counts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_grid_has_each_length_with_each_batch() {
        let grid = Point::grid(&[16, 64], &[1, 4]);
        let figures: Vec<String> = grid.iter().map(|point| point.figure("latency")).collect();
        assert_eq!(figures, ["latency_16_x1", "latency_16_x4", "latency_64_x1", "latency_64_x4"]);
        assert_eq!(grid[3].label(), "64 tokens x 4");
    }

    #[test]
    fn prompt_and_new_tokens_fit_together() {
        let point = Point { length: 1000, batch: 1 };
        assert!(point.fits(24, 1024));
        assert!(!point.fits(25, 1024));
        assert!(!Point { length: u32::MAX, batch: 1 }.fits(1, u32::MAX));
    }
}
