//! Whether a merges.txt is whole: what the vocabulary beside it has, its merges make.

use std::collections::HashSet;

use harness_core::format::{count, plural};
use tokenizers::models::bpe::{Merges, Vocab};

/// Up to so many tokens a vocabulary may have bytes alone.
const BYTES: usize = 256;
/// Of a vocabulary's tokens, one in so many may be made by no merge: a few are such as were put there by hand.
const ONE_IN: usize = 100;

/// An error if merges are missing, and what to tell if some may be. Both go on from the file's name; `is_named` knows the tokens that
/// need no merge. `line` is the number of a merge's line.
pub(super) fn check(
    vocabulary: &Vocab,
    merges: &Merges,
    line: impl Fn(usize) -> usize,
    is_named: impl Fn(&str) -> bool,
) -> Result<Option<String>, String> {
    let mut made = HashSet::with_capacity(merges.len());
    for (number, (left, right)) in merges.iter().enumerate() {
        let whole = [left.as_str(), right].concat();
        if [left, right, &whole].into_iter().any(|token| !vocabulary.contains_key(token)) {
            // The line is not shown: what lies there may be no such file, but a secret.
            return Err(format!("line {} has a token that vocab.json beside it does not have", line(number)));
        }
        made.insert(whole);
    }
    let tokens = vocabulary.len();
    if tokens <= BYTES {
        return Ok(None);
    }
    if merges.is_empty() {
        return Err(format!("it has no merge, and vocab.json beside it has {} tokens", count(tokens as u64)));
    }
    let lost = || {
        vocabulary.iter().filter(|(token, _)| {
            !made.contains(*token) && !is_named(token) && !is_bracketed(token) && can_be_made(token, vocabulary)
        })
    };
    let Some((first, _)) = lost().min_by_key(|(_, number)| **number) else { return Ok(None) };
    let lost = lost().count();
    let what = format!("no merge makes {} of vocab.json beside it, such as {first:?}", plural(lost, "token"));
    match lost > tokens / ONE_IN {
        true => Err(format!("it is cut off: {what}")),
        false => Ok(Some(format!("{what}, so no text is read as these; it may be cut off"))),
    }
}

/// Whether it is written as special tokens are, which are found in a text before any merge.
fn is_bracketed(token: &str) -> bool {
    (token.starts_with('<') && token.ends_with('>')) || (token.starts_with('[') && token.ends_with(']'))
}

/// Whether it is two other tokens in a row, as each token is that a merge makes.
fn can_be_made(token: &str, vocabulary: &Vocab) -> bool {
    token.char_indices().skip(1).any(|(at, _)| {
        let (left, right) = token.split_at(at);
        vocabulary.contains_key(left) && vocabulary.contains_key(right)
    })
}

#[cfg(test)]
mod tests {
    use super::super::files;
    use super::*;

    fn gpt2() -> (Vocab, Merges) {
        let merges = files::parse_merges(include_str!("../../data/gpt2-bpe/merges.txt")).unwrap();
        (files::gpt2_vocabulary(&merges), merges)
    }

    fn of(vocabulary: &Vocab, merges: &[(String, String)]) -> Result<Option<String>, String> {
        check(vocabulary, &merges.to_vec(), |number| number + 2, |token| token == "named")
    }

    #[test]
    fn what_is_whole_is_no_matter() {
        let (mut vocabulary, merges) = gpt2();
        assert_eq!(of(&vocabulary, &merges), Ok(None));
        for (number, token) in (50_257..).zip(["<unused>", "[PAD]", "named", "madeupword0001", "\u{263a}"]) {
            vocabulary.insert(token.into(), number);
        }
        assert_eq!(of(&vocabulary, &merges), Ok(None));
        let small = files::parse_vocabulary(r#"{"a": 0, "b": 1, "ab": 2, "aa": 3}"#).unwrap();
        assert_eq!(of(&small, &[]), Ok(None));
    }

    #[test]
    fn what_is_cut_off_is_seen_by_the_vocabulary() {
        let (vocabulary, merges) = gpt2();
        assert_eq!(of(&vocabulary, &[]).unwrap_err(), "it has no merge, and vocab.json beside it has 50,257 tokens");
        let error = of(&vocabulary, &merges[..49_000]).unwrap_err();
        assert_eq!(error, "it is cut off: no merge makes 1,000 tokens of vocab.json beside it, such as \"ophical\"");
        let note = of(&vocabulary, &merges[..49_999]).unwrap().unwrap();
        assert_eq!(
            note,
            "no merge makes 1 token of vocab.json beside it, such as \"\u{120}gazed\", so no text is read as these; it may be cut off"
        );
        let other = files::parse_vocabulary(r#"{"a": 0, "b": 1}"#).unwrap();
        let merge = |left: &str, right: &str| (left.to_owned(), right.to_owned());
        for merge in [merge("a", "secret"), merge("secret", "a"), merge("a", "b")] {
            assert_eq!(of(&other, &[merge]).unwrap_err(), "line 2 has a token that vocab.json beside it does not have");
        }
    }
}
