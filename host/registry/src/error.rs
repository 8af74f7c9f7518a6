//! What can go wrong with an artifact: what, where, and what to do.

use std::path::PathBuf;

use crate::private_folder::FolderError;

/// Why there is no artifact, or why it did not get to the registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No reference.
    #[error("'{text}' names no artifact: {what}; write oci://REGISTRY/NAME:TAG or oci://REGISTRY/NAME@sha256:DIGEST")]
    Malformed {
        /// As the user wrote it.
        text: String,
        /// What is wrong with it.
        what: String,
    },
    /// A reference without a digest, where one is needed.
    #[error(
        "{reference} has no digest, and a tag can name something else tomorrow; `harness plugin pull {reference}` prints the \
         reference to use, with its digest"
    )]
    Unpinned {
        /// Which.
        reference: String,
    },
    /// A digest where none can be.
    #[error("{reference} has a digest, which comes of what is pushed; push to a tag, as in oci://REGISTRY/NAME:TAG")]
    PinnedPush {
        /// Which.
        reference: String,
    },
    /// The network may not be used.
    #[error("{what}, and --offline (or `offline` in the configuration) forbids to {action}; leave it out once{more}")]
    Offline {
        /// What there is not.
        what: String,
        /// `fetch it` and the like.
        action: &'static str,
        /// Where it was looked for, or empty.
        more: String,
    },
    /// The registry has no such thing.
    #[error("{reference}: the registry has no such {what}; check the name, and whether you may see it")]
    NotFound {
        /// Which.
        reference: String,
        /// `artifact` or `component`.
        what: &'static str,
    },
    /// The registry wants to know who asks, or knows and says no.
    #[error("{reference}: {registry} refuses access{reason}; {remedy}")]
    Refused {
        /// Which.
        reference: String,
        /// Where.
        registry: String,
        /// What it said, after a colon; or empty.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// Not a plugin's artifact, or not one as it should be.
    #[error("{reference} can't be used: {what}. {remedy}")]
    Artifact {
        /// Which.
        reference: String,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// What the registry sent is not what was asked for.
    #[error(
        "{reference}: what {registry} sent is not what was asked for: {what}; nothing of it was kept. Try again; if it stays so, \
         the registry or something on the way to it is broken or lies"
    )]
    Tampered {
        /// Which.
        reference: String,
        /// Where from.
        registry: String,
        /// What differs.
        what: String,
    },
    /// No answer, or none that can be read.
    #[error("{reference}: no answer from {registry} that can be used: {reason}{hint}")]
    Network {
        /// Which.
        reference: String,
        /// Where.
        registry: String,
        /// What happened.
        reason: String,
        /// What may help, after a semicolon; or empty.
        hint: &'static str,
    },
    /// An address that a registry named, and that harness does not go to or does not show a password to.
    #[error("{reference}: {registry} leads where harness does not go: {what}")]
    Address {
        /// Which.
        reference: String,
        /// Where.
        registry: String,
        /// Which address, and what is wrong with it.
        what: String,
    },
    /// A file of the cache is not what its name says.
    #[error("{path} is damaged: {what}; delete it, and leave --offline out once to fetch it again")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The cache is not this user's alone.
    #[error("can't use the cache of plugins, which HARNESS_ARTIFACTS names if it is set: {0}")]
    Folder(FolderError),
    /// The cache can't be read or written.
    #[error("can't use the cache of plugins {path}: {source}; name another folder in HARNESS_ARTIFACTS")]
    Cache {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl RegistryError {
    /// Whether another argument, artifact or configuration would help; otherwise the network failed on the way.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Network { .. })
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat what is under them.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
