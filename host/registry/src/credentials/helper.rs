//! Asks a credential helper: the program `docker-credential-NAME`, as Docker and podman ask it.

use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Login;

/// Of what it prints.
const MAX_OUTPUT: u64 = 1 << 20;
/// How often it is looked whether it has ended.
const STEP: Duration = Duration::from_millis(5);

/// What it said.
pub(super) enum Said {
    Login(Login),
    IdentityToken,
    /// Why not.
    Nothing(String),
}

/// The error says why the helper can't be used. It is killed when its time is over.
pub(super) fn get(name: &str, server: &str, time: Duration) -> Result<Said, String> {
    let program = format!("docker-credential-{name}");
    if name.contains('/') {
        return Err(format!("'{program}' is no name of a program"));
    }
    ask(Command::new(&program).arg("get"), server, time).map_err(|what| format!("{program} {what}"))
}

fn ask(command: &mut Command, server: &str, time: Duration) -> Result<Said, String> {
    let end = Instant::now() + time;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("can't be started: {error}"))?;
    let outcome = talk(&mut child, server, end, time);
    // Whoever has ended already is not hurt by it; nobody is left behind.
    let _ = child.kill();
    let _ = child.wait();
    outcome
}

fn talk(child: &mut Child, server: &str, end: Instant, time: Duration) -> Result<Said, String> {
    let late = || format!("gave no answer in {} s", time.as_secs_f64());
    let (output, complaint) = (read(child.stdout.take()), read(child.stderr.take()));
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(server.as_bytes()) {
            // It may have ended without reading.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(format!("takes no input: {error}")),
            _ => {}
        }
    }
    let rest = || end.saturating_duration_since(Instant::now());
    let output = received(&output, rest()).ok_or_else(late)?;
    if output.len() as u64 > MAX_OUTPUT {
        return Err(format!("printed more than {MAX_OUTPUT} bytes"));
    }
    let status = loop {
        match child.try_wait().map_err(|error| format!("is lost: {error}"))? {
            Some(status) => break status,
            None if rest().is_zero() => return Err(late()),
            None => std::thread::sleep(STEP),
        }
    };
    if !status.success() {
        let complaint = received(&complaint, rest()).unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        return Ok(Said::Nothing(format!("{} {}", text(&output), text(&complaint))));
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    // What is wrong with it is not said: a part of it may be the password.
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| "printed no name and password".to_owned())?;
    Ok(match answer.username.as_str() {
        "<token>" => Said::IdentityToken,
        _ => Said::Login(Login { user: answer.username, password: answer.secret }),
    })
}

/// Reads in another thread, since a helper's own children may keep the pipe open for longer than it lives.
fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What can't be read is no answer, which is said where it is looked at.
            let _ = pipe.take(MAX_OUTPUT + 1).read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

fn received(receiver: &Receiver<Vec<u8>>, time: Duration) -> Option<Vec<u8>> {
    receiver.recv_timeout(time).ok()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, time: Duration) -> Result<Said, String> {
        ask(Command::new("sh").args(["-c", script]), "reg.io", time)
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_helper_is_asked_as_docker_asks_it() {
        let said = shell(r#"printf '{"ServerURL": "x", "Username": "u", "Secret": "for %s"}' "$(cat)""#, MINUTE);
        let Ok(Said::Login(login)) = said else { panic!("no login") };
        assert_eq!((login.user.as_str(), login.password.as_str()), ("u", "for reg.io"));
        let said = shell(r#"echo '{"Username": "<token>", "Secret": "x"}'"#, MINUTE);
        assert!(matches!(said, Ok(Said::IdentityToken)));
        let Ok(Said::Nothing(why)) = shell("echo none; echo here >&2; exit 1", MINUTE) else { panic!("something") };
        assert_eq!(why.split_whitespace().collect::<Vec<_>>(), ["none", "here"]);
    }

    #[test]
    fn a_helper_that_misbehaves_is_ended() {
        let short = Duration::from_millis(200);
        for (script, time, why) in [
            ("echo secret", MINUTE, "no name and password"),
            ("head -c 2000000 /dev/zero", MINUTE, "more than 1048576 bytes"),
            ("cat /dev/zero", MINUTE, "more than 1048576 bytes"),
            ("sleep 5", short, "no answer in 0.2 s"),
            ("exec >&-; sleep 5", short, "no answer in 0.2 s"),
            ("sleep 5 & exit 0", short, "no answer in 0.2 s"),
        ] {
            let error = shell(script, time).err().unwrap();
            assert!(error.contains(why) && !error.contains("secret"), "{script}: {error}");
        }
        assert!(get("../x", "reg.io", MINUTE).err().unwrap().contains("no name of a program"));
        assert!(get("that-is-not-there", "reg.io", MINUTE).err().unwrap().contains("can't be started"));
    }
}
