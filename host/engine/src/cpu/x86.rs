//! The inner loops of [`super::product`] in AVX2 and AVX-512: tiles of a few rows of W by a few rows of X, whose partial
//! sums stay in registers.

#![allow(unsafe_code, reason = "vector instructions and their pointers")]

macro_rules! kernels {
    ($module:ident, $features:literal, $lanes:ident, $columns:literal by $rows:literal) => {
        pub(super) mod $module {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

            use super::LANES;
            use super::$lanes::{fused, load, reduce, zero};
            use crate::cpu::product::{FEW, Job, Weight};

            /// The columns `first..end` of the result.
            ///
            /// # Safety
            /// The machine has the features, the lengths in `job` agree, and no other task uses these columns.
            #[target_feature(enable = $features)]
            pub(in crate::cpu) unsafe fn columns<W: Weight>(job: &Job<'_, W>, first: usize, end: usize) {
                // Few rows of X stay in the caches while W passes once. With many, a tile of them stays in the first
                // cache while the task's part of W, which fits the second, passes once for each.
                let height = if job.m <= FEW { FEW } else { $rows };
                for row in (0..job.m).step_by(height) {
                    let last = (row + height).min(job.m);
                    let mut column = first;
                    while column + $columns <= end {
                        // SAFETY: the columns are left; the rest is the caller's promise.
                        unsafe { rows::<W, $columns>(job, column, row, last) };
                        column += $columns;
                    }
                    while column < end {
                        // SAFETY: one column is left; the rest is the caller's promise.
                        unsafe { rows::<W, 1>(job, column, row, last) };
                        column += 1;
                    }
                }
            }

            /// N columns of the rows `row..last`.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn rows<W: Weight, const N: usize>(job: &Job<'_, W>, column: usize, row: usize, last: usize) {
                // SAFETY: the rows of each tile are there; the rest is the caller's promise.
                unsafe {
                    if row == 0 && last == 1 {
                        return tile::<W, N, 1, true>(job, column, 0);
                    }
                    let mut row = row;
                    while row + $rows <= last {
                        if row == 0 {
                            tile::<W, N, $rows, true>(job, column, row);
                        } else {
                            tile::<W, N, $rows, false>(job, column, row);
                        }
                        row += $rows;
                    }
                    match last - row {
                        1 => tile::<W, N, 1, false>(job, column, row),
                        2 => tile::<W, N, 2, true>(job, column, row),
                        3 => tile::<W, N, 3, true>(job, column, row),
                        _ => {}
                    }
                }
            }

            /// N columns of M rows. PREFETCH is for those that read W from memory rather than from a cache.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn tile<W: Weight, const N: usize, const M: usize, const PREFETCH: bool>(
                job: &Job<'_, W>,
                column: usize,
                row: usize,
            ) {
                let k = job.k;
                let whole = k - k % LANES;
                // SAFETY: `column..column + N` and `row..row + M` lie in the matrices, whose rows have k numbers.
                unsafe {
                    let mut sums = [[zero(); M]; N];
                    let weight = job.weight.as_ptr().add(column * k);
                    let x = job.x.as_ptr().add(row * k);
                    let mut at = 0;
                    while at < whole {
                        let mut xs = [zero(); M];
                        for m in 0..M {
                            xs[m] = load::<f32>(x.add(m * k + at));
                        }
                        for n in 0..N {
                            let from = weight.add(n * k + at);
                            if PREFETCH {
                                // The rows that come next: the hardware's own prefetching stops at the end of a
                                // page. An address past the matrix is allowed here.
                                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(N * k).cast());
                            }
                            let w = load::<W>(from);
                            for m in 0..M {
                                sums[n][m] = fused(w, xs[m], sums[n][m]);
                            }
                        }
                        at += LANES;
                    }
                    let rest = k - whole;
                    if rest > 0 {
                        let mut xs = [zero(); M];
                        for m in 0..M {
                            let mut padded = [0f32; LANES];
                            std::ptr::copy_nonoverlapping(x.add(m * k + whole), padded.as_mut_ptr(), rest);
                            xs[m] = load::<f32>(padded.as_ptr());
                        }
                        for n in 0..N {
                            let mut padded = [W::ZERO; LANES];
                            std::ptr::copy_nonoverlapping(weight.add(n * k + whole), padded.as_mut_ptr(), rest);
                            let w = load::<W>(padded.as_ptr());
                            for m in 0..M {
                                sums[n][m] = fused(w, xs[m], sums[n][m]);
                            }
                        }
                    }
                    for n in 0..N {
                        for m in 0..M {
                            job.store(row + m, column + n, reduce(sums[n][m]));
                        }
                    }
                }
            }
        }
    };
}

/// Partial sums of a result.
const LANES: usize = 16;

/// Sixteen partial sums in one register.
mod one_register {
    use std::arch::x86_64::*;

    use crate::cpu::product::Weight;

    #[inline(always)]
    pub(super) unsafe fn zero() -> __m512 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    pub(super) unsafe fn load<W: Weight>(from: *const W) -> __m512 {
        // SAFETY: the caller has AVX-512, and sixteen numbers to read.
        unsafe { W::load_16(from) }
    }

    #[inline(always)]
    pub(super) unsafe fn fused(a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    pub(super) unsafe fn reduce(sums: __m512) -> f32 {
        // SAFETY: the caller has AVX-512.
        unsafe {
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sums)));
            super::reduce_8(_mm256_add_ps(_mm512_castps512_ps256(sums), high))
        }
    }
}

/// Sixteen partial sums in two registers.
mod two_registers {
    use std::arch::x86_64::*;

    use crate::cpu::product::Weight;

    #[derive(Clone, Copy)]
    pub(super) struct Lanes(__m256, __m256);

    #[inline(always)]
    pub(super) unsafe fn zero() -> Lanes {
        // SAFETY: the caller has AVX2.
        unsafe { Lanes(_mm256_setzero_ps(), _mm256_setzero_ps()) }
    }

    #[inline(always)]
    pub(super) unsafe fn load<W: Weight>(from: *const W) -> Lanes {
        // SAFETY: the caller has AVX2 and F16C, and sixteen numbers to read.
        unsafe { Lanes(W::load_8(from), W::load_8(from.add(8))) }
    }

    #[inline(always)]
    pub(super) unsafe fn fused(a: Lanes, b: Lanes, sum: Lanes) -> Lanes {
        // SAFETY: the caller has FMA.
        unsafe { Lanes(_mm256_fmadd_ps(a.0, b.0, sum.0), _mm256_fmadd_ps(a.1, b.1, sum.1)) }
    }

    #[inline(always)]
    pub(super) unsafe fn reduce(sums: Lanes) -> f32 {
        // SAFETY: the caller has AVX2.
        unsafe { super::reduce_8(_mm256_add_ps(sums.0, sums.1)) }
    }
}

/// Adds lanes i and i + 4, then those i and i + 2, then the last two.
#[inline(always)]
unsafe fn reduce_8(sums: std::arch::x86_64::__m256) -> f32 {
    use std::arch::x86_64::*;
    // SAFETY: the caller has AVX2.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}

kernels!(avx512, "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c", one_register, 4 by 4);
kernels!(avx2, "avx2,fma,f16c", two_registers, 2 by 2);
