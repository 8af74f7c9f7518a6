//! What the rest of harness asks for: a component by its reference, from the cache or from where it names.

use std::path::PathBuf;

use crate::cache::Cache;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::layout::{self, Artifact, Layer, MOST_MANIFEST};
use crate::network::{Network, Times, Wanted, Wire};
use crate::reference::Reference;

/// What the user says of registries.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of what was fetched, by an absolute path: see [`private_folder`](crate::private_folder). Without one nothing is
    /// kept, and everything is fetched each time.
    pub cache: Option<PathBuf>,
    /// Nothing is fetched or sent.
    pub offline: bool,
    /// Registries, with their ports, that are spoken to in plain HTTP. Those on this machine are anyway.
    pub plain_http: Vec<String>,
}

/// Registries, and the cache before them.
#[derive(Clone, Debug)]
pub struct Registry {
    cache: Option<Cache>,
    offline: bool,
    wire: Wire,
}

/// A component that was found and checked.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// By its digest alone: what to write where a plugin is named.
    pub reference: Reference,
    /// Its bytes.
    pub component: Vec<u8>,
    /// Where they are kept, if they are.
    pub path: Option<PathBuf>,
}

impl Registry {
    /// Nothing is opened yet.
    pub fn new(options: Options) -> Self {
        let wire = Wire { plain_http: options.plain_http, ..Wire::default() };
        Self { cache: options.cache.map(Cache::new), offline: options.offline, wire }
    }

    /// How long a pull or a push may take, instead of the default.
    #[must_use]
    pub fn with_times(mut self, times: Times) -> Self {
        self.wire.times = times;
        self
    }

    /// For tests in TLS: certificates are checked against these authorities (in DER) and none of the system's.
    #[doc(hidden)]
    #[must_use]
    pub fn with_roots(mut self, roots: Vec<Vec<u8>>) -> Self {
        self.wire.roots = roots;
        self
    }

    /// The component that a reference with a digest names.
    ///
    /// # Errors
    ///
    /// A reference without a digest, and all that [`Self::pull`] can meet.
    pub fn component(&self, reference: &Reference) -> Result<Vec<u8>, RegistryError> {
        match reference.is_pinned() {
            true => Ok(self.pull(reference)?.component),
            false => Err(RegistryError::Unpinned { reference: reference.to_string() }),
        }
    }

    /// Fetches what is not in the cache yet, and keeps it. A tag is looked up in the registry each time.
    ///
    /// # Errors
    ///
    /// No such artifact, one that is no component, bytes that are not what their digest says, no access, no network, a cache that
    /// can't be used.
    pub fn pull(&self, reference: &Reference) -> Result<Pulled, RegistryError> {
        let mut line = Line { wire: &self.wire, reference, network: None };
        let (digest, manifest) = match reference.digest() {
            Some(digest) => {
                let wanted = Wanted::Manifest(digest.as_str());
                (digest.clone(), self.blob(&mut line, digest, wanted, MOST_MANIFEST, "its manifest")?)
            }
            None => self.by_tag(&mut line)?,
        };
        let Layer { digest: component, size } = layout::layer(&manifest).map_err(|what| RegistryError::Artifact {
            reference: reference.to_string(),
            what,
            remedy: "It is no component that `harness plugin push` or `wkg oci push` made; check that this is the one you meant",
        })?;
        let bytes = self.blob(&mut line, &component, Wanted::Blob(component.as_str()), size, "its component")?;
        if bytes.len() as u64 != size {
            return Err(RegistryError::Artifact {
                reference: reference.to_string(),
                what: format!("its manifest says that the component has {size} bytes, and it has {}", bytes.len()),
                remedy: "Whoever pushed it has to push it again",
            });
        }
        let path = self.cache.as_ref().map(|cache| cache.path(&component));
        Ok(Pulled { reference: reference.pinned(digest), component: bytes, path })
    }

    /// Sends a component to where a reference with a tag says, and returns the reference to what is there now.
    ///
    /// # Errors
    ///
    /// A reference with a digest or without a tag, no access, no network.
    pub fn push(&self, reference: &Reference, artifact: &Artifact<'_>) -> Result<Reference, RegistryError> {
        if reference.is_pinned() {
            return Err(RegistryError::PinnedPush { reference: reference.to_string() });
        }
        if self.offline {
            return Err(self.offline(format!("{reference} is in a registry"), "send anything there", String::new()));
        }
        let unusable = |what: String| RegistryError::Artifact {
            reference: reference.to_string(),
            what,
            remedy: "Nothing was sent",
        };
        if artifact.component.len() as u64 > layout::MOST_COMPONENT {
            let (size, most) = (artifact.component.len(), layout::MOST_COMPONENT);
            return Err(unusable(format!("the component has {size} bytes, and {most} are the most")));
        }
        let documents = layout::documents(artifact).map_err(|error| unusable(error.to_string()))?;
        Network::to_push(reference, &self.wire)?.push(artifact.component, &documents)?;
        Ok(reference.pinned(Digest::of(&documents.manifest)))
    }

    /// Bytes by their digest: from the cache, or fetched, checked and kept.
    fn blob(
        &self,
        line: &mut Line<'_>,
        digest: &Digest,
        wanted: Wanted<'_>,
        most: u64,
        what: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        let reference = line.reference;
        match self.cache.as_ref().map(|cache| cache.get(digest)).transpose() {
            Ok(Some(Some(bytes))) => return Ok(bytes),
            Ok(_) if self.offline => {
                let more = match &self.cache {
                    Some(cache) => format!(" (there is no {})", cache.path(digest).display()),
                    None => ", with a folder in HARNESS_ARTIFACTS, by its absolute path, to keep it in".into(),
                };
                return Err(self.offline(format!("{what} of {reference} is not on this machine"), "fetch it", more));
            }
            Ok(_) => {}
            Err(error @ RegistryError::Damaged { .. }) if !self.offline => {
                tracing::warn!(target: "harness::note", "fetching {reference} again: {error}");
            }
            Err(error) => return Err(error),
        }
        let network = line.network()?;
        let bytes = network.get(wanted, most)?;
        match Digest::of(&bytes) {
            found if found == *digest => {}
            found => {
                return Err(
                    network.tampered(format!("{what} has the digest {found} ({} bytes), not {digest}", bytes.len()))
                );
            }
        }
        self.keep(digest, &bytes)?;
        Ok(bytes)
    }

    /// What a tag names now.
    fn by_tag(&self, line: &mut Line<'_>) -> Result<(Digest, Vec<u8>), RegistryError> {
        let reference = line.reference;
        let tag = reference.tag().unwrap_or_default();
        if self.offline {
            return Err(self.offline(
                format!("only its registry knows what {reference} is now"),
                "ask it",
                ", or give the reference with its digest".into(),
            ));
        }
        let manifest = line.network()?.get(Wanted::Manifest(tag), MOST_MANIFEST)?;
        let digest = Digest::of(&manifest);
        self.keep(&digest, &manifest)?;
        Ok((digest, manifest))
    }

    fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<(), RegistryError> {
        self.cache.as_ref().map_or(Ok(()), |cache| cache.put(digest, bytes))
    }

    fn offline(&self, what: String, action: &'static str, more: String) -> RegistryError {
        RegistryError::Offline { what, action, more }
    }
}

/// The way to a reference's registry, made when it is needed first.
struct Line<'a> {
    wire: &'a Wire,
    reference: &'a Reference,
    network: Option<Network<'a>>,
}

impl<'a> Line<'a> {
    fn network(&mut self) -> Result<&mut Network<'a>, RegistryError> {
        let network = match self.network.take() {
            Some(network) => network,
            None => Network::to_pull(self.reference, self.wire)?,
        };
        Ok(self.network.insert(network))
    }
}
