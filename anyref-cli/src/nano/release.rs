//! nano's weights as a file of the release.

#[cfg(not(nano_embedded))]
use std::sync::OnceLock;

use std::fs;
use std::path::Path;

use anyref_core::Result;
use anyref_weights::Error;
use anyref_weights::hub::PinnedFile;

#[cfg(test)]
#[path = "../../../anyref-weights/tests/common/hub_server.rs"]
mod hub_server;

/// The file's name in a release.
const NAME: &str = "nano.safetensors";
const SIZE: u64 = 19_886_424;
const SHA256: &str = "10eb761d9159a075725ca84dc2ca3bcf786109e0071cde95d7bb24d7d59d4a46";

/// Address of the release of this version.
#[cfg(not(nano_embedded))]
const RELEASE: &str = concat!(
    env!("CARGO_PKG_REPOSITORY"),
    "/releases/download/v",
    env!("CARGO_PKG_VERSION")
);
/// Names another address with the release's files: a mirror.
#[cfg(not(nano_embedded))]
const MIRROR: &str = "ANYREF_RELEASE";

/// Reads the weights, once, after fetching them into the cache where they are missing.
#[cfg(not(nano_embedded))]
pub fn weights() -> Result<&'static [u8]> {
    static WEIGHTS: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(weights) = WEIGHTS.get() {
        return Ok(weights);
    }
    let mirror = std::env::var(MIRROR)
        .ok()
        .filter(|mirror| !mirror.is_empty());
    let release = mirror.as_deref().unwrap_or(RELEASE);
    let cache = crate::label_cache::label_cache(None).ok_or_else(|| Error::Unsupported {
        path: NAME.into(),
        reason: "there is no home folder to keep it in".into(),
        remedy: "set ANYREF_CACHE to a folder".into(),
    })?;
    let weights = fetched(release, &cache)?;
    Ok(WEIGHTS.get_or_init(|| weights))
}

/// The content of the cache's file, fetched from the release at this address where it is missing.
fn fetched(release: &str, cache: &Path) -> Result<Vec<u8>> {
    let address = format!("{}/{NAME}", release.trim_end_matches('/'));
    let file = PinnedFile {
        address: &address,
        size: SIZE,
        sha256: SHA256,
    };
    // Each version's weights under a name of their own.
    let path = cache.join(format!("nano-{}.safetensors", &SHA256[..8]));
    if !file.is_at(&path) {
        let megabytes = SIZE / 1_000_000;
        eprintln!("note: fetching nano, {megabytes} MB, once: {address}");
        file.fetch(&path)?;
    }
    Ok(fs::read(&path).map_err(|source| Error::Io { path, source })?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::hub_server::{Damage, HubServer, Repository, hash};
    use super::*;

    /// The weights of the repository.
    fn weights() -> Vec<u8> {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
        fs::read(assets.join("nano/model.safetensors")).unwrap()
    }

    #[test]
    fn the_release_is_known_by_size_and_sum() {
        let weights = weights();
        assert_eq!(weights.len() as u64, SIZE, "SIZE is that of older weights");
        assert_eq!(hash(&weights), SHA256, "SHA256 is that of older weights");
    }

    #[test]
    fn the_weights_are_fetched_once_and_checked() {
        let server = HubServer::start();
        let weights = weights();
        let files: [(&str, &[u8]); 1] = [(NAME, &weights)];
        server.publish("anyref/releases", "v1", Repository::new("abcdef01", &files));
        let release = format!("{}/anyref/releases/resolve/v1/", server.endpoint());
        let home = tempfile::tempdir().unwrap();
        let cache = home.path().join("anyref");

        server.damage(NAME, Damage::Byte);
        let message = fetched(&release, &cache).unwrap_err().to_string();
        assert!(
            message.contains("SHA-256") && message.contains(NAME),
            "{message}"
        );
        server.cut(NAME, &[9_000_000]);
        assert!(fetched(&release, &cache).unwrap() == weights);
        server.requests();
        assert!(fetched(&release, &cache).unwrap() == weights);
        assert!(server.requests().is_empty());
        let names: Vec<PathBuf> = fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(names, [cache.join("nano-10eb761d.safetensors")]);
    }
}
