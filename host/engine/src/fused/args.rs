//! What kernels are launched with: `kernels/*.h`, field by field. Addresses are the device's.

#![allow(unsafe_code, reason = "says which structs are plain bytes to the device")]

use harness_core::StopTokens;

use super::plain::Plain;

/// An address in the device's memory.
pub(crate) type Address = u64;

/// Where the keys and values of a token lie, and its position. `sequence` under 0 marks padding.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) sequence: i32,
    pub(crate) position: i32,
}

// SAFETY: two numbers of the same size.
unsafe impl Plain for Row {}

impl Row {
    pub(crate) const PADDING: Self = Self { sequence: -1, position: 0 };
}

/// Keys and values of one layer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cache {
    pub(crate) keys: Address,
    pub(crate) values: Address,
    pub(crate) heads: i32,
    pub(crate) room: i32,
    pub(crate) hs: i32,
    pub(crate) reserved: i32,
}

/// What becomes of a product's sums.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Epilogue {
    #[default]
    Qkv = 0,
    Gelu = 1,
    Partial = 2,
    Logits = 3,
    Residual = 4,
}

/// A matrix product of activations and weights.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Product {
    pub(crate) a: Address,
    pub(crate) w: Address,
    pub(crate) bias: Address,
    pub(crate) out: Address,
    pub(crate) rows: Address,
    pub(crate) cache: Cache,
    pub(crate) m: i32,
    pub(crate) np: i32,
    pub(crate) kp: i32,
    pub(crate) ap: i32,
    pub(crate) gelu_erf: i32,
    pub(crate) epilogue: Epilogue,
    pub(crate) norm_weight: Address,
    pub(crate) norm_bias: Address,
    pub(crate) epsilon: f32,
    pub(crate) width: i32,
    pub(crate) kw: i32,
}

/// Attention of prompts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct PromptAttention {
    pub(crate) q: Address,
    pub(crate) out: Address,
    pub(crate) starts: Address,
    pub(crate) slots: Address,
    pub(crate) cache: Cache,
    pub(crate) ap: i32,
    pub(crate) scale: f32,
}

/// Attention of a new token of each sequence.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepAttention {
    pub(crate) q: Address,
    pub(crate) out: Address,
    pub(crate) rows: Address,
    pub(crate) cache: Cache,
    pub(crate) ap: i32,
    pub(crate) scale: f32,
}

/// A layer's heads for a step: norm, product, cache and attention.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepHeads {
    pub(crate) qkv: Product,
    pub(crate) attention: StepAttention,
}

/// Embedding, partial sums and layer norm of rows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) x: Address,
    pub(crate) tokens: Address,
    pub(crate) rows: Address,
    pub(crate) token_embedding: Address,
    pub(crate) position_embedding: Address,
    pub(crate) partials: Address,
    pub(crate) bias: Address,
    pub(crate) picks: Address,
    pub(crate) out: Address,
    pub(crate) norm_weight: Address,
    pub(crate) norm_bias: Address,
    pub(crate) m: i32,
    pub(crate) dp: i32,
    pub(crate) width: i32,
    pub(crate) splits: i32,
    pub(crate) partial_rows: i32,
    pub(crate) epsilon: f32,
    pub(crate) parts: i32,
}

/// What is fetched before a pass over prompts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) words: i64,
}

/// How the tokens of a sequence are chosen.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) seed: u64,
    /// 0: greedy.
    pub(crate) temperature: f32,
    /// 0: all.
    pub(crate) top_k: u32,
    /// 1: all.
    pub(crate) top_p: f32,
    pub(crate) reserved: u32,
}

// SAFETY: 8 bytes, then four times 4: no padding.
unsafe impl Plain for Choice {}

/// Where the blocks that share a sequence's choice meet; all zeros at first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contest {
    pub(crate) best: u64,
    pub(crate) arrived: u32,
    pub(crate) reserved: u32,
}

/// The choice of the next tokens.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choose {
    pub(crate) logits: Address,
    pub(crate) choices: Address,
    pub(crate) rows: Address,
    pub(crate) tokens: Address,
    pub(crate) steps: Address,
    pub(crate) ring: Address,
    pub(crate) contests: Address,
    pub(crate) m: i32,
    pub(crate) vp: i32,
    pub(crate) vocabulary: i32,
    pub(crate) room: i32,
    pub(crate) first: i32,
    pub(crate) ring_stride: i32,
}

/// The head and the choice of tokens in one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) a: Address,
    pub(crate) w: Address,
    /// 0 where they are not kept.
    pub(crate) logits: Address,
    pub(crate) kp: i32,
    pub(crate) stages: i32,
    pub(crate) choose: Choose,
}

/// How a matrix is dealt out to the blocks of the generating kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tiling {
    pub(crate) tile_rows: i32,
    pub(crate) tiles: i32,
    pub(crate) tile_bytes: i32,
    pub(crate) chunk_bytes: i32,
    pub(crate) chunks: i32,
    pub(crate) kp: i32,
}

/// Byte offsets into the memory of one layer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LayerOffsets {
    pub(crate) qkv: u32,
    pub(crate) proj: u32,
    pub(crate) up: u32,
    pub(crate) down: u32,
    pub(crate) norm_1_weight: u32,
    pub(crate) norm_1_bias: u32,
    pub(crate) qkv_bias: u32,
    pub(crate) proj_bias: u32,
    pub(crate) norm_2_weight: u32,
    pub(crate) norm_2_bias: u32,
    pub(crate) up_bias: u32,
    pub(crate) down_bias: u32,
}

/// One new token of each sequence through all layers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepLayers {
    pub(crate) layers: Address,
    pub(crate) layer_bytes: u64,
    pub(crate) at: LayerOffsets,
    pub(crate) token_embedding: Address,
    pub(crate) position_embedding: Address,
    pub(crate) tokens: Address,
    pub(crate) rows: Address,
    pub(crate) keys: Address,
    pub(crate) values: Address,
    pub(crate) cache_layer_bytes: u64,
    pub(crate) x: Address,
    pub(crate) attended: Address,
    pub(crate) hidden: Address,
    pub(crate) statistics: Address,
    pub(crate) norm_weight: Address,
    pub(crate) norm_bias: Address,
    pub(crate) normed: Address,
    pub(crate) arrived: Address,
    pub(crate) failed: Address,
    pub(crate) head: Address,
    pub(crate) m: i32,
    pub(crate) layer_count: i32,
    pub(crate) room: i32,
    pub(crate) epsilon: f32,
    pub(crate) scale: f32,
    pub(crate) scale_by_layer: i32,
    pub(crate) gelu_erf: i32,
    pub(crate) head_tiles: i32,
    pub(crate) head_ahead: i32,
}

/// A block of memory that is read.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) from: Address,
    pub(crate) out: Address,
    pub(crate) count: u64,
}

/// Blocks of the generating kernel at most.
pub(crate) const MOST_BLOCKS: usize = 384;

/// A whole generation.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generate {
    pub(crate) layers: Address,
    pub(crate) layer_bytes: u64,
    pub(crate) at: LayerOffsets,
    pub(crate) qkv: Tiling,
    pub(crate) proj: Tiling,
    pub(crate) up: Tiling,
    pub(crate) down: Tiling,
    pub(crate) head: Tiling,
    pub(crate) token_embedding: Address,
    pub(crate) position_embedding: Address,
    pub(crate) head_weight: Address,
    pub(crate) norm_weight: Address,
    pub(crate) norm_bias: Address,
    pub(crate) keys: Address,
    pub(crate) values: Address,
    pub(crate) cache_layer_bytes: u64,
    pub(crate) packets: Address,
    pub(crate) failed: Address,
    pub(crate) token: Address,
    pub(crate) row: Address,
    pub(crate) step: Address,
    pub(crate) ring: Address,
    pub(crate) logits: Address,
    pub(crate) choice: Choice,
    pub(crate) first_sequence: u32,
    pub(crate) tokens: i32,
    pub(crate) stop_count: i32,
    pub(crate) stop_tokens: [u32; StopTokens::MAX],
    pub(crate) layer_count: i32,
    pub(crate) heads: i32,
    pub(crate) hs: i32,
    pub(crate) room: i32,
    pub(crate) width: i32,
    pub(crate) dp: i32,
    pub(crate) ap: i32,
    pub(crate) fp: i32,
    pub(crate) vocabulary: i32,
    pub(crate) group: i32,
    pub(crate) stages: i32,
    pub(crate) stage_bytes: i32,
    pub(crate) sum_stride: i32,
    pub(crate) epsilon: f32,
    pub(crate) scale: f32,
    pub(crate) scale_by_layer: i32,
    pub(crate) gelu_erf: i32,
    pub(crate) up_starts: [u16; MOST_BLOCKS + 2],
}
