//! The one place where a file is opened that a user named or a stranger made.
//!
//! Only regular files within a bound are read. What may never end or never answer (a pipe, a device, a socket) is
//! refused before it can, and so is a file that is too large: nothing of it is read. A file that grows meanwhile is
//! read to its bound and no further.

#![allow(unsafe_code, reason = "the test makes a named pipe, which the standard library can't")]

use std::fs::{File, FileType, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::format::count;

/// Why a file can't be read: which, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("can't read {}: {fault}", path.display())]
pub struct InputError {
    /// The file as it was named.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

impl InputError {
    /// Whether there is nothing of that name.
    pub fn is_missing(&self) -> bool {
        matches!(&self.fault, Fault::System(error) if error.kind() == ErrorKind::NotFound)
    }
}

/// What is wrong with a file. Its text goes behind a colon.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Something else than a file.
    #[error("{0}")]
    NoFile(Other),
    /// Links that lead nowhere.
    #[error("its links lead in a circle, or there are too many of them")]
    Links,
    /// The path is longer than the system takes.
    #[error("its name is longer than this system allows")]
    NameTooLong,
    /// More than is read.
    #[error("{}, and at most {} bytes of it are read", size(*found), count(*most))]
    TooLarge {
        /// Its bytes; `None` where it grew past the bound while it was read.
        found: Option<u64>,
        /// The bound.
        most: u64,
    },
    /// Bytes that are no UTF-8.
    #[error("it is no text in UTF-8: byte {} in line {line} belongs to no character", count(*byte as u64))]
    NoText {
        /// From 1, of the file.
        byte: usize,
        /// From 1.
        line: usize,
    },
    /// What the system said.
    #[error("{0}")]
    System(io::Error),
}

fn size(found: Option<u64>) -> String {
    found.map_or_else(|| "it grew while it was read".to_owned(), |bytes| format!("it has {} bytes", count(bytes)))
}

/// What is there in the place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// A folder.
    Folder,
    /// A named or unnamed pipe.
    Pipe,
    /// A socket.
    Socket,
    /// Such as /dev/zero or a terminal.
    CharacterDevice,
    /// Such as a disk.
    BlockDevice,
    /// What this system calls otherwise.
    Unknown,
}

impl std::fmt::Display for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Folder => "it is a folder, and a file is wanted",
            Self::Pipe => {
                "it is a pipe, which may never end, and only files are read: write what comes out of it to a file"
            }
            Self::Socket => "it is a socket, and only files are read",
            Self::CharacterDevice => "it is a character device, which may never end, and only files are read",
            Self::BlockDevice => "it is a block device, and only files are read",
            Self::Unknown => "it is no regular file, and only those are read",
        })
    }
}

impl Other {
    /// `None` of a regular file.
    fn of(kind: FileType) -> Option<Self> {
        if kind.is_file() {
            return None;
        }
        if kind.is_dir() {
            return Some(Self::Folder);
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt;
            if kind.is_fifo() {
                return Some(Self::Pipe);
            }
            if kind.is_socket() {
                return Some(Self::Socket);
            }
            if kind.is_char_device() {
                return Some(Self::CharacterDevice);
            }
            if kind.is_block_device() {
                return Some(Self::BlockDevice);
            }
        }
        Some(Self::Unknown)
    }
}

/// Opens a regular file of at most `most` bytes. Whoever reads it must read no more than that: it can grow.
pub fn open(path: &Path, most: u64) -> Result<File, InputError> {
    // Asked first, because opening alone makes some devices do something.
    let opened = std::fs::metadata(path).map_err(system).and_then(|there| {
        check(&there, most)?;
        let file = options().open(path).map_err(system)?;
        // Another may have taken its place.
        check(&file.metadata().map_err(system)?, most)?;
        Ok(file)
    });
    opened.map_err(|fault| InputError { path: path.to_owned(), fault })
}

/// Reads a regular file of at most `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, InputError> {
    let file = open(path, most)?;
    let mut bytes = Vec::new();
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(system);
    let fault = match read {
        Ok(read) if read as u64 > most => Fault::TooLarge { found: None, most },
        Ok(_) => return Ok(bytes),
        Err(fault) => fault,
    };
    Err(InputError { path: path.to_owned(), fault })
}

/// Reads a regular file of at most `most` bytes that is text.
pub fn read_text(path: &Path, most: u64) -> Result<String, InputError> {
    String::from_utf8(read(path, most)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1;
        InputError { path: path.to_owned(), fault: Fault::NoText { byte: at + 1, line } }
    })
}

fn check(there: &Metadata, most: u64) -> Result<(), Fault> {
    match Other::of(there.file_type()) {
        Some(other) => Err(Fault::NoFile(other)),
        None if there.len() > most => Err(Fault::TooLarge { found: Some(there.len()), most }),
        None => Ok(()),
    }
}

fn system(error: io::Error) -> Fault {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ELOOP) {
        return Fault::Links;
    }
    match error.kind() {
        ErrorKind::InvalidFilename => Fault::NameTooLong,
        _ => Fault::System(error),
    }
}

fn options() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    // A pipe that took the file's place must not hold us up until somebody writes to it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(path: &Path, most: u64) -> String {
        read(path, most).unwrap_err().fault.to_string()
    }

    #[test]
    fn a_file_within_its_bound_is_read_and_one_over_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(fault(&path, 3), "it has 4 bytes, and at most 3 bytes of it are read");
        let sparse = folder.path().join("sparse");
        File::create(&sparse).unwrap().set_len(20_000_000_000).unwrap();
        assert_eq!(fault(&sparse, 1000), "it has 20,000,000,000 bytes, and at most 1,000 bytes of it are read");
        let missing = read(&folder.path().join("none"), 1).unwrap_err();
        assert!(missing.is_missing() && !read(&sparse, 1).unwrap_err().is_missing());
    }

    #[test]
    fn what_is_no_text_is_said_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"one\ntwo \xff").unwrap();
        let error = read_text(&path, 100).unwrap_err().to_string();
        let shown = path.display();
        assert_eq!(
            error,
            format!("can't read {shown}: it is no text in UTF-8: byte 9 in line 2 belongs to no character")
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(fault(folder.path(), 9), "it is a folder, and a file is wanted");
        let fifo = std::ffi::CString::new(at("fifo").to_str().unwrap()).unwrap();
        // SAFETY: the path ends in a zero.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        assert!(fault(&at("fifo"), 9).starts_with("it is a pipe, which may never end"));
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert_eq!(fault(&at("socket"), 9), "it is a socket, and only files are read");
        assert!(fault(Path::new("/dev/zero"), 9).starts_with("it is a character device"));
        for (one, other) in [("a", "b"), ("b", "a")] {
            std::os::unix::fs::symlink(at(other), at(one)).unwrap();
        }
        assert!(fault(&at("a"), 9).starts_with("its links lead in a circle"));
        assert!(fault(&at(&"x".repeat(5000)), 9).starts_with("its name is longer"));
        // Files of the kernel say that they have no bytes.
        assert!(matches!(
            read(Path::new("/proc/self/status"), 10).unwrap_err().fault,
            Fault::TooLarge { found: None, .. }
        ));
        assert!(!read(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty());
    }

    /// A pipe that took a file's place must not wait for somebody who writes to it.
    #[cfg(target_os = "linux")]
    #[test]
    fn to_open_a_pipe_waits_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends in a zero.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let (opened, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || opened.send(options().open(path).is_ok()));
        assert_eq!(wait.recv_timeout(std::time::Duration::from_secs(20)), Ok(true));
    }
}
