//! Address, token and cache of the hub.

use std::path::PathBuf;

use super::HubError;

const ENDPOINT: &str = "https://huggingface.co";

/// Connection to the hub, and location of its files.
#[derive(Clone)]
pub struct HubConfig {
    /// Address of the hub.
    pub endpoint: String,
    /// Folder of the cache, laid out as in Python's `huggingface_hub`.
    pub cache: PathBuf,
    /// Token for private and gated models.
    pub token: Option<String>,
    /// Uses the cache alone.
    pub offline: bool,
    /// Shows a progress bar on the terminal for each file.
    pub progress: bool,
    /// Number of retries of a download that made no progress.
    pub retries: u32,
}

/// Hides the token.
impl std::fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubConfig")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .field("progress", &self.progress)
            .field("retries", &self.retries)
            .finish()
    }
}

impl HubConfig {
    /// Configuration of the public hub without a token, with a cache in this folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: ENDPOINT.into(),
            cache: cache.into(),
            token: None,
            offline: false,
            progress: false,
            retries: 5,
        }
    }

    /// Reads the configuration from the environment variables of Python's `huggingface_hub`:
    ///
    /// - address: `HF_ENDPOINT`
    /// - cache: `HF_HUB_CACHE`, `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub`,
    ///   `~/.cache/huggingface/hub`
    /// - token: `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, the file `HF_TOKEN_PATH`, the file
    ///   `HF_HOME/token`
    /// - cache only: `HF_HUB_OFFLINE`
    /// - no progress bars: `HF_HUB_DISABLE_PROGRESS_BARS`
    ///
    /// # Errors
    /// When neither the variables nor a home folder determine the cache folder.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Rejects an address that cannot be requested.
    pub(super) fn check(&self) -> Result<(), HubError> {
        let known = ["http://", "https://"];
        let host = known
            .iter()
            .find_map(|scheme| self.endpoint.strip_prefix(scheme));
        let usual = |c: char| c.is_ascii_alphanumeric() || "-_.:/[]%@".contains(c);
        match host.is_some_and(|host| !host.is_empty() && host.chars().all(usual)) {
            true => Ok(()),
            false => Err(HubError::Endpoint(self.endpoint.clone())),
        }
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let variable = |name: &str| {
            let value = variable(name)?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let set = |name: &str| {
            let value = variable(name).unwrap_or_default().to_ascii_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        };
        let folder = |name: &str| variable(name).map(PathBuf::from);
        let home = folder("HF_HOME")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| {
                let home = folder("HOME").or_else(|| folder("USERPROFILE"))?;
                Some(home.join(".cache/huggingface"))
            });
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| Some(home.as_ref()?.join("hub")))
            .ok_or(HubError::NoCache)?;
        let token_file = folder("HF_TOKEN_PATH").or_else(|| Some(home?.join("token")));
        let token = variable("HF_TOKEN")
            .or_else(|| variable("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| {
                let token = std::fs::read_to_string(token_file?).ok()?.trim().to_owned();
                (!token.is_empty()).then_some(token)
            });
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into());
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            token,
            offline: set("HF_HUB_OFFLINE"),
            progress: !set("HF_HUB_DISABLE_PROGRESS_BARS"),
            ..Self::new(cache)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<HubConfig, HubError> {
        HubConfig::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_are_those_of_the_python_library() {
        let found = config(&[("HOME", "/home/me")]).unwrap();
        assert_eq!(
            found.cache,
            PathBuf::from("/home/me/.cache/huggingface/hub")
        );
        assert_eq!((found.endpoint.as_str(), found.token), (ENDPOINT, None));
        assert!(found.progress && !found.offline);

        let found = config(&[
            ("HOME", "/home/me"),
            ("HF_HOME", "/big/hf"),
            ("HF_ENDPOINT", "http://mirror:8080/"),
            ("HF_TOKEN", " hf_secret\n"),
            ("HF_HUB_OFFLINE", "true"),
        ])
        .unwrap();
        assert_eq!(found.cache, PathBuf::from("/big/hf/hub"));
        assert_eq!(found.endpoint, "http://mirror:8080");
        assert_eq!(found.token.as_deref(), Some("hf_secret"));
        assert!(found.offline);
        assert!(!format!("{found:?}").contains("secret"));

        let cache = config(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")])
            .unwrap()
            .cache;
        assert_eq!(cache, PathBuf::from("/c"));
        assert!(matches!(config(&[]), Err(HubError::NoCache)));
        for wrong in ["mirror", "http://", "http://a b", "ftp://x"] {
            let config = config(&[("HF_HOME", "/h"), ("HF_ENDPOINT", wrong)]).unwrap();
            assert!(
                config
                    .check()
                    .unwrap_err()
                    .to_string()
                    .contains("HF_ENDPOINT"),
                "{wrong}"
            );
        }
        found.check().unwrap();
    }

    #[test]
    fn the_token_file_is_read() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
        let home = home.path().display().to_string();
        assert_eq!(
            config(&[("HF_HOME", &home)]).unwrap().token.as_deref(),
            Some("hf_file")
        );
        let both = config(&[("HF_HOME", &home), ("HF_TOKEN", "hf_other")]).unwrap();
        assert_eq!(both.token.as_deref(), Some("hf_other"));
    }
}
