//! GPT-2's weights in host memory, in the layout that every backend here computes with: each linear map is a
//! row-major `[out, in]` matrix, so that one output is the dot product of one contiguous row.

#![allow(unsafe_code, reason = "sets numbers in memory that is not zeroed first")]

use half::vec::HalfBitsVecExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::checkpoint::Config;
use crate::options::DTypeChoice;

/// Numbers of one matrix.
#[derive(Clone, Debug)]
pub enum Data {
    /// 32-bit.
    F32(Vec<f32>),
    /// IEEE 16-bit.
    F16(Vec<f16>),
    /// 16-bit with the exponent of f32.
    BF16(Vec<bf16>),
}

/// A row-major matrix.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Outputs of a linear map, or entries of an embedding.
    pub rows: usize,
    /// Inputs of a linear map, or the width of an embedding.
    pub cols: usize,
    /// `rows * cols` numbers.
    pub data: Data,
}

/// `y = W x + b`.
#[derive(Clone, Debug)]
pub struct Affine {
    /// `[out, in]`.
    pub weight: Matrix,
    /// `out` numbers.
    pub bias: Vec<f32>,
}

/// Scale and shift of a layer norm.
#[derive(Clone, Debug)]
pub struct Norm {
    /// Scale.
    pub weight: Vec<f32>,
    /// Shift.
    pub bias: Vec<f32>,
}

/// One transformer block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Before attention.
    pub ln_1: Norm,
    /// To queries, keys and values, in this order.
    pub qkv: Affine,
    /// Attention's output.
    pub proj: Affine,
    /// Before the MLP.
    pub ln_2: Norm,
    /// To the hidden units.
    pub up: Affine,
    /// Back to the residual stream.
    pub down: Affine,
}

/// All weights of a GPT-2.
#[derive(Clone, Debug)]
pub struct Weights {
    /// The architecture.
    pub config: Config,
    /// Of every [`Matrix`]; vectors are always f32.
    pub dtype: DTypeChoice,
    /// Token embeddings, `[vocabulary, width]`.
    pub wte: Matrix,
    /// Position embeddings, `[context, width]`.
    pub wpe: Matrix,
    /// The blocks in order.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub ln_f: Norm,
    /// The output head `[vocabulary, width]` where it is not the token embeddings.
    pub head: Option<Matrix>,
}

impl Weights {
    /// Number of weights; a tied head counts once.
    pub fn parameters(&self) -> u64 {
        let matrices = self.matrices().map(|matrix| matrix.rows * matrix.cols).sum::<usize>();
        let norm = |norm: &Norm| norm.weight.len() + norm.bias.len();
        let vectors = self.blocks.iter().map(|block| {
            norm(&block.ln_1)
                + norm(&block.ln_2)
                + [&block.qkv, &block.proj, &block.up, &block.down]
                    .map(|affine| affine.bias.len())
                    .iter()
                    .sum::<usize>()
        });
        (matrices + vectors.sum::<usize>() + norm(&self.ln_f)) as u64
    }

    /// Bytes of all matrices.
    pub fn matrix_bytes(&self) -> u64 {
        self.matrices().map(|matrix| (matrix.rows * matrix.cols * self.dtype.size()) as u64).sum()
    }

    fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        [&self.wte, &self.wpe].into_iter().chain(self.head.as_ref()).chain(
            self.blocks
                .iter()
                .flat_map(|block| [&block.qkv, &block.proj, &block.up, &block.down].map(|affine| &affine.weight)),
        )
    }
}

impl Matrix {
    /// Makes a matrix from `value(index)`, the index being row-major. Rows are made in parallel, each from its first
    /// number to its last.
    pub(crate) fn from_fn(
        rows: usize,
        cols: usize,
        dtype: DTypeChoice,
        value: impl Fn(usize) -> f32 + Sync + Send,
    ) -> Self {
        let length = rows * cols;
        let data = match dtype {
            DTypeChoice::F32 => {
                let mut data = zeroed::<f32>(length);
                fill(&mut data, &value);
                Data::F32(data)
            }
            DTypeChoice::F16 => {
                let mut data = zeroed::<u16>(length);
                fill(&mut data, |index| f16::from_f32(value(index)).to_bits());
                Data::F16(data.reinterpret_into())
            }
            DTypeChoice::BF16 => {
                let mut data = zeroed::<u16>(length);
                fill(&mut data, |index| bf16::from_f32(value(index)).to_bits());
                Data::BF16(data.reinterpret_into())
            }
        };
        Self { rows, cols, data }
    }

    /// Makes the transpose of a `[cols, rows]` source whose numbers are `value(index)`, in tiles that suit caches.
    pub(crate) fn transposed_from_fn(
        rows: usize,
        cols: usize,
        dtype: DTypeChoice,
        value: impl Fn(usize) -> f32 + Sync + Send,
    ) -> Self {
        let length = rows * cols;
        let data = match dtype {
            DTypeChoice::F32 => {
                let mut data = zeroed::<f32>(length);
                fill_transposed(&mut data, rows, cols, &value);
                Data::F32(data)
            }
            DTypeChoice::F16 => {
                let mut data = zeroed::<u16>(length);
                fill_transposed(&mut data, rows, cols, |index| f16::from_f32(value(index)).to_bits());
                Data::F16(data.reinterpret_into())
            }
            DTypeChoice::BF16 => {
                let mut data = zeroed::<u16>(length);
                fill_transposed(&mut data, rows, cols, |index| bf16::from_f32(value(index)).to_bits());
                Data::BF16(data.reinterpret_into())
            }
        };
        Self { rows, cols, data }
    }
}

fn fill<T: Send>(data: &mut [T], value: impl Fn(usize) -> T + Sync) {
    const CHUNK: usize = 1 << 14;
    data.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, numbers)| {
        for (offset, number) in numbers.iter_mut().enumerate() {
            *number = value(chunk * CHUNK + offset);
        }
    });
}

fn fill_transposed<T: Send>(data: &mut [T], rows: usize, cols: usize, value: impl Fn(usize) -> T + Sync) {
    const TILE: usize = 32;
    data.par_chunks_mut(TILE * cols).enumerate().for_each(|(band, numbers)| {
        let first = band * TILE;
        let height = numbers.len() / cols;
        for left in (0..cols).step_by(TILE) {
            for col in left..(left + TILE).min(cols) {
                for row in 0..height {
                    numbers[row * cols + col] = value(col * rows + first + row);
                }
            }
        }
    });
}

/// Zeros that the operating system has not touched yet, in huge pages where it has them: a product reads hundreds of
/// megabytes a token, and their page table should not compete for the caches.
fn zeroed<T: Zero>(length: usize) -> Vec<T> {
    let data = T::zeros(length);
    advise_huge_pages(&data);
    data
}

/// Numbers of which `vec!` asks the allocator for zeroed memory instead of writing it.
trait Zero: Sized {
    fn zeros(length: usize) -> Vec<Self>;
}

impl Zero for f32 {
    fn zeros(length: usize) -> Vec<Self> {
        vec![0.0; length]
    }
}

impl Zero for u16 {
    fn zeros(length: usize) -> Vec<Self> {
        vec![0; length]
    }
}

#[cfg(target_os = "linux")]
fn advise_huge_pages<T>(data: &[T]) {
    const PAGE: usize = 4096;
    let bytes = std::mem::size_of_val(data);
    if bytes < 4 << 20 {
        return;
    }
    let start = (data.as_ptr() as usize).next_multiple_of(PAGE);
    let end = (data.as_ptr() as usize + bytes) & !(PAGE - 1);
    // SAFETY: whole pages inside the allocation; the advice changes how they are backed, not what they hold. That it
    // may fail is of no consequence.
    unsafe {
        libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages<T>(_: &[T]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_matrix_has_columns_as_rows() {
        let (rows, cols) = (70, 45);
        let matrix = Matrix::transposed_from_fn(rows, cols, DTypeChoice::F32, |index| index as f32);
        let Data::F32(data) = matrix.data else { panic!("not f32") };
        for row in 0..rows {
            for col in 0..cols {
                assert_eq!(data[row * cols + col], (col * rows + row) as f32);
            }
        }
    }
}
