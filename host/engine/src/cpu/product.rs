//! `Y = X Wᵀ + b`, with X f32 `[m, k]`, W `[n, k]` in f32, f16 or bf16, and Y f32 `[m, n]`.
//!
//! For few rows of X it is bound by memory: each row of W is read once and multiplied with all rows of X at once. For
//! many rows it is bound by arithmetic. There `gemm`, which is what candle uses, has no AVX-512 in stable Rust, so on
//! machines that have it the same loops do that work, too; elsewhere it gets blocks of W converted to f32.
//!
//! In these loops every result is summed in the same order whatever m is: 16 partial sums, of every 16th number each,
//! added pairwise. So a batch gives the same results as its requests one by one.

#![allow(unsafe_code, reason = "calls loops in vector instructions, which write to parts of one slice")]

use half::{bf16, f16};
use rayon::prelude::*;

use crate::checkpoint::Activation;
use crate::cpu::{Level, Shared, elementwise, level};

/// Up to this many rows of X are few.
pub(super) const FEW: usize = 16;

/// Bytes of W that one task reads: much more than dispatching it costs, and still enough tasks for a fair share.
const TASK_BYTES: usize = 96 << 10;

/// Rows of W that a task converts for `gemm`.
pub(crate) const GEMM_ROWS: usize = 128;

/// A number of W.
pub(crate) trait Weight: Copy + Send + Sync + 'static {
    /// Pads the end of a row.
    const ZERO: Self;

    fn to_f32(self) -> f32;

    /// Eight numbers as f32.
    ///
    /// # Safety
    /// The machine has AVX2 and F16C, and eight numbers can be read.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load_8(from: *const Self) -> std::arch::x86_64::__m256;

    /// Sixteen numbers as f32.
    ///
    /// # Safety
    /// The machine has AVX-512 F and sixteen numbers can be read.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load_16(from: *const Self) -> std::arch::x86_64::__m512;
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Finish {
    /// It is the result.
    Store,
    /// It goes through an activation function.
    Activate(Activation),
    /// It is added to what is there.
    Add,
}

/// The operands of one product.
pub(super) struct Job<'a, W> {
    pub(super) x: &'a [f32],
    pub(super) weight: &'a [W],
    pub(super) bias: Option<&'a [f32]>,
    /// Rows of X.
    pub(super) m: usize,
    /// Length of a row of X and of W.
    pub(super) k: usize,
    /// Rows of W.
    pub(super) n: usize,
    pub(super) out: Shared,
    /// Add to what is there.
    pub(super) add: bool,
}

/// Computes the product into `out`. The slices' lengths must agree; `k` is the length of a row.
pub(crate) fn product<W: Weight>(
    x: &[f32],
    weight: &[W],
    bias: Option<&[f32]>,
    k: usize,
    finish: Finish,
    out: &mut [f32],
) {
    let (m, n) = (x.len() / k, weight.len() / k);
    assert!(
        x.len() == m * k && weight.len() == n * k && out.len() == m * n && bias.is_none_or(|bias| bias.len() == n),
        "lengths of a product agree"
    );
    let job = Job { x, weight, bias, m, k, n, out: Shared::new(out), add: finish == Finish::Add };
    let level = level();
    let direct = m <= FEW || level.has_avx512();
    let rows = if direct {
        // A multiple of the four rows that are taken at once.
        (TASK_BYTES / (k * size_of::<W>())).next_multiple_of(4).max(4)
    } else {
        GEMM_ROWS
    };
    let task = |first: usize| {
        let end = (first + rows).min(n);
        if direct {
            directly(level, &job, first, end);
        } else {
            with_gemm(&job, first, end);
        }
        if let Finish::Activate(activation) = finish {
            for row in 0..m {
                // SAFETY: the columns of this task, which has written them and is the only one that uses them.
                elementwise::activate(activation, unsafe { job.out.part(row * n + first, end - first) });
            }
        }
    };
    if n <= rows {
        task(0);
    } else {
        (0..n.div_ceil(rows)).into_par_iter().for_each(|index| task(index * rows));
    }
}

/// The columns `first..end` of the result, with the instructions of `level`, which the machine has.
pub(super) fn directly<W: Weight>(level: Level, job: &Job<'_, W>, first: usize, end: usize) {
    match level {
        Level::Portable => portable(job, first, end),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has the features, `product` checked the lengths, and the columns are this task's.
        Level::Avx2 => unsafe { super::x86::avx2::columns(job, first, end) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { super::x86::avx512::columns(job, first, end) },
    }
}

fn portable<W: Weight>(job: &Job<'_, W>, first: usize, end: usize) {
    const LANES: usize = 16;
    for column in first..end {
        let weight = &job.weight[column * job.k..(column + 1) * job.k];
        for row in 0..job.m {
            let x = &job.x[row * job.k..(row + 1) * job.k];
            let mut sums = [0f32; LANES];
            for (x, weight) in x.chunks(LANES).zip(weight.chunks(LANES)) {
                for ((sum, x), weight) in sums.iter_mut().zip(x).zip(weight) {
                    *sum += x * weight.to_f32();
                }
            }
            let mut width = LANES / 2;
            while width > 0 {
                for lane in 0..width {
                    sums[lane] += sums[lane + width];
                }
                width /= 2;
            }
            // SAFETY: the column is this task's.
            unsafe { job.store(row, column, sums[0]) };
        }
    }
}

impl<W> Job<'_, W> {
    /// Writes one result.
    ///
    /// # Safety
    /// `row` and `column` are of the result, and no other task uses this place.
    #[inline(always)]
    pub(super) unsafe fn store(&self, row: usize, column: usize, sum: f32) {
        let value = match self.bias {
            Some(bias) => sum + bias[column],
            None => sum,
        };
        // SAFETY: the caller's promise.
        let place = unsafe { &mut self.out.part(row * self.n + column, 1)[0] };
        *place = if self.add { *place + value } else { value };
    }
}

fn with_gemm<W: Weight>(job: &Job<'_, W>, first: usize, end: usize) {
    let (m, k, n, columns) = (job.m, job.k, job.n, end - first);
    let weight: Vec<f32> = job.weight[first * k..end * k].iter().map(|weight| weight.to_f32()).collect();
    // SAFETY: the result's rows have n columns, of which the task's are written; x has m rows of k numbers, and the
    // converted weights, read as the transposed [k, columns] matrix, `columns` rows of k. The lengths were checked.
    unsafe {
        gemm::gemm(
            m,
            columns,
            k,
            job.out.part(first, 1).as_mut_ptr(),
            1,
            n as isize,
            job.add,
            job.x.as_ptr(),
            1,
            k as isize,
            weight.as_ptr(),
            k as isize,
            1,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    if let Some(bias) = job.bias {
        for row in 0..m {
            // SAFETY: the columns are this task's.
            let results = unsafe { job.out.part(row * n + first, columns) };
            results.iter_mut().zip(&bias[first..end]).for_each(|(result, bias)| *result += bias);
        }
    }
}

impl Weight for f32 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_8(from: *const Self) -> std::arch::x86_64::__m256 {
        // SAFETY: the caller's promise.
        unsafe { std::arch::x86_64::_mm256_loadu_ps(from) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_16(from: *const Self) -> std::arch::x86_64::__m512 {
        // SAFETY: the caller's promise.
        unsafe { std::arch::x86_64::_mm512_loadu_ps(from) }
    }
}

impl Weight for f16 {
    const ZERO: Self = f16::ZERO;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_8(from: *const Self) -> std::arch::x86_64::__m256 {
        use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps};
        // SAFETY: the caller's promise.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_16(from: *const Self) -> std::arch::x86_64::__m512 {
        use std::arch::x86_64::{_mm256_loadu_si256, _mm512_cvtph_ps};
        // SAFETY: the caller's promise.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
}

impl Weight for bf16 {
    const ZERO: Self = bf16::ZERO;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_8(from: *const Self) -> std::arch::x86_64::__m256 {
        use std::arch::x86_64::{_mm_loadu_si128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_slli_epi32};
        // SAFETY: the caller's promise.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())))) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_16(from: *const Self) -> std::arch::x86_64::__m512 {
        use std::arch::x86_64::{_mm256_loadu_si256, _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_slli_epi32};
        // SAFETY: the caller's promise.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast())))) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use harness_core::random::Stream;

    fn naive<W: Weight>(x: &[f32], weight: &[W], bias: &[f32], k: usize, before: &[f32]) -> Vec<f64> {
        let n = weight.len() / k;
        x.chunks(k)
            .flat_map(|x| {
                weight.chunks(k).zip(bias).map(|(row, bias)| {
                    f64::from(*bias)
                        + x.iter().zip(row).map(|(x, w)| f64::from(*x) * f64::from(w.to_f32())).sum::<f64>()
                })
            })
            .zip(before)
            .map(|(value, before)| value + f64::from(*before))
            .take(x.len() / k * n)
            .collect()
    }

    fn check<W: Weight>(m: usize, k: usize, n: usize, seed: u64, round: impl Fn(f32) -> W) {
        let numbers = |stream, length: usize| -> Vec<f32> {
            let stream = Stream::new(seed, stream);
            (0..length as u64).map(|index| stream.symmetric(index)).collect()
        };
        let (x, bias, before) = (numbers(0, m * k), numbers(1, n), numbers(2, m * n));
        let weight: Vec<W> = numbers(3, n * k).into_iter().map(round).collect();
        let close = |result: &[f32], expected: &[f64]| {
            for (result, expected) in result.iter().zip(expected) {
                assert!((f64::from(*result) - expected).abs() < 2e-5 * (k as f64).sqrt(), "{result} {expected}");
            }
        };
        let mut stored = vec![f32::NAN; m * n];
        product(&x, &weight, Some(&bias), k, Finish::Store, &mut stored);
        close(&stored, &naive(&x, &weight, &bias, k, &vec![0.0; m * n]));
        let mut added = before.clone();
        product(&x, &weight, Some(&bias), k, Finish::Add, &mut added);
        close(&added, &naive(&x, &weight, &bias, k, &before));
        // Every level gives the same, and those with FMA give it to the bit.
        let mut levels = vec![Level::Portable];
        #[cfg(target_arch = "x86_64")]
        match level() {
            Level::Avx512 => levels.extend([Level::Avx2, Level::Avx512]),
            Level::Avx2 => levels.push(Level::Avx2),
            Level::Portable => {}
        }
        let by_level: Vec<Vec<f32>> = levels
            .iter()
            .map(|&level| {
                let mut out = vec![f32::NAN; m * n];
                let shared = Shared::new(&mut out);
                let job = Job { x: &x, weight: &weight, bias: Some(&bias), m, k, n, out: shared, add: false };
                directly(level, &job, 0, n);
                out
            })
            .collect();
        by_level.iter().for_each(|result| close(result, &naive(&x, &weight, &bias, k, &vec![0.0; m * n])));
        assert!(by_level[1..].windows(2).all(|pair| pair[0] == pair[1]));
        let mut by_gemm = vec![f32::NAN; m * n];
        let shared = Shared::new(&mut by_gemm);
        let job = Job { x: &x, weight: &weight, bias: Some(&bias), m, k, n, out: shared, add: false };
        with_gemm(&job, 0, n / 2);
        with_gemm(&job, n / 2, n);
        close(&by_gemm, &naive(&x, &weight, &bias, k, &vec![0.0; m * n]));
        // A row alone gives the same bits as in a batch.
        if m <= FEW || level().has_avx512() {
            let mut alone = vec![f32::NAN; n];
            product(&x[(m - 1) * k..], &weight, Some(&bias), k, Finish::Store, &mut alone);
            assert_eq!(alone, stored[(m - 1) * n..]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_the_naive_product_at_any_size_and_dtype(m in 1usize..24, k in 1usize..150, n in 1usize..300, seed: u64) {
            check::<f32>(m, k, n, seed, |x| x);
            check::<f16>(m, k, n, seed, f16::from_f32);
            check::<bf16>(m, k, n, seed, bf16::from_f32);
        }
    }

    #[test]
    fn it_is_the_naive_product_where_many_tasks_share_it() {
        check::<f32>(3, 768, 400, 1, |x| x);
        check::<f16>(37, 64, 4000, 2, f16::from_f32);
        check::<bf16>(16, 1024, 300, 3, bf16::from_f32);
    }
}
