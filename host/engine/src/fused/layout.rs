//! Sizes padded for the device, and weights arranged for it; `kernels/args.h` says how.

use rayon::prelude::*;

use super::args::{LayerOffsets, Tiling};
use super::plain;
use crate::checkpoint::Config;
use crate::options::DTypeChoice;
use crate::weights::{Data, Matrix};

/// Columns are padded to a multiple of this.
const COLUMNS: usize = 64;
/// Every part of the device's memory starts at a multiple of this.
const ALIGNMENT: usize = 256;
/// The model's sizes, padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dims {
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    /// Of a head, without padding.
    pub(crate) head_size: usize,
    /// Of a head.
    pub(crate) hs: usize,
    /// Of the residual stream, without padding.
    pub(crate) width: usize,
    /// Of the residual stream.
    pub(crate) dp: usize,
    /// Of all heads together.
    pub(crate) ap: usize,
    /// Hidden units.
    pub(crate) fp: usize,
    pub(crate) vocabulary: usize,
    /// Logits.
    pub(crate) vp: usize,
    pub(crate) context: usize,
    /// Bytes of a weight.
    pub(crate) size: usize,
    /// Parts of a number that prompts' queries, keys and values are computed from: eight bits are too few, because
    /// scores grow with what rounding left.
    pub(crate) prompt_parts: usize,
}

impl Dims {
    pub(crate) fn new(config: &Config, dtype: DTypeChoice) -> Self {
        let hs = config.head_size().next_multiple_of(16);
        Self {
            layers: config.layers,
            heads: config.heads,
            head_size: config.head_size(),
            hs,
            width: config.width,
            dp: config.width.next_multiple_of(COLUMNS),
            ap: (config.heads * hs).next_multiple_of(COLUMNS),
            fp: config.hidden.next_multiple_of(COLUMNS),
            vocabulary: config.vocabulary,
            vp: config.vocabulary.next_multiple_of(8),
            context: config.context,
            size: dtype.size(),
            prompt_parts: if dtype == DTypeChoice::BF16 { 2 } else { 1 },
        }
    }

    /// Outputs of the product that gives queries, keys and values.
    pub(crate) fn qkv_rows(&self) -> usize {
        3 * self.heads * self.hs
    }

    /// Where the parts of a layer lie, and how many bytes it has.
    pub(crate) fn layer(&self) -> (LayerOffsets, usize) {
        let mut end = 0;
        let mut part = |bytes: usize| {
            let offset = end;
            end = (end + bytes).next_multiple_of(ALIGNMENT);
            // A layer is far below 4 GiB, or its weights would not have been loaded: see `check`.
            offset as u32
        };
        let offsets = LayerOffsets {
            qkv: part(self.qkv_rows() * self.dp * self.size),
            proj: part(self.dp * self.ap * self.size),
            up: part(self.fp * self.dp * self.size),
            down: part(self.dp * self.fp * self.size),
            norm_1_weight: part(4 * self.dp),
            norm_1_bias: part(4 * self.dp),
            qkv_bias: part(4 * self.qkv_rows()),
            proj_bias: part(4 * self.dp),
            norm_2_weight: part(4 * self.dp),
            norm_2_bias: part(4 * self.dp),
            up_bias: part(4 * self.fp),
            down_bias: part(4 * self.dp),
        };
        (offsets, end)
    }

    /// What keeps these kernels from computing such a model, if anything does.
    pub(crate) fn check(&self) -> Result<(), String> {
        const MOST_HEAD_SIZE: usize = 256;
        const MOST_WIDTH: usize = 8192;
        const MOST_HIDDEN: usize = 1 << 16;
        const MOST_VOCABULARY: usize = 1 << 20;
        for (what, value, most) in [
            ("heads of size", self.head_size, MOST_HEAD_SIZE),
            ("a width of", self.width, MOST_WIDTH),
            ("an MLP of hidden size", self.fp, MOST_HIDDEN),
            ("a vocabulary of", self.vocabulary, MOST_VOCABULARY),
        ] {
            if value > most {
                return Err(format!(
                    "the model has {what} {value}, and the most that the backend fused takes is {most}"
                ));
            }
        }
        Ok(())
    }

    /// How the generating kernel deals out a matrix of `rows` rows and `kp` columns, in pieces of at most `buffer`
    /// bytes.
    pub(crate) fn tiling(&self, rows: usize, kp: usize, buffer: usize) -> Tiling {
        let row = kp * self.size;
        // 16-bit weights come in blocks of eight rows.
        let tile_rows = match self.size {
            2 => 8,
            _ => [4, 2, 1].into_iter().find(|rows| rows * row <= buffer).unwrap_or(1),
        };
        let tile = tile_rows * row;
        // A piece must have whole blocks of 512 bytes, or of the columns that are padded to.
        let unit = if self.size == 2 { 512 } else { COLUMNS * 4 };
        let chunk = (tile / unit).div_ceil(tile.div_ceil(buffer)) * unit;
        // All of these are far below 2^31: see `check`.
        Tiling {
            tile_rows: tile_rows as i32,
            tiles: (rows / tile_rows) as i32,
            tile_bytes: tile as i32,
            chunk_bytes: chunk as i32,
            chunks: tile.div_ceil(chunk) as i32,
            kp: kp as i32,
        }
    }
}

/// Offsets of parts that lie one after the other.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    bytes: usize,
}

impl Arena {
    /// Where the next `bytes` bytes lie.
    pub(crate) fn take(&mut self, bytes: usize) -> usize {
        let offset = self.bytes;
        self.bytes = (offset + bytes).next_multiple_of(ALIGNMENT);
        offset
    }

    /// Bytes of all parts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Which place of a padded dimension has which number of the model: `count` runs of `length` places, `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs {
    count: usize,
    length: usize,
    stride: usize,
}

impl Runs {
    /// All in a row.
    pub(crate) fn whole(length: usize) -> Self {
        Self { count: 1, length, stride: length }
    }

    /// `count` heads, each padded.
    pub(crate) fn heads(dims: &Dims, count: usize) -> Self {
        Self { count, length: dims.head_size, stride: dims.hs }
    }

    /// The model's number that a place has; `None` for padding.
    fn source(&self, place: usize) -> Option<usize> {
        let (run, within) = (place / self.stride, place % self.stride);
        (run < self.count && within < self.length).then(|| run * self.length + within)
    }
}

/// A vector of `padded` places.
pub(crate) fn vector(numbers: &[f32], runs: Runs, padded: usize) -> Vec<f32> {
    (0..padded).map(|place| runs.source(place).map_or(0.0, |index| numbers[index])).collect()
}

/// The bytes of a matrix of `rows` by `columns` places for the device.
pub(crate) fn matrix(matrix: &Matrix, row_runs: Runs, rows: usize, column_runs: Runs, columns: usize) -> Vec<u8> {
    let (bytes, size) = match &matrix.data {
        Data::F32(numbers) => (plain::bytes(numbers), 4),
        Data::F16(numbers) => (plain::bytes(numbers), 2),
        Data::BF16(numbers) => (plain::bytes(numbers), 2),
    };
    const BAND: usize = 8;
    let mut packed = vec![0u8; rows * columns * size];
    packed.par_chunks_mut(BAND * columns * size).enumerate().for_each(|(band, out)| {
        let mut padded = vec![0u8; columns * size];
        for within in 0..out.len() / (columns * size) {
            let Some(source) = row_runs.source(band * BAND + within) else { continue };
            let row = &bytes[source * matrix.cols * size..][..matrix.cols * size];
            for run in 0..column_runs.count {
                let length = column_runs.length * size;
                padded[run * column_runs.stride * size..][..length].copy_from_slice(&row[run * length..][..length]);
            }
            match size {
                4 => out[within * columns * 4..][..columns * 4].copy_from_slice(&padded),
                // [columns / 32][8 rows][32 columns]
                _ => {
                    for (block, numbers) in padded.chunks_exact(64).enumerate() {
                        out[block * 512 + within * 64..][..64].copy_from_slice(numbers);
                    }
                }
            }
        }
    });
    packed
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn dims() -> Dims {
        let config = Config { vocabulary: 101, context: 33, ..Config::published(2, 3, 30) };
        Dims::new(&config, DTypeChoice::F16)
    }

    #[test]
    fn odd_sizes_are_padded() {
        let dims = dims();
        assert_eq!((dims.hs, dims.dp, dims.ap, dims.fp, dims.vp), (16, 64, 64, 128, 104));
        assert_eq!(dims.qkv_rows(), 144);
    }

    #[test]
    fn a_16_bit_matrix_lies_in_blocks_of_8_by_32_with_heads_padded() {
        let dims = dims();
        let source = Matrix::from_fn(9, 30, DTypeChoice::F16, |index| index as f32);
        let packed = matrix(&source, Runs::whole(9), 16, Runs::heads(&dims, 3), 64);
        let number = |row: usize, column: usize| {
            let index = ((row / 8 * 2 + column / 32) * 8 + row % 8) * 32 + column % 32;
            f16::from_le_bytes([packed[2 * index], packed[2 * index + 1]]).to_f32()
        };
        for row in 0..16 {
            for column in 0..64 {
                let (head, within) = (column / 16, column % 16);
                let there = row < 9 && head < 3 && within < 10;
                let expected = if there { (row * 30 + head * 10 + within) as f32 } else { 0.0 };
                assert_eq!(number(row, column), expected, "({row}, {column})");
            }
        }
    }

    #[test]
    fn tiles_are_copied_in_pieces_that_fit_a_buffer() {
        for buffer in [10_240, 12_288, 12_800, 16_384] {
            for (size, kp) in
                [(2, 64), (2, 768), (2, 1600), (2, 6400), (4, 64), (4, 768), (4, 1600), (4, 3072), (4, 6400)]
            {
                let dims = Dims { size, ..dims() };
                let tiling = dims.tiling(64, kp, buffer);
                assert_eq!(tiling.tile_bytes as usize, tiling.tile_rows as usize * kp * size);
                assert!(tiling.chunk_bytes as usize <= buffer && tiling.chunk_bytes % 256 == 0, "{tiling:?}");
                assert!(tiling.chunks == 1 || tiling.tile_rows == 1 || size == 2, "{tiling:?}");
                let last = tiling.tile_bytes - (tiling.chunks - 1) * tiling.chunk_bytes;
                assert!(last > 0 && last <= tiling.chunk_bytes, "{tiling:?}");
            }
        }
    }
}
