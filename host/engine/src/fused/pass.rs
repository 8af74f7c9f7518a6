//! The launches that compute the model once: over the tokens of prompts, or over one new token of each sequence.

#![allow(unsafe_code, reason = "launches kernels, which take addresses of the device")]

use super::args::{
    Address, Cache, Choose, Epilogue, Product, PromptAttention, Rows, StepAttention, StepHeads, StepLayers,
};
use super::driver::{DriverError, Gpu, Kernel, overlapping};
use super::kernels::Kernels;
use super::memory::Memory;
use super::model::Model;
use super::shape::{ChoiceShape, FEW_ROWS, PromptShape};
use super::step;

/// Threads of a block of `kernels/job.cu`.
const FETCH_THREADS: usize = 256;

/// Everything that a pass works on.
pub(crate) struct Pass<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) model: &'a Model,
    pub(crate) kernels: &'a Kernels,
    pub(crate) memory: &'a Memory,
}

/// The matrix of a product, and what is added to its outputs.
struct Weights {
    w: Address,
    bias: Address,
    np: usize,
    /// Columns of its factor.
    kp: usize,
}

/// Weight and bias of a layer norm, and the parts that its numbers are kept in.
#[derive(Clone, Copy)]
struct Norm {
    weight: Address,
    bias: Address,
    parts: usize,
}

/// Where the rows of a pass come from.
#[derive(Clone, Copy)]
struct Source {
    m: usize,
    rows: Address,
    tokens: Address,
    /// Of the numbers that queries, keys and values are computed from.
    parts: usize,
}

impl Pass<'_> {
    /// Reads prompts into the cache and chooses the first token of each sequence.
    pub(crate) fn prompt(&self, shape: PromptShape) -> Result<(), DriverError> {
        let job = self.memory.job(shape.pass, shape.rows, shape.sequences);
        let blocks = (job.words as usize).div_ceil(FETCH_THREADS) as u32;
        self.launch(&self.kernels.fetch_job, (blocks, 1, 1), FETCH_THREADS as u32, 0, &job)?;
        let part = self.memory.part(shape.rows, shape.sequences);
        let parts = self.model.dims.prompt_parts;
        let source = Source { m: shape.rows, rows: part.rows, tokens: part.tokens, parts };
        self.layers(source, |pass, layer| {
            pass.qkv(source, layer)?;
            let attention = PromptAttention {
                q: pass.memory.queries(),
                out: pass.memory.attended(),
                starts: part.starts,
                slots: part.slots,
                cache: pass.memory.cache(layer),
                ap: pass.model.dims.ap as i32,
                scale: pass.model.scale_of(layer),
            };
            let grid = (shape.tiles as u32, pass.model.dims.heads as u32, shape.sequences as u32);
            let kernels = pass.kernels;
            pass.launch(&kernels.prompt_attention, grid, 128, kernels.prompt_attention_shared, &attention)
        })?;
        self.last_norm(source, Some((part.starts, shape.sequences)))?;
        self.head_and_choice(shape.sequences, shape.first, shape.choice)
    }

    /// Computes one token of each of `sequences` sequences and chooses the next.
    pub(crate) fn step(&self, sequences: usize, choice: ChoiceShape) -> Result<(), DriverError> {
        if !self.step_layers(sequences)? {
            self.step_by_layers(sequences)?;
        }
        self.head_and_choice(sequences, 0, choice)
    }

    /// The layers and the last norm of a step, a kernel a product.
    fn step_by_layers(&self, sequences: usize) -> Result<(), DriverError> {
        let (rows, tokens) = (self.memory.state_rows(0), self.memory.tokens(0));
        let source = Source { m: sequences, rows, tokens, parts: 1 };
        self.layers(source, |pass, layer| {
            let dims = &pass.model.dims;
            let attention = StepAttention {
                q: pass.memory.queries(),
                out: pass.memory.attended(),
                rows: source.rows,
                cache: pass.memory.cache(layer),
                ap: dims.ap as i32,
                scale: pass.model.scale_of(layer),
            };
            match &pass.kernels.step_heads {
                Some(kernel) if pass.norms_itself(sequences) => {
                    let heads = StepHeads { qkv: pass.qkv_product(source, layer), attention };
                    let shared = 2 * sequences * (dims.dp + 32);
                    pass.launch(kernel, (8 * dims.heads as u32, 1, 1), 256, shared as u32, &heads)
                }
                _ => {
                    pass.qkv(source, layer)?;
                    let grid = (dims.heads as u32, sequences as u32, 1);
                    pass.launch(&pass.kernels.step_attention, grid, 128, 0, &attention)
                }
            }
        })?;
        self.last_norm(source, None)
    }

    /// Embeds the tokens and takes them through all layers but the last norm. `heads` launches a layer's queries, keys
    /// and values and their attention.
    fn layers(
        &self,
        source: Source,
        heads: impl Fn(&Self, usize) -> Result<(), DriverError>,
    ) -> Result<(), DriverError> {
        let dims = &self.model.dims;
        let few = source.m <= FEW_ROWS;
        let fused = self.norms_itself(source.m);
        let memory = self.memory;
        let embed = Rows {
            tokens: source.tokens,
            rows: source.rows,
            token_embedding: self.model.token_embedding(),
            position_embedding: self.model.position_embedding(),
            ..self.rows(source.m)
        };
        // What norms a layer's input, unless the first product does.
        let first = |layer| (!self.norms_heads_itself(source)).then(|| self.first_norm(source, layer));
        self.launch_rows(embed, first(0))?;
        for layer in 0..dims.layers {
            let at = &self.model.offsets;
            let weights = |w, bias, np, kp| Weights {
                w: self.model.layer(layer, w),
                bias: self.model.layer(layer, bias),
                np,
                kp,
            };
            heads(self, layer)?;
            let proj = weights(at.proj, at.proj_bias, dims.dp, dims.ap);
            let second = self.norm(at.norm_2_weight, at.norm_2_bias, layer);
            self.add(source, &proj, memory.attended(), (!fused).then_some(second))?;
            let up = weights(at.up, at.up_bias, dims.fp, dims.dp);
            let norm = fused.then_some(second);
            self.launch_product(self.product(source, &up, Epilogue::Gelu, memory.normed(), memory.hidden(), norm))?;
            let down = weights(at.down, at.down_bias, dims.dp, dims.fp);
            // What comes after the last layer is up to the caller, but for sums that were left in parts.
            let is_last = layer + 1 == dims.layers;
            if few || !is_last {
                let next = if is_last { None } else { first(layer + 1) };
                self.add(source, &down, memory.hidden(), next)?;
            } else {
                self.partial(source, &down, memory.hidden())?;
            }
        }
        Ok(())
    }

    /// The last norm, of all rows or of the last row of each sequence that starts say.
    fn last_norm(&self, source: Source, picks: Option<(Address, usize)>) -> Result<(), DriverError> {
        let mut rows = self.rows(source.m);
        if source.m > FEW_ROWS {
            let layer = self.model.dims.layers - 1;
            let dims = &self.model.dims;
            rows = self.with_partials(rows, source.m, dims.fp, self.model.layer(layer, self.model.offsets.down_bias));
        }
        if let Some((starts, sequences)) = picks {
            rows.picks = starts;
            rows.m = sequences as i32;
        }
        let (weight, bias) = self.model.norm();
        self.launch_rows(rows, Some(Norm { weight, bias, parts: 1 }))
    }

    /// From `sequences` normed rows to the next tokens.
    fn head_and_choice(&self, sequences: usize, first: usize, shape: ChoiceShape) -> Result<(), DriverError> {
        let (model, memory) = (self.model, self.memory);
        let choose = self.choice(sequences, first, shape);
        let logits = if shape.logits { memory.logits(first) } else { 0 };
        let at = (memory.normed(), model.head(), logits);
        if !shape.restricted && self.kernels.heads.launch(self.gpu, at, model.dims.dp, choose)? {
            return Ok(());
        }
        self.head(sequences, first)?;
        let parts = self.kernels.choice_parts(sequences, model.dims.vocabulary);
        self.launch(&self.kernels.choose_spread, (parts, sequences as u32, 1), 256, 0, &choose)?;
        if shape.restricted {
            self.launch(&self.kernels.choose_restricted, (sequences as u32, 1, 1), 1024, 0, &choose)?;
        }
        Ok(())
    }

    /// The logits of `sequences` normed rows.
    fn head(&self, sequences: usize, first: usize) -> Result<(), DriverError> {
        let dims = &self.model.dims;
        let source = Source { m: sequences, rows: 0, tokens: 0, parts: 1 };
        let head = Weights { w: self.model.head(), bias: 0, np: dims.vp, kp: dims.dp };
        let out = self.memory.logits(first);
        self.launch_product(self.product(source, &head, Epilogue::Logits, self.memory.normed(), out, None))
    }

    fn choice(&self, sequences: usize, first: usize, shape: ChoiceShape) -> Choose {
        let (dims, memory) = (&self.model.dims, self.memory);
        Choose {
            logits: memory.logits(first),
            choices: memory.choices(first),
            rows: memory.state_rows(first),
            tokens: memory.tokens(first),
            steps: memory.steps(first),
            ring: memory.ring(0),
            contests: memory.contests(first),
            m: sequences as i32,
            vp: dims.vp as i32,
            vocabulary: dims.vocabulary as i32,
            room: memory.size.room.min(dims.context) as i32,
            first: first as i32,
            ring_stride: shape.stride as i32,
        }
    }

    fn norm(&self, weight: u32, bias: u32, layer: usize) -> Norm {
        Norm { weight: self.model.layer(layer, weight), bias: self.model.layer(layer, bias), parts: 1 }
    }

    fn first_norm(&self, source: Source, layer: usize) -> Norm {
        let at = &self.model.offsets;
        Norm { parts: source.parts, ..self.norm(at.norm_1_weight, at.norm_1_bias, layer) }
    }

    /// Whether the product for queries, keys and values norms its input itself.
    fn norms_heads_itself(&self, source: Source) -> bool {
        source.parts == 1 && self.norms_itself(source.m)
    }

    /// Whether products of `m` rows norm their input themselves.
    fn norms_itself(&self, m: usize) -> bool {
        self.kernels.few_norm(m).is_some() && self.norm_shared(m) <= DEFAULT_SHARED - FEW_STATIC_SHARED
    }

    /// Shared memory of a product that norms its own input of `m` rows.
    fn norm_shared(&self, m: usize) -> u32 {
        let dp = self.model.dims.dp;
        (8 * dp + 2 * m * (dp + 32)) as u32
    }

    /// A product whose outputs are added to the residual stream, and the norm after it, if there is one.
    fn add(&self, source: Source, weights: &Weights, a: Address, norm: Option<Norm>) -> Result<(), DriverError> {
        if source.m > FEW_ROWS {
            self.partial(source, weights, a)?;
            let rows = self.with_partials(self.rows(source.m), source.m, weights.kp, weights.bias);
            return self.launch_rows(rows, norm);
        }
        self.launch_product(self.product(source, weights, Epilogue::Residual, a, self.memory.residual(), None))?;
        match norm {
            Some(_) => self.launch_rows(self.rows(source.m), norm),
            None => Ok(()),
        }
    }

    /// A product whose outputs are left as partial sums.
    fn partial(&self, source: Source, weights: &Weights, a: Address) -> Result<(), DriverError> {
        self.launch_product(self.product(source, weights, Epilogue::Partial, a, self.memory.partials(), None))
    }

    fn with_partials(&self, rows: Rows, m: usize, kp: usize, bias: Address) -> Rows {
        let dp = self.model.dims.dp;
        let splits = self.kernels.many(m, dp, kp, true).splits;
        Rows { partials: self.memory.partials(), bias, splits: splits as i32, partial_rows: m as i32, ..rows }
    }

    /// Work on `m` rows of the residual stream, as yet none.
    fn rows(&self, m: usize) -> Rows {
        let dims = &self.model.dims;
        Rows {
            x: self.memory.residual(),
            m: m as i32,
            dp: dims.dp as i32,
            width: dims.width as i32,
            epsilon: self.model.epsilon,
            parts: 1,
            ..Rows::default()
        }
    }

    fn launch_rows(&self, rows: Rows, norm: Option<Norm>) -> Result<(), DriverError> {
        let rows = match norm {
            Some(norm) => Rows {
                out: self.memory.normed(),
                norm_weight: norm.weight,
                norm_bias: norm.bias,
                parts: norm.parts as i32,
                ..rows
            },
            None => rows,
        };
        self.launch(&self.kernels.rows, (rows.m as u32, 1, 1), 192, 4 * rows.dp as u32, &rows)
    }

    /// The product that gives a layer's queries, and its keys and values to the cache.
    fn qkv(&self, source: Source, layer: usize) -> Result<(), DriverError> {
        self.launch_product(self.qkv_product(source, layer))
    }

    /// What that product is launched with: it norms its own input, or its input is normed already.
    fn qkv_product(&self, source: Source, layer: usize) -> Product {
        let (dims, at) = (&self.model.dims, &self.model.offsets);
        let weights = Weights {
            w: self.model.layer(layer, at.qkv),
            bias: self.model.layer(layer, at.qkv_bias),
            np: dims.qkv_rows(),
            kp: source.parts * dims.dp,
        };
        let norm = self.norms_heads_itself(source).then(|| self.first_norm(source, layer));
        let (a, out) = (self.memory.normed(), self.memory.queries());
        let product = self.product(source, &weights, Epilogue::Qkv, a, out, norm);
        Product { cache: self.memory.cache(layer), kw: dims.dp as i32, ..product }
    }

    /// What a product is launched with. With a norm, its input is the residual stream instead of `a`.
    fn product(
        &self,
        source: Source,
        weights: &Weights,
        epilogue: Epilogue,
        a: Address,
        out: Address,
        norm: Option<Norm>,
    ) -> Product {
        let (dims, m) = (&self.model.dims, source.m);
        Product {
            a: if norm.is_some() { self.memory.residual() } else { a },
            w: weights.w,
            bias: weights.bias,
            out,
            rows: source.rows,
            cache: Cache::default(),
            m: m as i32,
            np: weights.np as i32,
            kp: weights.kp as i32,
            ap: dims.ap as i32,
            gelu_erf: i32::from(self.model.gelu_erf),
            epilogue,
            norm_weight: norm.map_or(0, |norm| norm.weight),
            norm_bias: norm.map_or(0, |norm| norm.bias),
            epsilon: self.model.epsilon,
            width: dims.width as i32,
            kw: weights.kp as i32,
        }
    }

    fn launch_product(&self, product: Product) -> Result<(), DriverError> {
        let norms = product.norm_weight != 0;
        let (m, np, kp) = (product.m as usize, product.np as usize, product.kp as usize);
        if m > FEW_ROWS {
            let many = self.kernels.many(m, np, kp, product.epilogue == Epilogue::Partial);
            return self.launch(many.kernel, many.grid, many.threads, many.shared, &product);
        }
        if let (true, Some(few)) = (norms, self.kernels.few_norm(m)) {
            let blocks = np.div_ceil(few.outputs) as u32;
            return self.launch(&few.kernel, (blocks, 1, 1), few.threads, self.norm_shared(m), &product);
        }
        let few = match product.epilogue {
            Epilogue::Logits => self.kernels.few_head(m, np),
            _ => self.kernels.few(m, np).map(|few| (few, np.div_ceil(few.outputs))),
        };
        match few {
            Some((few, blocks)) => self.launch(&few.kernel, (blocks as u32, 1, 1), few.threads, 0, &product),
            None => Ok(()),
        }
    }

    /// Launches the embedding, all layers and the last norm of a step; false where that takes other kernels.
    fn step_layers(&self, sequences: usize) -> Result<bool, DriverError> {
        let Some((kernel, launch)) = self.kernels.steps.of(sequences) else { return Ok(false) };
        let (model, memory) = (self.model, self.memory);
        let cache = memory.cache(0);
        let (norm_weight, norm_bias) = model.norm();
        let parameter = StepLayers {
            layers: model.layer(0, 0),
            layer_bytes: model.layer_bytes as u64,
            at: model.offsets,
            token_embedding: model.token_embedding(),
            position_embedding: model.position_embedding(),
            tokens: memory.tokens(0),
            rows: memory.state_rows(0),
            keys: cache.keys,
            values: cache.values,
            cache_layer_bytes: memory.layer_cache_bytes() as u64,
            x: memory.residual(),
            attended: memory.attended(),
            hidden: memory.hidden(),
            statistics: memory.statistics(),
            norm_weight,
            norm_bias,
            normed: memory.normed(),
            arrived: memory.arrived(),
            failed: memory.failed(),
            head: model.head(),
            m: sequences as i32,
            layer_count: model.dims.layers as i32,
            room: cache.room,
            epsilon: model.epsilon,
            scale: model.scale,
            scale_by_layer: i32::from(model.scale_by_layer),
            gelu_erf: i32::from(model.gelu_erf),
            head_tiles: (model.dims.vp / 8) as i32,
            head_ahead: step::HEAD_AHEAD,
        };
        // SAFETY: all addresses are of the model's and the memory's parts, which are as large as the sizes say and live
        // as long as the graph that this launch is part of.
        unsafe { self.gpu.launch(kernel, launch, &parameter) }?;
        Ok(true)
    }

    fn launch<T: Copy>(
        &self,
        kernel: &Kernel,
        grid: (u32, u32, u32),
        threads: u32,
        shared: u32,
        parameter: &T,
    ) -> Result<(), DriverError> {
        // SAFETY: all addresses are of the model's and the memory's parts, which are as large as the sizes in the
        // parameter say, and live as long as the graphs do that these launches are part of.
        unsafe { self.gpu.launch(kernel, overlapping(self.gpu, grid, threads, shared), parameter) }
    }
}

/// What the kernels for few rows take for themselves.
const FEW_STATIC_SHARED: u32 = 9216;
/// What every kernel may take without being allowed more.
const DEFAULT_SHARED: u32 = 48 << 10;
