//! A registry of a test's own, or a token server: it answers what it was told to, true or not.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: &'static str,
    headers: Vec<String>,
    body: Vec<u8>,
    /// What the header says of the body's length; `None` says nothing, and the end of the connection is the end.
    length: Option<usize>,
    /// Asked for, or this is the answer.
    authorization: Option<String>,
    endless: bool,
    /// Between two bytes.
    gap: Option<Duration>,
}

impl Answer {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = Some(body.len());
        let (headers, authorization) = (Vec::new(), None);
        Self { status: "200 OK", headers, body, length, authorization, endless: false, gap: None }
    }

    pub(crate) fn status(status: &'static str) -> Self {
        Self { status, ..Self::ok("") }
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::status("307 Temporary Redirect").header("Location", location)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(format!("{name}: {value}"));
        self
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { length: Some(body.len()), body, ..self }
    }

    pub(crate) fn length(self, length: Option<usize>) -> Self {
        Self { length, ..self }
    }

    /// Sends its body until nobody listens.
    pub(crate) fn endless(self) -> Self {
        Self { endless: true, length: None, ..self }
    }

    /// Sends a byte of its body now and then.
    pub(crate) fn slow(self, gap: Duration) -> Self {
        Self { gap: Some(gap), ..self }
    }

    /// Only for who sends this header; everybody else is refused.
    pub(crate) fn only_for(self, authorization: &str) -> Self {
        Self { authorization: Some(authorization.to_owned()), ..self }
    }
}

/// `/path?query`, after the method where that is not GET; and the header `Authorization`.
pub(crate) type Asked = (String, Option<String>);

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    challenge: String,
    asked: Vec<Asked>,
    bodies: HashMap<String, Vec<u8>>,
}

#[derive(Clone)]
pub(crate) struct Server {
    port: u16,
    tls: Option<Arc<ServerConfig>>,
    state: Arc<Mutex<State>>,
}

/// For every server in TLS, at 0.0.0.0 (which is no address of this machine and reaches it), at localhost and at 127.0.0.1.
pub(crate) fn certificate() -> &'static rcgen::CertifiedKey<rcgen::KeyPair> {
    static CERTIFICATE: OnceLock<rcgen::CertifiedKey<rcgen::KeyPair>> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let names = ["0.0.0.0", "localhost", "127.0.0.1"].map(str::to_owned);
        rcgen::generate_simple_self_signed(names).unwrap()
    })
}

/// What a client has to trust, in DER.
pub(crate) fn root() -> Vec<u8> {
    certificate().cert.der().to_vec()
}

impl Server {
    /// In plain HTTP.
    pub(crate) fn start() -> Self {
        Self::serving(TcpListener::bind("127.0.0.1:0").unwrap(), None)
    }

    /// In TLS.
    pub(crate) fn in_tls() -> Self {
        let key = certificate();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![key.cert.der().clone()], private).unwrap();
        Self::serving(TcpListener::bind("0.0.0.0:0").unwrap(), Some(Arc::new(config)))
    }

    fn serving(listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> Self {
        let server = Self { port: listener.local_addr().unwrap().port(), tls, state: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                // Who leaves before the end of the answer has enough of it.
                std::thread::spawn(move || server.accept(stream));
            }
        });
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn host(&self) -> String {
        let host = if self.tls.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        format!("{host}:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.host())
    }

    /// Answers `GET path` so from now on, or another method before a path.
    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.state().answers.insert(path.to_owned(), answer);
    }

    /// How who is not known is asked who they are.
    pub(crate) fn challenge(&self, challenge: &str) {
        self.state().challenge = challenge.to_owned();
    }

    /// What was asked since this was called last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    /// What was sent there last.
    pub(crate) fn sent(&self, path: &str) -> Option<Vec<u8>> {
        self.state().bodies.get(path).cloned()
    }

    fn accept(&self, mut stream: TcpStream) -> Option<()> {
        let Some(tls) = self.tls.clone() else { return self.serve(&mut stream) };
        let mut stream = StreamOwned::new(ServerConnection::new(tls).ok()?, stream);
        self.serve(&mut stream)?;
        stream.conn.send_close_notify();
        stream.flush().ok()
    }

    fn serve(&self, stream: &mut (impl Read + Write)) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            Some(line.trim_end().to_owned())
        };
        let first = line()?;
        let (mut authorization, mut length) = (None, 0);
        loop {
            let line = line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ")?;
            if name.eq_ignore_ascii_case("authorization") {
                authorization = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let target = if method == "GET" { target.to_owned() } else { format!("{method} {target}") };
        let answer = {
            let mut state = self.state();
            state.asked.push((target.clone(), authorization.clone()));
            let path = target.split('?').next()?;
            let found = state.answers.get(path).cloned().unwrap_or_else(|| Answer::status("404 Not Found"));
            match &found.authorization {
                Some(wanted) if authorization.as_ref() != Some(wanted) => {
                    Answer::status("401 Unauthorized").header("WWW-Authenticate", &state.challenge)
                }
                _ => {
                    state.bodies.insert(path.to_owned(), body);
                    found
                }
            }
        };
        let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", answer.status);
        for header in &answer.headers {
            head += &format!("{header}\r\n");
        }
        if let Some(length) = answer.length {
            head += &format!("Content-Length: {length}\r\n");
        }
        let stream = reader.get_mut();
        stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        if method == "HEAD" {
            return stream.flush().ok();
        }
        loop {
            match answer.gap {
                None => stream.write_all(&answer.body).ok()?,
                Some(gap) => {
                    for byte in &answer.body {
                        std::thread::sleep(gap);
                        stream.write_all(&[*byte]).ok()?;
                        stream.flush().ok()?;
                    }
                }
            }
            if !answer.endless {
                break;
            }
        }
        stream.flush().ok()
    }
}
