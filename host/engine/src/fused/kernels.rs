//! The kernels for one type of weights, and which of them suits which shape.

use super::driver::{DriverError, Gpu, Kernel};
use super::head::Heads;
use super::layout::Dims;
use super::shape::FEW_ROWS;
use super::step::Steps;
use crate::options::DTypeChoice;

/// A tiled product: rows and outputs of a tile, and the shared memory that it takes.
pub(crate) struct Tile {
    pub(crate) kernel: Kernel,
    pub(crate) rows: usize,
    pub(crate) outputs: usize,
    pub(crate) shared: u32,
    cost: Cost,
}

/// Clock ticks of a tile, as measured on an H100, and with warpgroups on an H200.
#[derive(Clone, Copy)]
struct Cost {
    /// For one column of the sum, of a tile that has a multiprocessor for itself.
    alone: f64,
    /// For one column of the sum, of each of many.
    shared_out: f64,
    /// For beginning and ending, once, as blocks after the first wave begin beside others.
    rest: f64,
}

impl Tile {
    /// Tiles in x and y.
    pub(crate) fn grid(&self, m: usize, np: usize) -> (u32, u32) {
        (np.div_ceil(self.outputs) as u32, m.div_ceil(self.rows) as u32)
    }

    fn tiles(&self, m: usize, np: usize) -> usize {
        let (x, y) = self.grid(m, np);
        x as usize * y as usize
    }
}

/// A product of few rows: the most rows, outputs of a block, and its threads.
pub(crate) struct Few {
    pub(crate) kernel: Kernel,
    rows: usize,
    pub(crate) outputs: usize,
    pub(crate) threads: u32,
}

/// How a product of more than [`FEW_ROWS`] rows is launched.
pub(crate) struct Many<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) grid: (u32, u32, u32),
    pub(crate) threads: u32,
    pub(crate) shared: u32,
    /// Parts that its sums are left in.
    pub(crate) splits: usize,
}

/// Kernels for few rows, those for the fewest first.
struct Fews(Vec<Few>);

impl Fews {
    fn for_rows(&self, m: usize) -> Option<&Few> {
        self.0.iter().find(|few| m <= few.rows)
    }
}

/// All kernels but the generating one.
pub(crate) struct Kernels {
    pub(crate) fetch_job: Kernel,
    pub(crate) rows: Kernel,
    few: Fews,
    /// With more outputs a block.
    few_wide: Fews,
    /// Which norm their own input.
    few_norm: Fews,
    /// For many outputs.
    few_long: Fews,
    /// For more rows, and fewer than tiles are made for.
    some: Fews,
    tiles: Vec<Tile>,
    pub(crate) prompt_attention: Kernel,
    pub(crate) prompt_attention_shared: u32,
    pub(crate) step_attention: Kernel,
    /// Norm, queries, keys, values and attention of a step in one, where that can be.
    pub(crate) step_heads: Option<Kernel>,
    /// All layers of a step in one, where that can be.
    pub(crate) steps: Steps,
    /// Head and choice in one, where that can be.
    pub(crate) heads: Heads,
    pub(crate) choose_spread: Kernel,
    pub(crate) choose_restricted: Kernel,
    multiprocessors: usize,
}

/// Most columns of a product that norms its own input.
const MOST_NORMED: usize = 1024;
/// Most columns of a product with very many outputs.
const MOST_LONG: usize = 1792;
/// Most parts that the sums of a product are split into.
const MOST_SPLITS: usize = 8;
impl Kernels {
    pub(crate) fn load(gpu: &Gpu, dtype: DTypeChoice, tf32: bool, dims: &Dims) -> Result<Self, DriverError> {
        let name = dtype.as_str();
        let kernel = |stem: &str| gpu.kernel(&format!("{stem}_{name}"));
        let narrow = dtype != DTypeChoice::F32;
        // Of each kernel the most rows, and its name.
        let fews = |kernels: [(usize, String); 2], outputs: usize, threads: u32| -> Result<Fews, DriverError> {
            let few = |(rows, name): (usize, String)| Ok(Few { kernel: gpu.kernel(&name)?, rows, outputs, threads });
            kernels.into_iter().map(few).collect::<Result<_, _>>().map(Fews)
        };
        let few = |suffix: &str, outputs: usize| {
            fews([8, FEW_ROWS].map(|rows| (rows, format!("few_{name}_{suffix}{rows}"))), outputs, 256)
        };
        let none = || Fews(Vec::new());
        let cost = |alone, shared_out, rest| Cost { alone, shared_out, rest };
        let (of, shapes): (&str, &[(usize, usize, u32, Cost)]) = match (dtype, tf32) {
            (DTypeChoice::F32, false) => {
                ("f32", &[(64, 64, 65_536, cost(70.0, 40.0, 0.0)), (64, 32, 73_728, cost(65.0, 22.0, 0.0))])
            }
            (DTypeChoice::F32, true) => {
                ("tf32", &[(128, 64, 98_304, cost(40.0, 25.0, 0.0)), (64, 32, 98_304, cost(16.0, 9.0, 0.0))])
            }
            // By warpgroups, but for 32 x 32, whose sums may round otherwise.
            _ if gpu.compute_capability() == (9, 0) => (
                name,
                &[
                    (128, 128, 98_304, cost(23.5, 12.6, 7500.0)),
                    (64, 128, 98_304, cost(14.0, 8.6, 5000.0)),
                    (64, 64, 65_536, cost(13.0, 6.4, 4000.0)),
                    (64, 32, 98_304, cost(8.0, 4.8, 4000.0)),
                ],
            ),
            _ => (
                name,
                &[
                    (128, 128, 98_304, cost(50.0, 25.0, 0.0)),
                    (64, 64, 65_536, cost(15.0, 7.5, 0.0)),
                    (64, 32, 98_304, cost(10.0, 4.7, 0.0)),
                    (32, 32, 65_536, cost(9.0, 3.5, 0.0)),
                ],
            ),
        };
        let tiles = shapes
            .iter()
            .map(|&(rows, outputs, shared, cost)| {
                let kernel = gpu.kernel(&format!("product_{rows}x{outputs}_{of}"))?;
                kernel.allow_shared(shared)?;
                Ok(Tile { kernel, rows, outputs, shared, cost })
            })
            .collect::<Result<_, DriverError>>()?;
        let attention = AttentionShape::of(dtype, dims.hs);
        let prompt_attention = gpu.kernel(&attention.name)?;
        prompt_attention.allow_shared(attention.shared)?;
        Ok(Self {
            fetch_job: gpu.kernel("fetch_job")?,
            rows: kernel("rows")?,
            few: match narrow {
                true => few("", 8)?,
                false => fews([(1, "few_f32_1".into()), (FEW_ROWS, "few_f32_8".into())], 8, 128)?,
            },
            few_wide: if narrow { few("wide_", 16)? } else { none() },
            few_norm: if narrow && dims.dp <= MOST_NORMED { few("norm_", 24)? } else { none() },
            few_long: if narrow && dims.dp <= MOST_LONG { few("long_", 8)? } else { none() },
            some: match narrow {
                true => fews([32, 64].map(|rows| (rows, format!("some_{name}_{rows}"))), 16, 256)?,
                false => none(),
            },
            tiles,
            prompt_attention,
            prompt_attention_shared: attention.shared,
            step_attention: match dims.hs {
                129.. if !narrow => gpu.kernel("step_attention_f32_large")?,
                _ => kernel("step_attention")?,
            },
            step_heads: match narrow && dims.dp <= MOST_NORMED && dims.hs <= 128 && gpu.compute_capability() >= (9, 0) {
                true => Some(kernel("step_heads")?),
                false => None,
            },
            steps: Steps::find(gpu, dims, dtype)?,
            heads: Heads::find(gpu, dims, dtype)?,
            choose_spread: gpu.kernel("choose_spread")?,
            choose_restricted: gpu.kernel("choose_restricted")?,
            multiprocessors: gpu.multiprocessors() as usize,
        })
    }

    /// The product of at most [`FEW_ROWS`] rows with `np` outputs that keeps all multiprocessors busy.
    pub(crate) fn few(&self, m: usize, np: usize) -> Option<&Few> {
        let busy = |few: &&Few| np / few.outputs >= self.multiprocessors;
        self.few_wide.for_rows(m).filter(busy).or(self.few.for_rows(m))
    }

    /// The same for as many outputs as a vocabulary has, and its blocks.
    pub(crate) fn few_head(&self, m: usize, np: usize) -> Option<(&Few, usize)> {
        const TURNS: usize = 8;
        let blocks = 2 * self.multiprocessors;
        let long = self.few_long.for_rows(m).filter(|few| np / few.outputs >= TURNS * blocks);
        long.map(|few| (few, blocks)).or(self.few(m, np).map(|few| (few, np.div_ceil(few.outputs))))
    }

    /// The same for one that norms its own input, where there is one.
    pub(crate) fn few_norm(&self, m: usize) -> Option<&Few> {
        self.few_norm.for_rows(m)
    }

    /// How a product of `m` rows, `np` outputs and `kp` columns is launched, more rows than [`FEW_ROWS`].
    pub(crate) fn many(&self, m: usize, np: usize, kp: usize, can_split: bool) -> Many<'_> {
        // With more outputs, reading all rows again for each few of them takes longer than reading the weights.
        const MOST_WAVES: usize = 4;
        match self.some.for_rows(m) {
            Some(some) if np.div_ceil(some.outputs) <= MOST_WAVES * self.multiprocessors => {
                // Each of a block's warps should have a part of the sum, and two blocks fit a multiprocessor.
                const LEAST: usize = 256;
                let blocks = np.div_ceil(some.outputs);
                let fitting = (2 * self.multiprocessors / blocks).min(kp / LEAST).clamp(1, MOST_SPLITS);
                let splits = if can_split { fitting } else { 1 };
                let grid = (blocks as u32, splits as u32, 1);
                Many { kernel: &some.kernel, grid, threads: some.threads, shared: 0, splits }
            }
            _ => {
                let (tile, splits) = self.tile(m, np, kp, can_split);
                let (x, y) = tile.grid(m, np);
                Many { kernel: &tile.kernel, grid: (x, y, splits as u32), threads: 128, shared: tile.shared, splits }
            }
        }
    }

    /// The tile that takes the least time, and into how many parts its sums are split, by a rough account of it: waves
    /// of blocks, their beginning and end, and the partial sums written and read.
    fn tile(&self, m: usize, np: usize, kp: usize, can_split: bool) -> (&Tile, usize) {
        // Bytes that the second-level cache gives in a tick.
        const BYTES: f64 = 3000.0;
        let most = if can_split { MOST_SPLITS.min(kp / 64) } else { 1 };
        let ticks = |tile: &Tile, splits: usize| {
            let waves = (tile.tiles(m, np) * splits).div_ceil(self.multiprocessors) as f64;
            let partial = (2 * 4 * splits * m * np) as f64 / BYTES;
            let column = tile.cost.alone.max(waves * tile.cost.shared_out);
            column * kp.div_ceil(splits) as f64 + tile.cost.rest + if can_split { partial } else { 0.0 }
        };
        let mut best = (&self.tiles[0], 1);
        let mut least = f64::INFINITY;
        for tile in &self.tiles {
            for splits in 1..=most {
                let ticks = ticks(tile, splits);
                if ticks < least {
                    (best, least) = ((tile, splits), ticks);
                }
            }
        }
        best
    }

    /// The most rows of partial sums that products of up to `m` rows leave.
    pub(crate) fn partial_rows(&self, m: usize, np: usize, kps: [usize; 2]) -> usize {
        (FEW_ROWS + 1..=m).flat_map(|m| kps.map(|kp| m * self.many(m, np, kp, true).splits)).max().unwrap_or(0)
    }

    /// Blocks that share the choice of one of `m` sequences' tokens.
    pub(crate) fn choice_parts(&self, m: usize, vocabulary: usize) -> u32 {
        vocabulary.div_ceil(1024).min((1024 / m).max(1)) as u32
    }
}

/// Which kernel attends in prompts.
struct AttentionShape {
    name: String,
    shared: u32,
}

impl AttentionShape {
    fn of(dtype: DTypeChoice, hs: usize) -> Self {
        let shapes: &[(usize, u32)] = match dtype {
            DTypeChoice::F32 => &[(64, 34_816), (128, 67_584), (256, 133_120)],
            _ => &[(32, 20_480), (64, 40_960), (96, 61_440), (128, 81_920), (256, 98_304)],
        };
        let last = shapes[shapes.len() - 1];
        let (size, shared) = shapes.iter().copied().find(|(size, _)| *size >= hs).unwrap_or(last);
        Self { name: format!("prompt_attention_{size}_{dtype}"), shared }
    }
}
