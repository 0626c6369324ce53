//! Features of pictures for the mask decoder of either kind.

use anyref_decoder::HighResolution;
use burn::tensor::{Int, Tensor, backend::Backend};

/// Features of pictures as the mask decoder reads them.
#[derive(Debug, Clone)]
pub struct MaskFeatures<B: Backend> {
    /// Embeddings, `[pictures, width, rows, columns]`.
    pub embeddings: Tensor<B, 4>,
    /// Finer levels of SAM 2, which pass through layers of its mask decoder.
    pub levels: Option<HighResolution<B>>,
}

impl<B: Backend> MaskFeatures<B> {
    /// Features of SAM, which has one level.
    pub fn of_sam(embeddings: Tensor<B, 4>) -> Self {
        Self {
            embeddings,
            levels: None,
        }
    }

    /// Features of some pictures, each as often as it is named.
    pub fn select(self, pictures: Tensor<B, 1, Int>) -> Self {
        Self {
            embeddings: self.embeddings.select(0, pictures.clone()),
            levels: self.levels.map(|levels| levels.select(pictures)),
        }
    }
}
