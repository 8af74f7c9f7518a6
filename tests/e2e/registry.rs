//! Plugins in a real registry on this machine: Debian's docker-registry; and in one of this test's own that lies, for what shows only
//! from outside: who gets a password, and how much memory an answer takes.
//!
//! What else a registry can do wrong is tried in `host/registry/tests`.

#[allow(dead_code, reason = "host/registry's own tests use the rest")]
#[path = "../../host/registry/tests/lying/server.rs"]
mod lying;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::BINARY;
use harness_tests::peak::{self, Ended};
use harness_tests::{EXAMPLE, Place, stderr, stdout, told};
use lying::Answer;
use serde_json::{Value, json};

/// A registry that lives as long as this.
struct Server {
    process: Child,
    place: Place,
    /// `127.0.0.1:PORT`.
    host: String,
}

impl Server {
    fn start() -> Self {
        Self::with("127.0.0.1", "")
    }

    /// `more` goes under `http:` in its configuration, and further down.
    fn with(address: &str, more: &str) -> Self {
        let place = Place::new();
        let data = place.path("data");
        // The system chooses the port, and the registry says which.
        let configuration = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}:0\n{more}",
            data.display()
        );
        let mut process = Command::new(program())
            .arg("serve")
            .arg(place.write("registry.yml", configuration))
            .current_dir(place.folder())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let port = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            said += &format!("{line}\n");
            let (_, rest) = line.split_once(" on ")?;
            line.contains("msg=\"listening on").then(|| {
                let port = rest.split(['"', ',']).next().unwrap().rsplit(':').next().unwrap();
                port.parse::<u16>().unwrap_or_else(|error| panic!("{line}: {error}"))
            })
        });
        let port = port.unwrap_or_else(|| panic!("the registry ended: {said}"));
        // What it says further on must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, place, host: format!("{address}:{port}") }
    }

    fn reference(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.host)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    let named = std::env::var_os("HARNESS_TEST_REGISTRY").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| {
        std::env::split_paths(&path)
            .flat_map(|folder| [folder.join("docker-registry"), folder.join("registry")])
            .find(|program| program.is_file())
    });
    found.expect("no docker-registry in PATH and no HARNESS_TEST_REGISTRY; on Debian, `apt install docker-registry`")
}

fn harness(place: &Place, arguments: &[&str]) -> Output {
    let artifacts = place.path("artifacts");
    place.command(BINARY).env("HARNESS_ARTIFACTS", artifacts).args(arguments).output().unwrap()
}

/// That it did what it should, and what it printed.
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    stdout(output).trim_end().to_owned()
}

fn refused(output: &Output, words: &[&str]) {
    assert_eq!(output.status.code(), Some(2), "{}", told(output));
    assert_eq!(stdout(output), "", "{}", told(output));
    for word in words {
        assert!(stderr(output).contains(word), "'{word}' is not in {}", told(output));
    }
}

fn quick<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--backend", "simulated", "--quick", "--quiet"], more].concat()
}

fn sha256_of_the_example(place: &Place) -> String {
    let inspected = done(&harness(place, &["plugin", "inspect", EXAMPLE]));
    let line = inspected.lines().find(|line| line.trim_start().starts_with("sha256")).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

#[test]
#[ignore = "needs docker-registry in PATH or in HARNESS_TEST_REGISTRY; run with -- --include-ignored"]
fn what_is_pushed_is_what_runs() {
    let (server, author, user) = (Server::start(), Place::new(), Place::new());
    let tagged = server.reference("team/example:0.1.0");
    let pinned = done(&harness(&author, &["plugin", "push", EXAMPLE, &tagged]));
    let (name, digest) = pinned.split_once('@').unwrap();
    assert_eq!(name, server.reference("team/example"));
    // The same file has the same digest, wherever it is.
    let elsewhere = done(&harness(&author, &["plugin", "push", EXAMPLE, &server.reference("other:latest")]));
    assert_eq!(elsewhere, server.reference(&format!("other@{digest}")));

    refused(
        &harness(&user, &quick(&["--plugin", &tagged])),
        &["has no digest", &format!("`harness plugin pull {tagged}`")],
    );
    let pulled = harness(&user, &["plugin", "pull", &tagged, "--output", "example.wasm"]);
    assert_eq!(done(&pulled), pinned);
    let sha256 = sha256_of_the_example(&user);
    assert!(stderr(&pulled).contains(&sha256), "{}", told(&pulled));
    assert_eq!(std::fs::read(user.path("example.wasm")).unwrap(), std::fs::read(EXAMPLE).unwrap());

    done(&harness(&user, &quick(&["--plugin", &pinned, "--sha256", &sha256])));
    let facts = user.recording()[0].to_string();
    assert!(facts.contains(&sha256), "{facts}");
    refused(
        &harness(&user, &quick(&["--plugin", &pinned, "--sha256", &"0".repeat(64)])),
        &["--sha256 pins 0000", &sha256],
    );
    refused(
        &harness(&user, &quick(&["--plugin", &server.reference(&format!("team/example@sha256:{}", "0".repeat(64)))])),
        &["the registry has no such artifact"],
    );
    refused(&harness(&user, &["plugin", "push", EXAMPLE, &pinned]), &["push to a tag"]);
    for command in ["inspect", "check", "test"] {
        let output = harness(&user, &["plugin", command, &pinned]);
        assert!(done(&output).contains("latency-sweep") || command == "test", "{}", told(&output));
    }
}

#[test]
#[ignore = "needs docker-registry in PATH or in HARNESS_TEST_REGISTRY; run with -- --include-ignored"]
fn reports_come_from_registries_and_the_configuration_names_them() {
    let (server, place) = (Server::start(), Place::new());
    let csv = done(&harness(&place, &["plugin", "push", "csv", &server.reference("reports/csv:1")]));
    let example = done(&harness(&place, &["plugin", "push", EXAMPLE, &server.reference("example:1")]));
    let sha256 = sha256_of_the_example(&place);
    let configure = |sha256: &str| {
        let text = format!(
            "[plugins]\nmine = {{ reference = '{example}', sha256 = '{sha256}' }}\nfigures.reference = '{csv}'\n\
             loose.reference = '{}'\n[report-set.figures]\nwhat = 'samples'\n",
            server.reference("example:1")
        );
        place.configure(&text);
    };
    configure(&sha256);
    done(&harness(
        &place,
        &quick(&["--plugin", "mine", "--report", &format!("{csv}=a.csv"), "--report", "figures=b.csv"]),
    ));
    let of = |file: &str| std::fs::read_to_string(place.path(file)).unwrap();
    assert!(of("a.csv").starts_with("metric,unit,value") && of("b.csv").lines().count() > of("a.csv").lines().count());
    assert_eq!(done(&harness(&place, &["report", "--with", &csv])), of("a.csv").trim_end());
    assert_eq!(done(&harness(&place, &["report", "--with", "figures"])), of("b.csv").trim_end());
    refused(&harness(&place, &quick(&["--plugin", "loose"])), &["has no digest"]);
    configure(&"0".repeat(64));
    refused(&harness(&place, &quick(&["--plugin", "mine"])), &["the configuration pins 0000", &sha256, &example]);

    // What was fetched runs without its registry; what was not says so.
    configure(&sha256);
    drop(server);
    done(&harness(&place, &quick(&["--plugin", "mine"])));
    done(&harness(&place, &quick(&["--plugin", &example, "--report", &csv, "--offline"])));
    let fresh = Place::new();
    refused(&harness(&fresh, &quick(&["--plugin", &example, "--offline"])), &["is not on this machine, and --offline"]);
    fresh.write("harness.toml", "[registries]\noffline = true\n");
    refused(&harness(&fresh, &["plugin", "check", &example]), &["is not on this machine, and --offline"]);
    let gone = harness(&Place::new(), &quick(&["--plugin", &example]));
    assert_eq!(gone.status.code(), Some(1), "{}", told(&gone));
    assert!(stderr(&gone).contains("no answer from 127.0.0.1:"), "{}", told(&gone));
}

/// As long as one with an interpreter in it, so that it is sent in pieces.
#[test]
#[ignore = "needs docker-registry in PATH or in HARNESS_TEST_REGISTRY; run with -- --include-ignored"]
fn a_long_component_arrives_whole() {
    let (server, place) = (Server::start(), Place::new());
    let mut component = std::fs::read(EXAMPLE).unwrap();
    // A custom section: its id, its length in LEB128, its name, and what is in it.
    let content: Vec<u8> = (0..18_000_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut length = content.len() + 2;
    component.push(0);
    while length >= 0x80 {
        component.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    component.extend([length as u8, 1, b'x']);
    component.extend(content);
    place.write("long.wasm", &component);
    let pinned = done(&harness(&place, &["plugin", "push", "long.wasm", &server.reference("long:1")]));
    done(&harness(&place, &["plugin", "pull", &pinned, "--output", "pulled.wasm"]));
    assert!(std::fs::read(place.path("pulled.wasm")).unwrap() == component);
    done(&harness(&place, &quick(&["--plugin", &pinned])));
}

/// What other tools find there.
#[test]
#[ignore = "needs docker-registry in PATH or in HARNESS_TEST_REGISTRY; run with -- --include-ignored"]
fn the_registry_holds_what_wkg_reads() {
    let (server, place) = (Server::start(), Place::new());
    done(&harness(&place, &["plugin", "push", "default", &server.reference("default:1")]));
    let blobs = server.place.path("data/docker/registry/v2/blobs/sha256");
    let blob = |digest: &Value| {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        std::fs::read(blobs.join(&hex[..2]).join(hex).join("data")).unwrap()
    };
    let link = server.place.path("data/docker/registry/v2/repositories/default/_manifests/tags/1/current/link");
    let manifest: Value = serde_json::from_slice(&blob(&std::fs::read_to_string(link).unwrap().into())).unwrap();
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/wasm");
    assert_eq!(blob(&layer["digest"]), harness_bundle::builtin("default").unwrap().wasm);
    let config: Value = serde_json::from_slice(&blob(&manifest["config"]["digest"])).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["layerDigests"], Value::from(vec![layer["digest"].clone()]));
    let has = |kind: &str, name: &str| config["component"][kind].as_array().unwrap().contains(&name.into());
    assert!(
        has("exports", "harness:plugin/workload@0.2.0") && has("exports", "harness:plugin/report@0.2.0"),
        "{config}"
    );
    assert!(has("imports", "harness:plugin/bench@0.2.0"), "{config}");
}

#[test]
#[ignore = "needs docker-registry in PATH or in HARNESS_TEST_REGISTRY; run with -- --include-ignored"]
fn what_was_changed_in_the_registry_is_refused() {
    let (server, place) = (Server::start(), Place::new());
    let pinned = done(&harness(&place, &["plugin", "push", EXAMPLE, &server.reference("example:1")]));
    let sha256 = sha256_of_the_example(&place);
    let blob = server.place.path(&format!("data/docker/registry/v2/blobs/sha256/{}/{sha256}/data", &sha256[..2]));
    let mut bytes = std::fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    for arguments in [&["plugin", "pull", &pinned][..], &quick(&["--plugin", &pinned]), &["plugin", "check", &pinned]] {
        refused(&harness(&place, arguments), &["not what was asked for", &sha256]);
    }
}

#[test]
#[ignore = "needs docker-registry in PATH or in HARNESS_TEST_REGISTRY; run with -- --include-ignored"]
fn a_password_comes_from_what_docker_or_podman_kept() {
    // The password is U*U: a test vector of crypt_blowfish, since the registry takes nothing but bcrypt.
    let keys = Place::new();
    let users = keys.write("users", "team:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n");
    let server =
        Server::with("127.0.0.1", &format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", users.display()));
    let (author, user) = (Place::new(), Place::new());
    let log_in = |place: &Place, encoded: &str| {
        place.write(".docker/config.json", format!(r#"{{"auths": {{"{}": {{"auth": "{encoded}"}}}}}}"#, server.host));
    };
    let push = ["plugin", "push", EXAMPLE, &server.reference("example:1")];
    let advice = format!("refuses access; `docker login {0}` or `podman login {0}`", server.host);
    refused(&harness(&author, &push), &[&advice]);
    log_in(&author, "dGVhbTp3cm9uZw=="); // team:wrong
    refused(&harness(&author, &push), &["refuses access"]);
    log_in(&author, "dGVhbTpVKlU="); // team:U*U
    let pinned = done(&harness(&author, &push));
    refused(&harness(&user, &["plugin", "pull", &pinned]), &[&advice]);
    log_in(&user, "dGVhbTpVKlU=");
    done(&harness(&user, &quick(&["--plugin", &pinned])));
    // Once it is here, nobody is asked.
    log_in(&user, "dGVhbTp3cm9uZw==");
    done(&harness(&user, &quick(&["--plugin", &pinned])));

    // podman's file goes before Docker's, and may have an entry for a repository alone.
    let podman = Place::new();
    log_in(&podman, "dGVhbTp3cm9uZw==");
    let auths = |key: &str| format!(r#"{{"auths": {{"{key}": {{"auth": "dGVhbTpVKlU="}}}}}}"#);
    let run = quick(&["--plugin", &pinned]);
    podman.write(".config/containers/auth.json", auths(&format!("{}/other", server.host)));
    refused(&harness(&podman, &run), &["refuses access"]);
    podman.write(".config/containers/auth.json", auths(&format!("{}/example", server.host)));
    done(&harness(&podman, &run));
    let elsewhere = Place::new();
    let file = elsewhere.write("auth.json", auths(&server.host));
    let named = |path: &std::path::Path| {
        let mut command = elsewhere.command(BINARY);
        command.env("HARNESS_ARTIFACTS", elsewhere.path("artifacts")).env("REGISTRY_AUTH_FILE", path);
        command.args(&run).output().unwrap()
    };
    refused(&named(&elsewhere.path("none.json")), &["REGISTRY_AUTH_FILE names", "none.json, which can't be read"]);
    done(&named(&file));
}

/// 0.0.0.0 reaches this machine and is no address of it, so TLS is spoken; with a certificate that the system trusts or not.
#[test]
#[ignore = "needs docker-registry in PATH or in HARNESS_TEST_REGISTRY, and openssl; run with -- --include-ignored"]
fn other_machines_are_spoken_to_in_tls() {
    let keys = Place::new();
    let mut openssl = Command::new("openssl");
    openssl.current_dir(keys.folder()).args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem"]);
    openssl.args(["-out", "cert.pem", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:0.0.0.0"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let output = openssl.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let (cert, key) = (keys.path("cert.pem"), keys.path("key.pem"));
    let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", cert.display(), key.display());
    let server = Server::with("0.0.0.0", &tls);
    let place = Place::new();
    let push = ["plugin", "push", EXAMPLE, &server.reference("example:1")];
    let unknown = harness(&place, &push);
    assert_eq!(unknown.status.code(), Some(1), "{}", told(&unknown));
    assert!(stderr(&unknown).contains("SSL_CERT_FILE"), "{}", told(&unknown));
    let trusting = |arguments: &[&str]| {
        let mut command = place.command(BINARY);
        command.env("HARNESS_ARTIFACTS", place.path("artifacts")).env("SSL_CERT_FILE", &cert);
        command.args(arguments).output().unwrap()
    };
    let pinned = done(&trusting(&push));
    done(&trusting(&quick(&["--plugin", &pinned])));
}

const LOGIN: &str = "Basic dGVhbTpzM2NyZXQ="; // team:s3cret

/// A user who has a password for each of the registries, and trusts the certificate of the lying ones.
fn logged_in(registries: &[String]) -> Place {
    let place = Place::new();
    let auths: serde_json::Map<String, Value> =
        registries.iter().map(|registry| (registry.clone(), json!({"auth": &LOGIN["Basic ".len()..]}))).collect();
    place.write("auth.json", json!({ "auths": auths }).to_string());
    place.write("root.pem", lying::certificate().cert.pem());
    place
}

fn pull(place: &Place, server: &lying::Server, more: &[&str]) -> Command {
    pull_from(place, &server.host(), more)
}

fn pull_from(place: &Place, registry: &str, more: &[&str]) -> Command {
    let mut command = place.command(BINARY);
    command
        .env("HARNESS_ARTIFACTS", place.path("artifacts"))
        .env("REGISTRY_AUTH_FILE", place.path("auth.json"))
        .env("SSL_CERT_FILE", place.path("root.pem"))
        .args(["plugin", "pull", &format!("oci://{registry}/team/mine:1")])
        .args(more);
    command
}

/// Fails, and says so in one line that moves no terminal and has no secret in it.
fn fails(command: &mut Command, code: i32, words: &[&str]) {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    let said = stderr(&output);
    for word in words {
        assert!(said.contains(word), "'{word}' is not in {said}");
    }
    assert!(said.trim_end().lines().count() == 1 && !said.contains(LOGIN) && !said.contains("s3cret"), "{said}");
    assert!(!said.trim_end().contains(|character: char| character.is_control() || character == '\u{202e}'), "{said:?}");
}

/// Has one artifact for who has a token, which the token server gives to everybody.
fn wants_token(server: &lying::Server, realm: &str, tokens: &lying::Server) {
    const COMPONENT: &[u8] = b"\0asm and so on";
    let digest = format!("sha256:{}", harness_sandbox::sha256(COMPONENT));
    let manifest = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": digest, "size": 2},
        "layers": [{"mediaType": "application/wasm", "digest": digest, "size": COMPONENT.len()}],
    });
    server.challenge(&format!(r#"Bearer realm="{realm}",service="s""#));
    tokens.answer("/token", Answer::ok(r#"{"token": "t0ken"}"#));
    server.answer("/v2/team/mine/manifests/1", Answer::ok(manifest.to_string()).only_for("Bearer t0ken"));
    server.answer(&format!("/v2/team/mine/blobs/{digest}"), Answer::ok(COMPONENT).only_for("Bearer t0ken"));
}

/// What was shown to a server.
fn shown(server: &lying::Server) -> Vec<Option<String>> {
    server.asked().into_iter().map(|(_, authorization)| authorization).collect()
}

#[test]
fn a_password_goes_to_the_token_server_that_a_registry_in_tls_names() {
    let (server, tokens, other) = (lying::Server::in_tls(), lying::Server::in_tls(), lying::Server::in_tls());
    let place = logged_in(&[server.host()]);
    // As Docker Hub's, it is another host.
    let realm = tokens.url("/token").replace("0.0.0.0", "localhost");
    wants_token(&server, &realm, &tokens);
    done(&pull(&place, &server, &[]).output().unwrap());
    assert_eq!(shown(&tokens), [Some(LOGIN.to_owned())]);
    assert_eq!(shown(&server), [None, Some("Bearer t0ken".into()), Some("Bearer t0ken".into())]);

    // It goes no further.
    tokens.answer("/token", Answer::redirect(&other.url("/elsewhere")));
    other.answer("/elsewhere", Answer::ok(r#"{"token": "t0ken"}"#));
    done(&pull(&place, &server, &[]).output().unwrap());
    assert_eq!((shown(&tokens), shown(&other)), (vec![Some(LOGIN.to_owned())], vec![None]));
    other.challenge("Basic realm=x");
    other.answer("/elsewhere", Answer::ok(r#"{"token": "t0ken"}"#).only_for(LOGIN));
    fails(&mut pull(&place, &server, &[]), 2, &["refuses access"]);
    assert_eq!(shown(&other), [None]);
}

#[test]
fn a_password_leaves_tls_for_nobody() {
    let (server, plain) = (lying::Server::in_tls(), lying::Server::start());
    let place = logged_in(&[server.host(), plain.host(), format!("localhost:{}", plain.port())]);
    let secret = format!("https://team:s3cret@{}/token", server.host());
    for (realm, word) in [
        (plain.url("/token"), "leads out of TLS"),
        (plain.url("/token").replace("127.0.0.1", "localhost"), "leads out of TLS"),
        (server.url("/token").replace("https:", "http:"), "leads out of TLS"),
        ("file:///etc/passwd".into(), "is neither https:// nor http://"),
        ("unix:/run/docker.sock".into(), "is neither https:// nor http://"),
        (server.url("/token#x"), "has a '#' in it"),
        (secret, "a name or a password in it"),
    ] {
        wants_token(&server, &realm, &plain);
        fails(&mut pull(&place, &server, &[]), 2, &["leads where harness does not go", word]);
        // To name the other as plain does not help: the registry is in TLS.
        fails(&mut pull(&place, &server, &["--plain-http", &plain.host()]), 2, &[word]);
        assert_eq!(shown(&server), [None, None]);
    }
    server.answer("/token", Answer::redirect(&plain.url("/token")));
    wants_token(&server, &server.url("/token"), &plain);
    fails(&mut pull(&place, &server, &[]), 2, &["leads out of TLS"]);
    assert_eq!(plain.asked(), []);

    // Nor where the registry asks for the password itself.
    server.challenge("Basic realm=x");
    server.answer("/v2/team/mine/manifests/1", Answer::redirect(&plain.url("/there")).only_for(LOGIN));
    fails(&mut pull(&place, &server, &[]), 2, &["leads out of TLS"]);
    let other = lying::Server::in_tls();
    other.challenge("Basic realm=x");
    other.answer("/there", Answer::ok("{}").only_for(LOGIN));
    server.answer("/v2/team/mine/manifests/1", Answer::redirect(&other.url("/there")).only_for(LOGIN));
    fails(&mut pull(&place, &server, &[]), 2, &["refuses access"]);
    assert_eq!((plain.asked(), shown(&other)), (vec![], vec![None]));
}

#[test]
fn a_password_for_another_registry_is_nobodys() {
    for (server, tokens) in
        [(lying::Server::in_tls(), lying::Server::in_tls()), (lying::Server::start(), lying::Server::start())]
    {
        let place = logged_in(&[tokens.host(), "docker.io".into(), "https://index.docker.io/v1/".into()]);
        wants_token(&server, &tokens.url("/token"), &tokens);
        done(&pull(&place, &server, &[]).output().unwrap());
        assert_eq!(shown(&tokens), [None]);
        server.challenge("Basic realm=x");
        fails(&mut pull(&place, &server, &[]), 2, &["refuses access"]);
        assert!(shown(&server).iter().flatten().all(|shown| shown == "Bearer t0ken"));
    }
}

/// Anybody on the way may have written what a registry in plain HTTP says.
#[test]
fn a_password_for_a_registry_in_plain_http_stays_there() {
    let (server, secure, plain) = (lying::Server::start(), lying::Server::in_tls(), lying::Server::start());
    let named = format!("0.0.0.0:{}", server.port());
    let place = logged_in(&[server.host(), named.clone()]);
    wants_token(&server, &secure.url("/token"), &secure);
    fails(&mut pull(&place, &server, &[]), 2, &["goes to no other host", &secure.host()]);
    assert_eq!(secure.asked(), []);
    // On this machine all is one.
    wants_token(&server, &plain.url("/token").replace("127.0.0.1", "localhost"), &plain);
    done(&pull(&place, &server, &[]).output().unwrap());
    assert_eq!(shown(&plain), [Some(LOGIN.to_owned())]);

    // From elsewhere nothing leads here, unless it is named.
    wants_token(&server, &plain.url("/token"), &plain);
    fails(
        &mut pull_from(&place, &named, &["--plain-http", &named]),
        2,
        &["is in plain HTTP and is not the registry", "--plain-http"],
    );
    assert_eq!(plain.asked(), []);
    let both = ["--plain-http", &named, "--plain-http", &plain.host()];
    done(&pull_from(&place, &named, &both).output().unwrap());
    assert_eq!(shown(&plain), [Some(LOGIN.to_owned())]);
}

#[test]
fn an_endless_answer_takes_no_memory() {
    const MAX_COMPONENT: usize = 256 << 20;
    let endless = || Answer::ok(vec![b' '; 1 << 20]).endless();
    let digest = format!("sha256:{}", "0".repeat(64));
    let manifest = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": digest, "size": 2},
        "layers": [{"mediaType": "application/wasm", "digest": digest, "size": MAX_COMPONENT}],
    });
    let tiny = format!(
        r#"{{"schemaVersion": 2, "layers": [{}]}}"#,
        vec![r#"{"mediaType":"","digest":"","size":0}"#; 100_000].join(",")
    );
    let (path, blob) = ("/v2/team/mine/manifests/1", format!("/v2/team/mine/blobs/{digest}"));
    for (path, answer, code, word) in [
        ("/token", endless(), 1, "more than 1048576 bytes"),
        ("/token", Answer::ok("{").length(Some(1 << 40)), 1, "more than 1048576 bytes"),
        ("/token", Answer::status("500 No").body(vec![b'x'; 1 << 20]).endless(), 1, "answers 500"),
        ("/token", Answer::ok(vec![b'['; 1 << 20]), 1, "no JSON object"),
        (path, endless(), 2, "longer than 4194304 bytes"),
        (path, Answer::status("403 Forbidden").body(vec![b'x'; 1 << 20]).endless(), 2, "refuses access: xxx"),
        (path, Answer::ok(tiny), 2, "can't be used"),
        (path, Answer::ok(vec![b'['; 4 << 20]), 2, "can't be read"),
        (&blob, endless(), 2, "longer than 268435456 bytes"),
    ] {
        let server = lying::Server::start();
        wants_token(&server, &server.url("/token"), &server);
        server.answer("/v2/team/mine/manifests/1", Answer::ok(manifest.to_string()).only_for("Bearer t0ken"));
        server.answer(path, if path == "/token" { answer } else { answer.only_for("Bearer t0ken") });
        let Ended { memory: bytes, output, .. } = peak::run(&mut pull(&logged_in(&[]), &server, &[]));
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
        assert!(stderr(&output).contains(word) && stderr(&output).len() < 2000, "{}", told(&output));
        assert!(bytes < 512 << 20, "{path} ({word}): {bytes} bytes");
    }
}

#[test]
fn what_a_token_server_says_moves_no_terminal() {
    let server = lying::Server::start();
    wants_token(&server, &server.url("/token"), &server);
    let said = "no\u{1b}]0;x\u{7} \u{202e}\u{2066} go\n::error::x";
    server.answer("/token", Answer::status("403 Forbidden").body(said));
    let written = "refuses access: no\\u{1b}]0;x\\u{7} \\u{202e}\\u{2066} go ::error::x; `docker login";
    fails(&mut pull(&logged_in(&[]), &server, &[]), 2, &[written]);
}

#[test]
fn the_folder_of_what_was_fetched_is_this_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let server = lying::Server::start();
    wants_token(&server, &server.url("/token"), &server);
    let place = logged_in(&[]);
    done(&pull(&place, &server, &[]).output().unwrap());
    let folder = place.path("artifacts");
    let mode = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o700);
    for open in [0o777, 0o770] {
        mode(open);
        let words = ["other users can write into the folder", "HARNESS_ARTIFACTS", "delete it"];
        fails(&mut pull(&place, &server, &[]), 2, &words);
    }
    mode(0o755);
    done(&pull(&place, &server, &[]).output().unwrap());
}
