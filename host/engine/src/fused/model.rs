//! The weights in the device's memory.

use super::args::{Address, LayerOffsets};
use super::driver::{Buffer, DriverError, Gpu};
use super::layout::{Arena, Dims, Runs, matrix, vector};
use super::plain;
use crate::checkpoint::Activation;
use crate::weights::{Affine, Block, Norm, Weights};

/// A GPT-2's weights, all in one allocation.
pub(crate) struct Model {
    pub(crate) dims: Dims,
    pub(crate) epsilon: f32,
    pub(crate) gelu_erf: bool,
    /// What the scores of the first layer are multiplied by.
    pub(crate) scale: f32,
    /// Whether those of layer l, from 1, are divided by l as well.
    pub(crate) scale_by_layer: bool,
    pub(crate) offsets: LayerOffsets,
    pub(crate) layer_bytes: usize,
    memory: Buffer,
    layers: usize,
    token_embedding: usize,
    position_embedding: usize,
    head: usize,
    norm_weight: usize,
    norm_bias: usize,
}

impl Model {
    /// Bytes that the weights take on the device.
    pub(crate) fn bytes(weights: &Weights) -> usize {
        Places::new(weights).arena.bytes()
    }

    /// Copies the weights to the device.
    pub(crate) fn new(gpu: &Gpu, weights: &Weights) -> Result<Self, DriverError> {
        let config = &weights.config;
        let places = Places::new(weights);
        let dims = places.dims;
        let model = Self {
            dims,
            epsilon: config.epsilon as f32,
            gelu_erf: config.activation == Activation::GeluErf,
            scale: config.score_scale(0) as f32,
            scale_by_layer: config.scale_scores_by_layer,
            offsets: places.offsets,
            layer_bytes: places.layer_bytes,
            memory: gpu.zeroed(places.arena.bytes())?,
            layers: places.layers,
            token_embedding: places.token_embedding,
            position_embedding: places.position_embedding,
            head: places.head.unwrap_or(places.token_embedding),
            norm_weight: places.norm_weight,
            norm_bias: places.norm_bias,
        };
        let (width, columns) = (Runs::whole(dims.width), dims.dp);
        let put = |offset: usize, bytes: &[u8]| model.memory.upload(offset, bytes);
        let vocabulary = Runs::whole(dims.vocabulary);
        put(model.token_embedding, &matrix(&weights.wte, vocabulary, dims.vp, width, columns))?;
        let positions = dims.context.next_multiple_of(8);
        put(model.position_embedding, &matrix(&weights.wpe, Runs::whole(dims.context), positions, width, columns))?;
        if let Some(head) = &weights.head {
            put(model.head, &matrix(head, vocabulary, dims.vp, width, columns))?;
        }
        model.put_vector(model.norm_weight, &weights.ln_f.weight, width, dims.dp)?;
        model.put_vector(model.norm_bias, &weights.ln_f.bias, width, dims.dp)?;
        for (index, block) in weights.blocks.iter().enumerate() {
            model.put_block(index, block, config.hidden)?;
        }
        Ok(model)
    }

    fn put_block(&self, index: usize, block: &Block, hidden: usize) -> Result<(), DriverError> {
        let dims = &self.dims;
        let (width, hidden, at) = (Runs::whole(dims.width), Runs::whole(hidden), &self.offsets);
        let qkv = Runs::heads(dims, 3 * dims.heads);
        let heads = Runs::heads(dims, dims.heads);
        let place = |offset: u32| self.layers + index * self.layer_bytes + offset as usize;
        let put_matrix = |affine: &Affine, w: u32, rows: Runs, row_count: usize, columns: Runs, kp: usize| {
            self.memory.upload(place(w), &matrix(&affine.weight, rows, row_count, columns, kp))
        };
        let put_affine = |affine: &Affine, w: u32, b: u32, rows: Runs, row_count: usize, columns: Runs, kp: usize| {
            put_matrix(affine, w, rows, row_count, columns, kp)?;
            self.put_vector(place(b), &affine.bias, rows, row_count)
        };
        // The bias of keys adds the same to all scores of a query, of which the softmax leaves nothing. Without it keys
        // are smaller, and so is what rounding them takes.
        let mut qkv_bias = block.qkv.bias.clone();
        qkv_bias[dims.width..2 * dims.width].fill(0.0);
        put_matrix(&block.qkv, at.qkv, qkv, dims.qkv_rows(), width, dims.dp)?;
        self.put_vector(place(at.qkv_bias), &qkv_bias, qkv, dims.qkv_rows())?;
        put_affine(&block.proj, at.proj, at.proj_bias, width, dims.dp, heads, dims.ap)?;
        put_affine(&block.up, at.up, at.up_bias, hidden, dims.fp, width, dims.dp)?;
        put_affine(&block.down, at.down, at.down_bias, width, dims.dp, hidden, dims.fp)?;
        let put_norm = |norm: &Norm, weight: u32, bias: u32| {
            self.put_vector(place(weight), &norm.weight, width, dims.dp)?;
            self.put_vector(place(bias), &norm.bias, width, dims.dp)
        };
        put_norm(&block.ln_1, at.norm_1_weight, at.norm_1_bias)?;
        put_norm(&block.ln_2, at.norm_2_weight, at.norm_2_bias)
    }

    fn put_vector(&self, offset: usize, numbers: &[f32], runs: Runs, padded: usize) -> Result<(), DriverError> {
        self.memory.upload(offset, plain::bytes(&vector(numbers, runs, padded)))
    }

    /// Of a part of a layer.
    pub(crate) fn layer(&self, index: usize, offset: u32) -> Address {
        self.memory.address(self.layers + index * self.layer_bytes + offset as usize)
    }

    pub(crate) fn token_embedding(&self) -> Address {
        self.memory.address(self.token_embedding)
    }

    pub(crate) fn position_embedding(&self) -> Address {
        self.memory.address(self.position_embedding)
    }

    pub(crate) fn head(&self) -> Address {
        self.memory.address(self.head)
    }

    /// Weight and bias of the last norm.
    pub(crate) fn norm(&self) -> (Address, Address) {
        (self.memory.address(self.norm_weight), self.memory.address(self.norm_bias))
    }

    /// What the scores of a layer are multiplied by.
    pub(crate) fn scale_of(&self, layer: usize) -> f32 {
        if self.scale_by_layer { self.scale / (layer + 1) as f32 } else { self.scale }
    }
}

/// Where everything lies in the one allocation.
struct Places {
    dims: Dims,
    offsets: LayerOffsets,
    layer_bytes: usize,
    layers: usize,
    token_embedding: usize,
    position_embedding: usize,
    /// Where it is not the token embedding.
    head: Option<usize>,
    norm_weight: usize,
    norm_bias: usize,
    arena: Arena,
}

impl Places {
    fn new(weights: &Weights) -> Self {
        let dims = Dims::new(&weights.config, weights.dtype);
        let (offsets, layer_bytes) = dims.layer();
        let mut arena = Arena::default();
        let row = dims.dp * dims.size;
        Self {
            layers: arena.take(dims.layers * layer_bytes),
            token_embedding: arena.take(dims.vp * row),
            position_embedding: arena.take(dims.context.next_multiple_of(8) * row),
            head: weights.head.as_ref().map(|_| arena.take(dims.vp * row)),
            norm_weight: arena.take(4 * dims.dp),
            norm_bias: arena.take(4 * dims.dp),
            dims,
            offsets,
            layer_bytes,
            arena,
        }
    }
}
