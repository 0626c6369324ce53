//! Cache of encoded pictures in bounded memory.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyref_api::{Outcome, Problem, picture_not_found};
use anyref_core::EncodedPicture;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::metrics::ModelMetrics;

/// Identifier of a picture: a digest of its file, equal for equal files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PictureId(String);

impl PictureId {
    /// Identifier of a file.
    pub(crate) fn of(file: &[u8]) -> Self {
        let digest = Sha256::digest(file);
        let digits: String = digest[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self(format!("pic_{digits}"))
    }

    /// Identifier in a request.
    pub(crate) fn given(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Default)]
struct Entry {
    /// Encoded picture; empty while it is being encoded.
    picture: Arc<OnceCell<EncodedPicture>>,
    /// Time of its last use.
    used: u64,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<PictureId, Entry>,
    time: u64,
}

/// Cache of pictures. Beyond its memory the least recently used are dropped; the newest stays,
/// whatever its size.
#[derive(Debug)]
pub(crate) struct Pictures {
    kept: Mutex<Kept>,
    bytes: u64,
    metrics: ModelMetrics,
}

impl Pictures {
    pub(crate) fn new(bytes: u64, metrics: ModelMetrics) -> Self {
        Self {
            kept: Mutex::default(),
            bytes,
            metrics,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a cached picture.
    pub(crate) fn get(&self, id: &PictureId) -> Outcome<EncodedPicture> {
        let mut kept = self.kept();
        kept.time += 1;
        let time = kept.time;
        let entry = kept.entries.get_mut(id);
        let found = entry.and_then(|entry| {
            entry.used = time;
            entry.picture.get().cloned()
        });
        self.metrics.server.looked_up(found.is_some());
        found.ok_or_else(picture_not_found)
    }

    /// Returns a cached picture, or encodes it; requests for one picture share one encoding. The
    /// second value is whether this call encoded it; the third are the pictures that were dropped.
    pub(crate) async fn get_or_encode<F>(
        &self,
        id: &PictureId,
        encode: impl FnOnce() -> F,
    ) -> Outcome<(EncodedPicture, bool, Vec<PictureId>)>
    where
        F: Future<Output = Result<EncodedPicture, Problem>>,
    {
        let cell = {
            let mut kept = self.kept();
            kept.time += 1;
            let time = kept.time;
            let entry = kept.entries.entry(id.clone()).or_default();
            entry.used = time;
            entry.picture.clone()
        };
        let mut encoded = false;
        let picture = cell
            .get_or_try_init(|| {
                encoded = true;
                encode()
            })
            .await
            .cloned();
        self.metrics.server.looked_up(!encoded);
        match picture {
            Ok(picture) => {
                let gone = self.make_room(id);
                Ok((picture, encoded, gone))
            }
            Err(problem) => {
                let mut kept = self.kept();
                // Other requests may still try to encode it.
                if Arc::strong_count(&cell) <= 2 && cell.get().is_none() {
                    kept.entries.remove(id);
                }
                Err(problem)
            }
        }
    }

    /// Removes a picture; returns whether it was cached.
    pub(crate) fn remove(&self, id: &PictureId) -> bool {
        let found = self.kept().entries.remove(id).is_some();
        self.make_room(id);
        found
    }

    /// Removes all pictures, when their engine is gone.
    pub(crate) fn clear(&self) {
        self.kept().entries.clear();
        self.metrics.cache_bytes.set(0);
        self.metrics.cache_pictures.set(0);
    }

    fn make_room(&self, newest: &PictureId) -> Vec<PictureId> {
        let mut kept = self.kept();
        let bytes = |entry: &Entry| entry.picture.get().map_or(0, EncodedPicture::bytes);
        let mut total: u64 = kept.entries.values().map(bytes).sum();
        let mut gone = Vec::new();
        while total > self.bytes {
            let others = kept
                .entries
                .iter()
                .filter(|(id, entry)| *id != newest && bytes(entry) > 0);
            let oldest = others.min_by_key(|(_, entry)| entry.used);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            total -= kept.entries.remove(&id).as_ref().map_or(0, bytes);
            gone.push(id);
        }
        self.metrics.cache_bytes.set(total as i64);
        self.metrics.cache_pictures.set(kept.entries.len() as i64);
        gone
    }
}
