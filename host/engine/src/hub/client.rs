//! The requests to the hub: redirects are followed here, one by one, and the token goes to the hub's own origin alone.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url, redirect};
use tokio::time::{Instant, timeout_at};

use super::environment::{Token, is_loopback, origin};

const AGENT: &str = concat!("harness/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 10;
const MAX_ADDRESS: usize = 16 << 10;
/// Bytes a second, over as long as nothing may come: a server that sends less might never end.
const MIN_RATE: f64 = 1024.0;

/// How long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// To get a connection.
    pub(crate) connect: Duration,
    /// Until something comes.
    pub(crate) silence: Duration,
    /// A small answer in all.
    pub(crate) small: Duration,
    /// Before what failed is tried again; it doubles.
    pub(crate) pause: Duration,
    /// Until it is said that another process is waited for.
    pub(crate) patience: Duration,
}

impl Times {
    pub(crate) fn new(silence: Duration) -> Self {
        Self {
            connect: Duration::from_secs(20).min(silence),
            silence,
            small: Duration::from_secs(300).max(silence),
            pause: Duration::from_millis(500),
            patience: Duration::from_secs(2),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// The origin of whom the hub redirected to, if it is that one's.
    pub(crate) elsewhere: Option<String>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No connection, or none that TLS vouches for.
    Unreachable(String),
    /// It ended early, took too long or is no HTTP. Another time it may not.
    Broken(String),
    /// It answered that there is none.
    Status(StatusCode),
    /// What it says of itself does not agree, or leads where harness does not go.
    Wrong(String),
}

impl Fault {
    /// The hub's own.
    pub(crate) fn of_hub(kind: Kind) -> Self {
        Self { kind, elsewhere: None }
    }

    /// Whether it may go another time.
    pub(crate) fn passes(&self) -> bool {
        match &self.kind {
            Kind::Broken(_) => true,
            Kind::Status(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Kind::Unreachable(_) | Kind::Wrong(_) => false,
        }
    }

    /// Whether nobody is there who can say anything of the model.
    pub(crate) fn is_absence(&self) -> bool {
        self.passes() || matches!(self.kind, Kind::Unreachable(_))
    }

    /// The same, with more of what came before it.
    pub(crate) fn after(self, so_far: &str) -> Self {
        match self.kind {
            Kind::Broken(why) => Self { kind: Kind::Broken(format!("{why}, {so_far}")), ..self },
            _ => self,
        }
    }
}

/// How far a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Not beyond the hub itself, which announces what it redirects to.
    Own,
    /// To where the bytes are.
    All,
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    response: Response,
    until: Option<Instant>,
    silence: Duration,
    /// Who answers, if not the hub.
    elsewhere: Option<String>,
    pace: Pace,
}

/// How fast the body comes. What this process does between two pieces does not count.
#[derive(Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Takes a piece down. An error if what came since the last look is too little.
    fn note(&mut self, waited: Duration, bytes: usize, window: Duration) -> Result<(), Kind> {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < window {
            return Ok(());
        }
        let rate = self.bytes as f64 / self.waited.as_secs_f64();
        *self = Self::default();
        match rate < MIN_RATE {
            true => Err(Kind::Broken(format!("less than 1 KiB/s came for {} s", window.as_secs_f64()))),
            false => Ok(()),
        }
    }
}

/// The hub's client.
pub(crate) struct Client {
    client: reqwest::Client,
    endpoint: Url,
    token: Option<Token>,
    times: Times,
}

impl Client {
    /// Nothing is sent yet.
    pub(crate) fn new(endpoint: Url, token: Option<Token>, times: Times) -> Result<Self, String> {
        // There is one provider in this binary, but rustls wants to be told. A second time does nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let builder = reqwest::Client::builder()
                .connect_timeout(times.connect)
                .user_agent(AGENT)
                .redirect(redirect::Policy::none())
                .referer(false)
                .https_only(endpoint.scheme() == "https");
            if is_loopback(&endpoint) { builder.no_proxy() } else { builder }
        };
        let client = match builder().build() {
            // A machine without certificates can speak with a hub that needs none.
            Err(_) if endpoint.scheme() == "http" => builder().tls_certs_only([]).build(),
            built => built,
        };
        let client = client.map_err(|error| {
            format!("TLS can't be used ({}); on Debian the package ca-certificates has what it needs", chain(&error))
        })?;
        Ok(Self { client, endpoint, token, times })
    }

    /// The hub's address, for messages.
    pub(crate) fn shown(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    pub(crate) fn times(&self) -> Times {
        self.times
    }

    /// An address below the hub's.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.endpoint.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }

    /// Sends a request, and again where it is redirected to. A small one has an end in time.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        from: u64,
        follow: Follow,
        is_small: bool,
    ) -> Result<Answer, Fault> {
        let until = is_small.then(|| Instant::now() + self.times.small);
        let mut token = self.token.as_ref().filter(|_| self.owns(&url));
        let (mut url, mut seen) = (url, Vec::new());
        loop {
            let elsewhere = (!self.owns(&url)).then(|| origin(&url));
            let fault = |kind| Fault { kind, elsewhere: elsewhere.clone() };
            // Sizes are those of files, so nothing is packed.
            let mut request = self.client.request(method.clone(), url.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, token.header.clone());
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let response = within(until, self.times.silence, request.send()).await.map_err(fault)?;
            let status = response.status();
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                if !status.is_success() {
                    return Err(fault(Kind::Status(status)));
                }
                return Ok(Answer::new(response, until, self.times.silence, elsewhere));
            }
            seen.push(url.clone());
            let next = self.next(&url, &response).map_err(|why| fault(Kind::Wrong(why)))?;
            // A hub whose store is its own says what it leads to, too.
            let announces = response.headers().contains_key("x-linked-etag");
            if follow == Follow::Own && (announces || !self.owns(&next)) {
                return Ok(Answer::new(response, until, self.times.silence, elsewhere));
            }
            if seen.contains(&next) || seen.len() > MAX_REDIRECTS {
                let why = "its redirects lead in a circle, or there are too many of them";
                return Err(fault(Kind::Wrong(why.into())));
            }
            // Whoever was asked in between may have made up the way back.
            if !self.owns(&next) {
                token = None;
            }
            url = next;
        }
    }

    fn next(&self, from: &Url, response: &Response) -> Result<Url, String> {
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        next(from, location.ok_or_else(|| format!("it says {} and not where to", response.status()))?)
    }

    /// Whether the address is the hub's own: its scheme, host and port.
    fn owns(&self, url: &Url) -> bool {
        self.endpoint.origin() == url.origin()
    }
}

/// Where a redirect leads. TLS is not left. A hub in plain HTTP can lead anywhere: what comes is checked, and the token stays.
fn next(from: &Url, location: &str) -> Result<Url, String> {
    if location.len() > MAX_ADDRESS {
        return Err(format!("it redirects to an address of more than {MAX_ADDRESS} bytes"));
    }
    let url = from.join(location).map_err(|error| format!("it redirects to what is no address ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it redirects to what is neither https:// nor http://".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("it redirects to an address of {} with a name or a password in it", origin(&url)));
    }
    match (from.scheme(), url.scheme()) {
        ("https", "http") => Err(format!("it leads out of TLS, from {} to {}", origin(from), origin(&url))),
        _ => Ok(url),
    }
}

impl Answer {
    fn new(response: Response, until: Option<Instant>, silence: Duration, elsewhere: Option<String>) -> Self {
        Self { response, until, silence, elsewhere, pace: Pace::default() }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        text(self.response.headers(), name)
    }

    /// What is wrong with it.
    pub(crate) fn fault(&self, kind: Kind) -> Fault {
        Fault { kind, elsewhere: self.elsewhere.clone() }
    }

    /// A header of the hub's own.
    pub(crate) fn named(&self, name: &'static str) -> Option<&str> {
        text(self.response.headers(), &HeaderName::from_static(name))
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, Fault> {
        let started = Instant::now();
        let chunk = within(self.until, self.silence, self.response.chunk()).await;
        let kept = chunk.and_then(|chunk| {
            // At its end it was fast enough, whatever it was.
            if let Some(chunk) = &chunk {
                self.pace.note(started.elapsed(), chunk.len(), self.silence)?;
            }
            Ok(chunk)
        });
        kept.map_err(|kind| self.fault(kind))
    }

    /// All of a body of at most `max` bytes.
    pub(crate) async fn body(mut self, max: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > max {
                return Err(self.fault(Kind::Wrong(format!("its answer has more than {max} bytes"))));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn within<T>(
    until: Option<Instant>,
    silence: Duration,
    work: impl Future<Output = reqwest::Result<T>>,
) -> Result<T, Kind> {
    let quiet = Instant::now() + silence;
    let first = until.map_or(quiet, |until| until.min(quiet));
    match timeout_at(first, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.is_connect() => Err(Kind::Unreachable(chain(&error.without_url()))),
        Ok(Err(error)) => Err(Kind::Broken(chain(&error.without_url()))),
        Err(_) if first == quiet => Err(Kind::Broken(format!("nothing came for {} s", silence.as_secs_f64()))),
        Err(_) => Err(Kind::Broken("a small answer took too long".into())),
    }
}

/// An error with its causes, which say what happened.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leaves_no_tls_and_leads_to_no_file() {
        let tls = Url::parse("https://hub.io/a/b").unwrap();
        let plain = Url::parse("http://hub.lan/a/b").unwrap();
        assert_eq!(next(&tls, "/c?d").unwrap().as_str(), "https://hub.io/c?d");
        assert_eq!(next(&tls, "https://cdn.io/c").unwrap().as_str(), "https://cdn.io/c");
        assert_eq!(next(&plain, "http://store.lan/c").unwrap().as_str(), "http://store.lan/c");
        let error = next(&tls, "http://hub.io/secret").unwrap_err();
        assert_eq!(error, "it leads out of TLS, from https://hub.io to http://hub.io");
        for bad in ["file:///etc/passwd", "ftp://x/secret", "data:,secret", "https://u:secret@x/", "//", "http://["] {
            let error = next(&plain, bad).unwrap_err();
            assert!(!error.contains("secret") && !error.contains("passwd"), "{bad}: {error}");
        }
        assert!(next(&plain, &"x".repeat(MAX_ADDRESS + 1)).is_err());
    }

    #[test]
    fn only_the_hubs_own_origin_is_its_own() {
        let own = |endpoint: &str, url: &str| {
            let times = Times::new(Duration::from_secs(1));
            Client::new(Url::parse(endpoint).unwrap(), None, times).unwrap().owns(&Url::parse(url).unwrap())
        };
        assert!(own("http://hub.lan/mirror", "http://hub.lan:80/api"));
        for other in ["https://hub.lan/", "http://hub.lan:81/", "http://a.hub.lan/", "http://hub.lan.evil.io/"] {
            assert!(!own("http://hub.lan/mirror", other), "{other}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let passes = |kind| Fault::of_hub(kind).passes();
        let status = |code| passes(Kind::Status(StatusCode::from_u16(code).unwrap()));
        assert!(status(500) && status(503) && status(429) && passes(Kind::Broken("x".into())));
        assert!(!status(404) && !status(401) && !status(403) && !passes(Kind::Unreachable("x".into())));
    }

    #[test]
    fn who_sends_too_slowly_is_left_and_who_waits_for_us_is_not() {
        let window = Duration::from_secs(4);
        let second = Duration::from_secs(1);
        let mut pace = Pace::default();
        // A piece of many bytes makes up for others, but not for those of the next look.
        for bytes in [1, 1, 1, 4096, 1024, 1024, 1024, 1024] {
            assert_eq!(pace.note(second, bytes, window), Ok(()));
        }
        for _ in 0..1000 {
            assert_eq!(pace.note(Duration::ZERO, 1, window), Ok(()));
        }
        let mut slow = Pace::default();
        let ended = (0..).find_map(|piece| slow.note(second, 1023, window).err().map(|kind| (piece, kind)));
        assert_eq!(ended, Some((3, Kind::Broken("less than 1 KiB/s came for 4 s".into()))));
    }
}
