//! Reads a tokenizer's files, and builds a byte-level BPE of a vocabulary and merges.

use std::path::Path;

use harness_core::format::count;
use harness_core::{input, keyed};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as HuggingFace};

use super::fault::{check_number, damaged};
use crate::checkpoint::lfs;
use crate::error::LoadError;
use crate::guarded::guarded;

/// The whole of a tokenizer, as Hugging Face's library has it.
pub(super) const JSON_FILE: &str = "tokenizer.json";
/// The numbers of tokens, and what makes tokens of others.
pub(super) const VOCABULARY_FILE: &str = "vocab.json";
pub(super) const MERGES_FILE: &str = "merges.txt";

/// GPT-2's token that ends a text; a tokenizer that has it reads it as one token.
pub(super) const END_OF_TEXT: &str = "<|endoftext|>";

/// The most bytes of each of a tokenizer's files; GPT-2's have 1.4 MB at most.
const MAX_BYTES: u64 = 16 << 20;
/// The most values of a tokenizer.json, for each of which Hugging Face's library takes some 200 bytes at a time; an object counts for
/// four. GPT-2's has 250,000.
const MAX_VALUES: usize = 2_000_000;
/// The most lists and objects in each other; GPT-2's has 4, those with several processors 8.
const MAX_DEPTH: usize = 12;
/// The most merges; GPT-2's are 50,000.
const MAX_MERGES: usize = 1_000_000;

/// What is there and can't be used is an error, and no reason to take another.
pub(super) fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

pub(super) fn text(path: &Path) -> Result<String, LoadError> {
    let text = input::read_text(path, MAX_BYTES).map_err(|error| damaged(path, &error.fault.to_string()))?;
    lfs::refuse_pointer(path, text.as_bytes())?;
    Ok(text)
}

/// A file that holds one JSON object; `None` where there is none.
pub(super) fn object(path: &Path) -> Result<Option<Map<String, Value>>, LoadError> {
    if !there(path) {
        return Ok(None);
    }
    let text = text(path)?;
    check(&text).map_err(|error| damaged(path, &error))?;
    serde_json::from_str(&text).map(Some).map_err(|error| damaged(path, &error.to_string()))
}

/// A `tokenizer.json`.
pub(super) fn tokenizer_json(path: &Path) -> Result<HuggingFace, LoadError> {
    let text = text(path)?;
    check(&text).and_then(|()| guarded(|| parse_tokenizer(&text))).map_err(|error| damaged(path, &error))
}

/// Refuses a tokenizer.json of whose text it is clear that to parse it takes too much, of whatever form it is: Hugging Face's library
/// keeps all of a part before it makes anything of it, and again for each part around that.
fn check(json: &str) -> Result<(), String> {
    let (mut in_text, mut escaped) = (false, false);
    let (mut values, mut depth, mut deepest) = (0, 0_usize, 0);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b',' => values += 1,
            b'[' | b'{' => {
                values += if byte == b'{' { 4 } else { 1 };
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    match (values > MAX_VALUES, deepest > MAX_DEPTH) {
        (true, _) => Err(format!("it has more than {} values", count(MAX_VALUES as u64))),
        (_, true) => Err(format!("it has more than {MAX_DEPTH} lists and objects in each other")),
        _ => Ok(()),
    }
}

/// GPT-2's token ids follow from its merges: first the bytes, as characters that can be seen, then what each merge
/// makes, then the end of text.
pub(super) fn gpt2_vocabulary(merges: &Merges) -> Vocab {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let invisible = (0..=u8::MAX).filter(|byte| !visible(byte)).count() as u32;
    let bytes = (0..=u8::MAX).filter(visible).map(char::from);
    let others = (256..256 + invisible).filter_map(char::from_u32);
    let tokens = bytes.chain(others).map(String::from);
    let merged = merges.iter().map(|(left, right)| [left.as_str(), right].concat());
    // Collecting would grow the map again and again.
    let mut vocabulary = Vocab::with_capacity(merges.len() + 257);
    vocabulary.extend(tokens.chain(merged).chain([END_OF_TEXT.to_owned()]).zip(0..));
    vocabulary
}

/// The numbers that a tokenizer.json has for its added tokens.
#[derive(Deserialize)]
struct Added {
    #[serde(default, deserialize_with = "keyed::list")]
    added_tokens: Vec<Numbered>,
}

#[derive(Deserialize)]
struct Numbered {
    id: u32,
    content: String,
}

/// What the library says of a file, in words that need no knowledge of its types.
fn plain(error: &str) -> String {
    const NO_KIND: &str = "data did not match any variant of untagged enum ";
    let is_name = |word: &&str| word.starts_with(|first: char| first.is_ascii_uppercase());
    if let Some((before, after)) = error.split_once(NO_KIND) {
        let (name, rest) = after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(after.len()));
        let part = match name.trim_end_matches("Wrapper").trim_end_matches("Untagged").trim_end_matches("Helper") {
            "Model" => "model",
            "Normalizer" => "normalizer",
            "PreTokenizer" => "pre_tokenizer",
            "PostProcessor" => "post_processor",
            "Decoder" => "decoder",
            _ => "part of it",
        };
        return format!("{before}its {part} is of no known kind, or lacks something{rest}");
    }
    let mut words: Vec<&str> = Vec::new();
    for word in error.split(' ') {
        let kind = match words.last() {
            Some(&"struct") if is_name(&word) => "an object",
            Some(&("enum" | "variant")) if is_name(&word) => "a value of another kind",
            _ => {
                words.push(word);
                continue;
            }
        };
        let articles = ["struct", "enum", "variant", "tuple", "newtype", "unit", "tagged", "untagged"];
        while words.pop_if(|word| articles.contains(word)).is_some() {}
        words.push(kind);
    }
    words.join(" ")
}

fn parse_tokenizer(json: &str) -> Result<HuggingFace, String> {
    // The library panics on text in some places that is no JSON.
    serde_json::from_str::<IgnoredAny>(json).map_err(|error| format!("it is no JSON: {error}"))?;
    let added: Added = keyed::document(json.as_bytes()).map_err(|error| error.to_string())?;
    let mut tokenizer = HuggingFace::from_bytes(json).map_err(|error| plain(&error.to_string()))?;
    // The library numbers added tokens anew, whatever the file says.
    added.added_tokens.iter().try_for_each(|token| check_number(&tokenizer, &token.content, token.id))?;
    // A prompt is encoded as it is, whatever the file was saved with.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
    Ok(tokenizer)
}

pub(super) fn parse_vocabulary(json: &str) -> Result<Vocab, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

/// The lines that have merges, each with how many are before it.
fn lines_of_merges(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.starts_with("#version") && !line.is_empty())
}

/// The number of the line, from 1, that has a merge of that number, from 0.
pub(super) fn line_of_merge(text: &str, merge: usize) -> usize {
    lines_of_merges(text).nth(merge).map_or(0, |(before, _)| before + 1)
}

pub(super) fn parse_merges(text: &str) -> Result<Merges, String> {
    if text.lines().nth(MAX_MERGES).is_some() {
        return Err(format!("it has more than {} lines", count(MAX_MERGES as u64)));
    }
    // The line is not shown: what lies there may be no such file, but a secret.
    lines_of_merges(text)
        .map(|(number, line)| {
            line.split_once(' ')
                .map(|(left, right)| (left.to_owned(), right.to_owned()))
                .ok_or_else(|| format!("it is no list of pairs: line {} is none", number + 1))
        })
        .collect()
}

pub(super) fn byte_level(vocabulary: Vocab, merges: Merges, prefix_space: bool) -> Result<HuggingFace, String> {
    let has_end = vocabulary.contains_key(END_OF_TEXT);
    let model = BPE::builder().vocab_and_merges(vocabulary, merges).build().map_err(|error| error.to_string())?;
    let mut tokenizer = HuggingFace::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(prefix_space, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    if has_end {
        tokenizer.add_special_tokens([AddedToken::from(END_OF_TEXT, true)]).map_err(|error| error.to_string())?;
    }
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_merges_give_the_published_vocabulary() {
        let merges = parse_merges(include_str!("../../data/gpt2-bpe/merges.txt")).unwrap();
        let published = parse_vocabulary(include_str!("../../data/gpt2-bpe/vocab.json")).unwrap();
        assert!(gpt2_vocabulary(&merges) == published);
    }

    #[test]
    fn what_takes_too_much_is_refused_by_its_text() {
        let of = |piece: &str, times: usize| check(&piece.repeat(times));
        assert_eq!(of("1,", 2_000_000), Ok(()));
        assert!(of("1,", 2_000_001).unwrap_err().contains("2,000,000 values"));
        assert_eq!(of("{}", 500_000), Ok(()));
        assert!(of("{}", 500_001).is_err());
        assert_eq!(of(r#""a\",{[""#, 2_000_001), Ok(()));
        assert_eq!(of("[", 12), Ok(()));
        assert!(of("[", 13).unwrap_err().contains("12 lists and objects"));
        let lines = |count| parse_merges(&"a b\n".repeat(count));
        assert!(lines(MAX_MERGES).is_ok() && lines(MAX_MERGES + 1).is_err());
    }
}
