//! Finds the model that a name, a folder or an id stands for.

use std::path::{Path, PathBuf};

use crate::checkpoint::shards::{INDEX_FILE, Shards};
use crate::checkpoint::{CONFIG_FILE, Config, WEIGHTS_FILE};
use crate::error::LoadError;
use crate::hub::environment::{self, Environment};
use crate::hub::observer::Watcher;
use crate::hub::{self, Cache, TOKENIZERS};
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
pub(crate) fn find(model: &str, download: bool, watcher: &Watcher) -> Result<Source, LoadError> {
    find_in(model, download, &Environment(&environment::process), watcher)
}

fn find_in(model: &str, download: bool, environment: &Environment<'_>, watcher: &Watcher) -> Result<Source, LoadError> {
    // A size's name is a size, whatever lies in the present folder; a folder of that name is ./gpt2.
    let is_size = synthetic::size(model).is_some();
    if !is_size && Path::new(model).is_dir() {
        return Ok(Source::Folder(model.into()));
    }
    if !is_size && Path::new(model).exists() {
        return Err(LoadError::Unusable(format!(
            "the model {model} is a file; give the folder that holds config.json and {WEIGHTS_FILE}"
        )));
    }
    let ids = ids(model);
    let cache = environment.cache().map_err(LoadError::Unusable)?.map(Cache::new);
    let cached = ids.iter().find_map(|id| Some((id, cached(cache.as_ref()?, id)?)));
    if let Some((id, folder)) = &cached
        && !(download && environment.offline().is_none() && lacks_tokenizer(cache.as_ref(), id))
    {
        return Ok(Source::Folder(folder.clone()));
    }
    if download {
        let Some(id) = cached.map(|(id, _)| id).or(ids.last()) else {
            return Err(LoadError::Unusable(format!(
                "no model can be downloaded as '{model}'; give the id of a model on the Hugging Face hub, as in \
                 owner/name"
            )));
        };
        return fetch(id, cache.as_ref(), environment, watcher).map(Source::Folder);
    }
    if let Some(config) = synthetic::size(model) {
        return Ok(Source::Synthetic(config));
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
            "there is no model '{model}': no such folder, and {place}; add --download to fetch it from the hub, or use gpt2, gpt2-medium, gpt2-large or gpt2-xl, which need no \
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

/// What to do where there is no place for a cache.
const NO_CACHE: &str = "set HOME, HF_HOME or HF_HUB_CACHE to an absolute path";

/// The folder of a model of which all is there that it can't be used without.
fn cached(cache: &Cache, id: &str) -> Option<PathBuf> {
    let repo = cache.repo(id);
    // The file is a link into the cache's blobs; its folder is the snapshot.
    let folder = repo.get(CONFIG_FILE)?.parent()?.to_owned();
    if repo.get(WEIGHTS_FILE).is_none() {
        let shards = Shards::read(&repo.get(INDEX_FILE)?).ok()?;
        shards.files().into_iter().all(|file| repo.get(file).is_some()).then_some(())?;
    }
    Some(folder)
}

/// Whether it was fetched without a tokenizer, such as by an older harness that one did not come to.
fn lacks_tokenizer(cache: Option<&Cache>, id: &str) -> bool {
    cache.is_some_and(|cache| TOKENIZERS.iter().all(|file| cache.repo(id).get(file).is_none()))
}

fn fetch(
    id: &str,
    cache: Option<&Cache>,
    environment: &Environment<'_>,
    watcher: &Watcher,
) -> Result<PathBuf, LoadError> {
    let failed = |why: String| Err(LoadError::Unusable(format!("the model '{id}' can't be downloaded: {why}")));
    if let Some(variable) = environment.offline() {
        return failed(format!("{variable} is set, so nothing is fetched, and it is not on this machine; unset it"));
    }
    match cache {
        Some(cache) => hub::fetch(id, cache, environment, watcher),
        None => failed(format!("there is no folder for models; {NO_CACHE}")),
    }
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
