//! Text from a guest, cut to what is kept of it. What may be shown of it, `harness_core::text` knows.

/// At most `most` bytes of the text, cut between characters, with a mark where it was cut.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{} […]", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aé", 2), "a […]");
        assert_eq!(cut("aé", 3), "aé");
    }
}
