//! A registry of this test's own: it answers what it was told to, true or not.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

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
}

impl Answer {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = Some(body.len());
        Self { status: "200 OK", headers: Vec::new(), body, length, authorization: None, endless: false }
    }

    pub(crate) fn status(status: &'static str) -> Self {
        Self { status, ..Self::ok("") }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(format!("{name}: {value}"));
        self
    }

    pub(crate) fn length(self, length: Option<usize>) -> Self {
        Self { length, ..self }
    }

    /// Sends its body until nobody listens.
    pub(crate) fn endless(self) -> Self {
        Self { endless: true, length: None, ..self }
    }

    /// Only for who sends this header; everybody else is refused.
    pub(crate) fn only_for(self, authorization: &str) -> Self {
        Self { authorization: Some(authorization.to_owned()), ..self }
    }
}

/// `GET /path` or the like, and the header `Authorization`.
pub(crate) type Asked = (String, Option<String>);

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    challenge: String,
    asked: Vec<Asked>,
}

#[derive(Clone)]
pub(crate) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                // Who leaves before the end of the answer has enough of it.
                std::thread::spawn(move || server.serve(stream));
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
        format!("127.0.0.1:{}", self.port)
    }

    /// Answers `GET path` so from now on.
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

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let first = lines.next()?.ok()?;
        let mut authorization = None;
        for line in lines {
            let line = line.ok()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("authorization")
            {
                authorization = Some(value.to_owned());
            }
        }
        let target = first.split(' ').nth(1)?.to_owned();
        let answer = {
            let mut state = self.state();
            state.asked.push((target.clone(), authorization.clone()));
            let path = target.split('?').next()?;
            let found = state.answers.get(path).cloned().unwrap_or_else(|| Answer::status("404 Not Found"));
            match &found.authorization {
                Some(wanted) if authorization.as_ref() != Some(wanted) => {
                    Answer::status("401 Unauthorized").header("WWW-Authenticate", &state.challenge)
                }
                _ => found,
            }
        };
        let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", answer.status);
        for header in &answer.headers {
            head += &format!("{header}\r\n");
        }
        if let Some(length) = answer.length {
            head += &format!("Content-Length: {length}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        stream.write_all(&answer.body).ok()?;
        if answer.endless {
            loop {
                stream.write_all(&answer.body).ok()?;
            }
        }
        stream.flush().ok()
    }
}
