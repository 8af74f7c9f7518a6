//! What a model folder says of its tokenizer beside the tokenizer itself: `tokenizer_config.json`, and the older
//! `special_tokens_map.json` and `added_tokens.json`, as transformers 5 follows them.

use std::collections::BTreeMap;
use std::path::Path;

use harness_core::keyed::Object;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer as HuggingFace};

use super::fault::{Fault, check_number};
use super::files::{self, END_OF_TEXT};
use crate::error::LoadError;

pub(super) const CONFIG_FILE: &str = "tokenizer_config.json";
pub(super) const SPECIAL_FILE: &str = "special_tokens_map.json";
pub(super) const ADDED_FILE: &str = "added_tokens.json";

/// The special tokens that have a name, in the order in which those that a vocabulary has not are numbered.
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What a folder says of its tokenizer.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The class of transformers that it is made for.
    pub(super) class: Option<String>,
    /// Whether it is made by code that comes with the model.
    pub(super) own_code: bool,
    /// Whether a text is read as if it started with a space.
    pub(super) add_prefix_space: Option<bool>,
    /// Whether special tokens in a text are read as any other text.
    split_special: bool,
    /// The token before each text, and the one behind it.
    before: Option<String>,
    behind: Option<String>,
    /// Tokens beside the vocabulary, by their numbers.
    pub(super) added: BTreeMap<u32, AddedToken>,
    /// The file that has them.
    added_file: &'static str,
    /// Special tokens, which are added where they are not in the vocabulary.
    special: Vec<AddedToken>,
}

impl Rules {
    pub(super) fn of_folder(folder: &Path) -> Result<Self, LoadError> {
        let read = |name: &str| files::object(&folder.join(name));
        let mut config = read(CONFIG_FILE)?.unwrap_or_default();
        // Without numbers of added tokens, it was saved before transformers 4.34, and two more files belong to it.
        let (mut special, mut added) = (Map::new(), Map::new());
        if !config.contains_key("added_tokens_decoder") {
            special = read(SPECIAL_FILE)?.unwrap_or_default();
            added = read(ADDED_FILE)?.unwrap_or_default();
        }
        config.retain(|key, _| !special.contains_key(key));
        if !config.contains_key("tokenizer_class") && !special.contains_key("tokenizer_class") {
            let model = read(crate::checkpoint::CONFIG_FILE)?.unwrap_or_default();
            config.extend(model.into_iter().filter(|(key, _)| key == "tokenizer_class"));
        }
        Self::new(&config, &special, &added).map_err(|fault| fault.of(folder))
    }

    /// Of `config` and `special`, no key is in both.
    fn new(
        config: &Map<String, Value>,
        special: &Map<String, Value>,
        added: &Map<String, Value>,
    ) -> Result<Self, Fault> {
        let get = |key: &str| special.get(key).or_else(|| config.get(key));
        let fault = |key: &str, what: &str| {
            let file = if special.contains_key(key) { SPECIAL_FILE } else { CONFIG_FILE };
            Fault { file, what: format!("{key}{what}") }
        };
        let special_token = |key: &str, token: &Value| {
            let token = token_of(token, true).map_err(|what| fault(key, &what))?;
            Ok::<_, Fault>(AddedToken { special: true, ..token })
        };
        let flag = |key: &str| match get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(fault(key, " is neither true nor false")),
        };
        let class = get("tokenizer_class").and_then(Value::as_str).map(str::to_owned);
        let own_code = get("auto_map").is_some_and(|map| map.is_array() || map.get("AutoTokenizer").is_some());
        let mut rules = Self {
            own_code,
            add_prefix_space: flag("add_prefix_space")?,
            split_special: flag("split_special_tokens")?.unwrap_or(false),
            class,
            added_file: if added.is_empty() { CONFIG_FILE } else { ADDED_FILE },
            ..Self::default()
        };
        // GPT-2's class has names of its own for the three that it can't do without.
        let default = |key: &str| (rules.is_gpt2() && NAMED[..3].contains(&key)).then(|| END_OF_TEXT.into());
        let named = |key: &str| get(key).cloned().or_else(|| default(key)).filter(|token| !token.is_null());
        let mut tokens_named = Vec::new();
        for key in NAMED {
            tokens_named.extend(named(key).map(|token| special_token(key, &token)).transpose()?);
        }
        for (key, token) in config.iter().chain(special) {
            let is_token = key.ends_with("_token") && (token.is_string() || token.is_object());
            if is_token && !NAMED.contains(&key.as_str()) {
                tokens_named.push(special_token(key, token)?);
            }
        }
        for key in ["extra_special_tokens", "additional_special_tokens"] {
            let tokens: Vec<&Value> = match get(key) {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(tokens)) => tokens.iter().collect(),
                Some(Value::Object(tokens)) => tokens.values().collect(),
                Some(_) => return Err(fault(key, " is no list of tokens")),
            };
            for token in tokens {
                tokens_named.push(special_token(key, token)?);
            }
        }
        let around = |flag: Option<bool>, key: &str| -> Result<Option<String>, Fault> {
            match flag {
                Some(true) => Ok(named(key).map(|token| special_token(key, &token)).transpose()?.map(|t| t.content)),
                _ => Ok(None),
            }
        };
        let (before, behind) =
            (around(flag("add_bos_token")?, "bos_token")?, around(flag("add_eos_token")?, "eos_token")?);
        let is_special = |content: &str| tokens_named.iter().any(|token| token.content == content);
        let mut numbered = BTreeMap::new();
        const DECODER: &str = "added_tokens_decoder";
        match get(DECODER) {
            None | Some(Value::Null) => {}
            Some(Value::Object(tokens)) => {
                for (number, token) in tokens {
                    let wrong = |what: &str| fault(DECODER, &format!(" of '{number}'{what}"));
                    let mut token = token_of(token, false).map_err(|what| wrong(&what))?;
                    let number = number.parse().map_err(|_| wrong(", which is no token's number"))?;
                    token.special |= is_special(&token.content);
                    numbered.insert(number, token);
                }
            }
            Some(_) => return Err(fault(DECODER, " is no object of tokens by number")),
        }
        let wrong = |what: String| Fault { file: ADDED_FILE, what };
        for (content, number) in added {
            let token = AddedToken::from(content.as_str(), is_special(content));
            let number = number.as_u64().and_then(|number| u32::try_from(number).ok());
            let number = number.ok_or_else(|| wrong(format!("it has no number for '{content}'")))?;
            if let Some(other) = numbered.insert(number, token) {
                return Err(wrong(format!("it has one number for '{content}' and '{}'", other.content)));
            }
        }
        (rules.added, rules.special, rules.before, rules.behind) = (numbered, tokens_named, before, behind);
        Ok(rules)
    }

    /// Whether the class is GPT-2's, which is the one that a GPT-2 has where nothing is said.
    pub(super) fn is_gpt2(&self) -> bool {
        self.class.as_deref().is_none_or(|class| ["GPT2Tokenizer", "GPT2TokenizerFast"].contains(&class))
    }

    /// A fault of the file that has the tokens beside the vocabulary.
    pub(super) fn of_added(&self, what: String) -> Fault {
        Fault { file: self.added_file, what }
    }

    /// Whether it is a token that no merge need make.
    pub(super) fn names(&self, token: &str) -> bool {
        token == END_OF_TEXT || self.added.values().chain(&self.special).any(|named| named.content == token)
    }

    /// Adds the tokens that the tokenizer has not.
    pub(super) fn add_tokens(&self, tokenizer: &mut HuggingFace) -> Result<(), Fault> {
        let add = |tokenizer: &mut HuggingFace, tokens: Vec<AddedToken>| {
            tokenizer.add_tokens(tokens).map(|_| ()).map_err(|error| self.of_added(error.to_string()))
        };
        tokenizer.set_encode_special_tokens(self.split_special);
        add(tokenizer, self.added.values().cloned().collect())?;
        let there: Vec<_> = tokenizer.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        add(tokenizer, self.special.iter().filter(|token| !there.contains(&token.content)).cloned().collect())?;
        for (number, token) in &self.added {
            check_number(tokenizer, &token.content, *number).map_err(|what| self.of_added(what))?;
        }
        Ok(())
    }

    /// Puts tokens around each text, as the rules have it.
    pub(super) fn surround(&self, tokenizer: &mut HuggingFace) -> Result<(), Fault> {
        self.surrounded(tokenizer).map_err(Fault::in_file(CONFIG_FILE))
    }

    fn surrounded(&self, tokenizer: &mut HuggingFace) -> Result<(), String> {
        let around: Vec<_> = self.before.iter().chain(&self.behind).collect();
        if around.is_empty() {
            return Ok(());
        }
        let numbered = around.iter().map(|&token| {
            let number = tokenizer.token_to_id(token).ok_or_else(|| format!("it has no token '{token}'"))?;
            Ok((token.clone(), number))
        });
        let numbered = numbered.collect::<Result<Vec<_>, String>>()?;
        let piece = |token: &Option<String>| token.iter().map(|token| format!("{token}:0")).collect::<Vec<_>>();
        let pieces = [piece(&self.before), vec!["$A:0".to_owned()], piece(&self.behind)].concat();
        let template = TemplateProcessing::builder()
            .try_single(pieces)
            .and_then(|builder| builder.special_tokens(numbered).build().map_err(|error| error.to_string()))?;
        tokenizer.with_post_processor(Some(template));
        Ok(())
    }
}

/// A token by its text alone, or with how it is found in a text. An error goes on from what the token is there.
fn token_of(token: &Value, special: bool) -> Result<AddedToken, String> {
    #[derive(Deserialize)]
    struct Json {
        content: String,
        single_word: Option<bool>,
        lstrip: Option<bool>,
        rstrip: Option<bool>,
        normalized: Option<bool>,
        special: Option<bool>,
    }
    if let Some(content) = token.as_str() {
        return Ok(AddedToken::from(content, special));
    }
    let Object(token) = Object::<Json>::deserialize(token).map_err(|error| format!(": {error}"))?;
    let special = token.special.unwrap_or(special);
    Ok(AddedToken {
        content: token.content,
        single_word: token.single_word.unwrap_or(false),
        lstrip: token.lstrip.unwrap_or(false),
        rstrip: token.rstrip.unwrap_or(false),
        normalized: token.normalized.unwrap_or(!special),
        special,
    })
}
