//! The tokenizer that belongs to a model: its folder's `tokenizer.json`, or `vocab.json` with `merges.txt`, or else
//! GPT-2's own, which is embedded.

mod fault;
mod files;
mod merges;
pub(crate) mod other;
mod rules;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use harness_core::Tokenizer;
use harness_core::text::visible_line;
use tokenizers::Tokenizer as HuggingFace;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;

use self::fault::{Fault, caught};
use self::files::there;
use self::rules::Rules;
use crate::error::LoadError;
use crate::guarded::guarded;

/// A tokenizer of Hugging Face's library.
struct Loaded(HuggingFace);

impl Tokenizer for Loaded {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = guarded(|| self.0.encode_fast(text, true).map_err(|error| error.to_string()));
        Ok(encoding.map_err(|error| format!("the text can't be encoded: {error}"))?.get_ids().to_vec())
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        // Tokens without text are left out by the library.
        guarded(|| self.0.decode(tokens, false).map_err(|error| error.to_string()))
            .map_err(|error| format!("the tokens can't be decoded: {error}"))
    }
}

/// GPT-2's own tokenizer, which takes a few hundredths of a second to make.
struct Embedded;

fn embedded() -> Result<&'static Loaded, String> {
    static MADE: OnceLock<Result<Loaded, String>> = OnceLock::new();
    MADE.get_or_init(|| {
        let merges = files::parse_merges(include_str!("../../data/gpt2-bpe/merges.txt"))?;
        files::byte_level(files::gpt2_vocabulary(&merges), merges, false).map(Loaded)
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

/// A tokenizer, and what the user should know about it.
pub(crate) type WithNote = (Arc<dyn Tokenizer>, Option<String>);

/// The tokenizer of a model folder.
pub(crate) fn of_folder(folder: &Path) -> Result<WithNote, LoadError> {
    let rules = Rules::of_folder(folder)?;
    let json = folder.join(files::JSON_FILE);
    let (vocab, merges) = (folder.join(files::VOCABULARY_FILE), folder.join(files::MERGES_FILE));
    let mut note = None;
    let tokenizer = if rules.own_code {
        return Err(unsupported(folder, "is made by Python code that comes with the model (auto_map)"));
    } else if there(&json) {
        // The file has the whole tokenizer, whatever its class; what it puts around a text, too.
        let tokenizer = files::tokenizer_json(&json)?;
        caught(files::JSON_FILE, || follow(tokenizer, &rules)).map_err(|fault| fault.of(folder))?
    } else if let Some(class) = rules.class.as_ref().filter(|_| !rules.is_gpt2()) {
        return Err(unsupported(folder, &format!("is a {class}")));
    } else if there(&vocab) && there(&merges) {
        let (vocabulary, pairs) = (files::text(&vocab)?, files::text(&merges)?);
        let (tokenizer, unmade) =
            caught(files::VOCABULARY_FILE, || build(&vocabulary, &pairs, &rules)).map_err(|fault| fault.of(folder))?;
        note = unmade.map(|what| format!("the tokenizer {}: {what}", merges.display()));
        tokenizer
    } else {
        return without(folder);
    };
    Ok((Arc::new(Loaded(tokenizer)), note))
}

/// A `tokenizer.json` as the rules have it.
fn follow(mut tokenizer: HuggingFace, rules: &Rules) -> Result<HuggingFace, Fault> {
    if let (true, Some(prefix_space)) = (rules.is_gpt2(), rules.add_prefix_space) {
        let mut before = tokenizer.get_pre_tokenizer().cloned();
        if let Some(PreTokenizerWrapper::ByteLevel(bytes)) = &mut before {
            bytes.add_prefix_space = prefix_space;
        }
        tokenizer.with_pre_tokenizer(before);
    }
    rules.add_tokens(&mut tokenizer)?;
    Ok(tokenizer)
}

/// GPT-2's kind of tokenizer, with another vocabulary, and what its merges lack.
fn build(vocabulary: &str, text: &str, rules: &Rules) -> Result<(HuggingFace, Option<String>), Fault> {
    let mut vocabulary = files::parse_vocabulary(vocabulary).map_err(Fault::in_file(files::VOCABULARY_FILE))?;
    let merges = files::parse_merges(text).map_err(Fault::in_file(files::MERGES_FILE))?;
    let line = |number| files::line_of_merge(text, number);
    let unmade = merges::check(&vocabulary, &merges, line, |token| rules.names(token))
        .map_err(Fault::in_file(files::MERGES_FILE))?;
    // The library would number them in a row.
    let mut numbers: HashMap<u32, String> = vocabulary.iter().map(|(token, &number)| (number, token.clone())).collect();
    for (&number, token) in &rules.added {
        match numbers.insert(number, token.content.clone()) {
            Some(other) if other != token.content => {
                let what = format!("its added token {:?} has the number {number} of {other:?}", token.content);
                return Err(rules.of_added(what));
            }
            _ => vocabulary.entry(token.content.clone()).or_insert(number),
        };
    }
    let prefix_space = rules.add_prefix_space.unwrap_or(false);
    let mut tokenizer =
        files::byte_level(vocabulary, merges, prefix_space).map_err(Fault::in_file(files::VOCABULARY_FILE))?;
    rules.add_tokens(&mut tokenizer)?;
    rules.surround(&mut tokenizer)?;
    Ok((tokenizer, unmade))
}

/// What becomes of a folder without a tokenizer that can be used: GPT-2's own, or an error if it had another.
fn without(folder: &Path) -> Result<WithNote, LoadError> {
    const RULES: [&str; 4] = [rules::CONFIG_FILE, rules::SPECIAL_FILE, rules::ADDED_FILE, files::MERGES_FILE];
    if let Some(other) = other::find(folder) {
        return Err(unsupported(folder, &format!("is in {}", visible_line(&other))));
    }
    if there(&folder.join(files::VOCABULARY_FILE)) {
        return Err(unsupported(folder, "has vocab.json and no merges.txt"));
    }
    match RULES.into_iter().find(|name| there(&folder.join(name))) {
        Some(part) => Err(unsupported(folder, &format!("is missing, though {part} is there"))),
        None => {
            let note = format!("the model folder {} has no tokenizer, so GPT-2's own is used", folder.display());
            Ok((gpt2_tokenizer(), Some(note)))
        }
    }
}

/// The error for a tokenizer of another kind.
fn unsupported(folder: &Path, what: &str) -> LoadError {
    LoadError::Unusable(format!(
        "the tokenizer of the model folder {} {what}, which is not supported; supported is a tokenizer.json, or a \
         vocab.json and a merges.txt of GPT-2's kind: save the tokenizer with transformers 5 to get a tokenizer.json",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_text_is_one_token() {
        let tokenizer = gpt2_tokenizer();
        assert_eq!(tokenizer.encode("a<|endoftext|>").unwrap(), [64, 50_256]);
        assert_eq!(tokenizer.decode(&[64, 50_256]).unwrap(), "a<|endoftext|>");
    }

    #[test]
    fn a_token_without_text_is_left_out_and_nothing_else() {
        assert_eq!(gpt2_tokenizer().decode(&[64, 50_257, 65, u32::MAX]).unwrap(), "ab");
    }
}
