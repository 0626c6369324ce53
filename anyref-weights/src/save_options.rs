//! Options of saving.

use std::collections::BTreeMap;

use burn::tensor::DType;

/// Options of [`save_module`](crate::save_module) and
/// [`write_checkpoint`](crate::write_checkpoint).
#[derive(Debug, Clone, Default)]
pub struct SaveOptions {
    /// Type of the float tensors (f32, f16, bf16 or f64); `None` keeps the module's.
    pub dtype: Option<DType>,
    /// Free-form entries for the header; `format: pt` is added when absent.
    pub metadata: BTreeMap<String, String>,
    /// Prefix of every name.
    pub prefix: String,
    /// Maximum size of a shard in bytes. A larger module is written to several files with an index;
    /// `None` writes one file.
    pub max_shard_bytes: Option<u64>,
}

impl SaveOptions {
    /// Sets [`dtype`](Self::dtype).
    pub fn with_dtype(mut self, dtype: Option<DType>) -> Self {
        self.dtype = dtype;
        self
    }

    /// Adds an entry to [`metadata`](Self::metadata).
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets [`prefix`](Self::prefix).
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets [`max_shard_bytes`](Self::max_shard_bytes).
    pub fn with_max_shard_bytes(mut self, bytes: u64) -> Self {
        self.max_shard_bytes = Some(bytes);
        self
    }
}
