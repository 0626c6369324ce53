//! Complete audio encoder.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::attention::MultiheadAttentionConfig;
use super::block::BlockConfig;
use super::head::{Head, HeadConfig, scale_to_length};
use super::tokens::{AudioTokens, AudioTokensConfig};
use super::trunk::{Trunk, TrunkConfig};
use crate::error::{Error, Result, check_sizes};

/// Configuration of [`ImageBindAudio`]; the defaults are those of ImageBind-Huge.
#[derive(Config, Debug)]
pub struct ImageBindAudioConfig {
    /// Width of the tokens.
    #[config(default = 768)]
    pub hidden_size: usize,
    /// Number of transformer blocks.
    #[config(default = 12)]
    pub num_hidden_layers: usize,
    /// Heads of each attention.
    #[config(default = 12)]
    pub num_attention_heads: usize,
    /// Ratio of the MLP's width to that of the tokens.
    #[config(default = 4.0)]
    pub mlp_ratio: f64,
    /// Height of the spectrogram in mel bins.
    #[config(default = 128)]
    pub num_mel_bins: usize,
    /// Width of the spectrogram in frames.
    #[config(default = 204)]
    pub target_length: usize,
    /// Side of a patch in mel bins and frames.
    #[config(default = 16)]
    pub kernel_size: usize,
    /// Distance between patches.
    #[config(default = 10)]
    pub stride: usize,
    /// Width of the embedding.
    #[config(default = 1024)]
    pub output_dim: usize,
    /// Length of the embedding. The checkpoint stores its logarithm, as a constant.
    #[config(default = 20.0)]
    pub logit_scale: f64,
    /// Number of clips of a sound, each with its own embedding.
    #[config(default = 3)]
    pub num_clips: usize,
    /// Epsilon of the normalisations in blocks and head.
    #[config(default = 1e-6)]
    pub layer_norm_eps: f64,
}

impl Default for ImageBindAudioConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageBindAudioConfig {
    /// Configuration for tests, with spectrograms of the full size.
    pub fn tiny() -> Self {
        Self::new()
            .with_hidden_size(32)
            .with_num_hidden_layers(2)
            .with_num_attention_heads(4)
            .with_output_dim(32)
    }

    /// Patches along mel bins and frames.
    ///
    /// # Panics
    /// If the stride is 0.
    pub fn grid_size(&self) -> [usize; 2] {
        [self.num_mel_bins, self.target_length]
            .map(|size| size.saturating_sub(self.kernel_size) / self.stride + 1)
    }

    /// Number of patches of a clip.
    ///
    /// # Panics
    /// If the stride is 0.
    pub fn num_patches(&self) -> usize {
        self.grid_size().iter().product()
    }

    /// Checks that the encoder can be built.
    ///
    /// # Errors
    /// If a size is 0, a spectrogram is smaller than a patch, or the heads do not divide the width.
    pub fn validate(&self) -> Result<()> {
        check_sizes([
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("kernel_size", self.kernel_size),
            ("stride", self.stride),
            ("output_dim", self.output_dim),
            ("num_clips", self.num_clips),
        ])?;
        let fail = |field, problem| Err(Error::Config { field, problem });
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if !width.is_multiple_of(heads) {
            let problem = format!("is {width}: make it a multiple of num_attention_heads, {heads}");
            return fail("hidden_size", problem);
        }
        let (patch, mel, frames) = (self.kernel_size, self.num_mel_bins, self.target_length);
        if patch > mel.min(frames) {
            let problem = format!(
                "is {patch}, which does not fit a spectrogram of {mel}x{frames}: make it smaller"
            );
            return fail("kernel_size", problem);
        }
        if !(self.mlp_ratio > 0.0 && self.mlp_ratio.is_finite()) {
            return fail(
                "mlp_ratio",
                format!("is {}: make it positive", self.mlp_ratio),
            );
        }
        Ok(())
    }

    /// Creates the encoder.
    ///
    /// # Panics
    /// If [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> ImageBindAudio<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let h = self.hidden_size;
        let attention = MultiheadAttentionConfig::new(h, self.num_attention_heads);
        let block = BlockConfig::new(attention.with_add_bias_kv(true))
            .with_mlp_ratio(self.mlp_ratio)
            .with_layer_norm_eps(self.layer_norm_eps);
        ImageBindAudio {
            preprocessor: AudioTokensConfig {
                hidden_size: h,
                kernel_size: self.kernel_size,
                stride: self.stride,
                num_patches: self.num_patches(),
            }
            .init(device),
            trunk: TrunkConfig::new(block, self.num_hidden_layers).init(device),
            head: HeadConfig::new(h, self.output_dim)
                .with_layer_norm_eps(self.layer_norm_eps)
                .init(device),
            logit_scale: self.logit_scale,
            input_size: [self.num_mel_bins, self.target_length],
        }
    }
}

/// ImageBind's audio encoder, from clips to embeddings of equal length.
///
/// Should be created with [`ImageBindAudioConfig`].
#[derive(Module, Debug)]
pub struct ImageBindAudio<B: Backend> {
    /// Embedding of a spectrogram as tokens.
    pub preprocessor: AudioTokens<B>,
    /// Transformer blocks.
    pub trunk: Trunk<B>,
    /// Projection of the class token to the embedding.
    pub head: Head<B>,
    /// Length of the embedding.
    pub logit_scale: f64,
    /// Mel bins and frames that the positions were built for.
    pub input_size: [usize; 2],
}

impl<B: Backend> ImageBindAudio<B> {
    /// Computes one embedding for each clip; clips are independent and not averaged.
    ///
    /// # Shapes
    /// - clips: `[batch, clips, 1, mel, frames]`
    /// - output: `[batch, clips, output_dim]`
    ///
    /// # Panics
    /// If the spectrogram does not have the model's input size.
    pub fn forward(&self, clips: Tensor<B, 5>) -> Tensor<B, 3> {
        let [batch, count, ..] = clips.dims();
        let embeddings = self.embed(clips.flatten::<4>(0, 1));
        let [_, width] = embeddings.dims();
        embeddings.reshape([batch, count, width])
    }

    /// Computes one embedding for each sound, comparable with
    /// [`ImageBindText`](super::ImageBindText)'s: the mean of its clips' embeddings without
    /// renormalisation, as in ImageBind's own `forward`. Differing clips make it shorter than
    /// [`logit_scale`](ImageBindAudioConfig::logit_scale).
    ///
    /// # Shapes
    /// - clips: `[batch, clips, 1, mel, frames]`
    /// - output: `[batch, output_dim]`
    ///
    /// # Panics
    /// If the spectrogram does not have the model's input size.
    pub fn embed_sounds(&self, clips: Tensor<B, 5>) -> Tensor<B, 2> {
        self.forward(clips).mean_dim(1).squeeze_dim(1)
    }

    /// # Shapes
    /// - clips: `[clips, 1, mel, frames]`
    /// - output: `[clips, output_dim]`
    fn embed(&self, clips: Tensor<B, 4>) -> Tensor<B, 2> {
        let [_, channels, mel, frames] = clips.dims();
        assert_eq!(
            [channels, mel, frames],
            [1, self.input_size[0], self.input_size[1]]
        );
        // The head needs the class token alone.
        let tokens = self.preprocessor.forward(clips);
        let cls = self.head.forward(self.trunk.forward_first(tokens, 1));
        scale_to_length(cls, self.logit_scale)
    }
}
