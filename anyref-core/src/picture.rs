//! A picture, encoded once and asked any number of times.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyref_llm::KvCache;
use anyref_vision::region_encoder::RegionEncoder;
use burn::tensor::{Tensor, backend::Backend};
use image::RgbImage;

use crate::model::PictureFeatures;
use crate::sam::SamPicture;
use crate::{Error, Result};

/// Everything about a picture that does not depend on the question.
#[derive(Debug, Clone)]
pub struct Picture<B: Backend> {
    /// The tower's features.
    pub(crate) features: PictureFeatures<B>,
    /// Levels of the region encoder, once a box has asked for them.
    pub(crate) region_levels: Arc<OnceLock<Vec<Tensor<B, 4>>>>,
    /// SAM's embedding; none of a picture that is only put into words.
    pub(crate) sam: Option<SamPicture<B>>,
    /// The picture itself, where references may have to be cut out of it.
    pub(crate) image: Option<Arc<RgbImage>>,
    /// Keys and values of the conversation's beginning up to the picture's end.
    pub(crate) prefix: KvCache<B>,
    pub(crate) prefix_bytes: u64,
    pub(crate) original_size: [usize; 2],
    pub(crate) encoding: Duration,
    /// Set once an answer has included the time of the encoding.
    pub(crate) counted: Arc<AtomicBool>,
}

impl<B: Backend> Picture<B> {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.original_size[1] as u32, self.original_size[0] as u32)
    }

    /// Levels of the region encoder, fused for the first box and kept for those after it.
    pub(crate) fn region_levels(&self, encoder: &RegionEncoder<B>) -> &[Tensor<B, 4>] {
        self.region_levels
            .get_or_init(|| encoder.fuse(self.features.states.clone()))
    }

    /// Memory that its features, keys and values take, in bytes; of a model with a region encoder
    /// also what a box adds.
    pub fn bytes(&self) -> u64 {
        let features = &self.features;
        let (grid, tokens) = (features.grid.shape(), features.tokens.shape());
        let states = self.features.states.iter().rev();
        // Each level before the last is twice as fine as the next.
        let states = states
            .enumerate()
            .map(|(level, state)| state.shape().num_elements() * (1 + (1 << (2 * level))));
        let values = grid.num_elements() + tokens.num_elements() + states.sum::<usize>();
        let size = self.features.tokens.dtype().size();
        let sam = self.sam.as_ref().map_or(0, SamPicture::bytes);
        let image = self.image.as_ref().map_or(0, |image| image.len());
        (values * size + image) as u64 + sam + self.prefix_bytes
    }

    /// SAM's embedding.
    ///
    /// # Errors
    /// When the picture was encoded for words alone, as by a model that makes no masks.
    pub(crate) fn sam(&self) -> Result<&SamPicture<B>> {
        self.sam.as_ref().ok_or(Error::NoMasks)
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
