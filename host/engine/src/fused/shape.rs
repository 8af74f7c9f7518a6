//! What one pass computes: how many tokens of how many sequences.

/// Tokens of prompts that are read in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PromptShape {
    /// Number of the pass over the batch's prompts.
    pub(crate) pass: usize,
    /// Tokens, with padding.
    pub(crate) rows: usize,
    pub(crate) sequences: usize,
    /// The longest prompt in tiles of [`QUERY_TILE`] tokens.
    pub(crate) tiles: usize,
    /// Number of the first sequence in the batch.
    pub(crate) first: usize,
    pub(crate) choice: ChoiceShape,
}

/// What the choice of tokens needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChoiceShape {
    /// Whether some sequence is drawn among the most likely tokens only.
    pub(crate) restricted: bool,
    /// Sequences of the batch, between two tokens of a sequence in the ring.
    pub(crate) stride: usize,
    /// Whether the logits are kept.
    pub(crate) logits: bool,
}

/// Queries of a block of the kernels for prompts.
pub(crate) const QUERY_TILE: usize = 64;

/// Most rows of the kernels for few.
pub(crate) const FEW_ROWS: usize = 16;
