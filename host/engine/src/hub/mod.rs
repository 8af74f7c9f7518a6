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

use std::cell::Cell;
use std::path::PathBuf;

use reqwest::{Method, StatusCode};

use self::blob::{Failed, Fetching, Wanted, not_kept};
pub(crate) use self::cache::Cache;
use self::client::{Client, Fault, Follow, Kind, Times};
use self::environment::Environment;
use self::listing::{Listing, Weights};
use self::observer::Watcher;
use crate::checkpoint::shards::{self, INDEX_FILE, Shards};
use crate::checkpoint::{CONFIG_FILE, Config, WEIGHTS_FILE};

/// The most bytes of a config.json.
const MAX_CONFIG: u64 = 1 << 20;

/// Why a model was not fetched.
#[derive(Debug)]
pub(crate) struct Missed {
    /// What goes on from the model's name.
    pub(crate) why: String,
    /// Whether nobody was there who can say anything of the model.
    pub(crate) absence: bool,
}

impl From<String> for Missed {
    fn from(why: String) -> Self {
        Self { why, absence: false }
    }
}

/// Fetches what is missing of the model `id`, and returns the folder of its snapshot.
pub(crate) fn fetch(
    id: &str,
    cache: &Cache,
    environment: &Environment<'_>,
    watcher: &Watcher,
) -> Result<PathBuf, Missed> {
    let client = environment
        .silence()
        .and_then(|silence| Client::new(environment.endpoint()?, environment.token()?, Times::new(silence)))?;
    fetch_with(id, cache, &client, watcher)
}

fn fetch_with(id: &str, cache: &Cache, client: &Client, watcher: &Watcher) -> Result<PathBuf, Missed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the network can't be used ({error})"))?;
    let repo = cache.repo(id);
    let fetching = Fetching { runtime: &runtime, client, repo: &repo, watcher, unhashed: Cell::new(false) };
    let fetched = Model { id, client, fetching }.fetch();
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
    fn fetch(&self) -> Result<PathBuf, Missed> {
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
                    let hub = self.client.shown();
                    return Err(format!(
                        "its {INDEX_FILE} names {missing}, which {hub} does not have; tell who published it"
                    )
                    .into());
                }
                shards.files().into_iter().try_for_each(|file| self.file(&listing, file, None))?;
            }
        }
        let repo = self.fetching.repo;
        repo.name(listing.commit()).map_err(|error| not_kept(&repo.blobs(), &error))?;
        repo.sweep();
        Ok(repo.snapshot(listing.commit()))
    }

    fn list(&self) -> Result<Listing, Missed> {
        let url = self.client.at(&format!("api/models/{}/revision/main", self.id));
        tracing::info!("asking {url} which files there are");
        let json = self.fetching.again(|| {
            self.fetching.runtime.block_on(async {
                let answer = self.client.send(Method::GET, url.clone(), 0, Follow::All, true).await?;
                Ok(answer.body(listing::MAX_BYTES).await?)
            })
        });
        let listed = json.and_then(|json| Listing::parse(&json).map_err(|why| Fault::of_hub(Kind::Wrong(why)).into()));
        listed.map_err(|failed| self.explain(failed, None))
    }

    fn file(&self, listing: &Listing, file: &str, most: Option<u64>) -> Result<(), Missed> {
        self.get(listing, file, most).map_err(|failed| self.explain(failed, Some(file)))
    }

    /// Passes over what is not there after all, and nothing else.
    fn optional(&self, listing: &Listing, file: &str, most: u64) -> Result<(), Missed> {
        match self.get(listing, file, Some(most)) {
            Err(Failed::Hub(Fault { kind: Kind::Status(StatusCode::NOT_FOUND), elsewhere: None })) => {
                let hub = self.client.shown();
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
        repo.link(listing.commit(), file, &etag)
            .map_err(|error| Failed::Here(not_kept(&repo.snapshot(listing.commit()), &error)))
    }

    fn explain(&self, failed: Failed, file: Option<&str>) -> Missed {
        let what = file.unwrap_or("the list of its files");
        match failed {
            Failed::Here(why) => format!("{what}: {why}").into(),
            Failed::Hub(fault) => Missed {
                absence: fault.is_absence(),
                why: match &fault.elsewhere {
                    None => self.explain_hub(fault.kind, file),
                    Some(host) => self.explain_elsewhere(fault.kind, host, what),
                },
            },
        }
    }

    /// The same of whom the hub redirects to, who knows no token and no terms.
    fn explain_elsewhere(&self, kind: Kind, host: &str, what: &str) -> String {
        let whose = format!("{host}, to which {} redirects for {what},", self.client.shown());
        match kind {
            Kind::Status(status) if status == StatusCode::FORBIDDEN => format!(
                "{whose} refuses it (403): the hub's link may have run out, or a firewall or a proxy is between; try again, or \
                 have that host let through"
            ),
            Kind::Status(status) => format!("{whose} answers {status}; try again later"),
            Kind::Unreachable(why) => {
                format!("{whose} can't be reached ({why}); check the network, and whether that host is let through")
            }
            Kind::Broken(why) => format!(
                "{what} did not come from {host}, to which {} redirects for it ({why}); check the network and try again: it goes \
                 on where it ended",
                self.client.shown()
            ),
            Kind::Wrong(why) => format!("{whose} can't be used: {why}; try again later"),
        }
    }

    /// What happened, by what the hub said and never by what is written in it, and what to do.
    fn explain_hub(&self, kind: Kind, file: Option<&str>) -> String {
        let hub = self.client.shown();
        let what = file.unwrap_or("the list of its files");
        let token = "set HF_TOKEN, or run `hf auth login`";
        match kind {
            Kind::Status(status) => match (status.as_u16(), self.client.token(), file) {
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
            Kind::Unreachable(why) => format!(
                "{hub} can't be reached ({why}); check the network, set HF_ENDPOINT where a mirror is to be used, or copy \
                 the model's folder here and give its path"
            ),
            Kind::Broken(why) => format!(
                "{what} did not come from {hub} ({why}); check the network and try again: it goes on where it ended"
            ),
            Kind::Wrong(why) => {
                format!("{what} of {hub} can't be used: {why}; try again later, or set HF_ENDPOINT to another mirror")
            }
        }
    }
}
