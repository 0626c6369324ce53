//! The network of SAM.

use anyref_decoder::{
    MaskDecoder, MaskDecoderInput, MaskDecoderOutput, PromptEncoder, PromptInput,
};
use anyref_vision::preprocess::{SamPixels, SamPreprocessor};
use anyref_vision::sam::{SamImageEncoder, SamVisionConfig};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use image::RgbImage;
use web_time::Instant;

use super::config::SamConfig;
use super::picture::SamPicture;
use crate::{Error, Result};

/// Pixels of pictures, as the image encoder takes them, that are encoded together: one of SAM's
/// usual size, or several small ones. It bounds the memory they take.
const PIXELS_AT_ONCE: usize = 1024 * 1024;

/// Pictures that are encoded together in squares of `image_size` pixels.
pub(crate) fn pictures_at_once(image_size: usize) -> usize {
    let side = image_size.max(1);
    (PIXELS_AT_ONCE / (side * side)).max(1)
}

impl SamConfig {
    /// Creates the model with random weights.
    ///
    /// # Panics
    /// As [`validate`](Self::validate) refuses.
    pub fn init<B: Backend>(&self, device: &B::Device) -> SamModel<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        SamModel {
            image_encoder: self.image_encoder.init(device),
            prompt_encoder: self.prompt_encoder.init(device),
            mask_decoder: self.mask_decoder.init(device),
        }
    }
}

/// SAM (Kirillov et al., *Segment Anything*, ICCV 2023, arXiv 2304.02643), created by
/// [`SamConfig::init`](super::SamConfig::init) or read from published weights by
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
    /// Pictures to embeddings.
    pub image_encoder: SamImageEncoder<B>,
    /// Points, boxes and masks to embeddings.
    pub prompt_encoder: PromptEncoder<B>,
    /// Embeddings to masks.
    pub mask_decoder: MaskDecoder<B>,
}

impl<B: Backend> SamModel<B> {
    /// Name of the published size, if it is one.
    pub fn name(&self) -> &'static str {
        match self.image_encoder.config() {
            encoder if *encoder == SamVisionConfig::vit_base() => "SAM ViT-B",
            encoder if *encoder == SamVisionConfig::vit_large() => "SAM ViT-L",
            encoder if *encoder == SamVisionConfig::vit_huge() => "SAM ViT-H",
            _ => "SAM",
        }
    }

    /// Side of the image encoder's square, in pixels.
    pub fn image_size(&self) -> usize {
        self.image_encoder.config().image_size
    }

    /// Side of the mask decoder's logits, which mask prompts have too.
    pub fn low_res_size(&self) -> usize {
        4 * self.prompt_encoder.image_embedding_size
    }

    /// Where the model computes.
    pub fn device(&self) -> B::Device {
        self.prompt_encoder.no_mask_embed.weight.val().device()
    }

    /// Makes of pictures what [`encode`](Self::encode) takes, on any thread.
    pub fn preprocessor(&self) -> SamPreprocessor {
        SamPreprocessor::new(self.image_size())
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
        let pixels = self.preprocessor().process(image);
        let mut picture = self.encode(&[&pixels]).remove(0);
        picture.encoding = start.elapsed();
        Ok(picture)
    }

    /// As [`picture`](Self::picture), of pictures that were pre-processed before, as many together
    /// as their memory allows. Each has its share of the time that all took.
    ///
    /// # Panics
    /// When a picture was pre-processed for a model of another size.
    pub fn encode(&self, pictures: &[&SamPixels]) -> Vec<SamPicture<B>> {
        let together = pictures_at_once(self.image_size());
        let device = self.device();
        let mut encoded = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(together) {
            let start = Instant::now();
            let pixels = pictures.iter().map(|one| one.pixels.to_tensor(&device));
            let pixels = Tensor::<B, 3>::stack::<4>(pixels.collect(), 0);
            let embeddings = self.image_encoder.forward(pixels);
            let encoding = start.elapsed() / pictures.len() as u32;
            encoded.extend(pictures.iter().enumerate().map(|(index, pixels)| {
                let embedding = embeddings.clone().narrow(0, index, 1);
                let mut picture = SamPicture::new(embedding, pixels);
                picture.encoding = encoding;
                picture
            }));
        }
        encoded
    }

    /// Decodes the masks of `n` prompts about one picture, whose coordinates are those of the image
    /// encoder's input: several each with `multimask`, as far as the decoder has several, or one.
    pub(crate) fn decode(
        &self,
        picture: &SamPicture<B>,
        prompts: PromptInput<B>,
        multimask: bool,
    ) -> MaskDecoderOutput<B> {
        let encoded = self.prompt_encoder.forward(prompts);
        self.mask_decoder.forward(MaskDecoderInput {
            image_embeddings: picture.embedding.clone(),
            image_pe: self.prompt_encoder.image_pe(),
            sparse: encoded.sparse,
            dense: encoded.dense,
            multimask_output: multimask && self.mask_decoder.output_hypernetworks_mlps.len() > 1,
        })
    }
}
