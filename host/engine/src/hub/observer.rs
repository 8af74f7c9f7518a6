//! What there is to see of a download.

use std::fmt;
use std::sync::Arc;

/// Sees a model being downloaded. Called by the thread that loads the model.
pub trait DownloadObserver: Send + Sync {
    /// A file is fetched from now on: `have` of its `size` bytes are on this machine already.
    fn file_started(&self, file: &str, have: u64, size: Option<u64>);
    /// So many of the bytes of the file that was started last have come.
    fn bytes_received(&self, have: u64);
    /// The file that was started last is here, whole.
    fn file_finished(&self, file: &str, size: u64);
    /// Something that takes time or went wrong and is tried again: a sentence.
    fn note(&self, note: &str);
}

/// Who watches a download; nobody by default.
#[derive(Clone, Default)]
pub struct Watcher(Option<Arc<dyn DownloadObserver>>);

impl Watcher {
    /// Has `observer` see it.
    pub fn new(observer: Arc<dyn DownloadObserver>) -> Self {
        Self(Some(observer))
    }

    /// Tells who watches.
    pub(crate) fn tell(&self, what: impl FnOnce(&dyn DownloadObserver)) {
        if let Some(observer) = &self.0 {
            what(&**observer);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watcher(Some)" } else { "Watcher(None)" })
    }
}
