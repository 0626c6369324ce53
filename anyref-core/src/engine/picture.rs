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

/// A picture as an engine's model encodes it.
pub(super) trait Encoded: Send + Sync + 'static {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Memory on the device, in bytes.
    fn bytes(&self) -> u64;
    /// Time its encoding took.
    fn encoding_time(&self) -> Duration;
}

impl<B: Backend> Encoded for Picture<B> {
    fn size(&self) -> (u32, u32) {
        self.size()
    }

    fn bytes(&self) -> u64 {
        self.bytes()
    }

    fn encoding_time(&self) -> Duration {
        self.encoding_time()
    }
}

impl<B: Backend> Encoded for SamPicture<B> {
    fn size(&self) -> (u32, u32) {
        self.size()
    }

    fn bytes(&self) -> u64 {
        self.bytes()
    }

    fn encoding_time(&self) -> Duration {
        self.encoding_time()
    }
}

impl EncodedPicture {
    pub(super) fn new(picture: impl Encoded, engine: u64) -> Self {
        Self {
            engine,
            size: picture.size(),
            bytes: picture.bytes(),
            encoding: picture.encoding_time(),
            features: Arc::new(picture),
        }
    }

    /// The picture as its engine encoded it.
    ///
    /// # Errors
    /// When the engine is another.
    pub(super) fn of<T: Encoded>(&self, engine: u64) -> Result<&T> {
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
