//! How an artifact is named.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::text::shown;

const SCHEME: &str = "oci://";
/// Of bytes, as the OCI distribution specification has them.
const MOST_NAME: usize = 255;
const MOST_TAG: usize = 128;

/// `oci://REGISTRY/NAME` with a tag, a digest or both. With both the digest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    /// Never without a digest where there is no tag.
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Whether the text is meant as a reference, and not as a file or a name.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The host, with its port where one is given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
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
        Self { registry: self.registry.clone(), repository: self.repository.clone(), tag: None, digest: Some(digest) }
    }

    /// The name in the registry.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// Which host answers for the registry.
    pub(crate) fn host(&self) -> &str {
        if self.registry == "docker.io" { "index.docker.io" } else { &self.registry }
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
        // It may come from a configuration that was found somewhere.
        let wrong = |what: &str| RegistryError::Malformed { text: shown(text, 300), what: shown(what, 300) };
        // OCI tools take a name without a registry for one of Docker Hub's, and one without a tag for the tag 'latest'. Here
        // nothing is guessed.
        let (registry, rest) = text.strip_prefix(SCHEME).unwrap_or(text).split_once('/').unwrap_or_default();
        if !(registry == "localhost" || registry.contains(['.', ':'])) {
            return Err(wrong("it names no registry"));
        }
        if !is_registry(registry) {
            return Err(wrong(&format!("'{registry}' is no registry, which is HOST or HOST:PORT")));
        }
        let (rest, digest) = split(rest, '@');
        let (repository, tag) = split(rest, ':');
        if !is_repository(repository) {
            return Err(wrong(&format!(
                "'{repository}' is no name; it has lower-case letters and digits, between them '.', '_', '-' and '/'"
            )));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(wrong(&format!("'{tag}' is no tag; it has letters, digits, '.', '_' and '-'")));
        }
        let digest = digest.map(|digest| digest.parse::<Digest>()).transpose().map_err(|what| wrong(&what))?;
        if tag.is_none() && digest.is_none() {
            return Err(wrong("it has neither a tag nor a digest"));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// What is before the separator, and what is after it if it is there.
fn split(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = split(text, ':');
    let is_label = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !(label.is_empty() || label.starts_with('-') || label.ends_with('-'))
    };
    host.split('.').all(is_label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// The grammar of `<name>` in the OCI distribution specification: components of lower-case letters and digits with `.`, `_`, `__`
/// or any number of `-` between.
fn is_repository(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_component = |component: &str| {
        let ends = [component.bytes().next(), component.bytes().next_back()];
        ends.iter().all(|end| end.is_some_and(is_word))
            && component
                .split(|character: char| character.is_ascii() && is_word(character as u8))
                .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'))
    };
    text.len() <= MOST_NAME && text.split('/').all(is_component)
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=MOST_TAG).contains(&text.len())
        && text.bytes().enumerate().all(|(at, byte)| is_word(byte) || (at > 0 && matches!(byte, b'.' | b'-')))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
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
        for text in ["localhost/mine:1", "ghcr.io/team/my--own__mine.x:0.1.0_a-B", "127.0.0.1:5000/a/b_2/c:latest"] {
            let reference = parsed(text);
            assert_eq!(reference.to_string(), format!("oci://{text}"));
            assert_eq!(parsed(&reference.to_string()), reference);
            assert!(!reference.is_pinned());
        }
        let reference = parsed(&format!("oci://ghcr.io/team/mine@{DIGEST}"));
        assert_eq!((reference.registry(), reference.repository(), reference.tag()), ("ghcr.io", "team/mine", None));
        assert_eq!(reference.digest().unwrap().as_str(), DIGEST);
        let both = parsed(&format!("oci://ghcr.io/team/mine:1@{DIGEST}"));
        assert_eq!(both.pinned(both.digest().unwrap().clone()), reference);
        assert_eq!(both.to_string(), format!("oci://ghcr.io/team/mine:1@{DIGEST}"));
        assert_eq!((reference.host(), parsed("docker.io/library/mine:1").host()), ("ghcr.io", "index.docker.io"));
    }

    #[test]
    fn what_names_nothing_for_certain_is_refused() {
        let (long_name, long_tag) = ("a".repeat(256), "1".repeat(129));
        for (text, what) in [
            ("", "names no registry"),
            ("oci://", "names no registry"),
            ("oci://mine:1", "names no registry"),
            ("oci://team/mine:1", "names no registry"),
            ("oci://ghcr.io/mine", "neither a tag nor a digest"),
            ("oci://localhost:5000/mine", "neither a tag nor a digest"),
            ("oci://user:password@ghcr.io/mine:1", "is no registry"),
            ("oci://ghcr.io:/mine:1", "is no registry"),
            ("oci://ghcr.io:0/mine:1", "is no registry"),
            ("oci://ghcr.io:65536/mine:1", "is no registry"),
            ("oci://ghcr..io/mine:1", "is no registry"),
            ("oci://-ghcr.io/mine:1", "is no registry"),
            ("oci://ghcr.io?x=/mine:1", "is no registry"),
            ("oci://[::1]:5000/mine:1", "is no registry"),
            ("https://ghcr.io/mine:1", "is no registry"),
            ("oci://ghcr.io/Mine:1", "'Mine' is no name"),
            ("oci://ghcr.io/:1", "'' is no name"),
            ("oci://ghcr.io/../mine:1", "'../mine' is no name"),
            ("oci://ghcr.io/team//mine:1", "'team//mine' is no name"),
            ("oci://ghcr.io/team/:1", "'team/' is no name"),
            ("oci://ghcr.io/a..b:1", "is no name"),
            ("oci://ghcr.io/a___b:1", "is no name"),
            ("oci://ghcr.io/a._b:1", "is no name"),
            ("oci://ghcr.io/mine?:1", "is no name"),
            ("oci://ghcr.io/mïne:1", "is no name"),
            (&format!("oci://ghcr.io/{long_name}:1"), "is no name"),
            ("oci://ghcr.io/m\u{1b}[2J\u{202e}\n:1", "'m\\u{1b}[2J\\u{202e} ' is no name"),
            ("oci://ghcr.io/mine:", "'' is no tag"),
            ("oci://ghcr.io/mine:.1", "'.1' is no tag"),
            ("oci://ghcr.io/mine:1:2", "'1:2' is no tag"),
            ("oci://ghcr.io/mine:1/2", "'1/2' is no tag"),
            (&format!("oci://ghcr.io/mine:{long_tag}"), "is no tag"),
            ("oci://ghcr.io/mine@sha256:abc", "lower-case"),
            ("oci://ghcr.io/mine@", "lower-case"),
            (&format!("oci://ghcr.io/mine@{}", DIGEST.to_uppercase()), "lower-case"),
            (&format!("oci://ghcr.io/mine@sha256:{}", DIGEST[7..].to_uppercase()), "lower-case"),
            (&format!("oci://ghcr.io/mine@sha384:{}", "0".repeat(96)), "lower-case"),
            (&format!("oci://ghcr.io/mine@{DIGEST}@{DIGEST}"), "lower-case"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(what) && error.len() < 900 && !error.contains('\n'), "{text}: {error}");
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
