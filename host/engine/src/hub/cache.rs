//! The folder of models that Python's huggingface_hub has, too: `models--OWNER--NAME/{blobs,refs,snapshots}`.
//!
//! A snapshot's files are links to blobs, which are named by their hash. A file has its name only once it is whole.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness_core::input;

use super::environment::is_plain;

/// The end of the name of a blob that is not whole yet.
const PART: &str = ".harness.incomplete";
/// How often a lock is tried.
const TRY: Duration = Duration::from_millis(50);

/// The folder of models.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

/// One model's part of it.
#[derive(Debug)]
pub(crate) struct Repo {
    folder: PathBuf,
    locks: PathBuf,
}

/// What keeps two processes from fetching the same.
pub(crate) struct Lock {
    /// `None` where the file system has no locks.
    _held: Option<File>,
    path: PathBuf,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// The part of the model `id`, whether it is there or not.
    pub(crate) fn repo(&self, id: &str) -> Repo {
        let name = format!("models--{}", id.replace('/', "--"));
        Repo { locks: self.folder.join(".locks").join(&name), folder: self.folder.join(name) }
    }
}

/// What no other thread has, nor another process: in containers that share a cache, processes have the same numbers.
fn unique() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

impl Repo {
    /// A file of the newest snapshot that was fetched.
    pub(crate) fn get(&self, file: &str) -> Option<PathBuf> {
        let commit = input::read_text(&self.folder.join("refs").join("main"), 100).ok()?;
        let commit = commit.trim();
        let path = self.snapshot(commit).join(file);
        (is_plain(commit) && path.exists()).then_some(path)
    }

    /// The folder of a commit.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.blobs().join(etag)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// Where a blob is gathered by the one who has its lock.
    pub(crate) fn part(&self, etag: &str, lock: &Lock) -> PathBuf {
        match lock._held {
            Some(_) => self.blobs().join(format!("{etag}{PART}")),
            // Another process may do the same.
            None => self.blobs().join(format!("{etag}.{}{PART}", unique())),
        }
    }

    /// Waits until no other process fetches the blob, for as long as it takes. `note` is called once if that is longer than `patience`.
    pub(crate) fn lock(&self, etag: &str, patience: Duration, note: impl FnOnce()) -> io::Result<Lock> {
        fs::create_dir_all(&self.locks)?;
        fs::create_dir_all(self.blobs())?;
        let path = self.locks.join(format!("{etag}.lock"));
        let file = open_lock(&path)?;
        let start = Instant::now();
        let mut note = Some(note);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _held: Some(file), path }),
                Err(TryLockError::WouldBlock) => {
                    if start.elapsed() >= patience
                        && let Some(note) = note.take()
                    {
                        note();
                    }
                    std::thread::sleep(TRY);
                }
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => {
                    tracing::info!(
                        "{} can't be locked ({error}); what is fetched is checked all the same",
                        path.display()
                    );
                    return Ok(Lock { _held: None, path });
                }
            }
        }
    }

    /// Gives a gathered blob its name.
    pub(crate) fn keep(&self, part: &Path, etag: &str) -> io::Result<()> {
        fs::rename(part, self.blob(etag))?;
        sync_folder(&self.blobs())
    }

    /// Makes `file` of a snapshot lead to the blob.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &str) -> io::Result<()> {
        let folder = self.snapshot(commit);
        fs::create_dir_all(&folder)?;
        let temporary = folder.join(format!(".{file}.{}", unique()));
        #[cfg(unix)]
        std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), &temporary)?;
        #[cfg(not(unix))]
        fs::copy(self.blob(etag), &temporary)?;
        fs::rename(&temporary, folder.join(file))
    }

    /// Says that the snapshot is the newest. From here on it is found.
    pub(crate) fn name(&self, commit: &str) -> io::Result<()> {
        let folder = self.folder.join("refs");
        fs::create_dir_all(&folder)?;
        let temporary = folder.join(format!("main.{}.tmp", unique()));
        fs::write(&temporary, commit)?;
        File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, folder.join("main"))?;
        sync_folder(&folder)
    }

    /// Removes what was left of blobs that nobody fetches any more.
    pub(crate) fn sweep(&self) {
        let entries = fs::read_dir(self.blobs()).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let Some(etag) = name.to_str().and_then(|name| name.strip_suffix(PART)) else { continue };
            let etag = etag.split('.').next().unwrap_or(etag);
            let lock = open_lock(&self.locks.join(format!("{etag}.lock")));
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Lock {
    /// Its file, for what is said of it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    // As Python makes it: others of the group can wait for it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o664);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        opened => opened,
    }
}

/// Makes names last.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match File::open(folder)?.sync_all() {
        // Some file systems can't do that to a folder.
        Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Err(error),
        _ => Ok(()),
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn waiting_for_a_lock_is_waiting_and_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Cache::new(folder.path().into()).repo("a/b");
        let notes = AtomicU32::new(0);
        let note = || {
            notes.fetch_add(1, Ordering::SeqCst);
        };
        let held = repo.lock("e", Duration::ZERO, note).unwrap();
        assert_eq!(notes.load(Ordering::SeqCst), 0);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| repo.lock("e", Duration::ZERO, note).map(drop));
            while notes.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert!(!waiting.is_finished());
            drop(held);
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(notes.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_was_left_is_swept_and_what_is_being_fetched_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Cache::new(folder.path().into()).repo("a/b");
        let held = repo.lock("held", Duration::ZERO, || ()).unwrap();
        for name in ["held", "left", "left.77"] {
            fs::write(repo.blobs().join(format!("{name}{PART}")), "half").unwrap();
        }
        // Python's own is left to Python.
        fs::write(repo.blobs().join("python.incomplete"), "half").unwrap();
        repo.sweep();
        let left = |name: &str| repo.blobs().join(name).exists();
        assert!(left(&format!("held{PART}")) && left("python.incomplete"));
        assert!(!left(&format!("left{PART}")) && !left(&format!("left.77{PART}")));
        drop(held);
    }

    #[test]
    fn a_reference_that_leads_elsewhere_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Cache::new(folder.path().into()).repo("a/b");
        fs::create_dir_all(repo.folder.join("refs")).unwrap();
        fs::create_dir_all(repo.snapshot("abc")).unwrap();
        fs::write(repo.snapshot("abc").join("x"), "").unwrap();
        fs::write(folder.path().join("x"), "").unwrap();
        for (commit, found) in [("abc\n", true), ("../..", false), ("", false), ("/", false), ("none", false)] {
            fs::write(repo.folder.join("refs/main"), commit).unwrap();
            assert_eq!(repo.get("x").is_some(), found, "{commit}");
        }
    }
}
