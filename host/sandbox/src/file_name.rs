//! Names of files that a stranger chooses. A name that passes means one plain file in the folder where it is written, to
//! every file system, and to a shell that meets it later.

use harness_core::text::deceives;
use unicode_normalization::UnicodeNormalization;

/// The most bytes of a file name on the file systems in use.
const MOST_BYTES: usize = 255;

/// Shells expand or split at them, or Windows has no such name.
const ACTIVE: &[char] = &['"', '\'', '`', '$', '%', '&', '*', ';', '<', '>', '?', '[', ']', '{', '|', '}', '!'];

/// What is wrong with a name, as the rest of a sentence that starts with it; `None` if it can be used.
pub fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".into());
    }
    if name.len() > MOST_BYTES {
        return Some(format!("it is longer than {MOST_BYTES} bytes"));
    }
    // Selectors of a variant are as invisible here.
    if name.contains(|c: char| deceives(c) || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{180b}'..='\u{180f}')) {
        return Some("it has control characters or invisible ones in it".into());
    }
    // Some file systems and programs normalise a name before they look at it.
    form(name).or_else(|| form(&name.nfkc().collect::<String>()))
}

fn form(name: &str) -> Option<String> {
    let blank = char::is_whitespace;
    Some(match name {
        name if name.contains(['/', '\\', ':']) => "it has a folder or drive in it".into(),
        name if name.starts_with('.') => "it starts with a dot".into(),
        name if name.starts_with(['-', '~']) => {
            "it starts with '-' or '~', which a command takes for an option or a home folder".into()
        }
        name if name.starts_with(blank) || name.ends_with(blank) => "it starts or ends with a blank".into(),
        name if name.ends_with('.') => "it ends with a dot".into(),
        name => match name.chars().find(|c| ACTIVE.contains(c)) {
            Some(active) => format!("it has {active} in it, which means something to a shell or to Windows"),
            None if is_device(name) => "on Windows it is a device".into(),
            None => return None,
        },
    })
}

/// The same text for names that some file system takes for one: those that differ only in case, or in how Unicode writes them.
pub fn folded(name: &str) -> String {
    // Upper case first: it makes one of more characters, such as 'ß' and 'ſ', than lower case alone.
    // Lower case before that: some capitals have a small letter, and are themselves no other's capital.
    let folded: String = name.nfkc().collect::<String>().to_lowercase().to_uppercase().to_lowercase();
    folded.nfkc().collect()
}

/// Whether Windows takes the name for a device, whatever its extension.
fn is_device(name: &str) -> bool {
    let folded = folded(name);
    let stem = folded.split('.').next().unwrap_or_default().trim_end();
    let port = |kind: &str| {
        stem.strip_prefix(kind)
            .is_some_and(|number| number.len() == 1 && number.starts_with(|c: char| c.is_ascii_digit()))
    };
    ["con", "prn", "aux", "nul"].contains(&stem) || port("com") || port("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_pass() {
        for name in [
            "report.html",
            "a b.csv",
            "übersicht.md",
            "日本.txt",
            "2026-11-25_f16.csv",
            "report (1).html",
            "a~",
            "console.txt",
            "com10.txt",
            "comma.csv",
            "null",
            "lpt",
            "a..b",
            "x-rf",
            "ﬁgures.csv",
            "#1.csv",
            "a,b=c+d@e.txt",
        ] {
            assert_eq!(fault(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_mean_something_else_do_not() {
        for (name, why) in [
            ("", "empty"),
            ("..", "starts with a dot"),
            (".bashrc", "starts with a dot"),
            ("../x", "folder or drive"),
            ("/etc/passwd", "folder or drive"),
            ("a\\b", "folder or drive"),
            ("C:x", "folder or drive"),
            ("a.txt:stream", "folder or drive"),
            ("a\nb", "control"),
            ("a\0b", "control"),
            ("a\u{202e}txt.exe", "control"),
            ("-rf", "starts with '-'"),
            ("--help", "starts with '-'"),
            ("~", "starts with '-' or '~'"),
            ("~root", "starts with '-' or '~'"),
            (" a", "blank"),
            ("a ", "blank"),
            ("a\u{a0}", "blank"),
            ("\u{3000}a", "blank"),
            ("a.txt.", "ends with a dot"),
            ("a...", "ends with a dot"),
            ("a%PATH%", "has % in"),
            ("*", "has * in"),
            ("a?", "has ? in"),
            ("a\"b", "has \" in"),
            ("<a>", "has < in"),
            ("a|b", "has | in"),
            ("$(touch x)", "has $ in"),
            ("a;b", "has ; in"),
            ("[a]", "has [ in"),
            // Full width: the same to who normalises.
            ("a\u{ff0f}b", "folder or drive"),
            ("\u{ff1c}a", "has < in"),
            ("CON", "device"),
            ("nul.txt", "device"),
            ("Aux.tar.gz", "device"),
            ("NUL .txt", "device"),
            ("com1", "device"),
            ("LPT9.csv", "device"),
            ("COM\u{b9}", "device"),
            ("lpt\u{b3}.txt", "device"),
            ("\u{ff23}ON", "device"),
            ("CONIN$", "has $ in"),
            ("a\u{2024}", "dot"),
        ] {
            let found = fault(name).unwrap_or_else(|| panic!("{name:?} passes"));
            assert!(found.contains(why), "{name:?}: {found}");
        }
        assert!(fault(&"x".repeat(255)).is_none() && fault(&"x".repeat(256)).is_some());
    }

    #[test]
    fn names_that_a_file_system_takes_for_one_fold_alike() {
        for (one, other) in [
            ("a.txt", "A.TXT"),
            ("é", "e\u{301}"),
            ("ﬁgures", "figures"),
            ("STRASSE", "straße"),
            ("ſ", "s"),
            ("Å", "\u{212b}"),
            ("\u{ff41}", "A"),
            ("ǅ", "dž"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        assert_ne!(folded("a"), folded("b"));
    }
}
