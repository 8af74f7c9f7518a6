//! What a report plugin made.

/// What a report plugin made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// For the terminal, or one file. May hold control characters: see `harness_core::text::visible`.
    Text(String),
    /// Files, each with a name that is one file's in one folder.
    Files(Vec<Artifact>),
}

/// A file that a report plugin made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// A plain file name.
    pub name: String,
    /// Such as `text/html`.
    pub media_type: String,
    /// The bytes.
    pub contents: Vec<u8>,
}
