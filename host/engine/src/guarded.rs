//! Calls of a library that panics on some of what it is given: the panic becomes an error, and nothing is printed.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Of a panic's message.
const MAX_SHOWN: usize = 200;

thread_local! {
    /// Whether this thread is in such a call.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls it. What it leaves half done when it panics must not matter to whoever calls again.
pub(crate) fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                hook(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(outer);
    result.unwrap_or_else(|panic| Err(format!("the library that reads it failed ({})", message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it doesn't say why").chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(guarded(|| Ok(1)), Ok(1));
        assert_eq!(guarded::<()>(|| Err("no".into())), Err("no".into()));
        let failed = |what: &str| Err(format!("the library that reads it failed ({what})"));
        assert_eq!(guarded::<()>(|| panic!("{}", 7)), failed("7"));
        assert_eq!(guarded::<()>(|| panic!("why")), failed("why"));
        assert_eq!(guarded::<()>(|| guarded(|| panic!("inner"))), failed("inner"));
    }
}
