//! Downloads from a hub that fails in every way.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_hub::{COMMIT, File, Hub, SIGNATURE};
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::client::{Client, Times};
use super::environment::Token;
use super::observer::{DownloadObserver, Watcher};
use super::{Cache, fetch_with};

/// Everything that was to be seen.
#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl DownloadObserver for Seen {
    fn file_started(&self, file: &str, have: u64, size: Option<u64>) {
        self.0.lock().unwrap().push(format!("{file} from {have} of {size:?}"));
    }

    fn bytes_received(&self, _: u64) {}

    fn file_finished(&self, file: &str, size: u64) {
        self.0.lock().unwrap().push(format!("{file} is here: {size}"));
    }

    fn note(&self, note: &str) {
        self.0.lock().unwrap().push(note.into());
    }
}

struct Place {
    folder: tempfile::TempDir,
    seen: Arc<Seen>,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), seen: Arc::default() }
    }

    fn fetch_as(&self, hub: &Hub, token: Option<&str>) -> Result<(), String> {
        let token = token.map(|token| Token {
            header: HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
            from: "HF_TOKEN".into(),
        });
        let times = Times {
            connect: Duration::from_secs(5),
            silence: Duration::from_millis(500),
            small: Duration::from_secs(20),
            pause: Duration::from_millis(1),
            patience: Duration::from_millis(1),
        };
        let client = Client::new(Url::parse(&hub.endpoint()).unwrap(), token, times).unwrap();
        let cache = Cache::new(self.folder.path().into());
        let watcher = Watcher::new(self.seen.clone());
        let folder = fetch_with("owner/name", &cache, &client, &watcher).map_err(|missed| {
            missed.why.replace(&hub.endpoint(), "HUB").replace(&self.folder.path().display().to_string(), "CACHE")
        })?;
        assert_eq!(folder, self.snapshot());
        Ok(())
    }

    fn fetch(&self, hub: &Hub) -> Result<(), String> {
        self.fetch_as(hub, None)
    }

    fn repo(&self) -> std::path::PathBuf {
        self.folder.path().join("models--owner--name")
    }

    fn snapshot(&self) -> std::path::PathBuf {
        self.repo().join("snapshots").join(COMMIT)
    }

    fn read(&self, file: &str) -> Option<Vec<u8>> {
        std::fs::read(self.snapshot().join(file)).ok()
    }

    /// Whether the model is found from now on.
    fn is_found(&self) -> bool {
        self.repo().join("refs/main").exists()
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.0.lock().unwrap())
    }

    /// The names of the blobs.
    fn blobs(&self) -> Vec<String> {
        let blobs = std::fs::read_dir(self.repo().join("blobs")).into_iter().flatten();
        let mut names: Vec<_> = blobs.map(|blob| blob.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

const CONFIG: &str = "{}";

fn weights() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn hub(more: &[(&str, File)]) -> Hub {
    let hub = Hub::start(&[("config.json", File::small(CONFIG)), ("model.safetensors", File::large(weights()))]);
    for (name, file) in more {
        hub.has(name, file.clone());
    }
    hub
}

#[test]
fn a_model_is_laid_out_as_python_lays_it_out() {
    let hub = hub(&[("merges.txt", File::small("a b")), ("README.md", File::small("x"))]);
    let place = Place::new();
    place.fetch(&hub).unwrap();
    assert_eq!(place.read("config.json").unwrap(), CONFIG.as_bytes());
    assert_eq!(place.read("merges.txt").unwrap(), b"a b");
    assert_eq!(place.read("model.safetensors").unwrap(), weights());
    assert_eq!(place.read("README.md"), None);
    assert_eq!(std::fs::read_to_string(place.repo().join("refs/main")).unwrap(), COMMIT);
    // `git hash-object` of `{}`.
    let config = "9e26dfeeb6e641a33dae4961196235bdb965b21b";
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(place.snapshot().join("config.json")).unwrap(),
        Path::new("../../blobs").join(config)
    );
    assert!(place.folder.path().join(format!(".locks/models--owner--name/{config}.lock")).exists());
    assert_eq!(place.blobs().len(), 3, "{:?}", place.blobs());
    let seen = place.seen();
    assert_eq!(seen[..2], ["config.json from 0 of Some(2)", "config.json is here: 2"]);
    // What is here is fetched no second time.
    hub.asked();
    place.fetch(&hub).unwrap();
    let asked = hub.asked();
    assert!(asked.iter().all(|asked| asked.line.starts_with("HEAD") || asked.line.contains("/api/")), "{asked:?}");
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_else() {
    let hub = hub(&[("vocab.json", File::large("{}"))]);
    hub.only_for("secret");
    let place = Place::new();
    place.fetch_as(&hub, Some("secret")).unwrap();
    let asked = hub.asked();
    assert!(asked.iter().filter(|asked| asked.of_store).count() >= 2);
    for asked in &asked {
        assert_eq!(asked.header("authorization"), (!asked.of_store).then_some("Bearer secret"), "{asked:?}");
    }
    // Nor by a way back that the store, or whoever plays it, makes up.
    hub.has("vocab.json", File::large("{}").back());
    let error = Place::new().fetch_as(&hub, Some("secret")).unwrap_err();
    assert!(error.contains("vocab.json (401)"), "{error}");
    let asked = hub.asked();
    let back = asked.iter().find(|asked| asked.line == "GET /back/vocab.json").unwrap();
    assert!(!back.of_store && back.header("authorization").is_none());
}

#[test]
fn a_404_is_passed_over_and_nothing_else() {
    let tokenizer = File::small("{}");
    let hub = hub(&[("tokenizer.json", tokenizer.clone().status(404))]);
    let place = Place::new();
    place.fetch(&hub).unwrap();
    assert!(place.is_found() && place.read("tokenizer.json").is_none());
    let note = "lists tokenizer.json and does not have it (404): the model is used without it";
    assert!(place.seen().iter().any(|seen| seen.ends_with(note)));
    for (status, why) in [
        (
            503,
            "HUB answers 503 Service Unavailable instead of tokenizer.json; try again later, or set HF_ENDPOINT to a mirror",
        ),
        (403, "HUB refuses tokenizer.json (403); for a gated model accept its terms"),
        (401, "HUB wants to know who asks for tokenizer.json (401)"),
        (429, "HUB had too many requests from here (429)"),
    ] {
        hub.has("tokenizer.json", tokenizer.clone().status(status));
        let place = Place::new();
        let error = place.fetch(&hub).unwrap_err();
        assert!(error.starts_with(why), "{error}");
        assert!(!place.is_found());
        // Another time it is there.
        hub.has("tokenizer.json", tokenizer.clone());
        place.fetch(&hub).unwrap();
        assert_eq!(place.read("tokenizer.json").unwrap(), b"{}");
    }
    // What passes is waited for.
    hub.has("tokenizer.json", tokenizer.clone().first(503).first(500));
    Place::new().fetch(&hub).unwrap();
    // No model goes without these.
    hub.has("config.json", File::small(CONFIG).status(404));
    let error = Place::new().fetch(&hub).unwrap_err();
    assert_eq!(error, "HUB lists config.json and does not have it (404); try again later");
}

#[test]
fn who_is_refused_learns_why_by_the_status() {
    let hub = hub(&[]);
    for (status, why) in [(404, "HUB has no such model; check the id"), (500, "HUB answers 500 Internal Server Error")]
    {
        // What a page of text says is of no matter.
        hub.list_as(status, "401 403 404");
        let error = Place::new().fetch(&hub).unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
    for (body, why) in
        [("<html>", "it is no list of files"), (r#"{"sha": "../../x", "siblings": []}"#, "it names no commit")]
    {
        hub.list_as(200, body);
        let error = Place::new().fetch(&hub).unwrap_err();
        assert!(error.starts_with(&format!("the list of its files of HUB can't be used: {why}")), "{error}");
    }
    hub.only_for("right");
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(error.starts_with("HUB wants to know who asks for the list of its files (401)"), "{error}");
    let error = Place::new().fetch_as(&hub, Some("wrong")).unwrap_err();
    assert!(error.starts_with("HUB does not take the token of HF_TOKEN for the list of its files (401)"), "{error}");
    assert!(!error.contains("wrong"));
}

#[test]
fn bytes_that_were_not_announced_are_fetched_again_and_then_refused() {
    let other = weights().into_iter().rev().collect::<Vec<_>>();
    let longer = [weights(), vec![0]].concat();
    for wrong in [other, longer] {
        let hub = hub(&[]);
        let file = File::large(weights()).instead(wrong.clone());
        hub.has("model.safetensors", file.clone());
        let place = Place::new();
        place.fetch(&hub).unwrap();
        assert_eq!(place.read("model.safetensors").unwrap(), weights());
        assert!(place.seen().iter().any(|seen| seen.starts_with("model.safetensors is fetched again: ")));

        hub.has("model.safetensors", file.instead(wrong));
        let place = Place::new();
        let error = place.fetch(&hub).unwrap_err();
        assert!(error.contains("what came is not what was announced"), "{error}");
        assert!(!place.is_found() && place.blobs().len() == 1, "{:?}", place.blobs());
    }
    // Weights of unknown size are not begun.
    let vague = hub(&[]);
    vague.has("model.safetensors", File::large(weights()).unmeasured());
    let error = Place::new().fetch(&vague).unwrap_err();
    assert!(error.contains("it does not announce the size of the weights"), "{error}");
    // Small ones by git's hash.
    let hub = hub(&[("vocab.json", File::small("{\"a\": 0}").instead("{\"a\": 1}").instead("{\"a\": 2}"))]);
    let place = Place::new();
    let error = place.fetch(&hub).unwrap_err();
    assert!(
        error.starts_with("vocab.json of HUB can't be used: what came is not what was announced: their hash is "),
        "{error}"
    );
    place.fetch(&hub).unwrap();
}

#[test]
fn half_an_answer_is_never_kept() {
    // Neither HEAD nor GET says how long it is: the hash does.
    let hub = hub(&[("tokenizer.json", File::small("0123456789").unmeasured().cut(5).cut(5))]);
    let place = Place::new();
    let error = place.fetch(&hub).unwrap_err();
    assert!(error.contains("what came is not what was announced"), "{error}");
    assert!(place.read("tokenizer.json").is_none() && !place.is_found());
    place.fetch(&hub).unwrap();
    assert_eq!(place.read("tokenizer.json").unwrap(), b"0123456789");
    // A mirror that announces neither.
    let mirror = File::small("0123456789").etag("some-etag");
    hub.has("tokenizer.json", mirror.clone().unmeasured());
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(error.contains("announces neither the file's hash nor its size"), "{error}");
    // One that announces the size alone.
    hub.has("tokenizer.json", mirror.clone().cut(5));
    let place = Place::new();
    place.fetch(&hub).unwrap();
    assert_eq!(place.read("tokenizer.json").unwrap(), b"0123456789");
    // An etag that is a path is none.
    hub.has("tokenizer.json", mirror.etag("../../../x"));
    assert!(Place::new().fetch(&hub).unwrap_err().contains("ETag"));
}

#[test]
fn what_was_cut_off_goes_on_or_starts_again() {
    for whole in [false, true] {
        let file = File::large(weights()).cut(1_000_000).cut(100_000);
        let file = if whole { file.whole() } else { file };
        let hub = hub(&[]);
        hub.has("model.safetensors", file);
        let place = Place::new();
        place.fetch(&hub).unwrap();
        assert_eq!(place.read("model.safetensors").unwrap(), weights());
        let ranges: Vec<_> = hub
            .asked()
            .iter()
            .filter(|asked| asked.of_store)
            .map(|asked| asked.header("range").map(String::from))
            .collect();
        assert_eq!(ranges.len(), 3);
        assert_eq!(ranges[1].as_deref(), Some("bytes=1000000-"));
        let second = if whole { "bytes=100000-" } else { "bytes=1100000-" };
        assert_eq!(ranges[2].as_deref(), Some(second));
        assert_eq!(place.blobs().len(), 2, "nothing is left beside the files");
    }
    // Across two calls, too; and what was there is checked with the rest.
    let hub = hub(&[]);
    hub.has("model.safetensors", File::large(weights()).cut(1_000_000).cut(1).cut(1));
    let place = Place::new();
    let error = place.fetch(&hub).unwrap_err();
    assert!(error.contains("after 1,000,002 of 1,200,000 bytes"), "{error}");
    let part = place.blobs().into_iter().find(|name| name.ends_with(".harness.incomplete")).unwrap();
    let part = place.repo().join("blobs").join(part);
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[7] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    place.fetch(&hub).unwrap();
    assert_eq!(place.read("model.safetensors").unwrap(), weights());
    assert_eq!(place.blobs().len(), 2);
}

#[test]
fn a_blob_that_an_older_harness_kept_half_is_fetched_again() {
    let hub = hub(&[]);
    let place = Place::new();
    place.fetch(&hub).unwrap();
    let blob = place.snapshot().join("model.safetensors").canonicalize().unwrap();
    std::fs::write(&blob, "half").unwrap();
    place.fetch(&hub).unwrap();
    assert_eq!(std::fs::read(&blob).unwrap(), weights());
}

#[test]
fn a_server_that_says_no_more_is_left() {
    let hub = hub(&[("merges.txt", File::small("0123456789").stall(5))]);
    // It goes on with the next answer.
    Place::new().fetch(&hub).unwrap();
    hub.has("merges.txt", File::small("0123456789").stall(3));
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(
        error.starts_with("merges.txt did not come from HUB (nothing came for 0.5 s, after 9 of 10 bytes)"),
        "{error}"
    );
}

/// An address of this machine at which nobody is.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn who_fails_behind_a_redirect_is_named_and_not_the_hub() {
    let hub = hub(&[]);
    let store = hub.store();
    let nobody = nobody();
    let large = || File::large(weights());
    let refused = "can't be reached (";
    for (file, host, why) in [
        (large().store_status(403), &store, "refuses it (403): the hub's link may have run out"),
        (large().store_status(401), &store, "answers 401 Unauthorized; try again later"),
        (large().store_status(404), &store, "answers 404 Not Found; try again later"),
        (large().store_status(503), &store, "answers 503 Service Unavailable; try again later"),
        (large().store(&nobody), &nobody, refused),
    ] {
        hub.has("model.safetensors", file);
        let error = Place::new().fetch_as(&hub, Some("secret")).unwrap_err();
        assert!(error.starts_with(&format!("{host}, to which HUB redirects for model.safetensors, {why}")), "{error}");
        for wrong in ["token", "gated", "HF_", "terms", SIGNATURE, "secret"] {
            assert!(!error.contains(wrong), "{wrong}: {error}");
        }
    }
    hub.has("model.safetensors", large().stall(7));
    let error = Place::new().fetch(&hub).unwrap_err();
    let stalled = format!(
        "model.safetensors did not come from {store}, to which HUB redirects for it (nothing came for 0.5 s, after 21 of 1,200,000 bytes)"
    );
    assert!(error.starts_with(&stalled) && !error.contains(SIGNATURE), "{error}");
    // Only of the hub itself a 404 says that there is none.
    hub.has("model.safetensors", large());
    hub.has("vocab.json", File::large("{}").store_status(404));
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(error.contains("redirects for vocab.json, answers 404"), "{error}");
}

#[test]
fn who_sends_a_byte_now_and_then_is_left() {
    let hub = hub(&[]);
    hub.has("model.safetensors", File::large(vec![7; 400]).drip(Duration::from_millis(40)));
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(error.contains("(less than 1 KiB/s came for 0.5 s, after "), "{error}");
}

#[test]
fn what_has_no_hash_is_said_once() {
    let mirror = |text: &str| File::small(text).etag("some-etag-of-a-mirror");
    let hub = hub(&[("vocab.json", mirror("{}")), ("tokenizer_config.json", mirror("{}  "))]);
    hub.has("vocab.json", mirror("{}").etag("another-one"));
    let place = Place::new();
    place.fetch(&hub).unwrap();
    let seen = place.seen();
    let notes: Vec<_> = seen.iter().filter(|seen| seen.contains("hash")).collect();
    let note = format!(
        "{} announces no hash of tokenizer_config.json: of such files only the size is checked",
        hub.endpoint()
    );
    assert_eq!(notes, [&note], "{seen:?}");
    let place = Place::new();
    place.fetch(&self::hub(&[])).unwrap();
    assert!(place.seen().iter().all(|seen| !seen.contains("hash")));
}

#[test]
fn where_nothing_can_be_kept_is_said_with_what_to_set() {
    let hub = hub(&[]);
    let place = Place::new();
    std::fs::write(place.repo(), "").unwrap();
    let error = place.fetch(&hub).unwrap_err();
    assert!(error.starts_with("config.json: it can't be kept in CACHE/models--owner--name/blobs ("), "{error}");
    assert!(error.ends_with("; set HF_HUB_CACHE to a folder in which you may write"), "{error}");
}

#[test]
fn no_more_is_fetched_than_is_read_or_than_there_is_room_for() {
    let hub = hub(&[("vocab.json", File::small("{}").size(1 << 30))]);
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(error.contains("it has 1,073,741,824 bytes, and at most 16,777,216 bytes of it are read"), "{error}");
    hub.has("vocab.json", File::small(vec![b' '; (16 << 20) + 1]).unmeasured());
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(error.contains("it has more, and at most 16,777,216 bytes of it are read"), "{error}");
    hub.has("vocab.json", File::small("{}"));
    hub.has("model.safetensors", File::large(weights()).size(1 << 60));
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(error.starts_with("model.safetensors: 1,152,921,504,606,846,976 bytes of it are still to come"), "{error}");
    assert!(error.contains("CACHE/models--owner--name/blobs has room for "), "{error}");
}

#[test]
fn all_shards_are_fetched_and_none_from_elsewhere() {
    let index = |files: [&str; 2]| {
        let json = serde_json::json!({"metadata": {}, "weight_map": {"a": files[0], "b": files[1]}});
        ("model.safetensors.index.json", File::small(json.to_string()))
    };
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let files = [("config.json", File::small(CONFIG)), index(shards), (shards[0], File::large("one"))];
    let hub = Hub::start(&files);
    let place = Place::new();
    let error = place.fetch(&hub).unwrap_err();
    assert!(
        error.starts_with(&format!("its model.safetensors.index.json names {}, which HUB does not have", shards[1]))
    );
    hub.has(shards[1], File::large("two"));
    place.fetch(&hub).unwrap();
    assert_eq!((place.read(shards[0]).unwrap(), place.read(shards[1]).unwrap()), (b"one".to_vec(), b"two".to_vec()));
    let (name, file) = index([shards[0], "../../config.json"]);
    hub.has(name, file);
    assert!(Place::new().fetch(&hub).unwrap_err().contains("only names like model-00001-of-00002.safetensors"));
}

#[test]
fn two_at_once_both_have_it() {
    let hub = hub(&[]);
    hub.has("model.safetensors", File::large(weights()).delay(Duration::from_millis(200)));
    // The folder's own name is no status.
    let place = Place { folder: tempfile::Builder::new().prefix("401-404").tempdir().unwrap(), seen: Arc::default() };
    std::thread::scope(|scope| {
        let both = [scope.spawn(|| place.fetch(&hub)), scope.spawn(|| place.fetch(&hub))];
        both.into_iter().for_each(|one| one.join().unwrap().unwrap());
    });
    assert_eq!(place.read("model.safetensors").unwrap(), weights());
    let of_store = hub.asked().into_iter().filter(|asked| asked.of_store).count();
    assert_eq!(of_store, 1, "the second took what the first had fetched");
    assert!(place.seen().contains(&"waiting for another process that downloads model.safetensors".to_owned()));
}

#[test]
fn weights_that_cant_be_used_are_not_fetched() {
    let hub = Hub::start(&[("config.json", File::small(CONFIG)), ("pytorch_model.bin", File::large("x"))]);
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(error.starts_with("it has its weights as pytorch_model.bin only, which can run code"), "{error}");
    assert_eq!(hub.asked().len(), 1);
}

#[test]
fn weights_of_another_family_are_not_fetched() {
    let llama = r#"{"model_type": "llama"}"#;
    let hub = Hub::start(&[("config.json", File::small(llama)), ("model.safetensors", File::large(weights()))]);
    let place = Place::new();
    let error = place.fetch(&hub).unwrap_err();
    assert!(error.contains("model_type = \"llama\"") && error.contains("supported is \"gpt2\""), "{error}");
    assert!(place.seen().iter().all(|seen| !seen.contains("model.safetensors")) && !place.is_found());
}
