//! Encoders in candle, with random weights, for `cargo xtask bench peers --program candle`.
//!
//! ```text
//! candle_bench PART
//! ```
//!
//! `PART` is `clip`, `sam-b` or `sam-h`, in f32 on the processor, with as many threads as
//! `RAYON_NUM_THREADS` says. Prints a description as JSON on one line, then answers every line by
//! the seconds of one run.

use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Result, bail};
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, Linear, Module, VarBuilder, linear};
use candle_transformers::models::clip::text_model::Activation;
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};
use candle_transformers::models::segment_anything::image_encoder::ImageEncoderViT;

const DEVICE: Device = Device::Cpu;
/// Standard deviation of the weights.
const SPREAD: f32 = 0.02;
/// Layers of CLIP ViT-L/14 up to the last but one, whose states are projected.
const CLIP_LAYERS: usize = 23;
/// Pixels along a side of CLIP's pictures.
const CLIP_SIDE: usize = 224;
/// Width of CLIP's states.
const CLIP_WIDTH: usize = 1024;
/// Width of the projected states.
const PROJECTED: usize = 4096;
/// Pixels along a side of SAM's pictures.
const SAM_SIDE: usize = 1024;

/// Source of random weights of any name and shape.
struct Random;

impl SimpleBackend for Random {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        // Scales of norms are around one.
        let is_scale = shape.rank() == 1 && name.ends_with("weight");
        let mean = if is_scale { 1.0 } else { 0.0 };
        Tensor::randn(mean, SPREAD, shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

/// Encoder of pictures.
enum Encoder {
    Clip(ClipVisionTransformer, Linear),
    Sam(ImageEncoderViT),
}

impl Encoder {
    /// Encoder of a part, with random weights, and the side of its pictures.
    fn new(part: &str) -> Result<(Self, usize)> {
        let weights = VarBuilder::from_backend(Box::new(Random), DType::F32, DEVICE);
        Ok(match part {
            "clip" => (Self::clip(weights)?, CLIP_SIDE),
            "sam-b" => (Self::sam(weights, 768, 12, 12)?, SAM_SIDE),
            "sam-h" => (Self::sam(weights, 1280, 32, 16)?, SAM_SIDE),
            _ => bail!("there is no part {part}: give clip, sam-b or sam-h"),
        })
    }

    fn clip(weights: VarBuilder) -> Result<Self> {
        let config = ClipVisionConfig {
            embed_dim: CLIP_WIDTH,
            activation: Activation::QuickGelu,
            intermediate_size: 4 * CLIP_WIDTH,
            num_hidden_layers: CLIP_LAYERS,
            num_attention_heads: 16,
            projection_dim: 768,
            num_channels: 3,
            image_size: CLIP_SIDE,
            patch_size: 14,
        };
        let vision = ClipVisionTransformer::new(weights.pp("vision"), &config)?;
        let projector = linear(CLIP_WIDTH, PROJECTED, weights.pp("projector"))?;
        Ok(Self::Clip(vision, projector))
    }

    /// SAM's encoder, with attention over the whole picture where a quarter of its layers ends.
    fn sam(weights: VarBuilder, width: usize, layers: usize, heads: usize) -> Result<Self> {
        let quarter = layers / 4;
        let global = [1, 2, 3, 4].map(|nth| nth * quarter - 1);
        let encoder = ImageEncoderViT::new(
            SAM_SIDE, 16, 3, width, layers, heads, 256, true, true, true, 14, &global, weights,
        )?;
        Ok(Self::Sam(encoder))
    }

    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Clip(vision, projector) => {
                let states = vision.output_hidden_states(pixels)?;
                // The class token is left out.
                let patches = states[CLIP_LAYERS - 1].narrow(1, 1, (CLIP_SIDE / 14).pow(2))?;
                projector.forward(&patches)?
            }
            Self::Sam(encoder) => encoder.forward(pixels)?,
        })
    }
}

fn main() -> Result<()> {
    let Some(part) = std::env::args().nth(1) else {
        bail!("give a part: clip, sam-b or sam-h");
    };
    let (encoder, side) = Encoder::new(&part)?;
    let pixels = Tensor::randn(0f32, 1f32, (1, 3, side, side), &DEVICE)?;
    let mut output = std::io::stdout().lock();
    let version = env!("CARGO_PKG_VERSION");
    writeln!(output, r#"{{"about": "candle {version}"}}"#)?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let _encoded = encoder.forward(&pixels)?;
        writeln!(output, "{}", start.elapsed().as_secs_f64())?;
    }
    Ok(())
}
