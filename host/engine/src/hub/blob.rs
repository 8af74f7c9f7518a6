//! One file: what the hub announces of it, and its bytes, which are kept only if they are that.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use harness_core::format::count;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName};
use reqwest::{Method, StatusCode, Url};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::cache::Repo;
use super::client::{Answer, Client, Fault, Follow, Kind};
use super::environment::is_plain;
use super::observer::Watcher;

/// How often bytes that are not what was announced are fetched.
const FETCHES: u32 = 2;

/// What the hub says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// The blob's name.
    etag: String,
    hash: Hash,
    size: Option<u64>,
}

/// How the etag follows from the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    /// Of files in large file storage.
    Sha256,
    /// Git's: of `blob SIZE\0` and the bytes.
    GitSha1,
    /// A mirror's own: then the size alone is checked.
    Unknown,
}

/// Why a file is not here.
#[derive(Debug)]
pub(super) enum Failed {
    Hub(Fault),
    /// What is to be done here can't be.
    Here(String),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Hub(fault)
    }
}

/// A file that is to be fetched.
pub(super) struct Wanted<'a> {
    pub(super) file: &'a str,
    pub(super) url: Url,
    /// The most bytes that it may have; `None` of weights, whose size must be announced.
    pub(super) most: Option<u64>,
}

pub(super) struct Fetching<'a> {
    pub(super) runtime: &'a tokio::runtime::Runtime,
    pub(super) client: &'a Client,
    pub(super) repo: &'a Repo,
    pub(super) watcher: &'a Watcher,
    /// Whether it was said that a file has no hash.
    pub(super) unhashed: Cell<bool>,
}

impl Announced {
    fn read(answer: &Answer) -> Result<Self, Fault> {
        let wrong = |what: &str| Err(wrong(what));
        let own = answer.status().is_success();
        let linked = answer.named("x-linked-etag");
        let Some(etag) = linked.or_else(|| answer.header(&ETAG).filter(|_| own)).map(normal) else {
            return wrong("it does not say which bytes the file has (no ETag)");
        };
        if !is_plain(etag) {
            return wrong("it says by no name which bytes the file has (ETag)");
        }
        let number = |name: &HeaderName| answer.header(name).and_then(|text| text.trim().parse::<u64>().ok());
        let size =
            number(&HeaderName::from_static("x-linked-size")).or_else(|| number(&CONTENT_LENGTH).filter(|_| own));
        let is_hex = etag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let hash = match etag.len() {
            64 if is_hex => Hash::Sha256,
            40 if is_hex => Hash::GitSha1,
            _ => Hash::Unknown,
        };
        if hash == Hash::Unknown && size.is_none() {
            return wrong("it announces neither the file's hash nor its size");
        }
        Ok(Self { etag: etag.into(), hash, size })
    }

    /// Whether these are the bytes of the file. `Ok(None)` if they are, else what is wrong with them.
    fn check(&self, path: &Path) -> io::Result<Option<String>> {
        let mut file = File::open(path)?;
        let found = file.metadata()?.len();
        if let Some(size) = self.size.filter(|size| *size != found) {
            return Ok(Some(format!("{} bytes came, and the hub announced {}", count(found), count(size))));
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let found = match self.hash {
            Hash::Unknown => return Ok(None),
            Hash::Sha256 => hex(&digest(Sha256::new(), &mut file)?),
            Hash::GitSha1 => hex(&digest(Sha1::new_with_prefix(format!("blob {found}\0")), &mut file)?),
        };
        Ok((found != self.etag).then(|| format!("their hash is {found}, and the hub announced {}", self.etag)))
    }
}

fn digest<D: Digest>(mut hash: D, file: &mut File) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().to_vec()),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What is said where a file can't be kept, and what to do.
pub(super) fn not_kept(place: &Path, error: &io::Error) -> String {
    let advice = match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
            "make room there (df, df -i), or set HF_HUB_CACHE to a folder elsewhere"
        }
        (io::ErrorKind::FileTooLarge, _) => "raise or lift the limit on the size of files (ulimit -f)",
        (_, Some(libc::EMFILE)) => "raise the limit on open files (ulimit -n)",
        _ => "set HF_HUB_CACHE to a folder in which you may write",
    };
    format!("it can't be kept in {} ({error}); {advice}", place.display())
}

/// An etag without what HTTP puts around it.
fn normal(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

impl Fetching<'_> {
    /// Has the file among the blobs, and returns the blob's name.
    pub(super) fn fetch(&self, wanted: &Wanted<'_>) -> Result<String, Failed> {
        let announced = self.again(|| {
            self.runtime.block_on(async {
                let head = self.client.send(Method::HEAD, wanted.url.clone(), 0, Follow::Own, true).await?;
                Announced::read(&head).map_err(Failed::from)
            })
        })?;
        match (wanted.most, announced.size) {
            (None, None) => return Err(wrong("it does not announce the size of the weights").into()),
            (Some(most), Some(size)) if size > most => return Err(too_large(Some(size), most).into()),
            _ => {}
        }
        let here = |error: io::Error| Failed::Here(not_kept(&self.repo.blobs(), &error));
        let waits = || {
            self.watcher.tell(|w| w.note(&format!("waiting for another process that downloads {}", wanted.file)));
        };
        let lock = self.repo.lock(&announced.etag, self.client.times().patience, waits).map_err(here)?;
        let blob = self.repo.blob(&announced.etag);
        self.tell_unhashed(wanted, &announced);
        match announced.check(&blob) {
            Ok(None) => return Ok(announced.etag),
            // It is fetched again and takes the other's place.
            Ok(Some(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(here(error)),
        }
        let part = self.repo.part(&announced.etag, &lock);
        if announced.hash == Hash::Unknown {
            // Two halves of different files could not be told apart.
            remove(&part).map_err(here)?;
        }
        self.check_room(&announced, &part)?;
        for fetch in 1.. {
            self.again(|| self.gather(wanted, &announced, &part))?;
            let Some(wrong) = announced.check(&part).map_err(here)? else { break };
            remove(&part).map_err(here)?;
            if fetch == FETCHES {
                return Err(self::wrong(format!("what came is not what was announced: {wrong}")).into());
            }
            self.watcher.tell(|w| w.note(&format!("{} is fetched again: {wrong}", wanted.file)));
        }
        self.repo.keep(&part, &announced.etag).map_err(here)?;
        let size = fs::metadata(&blob).map_err(here)?.len();
        self.watcher.tell(|w| w.file_finished(wanted.file, size));
        tracing::debug!("{} is kept; {} is free", blob.display(), lock.path().display());
        Ok(announced.etag)
    }

    /// Says once what is not checked.
    fn tell_unhashed(&self, wanted: &Wanted<'_>, announced: &Announced) {
        if announced.hash == Hash::Unknown && !self.unhashed.replace(true) {
            let hub = self.client.shown();
            self.watcher.tell(|w| {
                w.note(&format!("{hub} announces no hash of {}: of such files only the size is checked", wanted.file));
            });
        }
    }

    /// Tries again what failed on the way, a few times.
    pub(super) fn again<T>(&self, mut work: impl FnMut() -> Result<T, Failed>) -> Result<T, Failed> {
        let mut pause = self.client.times().pause;
        for _ in 0..2 {
            match work() {
                Err(Failed::Hub(fault)) if fault.passes() => {
                    tracing::info!("tried again after {fault:?}");
                    std::thread::sleep(pause);
                    pause *= 4;
                }
                done => return done,
            }
        }
        work()
    }

    fn check_room(&self, announced: &Announced, part: &Path) -> Result<(), Failed> {
        let have = fs::metadata(part).map_or(0, |part| part.len());
        let more = announced.size.unwrap_or(0).saturating_sub(have);
        match free(&self.repo.blobs()) {
            Some(free) if more > free => Err(Failed::Here(format!(
                "{} bytes of it are still to come, and {} has room for {}; make room, or set HF_HUB_CACHE to a folder \
                 with more",
                count(more),
                self.repo.blobs().display(),
                count(free)
            ))),
            _ => Ok(()),
        }
    }

    /// Gathers the file's bytes behind those of an earlier try. What was gathered stays when it ends early.
    fn gather(&self, wanted: &Wanted<'_>, announced: &Announced, part: &Path) -> Result<(), Failed> {
        let here = |error: io::Error| Failed::Here(not_kept(part, &error));
        let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(here)?;
        let mut have = file.metadata().map_err(here)?.len();
        if announced.size.is_some_and(|size| have > size) || announced.hash == Hash::Unknown {
            file.set_len(0).map_err(here)?;
            have = 0;
        }
        if have > 0 && announced.size == Some(have) {
            return Ok(());
        }
        self.runtime.block_on(async {
            let ask =
                |from| self.client.send(Method::GET, wanted.url.clone(), from, Follow::All, wanted.most.is_some());
            let mut answer = match ask(have).await {
                Err(Fault { kind: Kind::Status(StatusCode::RANGE_NOT_SATISFIABLE), .. }) if have > 0 => ask(0).await?,
                answer => answer?,
            };
            let goes_on = answer.status() == StatusCode::PARTIAL_CONTENT
                && answer.header(&CONTENT_RANGE).is_some_and(|range| range.starts_with(&format!("bytes {have}-")));
            if !goes_on {
                if answer.status() == StatusCode::PARTIAL_CONTENT {
                    answer = ask(0).await?;
                }
                if answer.status() != StatusCode::OK {
                    return Err(answer.fault(Kind::Status(answer.status())).into());
                }
                file.set_len(0).map_err(here)?;
                have = 0;
            }
            self.watcher.tell(|w| w.file_started(wanted.file, have, announced.size));
            let so_far = |have: u64| {
                let of = announced.size.map(|size| format!(" of {}", count(size))).unwrap_or_default();
                format!("after {}{of} bytes", count(have))
            };
            while let Some(chunk) = answer.chunk().await.map_err(|fault| fault.after(&so_far(have)))? {
                have += chunk.len() as u64;
                file.write_all(&chunk).map_err(here)?;
                self.watcher.tell(|w| w.bytes_received(have));
                // Whatever it is, it is not what was announced, as a look at it will show.
                if announced.size.is_some_and(|size| have > size) {
                    break;
                }
                if let Some(most) = wanted.most.filter(|most| have > *most) {
                    remove(part).map_err(here)?;
                    return Err(too_large(None, most).into());
                }
            }
            if announced.size.is_some_and(|size| have < size) {
                return Err(answer.fault(Kind::Broken(format!("it ended {}", so_far(have)))).into());
            }
            file.sync_all().map_err(here)
        })
    }
}

fn too_large(size: Option<u64>, most: u64) -> Fault {
    let size = size.map_or_else(|| "more".into(), |size| format!("{} bytes", count(size)));
    wrong(format!("it has {size}, and at most {} bytes of it are read", count(most)))
}

fn wrong(what: impl Into<String>) -> Fault {
    Fault::of_hub(Kind::Wrong(what.into()))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes that can still be written where the folder is or will be.
fn free(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    return folder.ancestors().find_map(|folder| {
        let disk = rustix::fs::statvfs(folder).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    });
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}
