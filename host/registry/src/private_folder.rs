//! Folders of which harness believes what is in them: nobody else may be able to put anything there.

use std::io;
use std::path::{Path, PathBuf};

/// Why nothing is kept in a folder, and nothing is taken from it.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// What it would be depends on where harness was started.
    #[error("the folder {path} is not given by an absolute path; name one that starts with '/'")]
    Relative {
        /// As it was given.
        path: PathBuf,
    },
    /// It can't be made or looked at.
    #[error("the folder {path} can't be used: {source}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its owner can change what is in it.
    #[error("the folder {path} belongs to another user (number {owner}); delete it if that may be")]
    Foreign {
        /// Which: the folder, a link to it, or a folder above it.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
    },
    /// Others can change what is in it.
    #[error(
        "other users can write into the folder {path} (its mode is {mode:o}), so what is in it may be anybody's; delete it, and \
         harness makes it anew with the mode 700"
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Others can put another folder in its place.
    #[error(
        "other users can replace the folder {path}, because they can write into {above} (its mode is {mode:o}); take that from \
         them (`chmod o-w`, and `g-w` for a group)"
    )]
    Replaceable {
        /// Which.
        path: PathBuf,
        /// The folder above it.
        above: PathBuf,
        /// The permissions of that.
        mode: u32,
    },
}

/// Makes the folder, if it isn't there, with the mode 0700 as every folder above it that has to be made; and checks that nobody
/// but this user (and root) can change what is in it, or put another one in its place. Links on the way are followed where they
/// are this user's or root's.
///
/// Where the system has no such permissions, only that the path is absolute is checked.
///
/// # Errors
///
/// The path is not absolute; the folder can't be made; it belongs to somebody else; others can write into it, or into one above it
/// that doesn't keep them from replacing what is in it (the sticky bit).
pub fn private_folder(path: &Path) -> Result<(), FolderError> {
    if !path.is_absolute() {
        return Err(FolderError::Relative { path: path.to_owned() });
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| FolderError::Unusable { path: path.to_owned(), source })?;
    #[cfg(unix)]
    unix::check(path, unix::this_user())?;
    Ok(())
}

#[cfg(unix)]
mod unix {
    use std::collections::BTreeSet;
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const ROOT: u32 = 0;
    /// Whom the system shows as the owner of what is from outside a container's users.
    const NOBODY: u32 = 65534;
    const STICKY: u32 = 0o1000;
    const GROUP: u32 = 0o020;
    const OTHERS: u32 = 0o002;

    #[derive(Clone, Copy)]
    pub(super) struct User {
        pub(super) user: u32,
        pub(super) group: u32,
    }

    pub(super) fn this_user() -> User {
        User { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() }
    }

    pub(super) fn check(path: &Path, me: User) -> Result<(), FolderError> {
        let unusable = |path: &Path, source| FolderError::Unusable { path: path.to_owned(), source };
        let real = path.canonicalize().map_err(|source| unusable(path, source))?;
        let found = real.metadata().map_err(|source| unusable(path, source))?;
        if !found.is_dir() {
            return Err(unusable(path, io::Error::from(io::ErrorKind::NotADirectory)));
        }
        if found.uid() != me.user {
            return Err(FolderError::Foreign { path: path.to_owned(), owner: found.uid() });
        }
        if found.mode() & (GROUP | OTHERS) != 0 {
            return Err(FolderError::Open { path: path.to_owned(), mode: found.mode() & 0o7777 });
        }
        // As it was given, and as it is when links are resolved: who can change either can put another folder there.
        for link in path.ancestors() {
            let link_found = link.symlink_metadata().map_err(|source| unusable(link, source))?;
            if link_found.is_symlink() {
                belongs(link, &link_found, me)?;
            }
        }
        let above: BTreeSet<&Path> = path.ancestors().skip(1).chain(real.ancestors().skip(1)).collect();
        for above in above {
            let found = above.metadata().map_err(|source| unusable(above, source))?;
            belongs(above, &found, me)?;
            let mode = found.mode();
            // A group of one's own is what many systems give each user.
            let writable = mode & OTHERS != 0 || (mode & GROUP != 0 && found.gid() != me.group && found.gid() != ROOT);
            if writable && mode & STICKY == 0 {
                return Err(FolderError::Replaceable {
                    path: path.to_owned(),
                    above: above.to_owned(),
                    mode: mode & 0o7777,
                });
            }
        }
        Ok(())
    }

    fn belongs(path: &Path, found: &Metadata, me: User) -> Result<(), FolderError> {
        match [me.user, ROOT, NOBODY].contains(&found.uid()) {
            true => Ok(()),
            false => Err(FolderError::Foreign { path: path.to_owned(), owner: found.uid() }),
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::unix::{User, check, this_user};
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn it_is_made_for_this_user_alone() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        private_folder(&folder).unwrap();
        private_folder(&folder).unwrap();
        assert_eq!((mode(&folder), mode(&place.path().join("a"))), (0o700, 0o700));
        for fine in [0o755, 0o750, 0o700] {
            set(&folder, fine);
            private_folder(&folder).unwrap();
            assert_eq!(mode(&folder), fine);
        }
    }

    #[test]
    fn a_relative_path_is_refused() {
        for path in ["", ".", "cache", "./cache", ".cache/harness/artifacts"] {
            let error = private_folder(Path::new(path)).unwrap_err();
            assert!(
                matches!(error, FolderError::Relative { .. }) && !Path::new(path).join("artifacts").exists(),
                "{error}"
            );
        }
    }

    #[test]
    fn what_others_can_write_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        private_folder(&folder).unwrap();
        for open in [0o777, 0o770, 0o702, 0o720, 0o1777] {
            set(&folder, open);
            let error = private_folder(&folder).unwrap_err();
            assert!(matches!(error, FolderError::Open { mode, .. } if mode == open), "{open:o}: {error}");
            assert!(error.to_string().contains(&format!("(its mode is {open:o})")), "{error}");
        }
        set(&folder, 0o700);
        let above = place.path().join("a");
        set(&above, 0o777);
        let error = private_folder(&folder).unwrap_err().to_string();
        assert!(error.contains("can replace the folder") && error.contains("(its mode is 777)"), "{error}");
        // As /tmp is.
        set(&above, 0o1777);
        private_folder(&folder).unwrap();
        set(&above, 0o770);
        private_folder(&folder).unwrap();
        let stranger = User { group: this_user().group + 1, ..this_user() };
        // The group's number of root says nothing: what is root's, root gave it.
        if this_user().group != 0 {
            assert!(matches!(check(&folder, stranger), Err(FolderError::Replaceable { .. })));
        }
    }

    #[test]
    fn what_others_own_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a");
        private_folder(&folder).unwrap();
        let me = this_user();
        let error = check(&folder, User { user: me.user + 1, ..me }).unwrap_err();
        assert!(matches!(error, FolderError::Foreign { owner, .. } if owner == me.user), "{error}");
        assert!(error.to_string().contains(&format!("belongs to another user (number {})", me.user)), "{error}");
        // Only root can give files away.
        if me.user == 0 {
            std::os::unix::fs::chown(&folder, Some(4242), None).unwrap();
            assert!(matches!(private_folder(&folder), Err(FolderError::Foreign { owner: 4242, .. })));
            let inner = folder.join("mine");
            fs::create_dir(&inner).unwrap();
            let error = private_folder(&inner).unwrap_err();
            assert!(matches!(&error, FolderError::Foreign { path, owner: 4242 } if *path == folder), "{error}");
            let link = place.path().join("link");
            fs::create_dir(place.path().join("target")).unwrap();
            symlink("target", &link).unwrap();
            std::os::unix::fs::lchown(&link, Some(4242), None).unwrap();
            assert!(matches!(private_folder(&link), Err(FolderError::Foreign { owner: 4242, .. })));
        }
    }

    #[test]
    fn links_are_followed_to_what_is_checked() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("open/inner")).unwrap();
        set(&at("open/inner"), 0o700);
        set(&at("open"), 0o777);
        symlink(at("open/inner"), at("link")).unwrap();
        let error = private_folder(&at("link")).unwrap_err();
        assert!(matches!(&error, FolderError::Replaceable { above, .. } if above.ends_with("open")), "{error}");
        set(&at("open"), 0o755);
        private_folder(&at("link")).unwrap();
        symlink("/dev/null", at("null")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("round", at("round")).unwrap();
        fs::write(at("file"), "").unwrap();
        for name in ["null", "dangling", "round", "file", "file/inner"] {
            let error = private_folder(&at(name)).unwrap_err();
            assert!(matches!(error, FolderError::Unusable { .. }), "{name}: {error}");
        }
    }
}
