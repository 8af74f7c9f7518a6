//! The tokenizer that belongs to a model: its folder's `tokenizer.json`, or `vocab.json` with `merges.txt`, or else
//! GPT-2's own, which is embedded.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use harness_core::format::count;
use harness_core::{Tokenizer, input};
use serde::de::IgnoredAny;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as HuggingFace};

use crate::error::LoadError;
use crate::guarded::guarded;

/// GPT-2's token that ends a text; a tokenizer that has it reads it as one token.
const END_OF_TEXT: &str = "<|endoftext|>";

/// The most bytes of each of a tokenizer's files; GPT-2's have 1.4 MB at most.
const MAX_BYTES: u64 = 16 << 20;
/// The most values of a tokenizer.json, for each of which Hugging Face's library takes some 200 bytes at a time; an object counts for
/// four. GPT-2's has 250,000.
const MAX_VALUES: usize = 2_000_000;
/// The most lists and objects in each other; GPT-2's has 4, those with several processors 8.
const MAX_DEPTH: usize = 12;
/// The most merges; GPT-2's are 50,000.
const MAX_MERGES: usize = 1_000_000;

/// A tokenizer of Hugging Face's library.
struct Loaded(HuggingFace);

impl Tokenizer for Loaded {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = guarded(|| self.0.encode_fast(text, false).map_err(|error| error.to_string()));
        Ok(encoding.map_err(|error| format!("the text can't be encoded: {error}"))?.get_ids().to_vec())
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        if let Some(token) = tokens.iter().find(|&&token| self.0.id_to_token(token).is_none()) {
            return Err(format!(
                "the tokenizer has no token {token}; use a tokenizer and a model that belong together"
            ));
        }
        guarded(|| self.0.decode(tokens, false).map_err(|error| error.to_string()))
            .map_err(|error| format!("the tokens can't be decoded: {error}"))
    }
}

/// GPT-2's own tokenizer, which takes a few hundredths of a second to make.
struct Embedded;

fn embedded() -> Result<&'static Loaded, String> {
    static MADE: OnceLock<Result<Loaded, String>> = OnceLock::new();
    MADE.get_or_init(|| {
        let merges = parse_merges(include_str!("../data/gpt2-bpe/merges.txt"))?;
        byte_level(gpt2_vocabulary(&merges), merges).map(Loaded)
    })
    .as_ref()
    .map_err(Clone::clone)
}

impl Tokenizer for Embedded {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        embedded()?.encode(text)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        embedded()?.decode(tokens)
    }
}

/// GPT-2's own tokenizer. It is made in a thread of its own while the caller goes on; its first use waits for it.
pub fn gpt2_tokenizer() -> Arc<dyn Tokenizer> {
    // Where no thread can be started, the first use makes it.
    let _ = std::thread::Builder::new().name("tokenizer".into()).spawn(embedded);
    Arc::new(Embedded)
}

/// The tokenizer of a model folder.
pub(crate) fn of_folder(folder: &Path) -> Result<Arc<dyn Tokenizer>, LoadError> {
    let damaged = |path: &Path, error: String| {
        LoadError::Unusable(format!(
            "the tokenizer {} can't be used: {error}; copy it again from the model's source, or remove it to use \
             GPT-2's own",
            path.display()
        ))
    };
    let read = |path: &Path| input::read_text(path, MAX_BYTES).map_err(|error| damaged(path, error.fault.to_string()));
    // What is there and can't be used is an error, and no reason to take another.
    let there = |path: &Path| path.symlink_metadata().is_ok();
    let json = folder.join("tokenizer.json");
    if there(&json) {
        let text = read(&json)?;
        check(&text).map_err(|error| damaged(&json, error))?;
        let tokenizer = guarded(|| parse_tokenizer(&text)).map_err(|error| damaged(&json, error))?;
        return Ok(Arc::new(Loaded(tokenizer)));
    }
    let (vocab, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
    if there(&vocab) && there(&merges) {
        let (vocabulary, pairs) = (read(&vocab)?, read(&merges)?);
        let tokenizer = parse_vocabulary(&vocabulary)
            .and_then(|vocabulary| guarded(|| byte_level(vocabulary, parse_merges(&pairs)?)))
            .map_err(|error| damaged(&vocab, error))?;
        return Ok(Arc::new(Loaded(tokenizer)));
    }
    Ok(gpt2_tokenizer())
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
fn gpt2_vocabulary(merges: &Merges) -> Vocab {
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

fn parse_tokenizer(json: &str) -> Result<HuggingFace, String> {
    // The library panics on text in some places that is no JSON.
    serde_json::from_str::<IgnoredAny>(json).map_err(|error| format!("it is no JSON: {error}"))?;
    let mut tokenizer = HuggingFace::from_bytes(json).map_err(|error| error.to_string())?;
    // A prompt is encoded as it is, whatever the file was saved with.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
    Ok(tokenizer)
}

fn parse_vocabulary(json: &str) -> Result<Vocab, String> {
    serde_json::from_str(json).map_err(|error| format!("vocab.json: {error}"))
}

fn parse_merges(text: &str) -> Result<Merges, String> {
    if text.lines().nth(MAX_MERGES).is_some() {
        return Err(format!("merges.txt has more than {} lines", count(MAX_MERGES as u64)));
    }
    // The line is not shown: what lies there may be no such file, but a secret.
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with("#version") && !line.is_empty())
        .map(|(number, line)| {
            line.split_once(' ')
                .map(|(left, right)| (left.to_owned(), right.to_owned()))
                .ok_or_else(|| format!("merges.txt is no list of pairs: line {} is none", number + 1))
        })
        .collect()
}

fn byte_level(vocabulary: Vocab, merges: Merges) -> Result<HuggingFace, String> {
    let has_end = vocabulary.contains_key(END_OF_TEXT);
    let model = BPE::builder().vocab_and_merges(vocabulary, merges).build().map_err(|error| error.to_string())?;
    let mut tokenizer = HuggingFace::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
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
        let merges = parse_merges(include_str!("../data/gpt2-bpe/merges.txt")).unwrap();
        let published = parse_vocabulary(include_str!("../data/gpt2-bpe/vocab.json")).unwrap();
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

    #[test]
    fn the_end_of_text_is_one_token() {
        let tokenizer = gpt2_tokenizer();
        assert_eq!(tokenizer.encode("a<|endoftext|>").unwrap(), [64, 50_256]);
        assert_eq!(tokenizer.decode(&[64, 50_256]).unwrap(), "a<|endoftext|>");
    }

    #[test]
    fn a_token_outside_the_vocabulary_is_an_error() {
        assert_eq!(
            gpt2_tokenizer().decode(&[64, 50_257]).unwrap_err(),
            "the tokenizer has no token 50257; use a tokenizer and a model that belong together"
        );
    }
}
