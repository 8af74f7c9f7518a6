//! The wire: the requests of one pull or push.

pub(crate) mod address;
pub(crate) mod challenge;
mod http;
pub(crate) mod token;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

pub use http::Times;

use crate::credentials::{self, Login};
use crate::digest::Digest;
use crate::error::{RegistryError, chain};
use crate::layout::{Documents, MANIFEST};
use crate::reference::Reference;
use crate::text::shown;
use address::{Home, origin};
use challenge::Challenge;
use http::{Answer, Fault, Http, Request};

const MAX_REASON: usize = 300;

/// What a `GET` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// By a tag or a digest.
    Manifest(&'a str),
    /// A component, by its digest.
    Blob(&'a str),
}

/// What the user says of the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    /// Registries that are spoken to in plain HTTP.
    pub(crate) plain_http: Vec<String>,
    pub(crate) times: Times,
    /// The only authorities that certificates are checked against, unless there are none.
    pub(crate) roots: Vec<Vec<u8>>,
}

/// A connection to the registry of one reference, for one pull or push: its total time starts with it.
pub(crate) struct Network<'a> {
    runtime: tokio::runtime::Runtime,
    talk: Talk<'a>,
}

/// What is said and known in it.
struct Talk<'a> {
    http: Http,
    home: Home,
    reference: &'a Reference,
    /// What the scope of a token is to allow.
    actions: &'static str,
    /// Shown to the registry alone.
    authorization: Option<HeaderValue>,
}

impl<'a> Network<'a> {
    /// For a pull. Nothing is sent yet.
    pub(crate) fn to_pull(reference: &'a Reference, wire: &Wire) -> Result<Self, RegistryError> {
        Self::new(reference, wire, "pull")
    }

    /// For a push. Nothing is sent yet.
    pub(crate) fn to_push(reference: &'a Reference, wire: &Wire) -> Result<Self, RegistryError> {
        Self::new(reference, wire, "pull,push")
    }

    fn new(reference: &'a Reference, wire: &Wire, actions: &'static str) -> Result<Self, RegistryError> {
        let failed = |reason| broken(reference, reason, "");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(format!("the network can't be used ({error})")))?;
        let named = wire.plain_http.iter().any(|registry| registry == reference.registry());
        let home = Home::new(reference.host(), named || reference.is_loopback(), &wire.plain_http).map_err(failed)?;
        let http = runtime.block_on(async { Http::new(&home, wire.times, &wire.roots) });
        let http = http.map_err(|error| {
            let why = chain(&error);
            failed(format!("TLS can't be used ({why}); on Debian the package ca-certificates has what it needs"))
        })?;
        Ok(Self { runtime, talk: Talk { http, home, reference, actions, authorization: None } })
    }

    /// Fetches at most `max` bytes, and fails where there are more.
    pub(crate) fn get(&mut self, wanted: Wanted<'_>, max: u64) -> Result<Vec<u8>, RegistryError> {
        self.runtime.block_on(self.talk.get(wanted, max))
    }

    /// Sends the component, then what names it. Nothing can be pulled before the last is there.
    pub(crate) fn push(&mut self, component: &[u8], documents: &Documents) -> Result<(), RegistryError> {
        let config = Digest::of(&documents.config);
        self.runtime.block_on(async {
            self.talk.push_blob(Bytes::copy_from_slice(component), &documents.layer).await?;
            self.talk.push_blob(Bytes::copy_from_slice(&documents.config), &config).await?;
            self.talk.push_manifest(Bytes::copy_from_slice(&documents.manifest)).await
        })
    }

    pub(crate) fn tampered(&self, what: String) -> RegistryError {
        self.talk.tampered(what)
    }
}

impl Talk<'_> {
    async fn get(&mut self, wanted: Wanted<'_>, max: u64) -> Result<Vec<u8>, RegistryError> {
        let (url, accept, is_transfer) = match wanted {
            Wanted::Manifest(id) => (self.url("manifests", id), MANIFEST, false),
            Wanted::Blob(id) => (self.url("blobs", id), "*/*", true),
        };
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        let request = Request { headers, is_transfer, ..empty(Method::GET, url) };
        let answer = self.ask(request).await?;
        match answer.status() {
            StatusCode::OK => self.http.body(answer, max).await.map_err(|fault| self.fault(fault)),
            StatusCode::NOT_FOUND => Err(RegistryError::NotFound {
                reference: self.reference.to_string(),
                what: match wanted {
                    Wanted::Manifest(_) => "artifact",
                    Wanted::Blob(_) => "component, though it has the artifact",
                },
            }),
            _ => Err(self.denied(answer).await),
        }
    }

    async fn push_blob(&mut self, bytes: Bytes, digest: &Digest) -> Result<(), RegistryError> {
        let found = self.ask(empty(Method::HEAD, self.url("blobs", digest.as_str()))).await?;
        match found.status() {
            StatusCode::OK => return Ok(()),
            StatusCode::UNAUTHORIZED => return Err(self.denied(found).await),
            _ => {}
        }
        let begin = self.url("blobs", "uploads/");
        let begun = self.ask(Request { body: Some(Bytes::new()), ..empty(Method::POST, begin) }).await?;
        if begun.status() != StatusCode::ACCEPTED {
            return Err(self.denied(begun).await);
        }
        let place = begun.location().and_then(|location| self.home.next(begun.url(), location));
        let mut url = place.map_err(|what| self.fault(Fault::Address(what)))?;
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))]);
        self.put(Request { headers, body: Some(bytes), is_transfer: true, ..empty(Method::PUT, url) }).await
    }

    async fn push_manifest(&mut self, bytes: Bytes) -> Result<(), RegistryError> {
        let url = self.url("manifests", self.reference.tag().unwrap_or_default());
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(MANIFEST))]);
        self.put(Request { headers, body: Some(bytes), ..empty(Method::PUT, url) }).await
    }

    async fn put(&mut self, request: Request) -> Result<(), RegistryError> {
        let answer = self.ask(request).await?;
        if answer.status().is_success() { Ok(()) } else { Err(self.denied(answer).await) }
    }

    /// Sends a request; where the registry itself wants to know who asks, once more with the answer to that.
    async fn ask(&mut self, request: Request) -> Result<Answer, RegistryError> {
        let is_own = self.home.owns(&request.url);
        let shown = |authorization: &Option<HeaderValue>| authorization.clone().filter(|_| is_own);
        let first = Request { authorization: shown(&self.authorization), ..request.clone() };
        let answer = self.http.send(&self.home, first).await.map_err(|fault| self.fault(fault))?;
        if answer.status() != StatusCode::UNAUTHORIZED || !self.home.owns(answer.url()) {
            return Ok(answer);
        }
        let Some(authorization) = self.authorize(&answer).await? else { return Ok(answer) };
        self.authorization = Some(authorization);
        let again = Request { authorization: shown(&self.authorization), ..request };
        self.http.send(&self.home, again).await.map_err(|fault| self.fault(fault))
    }

    /// What the registry asks for, if there is anything.
    async fn authorize(&self, refusal: &Answer) -> Result<Option<HeaderValue>, RegistryError> {
        let asked = refusal.headers().get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes);
        let challenge = challenge::choose(asked).map_err(|what| self.failed(what))?;
        let login = |challenge: Challenge| {
            credentials::of(self.reference.registry(), self.reference.repository())
                .map(|login| (challenge, login))
                .map_err(|what| self.refused(&what))
        };
        match challenge.map(login).transpose()? {
            None => Ok(None),
            Some((Challenge::Basic, login)) => login.map(|login| self.basic(&login)).transpose(),
            Some((Challenge::Bearer { realm, service }, login)) => {
                self.token(&realm, service.as_deref(), login.as_ref()).await.map(Some)
            }
        }
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        login: Option<&Login>,
    ) -> Result<HeaderValue, RegistryError> {
        let mut url = self.home.realm(realm).map_err(|what| {
            self.fault(Fault::Address(format!("the address of its token server can't be used: {what}")))
        })?;
        if login.is_some() {
            self.home.may_have_password(&url).map_err(|what| self.fault(Fault::Address(what)))?;
        }
        let scope = format!("repository:{}:{}", self.reference.repository(), self.actions);
        url.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let server = format!("its token server {}", origin(&url));
        let authorization = login.map(|login| self.basic(login)).transpose()?;
        let request = Request { authorization, ..empty(Method::GET, url) };
        let explained = |fault| match fault {
            Fault::Broken(reason) => self.failed(format!("{server}: {reason}")),
            Fault::Unreachable(reason) => self.fault(Fault::Unreachable(format!("{server}: {reason}"))),
            Fault::TooLong(max) => self.failed(format!("{server} answers with more than {max} bytes")),
            Fault::Address(what) => self.fault(Fault::Address(format!("{server}: {what}"))),
        };
        let answer = self.http.send(&self.home, request).await.map_err(explained)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let reason = reason(&self.http.reason(answer).await);
                return Err(self.refused(&reason));
            }
            status => {
                let reason = reason(&self.http.reason(answer).await);
                return Err(self.failed(format!("{server} answers {status}{}", after_colon(&reason))));
            }
        }
        let body = self.http.body(answer, token::MAX_ANSWER).await.map_err(explained)?;
        token::authorization(&body).map_err(|what| self.failed(format!("the answer of {server} can't be used: {what}")))
    }

    fn basic(&self, login: &Login) -> Result<HeaderValue, RegistryError> {
        let pair = STANDARD.encode(format!("{}:{}", login.user, login.password));
        let mut header = HeaderValue::try_from(format!("Basic {pair}"))
            .map_err(|_| self.refused("the name or the password that is kept for it is too long"))?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn url(&self, kind: &str, id: &str) -> Url {
        self.home.at(&format!("/v2/{}/{kind}/{id}", self.reference.repository()))
    }

    /// An answer that is none of those that were hoped for.
    async fn denied(&self, answer: Answer) -> RegistryError {
        match answer.status() {
            StatusCode::UNAUTHORIZED => self.refused(""),
            StatusCode::FORBIDDEN => self.refused(&reason(&self.http.reason(answer).await)),
            status => {
                let reason = reason(&self.http.reason(answer).await);
                self.failed(format!("it answered {status}{}", after_colon(&reason)))
            }
        }
    }

    fn refused(&self, reason: &str) -> RegistryError {
        let registry = self.reference.registry();
        RegistryError::Refused {
            reference: self.reference.to_string(),
            registry: registry.to_owned(),
            reason: after_colon(reason),
            remedy: format!(
                "`docker login {registry}` or `podman login {registry}` keeps a name and a password for it where harness finds them"
            ),
        }
    }

    fn tampered(&self, what: String) -> RegistryError {
        RegistryError::Tampered {
            reference: self.reference.to_string(),
            registry: self.reference.registry().to_owned(),
            what,
        }
    }

    fn fault(&self, fault: Fault) -> RegistryError {
        match fault {
            Fault::TooLong(max) => self.tampered(format!("it is longer than {max} bytes")),
            Fault::Address(what) => RegistryError::Address {
                reference: self.reference.to_string(),
                registry: self.reference.registry().to_owned(),
                what,
            },
            Fault::Broken(reason) => self.failed(reason),
            Fault::Unreachable(reason) => {
                let hint = match self.home.is_plain() {
                    true => "",
                    false if reason.contains("certificate") => {
                        "; this system's certificates don't vouch for it, and SSL_CERT_FILE can name others"
                    }
                    false => "; if it speaks plain HTTP and you trust the way to it, name it with --plain-http",
                };
                broken(self.reference, reason, hint)
            }
        }
    }

    fn failed(&self, reason: String) -> RegistryError {
        // What a server in TLS says to who speaks without.
        let hint = match self.home.is_plain() && self.home.is_loopback() && reason.starts_with("it answered 400") {
            true => "; registries on this machine are spoken to in plain HTTP",
            false => "",
        };
        broken(self.reference, reason, hint)
    }
}

fn empty(method: Method, url: Url) -> Request {
    Request { method, url, headers: HeaderMap::new(), authorization: None, body: None, is_transfer: false }
}

fn broken(reference: &Reference, reason: String, hint: &'static str) -> RegistryError {
    RegistryError::Network {
        reference: reference.to_string(),
        registry: reference.registry().to_owned(),
        reason: shown(&reason, 2 * MAX_REASON),
        hint,
    }
}

fn after_colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", shown(reason, MAX_REASON)) }
}

/// What a registry or a token server says of an error: as the OCI distribution specification has it, or any short text. A page
/// for a browser says nothing.
fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Vec<Said>,
    }
    #[derive(Deserialize)]
    struct Said {
        code: String,
        #[serde(default)]
        message: Option<String>,
    }
    if let Ok(Envelope { errors }) = serde_json::from_slice(body) {
        let said = errors.into_iter().map(|said| format!("{} {}", said.code, said.message.unwrap_or_default()));
        return said.map(|said| said.trim().to_owned()).collect::<Vec<_>>().join(", ");
    }
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with('<') { String::new() } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_of_an_error_is_one_short_line() {
        for (body, said) in [
            (r#"{"errors": [{"code": "DENIED", "message": "no\u001b[2J\nway"}]}"#, ": DENIED no\\u{1b}[2J way"),
            (r#"{"errors": [{"code": "A"}, {"code": "B", "message": "b", "detail": [1]}]}"#, ": A, B b"),
            (r#"{"details": "incorrect"}"#, r#": {"details": "incorrect"}"#),
            (
                "no\u{1b}]0;x\u{7} \u{202e}\u{2066} go\n::error::x",
                ": no\\u{1b}]0;x\\u{7} \\u{202e}\\u{2066} go ::error::x",
            ),
            ("<html><body>Bad gateway", ""),
            ("", ""),
            (r#"{"errors": []}"#, ""),
        ] {
            assert_eq!(after_colon(&reason(body.as_bytes())), said, "{body}");
        }
        assert_eq!(after_colon(&reason(&[b'x'; 8000])).chars().count(), 2 + MAX_REASON + 1);
        let deep = "[".repeat(8000);
        assert!(after_colon(&reason(deep.as_bytes())).len() < 2 * MAX_REASON);
        after_colon(&reason(&[0xff, 0xfe, 0]));
    }
}
