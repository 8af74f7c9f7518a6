//! Finds the model that a name, a folder or an id stands for.

use std::path::{Path, PathBuf};

use crate::checkpoint::folder::{self, Holds};
use crate::checkpoint::{CONFIG_FILE, Config, WEIGHTS_FILE};
use crate::error::LoadError;
use crate::hub::environment::{self, Environment};
use crate::hub::observer::Watcher;
use crate::hub::{self, Cache, Missed};
use crate::synthetic;
use crate::tokenizer::other;

/// Where a model's weights come from.
#[derive(Debug, PartialEq)]
pub(crate) enum Source {
    /// A folder in Hugging Face's form.
    Folder(PathBuf),
    /// Drawn from a seed, in a published size.
    Synthetic(Config),
}

/// Looks for `model` as a folder, then in the local Hugging Face cache, then, where allowed, on the hub; the published
/// sizes are at last drawn from a seed.
pub(crate) fn find(model: &str, download: bool, watcher: &Watcher) -> Result<Source, LoadError> {
    find_in(model, download, &Environment(&environment::process), watcher)
}

fn find_in(model: &str, download: bool, environment: &Environment<'_>, watcher: &Watcher) -> Result<Source, LoadError> {
    if let Some(folder) = folder(model)? {
        return Ok(Source::Folder(folder));
    }
    let ids = ids(model);
    let cache = environment.cache().map_err(LoadError::Unusable)?.map(Cache::new);
    let found: Vec<_> = ids.iter().filter_map(|id| Some((id, cached(cache.as_ref()?, id)?))).collect();
    let whole = found.iter().find(|(_, (_, holds))| *holds == Holds::All);
    if let Some((_, (folder, _))) = whole
        && !(download && environment.offline().is_none() && lacks_tokenizer(folder))
    {
        return Ok(Source::Folder(folder.clone()));
    }
    if download {
        let Some(id) = whole.map(|(id, _)| *id).or(ids.last()) else {
            return Err(LoadError::Unusable(format!(
                "no model can be downloaded as '{model}'; give the id of a model on the Hugging Face hub, as in \
                 owner/name"
            )));
        };
        return match (fetch(id, cache.as_ref(), environment, watcher), whole) {
            (Ok(folder), _) => Ok(Source::Folder(folder)),
            (Err(Missed { why, absence: true }), Some((id, (folder, _)))) => {
                watcher.tell(|w| w.note(&format!("the model '{id}' is used as the Hugging Face cache has it: {why}")));
                Ok(Source::Folder(folder.clone()))
            }
            (Err(Missed { why, .. }), _) => {
                Err(LoadError::Unusable(format!("the model '{id}' can't be downloaded: {why}")))
            }
        };
    }
    if let Some(config) = synthetic::size(model) {
        return Ok(Source::Synthetic(config));
    }
    match found.into_iter().next() {
        // What loads it says why it can't.
        Some((_, (folder, Holds::Other))) => return Ok(Source::Folder(folder)),
        Some((_, (folder, _))) => return Err(cut_off(model, &folder)),
        None => {}
    }
    if !ids.is_empty() && Path::new(model).is_dir() {
        return Err(LoadError::Unusable(format!(
            "'{model}' is the id of a model, and there is none of this id in the Hugging Face cache; for the folder of that \
             name in the present folder, give ./{model}"
        )));
    }
    let place = match &cache {
        Some(cache) => format!("nothing of this id in the Hugging Face cache {}", cache.path().display()),
        None => format!("no Hugging Face cache ({NO_CACHE})"),
    };
    Err(LoadError::Unusable(if ids.is_empty() {
        format!(
            "there is no model folder {model}; give an existing folder, the id of a model on the Hugging Face hub, or \
             one of gpt2, gpt2-medium, gpt2-large and gpt2-xl"
        )
    } else {
        format!(
            "there is no model '{model}': no such folder, and {place}; add --download to fetch it from the hub, or use \
             gpt2, gpt2-medium, gpt2-large or gpt2-xl, which need no download"
        )
    }))
}

/// The hub's ids that a name can stand for, the current one last.
fn ids(model: &str) -> Vec<String> {
    if synthetic::size(model).is_some() {
        return vec![model.to_owned(), format!("openai-community/{model}")];
    }
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match model.split('/').collect::<Vec<_>>()[..] {
        [name] if part(name) => vec![model.to_owned()],
        [owner, name] if part(owner) && part(name) => vec![model.to_owned()],
        _ => Vec::new(),
    }
}

/// What to do where there is no place for a cache.
const NO_CACHE: &str = "set HOME, HF_HOME or HF_HUB_CACHE to an absolute path";

/// The folder that a model's name means: one with a separator in it that is there. A name without one is a size or an id, whatever
/// lies in the present folder.
fn folder(model: &str) -> Result<Option<PathBuf>, LoadError> {
    let path = Path::new(model);
    let is_path = model.contains(std::path::is_separator) || [".", ".."].contains(&model);
    if is_path && path.is_dir() {
        return Ok(Some(path.to_owned()));
    }
    // Whoever names something that is there and is no folder means it.
    if path.exists() && !path.is_dir() && synthetic::size(model).is_none() {
        return Err(LoadError::Unusable(format!(
            "the model {model} is a file; give the folder that holds config.json and {WEIGHTS_FILE}"
        )));
    }
    Ok(None)
}

/// The newest folder of a model in the cache, and how much of the model it holds.
fn cached(cache: &Cache, id: &str) -> Option<(PathBuf, Holds)> {
    // The file is a link into the cache's blobs; its folder is the snapshot.
    let config = cache.repo(id).get(CONFIG_FILE)?;
    let folder = config.parent()?.to_owned();
    let holds = folder::holds(&folder);
    Some((folder, holds))
}

/// The error for a model that the cache has a part of, unless more of it would be of no use.
fn cut_off(model: &str, folder: &Path) -> LoadError {
    if let Err(error) = Config::of_folder(folder) {
        return error;
    }
    LoadError::Unusable(format!(
        "the Hugging Face cache has only a part of the model '{model}', without all of its weights, in {}; add --download to \
         fetch the rest",
        folder.display()
    ))
}

/// Whether it was fetched without a tokenizer, such as by an older harness that one did not come to.
fn lacks_tokenizer(folder: &Path) -> bool {
    ["tokenizer.json", "vocab.json"].iter().all(|file| !folder.join(file).exists()) && other::find(folder).is_none()
}

fn fetch(id: &str, cache: Option<&Cache>, environment: &Environment<'_>, watcher: &Watcher) -> Result<PathBuf, Missed> {
    if let Some(variable) = environment.offline() {
        return Err(format!("{variable} is set, so nothing is fetched, and it is not on this machine; unset it").into());
    }
    let cache = cache.ok_or_else(|| format!("there is no folder for models; {NO_CACHE}"))?;
    environment.check_place(cache.path())?;
    hub::fetch(id, cache, environment, watcher)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn find_in(model: &str, download: bool, cache: &Path) -> Result<Source, LoadError> {
        let variables = |name: &str| (name == "HF_HUB_CACHE").then(|| OsString::from(cache));
        super::find_in(model, download, &Environment(&variables), &Watcher::default())
    }

    #[test]
    fn a_name_is_looked_for_in_the_cache_before_it_is_drawn_from_a_seed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path();
        assert_eq!(find_in("gpt2", false, cache).unwrap(), Source::Synthetic(Config::published(12, 12, 768)));

        let repo = folder.path().join("models--openai-community--gpt2");
        let snapshot = repo.join("snapshots").join("abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(repo.join("refs")).unwrap();
        std::fs::write(repo.join("refs").join("main"), "abc").unwrap();
        std::fs::write(snapshot.join("config.json"), "{}").unwrap();
        assert_eq!(
            find_in("gpt2", false, cache).unwrap(),
            Source::Synthetic(Config::published(12, 12, 768)),
            "a download that was cut off"
        );
        std::fs::write(snapshot.join("model.safetensors"), "").unwrap();
        assert_eq!(find_in("gpt2", false, cache).unwrap(), Source::Folder(snapshot.clone()));
        assert_eq!(find_in("openai-community/gpt2", false, cache).unwrap(), Source::Folder(snapshot));
    }

    /// A cache with a model of the id someone/something in these files.
    fn cache_with(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let cache = tempfile::tempdir().unwrap();
        let repo = cache.path().join("models--someone--something");
        let snapshot = repo.join("snapshots").join("abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(repo.join("refs")).unwrap();
        std::fs::write(repo.join("refs").join("main"), "abc").unwrap();
        for (name, text) in files {
            std::fs::write(snapshot.join(name), text).unwrap();
        }
        (cache, snapshot)
    }

    #[test]
    fn a_model_in_the_cache_is_used_when_all_of_it_is_there() {
        let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
        let find = |files: &[(&str, &str)]| {
            let (cache, snapshot) = cache_with(files);
            let found = find_in("someone/something", false, cache.path());
            let found = found.map(|source| assert_eq!(source, Source::Folder(snapshot)));
            found.map_err(|error| error.to_string().replace(&cache.path().display().to_string(), "CACHE"))
        };
        let sharded = [
            ("config.json", "{}"),
            ("model.safetensors.index.json", index),
            ("model-1.safetensors", ""),
            ("model-2.safetensors", ""),
        ];
        assert_eq!(find(&sharded), Ok(()));
        let cut_off =
            Err("the Hugging Face cache has only a part of the model 'someone/something', without all of its \
                           weights, in CACHE/models--someone--something/snapshots/abc; add --download to fetch the rest"
                .to_owned());
        assert_eq!(find(&sharded[..3]), cut_off);
        assert_eq!(find(&sharded[..1]), cut_off);
        // What loads it says why it can't, and more of it would not help.
        assert_eq!(find(&[("config.json", "{}"), ("pytorch_model.bin", "")]), Ok(()));
        let llama = find(&[("config.json", r#"{"model_type": "llama"}"#)]).unwrap_err();
        assert!(llama.contains("has model_type = \"llama\", which is not supported"), "{llama}");
    }

    #[test]
    fn a_name_without_a_separator_is_no_folder() {
        assert_eq!(folder("src").unwrap(), None);
        assert_eq!(folder("./src").unwrap(), Some("./src".into()));
        assert_eq!(folder("src/cpu").unwrap(), Some("src/cpu".into()));
        assert_eq!(folder("..").unwrap(), Some("..".into()));
        assert_eq!(folder("./no").unwrap(), None);
        let error = folder("Cargo.toml").unwrap_err().to_string();
        assert!(error.starts_with("the model Cargo.toml is a file"), "{error}");
        let cache = tempfile::tempdir().unwrap();
        let error = find_in("src", false, cache.path()).unwrap_err().to_string();
        assert_eq!(
            error,
            "'src' is the id of a model, and there is none of this id in the Hugging Face cache; for the folder of that \
             name in the present folder, give ./src"
        );
    }

    #[test]
    fn a_model_without_its_tokenizer_is_completed_where_that_is_allowed() {
        let hub = fake_hub::Hub::start(&[]);
        let (cache, snapshot) = cache_with(&[("config.json", "{}"), ("model.safetensors", "")]);
        let cache = cache.path().to_owned().into_os_string();
        let find = |download, offline: &'static str| {
            let variables = |name: &str| match name {
                "HF_HUB_CACHE" => Some(cache.clone()),
                "HF_ENDPOINT" => Some(hub.endpoint().into()),
                "HF_HUB_OFFLINE" => Some(offline.into()),
                _ => None,
            };
            super::find_in("someone/something", download, &Environment(&variables), &Watcher::default())
        };
        assert_eq!(find(false, "").unwrap(), Source::Folder(snapshot.clone()));
        assert_eq!(find(true, "1").unwrap(), Source::Folder(snapshot.clone()));
        assert_eq!(hub.asked().len(), 0);
        assert!(find(true, "").unwrap_err().to_string().ends_with("has no such model; check the id"));
        std::fs::write(snapshot.join("tokenizer.json"), "").unwrap();
        hub.asked();
        assert_eq!(find(true, "").unwrap(), Source::Folder(snapshot.clone()));
        assert_eq!(hub.asked().len(), 0);
    }

    #[test]
    fn where_the_hub_is_away_what_the_cache_has_is_used() {
        #[derive(Default)]
        struct Notes(std::sync::Mutex<Vec<String>>);

        impl crate::hub::observer::DownloadObserver for Notes {
            fn file_started(&self, _: &str, _: u64, _: Option<u64>) {}
            fn bytes_received(&self, _: u64) {}
            fn file_finished(&self, _: &str, _: u64) {}
            fn note(&self, note: &str) {
                self.0.lock().unwrap().push(note.into());
            }
        }

        let hub = fake_hub::Hub::start(&[]);
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (cache, snapshot) = cache_with(&[("config.json", "{}"), ("model.safetensors", "")]);
        let find = |model: &str, endpoint: &str| {
            let variables = |name: &str| match name {
                "HF_HUB_CACHE" => Some(cache.path().as_os_str().to_owned()),
                "HF_ENDPOINT" => Some(endpoint.into()),
                _ => None,
            };
            let notes = std::sync::Arc::new(Notes::default());
            let found = super::find_in(model, true, &Environment(&variables), &Watcher::new(notes.clone()));
            (found, std::mem::take(&mut *notes.0.lock().unwrap()))
        };
        let model = "someone/something";
        let away = |endpoint: &str, why: &str| {
            let (found, notes) = find(model, endpoint);
            assert_eq!(found.unwrap(), Source::Folder(snapshot.clone()));
            let note = format!("the model '{model}' is used as the Hugging Face cache has it: {endpoint} {why}");
            assert!(notes.len() == 1 && notes[0].starts_with(&note), "{notes:?}");
        };
        away(&format!("http://{closed}"), "can't be reached (");
        away("http://no-such-host.invalid", "can't be reached (");
        hub.list_as(503, "");
        away(&hub.endpoint(), "answers 503 Service Unavailable");
        for status in [401, 403, 404] {
            hub.list_as(status, "");
            let (found, notes) = find(model, &hub.endpoint());
            assert!(found.unwrap_err().to_string().contains("can't be downloaded: ") && notes.is_empty(), "{notes:?}");
        }
        // Half a model is no model.
        std::fs::remove_file(snapshot.join("model.safetensors")).unwrap();
        let (found, _) = find(model, &format!("http://{closed}"));
        assert!(found.unwrap_err().to_string().contains("can't be reached ("));
    }

    #[test]
    fn what_a_user_wrote_is_shown_in_one_line() {
        let cache = tempfile::tempdir().unwrap();
        let error = find_in("a\nerror: b\u{1b}[2J\u{202e}", false, cache.path()).unwrap_err().to_string();
        assert!(error.starts_with("there is no model folder a\\u{a}error: b\\u{1b}[2J\\u{202e}; give"), "{error}");
    }

    #[test]
    fn what_is_nowhere_is_an_error_with_the_places_and_the_way_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path();
        let error = find_in("someone/something", false, cache).unwrap_err().to_string();
        assert_eq!(
            error.replace(&folder.path().display().to_string(), "CACHE"),
            "there is no model 'someone/something': no such folder, and nothing of this id in the Hugging Face cache \
             CACHE; add --download to fetch it from the hub, or use gpt2, gpt2-medium, gpt2-large or gpt2-xl, which \
             need no download"
        );
        assert_eq!(
            find_in("./no/such/folder", false, cache).unwrap_err().to_string(),
            "there is no model folder ./no/such/folder; give an existing folder, the id of a model on the Hugging Face \
             hub, or one of gpt2, gpt2-medium, gpt2-large and gpt2-xl"
        );
        assert_eq!(
            find_in("../x", true, cache).unwrap_err().to_string(),
            "no model can be downloaded as '../x'; give the id of a model on the Hugging Face hub, as in owner/name"
        );
    }
}
