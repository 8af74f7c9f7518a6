//! Shows a model being downloaded: one line that is redrawn on a terminal, elsewhere a line a file and one now and then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use harness_core::text::visible_line;
use harness_engine::DownloadObserver;

use crate::progress::{PLAIN, REDRAW, Screen};
use crate::units;

/// Shows a download.
pub(crate) struct Downloads {
    screen: Screen,
    every: Duration,
    now: Mutex<Option<Now>>,
}

/// The file that is fetched.
struct Now {
    file: String,
    size: Option<u64>,
    /// What was here before.
    before: u64,
    started: Instant,
    shown: Instant,
}

impl Downloads {
    pub(crate) fn new(screen: Screen) -> Self {
        let every = if screen.is_terminal() { REDRAW } else { PLAIN };
        Self { screen, every, now: Mutex::default() }
    }
}

impl DownloadObserver for Downloads {
    fn file_started(&self, file: &str, have: u64, size: Option<u64>) {
        let of = size.map(|size| format!(" ({})", ByteSize(size).display().si())).unwrap_or_default();
        let on = if have > 0 { format!(", from {} on", ByteSize(have).display().si()) } else { String::new() };
        self.screen.update(format!("downloading {file}{of}{on}"));
        let now = Instant::now();
        let now = Now { file: file.to_owned(), size, before: have, started: now, shown: now };
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    fn bytes_received(&self, have: u64) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = now.as_mut().filter(|now| now.shown.elapsed() >= self.every) {
            now.shown = Instant::now();
            self.screen.update(now.line(have, now.started.elapsed()));
        }
    }

    fn file_finished(&self, _: &str, _: u64) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.screen.clear();
    }

    fn note(&self, note: &str) {
        // What a hub says may be in it.
        self.screen.say(&visible_line(note));
    }
}

impl Now {
    fn line(&self, have: u64, elapsed: Duration) -> String {
        let rate = have.saturating_sub(self.before) as f64 / elapsed.as_secs_f64().max(1e-3);
        let left = self.size.filter(|_| rate > 0.0).map(|size| size.saturating_sub(have) as f64 / rate);
        let left = left.and_then(|left| Duration::try_from_secs_f64(left).ok());
        let left = left.map(|left| format!(", {} left", units::rough(left))).unwrap_or_default();
        let of = self.size.map(|size| format!(" of {}", ByteSize(size).display().si())).unwrap_or_default();
        let (have, rate) = (ByteSize(have).display().si(), ByteSize(rate as u64).display().si());
        format!("downloading {}: {have}{of}, {rate}/s{left}", self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let now = Instant::now();
        let now = |size, before| Now { file: "model.safetensors".into(), size, before, started: now, shown: now };
        assert_eq!(
            now(Some(548_000_000), 100_000_000).line(200_000_000, Duration::from_secs(2)),
            "downloading model.safetensors: 200.0 MB of 548.0 MB, 50.0 MB/s, 7.0 s left"
        );
        assert_eq!(now(None, 0).line(1_000, Duration::from_secs(1)), "downloading model.safetensors: 1.0 kB, 1.0 kB/s");
        assert_eq!(now(Some(5), 0).line(0, Duration::ZERO), "downloading model.safetensors: 0 B of 5 B, 0 B/s");
    }
}
