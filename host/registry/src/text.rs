//! A stranger's text in a message of ours.

use harness_figures::text::visible_line;

/// One line of at most `max` characters, in which whatever could deceive is shown as what it is.
pub(crate) fn shown(text: &str, max: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(max) {
        None => visible_line(&words).into_owned(),
        Some((end, _)) => format!("{}…", visible_line(words.get(..end).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_terminal_is_written_out() {
        let text = "  no\u{1b}]0;x\u{7}\n::error:: \u{202e}tx\u{2066}t\u{200b}\u{61c}\u{e0041}\u{9b}\u{2028}é  ";
        assert_eq!(
            shown(text, 100),
            "no\\u{1b}]0;x\\u{7} ::error:: \\u{202e}tx\\u{2066}t\\u{200b}\\u{61c}\\u{e0041}\\u{9b} é"
        );
        for hidden in ['\u{61c}', '\u{200b}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2060}', '\u{2069}', '\u{e007f}'] {
            assert_eq!(shown(&format!("a{hidden}b"), 9), format!("a{}b", hidden.escape_unicode()));
        }
        assert_eq!(shown("\r\n \u{2028}", 9), "");
    }

    #[test]
    fn it_is_short() {
        assert_eq!(shown("abcd", 4), "abcd");
        assert_eq!(shown("abcde", 4), "abcd…");
        assert_eq!(shown(&"\u{202e}".repeat(1 << 20), 2), "\\u{202e}\\u{202e}…");
    }
}
