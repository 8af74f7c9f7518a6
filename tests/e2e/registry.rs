//! Plugins in a real registry on this machine: Debian's docker-registry.
//!
//! What a registry can do wrong is tried in `host/registry/tests`, which needs none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use harness_tests::{EXAMPLE, Place, stderr, stdout, told};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_harness");

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
