//! Text on its way into GitHub-flavoured Markdown, where it is shown as it is and makes no markup, link or image.

use crate::text::visible;

/// The text in one line, among others or as a cell of a table.
///
/// ```
/// use harness_figures::markdown::text;
///
/// assert_eq!(text("![x](http://a.b) | <b>"), r"!\[x\](http\://a.b) \| \<b\>");
/// ```
pub fn text(text: &str) -> String {
    let text = in_one_line(text);
    let mut shown = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let (before, after) = text.split_at(at);
        let special = match character {
            '\\' | '|' | '*' | '`' | '<' | '>' | '&' | '[' | ']' | '#' | '@' | '~' | '$' => true,
            // Within a word it is a letter.
            '_' => {
                !(before.ends_with(char::is_alphanumeric) && after.chars().nth(1).is_some_and(char::is_alphanumeric))
            }
            // GitHub makes links of addresses that are nothing but text.
            ':' => after.starts_with("://"),
            '.' => {
                before
                    .len()
                    .checked_sub(3)
                    .and_then(|at| before.get(at..))
                    .is_some_and(|last| last.eq_ignore_ascii_case("www"))
                    || numbers(before, after)
            }
            // At the start they make a list, a heading or a rule.
            '-' | '+' | '=' => before.trim_start().is_empty() && begins_block(after),
            ')' => numbers(before, after),
            _ => false,
        };
        if special {
            shown.push('\\');
        }
        shown.push(character);
    }
    shown
}

/// Markdown makes a space of the end of a line within a paragraph, too.
fn in_one_line(text: &str) -> String {
    visible(text).replace("\r\n", " ").replace(['\n', '\t'], " ")
}

/// Whether the mark that a text begins with is one of a list, or one of several.
fn begins_block(text: &str) -> bool {
    let mut characters = text.chars();
    let mark = characters.next();
    let next = characters.next();
    next.is_none_or(char::is_whitespace) || next == mark
}

/// Whether what stands between makes a list with numbers.
fn numbers(before: &str, after: &str) -> bool {
    let number = before.trim_start();
    let ends = after.chars().nth(1).is_none_or(char::is_whitespace);
    ends && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The text as code in one line, not in a table.
pub fn code(text: &str) -> String {
    // As Markdown has it: more backticks around it than there are anywhere in it, and apart from those at its ends.
    let text = in_one_line(text);
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let apart = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) || text.is_empty() { " " } else { "" };
    format!("{fence}{apart}{text}{apart}{fence}")
}

/// The text as code in a cell of a table, which is the only place where a `|` in code needs an escape, and has one.
pub fn code_cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_makes_no_markup() {
        for (given, expected) in [
            ("gpt2 on NVIDIA H100 80GB HBM3, 5 % - 3.", "gpt2 on NVIDIA H100 80GB HBM3, 5 % - 3."),
            ("a | b\r\n# c\n\n<d>", r"a \| b \# c  \<d\>"),
            ("&lt;", r"\&lt;"),
            ("**a** _b_ ~~c~~ `d`", r"\*\*a\*\* \_b\_ \~\~c\~\~ \`d\`"),
            ("time_to_first_token a__b", r"time_to_first_token a\_\_b"),
            ("@team #12", r"\@team \#12"),
            ("www.a.b WWW.a.b ww.a", r"www\.a.b WWW\.a.b ww.a"),
            ("- a", r"\- a"),
            ("-5.0 %", "-5.0 %"),
            ("---", r"\---"),
            ("1. a 2. b", r"1\. a 2. b"),
            ("1) a 2) b", r"1\) a 2) b"),
            ("see http://a.b: it", r"see http\://a.b: it"),
            ("3.5", "3.5"),
            ("\u{202e}x\u{1b}", r"\\u{202e}x\\u{1b}"),
        ] {
            assert_eq!(text(given), expected, "{given}");
        }
    }

    #[test]
    fn code_ends_where_it_should() {
        assert_eq!(code("a_b"), "`a_b`");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!((code("`a"), code("a`"), code("")), ("`` `a ``".into(), "`` a` ``".into(), "`  `".into()));
        assert_eq!(code("a|b\n\u{1b}"), "`a|b \\u{1b}`");
        assert_eq!(code_cell("a|b"), "`a\\|b`");
    }
}
