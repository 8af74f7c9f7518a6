//! Text to tokens and back.

/// The model's tokenizer.
pub trait Tokenizer: Send + Sync {
    /// Token ids of a text, with what the tokenizer puts around every text, as a token at its beginning.
    fn encode(&self, text: &str) -> Result<Vec<u32>, String>;
    /// Text of token ids; bytes that are no UTF-8 become U+FFFD, and tokens without text are left out.
    fn decode(&self, tokens: &[u32]) -> Result<String, String>;
}
