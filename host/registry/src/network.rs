//! The wire: requests to one registry, each bounded in time and in what is taken of the answer.

use std::time::Duration;

use oci_client::RegistryOperation;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};

use crate::credentials;
use crate::error::{RegistryError, chain};
use crate::layout::{Documents, MANIFEST};
use crate::reference::Reference;

const CONNECT_TIME: Duration = Duration::from_secs(20);
/// Between two bytes.
const SILENCE: Duration = Duration::from_secs(60);
/// Of one request with its answer.
const REQUEST_TIME: Duration = Duration::from_secs(1800);
const AGENT: &str = concat!("harness/", env!("CARGO_PKG_VERSION"));

/// What a `GET` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// By a tag or a digest.
    Manifest(&'a str),
    /// A component, by its digest.
    Blob(&'a str),
}

/// A connection to the registry of one reference.
pub(crate) struct Network<'a> {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    reference: &'a Reference,
    plain: bool,
}

/// How a request shows who asks.
enum Authorization {
    Token(String),
    Basic(String, String),
}

impl<'a> Network<'a> {
    /// Nothing is sent yet. `plain` is HTTP without TLS.
    pub(crate) fn new(reference: &'a Reference, plain: bool) -> Result<Self, RegistryError> {
        // There is one provider in this binary, but rustls wants to be told. A second time does nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |reason| broken(reference, reason, "");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(format!("the network can't be used ({error})")))?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .read_timeout(SILENCE)
            .timeout(REQUEST_TIME)
            .user_agent(AGENT)
            // A registry may send a client elsewhere for a blob, but not out of TLS.
            .https_only(!plain);
        if plain {
            // Else a machine without certificates could not speak with a registry that needs none.
            builder = builder.tls_certs_only([]);
        }
        if reference.is_loopback() {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| failed(no_tls(&error)))?;
        Ok(Self { runtime, http, reference, plain })
    }

    /// Fetches at most `most` bytes, and fails where there are more.
    pub(crate) fn get(&self, wanted: Wanted<'_>, most: u64) -> Result<Vec<u8>, RegistryError> {
        self.runtime.block_on(async {
            let mut response = self.send(wanted, None).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                let authorization = self.authorization().await?;
                response = self.send(wanted, authorization).await?;
            }
            match response.status() {
                StatusCode::OK => self.body(response, most).await,
                StatusCode::NOT_FOUND => Err(RegistryError::NotFound {
                    reference: self.reference.to_string(),
                    what: match wanted {
                        Wanted::Manifest(_) => "artifact",
                        Wanted::Blob(_) => "component, though it has the artifact",
                    },
                }),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refused("")),
                status => Err(self.failed(format!("it answered {status}"))),
            }
        })
    }

    /// Sends the component, then what names it. Nothing can be pulled before the last is there.
    pub(crate) fn push(&self, component: &[u8], documents: &Documents) -> Result<(), RegistryError> {
        self.runtime.block_on(async {
            let client = self.client()?;
            let image = self.reference.oci();
            let credentials = self.credentials()?;
            let pushed = async {
                client.auth(image, &credentials, RegistryOperation::Push).await?;
                let component = bytes::Bytes::copy_from_slice(component);
                client.push_blob(image, component, documents.layer.as_str()).await?;
                let config = crate::digest::Digest::of(&documents.config);
                client.push_blob(image, documents.config.clone(), config.as_str()).await?;
                let manifest = documents.manifest.clone();
                client.push_manifest_raw(image, manifest, HeaderValue::from_static(MANIFEST)).await
            };
            pushed.await.map(|_| ()).map_err(|error| self.explained(&error))
        })
    }

    async fn send(&self, wanted: Wanted<'_>, who: Option<Authorization>) -> Result<Response, RegistryError> {
        let scheme = if self.plain { "http" } else { "https" };
        let (registry, name) = (self.reference.oci().resolve_registry(), self.reference.oci().repository());
        let (kind, id, accept) = match wanted {
            Wanted::Manifest(id) => ("manifests", id, MANIFEST),
            Wanted::Blob(id) => ("blobs", id, "*/*"),
        };
        let request: RequestBuilder =
            self.http.get(format!("{scheme}://{registry}/v2/{name}/{kind}/{id}")).header(ACCEPT, accept);
        // reqwest leaves this out where it is sent elsewhere.
        let request = match who {
            None => request,
            Some(Authorization::Token(token)) => request.bearer_auth(token),
            Some(Authorization::Basic(user, password)) => request.basic_auth(user, Some(password)),
        };
        request.send().await.map_err(|error| self.failed(chain(&error.without_url())))
    }

    async fn body(&self, mut response: Response, most: u64) -> Result<Vec<u8>, RegistryError> {
        let too_long = || self.tampered(format!("it is longer than {most} bytes"));
        if response.content_length().is_some_and(|length| length > most) {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(chain(&error.without_url())))? {
            if bytes.len() as u64 + chunk.len() as u64 > most {
                return Err(too_long());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Asked for only after the registry refused somebody unknown.
    async fn authorization(&self) -> Result<Option<Authorization>, RegistryError> {
        let credentials = self.credentials()?;
        let token = self.client()?.auth(self.reference.oci(), &credentials, RegistryOperation::Pull).await;
        Ok(match (token.map_err(|error| self.explained(&error))?, credentials) {
            (Some(token), _) => Some(Authorization::Token(token)),
            (None, RegistryAuth::Basic(user, password)) => Some(Authorization::Basic(user, password)),
            (None, _) => None,
        })
    }

    fn credentials(&self) -> Result<RegistryAuth, RegistryError> {
        credentials::of(self.reference.registry(), self.reference.oci().repository())
            .map_err(|what| self.refused(&what))
    }

    fn client(&self) -> Result<oci_client::Client, RegistryError> {
        // oci-client makes one more client as this one, and panics where it can't.
        reqwest::Client::builder().build().map_err(|error| self.failed(no_tls(&error)))?;
        let config = ClientConfig {
            protocol: if self.plain { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT_TIME),
            read_timeout: Some(SILENCE),
            user_agent: AGENT,
            ..ClientConfig::default()
        };
        oci_client::Client::try_from(config).map_err(|error| self.failed(chain(&error)))
    }

    fn explained(&self, error: &OciDistributionError) -> RegistryError {
        match error {
            OciDistributionError::AuthenticationFailure(reason) => self.refused(reason),
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::ServerError { code: 401 | 403, .. } => self.refused(""),
            OciDistributionError::RegistryError { envelope, .. } => {
                let said: Vec<String> =
                    envelope.errors.iter().map(|error| format!("{:?} {}", error.code, error.message)).collect();
                let said = said.join(", ");
                match envelope.errors.iter().any(|error| {
                    use oci_client::errors::OciErrorCode::{Denied, Unauthorized};
                    matches!(error.code, Denied | Unauthorized)
                }) {
                    true => self.refused(&said),
                    false => self.failed(format!("it said {said}")),
                }
            }
            error => self.failed(chain(error)),
        }
    }

    fn refused(&self, reason: &str) -> RegistryError {
        let registry = self.reference.registry();
        let reason = printable(reason);
        RegistryError::Refused {
            reference: self.reference.to_string(),
            registry: registry.to_owned(),
            reason: if reason.is_empty() { String::new() } else { format!(": {reason}") },
            remedy: format!(
                "`docker login {registry}` or `podman login {registry}` keeps a name and a password for it where harness finds them"
            ),
        }
    }

    pub(crate) fn tampered(&self, what: String) -> RegistryError {
        RegistryError::Tampered {
            reference: self.reference.to_string(),
            registry: self.reference.registry().to_owned(),
            what,
        }
    }

    fn failed(&self, reason: String) -> RegistryError {
        let hint = match (self.plain, self.reference.is_loopback()) {
            (false, _) if reason.contains("certificate") => {
                "; this system's certificates don't vouch for it, and SSL_CERT_FILE can name others"
            }
            (false, _) => "; if it speaks plain HTTP and you trust the way to it, name it with --plain-http",
            // What a server in TLS says to who speaks without.
            (true, true) if reason.contains("400") => "; registries on this machine are spoken to in plain HTTP",
            (true, _) => "",
        };
        broken(self.reference, reason, hint)
    }
}

fn broken(reference: &Reference, reason: String, hint: &'static str) -> RegistryError {
    RegistryError::Network {
        reference: reference.to_string(),
        registry: reference.registry().to_owned(),
        reason: printable(&reason),
        hint,
    }
}

fn no_tls(error: &reqwest::Error) -> String {
    format!("TLS can't be used ({}); on Debian the package ca-certificates has what it needs", chain(error))
}

/// A stranger's text in a message of ours: one line, nothing that moves a terminal, not too long.
fn printable(text: &str) -> String {
    const MOST: usize = 500;
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().filter(|character| !character.is_control()).take(MOST).collect()
}
