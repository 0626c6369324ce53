//! Network of SAM.

use anyref_decoder::{
    MaskDecoder, MaskDecoderInput, MaskDecoderOutput, PromptEncoder, PromptInput, Sam2MaskDecoder,
    Sam2MaskDecoderInput,
};
use anyref_vision::preprocess::{Sam2Preprocessor, SamPixels, SamPreprocessor};
use anyref_vision::sam::{SamImageEncoder, SamVisionConfig};
use anyref_vision::sam2::{Sam2ImageEncoder, Sam2VisionConfig};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use image::RgbImage;
use web_time::Instant;

use super::automatic::AutomaticMaskConfig;
use super::config::{Sam2Config, SamConfig};
use super::picture::SamPicture;
use crate::{Error, Result};

/// Maximum input pixels that are encoded together, which limits memory: one picture of SAM's usual
/// size, or several small ones.
const PIXELS_AT_ONCE: usize = 1024 * 1024;

/// Number of pictures that are encoded together in squares of `image_size` pixels.
pub(crate) fn pictures_at_once(image_size: usize) -> usize {
    let side = image_size.max(1);
    (PIXELS_AT_ONCE / (side * side)).max(1)
}

impl SamConfig {
    /// Creates the model with random weights.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> SamModel<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        SamModel {
            form: SamForm::Sam(SamParts {
                image_encoder: self.image_encoder.init(device),
                mask_decoder: self.mask_decoder.init(device),
            }),
            prompt_encoder: self.prompt_encoder.init(device),
        }
    }
}

impl Sam2Config {
    /// Creates the model with random weights.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> SamModel<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        SamModel {
            form: SamForm::Sam2(Sam2Parts {
                image_encoder: self.image_encoder.init(device),
                mask_decoder: self.mask_decoder.init(device),
            }),
            prompt_encoder: self.prompt_encoder.init(device),
        }
    }
}

/// Parts in which SAM and SAM 2 differ.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "both forms are of one order of size"
)]
pub enum SamForm<B: Backend> {
    /// SAM (Kirillov et al., *Segment Anything*, ICCV 2023, arXiv 2304.02643).
    Sam(SamParts<B>),
    /// SAM 2 and 2.1 on single pictures (Ravi et al., *SAM 2: Segment Anything in Images and
    /// Videos*, arXiv 2408.00714).
    Sam2(Sam2Parts<B>),
}

/// Parts specific to SAM.
#[derive(Module, Debug)]
pub struct SamParts<B: Backend> {
    /// Encoder from pictures to embeddings.
    pub image_encoder: SamImageEncoder<B>,
    /// Decoder from embeddings to masks.
    pub mask_decoder: MaskDecoder<B>,
}

/// Parts specific to SAM 2.
#[derive(Module, Debug)]
pub struct Sam2Parts<B: Backend> {
    /// Encoder from pictures to feature levels.
    pub image_encoder: Sam2ImageEncoder<B>,
    /// Decoder from feature levels to masks.
    pub mask_decoder: Sam2MaskDecoder<B>,
}

/// SAM or SAM 2, created by [`SamConfig::init`](super::SamConfig::init) or
/// [`Sam2Config::init`](super::Sam2Config::init), or read from published weights by
/// [`load`](Self::load).
///
/// ```no_run
/// use anyref_core::{MaskPrompt, Multimask, SamModel};
/// use burn::backend::Flex;
///
/// # fn main() -> anyref_core::Result<()> {
/// let sam = SamModel::<Flex>::load("sam_vit_b_01ec64.pth".as_ref(), &Default::default())?;
/// let picture = sam.picture(&anyref_vision::preprocess::open_image("cup.jpg")?)?;
/// let prompt = MaskPrompt::default().with_point(320.0, 240.0, true);
/// let answers = sam.predict(&picture, &[prompt], Multimask::default())?;
/// println!("{} pixels", answers[0].best().mask.area());
/// # Ok(())
/// # }
/// ```
#[derive(Module, Debug)]
pub struct SamModel<B: Backend> {
    /// Image encoder and mask decoder.
    pub form: SamForm<B>,
    /// Encoder of points, boxes and masks.
    pub prompt_encoder: PromptEncoder<B>,
}

impl<B: Backend> SamModel<B> {
    /// Name of the published size, or `SAM` or `SAM 2` for any other.
    pub fn name(&self) -> &'static str {
        match &self.form {
            SamForm::Sam(parts) => match parts.image_encoder.config() {
                encoder if *encoder == SamVisionConfig::vit_base() => "SAM ViT-B",
                encoder if *encoder == SamVisionConfig::vit_large() => "SAM ViT-L",
                encoder if *encoder == SamVisionConfig::vit_huge() => "SAM ViT-H",
                _ => "SAM",
            },
            SamForm::Sam2(parts) => match parts.image_encoder.config() {
                encoder if *encoder == Sam2VisionConfig::hiera_tiny() => "SAM 2 Hiera tiny",
                encoder if *encoder == Sam2VisionConfig::hiera_small() => "SAM 2 Hiera small",
                encoder if *encoder == Sam2VisionConfig::hiera_base_plus() => {
                    "SAM 2 Hiera base-plus"
                }
                encoder if *encoder == Sam2VisionConfig::hiera_large() => "SAM 2 Hiera large",
                _ => "SAM 2",
            },
        }
    }

    /// Side of the image encoder's square, in pixels.
    pub fn image_size(&self) -> usize {
        match &self.form {
            SamForm::Sam(parts) => parts.image_encoder.config().image_size,
            SamForm::Sam2(parts) => parts.image_encoder.config().image_size,
        }
    }

    /// Number of parameters of image encoder, prompt encoder and mask decoder, by their names.
    pub fn part_sizes(&self) -> [(&'static str, usize); 3] {
        let [encoder, decoder] = match &self.form {
            SamForm::Sam(parts) => [
                parts.image_encoder.num_params(),
                parts.mask_decoder.num_params(),
            ],
            SamForm::Sam2(parts) => [
                parts.image_encoder.num_params(),
                parts.mask_decoder.num_params(),
            ],
        };
        [
            ("image_encoder", encoder),
            ("prompt_encoder", self.prompt_encoder.num_params()),
            ("mask_decoder", decoder),
        ]
    }

    /// Automatic mask settings of the model's authors.
    pub fn automatic_defaults(&self) -> AutomaticMaskConfig {
        match &self.form {
            SamForm::Sam(_) => AutomaticMaskConfig::new(),
            SamForm::Sam2(_) => AutomaticMaskConfig::sam2(),
        }
    }

    /// Side of the mask decoder's logits, and of mask prompts.
    pub fn low_res_size(&self) -> usize {
        4 * self.prompt_encoder.image_embedding_size
    }

    /// Device of the model.
    pub fn device(&self) -> B::Device {
        self.prompt_encoder.no_mask_embed.weight.val().device()
    }

    /// Preprocesses a picture for [`encode`](Self::encode), on any thread.
    ///
    /// # Panics
    /// When the picture has no pixels.
    pub fn preprocess(&self, image: &RgbImage) -> SamPixels {
        match &self.form {
            SamForm::Sam(_) => SamPreprocessor::new(self.image_size()).process(image),
            SamForm::Sam2(_) => Sam2Preprocessor::new(self.image_size()).process(image),
        }
    }

    /// Encodes a picture, once for all prompts.
    ///
    /// # Errors
    /// When the picture has no pixels.
    pub fn picture(&self, image: &RgbImage) -> Result<SamPicture<B>> {
        if image.width() == 0 || image.height() == 0 {
            return Err(Error::EmptyPicture);
        }
        let start = Instant::now();
        let pixels = self.preprocess(image);
        let mut picture = self.encode(&[&pixels]).remove(0);
        picture.encoding = start.elapsed();
        Ok(picture)
    }

    /// Encodes preprocessed pictures like [`picture`](Self::picture), in batches limited by memory.
    /// Each has an equal share of the total time.
    ///
    /// # Panics
    /// When a picture was preprocessed for a model of another size.
    pub fn encode(&self, pictures: &[&SamPixels]) -> Vec<SamPicture<B>> {
        let together = pictures_at_once(self.image_size());
        let device = self.device();
        let mut encoded = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(together) {
            let start = Instant::now();
            let pixels = pictures.iter().map(|one| one.pixels.to_tensor(&device));
            let pixels = Tensor::<B, 3>::stack::<4>(pixels.collect(), 0);
            let (embeddings, levels) = match &self.form {
                SamForm::Sam(parts) => (parts.image_encoder.forward(pixels), None),
                SamForm::Sam2(parts) => {
                    let features = parts.image_encoder.forward(pixels);
                    let levels = parts.mask_decoder.high_resolution(features.high_resolution);
                    (features.image_embeddings, Some(levels))
                }
            };
            let encoding = start.elapsed() / pictures.len() as u32;
            encoded.extend(pictures.iter().enumerate().map(|(index, pixels)| {
                let embedding = embeddings.clone().narrow(0, index, 1);
                let mut picture = SamPicture::new(embedding, pixels);
                picture.levels = levels.as_ref().map(|levels| levels.of_picture(index));
                picture.encoding = encoding;
                picture
            }));
        }
        encoded
    }

    /// Decodes the masks of `n` prompts about one picture, with coordinates of the image encoder's
    /// input. With `multimask` each prompt gets several masks, if the decoder has several,
    /// otherwise one.
    ///
    /// # Panics
    /// When a SAM 2 is given a picture encoded by a SAM.
    pub(crate) fn decode(
        &self,
        picture: &SamPicture<B>,
        prompts: PromptInput<B>,
        multimask: bool,
    ) -> MaskDecoderOutput<B> {
        let image_embeddings = picture.embedding.clone();
        let image_pe = self.prompt_encoder.image_pe();
        match &self.form {
            SamForm::Sam(parts) => {
                let encoded = self.prompt_encoder.forward(prompts);
                let several = parts.mask_decoder.output_hypernetworks_mlps.len() > 1;
                parts.mask_decoder.forward(MaskDecoderInput {
                    image_embeddings,
                    image_pe,
                    sparse: encoded.sparse,
                    dense: encoded.dense,
                    multimask_output: multimask && several,
                })
            }
            SamForm::Sam2(parts) => {
                let encoded = self.prompt_encoder.forward_padded(prompts);
                let several = parts.mask_decoder.output_hypernetworks_mlps.len() > 1;
                let output = parts.mask_decoder.forward(Sam2MaskDecoderInput {
                    image_embeddings,
                    high_resolution: picture.levels.clone().expect("a picture of SAM 2"),
                    image_pe,
                    sparse: encoded.sparse,
                    dense: encoded.dense,
                    multimask_output: multimask && several,
                });
                output.masks
            }
        }
    }
}
