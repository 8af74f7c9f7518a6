//! The kernel that generates a whole sequence in one launch: whether it suits the model and the GPU, and its launch.

use super::args::{Choice, Generate, MOST_BLOCKS, Tiling};
use super::driver::{DriverError, Gpu, Kernel, Launch};
use super::layout::Dims;
use super::memory::Memory;
use super::model::Model;
use crate::options::DTypeChoice;

/// Of `kernels/generate.cu`: warps that multiply, threads of a block, and the buffers that weights are copied into.
const WARPS: usize = 12;
const THREADS: u32 = 32 * (WARPS as u32 + 1);
const MOST_STAGES: usize = 24;
/// Barriers, statistics, candidates and flags.
const FIXED_BYTES: usize = 2 * 8 * MOST_STAGES + 2 * 8 * WARPS + 64;

const MOST_WIDTH: usize = 2304;
/// Chunks of weights that a block has copied at once.
const UNDER_WAY: i32 = 3;

/// A kernel for one shape, or for any.
struct Variant {
    /// dp, fp and hs.
    shape: Option<(usize, usize, usize)>,
    /// Of a buffer.
    stage_bytes: usize,
    /// Buffers for weights of 16 bits, and of 32.
    stages: [usize; 2],
}

const VARIANTS: [Variant; 5] = [
    Variant { shape: Some((768, 3072, 64)), stage_bytes: 12_288, stages: [17, 16] },
    Variant { shape: Some((1024, 4096, 64)), stage_bytes: 16_384, stages: [12, 12] },
    Variant { shape: Some((1280, 5120, 64)), stage_bytes: 10_240, stages: [19, 18] },
    Variant { shape: Some((1600, 6400, 64)), stage_bytes: 12_800, stages: [15, 14] },
    Variant { shape: None, stage_bytes: 16_384, stages: [11, 11] },
];

impl Variant {
    fn suits(&self, dims: &Dims) -> bool {
        // The kernels for one shape take width and heads from dp.
        let whole = dims.width == dims.dp && dims.heads * dims.hs == dims.dp;
        self.shape.is_none_or(|shape| whole && shape == (dims.dp, dims.fp, dims.hs))
    }

    fn kernel(&self, dtype: DTypeChoice) -> String {
        match self.shape {
            Some((dp, fp, hs)) => format!("generate_{dtype}_{dp}_{fp}_{hs}"),
            None => format!("generate_{dtype}"),
        }
    }
}

/// The generating kernel, where it can be used.
pub(crate) struct Generator {
    kernel: Kernel,
    blocks: usize,
    shared: u32,
    stages: usize,
    stage_bytes: usize,
    sum_stride: usize,
    up_starts: [u16; MOST_BLOCKS + 2],
    qkv: Tiling,
    proj: Tiling,
    up: Tiling,
    down: Tiling,
    head: Tiling,
    /// Packets of its exchange between blocks.
    packets: usize,
    /// Number of the next packet that was never used.
    next_packet: u32,
}

/// Which tiles of the matrix `up` each block has, so that all blocks have about as many bytes to read: each tile goes to
/// the block that has the fewest so far. `members` blocks share the matrix qkv, `group` of them a head; the rest is
/// dealt out as in `kernels/generate.cu`.
fn balance(
    blocks: usize,
    members: usize,
    group: usize,
    [qkv, proj, up, down]: [&Tiling; 4],
    heads: usize,
) -> [u16; MOST_BLOCKS + 2] {
    /// More than the fair share of one product would make its phase too long.
    const MOST_MORE: usize = 1;
    let count = |tiles: usize, first: usize, stride: usize| tiles.saturating_sub(first).div_ceil(stride);
    let mut bytes: Vec<usize> = (0..blocks)
        .map(|block| {
            let of_qkv = match block < members {
                true => count(qkv.tiles as usize / heads, group - 1 - block % group, group),
                false => 0,
            };
            of_qkv * qkv.tile_bytes as usize
                + count(proj.tiles as usize, block, blocks) * proj.tile_bytes as usize
                + count(down.tiles as usize, blocks - 1 - block, blocks) * down.tile_bytes as usize
        })
        .collect();
    let tiles = up.tiles as usize;
    let most = tiles.div_ceil(blocks) + MOST_MORE;
    // Every block has one: it is by the hidden units that blocks keep step with each other.
    let mut counts = vec![1usize; blocks];
    bytes.iter_mut().for_each(|bytes| *bytes += up.tile_bytes as usize);
    for _ in blocks..tiles {
        let next = (0..blocks).filter(|&block| counts[block] < most).min_by_key(|&block| bytes[block]).unwrap_or(0);
        counts[next] += 1;
        bytes[next] += up.tile_bytes as usize;
    }
    let mut starts = [0; MOST_BLOCKS + 2];
    for (block, count) in counts.into_iter().enumerate() {
        // Tiles are at most an eighth of the hidden units, of which there are at most 2^16.
        starts[block + 1] = starts[block] + count as u16;
    }
    starts
}

/// What one launch is to generate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// Tokens, at most.
    pub(crate) tokens: usize,
    pub(crate) end_of_text: Option<u32>,
    pub(crate) choice: Choice,
    /// Place in the ring of the first one.
    pub(crate) ring: usize,
    /// Whether the logits of the last token are wanted.
    pub(crate) logits: bool,
}

impl Generator {
    /// `None` where the model or the GPU does not suit it: see the top of `kernels/generate.cu`.
    pub(crate) fn find(gpu: &Gpu, dims: &Dims, dtype: DTypeChoice) -> Result<Option<Self>, DriverError> {
        let Some(variant) = VARIANTS.iter().find(|variant| variant.suits(dims)) else { return Ok(None) };
        let stage_bytes = variant.stage_bytes;
        let stages = variant.stages[if dims.size == 4 { 1 } else { 0 }];
        let up = dims.tiling(dims.fp, dims.dp, stage_bytes);
        let blocks = (gpu.multiprocessors() as usize).min(up.tiles as usize).min(MOST_BLOCKS);
        let suits = gpu.compute_capability() >= (9, 0)
            && dims.dp <= MOST_WIDTH
            && [16, 32, 64, 128].contains(&dims.hs)
            && blocks >= dims.heads;
        if !suits {
            return Ok(None);
        }
        let kernel = gpu.kernel(&variant.kernel(dtype))?;
        let qkv = dims.tiling(dims.qkv_rows(), dims.dp, stage_bytes);
        let proj = dims.tiling(dims.dp, dims.ap, stage_bytes);
        let down = dims.tiling(dims.dp, dims.fp, stage_bytes);
        let group = blocks / dims.heads;
        let outputs = |tiles: i32, blocks: usize, tiling: &Tiling| {
            (tiles as usize).div_ceil(blocks) * tiling.tile_rows as usize
        };
        let up_starts = balance(blocks, group * dims.heads, group, [&qkv, &proj, &up, &down], dims.heads);
        let most_up = up_starts.windows(2).take(blocks).map(|pair| usize::from(pair[1] - pair[0])).max().unwrap_or(0);
        let most = outputs(qkv.tiles / dims.heads as i32, group, &qkv)
            .max(outputs(proj.tiles, blocks, &proj))
            .max(most_up * up.tile_rows as usize)
            .max(outputs(down.tiles, blocks, &down));
        let chunks = [&qkv, &proj, &up, &down].map(|tiling| tiling.chunks as usize);
        let sum_stride = chunks.into_iter().fold(WARPS, usize::max) | 1;
        let attention = 3 * dims.hs + WARPS * (dims.hs + 2);
        let shared = stages * stage_bytes
            + FIXED_BYTES
            + 4 * dims.dp
            + dims.size * dims.dp.max(dims.ap).max(dims.fp)
            + 4 * (most * sum_stride + attention);
        if most > 32 * WARPS || shared > gpu.most_shared() as usize {
            return Ok(None);
        }
        let shared = shared as u32;
        kernel.allow_shared(shared)?;
        if kernel.blocks_per_multiprocessor(THREADS, shared)? == 0 {
            return Ok(None);
        }
        let per_packet = if dims.size == 4 { 1 } else { 2 };
        let packets =
            2 * (dims.qkv_rows() + dims.ap / per_packet + 2 * dims.dp + dims.fp / per_packet + 2 * blocks);
        let head = dims.tiling(dims.vp, dims.dp, stage_bytes);
        Ok(Some(Self { kernel, blocks, shared, stages, stage_bytes, sum_stride, up_starts, qkv, proj, up, down, head, packets, next_packet: 1 }))
    }

    /// 8-byte packets of device memory.
    pub(crate) fn packets(&self) -> usize {
        self.packets
    }

    /// All packets are new.
    pub(crate) fn restart(&mut self) {
        self.next_packet = 1;
    }

    /// Starts generating for sequence 0, whose prompt is in the cache and whose first token is chosen.
    pub(crate) fn launch(&mut self, gpu: &Gpu, model: &Model, memory: &Memory, task: Task) -> Result<(), DriverError> {
        let dims = &model.dims;
        // Of a token: five exchanges a layer, and the choice.
        let packets = (5 * dims.layers + 1) as u32 * task.tokens as u32;
        let first = match self.next_packet.checked_add(packets) {
            Some(_) => self.next_packet,
            None => {
                memory.clear_packets()?;
                1
            }
        };
        self.next_packet = first + packets;
        let (norm_weight, norm_bias) = model.norm();
        let cache = memory.cache(0);
        let generate = Generate {
            layers: model.layer(0, 0),
            layer_bytes: model.layer_bytes as u64,
            at: model.offsets,
            qkv: self.qkv,
            proj: self.proj,
            up: self.up,
            down: self.down,
            head: self.head,
            token_embedding: model.token_embedding(),
            position_embedding: model.position_embedding(),
            head_weight: model.head(),
            norm_weight,
            norm_bias,
            keys: cache.keys,
            values: cache.values,
            cache_layer_bytes: memory.layer_cache_bytes() as u64,
            packets: memory.packets(),
            failed: memory.failed(),
            token: memory.tokens(0),
            row: memory.state_rows(0),
            step: memory.steps(0),
            ring: memory.ring(task.ring),
            logits: if task.logits { memory.logits(0) } else { 0 },
            choice: task.choice,
            first_sequence: first,
            tokens: task.tokens as i32,
            end_of_text: task.end_of_text.map_or(-1, |token| token as i32),
            layer_count: dims.layers as i32,
            heads: dims.heads as i32,
            hs: dims.hs as i32,
            room: cache.room,
            width: dims.width as i32,
            dp: dims.dp as i32,
            ap: dims.ap as i32,
            fp: dims.fp as i32,
            vocabulary: dims.vocabulary as i32,
            group: (self.blocks / dims.heads) as i32,
            stages: self.stages as i32,
            stage_bytes: self.stage_bytes as i32,
            sum_stride: self.sum_stride as i32,
            under_way: std::env::var("UNDER_WAY").ok().and_then(|v| v.parse().ok()).unwrap_or(UNDER_WAY),
            epsilon: model.epsilon,
            scale: model.scale,
            scale_by_layer: i32::from(model.scale_by_layer),
            gelu_erf: i32::from(model.gelu_erf),
            up_starts: self.up_starts,
        };
        let launch = Launch {
            grid: (self.blocks as u32, 1, 1),
            threads: THREADS,
            shared: self.shared,
            dependent: false,
            cooperative: true,
        };
        // SAFETY: all addresses are of the model's and the memory's parts, which are as large as the sizes say, and which
        // are not freed before the work in the stream is done.
        unsafe { gpu.launch(&self.kernel, launch, &generate) }
    }
}
