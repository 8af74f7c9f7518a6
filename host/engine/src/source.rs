//! Finds the model that a name, a folder or an id stands for.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use crate::checkpoint::folder::{self, Holds};
use crate::checkpoint::{CONFIG_FILE, Config, WEIGHTS_FILE};
use crate::error::LoadError;
use crate::synthetic;

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
pub(crate) fn find(model: &str, download: bool) -> Result<Source, LoadError> {
    find_in(model, download, &cache())
}

fn find_in(model: &str, download: bool, cache: &Cache) -> Result<Source, LoadError> {
    if let Some(folder) = folder(model)? {
        return Ok(Source::Folder(folder));
    }
    let ids = ids(model);
    let found: Vec<_> = ids.iter().filter_map(|id| cached(cache, id)).collect();
    if let Some((folder, _)) = found.iter().find(|(_, holds)| *holds == Holds::All) {
        return Ok(Source::Folder(folder.clone()));
    }
    if download {
        return match ids.last() {
            Some(id) => fetch(id, cache).map(Source::Folder),
            None => Err(LoadError::Unusable(format!(
                "no model can be downloaded as '{model}'; give the id of a model on the Hugging Face hub, as in \
                 owner/name"
            ))),
        };
    }
    if let Some(config) = synthetic::size(model) {
        return Ok(Source::Synthetic(config));
    }
    match found.into_iter().next() {
        // What loads it says why it can't.
        Some((folder, Holds::Other)) => return Ok(Source::Folder(folder)),
        Some((folder, _)) => return Err(cut_off(model, &folder)),
        None => {}
    }
    if !ids.is_empty() && Path::new(model).is_dir() {
        return Err(LoadError::Unusable(format!(
            "'{model}' is the id of a model, and there is none of this id in the Hugging Face cache; for the folder of that \
             name in the present folder, give ./{model}"
        )));
    }
    let cache = cache.path().display();
    Err(LoadError::Unusable(if ids.is_empty() {
        format!(
            "there is no model folder {model}; give an existing folder, the id of a model on the Hugging Face hub, or \
             one of gpt2, gpt2-medium, gpt2-large and gpt2-xl"
        )
    } else {
        format!(
            "there is no model '{model}': no such folder, and nothing of this id in the Hugging Face cache {cache}; \
             add --download to fetch it from the hub, or use gpt2, gpt2-medium, gpt2-large or gpt2-xl, which need no \
             download"
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

/// The cache that Python's huggingface_hub uses, too.
fn cache() -> Cache {
    match std::env::var_os("HF_HUB_CACHE") {
        Some(folder) if !folder.is_empty() => Cache::new(folder.into()),
        _ => Cache::from_env(),
    }
}

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
    let config = cache.repo(Repo::new(id.to_owned(), RepoType::Model)).get(CONFIG_FILE)?;
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

fn fetch(id: &str, cache: &Cache) -> Result<PathBuf, LoadError> {
    let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".into());
    let failed = |what: String| LoadError::Unusable(format!("the model '{id}' can't be downloaded: {what}"));
    let api = ApiBuilder::from_cache(cache.clone())
        .with_endpoint(endpoint.clone())
        .with_progress(false)
        .build()
        .map_err(|error| failed(explain(&error, &endpoint, CONFIG_FILE)))?;
    let repo = api.repo(Repo::new(id.to_owned(), RepoType::Model));
    let get = |repo: &ApiRepo, file: &str| repo.get(file).map_err(|error| failed(explain(&error, &endpoint, file)));
    tracing::info!("downloading {id} from {endpoint}");
    let config = get(&repo, CONFIG_FILE)?;
    for file in ["tokenizer.json", "vocab.json", "merges.txt"] {
        // A model need not have each of them; without any it gets GPT-2's own.
        let _ = repo.get(file);
    }
    get(&repo, WEIGHTS_FILE)?;
    config.parent().map(Path::to_owned).ok_or_else(|| failed(format!("{} has no folder", config.display())))
}

fn explain(error: &ApiError, endpoint: &str, file: &str) -> String {
    let text = error.to_string();
    if text.contains("404") {
        format!("{endpoint} has no such model, or it has no {file}; check the id")
    } else if text.contains("401") || text.contains("403") {
        format!(
            "{endpoint} refuses access to {file}; check the id, and for a private or gated model put a token in the \
             Hugging Face cache with `hf auth login`"
        )
    } else {
        format!(
            "{file} did not come from {endpoint} ({text}); check the network, set HF_ENDPOINT where a mirror is to be \
             used, or copy the model's folder here and give its path"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_the_cache_before_it_is_drawn_from_a_seed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned());
        assert_eq!(find_in("gpt2", false, &cache).unwrap(), Source::Synthetic(Config::published(12, 12, 768)));

        let repo = folder.path().join("models--openai-community--gpt2");
        let snapshot = repo.join("snapshots").join("abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(repo.join("refs")).unwrap();
        std::fs::write(repo.join("refs").join("main"), "abc").unwrap();
        std::fs::write(snapshot.join("config.json"), "{}").unwrap();
        assert_eq!(
            find_in("gpt2", false, &cache).unwrap(),
            Source::Synthetic(Config::published(12, 12, 768)),
            "a download that was cut off"
        );
        std::fs::write(snapshot.join("model.safetensors"), "").unwrap();
        assert_eq!(find_in("gpt2", false, &cache).unwrap(), Source::Folder(snapshot.clone()));
        assert_eq!(find_in("openai-community/gpt2", false, &cache).unwrap(), Source::Folder(snapshot));
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
            let found = find_in("someone/something", false, &Cache::new(cache.path().to_owned()));
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
        let error = find_in("src", false, &Cache::new(cache.path().to_owned())).unwrap_err().to_string();
        assert_eq!(
            error,
            "'src' is the id of a model, and there is none of this id in the Hugging Face cache; for the folder of that \
             name in the present folder, give ./src"
        );
    }

    #[test]
    fn what_is_nowhere_is_an_error_with_the_places_and_the_way_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned());
        let error = find_in("someone/something", false, &cache).unwrap_err().to_string();
        assert_eq!(
            error.replace(&folder.path().display().to_string(), "CACHE"),
            "there is no model 'someone/something': no such folder, and nothing of this id in the Hugging Face cache \
             CACHE; add --download to fetch it from the hub, or use gpt2, gpt2-medium, gpt2-large or gpt2-xl, which \
             need no download"
        );
        assert_eq!(
            find_in("./no/such/folder", false, &cache).unwrap_err().to_string(),
            "there is no model folder ./no/such/folder; give an existing folder, the id of a model on the Hugging Face \
             hub, or one of gpt2, gpt2-medium, gpt2-large and gpt2-xl"
        );
        assert_eq!(
            find_in("../x", true, &cache).unwrap_err().to_string(),
            "no model can be downloaded as '../x'; give the id of a model on the Hugging Face hub, as in owner/name"
        );
    }
}
