//! GPT-2's arithmetic on a CPU: products with `[out, in]` weights in f32, f16 or bf16 and f32 activations, attention
//! over the cache, and the little rest, each for the best vector instructions that the machine has.
//!
//! Generating a token reads every weight once, so it can't be faster than memory. candle's own matrix-vector product
//! takes twice the time that reading takes, and converts bf16 weights one by one; these functions replace it.

#![allow(unsafe_code, reason = "calls what is compiled for other instructions, and shares a slice between threads")]

pub(crate) mod attention;
pub(crate) mod elementwise;
pub(crate) mod ops;
pub(crate) mod product;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::LazyLock;

/// The vector instructions that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// What the compiler takes for granted.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512 F, VL, BW and DQ, too.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    fn has_avx512(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self == Self::Avx512;
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }
}

/// The best level of this machine.
pub(crate) fn level() -> Level {
    static LEVEL: LazyLock<Level> = LazyLock::new(|| {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq");
            return if avx512 { Level::Avx512 } else { Level::Avx2 };
        }
        Level::Portable
    });
    *LEVEL
}

/// Defines a function whose body the compiler vectorizes once for each [`Level`]; a call runs the one for this machine.
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                match $crate::cpu::level() {
                    // SAFETY: this machine has the features.
                    $crate::cpu::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: this machine has the features.
                    $crate::cpu::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::cpu::Level::Portable => {}
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use vectorized;

/// A pointer to results of which each task writes its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: tasks that share it write disjoint parts, which every use states.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(results: &mut [f32]) -> Self {
        Self(results.as_mut_ptr())
    }

    /// The `length` results from `start` on.
    ///
    /// # Safety
    /// They lie in the slice that this was made from, which still lives, and no other task uses them meanwhile.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part<'a>(self, start: usize, length: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}
