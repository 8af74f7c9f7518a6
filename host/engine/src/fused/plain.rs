//! Numbers as the host and the device both see them.

#![allow(unsafe_code, reason = "says which types are plain bytes, and looks at them as such")]

/// Plain numbers, or a `repr(C)` struct of them, as the host and the device both see them.
///
/// # Safety
///
/// Every pattern of bits is a value of it, and it has no padding.
pub(crate) unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($number:ty)*) => {$(
        // SAFETY: a number is.
        unsafe impl Plain for $number {}
    )*};
}

plain!(u8 i8 u16 i16 u32 i32 u64 i64 f32 half::f16 half::bf16);

/// The bytes of numbers.
pub(crate) fn bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: a plain value has no padding, so all its bytes are set.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_hosts() {
        assert_eq!(bytes(&[1u32, 2]), [1u32.to_ne_bytes(), 2u32.to_ne_bytes()].concat());
    }
}
