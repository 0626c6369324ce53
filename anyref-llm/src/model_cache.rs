//! Caches of a model, and the type of what they keep.

use anyref_ops::CacheType;
use burn::tensor::backend::Backend;

use crate::cache::KvCache;
use crate::error::{Error, Result};
use crate::model::Llama;

impl<B: Backend> Llama<B> {
    /// Creates an empty cache for this model.
    pub fn new_cache(&self) -> KvCache<B> {
        KvCache::of_type(self.model.layers.len(), self.cache_type)
    }

    /// Sets the type that [new caches](Self::new_cache) keep keys and values in, f32 by default.
    ///
    /// # Errors
    /// When it does not hold heads of the model's width.
    pub fn with_cache_type(mut self, cache_type: CacheType) -> Result<Self> {
        let head_width = self.rotary.head_width();
        if !cache_type.holds(head_width) {
            return Err(Error::CacheType {
                cache_type,
                head_width,
            });
        }
        self.cache_type = cache_type;
        Ok(self)
    }

    /// Type that new caches keep keys and values in.
    pub fn cache_type(&self) -> CacheType {
        self.cache_type
    }
}
