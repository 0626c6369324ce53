//! A picture, encoded once and asked any number of times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    pub(crate) prefix_bytes: u64,
    pub(crate) original_size: [usize; 2],
    pub(crate) resized_size: [usize; 2],
    pub(crate) encoding: Duration,
    /// Whether an answer has already counted the encoding among its own time.
    pub(crate) counted: Arc<AtomicBool>,
}

impl<B: Backend> Picture<B> {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.original_size[1] as u32, self.original_size[0] as u32)
    }

    /// Memory that its features, keys and values take, in bytes.
    pub fn bytes(&self) -> u64 {
        let features = &self.features;
        let (grid, tokens) = (features.grid.shape(), features.tokens.shape());
        let values = grid.num_elements() + tokens.num_elements();
        let values = values + self.embedding.shape().num_elements();
        let size = self.embedding.dtype().size();
        (values * size) as u64 + self.prefix_bytes
    }

    /// Time its encoding took.
    pub fn encoding_time(&self) -> Duration {
        self.encoding
    }

    /// The encoding's time for the first answer, nothing for the later ones.
    pub(crate) fn take_encoding_time(&self) -> Duration {
        if self.counted.swap(true, Ordering::Relaxed) {
            Duration::ZERO
        } else {
            self.encoding
        }
    }
}
