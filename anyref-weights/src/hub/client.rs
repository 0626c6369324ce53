//! Download of the files that a location names.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use ureq::ErrorKind;

use super::listing::{LONGEST, Listing, is_hash};
use super::wanted::{shards, wanted};
use super::{HubConfig, HubError, HubLocation};

/// File name suffix of an index of shards.
const INDEX: &str = ".index.json";
/// Number of existing files listed when a file is missing.
const NAMED: usize = 8;

/// Client of the hub with its cache.
#[derive(Clone)]
pub struct Hub {
    pub(super) api: Api,
    pub(super) cache: Cache,
    pub(super) config: HubConfig,
}

/// Leaves out the client, which holds the token.
impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// Creates a client without sending anything.
    ///
    /// # Errors
    /// When the address is invalid.
    pub fn new(config: HubConfig) -> Result<Self, HubError> {
        config.check()?;
        let cache = Cache::new(config.cache.clone());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(config.endpoint.clone())
            .with_token(config.token.clone())
            .with_progress(config.progress)
            .build()
            .map_err(|error| HubError::Endpoint(format!("{} ({error})", config.endpoint)))?;
        Ok(Self { api, cache, config })
    }

    /// Fetches a file, or the files of a folder that its reader needs: configuration, tokenizer,
    /// and weights as safetensors or, if there are none, as PyTorch files. Cached files are not
    /// fetched again. Without a connection the cache is used.
    ///
    /// Returns the path of the file or folder in the cache.
    ///
    /// # Errors
    /// When the location does not exist, access is denied, or there is no connection and no cached
    /// copy.
    pub fn fetch(&self, location: &HubLocation) -> Result<PathBuf, HubError> {
        if self.config.offline {
            return self.cached(location).ok_or_else(|| HubError::Offline {
                location: location.clone(),
                cache: self.config.cache.clone(),
            });
        }
        let listing = match self.list(location) {
            Err(error @ HubError::Unreachable { .. }) => {
                return self.cached(location).ok_or(error);
            }
            other => other?,
        };
        // Fetching by commit prevents a push in between from mixing two revisions.
        let repository = self.api.repo(repo(location, &listing.commit));
        let folder = self.snapshot(location, &listing.commit);
        let found = match location.path() {
            Some(file) if listing.files.contains_key(file) => {
                self.with_shards(location, &repository, &listing, file)?;
                folder.join(file)
            }
            path => {
                let names = listing.folder(path);
                let files = wanted(&names);
                if files.is_empty() {
                    return Err(no_file(location, &listing));
                }
                for name in files {
                    let file = path.map_or(name.to_owned(), |path| format!("{path}/{name}"));
                    self.with_shards(location, &repository, &listing, &file)?;
                }
                path.map_or(folder.clone(), |path| folder.join(path))
            }
        };
        // Written last, so that the revision's name in the cache never leads to a partial model.
        let named = self.cache.repo(repo(location, location.revision()));
        named
            .create_ref(&listing.commit)
            .map_err(|source| self.cache_error(source))?;
        Ok(found)
    }

    /// Fetches a file and, if it is an index, the shards beside it.
    fn with_shards(
        &self,
        location: &HubLocation,
        repository: &ApiRepo,
        listing: &Listing,
        file: &str,
    ) -> Result<(), HubError> {
        let path = self.file(location, repository, listing, file)?;
        if !file.ends_with(INDEX) {
            return Ok(());
        }
        let index = std::fs::read(path).map_err(|source| self.cache_error(source))?;
        let folder = file.rsplit_once('/').map(|(folder, _)| folder);
        let beside = listing.folder(folder);
        for shard in shards(&index) {
            // A missing shard is left to the reader to report.
            if beside.contains(&shard.as_str()) {
                let shard = folder.map_or(shard.clone(), |folder| format!("{folder}/{shard}"));
                self.file(location, repository, listing, &shard)?;
            }
        }
        Ok(())
    }

    /// Requests the list of a repository's files.
    fn list(&self, location: &HubLocation) -> Result<Listing, HubError> {
        let repository = self.api.repo(repo(location, location.revision()));
        let answer = repository.info_request().query("blobs", "true").call();
        let answer = answer.map_err(|error| self.refusal(location, &error))?;
        let body = BufReader::new(answer.into_reader().take(LONGEST));
        Listing::read(body).map_err(|reason| self.answer(location, reason))
    }

    /// Path of a location in the cache, if present.
    fn cached(&self, location: &HubLocation) -> Option<PathBuf> {
        let revision = location.revision();
        let named = self.root(location).join("refs").join(revision);
        let commit = match std::fs::read_to_string(named) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => revision.to_owned(),
        };
        if !is_hash(&commit) {
            return None;
        }
        let snapshot = self.snapshot(location, &commit);
        let path = location
            .path()
            .map_or(snapshot.clone(), |path| snapshot.join(path));
        path.exists().then_some(path)
    }

    /// Folder of a repository in the cache.
    pub(super) fn root(&self, location: &HubLocation) -> PathBuf {
        let name = repo(location, location.revision()).folder_name();
        self.config.cache.join(name)
    }

    /// Folder of a commit in the cache.
    pub(super) fn snapshot(&self, location: &HubLocation, commit: &str) -> PathBuf {
        self.root(location).join("snapshots").join(commit)
    }

    /// Reason why a request failed.
    pub(super) fn refusal(&self, location: &HubLocation, error: &ureq::Error) -> HubError {
        let (location, endpoint) = (location.clone(), self.config.endpoint.clone());
        match error {
            ureq::Error::Status(401 | 403, _) if self.config.token.is_none() => {
                HubError::TokenNeeded(location)
            }
            ureq::Error::Status(401 | 403, _) => HubError::Denied { location, endpoint },
            ureq::Error::Status(404, _) => HubError::NotFound { location, endpoint },
            ureq::Error::Status(status, _) => HubError::Answer {
                location,
                endpoint,
                reason: format!("status {status}"),
            },
            ureq::Error::Transport(transport) => {
                let reason = transport.message().map_or_else(
                    || transport.kind().to_string(),
                    |message| format!("{}: {message}", transport.kind()),
                );
                let reason = crate::error::one_line(&reason);
                match transport.kind() {
                    ErrorKind::BadStatus | ErrorKind::BadHeader | ErrorKind::TooManyRedirects => {
                        HubError::Answer {
                            location,
                            endpoint,
                            reason,
                        }
                    }
                    _ => HubError::Unreachable {
                        location,
                        endpoint,
                        reason,
                    },
                }
            }
        }
    }

    /// Creates the error for a malformed answer of the hub.
    pub(super) fn answer(&self, location: &HubLocation, reason: impl AsRef<str>) -> HubError {
        HubError::Answer {
            location: location.clone(),
            endpoint: self.config.endpoint.clone(),
            reason: crate::error::one_line(reason.as_ref()),
        }
    }

    /// Creates the error for a fault of the cache folder.
    pub(super) fn cache_error(&self, source: std::io::Error) -> HubError {
        let path = Path::to_path_buf(&self.config.cache);
        HubError::Cache { path, source }
    }
}

/// Repository of a location at a revision.
fn repo(location: &HubLocation, revision: &str) -> Repo {
    Repo::with_revision(
        location.repository().into(),
        RepoType::Model,
        revision.into(),
    )
}

fn no_file(location: &HubLocation, listing: &Listing) -> HubError {
    let mut files: Vec<&str> = listing.files.keys().map(String::as_str).collect();
    let more = files.len().saturating_sub(NAMED);
    files.truncate(NAMED);
    let mut files = match files.is_empty() {
        true => "none".to_owned(),
        false => files.join(", "),
    };
    if more > 0 {
        files += &format!(" and {more} more");
    }
    HubError::NoFile {
        location: location.clone(),
        files,
    }
}
