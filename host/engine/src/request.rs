//! What every backend asks of a request.

use harness_core::{BackendError, ModelInfo, TokenRequest};

/// An error if the model can't serve the request.
pub(crate) fn check(request: &TokenRequest, info: &ModelInfo) -> Result<(), BackendError> {
    let invalid = |what: String| Err(BackendError::Invalid(what));
    if request.prompt.is_empty() {
        return invalid("the prompt has no tokens; give at least one".into());
    }
    if let Some(token) = request.prompt.iter().find(|&&token| token >= info.vocabulary) {
        return invalid(format!("the prompt has token {token}, and the model only {}", info.vocabulary));
    }
    let length = request.prompt.len() as u64 + u64::from(request.max_new_tokens);
    if length > u64::from(info.context) {
        return invalid(format!("{length} tokens do not fit the model's context of {}", info.context));
    }
    Ok(())
}
