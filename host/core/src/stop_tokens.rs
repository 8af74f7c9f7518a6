//! The tokens that end a text.

/// The tokens that end a text: a few, in a value that is copied as it is to every backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopTokens {
    tokens: [u32; Self::MAX],
    count: usize,
}

impl StopTokens {
    /// The most tokens that end a text.
    pub const MAX: usize = 16;
    /// Nothing ends a text.
    pub const NONE: Self = Self { tokens: [0; Self::MAX], count: 0 };

    /// Each of the tokens once; `None` where there are more than [`Self::MAX`].
    pub fn new(tokens: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut stop = Self::NONE;
        for token in tokens {
            if !stop.contains(token) {
                *stop.tokens.get_mut(stop.count)? = token;
                stop.count += 1;
            }
        }
        Some(stop)
    }

    /// Whether this token ends a text.
    pub fn contains(&self, token: u32) -> bool {
        self.as_slice().contains(&token)
    }

    /// Whether nothing ends a text.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, and zeros behind them.
    pub fn padded(&self) -> [u32; Self::MAX] {
        self.tokens
    }

    /// All of them.
    pub fn as_slice(&self) -> &[u32] {
        &self.tokens[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_counts_once_and_their_number_is_bounded() {
        let stop = StopTokens::new([7, 0, 7, 9]).unwrap();
        assert_eq!(stop.as_slice(), [7, 0, 9]);
        let mut padded = [0; StopTokens::MAX];
        padded[..3].copy_from_slice(&[7, 0, 9]);
        assert_eq!(stop.padded(), padded);
        assert!(stop.contains(0) && stop.contains(9) && !stop.contains(1));
        assert!(StopTokens::NONE.is_empty() && !stop.is_empty() && !StopTokens::NONE.contains(0));
        assert_eq!(StopTokens::new(0..16).unwrap().as_slice().len(), 16);
        assert_eq!(StopTokens::new(0..17), None);
    }
}
