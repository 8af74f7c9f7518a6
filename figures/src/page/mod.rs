//! The page that figures are shown on: one HTML file that asks nothing of a network and runs no script, in the browser's light or
//! dark colours, for a phone as for paper.
//!
//! What a function takes as text it escapes; what it takes as markup it does not.

mod axis;
mod text;

pub use axis::ticks;
pub use text::{Escaped, capitalised, figure, heading};

const STYLE: &str = include_str!("style.css");

/// How a note or a badge is meant; its class in the style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// To be known.
    Warn,
    /// Not as it should be.
    Bad,
    /// Neither.
    Plain,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Plain => "plain",
        }
    }
}

/// The whole file. `title` and `footer` are text, `body` is markup.
pub fn document(title: &str, body: &str, footer: &str) -> String {
    let (title, footer) = (Escaped(title), Escaped(footer));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" \
         href=\"data:,\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n<footer>{footer} The page \
         loads nothing and runs no script.</footer>\n</body>\n</html>\n"
    )
}

/// A part with a heading; none where there is nothing in it. `title` is text, `content` markup.
pub fn section(title: &str, content: Option<String>) -> Option<String> {
    content.map(|content| format!("<section>\n<h2>{}</h2>\n{content}</section>\n", Escaped(title)))
}

/// A chart, which is markup, and what it shows, which is text.
pub fn drawing(svg: &str, caption: &str) -> String {
    format!("<figure>\n{svg}\n<figcaption>{}</figcaption>\n</figure>\n", Escaped(caption))
}

/// What the reader should know before the rest, as text.
pub fn note(tone: Tone, text: &str) -> String {
    format!("<p class=\"note {}\">{}</p>\n", tone.class(), Escaped(text))
}

/// A word or two that stand out, as text.
pub fn badge(tone: Tone, text: &str) -> String {
    format!("<span class=\"badge {}\">{}</span>", tone.class(), Escaped(text))
}

/// A table, focusable, so that it can be scrolled from the keyboard where it is wider than the screen. The caption and the heads of
/// columns are text, `rows` markup; columns named by `words` start at the left, as figures end at the right.
pub fn table(caption: &str, head: &[&str], words: &[&str], rows: &str) -> String {
    let heading = |name: &&str| {
        let class = if words.contains(name) { " class=\"text\"" } else { "" };
        format!("<th scope=\"col\"{class}>{}</th>", Escaped(name))
    };
    let head: String = head.iter().map(heading).collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\n<table>\n<caption><span>{caption}</span></caption>\n\
         <thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n",
        caption = Escaped(caption)
    )
}

/// A name, which may be broken between its words.
pub fn code(name: &str) -> String {
    format!("<code>{}</code>", Escaped(name).to_string().replace('_', "_<wbr>").replace('.', ".<wbr>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_what_it_is_given_and_escapes_what_is_text() {
        let page = document("a < b", "<p>body</p>\n", "made by x & y.");
        assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
        assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'; img-src data:"));
        assert!(page.contains("<title>a &lt; b</title>") && page.contains("<main>\n<p>body</p>\n</main>"));
        let foot = "<footer>made by x &amp; y. The page loads nothing and runs no script.</footer>\n</body>\n</html>\n";
        assert!(page.ends_with(foot));
    }

    #[test]
    fn parts_are_markup_around_text() {
        let part = "<section>\n<h2>a &amp; b</h2>\n<p>c</p></section>\n";
        assert_eq!(section("a & b", Some("<p>c</p>".into())).as_deref(), Some(part));
        assert_eq!(section("a", None), None);
        assert_eq!(drawing("<svg/>", "a < b"), "<figure>\n<svg/>\n<figcaption>a &lt; b</figcaption>\n</figure>\n");
        assert_eq!(code("a.b_c<"), "<code>a.<wbr>b_<wbr>c&lt;</code>");
    }

    #[test]
    fn each_tone_has_its_class() {
        for (tone, class) in [(Tone::Good, "good"), (Tone::Warn, "warn"), (Tone::Bad, "bad"), (Tone::Plain, "plain")] {
            assert_eq!(note(tone, "<"), format!("<p class=\"note {class}\">&lt;</p>\n"));
            assert_eq!(badge(tone, "<"), format!("<span class=\"badge {class}\">&lt;</span>"));
            assert!(STYLE.contains(&format!(".{class}")) || tone == Tone::Plain, "{class} looks like nothing");
        }
    }

    #[test]
    fn columns_of_words_start_at_the_left() {
        let table = table("runs & more", &["name", "<ms>"], &["name"], "<tr><td>a</td><td>1</td></tr>\n");
        assert!(table.contains("aria-label=\"runs &amp; more\"") && table.contains("<span>runs &amp; more</span>"));
        assert!(table.contains("<tr><th scope=\"col\" class=\"text\">name</th><th scope=\"col\">&lt;ms&gt;</th></tr>"));
        assert!(table.contains("<tbody>\n<tr><td>a</td><td>1</td></tr>\n</tbody>"));
    }
}
