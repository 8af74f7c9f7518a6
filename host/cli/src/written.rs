//! What was written for configurations that were found, so that the same command can write it again. One small file for each place, in the
//! user's data folder, says what was written there last; what was changed since is somebody else's.

use std::io::Read;
use std::path::{Path, PathBuf};

use harness_sandbox::sha256;

use crate::{files, places};

/// Whether the file holds what was written there, and nothing else.
pub(crate) fn is_ours(path: &Path) -> bool {
    let Some(remembered) = mark(path).and_then(|mark| std::fs::read_to_string(mark).ok()) else { return false };
    contents(path, &remembered).is_some_and(|contents| note(path, &contents) == remembered)
}

/// Remembers what was written.
pub(crate) fn remember(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let Some(mark) = mark(path) else { return Ok(()) };
    if let Some(folder) = mark.parent() {
        std::fs::create_dir_all(folder)?;
    }
    files::replace_own(&mark, note(path, contents).as_bytes())
}

/// `SIZE SHA256 PATH`.
fn note(path: &Path, contents: &[u8]) -> String {
    format!("{} {} {}\n", contents.len(), sha256(contents), path.display())
}

/// What is in the file, if it is as long as what was written: no more of it is read.
fn contents(path: &Path, remembered: &str) -> Option<Vec<u8>> {
    let size: u64 = remembered.split(' ').next()?.parse().ok()?;
    let there = path.symlink_metadata().ok()?;
    let mut contents = Vec::new();
    if !there.is_file() || there.len() != size {
        return None;
    }
    std::fs::File::open(path).ok()?.take(size).read_to_end(&mut contents).ok()?;
    Some(contents)
}

fn mark(path: &Path) -> Option<PathBuf> {
    Some(places::written()?.join(sha256(path.as_os_str().as_encoded_bytes())))
}
