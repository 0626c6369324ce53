//! Complete text tower.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Int, Tensor, backend::Backend};

use super::attention::MultiheadAttentionConfig;
use super::block::BlockConfig;
use super::head::{Head, HeadConfig, scale_to_length};
use super::trunk::{Trunk, TrunkConfig};
use crate::error::{Error, Result, check_sizes};

/// Configuration of [`ImageBindText`]; the defaults are those of ImageBind-Huge.
#[derive(Config, Debug)]
pub struct ImageBindTextConfig {
    /// Width of the tokens.
    #[config(default = 1024)]
    pub hidden_size: usize,
    /// Number of transformer blocks.
    #[config(default = 24)]
    pub num_hidden_layers: usize,
    /// Heads of each attention.
    #[config(default = 16)]
    pub num_attention_heads: usize,
    /// Ratio of the MLP's width to that of the tokens.
    #[config(default = 4.0)]
    pub mlp_ratio: f64,
    /// Size of the vocabulary. The end-of-text token is the last.
    #[config(default = 49408)]
    pub vocab_size: usize,
    /// Maximum length of a text in tokens, including start and end.
    #[config(default = 77)]
    pub context_length: usize,
    /// Width of the embedding.
    #[config(default = 1024)]
    pub output_dim: usize,
    /// Length of the embedding, learned. The checkpoint stores its logarithm; the initial value was
    /// `1 / 0.07`.
    #[config(default = "1.0 / 0.07")]
    pub logit_scale: f64,
    /// Upper limit of `logit_scale`.
    #[config(default = 100.0)]
    pub max_logit_scale: f64,
    /// Epsilon of the normalisations in blocks and head.
    #[config(default = 1e-6)]
    pub layer_norm_eps: f64,
}

impl Default for ImageBindTextConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageBindTextConfig {
    /// Checks that the tower can be built.
    ///
    /// # Errors
    /// If a size is 0, the heads do not divide the width, or a scale is not positive.
    pub fn validate(&self) -> Result<()> {
        check_sizes([
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("vocab_size", self.vocab_size),
            ("context_length", self.context_length),
            ("output_dim", self.output_dim),
        ])?;
        let fail = |field, problem| Err(Error::Config { field, problem });
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if !width.is_multiple_of(heads) {
            let problem = format!("is {width}: make it a multiple of num_attention_heads, {heads}");
            return fail("hidden_size", problem);
        }
        let positive = [
            ("mlp_ratio", self.mlp_ratio),
            ("logit_scale", self.logit_scale),
            ("max_logit_scale", self.max_logit_scale),
        ];
        for (field, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return fail(field, format!("is {value}: make it positive"));
            }
        }
        Ok(())
    }

    /// Creates the tower.
    ///
    /// # Panics
    /// If [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> ImageBindText<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let h = self.hidden_size;
        let attention = MultiheadAttentionConfig::new(h, self.num_attention_heads);
        let block = BlockConfig::new(attention.with_causal(true))
            .with_mlp_ratio(self.mlp_ratio)
            .with_layer_norm_eps(self.layer_norm_eps);
        let normal = |std| Initializer::Normal { mean: 0.0, std };
        ImageBindText {
            preprocessor: TextTokens {
                token_embedding: EmbeddingConfig::new(self.vocab_size, h)
                    .with_initializer(normal(0.02))
                    .init(device),
                pos_embed: normal(0.01).init([1, self.context_length, h], device),
            },
            trunk: TrunkConfig::new(block, self.num_hidden_layers).init(device),
            head: HeadConfig::new(h, self.output_dim)
                .with_layer_norm_eps(self.layer_norm_eps)
                .init(device),
            logit_scale: self.logit_scale.min(self.max_logit_scale),
        }
    }
}

/// ImageBind's text tower, from token ids to embeddings of equal length.
///
/// The dot product with [`ImageBindAudio::embed_sounds`](super::ImageBindAudio::embed_sounds) is
/// the authors' logit of a text for a sound.
///
/// Should be created with [`ImageBindTextConfig`].
#[derive(Module, Debug)]
pub struct ImageBindText<B: Backend> {
    /// Embedding of ids as tokens.
    pub preprocessor: TextTokens<B>,
    /// Transformer blocks.
    pub trunk: Trunk<B>,
    /// Projection of the end-of-text token to the embedding.
    pub head: Head<B>,
    /// Length of the embedding.
    pub logit_scale: f64,
}

/// Embeddings of ids and positions (the authors' `modality_preprocessors.text`).
#[derive(Module, Debug)]
pub struct TextTokens<B: Backend> {
    /// `[vocab_size, hidden]`
    pub token_embedding: Embedding<B>,
    /// `[1, context_length, hidden]`
    pub pos_embed: Param<Tensor<B, 3>>,
}

impl<B: Backend> TextTokens<B> {
    /// # Shapes
    /// - ids: `[batch, length]`
    /// - output: `[batch, length, hidden]`
    fn forward(&self, ids: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let [_, length] = ids.dims();
        let positions = self.pos_embed.val().narrow(1, 0, length);
        // Embeddings may be stored in another type than the rest.
        let tokens = self.token_embedding.forward(ids).cast(positions.dtype());
        tokens + positions
    }
}

impl<B: Backend> ImageBindText<B> {
    /// Computes the embedding of each text: the state at its end-of-text token, the first
    /// occurrence of its greatest id, through head and scaling. Later tokens have no effect, so
    /// that padding after the longest text may be cut; the authors pad with id 0 to
    /// `context_length`.
    ///
    /// # Shapes
    /// - ids: `[batch, length]`, `length` at most `context_length`
    /// - output: `[batch, output_dim]`
    ///
    /// # Panics
    /// If texts are longer than `context_length`.
    pub fn forward(&self, ids: Tensor<B, 2, Int>) -> Tensor<B, 2> {
        let [batch, length] = ids.dims();
        let [_, context, hidden] = self.preprocessor.pos_embed.lazy_shape().dims();
        assert!(
            length <= context,
            "{length} tokens do not fit a context of {context}"
        );
        let ends = first_of_greatest(ids.clone());
        let tokens = self.trunk.forward(self.preprocessor.forward(ids));
        let ends = ends.reshape([batch, 1, 1]).expand([batch, 1, hidden]);
        // The norm works on each token, and only the end of text needs it.
        let ends = self.head.forward(tokens.gather(1, ends));
        scale_to_length(ends, self.logit_scale)
    }
}

/// Index of the first maximum of each row; `argmax` leaves the choice among equal values to the
/// backend.
///
/// # Shapes
/// - ids: `[batch, length]`
/// - output: `[batch, 1]`
fn first_of_greatest<B: Backend>(ids: Tensor<B, 2, Int>) -> Tensor<B, 2, Int> {
    let [_, length] = ids.dims();
    let before_end = Tensor::arange(0..length as i64, &ids.device()).flip([0]);
    let distinct = ids.mul_scalar(length as i64) + before_end.unsqueeze::<2>();
    distinct.argmax(1)
}
