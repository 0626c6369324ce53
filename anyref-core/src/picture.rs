//! A picture, encoded once and asked any number of times.

use std::time::Duration;

use anyref_llm::KvCache;
use burn::tensor::{Tensor, backend::Backend};

use crate::model::PictureFeatures;

/// Everything about a picture that does not depend on the question.
#[derive(Debug, Clone)]
pub struct Picture<B: Backend> {
    /// CLIP features.
    pub(crate) features: PictureFeatures<B>,
    /// SAM embedding `[1, width, rows, columns]`.
    pub(crate) embedding: Tensor<B, 4>,
    /// Keys and values of the conversation's beginning up to the picture's end.
    pub(crate) prefix: KvCache<B>,
    pub(crate) original_size: [usize; 2],
    pub(crate) resized_size: [usize; 2],
    pub(crate) encoding: Duration,
}

impl<B: Backend> Picture<B> {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.original_size[1] as u32, self.original_size[0] as u32)
    }

    /// Time its encoding took.
    pub fn encoding_time(&self) -> Duration {
        self.encoding
    }
}
