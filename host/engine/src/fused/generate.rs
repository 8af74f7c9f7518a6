//! The kernel that generates a whole sequence in one launch: whether it suits the model and the GPU, and its launch.

#![allow(unsafe_code, reason = "launches kernels, which take addresses of the device")]

use harness_core::StopTokens;

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

/// How the work is dealt out to blocks.
struct Plan {
    variant: &'static Variant,
    blocks: usize,
    /// Blocks of a head.
    group: usize,
    /// Bytes of shared memory of a block.
    shared: usize,
    stages: usize,
    sum_stride: usize,
    up_starts: [u16; MOST_BLOCKS + 2],
    qkv: Tiling,
    proj: Tiling,
    up: Tiling,
    down: Tiling,
    head: Tiling,
    /// Packets of the exchange between blocks.
    packets: usize,
}

impl Plan {
    /// `None` where the model does not suit the kernel: see the top of `kernels/generate.cu`.
    fn new(dims: &Dims, multiprocessors: usize, most_shared: usize) -> Option<Self> {
        let variant = VARIANTS.iter().find(|variant| variant.suits(dims))?;
        let tiling = |rows, kp| dims.tiling(rows, kp, variant.stage_bytes);
        let (qkv, proj) = (tiling(dims.qkv_rows(), dims.dp), tiling(dims.dp, dims.ap));
        let (up, down) = (tiling(dims.fp, dims.dp), tiling(dims.dp, dims.fp));
        let blocks = multiprocessors.min(up.tiles as usize).min(MOST_BLOCKS);
        let suits = dims.dp <= MOST_WIDTH
            && [16, 32, 64, 128].contains(&dims.hs)
            && blocks >= dims.heads
            && up.tiles <= i32::from(u16::MAX);
        if !suits {
            return None;
        }
        let group = blocks / dims.heads;
        let up_starts = balance(blocks, group * dims.heads, group, [&qkv, &proj, &up, &down], dims.heads);
        let most_up = up_starts.windows(2).take(blocks).map(|pair| usize::from(pair[1] - pair[0])).max().unwrap_or(0);
        let outputs = |tiles: usize, tiling: &Tiling| tiles * tiling.tile_rows as usize;
        let most = outputs((qkv.tiles as usize / dims.heads).div_ceil(group), &qkv)
            .max(outputs((proj.tiles as usize).div_ceil(blocks), &proj))
            .max(outputs(most_up, &up))
            .max(outputs((down.tiles as usize).div_ceil(blocks), &down));
        let chunks = [&qkv, &proj, &up, &down].map(|tiling| tiling.chunks as usize);
        let sum_stride = chunks.into_iter().fold(WARPS, usize::max) | 1;
        let attention = 3 * dims.hs + WARPS * (dims.hs + 2);
        let wide = dims.size == 4;
        let stages = variant.stages[usize::from(wide)];
        let shared = stages * variant.stage_bytes
            + FIXED_BYTES
            + 4 * dims.dp
            + dims.size * dims.dp.max(dims.ap).max(dims.fp)
            + 4 * (most * sum_stride + attention);
        if most > 32 * WARPS || shared > most_shared {
            return None;
        }
        let per_packet = if wide { 1 } else { 2 };
        let once = dims.qkv_rows() + dims.ap / per_packet + 2 * dims.dp + dims.fp / per_packet + 2 * blocks;
        let head = tiling(dims.vp, dims.dp);
        Some(Self {
            variant,
            blocks,
            group,
            shared,
            stages,
            sum_stride,
            up_starts,
            qkv,
            proj,
            up,
            down,
            head,
            packets: 2 * once,
        })
    }
}

/// The generating kernel, where it can be used.
pub(crate) struct Generator {
    kernel: Kernel,
    plan: Plan,
    /// Number of the next packet that was never used.
    next_packet: u32,
}

/// Which tiles of the matrix `up` each block has, so that all blocks have about as many bytes to read: each tile goes
/// to the block that has the fewest so far. `members` blocks share the matrix qkv, `group` of them a head; the rest is
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
    pub(crate) stop_tokens: StopTokens,
    pub(crate) choice: Choice,
    /// Place in the ring of the first one.
    pub(crate) ring: usize,
    /// Whether the logits of the last token are wanted.
    pub(crate) logits: bool,
}

impl Generator {
    /// `None` where the model or the GPU does not suit it: see the top of `kernels/generate.cu`.
    pub(crate) fn find(gpu: &Gpu, dims: &Dims, dtype: DTypeChoice) -> Result<Option<Self>, DriverError> {
        if gpu.compute_capability() < (9, 0) {
            return Ok(None);
        }
        let plan = Plan::new(dims, gpu.multiprocessors() as usize, gpu.most_shared() as usize);
        let Some(plan) = plan else { return Ok(None) };
        let kernel = gpu.kernel(&plan.variant.kernel(dtype))?;
        // Below what a block may have, which is some hundred kilobytes.
        kernel.allow_shared(plan.shared as u32)?;
        if kernel.blocks_per_multiprocessor(THREADS, plan.shared as u32)? == 0 {
            return Ok(None);
        }
        Ok(Some(Self { kernel, plan, next_packet: 1 }))
    }

    /// 8-byte packets of device memory.
    pub(crate) fn packets(&self) -> usize {
        self.plan.packets
    }

    /// All packets are new.
    pub(crate) fn restart(&mut self) {
        self.next_packet = 1;
    }

    /// Starts generating for sequence 0, whose prompt is in the cache and whose first token is chosen.
    pub(crate) fn launch(&mut self, gpu: &Gpu, model: &Model, memory: &Memory, task: Task) -> Result<(), DriverError> {
        let (dims, plan) = (&model.dims, &self.plan);
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
            qkv: plan.qkv,
            proj: plan.proj,
            up: plan.up,
            down: plan.down,
            head: plan.head,
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
            stop_count: task.stop_tokens.as_slice().len() as i32,
            stop_tokens: task.stop_tokens.padded(),
            layer_count: dims.layers as i32,
            heads: dims.heads as i32,
            hs: dims.hs as i32,
            room: cache.room,
            width: dims.width as i32,
            dp: dims.dp as i32,
            ap: dims.ap as i32,
            fp: dims.fp as i32,
            vocabulary: dims.vocabulary as i32,
            group: plan.group as i32,
            stages: plan.stages as i32,
            stage_bytes: plan.variant.stage_bytes as i32,
            sum_stride: plan.sum_stride as i32,
            epsilon: model.epsilon,
            scale: model.scale,
            scale_by_layer: i32::from(model.scale_by_layer),
            gelu_erf: i32::from(model.gelu_erf),
            up_starts: plan.up_starts,
        };
        let launch = Launch {
            grid: (plan.blocks as u32, 1, 1),
            threads: THREADS,
            shared: plan.shared as u32,
            dependent: false,
            cooperative: true,
        };
        // SAFETY: all addresses are of the model's and the memory's parts, which are as large as the sizes say, and
        // which are not freed before the work in the stream is done.
        unsafe { gpu.launch(&self.kernel, launch, &generate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    /// Of an H100.
    const MULTIPROCESSORS: usize = 132;
    const MOST_SHARED: usize = 232_448;

    #[test]
    fn the_published_sizes_have_kernels_of_their_own_that_fit_an_h100() {
        for name in ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"] {
            let config = synthetic::size(name).unwrap();
            for dtype in [DTypeChoice::F32, DTypeChoice::F16, DTypeChoice::BF16] {
                let dims = Dims::new(&config, dtype);
                let plan = Plan::new(&dims, MULTIPROCESSORS, MOST_SHARED);
                let plan = plan.unwrap_or_else(|| panic!("{name} in {dtype} has no plan"));
                assert!(plan.variant.shape.is_some(), "{name} in {dtype}");
                let starts = &plan.up_starts[..=plan.blocks];
                assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "{name} in {dtype}: a block has no tile");
                assert_eq!(i32::from(starts[plan.blocks]), plan.up.tiles, "{name} in {dtype}");
                assert!(plan.sum_stride >= plan.down.chunks as usize, "{name} in {dtype}");
            }
        }
    }

    #[test]
    fn what_does_not_suit_the_kernel_has_no_plan() {
        let config = synthetic::size("gpt2").unwrap();
        let dims = Dims::new(&config, DTypeChoice::F16);
        assert!(Plan::new(&Dims { heads: 133, ..dims }, MULTIPROCESSORS, MOST_SHARED).is_none());
        assert!(Plan::new(&Dims { hs: 48, ..dims }, MULTIPROCESSORS, MOST_SHARED).is_none());
        assert!(Plan::new(&dims, MULTIPROCESSORS, 100_000).is_none());
    }
}
