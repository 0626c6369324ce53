//! The `config.json` of a published part.

use std::path::{Path, PathBuf};

use anyref_llm::LlamaConfig;
use serde_json::Value;

use crate::{Error, Result};

/// Way out where weights are packed in a form that is not read.
pub(crate) const PACKED_REMEDY: &str =
    "which are not read; give the unquantised model with --quantize q4_k, or a GGUF file of it";

/// Longest file read.
const MAX_BYTES: u64 = 16 << 20;

/// A `config.json`.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    json: Value,
}

impl ConfigFile {
    /// Reads a file, if it is there.
    pub(crate) fn read(path: PathBuf) -> Result<Option<Self>> {
        let Ok(meta) = std::fs::metadata(&path) else {
            return Ok(None);
        };
        if meta.len() > MAX_BYTES {
            let problem = format!("{} bytes are no config; download it again", meta.len());
            return Err(Error::folder(&path, problem));
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Error::folder(&path, format!("{e}; check its permissions")))?;
        let json: Value = serde_json::from_str(&text)
            .map_err(|e| Error::folder(&path, format!("not JSON ({e}); download it again")))?;
        if !json.is_object() {
            return Err(Error::folder(&path, "not a config; download it again"));
        }
        Ok(Some(Self { path, json }))
    }

    /// Content of a folder of Hugging Face's for a language model that is in another file.
    pub(crate) fn of_llama(path: &Path, config: &LlamaConfig) -> Result<Self> {
        let mut json =
            serde_json::to_value(config).map_err(|error| Error::folder(path, error.to_string()))?;
        json["model_type"] = "llama".into();
        Ok(Self {
            path: path.into(),
            json,
        })
    }

    /// Refuses a config of weights that AWQ or GPTQ packed.
    pub(crate) fn refuse_packed_weights(&self) -> Result<()> {
        let text = self.json.get("text_config");
        let stated = [Some(&self.json), text].into_iter().flatten();
        let mut methods = stated.filter_map(|json| {
            let stated = json.get("quantization_config")?;
            stated.get("quant_method").and_then(Value::as_str)
        });
        match methods.find(|method| ["awq", "gptq"].contains(method)) {
            None => Ok(()),
            Some(method) => {
                let problem = format!(
                    "`quantization_config` names weights quantised by {method}, {PACKED_REMEDY}"
                );
                Err(Error::folder(&self.path, problem))
            }
        }
    }

    /// The whole of it.
    pub(crate) fn root(&self) -> Section<'_> {
        Section {
            path: &self.path,
            name: "",
            json: &self.json,
        }
    }

    /// A part of it.
    pub(crate) fn section(&self, name: &'static str) -> Option<Section<'_>> {
        self.root().section(name)
    }
}

/// A part of a `config.json`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    path: &'a Path,
    name: &'a str,
    json: &'a Value,
}

impl<'a> Section<'a> {
    /// A part of it.
    pub(crate) fn section(&self, name: &'static str) -> Option<Section<'a>> {
        let json = self.json.get(name).filter(|json| json.is_object())?;
        Some(Section {
            path: self.path,
            name,
            json,
        })
    }

    pub(crate) fn json(&self) -> &Value {
        self.json
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.json.get(field)?.as_str()
    }

    pub(crate) fn float(&self, field: &str) -> Option<f64> {
        self.json.get(field)?.as_f64()
    }

    pub(crate) fn number(&self, field: &str) -> Option<usize> {
        self.json.get(field)?.as_u64().map(|number| number as usize)
    }

    /// Checks that the file does not contradict the weights.
    pub(crate) fn agree(&self, field: &str, shown: usize) -> Result<()> {
        match self.number(field) {
            Some(said) if said != shown => Err(self.fail(
                field,
                &format!(
                    "is {said} and the weights have {shown}; use the config that came with them"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Checks that the model is of one of these types.
    pub(crate) fn expect_type(&self, types: &[&str], what: &str) -> Result<()> {
        match self.text("model_type") {
            Some(found) if !types.contains(&found) => Err(self.fail(
                "model_type",
                &format!(
                    "is {found:?}, which is no {what}; supported: {}",
                    types.join(", ")
                ),
            )),
            _ => Ok(()),
        }
    }

    /// An error about the file.
    pub(crate) fn problem(&self, problem: &str) -> Error {
        Error::folder(self.path, problem)
    }

    /// An error about a field.
    pub(crate) fn fail(&self, field: &str, problem: &str) -> Error {
        let dot = if self.name.is_empty() { "" } else { "." };
        Error::folder(self.path, format!("{}{dot}{field} {problem}", self.name))
    }
}
