//! Models of the Hugging Face hub, fetched into the cache that Python's huggingface_hub has, too.
//!
//! What is kept is what the hub announced, whole, or it is not kept. A model is found in the cache only once all of it is there.

mod blob;
pub(crate) mod cache;
mod client;
pub(crate) mod environment;
mod listing;
pub(crate) mod observer;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use reqwest::{Method, StatusCode};

use self::blob::{Failed, Fetching, Wanted};
pub(crate) use self::cache::Cache;
use self::client::{Client, Fault, Follow, Times};
use self::environment::Environment;
pub(crate) use self::listing::TOKENIZERS;
use self::listing::{Listing, Weights};
use self::observer::Watcher;
use crate::checkpoint::shards::{self, INDEX_FILE, Shards};
use crate::checkpoint::{CONFIG_FILE, Config, WEIGHTS_FILE};
use crate::error::LoadError;

/// The most bytes of a config.json.
const MAX_CONFIG: u64 = 1 << 20;

/// Fetches what is missing of the model `id`, and returns the folder of its snapshot.
pub(crate) fn fetch(
    id: &str,
    cache: &Cache,
    environment: &Environment<'_>,
    watcher: &Watcher,
) -> Result<PathBuf, LoadError> {
    let failed = |what: String| LoadError::Unusable(format!("the model '{id}' can't be downloaded: {what}"));
    let client = environment
        .silence()
        .and_then(|silence| Client::new(environment.endpoint()?, environment.token()?, Times::new(silence)))
        .map_err(failed)?;
    fetch_with(id, cache, &client, watcher).map_err(failed)
}

fn fetch_with(id: &str, cache: &Cache, client: &Client, watcher: &Watcher) -> Result<PathBuf, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the network can't be used ({error})"))?;
    let repo = cache.repo(id);
    let fetched = Model { id, client, fetching: Fetching { runtime: &runtime, client, repo: &repo, watcher } }.fetch();
    // A look-up of a name that does not end is left behind.
    runtime.shutdown_background();
    fetched
}

struct Model<'a> {
    id: &'a str,
    client: &'a Client,
    fetching: Fetching<'a>,
}

impl Model<'_> {
    /// Small files first, the weights after them, and the commit's name at last: nothing finds half a model.
    fn fetch(&self) -> Result<PathBuf, String> {
        let listing = self.list()?;
        let weights = listing.weights()?;
        self.file(&listing, CONFIG_FILE, Some(MAX_CONFIG))?;
        // A model of another family is refused before its weights are fetched.
        let config = self.fetching.repo.snapshot(listing.commit()).join(CONFIG_FILE);
        Config::read(&config).map_err(|error| error.to_string())?;
        for (file, most) in listing.optional() {
            self.optional(&listing, file, most)?;
        }
        match weights {
            Weights::One => self.file(&listing, WEIGHTS_FILE, None)?,
            Weights::Several => {
                self.file(&listing, INDEX_FILE, Some(shards::MAX_BYTES))?;
                let repo = self.fetching.repo;
                let index = repo.snapshot(listing.commit()).join(INDEX_FILE);
                let shards = Shards::read(&index).map_err(|error| error.to_string())?;
                if let Some(missing) = shards.files().into_iter().find(|file| !listing.has(file)) {
                    return Err(format!(
                        "its {INDEX_FILE} names {missing}, which {} does not have; tell who published it",
                        self.endpoint()
                    ));
                }
                shards.files().into_iter().try_for_each(|file| self.file(&listing, file, None))?;
            }
        }
        let repo = self.fetching.repo;
        repo.name(listing.commit())
            .map_err(|error| format!("it can't be kept in {} ({error})", repo.blobs().display()))?;
        repo.sweep();
        Ok(repo.snapshot(listing.commit()))
    }

    fn list(&self) -> Result<Listing, String> {
        let url = self.client.at(&format!("api/models/{}/revision/main", self.id));
        tracing::info!("asking {url} which files there are");
        let json = self.fetching.again(|| {
            self.fetching.runtime.block_on(async {
                let answer = self.client.send(Method::GET, url.clone(), 0, Follow::All, true).await?;
                Ok(answer.body(listing::MAX_BYTES).await?)
            })
        });
        let listed = json.and_then(|json| Listing::parse(&json).map_err(|why| Fault::Wrong(why).into()));
        listed.map_err(|failed| self.explain(failed, None))
    }

    fn file(&self, listing: &Listing, file: &str, most: Option<u64>) -> Result<(), String> {
        self.get(listing, file, most).map_err(|failed| self.explain(failed, Some(file)))
    }

    /// Passes over what is not there after all, and nothing else.
    fn optional(&self, listing: &Listing, file: &str, most: u64) -> Result<(), String> {
        match self.get(listing, file, Some(most)) {
            Err(Failed::Hub(Fault::Status(StatusCode::NOT_FOUND))) => {
                let hub = self.endpoint();
                let note = format!("{hub} lists {file} and does not have it (404): the model is used without it");
                self.fetching.watcher.tell(|watching| watching.note(&note));
                Ok(())
            }
            got => got.map_err(|failed| self.explain(failed, Some(file))),
        }
    }

    fn get(&self, listing: &Listing, file: &str, most: Option<u64>) -> Result<(), Failed> {
        let url = self.client.at(&format!("{}/resolve/{}/{file}", self.id, listing.commit()));
        let etag = self.fetching.fetch(&Wanted { file, url, most })?;
        let repo = self.fetching.repo;
        repo.link(listing.commit(), file, &etag).map_err(|error| {
            Failed::Here(format!("{} can't be written ({error})", repo.snapshot(listing.commit()).join(file).display()))
        })
    }

    fn endpoint(&self) -> &str {
        self.client.endpoint().as_str().trim_end_matches('/')
    }

    /// What happened, by what the hub said and never by what is written in it, and what to do.
    fn explain(&self, failed: Failed, file: Option<&str>) -> String {
        let hub = self.endpoint();
        let what = file.unwrap_or("the list of its files");
        let fault = match failed {
            Failed::Here(why) => return format!("{what}: {why}"),
            Failed::Hub(fault) => fault,
        };
        let token = "set HF_TOKEN, or run `hf auth login`";
        match fault {
            Fault::Status(status) => match (status.as_u16(), self.client.token(), file) {
                (404, _, None) => format!("{hub} has no such model; check the id"),
                (404, _, Some(file)) => format!("{hub} lists {file} and does not have it (404); try again later"),
                (401, None, _) => format!(
                    "{hub} wants to know who asks for {what} (401): there is no such model, or it is private or gated; \
                     check the id, and for such a model {token}"
                ),
                (401, Some(used), _) => format!(
                    "{hub} does not take the token of {} for {what} (401); check the id and the token: {token}",
                    used.from
                ),
                (403, ..) => format!(
                    "{hub} refuses {what} (403); for a gated model accept its terms on its page, and use the token of an \
                     account that may read it: {token}"
                ),
                (429, None, _) => {
                    format!("{hub} had too many requests from here (429); wait some minutes, or use a token: {token}")
                }
                (429, ..) => format!("{hub} had too many requests from here (429); wait some minutes"),
                _ => {
                    format!("{hub} answers {status} instead of {what}; try again later, or set HF_ENDPOINT to a mirror")
                }
            },
            Fault::Unreachable(why) => format!(
                "{hub} can't be reached ({why}); check the network, set HF_ENDPOINT where a mirror is to be used, or copy \
                 the model's folder here and give its path"
            ),
            Fault::Broken(why) => format!(
                "{what} did not come from {hub} ({why}); check the network and try again: it goes on where it ended"
            ),
            Fault::Wrong(why) => {
                format!("{what} of {hub} can't be used: {why}; try again later, or set HF_ENDPOINT to another mirror")
            }
        }
    }
}
