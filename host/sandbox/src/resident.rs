//! The last resort: what this process holds in memory while a guest is called, whoever allocated it.
//!
//! All that a guest can make the host hold is counted where it is made. Should something be forgotten there, this sees it.

use std::time::Duration;

use crate::limits::{LimitError, Limits};

/// How much more than a guest's own limits allow the process may grow.
const SLACK: u64 = 128 << 20;
/// How often what a guest hands over is held at once: as it came, and on its way out.
const COPIES: u64 = 2;
/// How often the system is asked, which takes some microseconds.
const EVERY: Duration = Duration::from_millis(50);

/// What a guest makes this process hold.
#[derive(Debug)]
pub(crate) struct Held {
    most: u64,
    /// What the process holds that is not the guest's; `None` where the system does not say.
    own: Option<u64>,
    /// When it was looked at last, on the guest's clock.
    looked: Duration,
}

impl Held {
    pub(crate) fn new(limits: &Limits) -> Self {
        let most =
            (limits.memory as u64).saturating_add((limits.output as u64).saturating_mul(COPIES)).saturating_add(SLACK);
        Self { most, own: resident(), looked: Duration::ZERO }
    }

    /// Takes note of memory that is not the guest's: by how much the process has grown since it held `before`.
    pub(crate) fn excuse(&mut self, before: Option<u64>) {
        let grown = resident().zip(before).map(|(after, before)| after.saturating_sub(before));
        self.own = self.own.zip(grown).map(|(own, grown)| own.saturating_add(grown));
    }

    pub(crate) fn check(&mut self, now: Duration) -> Result<(), LimitError> {
        let Some(own) = self.own else { return Ok(()) };
        if now < self.looked.saturating_add(EVERY) {
            return Ok(());
        }
        self.looked = now;
        match resident().map(|held| held.saturating_sub(own)) {
            Some(held) if held > self.most => Err(LimitError(format!(
                "it makes this process hold {held} bytes, and may make it hold {}; allow more with --max-memory",
                self.most
            ))),
            _ => Ok(()),
        }
    }
}

/// Bytes of this process in memory that no file backs.
pub(crate) fn resident() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
        let mut fields = pages.split(' ').skip(1).map(|field| field.trim().parse::<u64>().ok());
        let (resident, shared) = (fields.next()??, fields.next()??);
        Some(resident.saturating_sub(shared).saturating_mul(page_size()))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the standard library does not tell the size of a page")]
fn page_size() -> u64 {
    // SAFETY: asks for a constant.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_seen_unless_it_is_excused() {
        let limits = Limits { memory: 0, output: 0, ..Limits::default() };
        let mut held = Held { most: 64 << 20, ..Held::new(&limits) };
        let much = || std::hint::black_box(vec![1_u8; 256 << 20]);
        let before = resident();
        let model = much();
        held.excuse(before);
        assert!(held.check(EVERY * 2).is_ok());
        let guests = much();
        let error = held.check(EVERY * 4).unwrap_err().to_string();
        assert!(error.contains("--max-memory"), "{error}");
        // Not asked again at once.
        assert!(held.check(EVERY * 4).is_ok());
        drop((model, guests));
    }
}
