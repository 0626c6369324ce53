//! A picture that an engine has encoded.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::backend::Backend;

use crate::picture::Picture;
use crate::{Error, Result, SamPicture};

/// A picture, encoded once and asked any number of times, of the engine that encoded it. Its
/// memory, [`bytes`](Self::bytes), is held until the last clone is dropped: whoever keeps pictures
/// bounds it.
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

    /// A picture that a SAM alone has encoded.
    pub(super) fn of_sam<B: Backend>(picture: SamPicture<B>, engine: u64) -> Self {
        Self {
            engine,
            size: picture.size(),
            bytes: picture.bytes(),
            encoding: picture.encoding_time(),
            features: Arc::new(picture),
        }
    }

    /// The picture, for the SAM that encoded it.
    pub(super) fn sam<B: Backend>(&self, engine: u64) -> Result<&SamPicture<B>> {
        self.features(engine)
    }

    /// The picture, for the engine that encoded it.
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

    /// Memory on the device, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Time its encoding took.
    pub fn encoding_time(&self) -> Duration {
        self.encoding
    }
}
