//! Text from a guest on its way to a terminal or a file.

/// The text without control characters other than line feeds and tabs, so that a plugin can't drive the terminal.
pub fn printable(text: &str) -> String {
    text.chars().filter(|&c| c == '\n' || c == '\t' || !(c.is_control() || is_directional(c))).collect()
}

/// Characters that reorder what stands around them, by which a line can be made to look like another.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

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
    fn escapes_lose_their_teeth() {
        assert_eq!(printable("a\u{1b}[31mb\tc\nd\r\u{7}\u{202e}e"), "a[31mb\tc\nde");
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aé", 2), "a […]");
        assert_eq!(cut("aé", 3), "aé");
    }
}
