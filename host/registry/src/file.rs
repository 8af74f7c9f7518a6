//! Reads files that are on this machine: regular ones, up to a size.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("{0}")]
    System(#[from] io::Error),
    #[error("it is no regular file")]
    Irregular,
    #[error("it has more than {0} bytes")]
    TooLong(u64),
}

impl From<Unread> for io::Error {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::System(error) => error,
            other => Self::other(other.to_string()),
        }
    }
}

/// All of a regular file of at most `max` bytes. Nothing waits for somebody to write into a pipe. Without `follow`, a link in the
/// last place is refused where the system can.
pub(crate) fn read(path: &Path, max: u64, follow: bool) -> Result<Vec<u8>, Unread> {
    let file = open(path, follow)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Unread::Irregular);
    }
    if metadata.len() > max {
        return Err(Unread::TooLong(max));
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(Unread::TooLong(max)) } else { Ok(bytes) }
}

fn open(path: &Path, follow: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;
        let flags = if follow { OFlags::NONBLOCK } else { OFlags::NONBLOCK | OFlags::NOFOLLOW };
        options.custom_flags(flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    let _ = follow;
    options.open(path)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_of_a_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "12345").unwrap();
        symlink("file", path("link")).unwrap();
        symlink("loop", path("loop")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap();
        assert!(fifo.success());
        File::create(path("sparse")).unwrap().set_len(20 << 30).unwrap();
        assert_eq!(read(&path("file"), 5, false).unwrap(), b"12345");
        assert_eq!(read(&path("link"), 5, true).unwrap(), b"12345");
        assert!(matches!(read(&path("file"), 4, true), Err(Unread::TooLong(4))));
        assert!(matches!(read(&path("sparse"), 1 << 20, true), Err(Unread::TooLong(_))));
        assert!(matches!(read(&path("link"), 5, false), Err(Unread::System(_))));
        assert!(matches!(read(&path("loop"), 5, true), Err(Unread::System(_))));
        for name in ["fifo", "."] {
            assert!(matches!(read(&path(name), 5, true), Err(Unread::Irregular)), "{name}");
        }
        assert!(matches!(read(Path::new("/dev/zero"), 5, true), Err(Unread::Irregular)));
    }
}
