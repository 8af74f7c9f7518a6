//! How much a recording is: its bytes, and the memory that it takes when it is read.
//!
//! Both are known of its text alone, so a line that is too much is refused before anything is made of it. What is
//! written is measured in the same way as what is read: whatever was recorded can be read again.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::format::count;

/// The most bytes of memory that a recording may take.
const MAX_MEMORY: u64 = 176 << 20;
/// The most bytes of all texts together; of 10,000 runs they have some 20 MB.
const MAX_TEXTS: u64 = 64 << 20;
/// The most bytes of one text: the longest setting that a command line can have, each character escaped.
const MAX_TEXT: u64 = 16 << 20;
/// The most bytes of a number or a word.
const MAX_WORD: u64 = 1024;
/// The most lists and objects in each other; a recording has 4.
const MAX_DEPTH: u32 = 64;

/// A line: a run, its place in the list, and the allocations of its maps.
const LINE: u64 = 768;
/// A key with its value: two texts' allocations, and a place in a map that has grown.
const ENTRY: u64 = 160;
/// A list or an object.
const COLLECTION: u64 = 96;
/// A number in a list.
const NUMBER: u64 = 8;

/// What is too much of a recording. Its text goes behind what it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Of all that it has.
    Memory,
    /// Of all texts.
    Texts,
    /// Of one text.
    Text,
    /// Of one number or word.
    Word,
    /// Of lists and objects in each other.
    Depth,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => write!(f, "takes more than {} bytes of memory", count(MAX_MEMORY)),
            Self::Texts => write!(f, "has texts of more than {} bytes", count(MAX_TEXTS)),
            Self::Text => write!(f, "has a text of more than {} bytes", count(MAX_TEXT)),
            Self::Word => write!(f, "has a number or word of more than {} bytes", count(MAX_WORD)),
            Self::Depth => write!(f, "has more than {MAX_DEPTH} lists and objects in each other"),
        }
    }
}

/// The extent of what was read or written so far. It looks at a JSON text's bytes and takes any others, too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    /// Bytes of all lines, their ends included.
    pub(super) bytes: u64,
    /// What is too much, once something is.
    pub(super) over: Option<Over>,
    memory: u64,
    /// Bytes of all texts.
    texts: u64,
    in_text: bool,
    /// The next byte of a text stands for itself.
    escaped: bool,
    /// Bytes of the text or word that is being read.
    length: u64,
    depth: u32,
    /// For each depth, from the lowest bit, whether it is a list.
    lists: u64,
}

impl Extent {
    /// Of a line alone.
    pub(super) fn of(line: &impl Serialize) -> Self {
        Self::default().with(line)
    }

    /// With one line more.
    pub(super) fn with(mut self, line: &impl Serialize) -> Self {
        // Nothing that is recorded fails to be written as JSON; what did would fail again on its way to the disk.
        let _ = serde_json::to_writer(&mut self, line);
        self.end_line();
        self
    }

    /// The line is over.
    pub(super) fn end_line(&mut self) {
        self.bytes += 1;
        self.memory += LINE;
        (self.in_text, self.escaped, self.length, self.depth, self.lists) = (false, false, 0, 0, 0);
    }

    /// Takes the next bytes of a line.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for &byte in bytes {
            self.next(byte);
        }
        if self.memory > MAX_MEMORY {
            self.over.get_or_insert(Over::Memory);
        }
        if self.texts > MAX_TEXTS {
            self.over.get_or_insert(Over::Texts);
        }
    }

    fn next(&mut self, byte: u8) {
        if self.in_text {
            self.memory += 1;
            self.texts += 1;
            self.length += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => (self.in_text, self.length) = (false, 0),
                _ if self.length > MAX_TEXT => _ = self.over.get_or_insert(Over::Text),
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_text = true,
            b':' => self.memory += ENTRY,
            b',' if self.lists & 1 == 1 => self.memory += NUMBER,
            b',' => {}
            b'[' | b'{' => {
                self.memory += COLLECTION;
                self.lists = self.lists << 1 | u64::from(byte == b'[');
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    self.over.get_or_insert(Over::Depth);
                }
            }
            b']' | b'}' => {
                self.lists >>= 1;
                self.depth = self.depth.saturating_sub(1);
            }
            b' ' | b'\t' | b'\r' => {}
            _ => {
                self.length += 1;
                if self.length > MAX_WORD {
                    self.over.get_or_insert(Over::Word);
                }
                return;
            }
        }
        self.length = 0;
    }
}

/// Counts what is written, and keeps nothing of it.
impl Write for Extent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(text: &str) -> Option<Over> {
        let mut extent = Extent::default();
        extent.take(text.as_bytes());
        extent.over
    }

    #[test]
    fn what_is_too_much_is_known_of_the_text() {
        assert_eq!(over(r#"{"a":[1,2,{"b":"c\"d"}]}"#), None);
        assert_eq!(over(&"[".repeat(64)), None);
        assert_eq!(over(&"[".repeat(65)), Some(Over::Depth));
        assert_eq!(over(&"[]".repeat(65)), None);
        assert_eq!(over(&format!("\"{}\"", "[".repeat(65))), None);
        assert_eq!(over(&"1".repeat(1025)), Some(Over::Word));
        assert_eq!(over(&"1".repeat(1024)), None);
        assert_eq!(over(&format!("{{\"a\":{},\"b\":1}}", "1".repeat(1024))), None);
        for short in ["1,", "1 ", "1:", "1\t", "1\r", "[]1", "\"\"1"] {
            assert_eq!(over(&short.repeat(1025)), None, "{short}");
        }
        let text = "x".repeat((16 << 20) + 1);
        assert_eq!(over(&format!("\"{}\"", &text[1..])), None);
        assert_eq!(over(&format!("\"{text}\"")), Some(Over::Text));
        assert_eq!(over(&format!("\"\\\"{}\"", text)), Some(Over::Text));
    }

    #[test]
    fn entries_weigh_more_than_numbers() {
        let memory = |text: &str| {
            let mut extent = Extent::default();
            extent.take(text.as_bytes());
            extent.memory
        };
        assert_eq!(memory("[1,2,3]") - memory("[1]"), 2 * NUMBER);
        assert_eq!(memory("[[1],2]") - memory("[[1]]"), NUMBER);
        assert_eq!(memory("[{},[],2]") - memory("[{},[]]"), NUMBER);
        assert_eq!(memory(r#"{"a":1,"b":2}"#) - memory(r#"{"a":1}"#), ENTRY + 2);
        assert_eq!(memory(r#"{"a":[1,2],"b":2}"#) - memory(r#"{"a":[1,2]}"#), ENTRY + 2);
    }

    #[test]
    fn what_is_written_weighs_what_it_weighs_when_it_is_read() {
        let line = serde_json::json!({"a": [1.5, 2.5], "b": {"c": "d"}});
        let written = Extent::of(&line);
        let mut read = Extent::default();
        read.take(line.to_string().as_bytes());
        read.end_line();
        assert_eq!((written.bytes, written.memory), (read.bytes, read.memory));
    }

    #[test]
    fn all_together_is_bounded_too() {
        let mut extent = Extent::default();
        let mut take = |text: &str| {
            extent.take(text.as_bytes());
            extent.over
        };
        // Four of the longest texts, their ends included, are the most; one that has nothing but its end is too much.
        let longest = format!("\"{}\"", "x".repeat((16 << 20) - 1));
        assert_eq!([&longest, &longest, &longest, &longest].map(|text| take(text)), [None; 4]);
        assert_eq!(take("\"\""), Some(Over::Texts));

        let mut extent = Extent::default();
        let most = MAX_MEMORY / ENTRY;
        extent.take(":".repeat(most as usize).as_bytes());
        extent.take(b"[");
        assert_eq!((extent.memory, extent.over), (MAX_MEMORY, None));
        extent.take(b",");
        assert_eq!(extent.over, Some(Over::Memory));
        // Whatever comes first is what is said.
        extent.take("1".repeat(2000).as_bytes());
        assert_eq!(extent.over, Some(Over::Memory));
    }

    #[test]
    fn a_line_weighs_what_a_run_does() {
        let mut extent = Extent::default();
        extent.take(b"{}");
        let (bytes, memory) = (extent.bytes, extent.memory);
        extent.take(b"[\"");
        let open = extent.memory;
        extent.end_line();
        assert_eq!((bytes, memory, open, extent.bytes, extent.memory), (2, 96, 192, 5, 192 + 768));
        // Nothing of a line is open in the next.
        extent.take(b"[,1");
        assert_eq!(extent.memory, 192 + 768 + 96 + 8);
    }

    #[test]
    fn what_is_too_much_is_said_with_its_bound() {
        for (over, told) in [
            (Over::Memory, "takes more than 184,549,376 bytes of memory"),
            (Over::Texts, "has texts of more than 67,108,864 bytes"),
            (Over::Text, "has a text of more than 16,777,216 bytes"),
            (Over::Word, "has a number or word of more than 1,024 bytes"),
            (Over::Depth, "has more than 64 lists and objects in each other"),
        ] {
            assert_eq!(over.to_string(), told);
        }
    }
}
