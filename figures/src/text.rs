//! Which characters can deceive a reader or drive a terminal, and how a text with them is written so that it can't.
//!
//! Nothing is dropped: a character that could deceive is shown as what it is, such as `\u{1b}`, so that the reader sees that it is
//! there. This is the only place that knows which characters those are.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether the character moves a terminal or turns the direction of what stands around it: control characters, the
/// separators of lines and paragraphs, and Unicode's marks that embed, override and isolate a direction.
pub fn steers(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether the character can make a text look like another: all that [`steers`], line feeds and tabs among them, and what nobody
/// sees. That is Unicode's `Default_Ignorable_Code_Point` with the annotations U+FFF9 to U+FFFB.
///
/// Variation selectors U+FE00 to U+FE0F and the Mongolian ones are none of them: they choose the shape of the character before
/// them, and every other emoji has one. Those of the supplement, U+E0100 to U+E01EF, are: they lie among the tags, and like them
/// can hide a whole message behind one letter.
pub fn deceives(character: char) -> bool {
    steers(character)
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The text for people, of as many lines as it has: each character that [`deceives`] is shown as what it is, but for line feeds,
/// tabs, and a carriage return right before a line feed, which does nothing there.
///
/// ```
/// use harness_figures::text::visible;
///
/// assert_eq!(visible("\u{1b}[31mred\r\n\tnot"), "\\u{1b}[31mred\r\n\tnot");
/// ```
pub fn visible(text: &str) -> Cow<'_, str> {
    shown(text, |character, next| match character {
        '\n' | '\t' => false,
        '\r' => next != Some('\n'),
        other => deceives(other),
    })
}

/// The text for people, in one line: also line feeds and tabs are shown as what they are.
pub fn visible_line(text: &str) -> Cow<'_, str> {
    shown(text, |character, _| deceives(character))
}

/// The same JSON document, in which each character that [`deceives`] is escaped as JSON does it, so that whoever shows the document as
/// it is shows nothing else than what is there, and whoever parses it gets every text as it was.
pub fn json(document: &str) -> Cow<'_, str> {
    // Between texts a document has none but line feeds, tabs and carriage returns, and in texts it has none of those.
    replaced(
        document,
        |character, _| deceives(character) && !matches!(character, '\n' | '\t' | '\r'),
        |character, json| {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // A string takes all that is written.
                let _ = write!(json, "\\u{unit:04x}");
            }
        },
    )
}

fn shown(text: &str, hidden: impl Fn(char, Option<char>) -> bool) -> Cow<'_, str> {
    replaced(text, hidden, |character, shown| shown.extend(character.escape_unicode()))
}

/// The text with `write` instead of each character that is `wanted`, which is asked with the one that follows.
fn replaced(
    text: &str,
    wanted: impl Fn(char, Option<char>) -> bool,
    write: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let mut replaced = String::new();
    let mut kept = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if wanted(character, characters.peek().map(|(_, next)| *next)) {
            replaced.push_str(text.get(kept..at).unwrap_or_default());
            write(character, &mut replaced);
            kept = at + character.len_utf8();
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    replaced.push_str(text.get(kept..).unwrap_or_default());
    Cow::Owned(replaced)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_deceives_is_shown_as_what_it_is() {
        assert_eq!(visible("a\u{1b}[31mb\tc\nd\r\u{7}e"), "a\\u{1b}[31mb\tc\nd\\u{d}\\u{7}e");
        assert_eq!(visible_line("a\tb\r\nc"), "a\\u{9}b\\u{d}\\u{a}c");
        for (character, escape) in [
            ('\0', "\\u{0}"),
            ('\u{7f}', "\\u{7f}"),
            ('\u{9b}', "\\u{9b}"),
            ('\u{ad}', "\\u{ad}"),
            ('\u{61c}', "\\u{61c}"),
            ('\u{180e}', "\\u{180e}"),
            ('\u{200b}', "\\u{200b}"),
            ('\u{200f}', "\\u{200f}"),
            ('\u{2028}', "\\u{2028}"),
            ('\u{202e}', "\\u{202e}"),
            ('\u{2060}', "\\u{2060}"),
            ('\u{2069}', "\\u{2069}"),
            ('\u{feff}', "\\u{feff}"),
            ('\u{fff9}', "\\u{fff9}"),
            ('\u{fffb}', "\\u{fffb}"),
            ('\u{e0001}', "\\u{e0001}"),
            ('\u{e007f}', "\\u{e007f}"),
            ('\u{e0100}', "\\u{e0100}"),
        ] {
            assert!(deceives(character), "{escape}");
            assert_eq!(visible(&character.to_string()), escape);
        }
    }

    #[test]
    fn letters_of_any_script_and_plain_emojis_stay() {
        let text = "Zürich, 東京, القاهرة, ירושלים, हिन्दी, \u{a0}±3 µs, ❤\u{fe0f} \u{fffd}";
        assert!(matches!(visible_line(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn a_json_document_stays_the_same_document() {
        let text = "\u{1b}[31m\r\n\t\u{7f}\u{9b}\u{202e}\u{200b}\u{e0041}\"\\é";
        let document = serde_json::to_string_pretty(&serde_json::json!({ text: [text, 1.5] })).unwrap();
        let escaped = json(&document);
        assert!(escaped.contains("\\u202e\\u200b\\udb40\\udc41"), "{escaped}");
        assert_eq!(visible(&escaped), escaped);
        let parsed: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(parsed[text][0], text);
    }

    fn with_what_deceives() -> impl Strategy<Value = String> {
        let character = prop_oneof![
            any::<char>(),
            prop::char::range('\0', '\u{ff}'),
            prop::char::range('\u{2000}', '\u{206f}'),
            prop::char::range('\u{fe00}', '\u{ffff}'),
            prop::char::range('\u{e0000}', '\u{e01ff}'),
        ];
        prop::collection::vec(character, 0..40).prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn nothing_that_deceives_is_left(text in with_what_deceives()) {
            let lines = visible(&text);
            prop_assert!(!lines.replace("\r\n", "").contains(|c| deceives(c) && c != '\n' && c != '\t'));
            prop_assert_eq!(visible(&lines), &*lines);
            prop_assert_eq!(lines.matches('\n').count(), text.matches('\n').count());
            let line = visible_line(&text);
            prop_assert!(!line.contains(deceives));
            prop_assert_eq!(visible_line(&line), &*line);
            prop_assert_eq!(visible(&line), &*line);
        }

        #[test]
        fn what_is_printable_stays(text in "[ -~à-ÿα-ω一-鿿\u{a0}❤☺\n\t]*") {
            prop_assert_eq!(visible(&text), &*text);
            prop_assert_eq!(visible_line(&text).contains('\n'), false);
        }

        /// Read back, the escapes are the characters.
        #[test]
        fn nothing_is_lost(text in with_what_deceives().prop_filter("backslashes", |text| !text.contains('\\'))) {
            let line = visible_line(&text);
            let mut parts = line.split("\\u{");
            let mut back = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let (code, rest) = part.split_once('}').unwrap();
                back.push(u32::from_str_radix(code, 16).ok().and_then(char::from_u32).unwrap());
                back.push_str(rest);
            }
            prop_assert_eq!(back, text);
        }

        #[test]
        fn json_says_the_same(text in with_what_deceives()) {
            let document = serde_json::to_string(&text).unwrap();
            let escaped = json(&document);
            prop_assert!(!escaped.contains(deceives));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
