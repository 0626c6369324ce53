//! Picture encoded by an engine.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::backend::Backend;

use crate::picture::Picture;
use crate::{Error, Result, SamPicture};

/// Picture that is encoded once and can be asked about repeatedly, by the engine that encoded it.
/// Its memory, [`bytes`](Self::bytes), is held until the last clone is dropped, so callers should
/// limit the pictures they keep.
#[derive(Debug, Clone)]
pub struct EncodedPicture {
    features: Arc<dyn Any + Send + Sync>,
    engine: u64,
    size: (u32, u32),
    bytes: u64,
    encoding: Duration,
}

impl EncodedPicture {
    pub(super) fn new<B: Backend>(picture: Picture<B>, engine: u64) -> Self {
        Self {
            engine,
            size: picture.size(),
            bytes: picture.bytes(),
            encoding: picture.encoding_time(),
            features: Arc::new(picture),
        }
    }

    /// Wraps a picture encoded by a standalone SAM.
    pub(super) fn of_sam<B: Backend>(picture: SamPicture<B>, engine: u64) -> Self {
        Self {
            engine,
            size: picture.size(),
            bytes: picture.bytes(),
            encoding: picture.encoding_time(),
            features: Arc::new(picture),
        }
    }

    /// Returns the picture for the SAM that encoded it.
    pub(super) fn sam<B: Backend>(&self, engine: u64) -> Result<&SamPicture<B>> {
        self.features(engine)
    }

    /// Returns the picture for the engine that encoded it.
    pub(super) fn of<B: Backend>(&self, engine: u64) -> Result<&Picture<B>> {
        self.features(engine)
    }

    fn features<T: 'static>(&self, engine: u64) -> Result<&T> {
        let own = self
            .features
            .downcast_ref()
            .filter(|_| self.engine == engine);
        own.ok_or(Error::ForeignPicture)
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Memory on the device in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Time taken by encoding.
    pub fn encoding_time(&self) -> Duration {
        self.encoding
    }
}
