//! CLIP vision tower.

use anyref_ops::add;
use anyref_ops::nn::{LayerNorm, LayerNormConfig};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::{ClipEncoder, ClipVisionConfig, ClipVisionEmbeddings};

impl ClipVisionConfig {
    /// Creates the tower with random weights (lazily: loading a checkpoint draws none).
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> ClipVisionModel<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let norm = LayerNormConfig::new(self.hidden_size).with_epsilon(self.layer_norm_eps);
        ClipVisionModel {
            embeddings: ClipVisionEmbeddings::new(self, device),
            pre_layrnorm: norm.init(device),
            encoder: ClipEncoder::new(self, device),
            post_layernorm: norm.init(device),
            config: self.clone(),
        }
    }
}

/// CLIP's vision transformer without the projection (transformers `CLIPVisionTransformer`).
#[derive(Module, Debug)]
pub struct ClipVisionModel<B: Backend> {
    /// Embedding of a picture as tokens.
    pub embeddings: ClipVisionEmbeddings<B>,
    /// Normalisation before the first layer, spelled as in the checkpoints.
    pub pre_layrnorm: LayerNorm<B>,
    /// Transformer layers.
    pub encoder: ClipEncoder<B>,
    /// Normalisation of the class token only.
    pub post_layernorm: LayerNorm<B>,
    #[module(skip)]
    config: ClipVisionConfig,
}

/// Output of [`ClipVisionModel::forward`].
#[derive(Debug, Clone)]
pub struct ClipVisionOutput<B: Backend> {
    /// Output of the last layer, `[batch, 1 + patches, hidden_size]`.
    pub last_hidden_state: Tensor<B, 3>,
    /// Normalised class token, `[batch, hidden_size]`.
    pub pooler_output: Tensor<B, 2>,
}

impl<B: Backend> ClipVisionModel<B> {
    /// Configuration of the tower.
    pub fn config(&self) -> &ClipVisionConfig {
        &self.config
    }

    /// Encodes pictures by all layers.
    ///
    /// # Shapes
    /// - pixel_values: `[batch, channels, image_size, image_size]`
    ///
    /// # Panics
    /// When the picture is not `image_size` square.
    pub fn forward(&self, pixel_values: Tensor<B, 4>) -> ClipVisionOutput<B> {
        let last_hidden_state = self.run(pixel_values, self.encoder.layers.len(), |_| ());
        let [batch, _, hidden] = last_hidden_state.dims();
        let class = last_hidden_state
            .clone()
            .narrow(1, 0, 1)
            .reshape([batch, hidden]);
        ClipVisionOutput {
            last_hidden_state,
            pooler_output: self.post_layernorm.forward(class),
        }
    }

    /// Patch features: `hidden_states[select_layer]` without the class token. Only the necessary
    /// layers run, and the final norm is not applied. LLaVA uses layer -2.
    ///
    /// # Shapes
    /// - pixel_values: `[batch, channels, image_size, image_size]`
    /// - output: `[batch, patches, hidden_size]`
    ///
    /// # Panics
    /// When the layer does not exist ([`ClipVisionConfig::layers_until`] tells), or the picture is
    /// not `image_size` square.
    pub fn features(&self, pixel_values: Tensor<B, 4>, select_layer: i32) -> Tensor<B, 3> {
        let layers = match self.config.layers_until(select_layer) {
            Ok(layers) => layers,
            Err(error) => panic!("{error}"),
        };
        let hidden = self.run(pixel_values, layers, |_| ());
        let tokens = hidden.dims()[1];
        hidden.narrow(1, 1, tokens - 1)
    }

    /// Patch features at several of the tower's states, `hidden_states[state]` without the class
    /// token, in the order of `states`. Only the layers needed run.
    ///
    /// # Shapes
    /// - pixel_values: `[batch, channels, image_size, image_size]`
    /// - output: one `[batch, patches, hidden_size]` a state
    ///
    /// # Panics
    /// When there is no such state, and as [`features`](Self::features).
    pub fn features_at(&self, pixel_values: Tensor<B, 4>, states: &[usize]) -> Vec<Tensor<B, 3>> {
        let layers = states.iter().copied().max().unwrap_or(0);
        assert!(layers <= self.encoder.layers.len(), "state {layers}");
        let mut found = vec![None; states.len()];
        let mut index = 0;
        let mut keep = |state: &dyn Fn() -> Tensor<B, 3>| {
            let wanted = states.iter().zip(&mut found);
            for (_, kept) in wanted.filter(|(wanted, _)| **wanted == index) {
                let state = state();
                let tokens = state.dims()[1];
                *kept = Some(state.narrow(1, 1, tokens - 1));
            }
            index += 1;
        };
        let last = self.run(pixel_values, layers, &mut keep);
        keep(&|| last.clone());
        found.into_iter().flatten().collect()
    }

    /// Returns the input of the first layer and the output of each layer, in order.
    ///
    /// # Shapes
    /// - pixel_values: `[batch, channels, image_size, image_size]`
    /// - output: `num_hidden_layers + 1` times `[batch, 1 + patches, hidden_size]`
    ///
    /// # Panics
    /// When the picture is not `image_size` square.
    pub fn hidden_states(&self, pixel_values: Tensor<B, 4>) -> Vec<Tensor<B, 3>> {
        let mut states = Vec::with_capacity(self.encoder.layers.len() + 1);
        let last = self.run(pixel_values, self.encoder.layers.len(), |state| {
            states.push(state())
        });
        states.push(last);
        states
    }

    /// Runs the first `layers` layers and passes the input of each, to be computed if it is wanted,
    /// to `visit`.
    fn run(
        &self,
        pixel_values: Tensor<B, 4>,
        layers: usize,
        mut visit: impl FnMut(&dyn Fn() -> Tensor<B, 3>),
    ) -> Tensor<B, 3> {
        let x = self.embeddings.forward(pixel_values);
        let [batch, tokens, hidden] = x.dims();
        let mut x = self
            .pre_layrnorm
            .forward(x.reshape([batch * tokens, hidden]));
        let mut added: Option<Tensor<B, 2>> = None;
        for layer in self.encoder.layers.iter().take(layers) {
            visit(&|| {
                let x = match &added {
                    Some(added) => add(added.clone(), x.clone()),
                    None => x.clone(),
                };
                x.reshape([batch, tokens, hidden])
            });
            let [residual, more] = layer.step(x, added, tokens);
            (x, added) = (residual, Some(more));
        }
        if let Some(added) = added {
            x = add(added, x);
        }
        x.reshape([batch, tokens, hidden])
    }
}
