//! The kernel that generates a whole sequence in one launch: whether it suits the model and the GPU, and its launch.

use super::args::{Choice, Generate, Tiling};
use super::driver::{DriverError, Gpu, Kernel, Launch};
use super::layout::Dims;
use super::memory::Memory;
use super::model::Model;
use crate::options::DTypeChoice;

/// Of `kernels/generate.cu`: warps that multiply, threads of a block, and the buffers that weights are copied into.
const WARPS: usize = 12;
const THREADS: u32 = 32 * (WARPS as u32 + 1);
const STAGE_BYTES: usize = 16 << 10;
/// Barriers, statistics, candidates and flags.
const FIXED_BYTES: usize = 256 + 2 * 8 * WARPS + 64;

const MOST_WIDTH: usize = 2304;
/// Sizes that have kernels of their own: dp, fp and hs.
const FIXED: [(usize, usize, usize); 4] = [(768, 3072, 64), (1024, 4096, 64), (1280, 5120, 64), (1600, 6400, 64)];

fn kernel_name(dims: &Dims, dtype: DTypeChoice) -> String {
    let Dims { dp, fp, hs, .. } = *dims;
    // These take width and heads from dp.
    let whole = dims.width == dp && dims.heads * hs == dp;
    if whole && FIXED.contains(&(dp, fp, hs)) {
        format!("generate_{dtype}_{dp}_{fp}_{hs}")
    } else {
        format!("generate_{dtype}")
    }
}

/// The generating kernel, where it can be used.
pub(crate) struct Generator {
    kernel: Kernel,
    blocks: usize,
    shared: u32,
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
        let up = dims.tiling(dims.fp, dims.dp);
        let blocks = (gpu.multiprocessors() as usize).min(up.tiles as usize).min(32 * WARPS);
        let suits = gpu.compute_capability() >= (9, 0)
            && dims.dp <= MOST_WIDTH
            && [16, 32, 64, 128].contains(&dims.hs)
            && blocks >= dims.heads;
        if !suits {
            return Ok(None);
        }
        let kernel = gpu.kernel(&kernel_name(dims, dtype))?;
        let qkv = dims.tiling(dims.qkv_rows(), dims.dp);
        let proj = dims.tiling(dims.dp, dims.ap);
        let down = dims.tiling(dims.dp, dims.fp);
        let group = blocks / dims.heads;
        let outputs = |tiles: i32, blocks: usize, tiling: &Tiling| {
            (tiles as usize).div_ceil(blocks) * tiling.tile_rows as usize
        };
        let most = outputs(qkv.tiles / dims.heads as i32, group, &qkv)
            .max(outputs(proj.tiles, blocks, &proj))
            .max(outputs(up.tiles, blocks, &up))
            .max(outputs(down.tiles, blocks, &down));
        let stages = if dims.size == 4 { 11 } else { 12 };
        let attention = 3 * dims.hs + WARPS * (dims.hs + 2);
        let shared = stages * STAGE_BYTES
            + FIXED_BYTES
            + 4 * dims.dp
            + dims.size * dims.dp.max(dims.ap).max(dims.fp)
            + 4 * (most * (WARPS + 1)).max(attention);
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
        let head = dims.tiling(dims.vp, dims.dp);
        Ok(Some(Self { kernel, blocks, shared, qkv, proj, up, down, head, packets, next_packet: 1 }))
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
            epsilon: model.epsilon,
            scale: model.scale,
            scale_by_layer: i32::from(model.scale_by_layer),
            gelu_erf: i32::from(model.gelu_erf),
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
