//! What candle says of its errors.

/// candle's message without a stack trace.
pub(crate) fn plain_message(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => plain_message(inner),
        error => error.to_string(),
    }
}
