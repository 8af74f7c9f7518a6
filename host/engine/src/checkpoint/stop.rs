//! `eos_token_id` of config.json and generation_config.json: a token that ends a text, a list of them, or none.

use harness_core::StopTokens;
use serde::Deserialize;
use serde_json::Value;

/// GPT-2's own.
pub(super) const END_OF_TEXT: u32 = 50_256;

/// `None` where the file says nothing of it. Tokens that the vocabulary has not are left out: they never come. The message of an
/// error goes behind the file's name.
pub(super) fn tokens(value: Option<&Value>, vocabulary: usize) -> Result<Option<StopTokens>, String> {
    let Some(value) = value else { return Ok(None) };
    let values = match value {
        Value::Null => &[],
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    let tokens = values.iter().map(|value| {
        let token = value.as_u64().and_then(|token| u32::try_from(token).ok());
        token.ok_or_else(|| format!("has eos_token_id = {value}, which is no token; correct it"))
    });
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    let possible = tokens.into_iter().filter(|&token| (token as usize) < vocabulary);
    StopTokens::new(possible).map(Some).ok_or_else(|| {
        format!(
            "has more than {} tokens in eos_token_id, which is not supported; leave some of them out",
            StopTokens::MAX
        )
    })
}

/// `Some(Null)` of a key that is null, which is not the same as missing.
pub(super) fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
