//! The one HTTP client: each request is bounded in time, each answer in size, and redirects are followed here, one by one.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Certificate, Method, Response, StatusCode, Url, redirect};
use tokio::time::{Instant, timeout_at};

use super::address::{Home, same_origin};
use crate::error::chain;

const AGENT: &str = concat!("harness/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 5;
/// What is read of an answer that only says why there is none.
const MAX_REASON: usize = 8 << 10;

/// How long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// To get a connection.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub silence: Duration,
    /// One request with its answer and all redirects, where both are small.
    pub answer: Duration,
    /// One request that sends or fetches a component.
    pub transfer: Duration,
    /// All requests of one pull or push together.
    pub total: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            answer: Duration::from_secs(120),
            transfer: Duration::from_secs(1800),
            total: Duration::from_secs(3600),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection, or none that TLS vouches for.
    Unreachable(String),
    /// It ended early, took too long or is no HTTP.
    Broken(String),
    /// It has more than this many bytes.
    TooLong(u64),
    /// It leads where harness does not go.
    Address(String),
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// For the host of `url` alone.
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) body: Option<Bytes>,
    /// Whether a component is sent or fetched.
    pub(crate) is_transfer: bool,
}

/// What came back, its body still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response,
    until: Instant,
}

/// The client of one pull or push.
pub(crate) struct Http {
    client: reqwest::Client,
    times: Times,
    end: Instant,
}

impl Http {
    /// Nothing is sent yet; the total time starts now. With `roots`, certificates are checked against those alone.
    pub(crate) fn new(home: &Home, times: Times, roots: &[Vec<u8>]) -> reqwest::Result<Self> {
        // There is one provider in this binary, but rustls wants to be told. A second time does nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let builder = reqwest::Client::builder()
                .connect_timeout(times.connect)
                .user_agent(AGENT)
                .redirect(redirect::Policy::none())
                .referer(false)
                .https_only(!home.is_plain());
            if home.is_loopback() { builder.no_proxy() } else { builder }
        };
        let roots = roots.iter().map(|root| Certificate::from_der(root)).collect::<Result<Vec<_>, _>>()?;
        let client = match roots.is_empty() {
            false => builder().tls_certs_only(roots).build()?,
            true => match builder().build() {
                // A machine without certificates can speak with a registry that needs none.
                Err(_) if home.is_plain() => builder().tls_certs_only([]).build()?,
                built => built?,
            },
        };
        Ok(Self { client, times, end: Instant::now() + times.total })
    }

    /// Sends the request, and again where it is redirected to. Who asks is not told to another host.
    pub(crate) async fn send(&self, home: &Home, request: Request) -> Result<Answer, Fault> {
        let Request { method, mut url, headers, mut authorization, body, is_transfer } = request;
        let (time, what) = match is_transfer {
            true => (self.times.transfer, "a transfer"),
            false => (self.times.answer, "an answer"),
        };
        let until = Instant::now() + time;
        let mut seen = Vec::new();
        loop {
            let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
            if let Some(authorization) = &authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            // While a body is sent nothing comes, however long it takes.
            let silence = if body.is_some() { time } else { self.times.silence };
            let response = self.within(until, silence, what, request.send()).await?;
            let is_redirect = matches!(
                response.status(),
                StatusCode::MOVED_PERMANENTLY
                    | StatusCode::FOUND
                    | StatusCode::SEE_OTHER
                    | StatusCode::TEMPORARY_REDIRECT
                    | StatusCode::PERMANENT_REDIRECT
            );
            if !is_redirect {
                return Ok(Answer { response, until });
            }
            let wrong = |what: String| Err(Fault::Address(what));
            if !matches!(method, Method::GET | Method::HEAD) {
                return wrong(format!(
                    "it redirects what is sent there ({}), which harness doesn't follow",
                    response.status()
                ));
            }
            seen.push(url.clone());
            let next = location(&response).and_then(|location| home.next(&url, location)).map_err(Fault::Address)?;
            if seen.contains(&next) {
                return wrong("its redirects lead in a circle".into());
            }
            if seen.len() > MAX_REDIRECTS {
                return wrong(format!("it redirects more than {MAX_REDIRECTS} times"));
            }
            if !same_origin(&url, &next) {
                authorization = None;
            }
            url = next;
        }
    }

    /// All of the body, which has at most `max` bytes.
    pub(crate) async fn body(&self, answer: Answer, max: u64) -> Result<Vec<u8>, Fault> {
        let Answer { mut response, until } = answer;
        if response.content_length().is_some_and(|length| length > max) {
            return Err(Fault::TooLong(max));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = self.within(until, self.times.silence, "an answer", response.chunk()).await? {
            if bytes.len() as u64 + chunk.len() as u64 > max {
                return Err(Fault::TooLong(max));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The start of the body, whatever of it comes soon.
    pub(crate) async fn reason(&self, answer: Answer) -> Vec<u8> {
        let Answer { mut response, until } = answer;
        let mut bytes = Vec::new();
        let until = until.min(Instant::now() + self.times.silence);
        while bytes.len() < MAX_REASON
            && let Ok(Some(chunk)) = self.within(until, self.times.silence, "an answer", response.chunk()).await
        {
            bytes.extend_from_slice(&chunk[..chunk.len().min(MAX_REASON - bytes.len())]);
        }
        bytes
    }

    async fn within<T>(
        &self,
        until: Instant,
        silence: Duration,
        what: &str,
        work: impl Future<Output = reqwest::Result<T>>,
    ) -> Result<T, Fault> {
        let quiet = Instant::now() + silence;
        let first = self.end.min(until).min(quiet);
        match timeout_at(first, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) if error.is_connect() => Err(Fault::Unreachable(chain(&error.without_url()))),
            Ok(Err(error)) => Err(Fault::Broken(chain(&error.without_url()))),
            Err(_) if first == self.end => {
                Err(Fault::Broken(format!("all requests together took longer than {}", seconds(self.times.total))))
            }
            Err(_) if first == quiet && quiet != until => {
                Err(Fault::Broken(format!("nothing came for {}", seconds(silence))))
            }
            Err(_) => Err(Fault::Broken(format!("{what} took too long"))),
        }
    }
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Who answered: after redirects not who was asked.
    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }

    /// Where it leads.
    pub(crate) fn location(&self) -> Result<&str, String> {
        location(&self.response)
    }
}

fn location(response: &Response) -> Result<&str, String> {
    let location =
        response.headers().get(LOCATION).ok_or_else(|| format!("it says {} and not where to", response.status()))?;
    location.to_str().map_err(|_| format!("it says {} and an address that is no text", response.status()))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
