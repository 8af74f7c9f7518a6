//! Token servers that lie, and registries that name strange ones. Who may have a password is in `tests/e2e/registry.rs`, where the
//! real program finds one.

use super::*;

#[test]
fn a_token_is_asked_for_once_and_shown_to_the_registry() {
    for (case, tokens) in [(Case::honest(), Server::start()), (Case::secure(), Server::in_tls())] {
        case.wants_token(&tokens);
        for body in [r#"{"token": "t0ken"}"#, r#"{"access_token": "t0ken", "expires_in": 60, "issued_at": "now"}"#] {
            tokens.answer("/token", Answer::ok(body));
            assert_eq!(case.pull().unwrap().component, COMPONENT);
            std::fs::remove_dir_all(case.folder.path().join("sha256")).unwrap();
            let query = "scope=repository%3Ateam%2Fmine%3Apull&service=registry";
            assert_eq!(tokens.asked(), [(format!("/token?{query}"), None)]);
            let (path, shown) = (case.manifest_path(), Some("Bearer t0ken".to_owned()));
            assert_eq!(case.server.asked(), [(path.clone(), None), (path, shown.clone()), (blob_path(), shown)]);
        }
    }
}

#[test]
fn what_a_token_server_answers_is_bounded() {
    let secret = |more: &str| Answer::ok(format!(r#"{{"token": "s3cret{more}"}}"#));
    for (answer, why) in [
        (Answer::ok(vec![b'x'; 1 << 16]).endless(), "more than 1048576 bytes"),
        (Answer::ok("{").length(Some(1 << 40)), "more than 1048576 bytes"),
        (Answer::ok(vec![b' '; (1 << 20) + 1]), "more than 1048576 bytes"),
        (Answer::ok(r#"{"token": "s3cret"}"#).length(Some(100)), "no answer"),
        (Answer::ok("s3cret"), "no JSON object with a token"),
        (Answer::ok(vec![b'['; 1 << 20]), "no JSON object with a token"),
        (Answer::ok("{}"), "it has no token"),
        (Answer::ok(""), "no JSON object"),
        (secret(&"x".repeat(1 << 16)), "65536 are the most"),
        (secret("\\r\\nHost: evil"), "characters that no header takes"),
        (secret("\\u001b[2J"), "characters that no header takes"),
        (Answer::status("204 No Content").length(None), "answers 204"),
        (
            Answer::status("500 Internal Server Error").body("it\u{1b}[2J\nbroke"),
            "500 Internal Server Error: it\\u{1b}[2J broke",
        ),
        (
            Answer::status("500 Internal Server Error").body(vec![b'x'; 1 << 16]).endless(),
            "500 Internal Server Error: xxx",
        ),
        (Answer::status("403 Forbidden").body("no\u{202e}\n::error::"), "refuses access: no\\u{202e} ::error::;"),
        (Answer::status("401 Unauthorized").body("\u{7}who?"), "refuses access: \\u{7}who?;"),
        (Answer::redirect("/token"), "lead in a circle"),
        (Answer::redirect("file:///etc/passwd"), "is neither https:// nor http://"),
    ] {
        let (case, tokens) = (Case::honest(), Server::start());
        case.wants_token(&tokens);
        tokens.answer("/token", answer);
        let error = case.pull().unwrap_err().to_string();
        assert!(error.contains(why) && error.len() < 1000 && error.lines().count() == 1, "{why}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
        assert_eq!(case.paths(), [case.manifest_path()], "{why}");
    }
}

#[test]
fn a_token_that_never_comes_is_not_waited_for() {
    let slow = || Answer::ok(r#"{"token": "   "#).endless().slow(GAP);
    let silent = || Answer::ok(" ").slow(Duration::from_secs(600));
    for (answer, times, why) in [
        (slow(), hasty(|times| times.total = SHORT), "all requests together took longer than 0.4 s"),
        (slow(), hasty(|times| times.answer = SHORT), "an answer took too long"),
        (silent(), hasty(|times| times.silence = SHORT), "nothing came for 0.4 s"),
        (Answer::status("500 No").body(" ").endless().slow(GAP), hasty(|times| times.answer = SHORT), "answers 500"),
    ] {
        let (case, tokens) = (Case::honest(), Server::start());
        case.wants_token(&tokens);
        tokens.answer("/token", answer);
        let error = case.registry(false).with_times(times).pull(&case.pinned()).unwrap_err();
        assert!(!error.is_usage() && error.to_string().contains(why), "{why}: {error}");
    }
}

#[test]
fn who_is_refused_for_ever_does_not_ask_for_ever() {
    let (case, tokens) = (Case::honest(), Server::start());
    case.wants_token(&tokens);
    tokens.answer("/token", Answer::ok(r#"{"token": "another"}"#));
    case.fails(&["refuses access; `docker login"]);
    assert_eq!(case.paths().len(), 2);
    assert_eq!(tokens.asked().len(), 1);
    for challenge in ["Basic realm=x", "Negotiate", ""] {
        case.server.challenge(challenge);
        case.fails(&["refuses access; `docker login"]);
        assert_eq!(case.paths().len(), 1, "{challenge}");
    }
}

#[test]
fn a_token_that_is_too_old_is_asked_for_again() {
    let (case, tokens) = (Case::honest(), Server::start());
    case.wants_token(&tokens);
    case.server.answer(&blob_path(), Answer::ok(COMPONENT).only_for("Bearer newer"));
    case.fails(&["refuses access"]);
    assert_eq!(tokens.asked().len(), 2);
}

#[test]
fn a_challenge_that_can_not_be_read_is_said() {
    for (challenge, why) in [
        ("Bearer".to_owned(), "it has no realm"),
        (r#"Bearer realm="http://127.0.0.1"#.to_owned(), "not closed"),
        (r#"Bearer realm="a", realm="b""#.to_owned(), "twice"),
        (format!(r#"Bearer realm="{}""#, "x".repeat(9000)), "longer than 8192 bytes"),
    ] {
        let case = Case::honest();
        case.wants_token(&case.server);
        case.server.challenge(&challenge);
        let error = case.pull().unwrap_err();
        assert!(!error.is_usage() && error.to_string().contains(why), "{error}");
        assert_eq!(case.paths(), [case.manifest_path()]);
    }
}

#[test]
fn a_token_server_is_where_it_may_be() {
    let (plain, secure) = (Server::start(), Server::in_tls());
    for server in [&plain, &secure] {
        server.answer("/token", Answer::ok(r#"{"token": "t0ken"}"#));
    }
    for (realm, why) in [
        ("file:///etc/passwd", "is neither"),
        ("unix:/run/docker.sock", "is neither"),
        ("http+unix://%2Frun%2Fdocker.sock/token", "is neither"),
        ("ftp://0.0.0.0/token", "is neither"),
        ("/token", "is no address"),
        ("", "is no address"),
        (&secure.url("/token#x"), "has a '#' in it"),
        (&secure.url("/token").replace("//", "//user:s3cret@"), "a name or a password in it"),
        (&plain.url("/token"), "leads out of TLS"),
        (&format!("http://{}/token", secure.host()), "leads out of TLS"),
    ] {
        for case in [Case::honest(), Case::secure()] {
            case.wants_token(&secure);
            case.server.challenge(&format!(r#"Bearer realm="{realm}""#));
            match case.pull() {
                // To a registry in plain HTTP on this machine, others on this machine may be.
                Ok(_) => {
                    assert_eq!((realm, case.server.url("")[..7].as_ref()), (plain.url("/token").as_str(), "http://"))
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(matches!(error, RegistryError::Address { .. }), "{realm}: {said}");
                    assert!(said.contains("its token server") && !said.contains("s3cret"), "{realm}: {said}");
                    assert!(said.contains(why) || said.contains("--plain-http"), "{realm}: {said}");
                    assert_eq!(case.paths(), [case.manifest_path()], "{realm}");
                }
            }
        }
    }
    assert_eq!(secure.asked(), []);
}
