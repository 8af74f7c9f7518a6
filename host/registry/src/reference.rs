//! How an artifact is named.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::RegistryError;

const SCHEME: &str = "oci://";

/// `oci://REGISTRY/NAME` with a tag, a digest or both. With both the digest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Never without a tag or a digest.
    oci: oci_client::Reference,
    digest: Option<Digest>,
}

impl Reference {
    /// Whether the text is meant as a reference, and not as a file or a name.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The host, with its port where one is given.
    pub fn registry(&self) -> &str {
        self.oci.registry()
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.oci.tag()
    }

    /// Whether it has a digest, so that it can only name one artifact.
    pub fn is_pinned(&self) -> bool {
        self.digest.is_some()
    }

    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same artifact by its digest alone.
    pub(crate) fn pinned(&self, digest: Digest) -> Self {
        Self { oci: self.oci.clone_with_digest(digest.as_str().to_owned()), digest: Some(digest) }
    }

    pub(crate) fn oci(&self) -> &oci_client::Reference {
        &self.oci
    }

    /// Whether the registry is this machine: `localhost`, or an address that can be nothing else.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.registry().split(':').next().unwrap_or_default();
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let wrong = |what: &str| RegistryError::Malformed { text: text.to_owned(), what: what.to_owned() };
        let name = text.strip_prefix(SCHEME).unwrap_or(text);
        // OCI tools take a name without a registry for one of Docker Hub's.
        let registry = name.split_once('/').map_or("", |(registry, _)| registry);
        if !(registry == "localhost" || registry.contains(['.', ':'])) {
            return Err(wrong("it names no registry"));
        }
        let oci = oci_client::Reference::try_from(name).map_err(|error| wrong(&error.to_string()))?;
        // They also take one without a tag for the tag 'latest'.
        let last = name.rsplit('/').next().unwrap_or_default();
        if !last.contains([':', '@']) {
            return Err(wrong("it has neither a tag nor a digest"));
        }
        let digest = oci.digest().map(|digest| digest.parse::<Digest>()).transpose().map_err(|what| wrong(&what))?;
        Ok(Self { oci, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.oci)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn parsed(text: &str) -> Reference {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_reference_is_read_with_and_without_its_scheme() {
        for text in ["localhost/mine:1", "ghcr.io/team/mine:0.1.0", "127.0.0.1:5000/a/b/c:latest"] {
            let reference = parsed(text);
            assert_eq!(reference.to_string(), format!("oci://{text}"));
            assert_eq!(parsed(&reference.to_string()), reference);
            assert!(!reference.is_pinned());
        }
        let reference = parsed(&format!("oci://ghcr.io/team/mine@{DIGEST}"));
        assert_eq!((reference.registry(), reference.tag()), ("ghcr.io", None));
        assert_eq!(reference.digest().unwrap().as_str(), DIGEST);
        let both = parsed(&format!("oci://ghcr.io/team/mine:1@{DIGEST}"));
        assert_eq!(both.pinned(both.digest().unwrap().clone()), reference);
    }

    #[test]
    fn what_names_nothing_for_certain_is_refused() {
        for (text, what) in [
            ("", "names no registry"),
            ("oci://", "names no registry"),
            ("oci://mine:1", "names no registry"),
            ("oci://team/mine:1", "names no registry"),
            ("oci://ghcr.io/mine", "neither a tag nor a digest"),
            ("oci://localhost:5000/mine", "neither a tag nor a digest"),
            ("oci://ghcr.io/Mine:1", "invalid reference format"),
            ("oci://ghcr.io/../mine:1", "invalid reference format"),
            ("oci://user:password@ghcr.io/mine:1", "invalid reference format"),
            ("oci://ghcr.io/mine@sha256:abc", "invalid"),
            (&format!("oci://ghcr.io/mine@{}", DIGEST.to_uppercase()), "unsupported digest algorithm"),
            (&format!("oci://ghcr.io/mine@sha256:{}", DIGEST[7..].to_uppercase()), "lower-case"),
            (&format!("oci://ghcr.io/mine@sha384:{}", "0".repeat(96)), "lower-case"),
            ("https://ghcr.io/mine:1", "invalid reference format"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (registry, loopback) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("10.0.0.1:5000", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com", false),
        ] {
            assert_eq!(parsed(&format!("{registry}/mine:1")).is_loopback(), loopback, "{registry}");
        }
    }
}
