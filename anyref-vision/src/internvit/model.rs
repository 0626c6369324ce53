//! InternViT tower.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::{InternVisionConfig, InternVisionEmbeddings, InternVisionEncoder};

impl InternVisionConfig {
    /// Creates the tower with random weights (lazily: loading a checkpoint draws none).
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> InternVisionModel<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        InternVisionModel {
            embeddings: InternVisionEmbeddings::new(self, device),
            encoder: InternVisionEncoder::new(self, device),
            config: self.clone(),
        }
    }
}

/// InternViT (OpenGVLab's `InternVisionModel`), without a normalisation after the last layer.
#[derive(Module, Debug)]
pub struct InternVisionModel<B: Backend> {
    /// Embedding of a tile as tokens.
    pub embeddings: InternVisionEmbeddings<B>,
    /// Transformer layers.
    pub encoder: InternVisionEncoder<B>,
    #[module(skip)]
    config: InternVisionConfig,
}

impl<B: Backend> InternVisionModel<B> {
    /// Configuration of the tower.
    pub fn config(&self) -> &InternVisionConfig {
        &self.config
    }

    /// Output of the last layer.
    ///
    /// # Shapes
    /// - pixel_values: `[tiles, channels, image_size, image_size]`
    /// - output: `[tiles, 1 + patches, hidden_size]`, the class token first
    ///
    /// # Panics
    /// When the tiles are not `image_size` square.
    pub fn forward(&self, pixel_values: Tensor<B, 4>) -> Tensor<B, 3> {
        self.run(pixel_values, self.encoder.layers.len())
    }

    /// Patch features: `hidden_states[select_layer]` without the class token. Only the necessary
    /// layers run. Sa2VA and InternVL use layer -1, the last.
    ///
    /// # Shapes
    /// - pixel_values: `[tiles, channels, image_size, image_size]`
    /// - output: `[tiles, patches, hidden_size]`
    ///
    /// # Panics
    /// When the layer does not exist ([`InternVisionConfig::layers_until`] tells), or the tiles are
    /// not `image_size` square.
    pub fn features(&self, pixel_values: Tensor<B, 4>, select_layer: i32) -> Tensor<B, 3> {
        let layers = match self.config.layers_until(select_layer) {
            Ok(layers) => layers,
            Err(error) => panic!("{error}"),
        };
        let hidden = self.run(pixel_values, layers);
        let tokens = hidden.dims()[1];
        hidden.narrow(1, 1, tokens - 1)
    }

    /// Runs the first `layers` layers.
    fn run(&self, pixel_values: Tensor<B, 4>, layers: usize) -> Tensor<B, 3> {
        let x = self.embeddings.forward(pixel_values);
        let [tiles, tokens, hidden] = x.dims();
        let mut x = x.reshape([tiles * tokens, hidden]);
        for layer in self.encoder.layers.iter().take(layers) {
            x = layer.forward(x, tokens);
        }
        x.reshape([tiles, tokens, hidden])
    }
}
