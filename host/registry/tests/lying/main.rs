//! Registries that lie, break off or know nothing: what they send is never taken for what was asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod server;

mod push;
mod redirects;
mod tokens;

use std::path::PathBuf;
use std::time::Duration;

use harness_registry::{Artifact, MOST_COMPONENT, Options, Pulled, Reference, Registry, RegistryError, Times};
use serde_json::{Value, json};
use server::{Answer, Server};
use sha2::{Digest, Sha256};

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0 and so on";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// As `harness plugin push` and `wkg` write it.
fn manifest() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": "application/wasm", "digest": digest(COMPONENT), "size": COMPONENT.len()}],
    })
}

/// A registry with one artifact, and a machine with an empty cache.
struct Case {
    server: Server,
    folder: tempfile::TempDir,
    manifest: Vec<u8>,
}

impl Case {
    fn honest() -> Self {
        Self::of(&manifest())
    }

    /// In TLS.
    fn secure() -> Self {
        Self::at(Server::in_tls(), &manifest())
    }

    fn of(manifest: &Value) -> Self {
        Self::at(Server::start(), manifest)
    }

    fn at(server: Server, manifest: &Value) -> Self {
        let case =
            Self { server, folder: tempfile::tempdir().unwrap(), manifest: serde_json::to_vec(manifest).unwrap() };
        case.server.answer("/v2/team/mine/manifests/1", Answer::ok(case.manifest.clone()));
        case.server.answer(&case.manifest_path(), Answer::ok(case.manifest.clone()));
        case.server.answer(&blob_path(), Answer::ok(COMPONENT));
        case
    }

    fn manifest_path(&self) -> String {
        format!("/v2/team/mine/manifests/{}", digest(&self.manifest))
    }

    fn pinned(&self) -> Reference {
        let digest = digest(&self.manifest);
        format!("oci://{}/team/mine@{digest}", self.server.host()).parse().unwrap()
    }

    fn tagged(&self) -> Reference {
        format!("oci://{}/team/mine:1", self.server.host()).parse().unwrap()
    }

    fn registry(&self, offline: bool) -> Registry {
        Registry::new(Options { cache: Some(self.folder.path().into()), offline, plain_http: Vec::new() })
            .with_roots(vec![server::root()])
    }

    fn pull(&self) -> Result<Pulled, RegistryError> {
        self.registry(false).pull(&self.pinned())
    }

    /// That it fails, with these words, and that nothing but a true manifest was kept.
    fn fails(&self, words: &[&str]) {
        let error = self.pull().unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "'{word}' is not in: {error}");
        }
        assert!(error.contains(&self.pinned().to_string()), "{error}");
        for kept in self.kept() {
            assert_eq!(std::fs::read(&kept).unwrap(), self.manifest, "{}", kept.display());
        }
    }

    fn kept(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("sha256"));
        entries.map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
    }

    /// The registry wants a token of this server for everything that it has.
    fn wants_token(&self, token_server: &Server) {
        self.server.challenge(&format!(r#"Bearer realm="{}",service="registry""#, token_server.url("/token")));
        token_server.answer("/token", Answer::ok(r#"{"token": "t0ken"}"#));
        self.server.answer(&self.manifest_path(), Answer::ok(self.manifest.clone()).only_for("Bearer t0ken"));
        self.server.answer(&blob_path(), Answer::ok(COMPONENT).only_for("Bearer t0ken"));
    }

    fn paths(&self) -> Vec<String> {
        self.server.asked().into_iter().map(|(path, _)| path).collect()
    }
}

fn blob_path() -> String {
    format!("/v2/team/mine/blobs/{}", digest(COMPONENT))
}

#[test]
fn what_was_fetched_once_is_not_fetched_again() {
    let case = Case::honest();
    let pulled = case.registry(false).pull(&case.tagged()).unwrap();
    assert_eq!((pulled.component.as_slice(), &pulled.reference), (COMPONENT, &case.pinned()));
    assert_eq!(std::fs::read(pulled.path.unwrap()).unwrap(), COMPONENT);
    assert_eq!(case.paths(), ["/v2/team/mine/manifests/1".to_owned(), blob_path()]);
    for offline in [false, true] {
        assert_eq!(case.registry(offline).component(&case.pinned()).unwrap(), COMPONENT);
    }
    assert_eq!(case.paths(), [""; 0]);
}

#[test]
fn a_tag_names_a_plugin_only_to_find_its_digest() {
    let case = Case::honest();
    let error = case.registry(false).component(&case.tagged()).unwrap_err();
    let advice = format!("`harness plugin pull {}` prints the reference to use, with its digest", case.tagged());
    assert!(error.is_usage() && error.to_string().contains(&advice), "{error}");
    assert_eq!(case.paths(), [""; 0]);
}

#[test]
fn offline_nothing_is_asked() {
    let case = Case::honest();
    for (reference, words) in [
        (case.pinned(), ["its manifest of oci://", "is not on this machine, and --offline", "leave it out once"]),
        (case.tagged(), ["only its registry knows what oci://", "forbids to ask it", "with its digest"]),
    ] {
        let error = case.registry(true).pull(&reference).unwrap_err();
        for word in words {
            assert!(error.is_usage() && error.to_string().contains(word), "{word}: {error}");
        }
    }
    // The manifest alone is not enough.
    case.server.answer(&blob_path(), Answer::status("404 Not Found"));
    case.fails(&["no such component"]);
    case.server.asked();
    let error = case.registry(true).pull(&case.pinned()).unwrap_err().to_string();
    assert!(error.contains("its component of oci://") && error.contains(&digest(COMPONENT)[7..]), "{error}");
    let artifact =
        Artifact { component: COMPONENT, imports: &[], exports: &[], title: "", version: "", description: "" };
    let error = case.registry(true).push(&case.tagged(), &artifact).unwrap_err().to_string();
    assert!(error.contains("forbids to send anything there"), "{error}");
    assert_eq!(case.paths(), [""; 0]);
}

#[test]
fn another_manifest_is_refused() {
    let case = Case::honest();
    let mut other = manifest();
    other["annotations"] = json!({"of": "somebody else"});
    case.server.answer(&case.manifest_path(), Answer::ok(other.to_string()));
    case.fails(&["not what was asked for", &digest(other.to_string().as_bytes()), &digest(&case.manifest)]);
    assert_eq!(case.kept().len(), 0);
    // Nor does a header make it right.
    let lie = Answer::ok(other.to_string()).header("Docker-Content-Digest", &digest(&case.manifest));
    case.server.answer(&case.manifest_path(), lie);
    case.fails(&["not what was asked for"]);
}

#[test]
fn another_component_is_refused() {
    let mut other = COMPONENT.to_vec();
    other[12] ^= 1;
    let longer = [COMPONENT, b"!"].concat();
    for (answer, words) in [
        (Answer::ok(other), ["not what was asked for", "its component has the digest"]),
        (Answer::ok(longer.clone()), ["not what was asked for", "longer than 18 bytes"]),
        (Answer::ok(longer).length(None), ["not what was asked for", "longer than 18 bytes"]),
        (Answer::ok(COMPONENT).endless(), ["not what was asked for", "longer than 18 bytes"]),
        (Answer::ok(&COMPONENT[..10]), ["not what was asked for", "(10 bytes)"]),
        (Answer::ok(&COMPONENT[..10]).length(None), ["not what was asked for", "(10 bytes)"]),
        (Answer::ok(""), ["not what was asked for", "(0 bytes)"]),
    ] {
        let case = Case::honest();
        case.server.answer(&blob_path(), answer);
        case.fails(&words);
    }
}

#[test]
fn an_answer_that_breaks_off_is_a_failure_of_the_network() {
    for path in [Case::manifest_path, |_: &Case| blob_path()] {
        let case = Case::honest();
        case.server.answer(&path(&case), Answer::ok("{").length(Some(10)));
        let error = case.pull().unwrap_err();
        assert!(!error.is_usage() && error.to_string().contains("no answer from 127.0.0.1:"), "{error}");
        case.fails(&["no answer"]);
    }
}

#[test]
fn a_manifest_without_end_is_not_read_to_its_end() {
    let case = Case::honest();
    for path in [case.manifest_path(), "/v2/team/mine/manifests/1".to_owned()] {
        case.server.answer(&path, Answer::ok(vec![b' '; 1 << 16]).endless());
    }
    case.fails(&["longer than 4194304 bytes"]);
    let error = case.registry(false).pull(&case.tagged()).unwrap_err().to_string();
    assert!(error.contains("longer than 4194304 bytes"), "{error}");
}

/// The manifests that are refused one by one are in the tests of `layout`; here, that nothing is asked for afterwards.
#[test]
fn what_the_manifest_rules_out_is_not_fetched() {
    let with = |pointer: &str, value: Value| {
        let mut manifest = manifest();
        *manifest.pointer_mut(pointer).unwrap() = value;
        manifest
    };
    let layer = manifest()["layers"][0].clone();
    for (manifest, word) in [
        (with("/layers", json!([layer, layer])), "it has 2 layers"),
        (with("/layers/0/mediaType", "application/octet-stream".into()), "application/octet-stream"),
        (with("/config/mediaType", "application/vnd.oci.image.config.v1+json".into()), "its config is of the type"),
        (with("/mediaType", "application/vnd.oci.image.index.v1+json".into()), "an index"),
        (with("/layers/0/size", (MOST_COMPONENT + 1).into()), "are the most"),
        (with("/layers/0/digest", "md5:d41d8cd98f00b204e9800998ecf8427e".into()), "digest can't be used"),
    ] {
        let case = Case::of(&manifest);
        case.fails(&[word]);
        assert_eq!(case.paths(), [case.manifest_path()], "{word}");
    }
}

#[test]
fn a_size_that_is_not_the_components_is_refused_whichever_way() {
    let with = |size: usize| {
        let mut manifest = manifest();
        manifest["layers"][0]["size"] = size.into();
        Case::of(&manifest)
    };
    with(COMPONENT.len() - 1).fails(&["longer than 17 bytes"]);
    let error = with(COMPONENT.len() + 1).pull().unwrap_err();
    let said = "its manifest says that the component has 19 bytes, and it has 18";
    assert!(error.is_usage() && error.to_string().contains(said), "{error}");
}

#[test]
fn an_answer_that_is_none_is_said() {
    let case = Case::honest();
    case.server.answer(&case.manifest_path(), Answer::status("404 Not Found"));
    case.fails(&["the registry has no such artifact"]);
    case.server.answer(&case.manifest_path(), Answer::status("500 Internal Server Error"));
    case.fails(&["500 Internal Server Error"]);
    assert!(!case.pull().unwrap_err().is_usage());
    case.server.answer(&case.manifest_path(), Answer::status("403 Forbidden"));
    case.fails(&["refuses access", "`docker login 127.0.0.1:"]);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reference: Reference = format!("oci://{nobody}/team/mine:1").parse().unwrap();
    let error = case.registry(false).pull(&reference).unwrap_err();
    assert!(!error.is_usage() && error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_token_goes_to_the_registry_and_to_nobody_else() {
    let case = Case::honest();
    let elsewhere = Server::start();
    elsewhere.answer("/storage/blob", Answer::ok(COMPONENT));
    let host = case.server.host();
    case.server.challenge(&format!(r#"Bearer realm="http://{host}/token",service="registry""#));
    case.server.answer("/token", Answer::ok(r#"{"token": "t0ken"}"#));
    case.server.answer(&case.manifest_path(), Answer::ok(case.manifest.clone()).only_for("Bearer t0ken"));
    let location = format!("http://{}/storage/blob", elsewhere.host());
    let redirect = Answer::status("307 Temporary Redirect").header("Location", &location).only_for("Bearer t0ken");
    case.server.answer(&blob_path(), redirect);

    assert_eq!(case.pull().unwrap().component, COMPONENT);
    let scope = format!("/token?scope={}&service=registry", "repository%3Ateam%2Fmine%3Apull");
    assert!(case.server.asked().contains(&(scope, None)));
    assert_eq!(elsewhere.asked(), [("/storage/blob".to_owned(), None)]);

    // What comes from elsewhere is checked as well.
    elsewhere.answer("/storage/blob", Answer::ok("something else"));
    std::fs::remove_dir_all(case.folder.path().join("sha256")).unwrap();
    case.fails(&["not what was asked for"]);

    case.server.answer("/token", Answer::status("401 Unauthorized"));
    std::fs::remove_dir_all(case.folder.path().join("sha256")).unwrap();
    case.fails(&["refuses access"]);
}

#[test]
fn a_damaged_cache_is_fetched_again_or_said() {
    let case = Case::honest();
    let path = case.pull().unwrap().path.unwrap();
    std::fs::write(&path, "something else").unwrap();
    let error = case.registry(true).pull(&case.pinned()).unwrap_err();
    let said = format!("{} is damaged: its digest is {}", path.display(), digest(b"something else"));
    assert!(error.is_usage() && error.to_string().contains(&said), "{error}");
    assert_eq!(case.pull().unwrap().component, COMPONENT);
    assert_eq!(std::fs::read(&path).unwrap(), COMPONENT);
    assert_eq!(case.registry(true).pull(&case.pinned()).unwrap().component, COMPONENT);
}

/// 0.0.0.0 reaches this machine, and is not an address of it.
#[test]
fn plain_http_is_for_this_machine_and_for_registries_that_are_named() {
    let case = Case::honest();
    let registry = format!("0.0.0.0:{}", case.server.port());
    let reference: Reference = format!("oci://{registry}/team/mine@{}", digest(&case.manifest)).parse().unwrap();
    let error = case.registry(false).pull(&reference).unwrap_err();
    assert!(!error.is_usage() && error.to_string().contains("name it with --plain-http"), "{error}");
    let options = Options {
        cache: Some(case.folder.path().into()),
        offline: false,
        plain_http: vec!["0.0.0.0:1".into(), registry],
    };
    assert_eq!(Registry::new(options).pull(&reference).unwrap().component, COMPONENT);
}

#[test]
fn without_a_cache_everything_is_fetched_each_time() {
    let case = Case::honest();
    let registry = |offline| Registry::new(Options { cache: None, offline, plain_http: Vec::new() });
    for _ in 0..2 {
        let pulled = registry(false).pull(&case.pinned()).unwrap();
        assert_eq!((pulled.component.as_slice(), pulled.path), (COMPONENT, None));
        assert_eq!(case.paths(), [case.manifest_path(), blob_path()]);
    }
    let error = registry(true).pull(&case.pinned()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("with a folder in HARNESS_ARTIFACTS"), "{error}");
}

/// Times that a test can wait for; the others are as they are.
fn hasty(change: impl Fn(&mut Times)) -> Times {
    let mut times = Times::default();
    change(&mut times);
    times
}

const SHORT: Duration = Duration::from_millis(400);
/// So that the time between two bytes is never what ends it.
const GAP: Duration = Duration::from_millis(20);

#[test]
fn an_answer_that_never_ends_slowly_is_ended() {
    let slow = || Answer::ok(vec![b' '; 100]).endless().slow(GAP);
    let silent = || Answer::ok(" ").slow(Duration::from_secs(600));
    for path in [Case::manifest_path, |_: &Case| blob_path()] {
        for (answer, times, why) in [
            (slow(), hasty(|times| times.total = SHORT), "all requests together took longer than 0.4 s"),
            (slow(), hasty(|times| (times.answer, times.transfer) = (SHORT, SHORT)), "took too long"),
            (silent(), hasty(|times| times.silence = SHORT), "nothing came for 0.4 s"),
        ] {
            let case = Case::of(&{
                let mut long = manifest();
                long["layers"][0]["size"] = (1 << 20).into();
                long
            });
            case.server.answer(&path(&case), answer);
            let error = case.registry(false).with_times(times).pull(&case.pinned()).unwrap_err();
            assert!(!error.is_usage() && error.to_string().contains(why), "{why}: {error}");
        }
    }
}

#[test]
fn the_cache_is_this_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::honest();
    case.pull().unwrap();
    case.paths();
    std::fs::set_permissions(case.folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    for offline in [false, true] {
        let error = case.registry(offline).pull(&case.pinned()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("other users can write into the folder"), "{error}");
    }
    assert_eq!(case.paths(), [""; 0]);
}
