//! Registries that send their clients elsewhere.

use super::*;

/// What is asked of a registry in vain, and what of another server.
fn refused(case: &Case, words: &[&str]) {
    let error = case.pull().unwrap_err();
    assert!(matches!(error, RegistryError::Address { .. }) && error.is_usage(), "{error:?}");
    case.fails(words);
}

#[test]
fn a_circle_is_noticed() {
    let case = Case::honest();
    let path = case.manifest_path();
    case.server.answer(&path, Answer::redirect(&path));
    refused(&case, &["lead in a circle"]);
    assert_eq!(case.paths(), [path.clone(), path.clone()]);
    case.server.answer(&path, Answer::redirect("/there"));
    case.server.answer("/there", Answer::redirect(&case.server.url(&path)));
    refused(&case, &["lead in a circle"]);
}

#[test]
fn redirects_are_counted() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let case = Case::honest();
        case.server.answer(&blob_path(), Answer::status(status).header("Location", "/1"));
        for number in 1..5 {
            case.server
                .answer(&format!("/{number}"), Answer::status(status).header("Location", &format!("/{}", number + 1)));
        }
        case.server.answer("/5", Answer::ok(COMPONENT));
        assert_eq!(case.pull().unwrap().component, COMPONENT, "{status}");
    }
    let case = Case::honest();
    case.server.answer(&blob_path(), Answer::redirect("/v2/1"));
    for number in 1..9 {
        case.server.answer(&format!("/v2/{number}"), Answer::redirect(&format!("{}", number + 1)));
    }
    refused(&case, &["redirects more than 5 times"]);
    assert!(!case.paths().contains(&"/v2/6".to_owned()));
}

#[test]
fn nothing_leads_out_of_tls() {
    let (case, plain) = (Case::secure(), Server::start());
    assert_eq!(case.pull().unwrap().component, COMPONENT);
    std::fs::remove_dir_all(case.folder.path().join("sha256")).unwrap();
    plain.answer("/blob", Answer::ok(COMPONENT));
    let plainly = format!("http://{}/", case.server.host());
    for location in [plain.url("/blob"), plainly] {
        case.server.answer(&blob_path(), Answer::redirect(&location));
        refused(&case, &["leads out of TLS", "to http://"]);
    }
    // Nor by a way round.
    let other = Server::in_tls();
    other.answer("/blob", Answer::redirect(&plain.url("/blob")));
    case.server.answer(&blob_path(), Answer::redirect(&other.url("/blob")));
    refused(&case, &["leads out of TLS"]);
    let case = Case::honest();
    case.server.answer(&blob_path(), Answer::redirect(&other.url("/blob")));
    refused(&case, &["leads out of TLS"]);
    assert_eq!(plain.asked(), []);
}

#[test]
fn only_a_certificate_that_is_trusted_is_spoken_to() {
    let case = Case::secure();
    let options = Options { cache: None, offline: false, plain_http: Vec::new() };
    let error = Registry::new(options).pull(&case.pinned()).unwrap_err();
    assert!(!error.is_usage() && error.to_string().contains("SSL_CERT_FILE"), "{error}");
    assert_eq!(case.paths(), [""; 0]);
}

#[test]
fn only_addresses_of_the_web_are_followed() {
    for (location, why) in [
        ("file:///etc/passwd", "'file:///etc/passwd' is neither https:// nor http://"),
        ("unix:///run/docker.sock", "is neither"),
        ("http://user:secret@127.0.0.1:1/", "has a name or a password in it"),
        ("http://10.1.2.3/", "http://10.1.2.3 is in plain HTTP and is not the registry"),
        ("http://169.254.169.254/latest/meta-data", "--plain-http"),
        ("/v2/#there", "has a '#' in it"),
        ("http://[", "is no address"),
    ] {
        let case = Case::honest();
        case.server.answer(&case.manifest_path(), Answer::redirect(location));
        refused(&case, &[why]);
        assert!(!case.pull().unwrap_err().to_string().contains("secret"));
    }
    let case = Case::honest();
    case.server.answer(&case.manifest_path(), Answer::status("302 Found"));
    refused(&case, &["302 Found and not where to"]);
    case.server.answer(&case.manifest_path(), Answer::redirect(&"x".repeat(9000)));
    refused(&case, &["longer than 8192"]);
    case.server.answer(&case.manifest_path(), Answer::redirect("/é"));
    refused(&case, &["is no text"]);
}

#[test]
fn who_was_left_out_once_stays_out() {
    for (case, other) in [(Case::honest(), Server::start()), (Case::secure(), Server::in_tls())] {
        case.wants_token(&case.server);
        let token = Some("Bearer t0ken".to_owned());
        case.server.answer(&blob_path(), Answer::redirect("/here").only_for("Bearer t0ken"));
        case.server.answer("/here", Answer::redirect(&other.url("/there")).only_for("Bearer t0ken"));
        other.answer("/there", Answer::redirect(&case.server.url("/back")));
        case.server.answer("/back", Answer::ok(COMPONENT));
        assert_eq!(case.pull().unwrap().component, COMPONENT);
        assert_eq!(other.asked(), [("/there".to_owned(), None)]);
        let asked = case.server.asked();
        assert_eq!(asked[3..], [(blob_path(), token.clone()), ("/here".into(), token), ("/back".into(), None)]);
    }
}

#[test]
fn nobody_but_the_registry_can_ask_who_is_there() {
    let (case, other) = (Case::honest(), Server::start());
    case.server.answer(&blob_path(), Answer::redirect(&other.url("/there")));
    for challenge in [format!(r#"Bearer realm="{}""#, other.url("/token")), "Basic realm=x".to_owned()] {
        other.challenge(&challenge);
        other.answer("/there", Answer::ok(COMPONENT).only_for("somebody"));
        case.fails(&["refuses access"]);
        assert_eq!(other.asked(), [("/there".to_owned(), None)]);
    }
}
