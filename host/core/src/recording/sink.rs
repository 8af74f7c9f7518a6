//! The file of a recording while it is written: each line is on the disk when it was written, a line that fails leaves
//! nothing of itself, and at the end it is looked at.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::input;

/// A line is written at once up to so many bytes, and a longer one in pieces of so many.
const PIECE: usize = 1 << 20;
/// How many names are tried where a name is taken.
const NAMES: u32 = 10_000;

pub(super) struct Sink {
    file: File,
    path: PathBuf,
    /// A device or a pipe can't be looked at.
    regular: bool,
    /// Of what was written.
    bytes: u64,
    sum: crc32fast::Hasher,
}

impl Sink {
    /// A new file, with the folders above it; or what is there, where that is a device or a pipe and no file.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        match Self::create_new(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !is_taken(path) => {
                Self::of(open_other(path)?, path)
            }
            created => created,
        }
    }

    /// A new file, with the folders above it.
    pub(super) fn create_new(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => {
                    io::Error::new(ErrorKind::NotADirectory, format!("{} is no folder", folder.display()))
                }
                _ => error,
            })?;
        }
        // What somebody else writes to the file, or cuts of it, moves no line of ours. It is read at the end.
        Self::of(File::options().read(true).append(true).create_new(true).open(path)?, path)
    }

    /// A file that is there, cut to its first `bytes` bytes, to be written on to. A line's end is added where it is missing.
    pub(super) fn reopen(file: File, path: &Path, bytes: u64) -> io::Result<Self> {
        file.set_len(bytes)?;
        (&file).seek(SeekFrom::Start(0))?;
        let sum = match checksum(&file, bytes)? {
            Some(sum) => crc32fast::Hasher::new_with_initial_len(sum, bytes),
            None => return Err(io::Error::new(ErrorKind::InvalidData, "something else changed it meanwhile")),
        };
        let mut sink = Self { file, path: path.to_owned(), regular: true, bytes, sum };
        if sink.last_byte()? != Some(b'\n') {
            (&sink.file).write_all(b"\n")?;
            sink.sum.update(b"\n");
            sink.bytes += 1;
        }
        sink.file.sync_data()?;
        Ok(sink)
    }

    fn last_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let Some(at) = self.bytes.checked_sub(1) else { return Ok(None) };
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut byte)?;
        Ok(Some(byte[0]))
    }

    fn of(file: File, path: &Path) -> io::Result<Self> {
        let regular = file.metadata()?.is_file();
        // So that nobody goes on with it while it is written. Not every file system can lock.
        if regular {
            let _ = file.try_lock();
        }
        Ok(Self { file, path: path.to_owned(), regular, bytes: 0, sum: crc32fast::Hasher::new() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line onto the disk, or nothing of it.
    pub(super) fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        // One write where the line is not very long; a kill can cut at most the last line.
        let mut lines =
            BufWriter::with_capacity(PIECE, Counted { file: &self.file, bytes: self.bytes, sum: self.sum.clone() });
        let written = serde_json::to_writer(&mut lines, line).map_err(io::Error::from);
        let written = written.and_then(|()| lines.write_all(b"\n")).and_then(|()| lines.flush());
        // What a failed write left in the buffer is not tried again.
        let (Counted { bytes, sum, .. }, _) = lines.into_parts();
        // Onto the disk, not only to the kernel. A pipe has no disk.
        let written = written.and_then(|()| match self.file.sync_data() {
            Err(error) if !self.regular && error.kind() == ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        });
        match written {
            Ok(()) => (self.bytes, self.sum) = (bytes, sum),
            // The lines before it are whole, and so is the file again.
            Err(_) if self.regular && self.file.metadata().is_ok_and(|there| there.len() > self.bytes) => {
                let _ = self.file.set_len(self.bytes);
            }
            Err(_) => {}
        }
        written
    }

    /// What became of the file since, if what was written is not what is there.
    pub(super) fn fault(&self) -> Option<String> {
        if !self.regular {
            return None;
        }
        match self.path.metadata() {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => {
                return Some("was removed, moved or renamed".into());
            }
            Ok(_) if self.is_another() => {
                // As a copy that was put back.
                let there = input::open(&self.path, u64::MAX).ok().filter(|there| self.is_whole(there));
                return there.is_none().then(|| "has another file in its place".into());
            }
            // Who may not look at the folder any more still has the file, as long as it has a name.
            _ => {}
        }
        match self.is_whole(&self.file) && self.has_a_name() {
            true => None,
            false => Some("was changed by something else".into()),
        }
    }

    /// Whether all that was written is there, and nothing else.
    fn is_whole(&self, mut file: &File) -> bool {
        let sum = file.seek(SeekFrom::Start(0)).and_then(|_| checksum(file, self.bytes));
        sum.is_ok_and(|sum| sum == Some(self.sum.clone().finalize()))
    }

    #[cfg(unix)]
    fn has_a_name(&self) -> bool {
        self.file.metadata().is_ok_and(|there| std::os::unix::fs::MetadataExt::nlink(&there) > 0)
    }

    #[cfg(not(unix))]
    fn has_a_name(&self) -> bool {
        true
    }

    /// Removes the file, in which there is nothing that is worth to be kept.
    pub(super) fn remove(self) {
        if self.regular && !self.is_another() {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Whether what lies at the path is not the file that was written.
    #[cfg(unix)]
    fn is_another(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let id = |there: std::fs::Metadata| (there.dev(), there.ino());
        let (there, ours) = (self.path.metadata().map(id), self.file.metadata().map(id));
        !matches!((there, ours), (Ok(there), Ok(ours)) if there == ours)
    }

    #[cfg(not(unix))]
    fn is_another(&self) -> bool {
        !self.path.exists()
    }
}

/// How long a reader of a pipe is waited for, which may have been started at the same moment.
#[cfg(target_os = "linux")]
const READER: Duration = Duration::from_secs(2);

/// Opens a device or a pipe. A pipe that nobody reads is waited for no longer than a moment.
#[cfg(target_os = "linux")]
fn open_other(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.write(true).custom_flags(libc::O_NONBLOCK);
    let started = Instant::now();
    let file = loop {
        match options.open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                if started.elapsed() > READER {
                    return Err(io::Error::new(ErrorKind::NotFound, "it is a pipe that nobody reads"));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => break opened?,
        }
    };
    // From here on a reader may take its time.
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - rustix::fs::OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(not(target_os = "linux"))]
fn open_other(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

/// Writes to a file, and knows what.
struct Counted<'a> {
    file: &'a File,
    bytes: u64,
    sum: crc32fast::Hasher,
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.sum.update(buffer.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Of a file that has so many bytes; `None` of one that has not.
fn checksum(file: &File, bytes: u64) -> io::Result<Option<u32>> {
    let (mut sum, mut found) = (crc32fast::Hasher::new(), 0);
    let mut rest = file.take(bytes.saturating_add(1));
    let mut piece = vec![0; PIECE];
    loop {
        match rest.read(&mut piece)? {
            0 => return Ok((found == bytes).then(|| sum.finalize())),
            read => {
                sum.update(piece.get(..read).unwrap_or_default());
                found += read as u64;
            }
        }
    }
}

/// Whether a recording there would take the place of something; a link to nothing is something, too.
pub(super) fn is_taken(path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(there) => there.is_file() || there.is_dir(),
        Err(_) => path.is_symlink(),
    }
}

/// The name, and others like it for where it is taken: `a.jsonl`, `a-2.jsonl`, `a-3.jsonl` and so on.
pub(super) fn names(path: &Path) -> impl Iterator<Item = PathBuf> {
    let stem = path.file_stem().unwrap_or_default().to_os_string();
    let extension = path.extension().map(|extension| extension.to_os_string());
    let numbered = move |number: u32| {
        let mut name = stem.clone();
        name.push(format!("-{number}"));
        if let Some(extension) = &extension {
            name.push(".");
            name.push(extension);
        }
        path.with_file_name(name)
    };
    std::iter::once(path.to_owned()).chain((2..NAMES).map(numbered))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path) -> Sink {
        let mut sink = Sink::create(path).unwrap();
        for line in ["one", "two"] {
            sink.line(&line).unwrap();
        }
        sink
    }

    #[test]
    fn what_became_of_the_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/a.jsonl");
        let sink = written(&path);
        assert_eq!(sink.fault(), None);
        let whole = std::fs::read(&path).unwrap();
        for spoilt in [&b""[..], b"\"one\"\n", b"\"one\"\n\"twu\"\n", b"\"one\"\n\"two\"\n\n"] {
            std::fs::write(&path, spoilt).unwrap();
            assert_eq!(sink.fault().unwrap(), "was changed by something else");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(sink.fault().unwrap(), "was removed, moved or renamed");
        std::fs::write(&path, "another").unwrap();
        assert_eq!(sink.fault().unwrap(), "has another file in its place");
        std::fs::write(&path, whole).unwrap();
        assert_eq!(sink.fault(), None, "what was written is there");
    }

    #[test]
    fn a_line_after_a_cut_is_at_the_end_and_not_behind_a_hole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut sink = written(&path);
        File::options().write(true).open(&path).unwrap().set_len(6).unwrap();
        sink.line(&"three").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"one\"\n\"three\"\n");
    }

    #[test]
    fn names_that_are_taken_are_counted_on() {
        let of = |path: &str| names(Path::new(path)).take(3).map(|name| name.display().to_string()).collect::<Vec<_>>();
        assert_eq!(of("x/a.b.jsonl"), ["x/a.b.jsonl", "x/a.b-2.jsonl", "x/a.b-3.jsonl"]);
        assert_eq!(of("a"), ["a", "a-2", "a-3"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_way_to_the_file_any_more_has_moved_it() {
        let folder = tempfile::tempdir().unwrap();
        let (deep, path) = (folder.path().join("deep"), folder.path().join("deep/a.jsonl"));
        let sink = written(&path);
        std::fs::rename(&deep, folder.path().join("elsewhere")).unwrap();
        std::fs::write(&deep, "no folder").unwrap();
        assert_eq!(sink.fault().unwrap(), "was removed, moved or renamed");
        std::fs::remove_file(&deep).unwrap();
        std::os::unix::fs::symlink(&deep, &deep).unwrap();
        assert_eq!(sink.fault().unwrap(), "was removed, moved or renamed");
        std::fs::remove_file(&deep).unwrap();
        std::fs::rename(folder.path().join("elsewhere"), &deep).unwrap();
        assert_eq!(sink.fault(), None);
    }

    #[test]
    fn a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "mine").unwrap();
        let error = Sink::create(&path.join("b.jsonl")).err().unwrap();
        assert_eq!(error.to_string(), format!("{} is no folder", path.display()));
        // Of another fault the system says what it is.
        assert_eq!(Sink::create(&path.join("b/c.jsonl")).err().unwrap().kind(), ErrorKind::NotADirectory);
        assert_eq!(Sink::create(&path).err().unwrap().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    /// Fails after more than fits into a piece.
    struct Fails(usize);

    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::{Error, SerializeSeq};
            let mut list = serializer.serialize_seq(None)?;
            list.serialize_element(&"x".repeat(self.0))?;
            Err(S::Error::custom("no more"))
        }
    }

    #[test]
    fn a_line_that_fails_leaves_nothing_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut sink = written(&path);
        assert!(sink.line(&Fails(3 * PIECE)).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"one\"\n\"two\"\n");
        assert_eq!(sink.fault(), None);
        sink.line(&"x".repeat(3 * PIECE)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 12 + 3 * PIECE as u64 + 3);
        assert_eq!(sink.fault(), None);
        // Nothing is put in the place of what somebody cut.
        File::options().write(true).open(&path).unwrap().set_len(6).unwrap();
        assert!(sink.line(&Fails(1)).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"one\"\n");
    }

    #[test]
    fn only_the_file_itself_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        written(&path).remove();
        assert!(!path.exists());
        let sink = written(&path);
        std::fs::rename(&path, folder.path().join("b.jsonl")).unwrap();
        std::fs::write(&path, "another").unwrap();
        sink.remove();
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
        #[cfg(unix)]
        {
            let null = folder.path().join("null");
            std::os::unix::fs::symlink("/dev/null", &null).unwrap();
            let sink = written(&null);
            assert_eq!(sink.fault(), None);
            sink.remove();
            assert!(null.is_symlink());
        }
    }
}
