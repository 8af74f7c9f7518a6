//! Whether the file that the loader will take is whole.
//!
//! The loader maps a library without looking at how long its file is. Where the end is missing, as after an installation that a full
//! disk ended, it touches pages that are not there, which ends the process by SIGBUS. So the file is looked for where the loader
//! looks, and its length is compared with what its headers say. What is not found here is left to the loader.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most of a library that its headers are looked for in.
const HEADERS: u64 = 64 << 10;
/// The most that the loader's list of libraries may be long.
const LIST: u64 = 64 << 20;
/// The list.
const LIST_PATH: &str = "/etc/ld.so.cache";
/// Where the loader looks last.
const USUAL: [&str; 4] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// Why the file of that name, or at that path, can't be a library that is whole.
pub(crate) fn check(name: &OsStr) -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let path = Path::new(name);
    let found = if path.components().count() > 1 { Some(path.to_owned()) } else { find(name) };
    match found.and_then(|path| Some((read(&path, HEADERS)?, std::fs::metadata(&path).ok()?.len(), path))) {
        Some((bytes, length, path)) => match whole_length(&bytes) {
            Some(whole) if whole > length => Err(format!("{} has {length} bytes of {whole}", path.display())),
            _ => Ok(()),
        },
        None => Ok(()),
    }
}

/// Only of regular files: a pipe would be waited for.
fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// As ld.so(8) looks for it: `LD_LIBRARY_PATH`, its list, the usual folders.
fn find(name: &OsStr) -> Option<PathBuf> {
    let folders = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    // The loader takes semicolons, too.
    let folders = folders.to_str().unwrap_or_default().split([':', ';']).filter(|folder| !folder.is_empty());
    let in_folder = |folder: &str| Some(Path::new(folder).join(name)).filter(|path| path.is_file());
    folders
        .filter_map(in_folder)
        .next()
        .or_else(|| listed(&read(Path::new(LIST_PATH), LIST)?, name.to_str()?))
        .or_else(|| USUAL.into_iter().find_map(in_folder))
}

/// The first path of that name in the loader's list: a header of 48 bytes, entries of 24 with two offsets of texts, the texts.
fn listed(list: &[u8], name: &str) -> Option<PathBuf> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    // An older list may lie before it.
    let start = list.windows(MAGIC.len()).position(|bytes| bytes == MAGIC)?;
    let list = &list[start..];
    let number = |at: usize| Some(u32::from_le_bytes(list.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize);
    let text = |at: usize| std::str::from_utf8(list.get(at..)?.split(|byte| *byte == 0).next()?).ok();
    (0..number(20)?)
        .map(|entry| 48 + entry * 24)
        .take_while(|entry| *entry < list.len())
        .find_map(|entry| (text(number(entry + 4)?)? == name).then(|| text(number(entry + 8)?).map(PathBuf::from))?)
}

/// How long a library's file must be by its headers, if it is one for 64 bits, of bytes in this machine's usual order.
fn whole_length(bytes: &[u8]) -> Option<u64> {
    const LOAD: u64 = 1;
    let number = |at: u64, size: usize| {
        let at = usize::try_from(at).ok()?;
        let mut whole = [0; 8];
        whole[..size].copy_from_slice(bytes.get(at..at.checked_add(size)?)?);
        Some(u64::from_le_bytes(whole))
    };
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    (0..count)
        .map(|entry| table.checked_add(entry * size))
        .filter_map(|entry| entry.filter(|entry| number(*entry, 4) == Some(LOAD)))
        .filter_map(|entry| number(entry.checked_add(8)?, 8)?.checked_add(number(entry.checked_add(32)?, 8)?))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_was_cut_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let library = fake_nvml::install(folder.path(), "normal").unwrap();
        assert_eq!(check(library.as_os_str()), Ok(()));
        let whole = whole_length(&std::fs::read(&library).unwrap()).unwrap();
        let file = File::options().write(true).open(&library).unwrap();
        file.set_len(whole - 1).unwrap();
        let damage = check(library.as_os_str()).unwrap_err();
        assert!(damage.ends_with(&format!(" has {} bytes of {whole}", whole - 1)), "{damage}");
        // Too short for headers: the loader says it.
        for length in [0, 10, 64] {
            file.set_len(length).unwrap();
            assert_eq!(check(library.as_os_str()), Ok(()), "{length}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_loaders_list_is_read() {
        let Some(list) = read(Path::new(LIST_PATH), LIST) else { return };
        let path = listed(&list, "libc.so.6").unwrap();
        assert!(path.ends_with("libc.so.6") && path.is_file(), "{path:?}");
        assert_eq!(listed(&list, "libno-such.so"), None);
    }

    #[test]
    fn headers_of_nonsense_are_no_headers() {
        let mut bytes = vec![0xff; 200];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(whole_length(&bytes), None);
        assert_eq!(listed(b"glibc-ld.so.cache1.1\xff\xff\xff\xff", "x"), None);
    }
}
