//! What is sent to a registry, and where.

use super::*;

const UPLOADS: &str = "POST /v2/team/mine/blobs/uploads/";
const MANIFEST: &str = "PUT /v2/team/mine/manifests/1";

fn artifact() -> Artifact<'static> {
    Artifact { component: COMPONENT, imports: &[], exports: &[], title: "mine", version: "1", description: "" }
}

/// A registry that takes everything: what is sent to `/upload`.
fn willing(case: &Case) {
    case.server.answer(UPLOADS, accepted("/upload?state=a%2Fb"));
    case.server.answer("PUT /upload", Answer::status("201 Created"));
    case.server.answer(MANIFEST, Answer::status("201 Created"));
}

fn accepted(location: &str) -> Answer {
    Answer::status("202 Accepted").header("Location", location)
}

fn push(case: &Case) -> Result<Reference, RegistryError> {
    case.registry(false).push(&case.tagged(), &artifact())
}

fn refused(case: &Case, words: &[&str]) {
    let error = push(case).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "'{word}' is not in: {error}");
    }
    assert!(error.lines().count() == 1 && error.len() < 1000, "{error}");
    assert_eq!(case.server.sent(MANIFEST), None, "{error}");
}

#[test]
fn a_component_is_sent_before_what_names_it() {
    for case in [Case::honest(), Case::secure()] {
        willing(&case);
        let pushed = push(&case).unwrap();
        let manifest = case.server.sent(MANIFEST).unwrap();
        assert_eq!(pushed.to_string(), format!("oci://{}/team/mine@{}", case.server.host(), digest(&manifest)));
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let config = manifest["config"]["digest"].as_str().unwrap();
        assert_eq!(manifest["layers"][0]["digest"], digest(COMPONENT));
        assert_eq!(digest(&case.server.sent("PUT /upload").unwrap()), config);
        let put = |digest: &str| format!("PUT /upload?state=a%2Fb&digest={}", digest.replace(':', "%3A"));
        let head = |digest: &str| format!("HEAD /v2/team/mine/blobs/{digest}");
        let component = digest(COMPONENT);
        let expected = [
            head(&component),
            UPLOADS.into(),
            put(&component),
            head(config),
            UPLOADS.into(),
            put(config),
            MANIFEST.into(),
        ];
        assert_eq!(case.paths(), expected);

        // What is there is not sent again.
        for digest in [&component, config] {
            case.server.answer(&head(digest), Answer::ok("").length(Some(18)));
        }
        assert_eq!(push(&case).unwrap(), pushed);
        assert_eq!(case.paths(), [head(&component), head(config), MANIFEST.into()]);
    }
}

#[test]
fn a_token_to_push_is_asked_for() {
    let (case, tokens) = (Case::secure(), Server::in_tls());
    willing(&case);
    case.wants_token(&tokens);
    let shown = "Bearer t0ken";
    case.server.answer(&format!("HEAD {}", blob_path()), Answer::status("404 Not Found").only_for(shown));
    case.server.answer(UPLOADS, accepted(&case.server.url("/upload")).only_for(shown));
    case.server.answer("PUT /upload", Answer::status("201 Created").only_for(shown));
    case.server.answer(MANIFEST, Answer::status("201 Created").only_for(shown));
    push(&case).unwrap();
    let query = "scope=repository%3Ateam%2Fmine%3Apull%2Cpush&service=registry";
    assert_eq!(tokens.asked(), [(format!("/token?{query}"), None)]);
    let shown = case.server.asked().into_iter().skip(1).map(|(_, shown)| shown.unwrap()).collect::<Vec<_>>();
    assert_eq!(shown, ["Bearer t0ken"; 7]);

    tokens.answer("/token", Answer::ok(r#"{"token": "another"}"#));
    let error = push(&case).unwrap_err().to_string();
    assert!(error.contains("refuses access; `docker login"), "{error}");
    assert_eq!(case.paths().len(), 2);
}

#[test]
fn an_upload_elsewhere_is_told_nothing_of_who_sends_it() {
    for (case, other) in [(Case::honest(), Server::start()), (Case::secure(), Server::in_tls())] {
        willing(&case);
        case.wants_token(&case.server);
        case.server.answer(UPLOADS, accepted(&other.url("/upload")).only_for("Bearer t0ken"));
        other.answer("PUT /upload", Answer::status("201 Created"));
        push(&case).unwrap();
        assert!(other.asked().iter().all(|(path, shown)| path.starts_with("PUT /upload?digest=") && shown.is_none()));
        assert!(case.server.asked().contains(&(UPLOADS.into(), Some("Bearer t0ken".into()))));
        // Whoever is there can't ask either.
        other.challenge(&format!(r#"Bearer realm="{}""#, other.url("/token")));
        other.answer("PUT /upload", Answer::status("201 Created").only_for("somebody"));
        let error = push(&case).unwrap_err().to_string();
        assert!(error.contains("refuses access"), "{error}");
        assert_eq!(other.asked().len(), 1);
    }
}

#[test]
fn a_component_is_sent_only_where_it_may_go() {
    let plain = Server::start();
    for (location, why) in [
        (plain.url("/upload").as_str(), "leads out of TLS"),
        ("file:///tmp/x", "is neither"),
        ("https://user:s3cret@0.0.0.0/", "a name or a password in it"),
        ("/upload#x", "has a '#' in it"),
    ] {
        let case = Case::secure();
        willing(&case);
        case.server.answer(UPLOADS, accepted(location));
        refused(&case, &[why, "leads where harness does not go"]);
        assert!(!push(&case).unwrap_err().to_string().contains("s3cret"));
    }
    assert_eq!(plain.asked(), []);
    let case = Case::honest();
    willing(&case);
    case.server.answer(UPLOADS, Answer::status("202 Accepted"));
    refused(&case, &["202 Accepted and not where to"]);
    for (path, status) in [(UPLOADS, "307 Temporary Redirect"), ("PUT /upload", "308 Permanent Redirect")] {
        let case = Case::honest();
        willing(&case);
        case.server.answer(path, Answer::status(status).header("Location", "/upload2"));
        refused(&case, &["redirects what is sent there", status]);
    }
}

#[test]
fn what_a_registry_says_against_it_is_one_line() {
    let body = r#"{"errors": [{"code": "DENIED", "message": "no\u001b[2J\n\u202eway"}, {"code": "OTHER"}]}"#;
    for path in [UPLOADS, "PUT /upload", MANIFEST] {
        for (status, words) in [
            ("403 Forbidden", ["refuses access: DENIED no\\u{1b}[2J \\u{202e}way, OTHER;", "docker login"]),
            ("413 Payload Too Large", ["it answered 413 Payload Too Large: DENIED no", "way, OTHER"]),
            ("500 Internal Server Error", ["it answered 500 Internal Server Error: DENIED", "OTHER"]),
            ("404 Not Found", ["it answered 404 Not Found: DENIED", "OTHER"]),
        ] {
            let case = Case::honest();
            willing(&case);
            case.server.answer(path, Answer::status(status).body(body));
            let error = push(&case).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)) && error.lines().count() == 1, "{error}");
        }
    }
}

#[test]
fn a_push_ends_in_time() {
    let slow = || Answer::status("202 Accepted").body(" ").slow(Duration::from_secs(600));
    let (total, silence) = (hasty(|times| times.total = SHORT), hasty(|times| times.silence = SHORT));
    let case = Case::honest();
    willing(&case);
    // The status is there, and where it leads is not; so this one ends at once.
    case.server.answer(UPLOADS, slow());
    refused(&case, &["not where to"]);
    case.server.answer(UPLOADS, Answer::status("500 No").body(" ").endless().slow(GAP));
    for times in [total, silence] {
        let error = case.registry(false).with_times(times).push(&case.tagged(), &artifact()).unwrap_err();
        assert!(!error.is_usage() && error.to_string().contains("answered 500"), "{error}");
    }
    // Nobody answers at all.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let reference: Reference = format!("oci://{}/team/mine:1", listener.local_addr().unwrap()).parse().unwrap();
    for (times, why) in [(total, "took longer than 0.4 s"), (silence, "nothing came for 0.4 s")] {
        let error = case.registry(false).with_times(times).push(&reference, &artifact()).unwrap_err();
        assert!(!error.is_usage() && error.to_string().contains(why), "{error}");
    }
}
