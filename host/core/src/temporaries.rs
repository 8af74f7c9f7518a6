//! Files that are written beside the place that they are put into when they are whole. None is left behind: not by an error, not by an
//! interrupt, and what a killed process left goes with the next file that is written there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const PREFIX: &str = ".harness-";
const SUFFIX: &str = ".new";
/// How old one is that nobody writes any more.
const LEFT: Duration = Duration::from_secs(3600);

/// Those that there are.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// What the system said, where that is within another error.
fn root(error: &io::Error) -> Option<i32> {
    let within = |error: &io::Error| error.get_ref()?.source()?.downcast_ref::<io::Error>()?.raw_os_error();
    error.raw_os_error().or_else(|| within(error))
}

/// A file that is being written.
#[derive(Debug)]
pub struct Temporary(tempfile::NamedTempFile);

impl Temporary {
    /// In the folder of `path`, with the permissions that a file gets there.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub fn beside(path: &Path) -> io::Result<Self> {
        Self::in_folder(folder_of(path))
    }

    /// In a folder, with the permissions that a file gets there.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub fn in_folder(folder: &Path) -> io::Result<Self> {
        Self::with_mode(folder, 0o666)
    }

    /// In a folder of which this user believes what is in it: for this user alone.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub fn private_in(folder: &Path) -> io::Result<Self> {
        Self::with_mode(folder, 0o600)
    }

    #[cfg_attr(not(unix), allow(unused_variables, reason = "there are no modes"))]
    fn with_mode(folder: &Path, mode: u32) -> io::Result<Self> {
        sweep(folder);
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        // None is made while all are removed.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        // The library's message has our name of the file in it.
        let file = builder.tempfile_in(folder).map_err(|error| match root(&error) {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error,
        })?;
        open.insert(file.path().to_owned());
        Ok(Self(file))
    }

    /// What is written to.
    pub fn file(&self) -> &File {
        self.0.as_file()
    }

    /// Puts it at `path`, at once and on the disk; `AlreadyExists` if something is there that is not to be replaced.
    ///
    /// # Errors
    ///
    /// As the system has them; the file is gone then.
    pub fn put(self, path: &Path, replace: bool) -> io::Result<()> {
        self.file().sync_all()?;
        let name = self.0.path().to_owned();
        let put = match replace {
            true => self.0.persist(path).map(drop),
            false => self.0.persist_noclobber(path).map(drop),
        };
        forget(&name);
        put.map_err(|error| error.error)?;
        sync_folder(folder_of(path))
    }
}

impl Write for Temporary {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // Not by its own `write`, whose errors name a file that nobody knows.
        self.0.as_file_mut().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_file_mut().flush()
    }
}

/// Removes those that there are: for who ends the process without going back.
pub fn remove_all() {
    // Who holds it may be the thread that panicked.
    let open = match OPEN.try_lock() {
        Ok(mut open) => std::mem::take(&mut *open),
        Err(_) => return,
    };
    for path in open {
        let _ = std::fs::remove_file(path);
    }
}

/// The folder that a path is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn forget(path: &Path) {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
}

/// The new name is on the disk, too.
fn sync_folder(folder: &Path) -> io::Result<()> {
    // Not every system opens folders, and not every file system syncs them.
    let Ok(folder) = File::open(folder) else { return Ok(()) };
    match folder.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Removes what killed processes left in the folder.
fn sweep(folder: &Path) {
    let now = SystemTime::now();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_str().is_some_and(is_name);
        let is_left = || {
            let there = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            now.duration_since(there.modified().ok()?).ok().filter(|age| *age > LEFT)
        };
        if is_one && is_left().is_some() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn is_name(name: &str) -> bool {
    let middle = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    middle.is_some_and(|middle| middle.len() == 6 && middle.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let old = SystemTime::now() - 2 * LEFT;
        for name in [".harness-aB3dE6.new", ".harness-ab.new", "a.new", ".harness-abcdef.old"] {
            File::create(at(name)).unwrap().set_modified(old).unwrap();
        }
        std::fs::write(at(".harness-young1.new"), "").unwrap();
        let mut new = Temporary::beside(&at("a")).unwrap();
        new.write_all(b"whole").unwrap();
        let name = new.0.path().to_owned();
        assert!(OPEN.lock().unwrap().contains(&name));
        new.put(&at("a"), false).unwrap();
        assert!(!OPEN.lock().unwrap().contains(&name));
        assert_eq!(std::fs::read(at("a")).unwrap(), b"whole");
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".harness-ab.new", ".harness-abcdef.old", ".harness-young1.new", "a", "a.new"]);
    }

    #[test]
    fn one_that_is_dropped_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Temporary::in_folder(folder.path()).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_there_is_replaced_only_where_that_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let put = |text: &[u8], replace: bool| {
            let mut new = Temporary::beside(&path).unwrap();
            new.write_all(text).unwrap();
            new.put(&path, replace).map_err(|error| error.kind())
        };
        assert_eq!(put(b"one", true), Ok(()));
        assert_eq!(put(b"two", false), Err(ErrorKind::AlreadyExists));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(put(b"three", true), Ok(()));
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_is_one_only_as_a_whole() {
        assert!(is_name(".harness-aB3dE6.new"));
        for name in
            [".harness-aB3dE.new", ".harness-aB3dE6x.new", ".harness-aB-dE6.new", "harness-aB3dE6.new", "aB3dE6"]
        {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_path_without_a_folder_is_in_this_one() {
        for (path, folder) in [("a", "."), ("x/a", "x"), ("/a", "/"), ("./a", "."), ("", "."), ("/", ".")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_can_not_be_synced_is_no_fault() {
        // The kernel's own files have no disk.
        sync_folder(Path::new("/proc/self")).unwrap();
        sync_folder(Path::new("/there/is/none")).unwrap();
    }

    /// In a process of its own, because all of a process go at once.
    #[test]
    fn all_that_there_are_go_at_once() {
        const FOLDER: &str = "HARNESS_TEST_TEMPORARIES";
        let name = "temporaries::tests::all_that_there_are_go_at_once";
        if let Some(folder) = std::env::var_os(FOLDER) {
            let kept = [0, 1].map(|_| Temporary::in_folder(Path::new(&folder)).unwrap());
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
            remove_all();
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
            std::mem::forget(kept);
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let done = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
    }
}
