//! Compiled components, kept under the hash of what they were compiled from and for which engine.
//!
//! What lies here is run as native code. So the folder must be the user's own: who opens the cache has made sure of that. An
//! entry is the artifact, then what an instance takes, and a checksum against damage, not against anybody.

use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use harness_core::temporaries::Temporary;
use wasmtime::Engine;

use crate::compile::{Compiled, Footprint};

/// A folder of compiled components.
pub(crate) struct Cache {
    folder: PathBuf,
    /// What code that was compiled for this engine has in its name.
    engine: u64,
}

/// The end of an entry: instances, bytes of an instance, bytes of the artifact, each as a u64; its CRC-32; and this.
const MAGIC: [u8; 8] = *b"harness1";
const TRAILER: usize = 3 * 8 + 4 + MAGIC.len();
/// The most bytes of an entry that are read.
const MOST_ENTRY: u64 = 1 << 30;
/// What all entries take before the oldest go.
const MOST_BYTES: u64 = 2 << 30;
/// After how long a use is noted again.
const STALE: Duration = Duration::from_secs(24 * 3600);

impl Cache {
    pub(crate) fn new(folder: &Path, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder: folder.to_owned(), engine: hasher.finish() }
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}-{:016x}", self.engine))
    }

    /// What was compiled from the component with this hash, if it is here and whole.
    pub(crate) fn get(&self, sha256: &str) -> Option<Compiled> {
        let path = self.path(sha256);
        let file = open(&path).ok()?;
        let metadata = file.metadata().ok().filter(|file| file.is_file() && file.len() <= MOST_ENTRY)?;
        let mut entry = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
        (&file).take(MOST_ENTRY).read_to_end(&mut entry).ok()?;
        let compiled = unpack(entry);
        if compiled.is_none() {
            tracing::warn!(target: "harness::note", "{} is damaged; what it was is compiled again", path.display());
        }
        let now = SystemTime::now();
        if metadata.modified().is_ok_and(|used| now.duration_since(used).is_ok_and(|since| since > STALE)) {
            // Only the order in which entries go depends on it.
            let _ = file.set_modified(now);
        }
        compiled
    }

    /// Keeps what was compiled. Who reads meanwhile finds all of it or nothing.
    pub(crate) fn put(&self, sha256: &str, compiled: &Compiled) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut file = Temporary::private_in(&self.folder)?;
        file.write_all(&compiled.artifact)?;
        file.write_all(&trailer(compiled))?;
        file.put(&self.path(sha256), true)?;
        self.sweep();
        Ok(())
    }

    /// Removes the entries that were not used for longest, where all together take too much.
    fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let used = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        };
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = entries.filter_map(used).collect();
        let mut bytes: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        entries.sort();
        for (_, size, path) in entries {
            if bytes <= MOST_BYTES {
                break;
            }
            // One that another process removed is gone, too.
            let _ = std::fs::remove_file(path);
            bytes = bytes.saturating_sub(size);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path)
}

fn trailer(compiled: &Compiled) -> Vec<u8> {
    let Footprint { instances, bytes } = compiled.footprint;
    let numbers = [instances, bytes, compiled.artifact.len() as u64];
    let mut trailer: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
    let mut sum = crc32fast::Hasher::new();
    sum.update(&compiled.artifact);
    sum.update(&trailer);
    trailer.extend(sum.finalize().to_le_bytes());
    trailer.extend(MAGIC);
    trailer
}

fn unpack(mut entry: Vec<u8>) -> Option<Compiled> {
    let end = entry.split_off(entry.len().checked_sub(TRAILER)?);
    let number = |at: usize| Some(u64::from_le_bytes(end.get(8 * at..8 * at + 8)?.try_into().ok()?));
    let compiled = Compiled { footprint: Footprint { instances: number(0)?, bytes: number(1)? }, artifact: entry };
    (trailer(&compiled) == end).then_some(compiled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled() -> Compiled {
        Compiled { footprint: Footprint { instances: 3, bytes: 4_000 }, artifact: b"native code".to_vec() }
    }

    fn cache(folder: &Path) -> Cache {
        Cache { folder: folder.to_owned(), engine: 7 }
    }

    #[test]
    fn what_is_kept_is_found_and_only_for_its_engine() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        assert!(cache.get("ab").is_none());
        cache.put("ab", &compiled()).unwrap();
        let found = cache.get("ab").unwrap();
        assert_eq!((found.footprint, found.artifact), (compiled().footprint, compiled().artifact));
        assert!(cache.get("cd").is_none());
        assert!(Cache { engine: 8, ..cache }.get("ab").is_none());
    }

    #[test]
    fn a_damaged_entry_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.put("ab", &compiled()).unwrap();
        let path = cache.path("ab");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(cache.get("ab").is_none(), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(cache.get("ab").is_none(), "cut at {at}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.put("ab", &compiled()).unwrap();
        std::os::unix::fs::symlink(cache.path("ab"), cache.path("cd")).unwrap();
        assert!(cache.get("cd").is_none());
    }
}
