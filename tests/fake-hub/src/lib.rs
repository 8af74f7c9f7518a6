//! A Hugging Face hub on loopback, and a store on another port that it redirects to. It tells the truth, unless a test has a file
//! answered otherwise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha1::Digest;

/// The commit of every model.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What an address in the store has that nobody may be shown.
pub const SIGNATURE: &str = "51f9a7";

/// The bytes of a file, and what is done to whoever asks for them.
#[derive(Clone, Debug, Default)]
pub struct File {
    bytes: Vec<u8>,
    /// In the store, as the hub does with large files.
    stored: bool,
    /// Before it is answered as it is: a status, once each.
    first: Vec<u16>,
    status: Option<u16>,
    redirect: Option<String>,
    etag: Option<String>,
    size: Option<u64>,
    /// Sent in the place of the bytes, as often as said.
    instead: Vec<Vec<u8>>,
    /// No Content-Length.
    unmeasured: bool,
    /// After so many bytes the connection ends, once each.
    cuts: Vec<usize>,
    /// After so many bytes nothing comes any more.
    stall: Option<usize>,
    /// Answers no range.
    whole: bool,
    /// The store redirects back to the hub.
    back: bool,
    /// How long it takes until the first byte.
    delay: Duration,
    /// How long it takes before each byte.
    drip: Duration,
    /// The store answers so.
    store_status: Option<u16>,
    /// The store is there.
    store: Option<String>,
}

impl File {
    /// A small file, which the hub itself has.
    pub fn small(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    /// A large one, which the hub redirects to its store for.
    pub fn large(bytes: impl Into<Vec<u8>>) -> Self {
        Self { stored: true, ..Self::small(bytes) }
    }

    /// Always answers this status.
    pub fn status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Answers this status once, before anything else.
    pub fn first(mut self, status: u16) -> Self {
        self.first.push(status);
        self
    }

    /// Redirects there, and announces nothing.
    pub fn redirect(self, to: &str) -> Self {
        Self { redirect: Some(to.into()), ..self }
    }

    /// Announces this hash.
    pub fn etag(self, etag: &str) -> Self {
        Self { etag: Some(etag.into()), ..self }
    }

    /// Announces this size.
    pub fn size(self, size: u64) -> Self {
        Self { size: Some(size), ..self }
    }

    /// Sends these bytes once, before the right ones.
    pub fn instead(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.instead.push(bytes.into());
        self
    }

    /// Says of no answer how long it is.
    pub fn unmeasured(self) -> Self {
        Self { unmeasured: true, ..self }
    }

    /// Ends once after so many bytes.
    pub fn cut(mut self, after: usize) -> Self {
        self.cuts.push(after);
        self
    }

    /// Sends nothing after so many bytes, and does not end.
    pub fn stall(self, after: usize) -> Self {
        Self { stall: Some(after), ..self }
    }

    /// Knows nothing of ranges.
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Has the store redirect back to the hub.
    pub fn back(self) -> Self {
        Self { back: true, ..self }
    }

    /// Takes its time.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Comes byte by byte, with a pause before each.
    pub fn drip(self, drip: Duration) -> Self {
        Self { drip, ..self }
    }

    /// Has the store always answer this status.
    pub fn store_status(self, status: u16) -> Self {
        Self { store_status: Some(status), ..self }
    }

    /// Is in a store of that origin.
    pub fn store(self, origin: &str) -> Self {
        Self { store: Some(origin.into()), ..self }
    }

    fn hash(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match self.stored {
            true => hex(&sha2::Sha256::digest(&self.bytes)),
            false => {
                let mut hash = sha1::Sha1::new_with_prefix(format!("blob {}\0", self.bytes.len()));
                hash.update(&self.bytes);
                hex(&hash.finalize())
            }
        }
    }
}

/// A request: `GET /path`, and its headers in lower case.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET` or `HEAD`, and the path.
    pub line: String,
    /// Whether it came to the store.
    pub of_store: bool,
    headers: HashMap<String, String>,
}

impl Asked {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[derive(Default)]
struct State {
    files: HashMap<String, File>,
    listed: Vec<String>,
    listing: Option<(u16, Vec<u8>)>,
    token: Option<String>,
    asked: Vec<Asked>,
}

/// The hub of one model, `owner/name`.
#[derive(Clone)]
pub struct Hub {
    port: u16,
    store: u16,
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// One with these files.
    pub fn start(files: &[(&str, File)]) -> Self {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (own, store) = (listener(), listener());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let hub = Self { port: port(&own), store: port(&store), state: Arc::default() };
        for (name, file) in files {
            hub.has(name, file.clone());
        }
        for (listener, of_store) in [(own, false), (store, true)] {
            let hub = hub.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let hub = hub.clone();
                    // Who leaves before the end of the answer has enough of it.
                    std::thread::spawn(move || hub.accept(stream, of_store));
                }
            });
        }
        hub
    }

    /// For `HF_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The store's address.
    pub fn store(&self) -> String {
        format!("http://127.0.0.1:{}", self.store)
    }

    /// Has and lists this file from now on.
    pub fn has(&self, name: &str, file: File) {
        let mut state = self.state();
        if !state.listed.iter().any(|listed| listed == name) {
            state.listed.push(name.to_owned());
        }
        state.files.insert(name.to_owned(), file);
    }

    /// Has and lists it no more.
    pub fn lose(&self, name: &str) {
        let mut state = self.state();
        state.listed.retain(|listed| listed != name);
        state.files.remove(name);
    }

    /// Answers so when it is asked for the list of files.
    pub fn list_as(&self, status: u16, body: &str) {
        self.state().listing = Some((status, body.into()));
    }

    /// Knows only who has this token.
    pub fn only_for(&self, token: &str) {
        self.state().token = Some(format!("Bearer {token}"));
    }

    /// What was asked since this was called last.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn accept(&self, stream: TcpStream, of_store: bool) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let mut stream = reader.into_inner();
        let asked = Asked { line: format!("{method} {path}"), of_store, headers };
        let range =
            asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let known = self.state().token.as_deref().is_none_or(|token| asked.header("authorization") == Some(token));
        self.state().asked.push(asked);
        if !of_store && !known {
            return say(&mut stream, 401, &[], b"");
        }
        if !of_store && path.starts_with("/api/models/") {
            return self.list(&mut stream, &path);
        }
        self.send(&mut stream, &method, &path, of_store, range.unwrap_or(0))
    }

    fn list(&self, stream: &mut TcpStream, path: &str) -> Option<()> {
        let state = self.state();
        if path != "/api/models/owner/name/revision/main" && state.listing.is_none() {
            drop(state);
            return say(stream, 404, &[], b"");
        }
        let listing = state.listing.clone().unwrap_or_else(|| {
            let siblings: Vec<_> = state.listed.iter().map(|name| serde_json::json!({"rfilename": name})).collect();
            (200, serde_json::json!({"id": "owner/name", "sha": COMMIT, "siblings": siblings}).to_string().into())
        });
        drop(state);
        say(stream, listing.0, &[], &listing.1)
    }

    fn send(&self, stream: &mut TcpStream, method: &str, path: &str, of_store: bool, from: usize) -> Option<()> {
        let name = path.split('?').next()?.rsplit('/').next()?;
        let (file, instead, cut) = {
            let mut state = self.state();
            let Some(file) = state.files.get_mut(name) else {
                drop(state);
                return say(stream, 404, &[], b"");
            };
            if let Some(status) = (!file.first.is_empty()).then(|| file.first.remove(0)).or(file.status) {
                drop(state);
                return say(stream, status, &[], b"");
            }
            let last = method == "GET" && (of_store || !file.stored);
            let pop = |list: &mut Vec<Vec<u8>>| (last && !list.is_empty()).then(|| list.remove(0));
            let instead = pop(&mut file.instead);
            let cut = (last && !file.cuts.is_empty()).then(|| file.cuts.remove(0));
            (file.clone(), instead, cut)
        };
        if let (Some(to), false) = (&file.redirect, of_store) {
            return say(stream, 302, &[format!("Location: {to}")], b"");
        }
        if file.back && of_store {
            return say(stream, 302, &[format!("Location: {}/back/{name}", self.endpoint())], b"");
        }
        if let (Some(status), true) = (file.store_status, of_store) {
            return say(stream, status, &[], b"");
        }
        let etag = file.etag.clone().unwrap_or_else(|| file.hash());
        let size = file.size.unwrap_or(file.bytes.len() as u64);
        if file.stored && !of_store {
            let store = file.store.clone().unwrap_or_else(|| self.store());
            let mut headers =
                vec![format!("Location: {store}/store/{name}?sig={SIGNATURE}"), format!("X-Linked-Etag: \"{etag}\"")];
            if !file.unmeasured {
                headers.push(format!("X-Linked-Size: {size}"));
            }
            return say(stream, 302, &headers, b"");
        }
        let mut body = instead.unwrap_or_else(|| file.bytes.clone());
        let from = if file.whole || from > body.len() { 0 } else { from };
        let mut head = match from {
            0 => "HTTP/1.1 200 OK\r\n".to_owned(),
            _ => format!("HTTP/1.1 206 Partial\r\nContent-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len()),
        };
        body.drain(..from);
        // The store has a hash of its own, which says nothing.
        let own = if of_store { "of-the-store".into() } else { etag };
        head += &format!("Connection: close\r\nETag: \"{own}\"\r\n");
        if !file.unmeasured {
            let length = if method == "HEAD" { size } else { body.len() as u64 };
            head += &format!("Content-Length: {length}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        if method == "HEAD" {
            return stream.flush().ok();
        }
        std::thread::sleep(file.delay);
        if let Some(after) = file.stall {
            stream.write_all(&body[..after.min(body.len())]).ok()?;
            stream.flush().ok()?;
            std::thread::sleep(Duration::from_secs(3600));
        }
        if !file.drip.is_zero() {
            for byte in &body {
                std::thread::sleep(file.drip);
                stream.write_all(&[*byte]).ok()?;
            }
            return stream.flush().ok();
        }
        stream.write_all(&body[..cut.unwrap_or(usize::MAX).min(body.len())]).ok()?;
        stream.flush().ok()
    }
}

fn say(stream: &mut TcpStream, status: u16, headers: &[String], body: &[u8]) -> Option<()> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    stream.flush().ok()
}
