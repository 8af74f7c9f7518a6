//! What a report gives.

/// What a report gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// For the terminal, or one file.
    Text(String),
    /// Files that the host writes under the output folder.
    Files(Vec<Artifact>),
}

/// A file that the host writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// A plain file name: no folders.
    pub name: String,
    /// Such as `image/svg+xml`.
    pub media_type: String,
    /// The file's bytes.
    pub contents: Vec<u8>,
}
