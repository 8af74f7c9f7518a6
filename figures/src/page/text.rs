//! Text on its way into the page.

use std::fmt::{self, Display, Formatter, Write};

use crate::format::Scale;
use crate::text::deceives;

/// Shows a text as the content of an element or of a quoted attribute, never as markup.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", self.0)
    }
}

struct Escaper<'a, 'f>(&'a mut Formatter<'f>);

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            '\t' | '\n' => self.0.write_char(character),
            // HTML has no way to write some of these, and the others could disguise a value.
            other if deceives(other) => write!(self.0, "{}", other.escape_unicode()),
            other => self.0.write_char(other),
        })
    }
}

/// `gpu_utilization` as a heading: `GPU utilization`.
pub fn heading(metric: &str) -> String {
    let words = metric.split('_').enumerate().map(|(index, word)| match word {
        "gpu" | "sm" => word.to_uppercase(),
        _ if index == 0 => capitalised(word),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// With a capital first letter.
pub fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// A figure that a program can read back exactly, shown with its unit.
pub fn figure(value: f64, scale: &Scale, digits: u32) -> String {
    let (number, symbol) = (scale.number(value, digits), Escaped(scale.symbol()));
    format!("<data value=\"{value}\">{number}\u{a0}<span class=\"unit\">{symbol}</span></data>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_shown_and_not_obeyed() {
        let text = Escaped("<script>alert(\"it's\") && 1\u{0}\u{1b}\u{202e}</script>\n").to_string();
        let shown = "&lt;script&gt;alert(&quot;it&#39;s&quot;) &amp;&amp; 1\\u{0}\\u{1b}\\u{202e}&lt;/script&gt;\n";
        assert_eq!(text, shown);
    }

    #[test]
    fn names_read_as_headings() {
        assert_eq!(heading("gpu_utilization"), "GPU utilization");
        assert_eq!(heading("sm_clock"), "SM clock");
        assert_eq!(heading("latency"), "Latency");
        assert_eq!(heading(""), "");
    }

    #[test]
    fn a_figure_has_its_exact_value() {
        let shown = figure(0.012_345_6, &Scale::of(0.01, "s"), 4);
        assert_eq!(shown, "<data value=\"0.0123456\">12.35\u{a0}<span class=\"unit\">ms</span></data>");
    }
}
