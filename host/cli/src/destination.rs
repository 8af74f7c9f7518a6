//! Where something is written, and how far whoever named the place is followed.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer};

use crate::failure::Failure;
use crate::{file_names, files, written};

/// A place for a file, or for a folder of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    path: PathBuf,
    by: By,
}

/// Who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    /// The user. What is replaced there is what the path says: a relative one is not led elsewhere by a link, which a stranger
    /// may have put into the folder.
    User,
    /// A configuration that was found.
    Found(Bounds),
}

/// The folder that a configuration was found in: it names nothing that is not below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// With its links resolved.
    folder: PathBuf,
}

/// Why nothing is written.
#[derive(Debug)]
pub(crate) enum Unwritable {
    /// It may not be, as the rest of a sentence.
    Refused(String),
    /// It could not be.
    Failed(io::Error),
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Unwritable {
    /// As a command's failure; `message` says what this is about.
    pub(crate) fn failure(&self, message: impl ToString) -> Failure {
        match self {
            Self::Refused(_) => Failure::usage(message),
            Self::Failed(error) => Failure::of_place(error.kind(), message),
        }
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PathBuf::deserialize(deserializer).map(Self::named)
    }
}

impl Destination {
    /// One that the user named.
    pub(crate) fn named(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), by: By::User }
    }

    /// The same place, now that it is known that a configuration that was found names it.
    pub(crate) fn confine(&mut self, bounds: &Bounds) -> Result<(), String> {
        bounds.writable(&self.path)?;
        self.by = By::Found(bounds.clone());
        Ok(())
    }

    /// Relative to the folder.
    pub(crate) fn anchor(&mut self, folder: &Path) {
        self.path = folder.join(&self.path);
    }

    /// As it was named.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A place in this folder, which may be led as far as it.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> Self {
        Self { path: self.path.join(name), by: self.by.clone() }
    }

    /// Where it is, for what makes new files there and replaces none.
    pub(crate) fn for_new(&self) -> Result<PathBuf, Failure> {
        match &self.by {
            By::User => Ok(self.path.clone()),
            By::Found(bounds) => bounds
                .writable(&self.path)
                .map_err(|why| Failure::usage(format!("nothing can be written to {}: {why}", self.path.display()))),
        }
    }

    /// Where it is, of which a stranger may choose what is in it.
    pub(crate) fn resolved(&self) -> Result<PathBuf, Unwritable> {
        match &self.by {
            By::User => unled(&self.path),
            By::Found(bounds) => bounds.writable(&self.path),
        }
        .map_err(Unwritable::Refused)
    }

    /// Refuses what [`Self::put`] would refuse because of what is there now.
    pub(crate) fn check(&self) -> Result<PathBuf, Unwritable> {
        let path = self.resolved()?;
        match (&self.by, path.symlink_metadata()) {
            (By::Found(_), Ok(there)) if !there.is_dir() && !written::is_ours(&path) => {
                Err(Unwritable::Refused(format!(
                    "there is a file {} already that harness did not write for the configuration found here, or that was changed \
                 since; move it away, or name the place yourself, by a flag or with --config",
                    self.path.display()
                )))
            }
            _ => Ok(path),
        }
    }

    /// Writes a file there, whole or not at all, in the place of what is there if that may be replaced.
    pub(crate) fn put(&self, contents: &[u8]) -> Result<(), Unwritable> {
        let path = self.check()?;
        match self.by {
            By::User => files::replace(&path, contents).map_err(Unwritable::Failed),
            By::Found(_) => {
                match path.symlink_metadata() {
                    Err(error) if error.kind() == ErrorKind::NotFound => files::create(&path, contents),
                    _ => files::replace(&path, contents),
                }
                .map_err(Unwritable::Failed)?;
                written::remember(&path, contents).map_err(|error| {
                    Unwritable::Failed(io::Error::new(
                        error.kind(),
                        format!(
                            "it is written, but can't be remembered, so the next run will not replace it ({error})"
                        ),
                    ))
                })
            }
        }
    }
}

impl Bounds {
    /// The present folder.
    pub(crate) fn here() -> io::Result<Self> {
        Ok(Self { folder: std::env::current_dir()?.canonicalize()? })
    }

    /// The real place of a path below, links resolved, of which there need not be a file yet; or why it is not below.
    pub(crate) fn below(&self, path: &Path) -> Result<PathBuf, String> {
        if path.components().any(|part| part == Component::ParentDir) {
            return Err("it has '..' in it".into());
        }
        let real = real(&self.folder.join(path))?;
        match (real.starts_with(&self.folder), path.is_absolute()) {
            (true, _) => Ok(real),
            (false, true) => Err("it is outside of the configuration's folder".into()),
            (false, false) => Err(format!("a link leads it out of this folder, to {}", real.display())),
        }
    }

    /// The same for what is written.
    fn writable(&self, path: &Path) -> Result<PathBuf, String> {
        let real = self.below(path)?;
        for part in real.strip_prefix(&self.folder).unwrap_or(&real).components() {
            let name = part.as_os_str().to_string_lossy();
            if let Some(why) = file_names::fault(&name) {
                return Err(format!("'{}' is no name for a file here: {why}", name));
            }
        }
        Ok(real)
    }
}

/// The place that the user means by a path, or why it is another: one in the present folder is not led out of it by a link, nor
/// to what is hidden in it, such as a repository's hooks.
fn unled(path: &Path) -> Result<PathBuf, String> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let cant = |error: io::Error| format!("the present folder can't be found ({error})");
    let here = Bounds::here().map_err(cant)?.folder;
    // Out of the present folder by its own words.
    let Some(plain) = plain(path) else { return Ok(path.to_owned()) };
    let real = real(&here.join(path))?;
    let hidden = |path: &Path| path.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
    match real.strip_prefix(&here) {
        Ok(inside) if inside == plain || !hidden(inside) => Ok(real),
        _ => Err(format!("a link leads it to {}; if you mean that place, name it", real.display())),
    }
}

/// The path without '.' and '..'; `None` where it climbs out.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            Component::ParentDir => return None,
            part => plain.push(part),
        }
    }
    Some(plain)
}

/// The part of an absolute path that is there, its links resolved, and the rest, which is not there yet.
fn real(path: &Path) -> Result<PathBuf, String> {
    let cant = |path: &Path, error: &io::Error| format!("{} can't be looked at ({error})", path.display());
    let (mut there, mut missing) = (path, Vec::new());
    while let Err(error) = there.symlink_metadata() {
        match (there.parent(), there.file_name()) {
            (Some(parent), Some(name)) if error.kind() == ErrorKind::NotFound => {
                missing.push(name);
                there = parent;
            }
            _ => return Err(cant(there, &error)),
        }
    }
    let mut real = match there.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!("{} is a link to what is not there", there.display()));
        }
        Err(error) => return Err(cant(there, &error)),
        Ok(real) => real,
    };
    real.extend(missing.into_iter().rev());
    Ok(real)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with all kinds of links in it.
    fn folder() -> (tempfile::TempDir, Bounds) {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        let folder = root.join("clone");
        for made in ["clone/sub", "clone/.git/hooks", "home"] {
            std::fs::create_dir_all(root.join(made)).unwrap();
        }
        std::fs::write(root.join("home/.bashrc"), "mine").unwrap();
        for (to, link) in [
            ("../home", "out"),
            ("../home/.bashrc", "figures.csv"),
            ("sub", "inside"),
            (".git/hooks", "hooks"),
            ("../home/new", "nothing"),
            ("loop", "loop"),
            ("../../home", "sub/up"),
        ] {
            symlink(to, folder.join(link)).unwrap();
        }
        (place, Bounds { folder })
    }

    #[test]
    fn a_found_configuration_writes_below_its_folder_only() {
        let (_place, bounds) = folder();
        for path in ["a.csv", "sub/a.csv", "inside/a.csv", "new/folder/a.csv", "./a.csv", ".", "sub/./a"] {
            assert!(bounds.writable(Path::new(path)).unwrap().starts_with(&bounds.folder), "{path}");
        }
        let absolute = bounds.folder.join("a.csv");
        assert_eq!(bounds.writable(&absolute).unwrap(), absolute);
        for (path, why) in [
            ("../a.csv", "'..'"),
            ("sub/../a.csv", "'..'"),
            ("/etc/passwd", "outside"),
            ("/tmp", "outside"),
            ("out/a.csv", "a link leads it out of this folder"),
            ("out/deep/a.csv", "a link leads it out of this folder"),
            ("sub/up/.bashrc", "a link leads it out of this folder"),
            ("figures.csv", "a link leads it out of this folder"),
            ("nothing", "a link to what is not there"),
            ("nothing/a", "a link to what is not there"),
            ("loop", "can't be looked at"),
            ("hooks/pre-commit", "'.git' is no name"),
            (".envrc", "'.envrc' is no name"),
            (".cargo/config.toml", "'.cargo' is no name"),
            ("sub/.x/a", "'.x' is no name"),
            ("harness.toml", "configuration"),
            ("Harness.toml", "configuration"),
            ("csv", "built-in plugin csv"),
            ("-rf", "'-rf' is no name"),
            ("NUL.txt", "device"),
        ] {
            let found = bounds.writable(Path::new(path)).unwrap_err();
            assert!(found.contains(why), "{path}: {found}");
        }
    }

    #[test]
    fn what_is_below_can_be_read_whatever_its_name() {
        let (_place, bounds) = folder();
        assert!(bounds.below(Path::new(".git/config")).is_ok() && bounds.below(Path::new("none.wasm")).is_ok());
        assert!(bounds.below(Path::new("out/mine.wasm")).is_err() && bounds.below(Path::new("/mine.wasm")).is_err());
    }

    #[test]
    fn paths_are_made_plain() {
        let of = |path: &str| plain(Path::new(path)).map(|path| path.display().to_string());
        assert_eq!(of("./a/../b/./c").as_deref(), Some("b/c"));
        assert_eq!(of("."), Some(String::new()));
        assert_eq!((of(".."), of("a/../../b")), (None, None));
    }
}
