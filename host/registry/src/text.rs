//! A stranger's text in a message of ours.

/// One line of at most `max` characters and nothing in it that moves a terminal or turns its text round: what would is written as
/// `\u{1b}`.
pub(crate) fn shown(text: &str, max: usize) -> String {
    let mut line = String::new();
    for (at, character) in text.split_whitespace().collect::<Vec<_>>().join(" ").chars().enumerate() {
        if at == max {
            line.push('…');
            break;
        }
        match is_hidden(character) {
            true => line.extend(character.escape_unicode()),
            false => line.push(character),
        }
    }
    line
}

/// Controls, and what is not seen but changes how the rest is: directions, zero widths, tags.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
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
