//! What a text that names a plugin means.

use std::path::Path;

use harness_bundle::builtin;
use harness_registry::Reference;

/// What a text that names a plugin means, if the configuration has no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// A built-in plugin, or one that the configuration names.
    Name,
    /// An artifact of a registry.
    Reference,
    /// A file: it has a folder or an extension.
    File,
}

impl Meant {
    /// By its form; nothing is looked up.
    pub(crate) fn by(text: &str) -> Self {
        let path = Path::new(text);
        if Reference::is_meant(text) {
            Self::Reference
        } else if builtin(text).is_some() {
            Self::Name
        } else if text.contains(std::path::is_separator) || path.extension().is_some() || text.starts_with('.') {
            Self::File
        } else {
            Self::Name
        }
    }

    /// The file, made relative to a folder, if it is one.
    pub(crate) fn anchored(text: &str, folder: &Path) -> String {
        match Self::by(text) {
            Self::File => folder.join(text).display().to_string(),
            Self::Name | Self::Reference => text.to_owned(),
        }
    }
}
