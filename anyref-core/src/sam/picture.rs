//! Picture encoded by SAM.

use std::time::Duration;

use anyref_decoder::HighResolution;
use anyref_vision::preprocess::SamPixels;
use burn::tensor::{Tensor, backend::Backend};

/// Picture that is encoded once and can be prompted repeatedly.
#[derive(Debug, Clone)]
pub struct SamPicture<B: Backend> {
    /// `[1, width, rows, columns]`
    pub(crate) embedding: Tensor<B, 4>,
    /// Finer levels of SAM 2.
    pub(crate) levels: Option<HighResolution<B>>,
    /// Height and width of the picture.
    pub(crate) original_size: [usize; 2],
    /// Height and width within the image encoder's square.
    pub(crate) resized_size: [usize; 2],
    pub(crate) encoding: Duration,
}

impl<B: Backend> SamPicture<B> {
    /// Creates a picture from its embedding, `[1, width, rows, columns]`, and its pixels.
    pub fn new(embedding: Tensor<B, 4>, pixels: &SamPixels) -> Self {
        Self {
            embedding,
            levels: None,
            original_size: pixels.original_size,
            resized_size: pixels.resized_size,
            encoding: Duration::ZERO,
        }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.original_size[1] as u32, self.original_size[0] as u32)
    }

    /// Embedding, `[1, width, rows, columns]`.
    pub fn embedding(&self) -> &Tensor<B, 4> {
        &self.embedding
    }

    /// Memory of the embedding and the finer levels in bytes.
    pub fn bytes(&self) -> u64 {
        let levels = self.levels.as_ref().map_or(0, |levels| {
            levels.halves.shape().num_elements() + levels.quarters.shape().num_elements()
        });
        let values = self.embedding.shape().num_elements() + levels;
        (values * self.embedding.dtype().size()) as u64
    }

    /// Height and width of the picture within the square to which logits are resized first, and the
    /// side of that square: the image encoder's for SAM, the logits' own for SAM 2, whose pictures
    /// fill the square.
    pub(super) fn square(&self, low_res: usize, image_size: usize) -> ([usize; 2], usize) {
        match self.levels {
            None => (self.resized_size, image_size),
            Some(_) => ([low_res; 2], low_res),
        }
    }

    /// Time taken by encoding.
    pub fn encoding_time(&self) -> Duration {
        self.encoding
    }

    /// Converts a point `[x, y]` from pixels of the picture to the image encoder's input
    /// (segment-anything `ResizeLongestSide.apply_coords`).
    pub fn to_input(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let scale = |axis: usize| self.resized_size[axis] as f64 / self.original_size[axis] as f64;
        [x * scale(1), y * scale(0)]
    }
}
