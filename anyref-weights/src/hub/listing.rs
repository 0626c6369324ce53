//! Files of a repository, as listed by the hub.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::location::is_path;

/// Maximum length of an answer in bytes.
pub(super) const LONGEST: u64 = 64 << 20;
/// Digits of a SHA-256.
const SHA256: usize = 64;

/// Files of a repository at one commit, by path.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: BTreeMap<String, RemoteFile>,
}

/// Size and hash of a file, where the hub gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// Size in bytes.
    pub(super) size: Option<u64>,
    /// Name in the cache, from the hub's entity tag.
    pub(super) tag: Option<String>,
    /// SHA-256 of the content in lower case, which the hub gives for large files.
    pub(super) sha256: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

impl Listing {
    /// Parses the hub's answer. Names that lead out of a folder are omitted.
    pub(super) fn read(json: impl std::io::Read) -> Result<Self, String> {
        let answer: Answer = serde_json::from_reader(json).map_err(|e| e.to_string())?;
        if !is_hash(&answer.sha) {
            return Err("the commit is not a hash".into());
        }
        let files = answer
            .siblings
            .into_iter()
            .filter(|file| is_path(&file.rfilename));
        let files = files.map(|file| {
            let (tag, sha256) = match file.lfs {
                Some(lfs) => (lfs.sha256.clone(), lfs.sha256),
                None => (file.blob_id, None),
            };
            let sha256 = sha256.filter(|sha256| is_hash(sha256) && sha256.len() == SHA256);
            let about = RemoteFile {
                size: file.size,
                tag: tag.filter(|tag| is_hash(tag)),
                sha256: sha256.map(|sha256| sha256.to_ascii_lowercase()),
            };
            (file.rfilename, about)
        });
        Ok(Self {
            commit: answer.sha,
            files: files.collect(),
        })
    }

    /// Paths directly in a folder, relative to it.
    pub(super) fn folder(&self, folder: Option<&str>) -> Vec<&str> {
        let prefix = folder
            .map(|folder| format!("{folder}/"))
            .unwrap_or_default();
        let inside = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix));
        inside.filter(|name| !name.contains('/')).collect()
    }
}

/// Returns whether a text is a commit or an entity tag, and thus a harmless file name.
pub(super) fn is_hash(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_detours_left_out() {
        let json = r#"{"_id": "1", "sha": "0123456789abcdef", "private": false, "siblings": [
            {"rfilename": "config.json", "size": 12, "blobId": "aabbccdd00"},
            {"rfilename": "sub/model.safetensors", "size": 99, "blobId": "00112233",
             "lfs": {"sha256": "ffeeddccbbaa", "size": 99, "pointerSize": 134}},
            {"rfilename": "plain.txt"},
            {"rfilename": "odd.txt", "blobId": "../../x"},
            {"rfilename": "../../.bashrc"}, {"rfilename": "/etc/passwd"}, {"rfilename": "a\\b"}]}"#;
        let listing = Listing::read(json.as_bytes()).unwrap();
        assert_eq!(listing.commit, "0123456789abcdef");
        let names: Vec<_> = listing.files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "config.json",
                "odd.txt",
                "plain.txt",
                "sub/model.safetensors"
            ]
        );
        let weights = &listing.files["sub/model.safetensors"];
        assert_eq!(
            (weights.size, weights.tag.as_deref()),
            (Some(99), Some("ffeeddccbbaa"))
        );
        // Shorter than a SHA-256: usable as a name in the cache, but not as a checksum.
        assert_eq!(weights.sha256, None);
        assert_eq!(listing.files["odd.txt"].tag, None);
        assert_eq!(
            listing.folder(None),
            ["config.json", "odd.txt", "plain.txt"]
        );
        assert_eq!(listing.folder(Some("sub")), ["model.safetensors"]);
        assert!(listing.folder(Some("none")).is_empty());
        let sha256 = "AB".repeat(32);
        let json = format!(
            r#"{{"sha": "0123456789", "siblings": [{{"rfilename": "w.bin", "lfs": {{"sha256": "{sha256}"}}}}]}}"#
        );
        let listing = Listing::read(json.as_bytes()).unwrap();
        let checksum = listing.files["w.bin"].sha256.as_deref();
        assert_eq!(checksum, Some(&*sha256.to_ascii_lowercase()));
        for wrong in ["<html>", "{}", r#"{"sha": "../x", "siblings": []}"#] {
            assert!(Listing::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
