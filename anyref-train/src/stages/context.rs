//! Context of every stage: the model's configuration, tokenizer and preprocessing.

use anyref_audio::AudioPreprocessor;
use anyref_core::{
    AnyRefConfig, Error, MaskImageEncoderConfig, PicturePreprocessor, SpecialTokens,
};
use anyref_llm::Tokenizer;
use anyref_vision::preprocess::{ClipPreprocessor, SamPreprocessor};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::config::StageConfig;
use crate::losses::OUTSIDE;
use anyref_data::scenes::Mask;

/// Data shared by all stages of a run.
#[derive(Debug)]
pub struct StageContext {
    /// Configuration of the model.
    pub model: AnyRefConfig,
    /// Tokenizer of the model.
    pub tokenizer: Tokenizer,
    /// Special tokens of the tokenizer.
    pub special: SpecialTokens,
    /// Id of the mask token.
    pub object: u32,
    /// Side of the square that SAM or SAM 2 reads, in pixels.
    pub mask_square: usize,
    /// Cells along a side of its embedding of a picture.
    pub mask_grid: usize,
    /// Seed of the run.
    pub seed: u64,
}

impl StageContext {
    /// Collects the shared data. The authors' name of the mask token becomes `<obj>`
    /// ([`SpecialTokens::name_object`]).
    ///
    /// # Errors
    /// When the tokenizer lacks a special token, or the model makes no masks.
    pub fn new(
        model: AnyRefConfig,
        mut tokenizer: Tokenizer,
        seed: u64,
    ) -> anyref_core::Result<Self> {
        SpecialTokens::name_object(&mut tokenizer)?;
        let masks = model.makes_masks();
        let special = SpecialTokens::for_prompts(&tokenizer, &model.prompts, masks)?;
        let encoder = model.image_encoder.as_ref().ok_or(Error::NoMasks)?;
        Ok(Self {
            mask_square: encoder.image_size(),
            mask_grid: encoder.grid_size(),
            object: special.object.ok_or(Error::NoMasks)?,
            model,
            tokenizer,
            special,
            seed,
        })
    }

    /// Preprocessor of CLIP's pictures.
    pub(crate) fn clip(&self) -> ClipPreprocessor {
        ClipPreprocessor::new(self.model.vision_tower.image_size())
            .with_resize(self.model.clip_resize)
    }

    /// Preprocessor of SAM's pictures.
    pub(crate) fn sam(&self) -> SamPreprocessor {
        SamPreprocessor::new(self.mask_square)
    }

    /// Preprocessor of pictures for both encoders.
    pub(crate) fn pictures(&self) -> PicturePreprocessor {
        PicturePreprocessor::new(&self.model)
    }

    /// Height and width of a picture in the square of SAM, which keeps its shape, or of SAM 2,
    /// which it fills.
    fn size_in_square(&self, mask: &Mask) -> [usize; 2] {
        match self.model.image_encoder {
            Some(MaskImageEncoderConfig::Sam2(_)) => [self.mask_square; 2],
            _ => self.sam().resized_size([mask.height(), mask.width()]),
        }
    }

    /// Preprocessor of sounds, for models with an audio encoder.
    pub(crate) fn sound(&self) -> Option<AudioPreprocessor> {
        self.model
            .audio
            .as_ref()
            .map(|audio| AudioPreprocessor::new(audio.preprocessor.clone()))
    }

    /// Side of the grid on which masks are compared.
    pub(crate) fn mask_size(&self, config: &StageConfig) -> usize {
        match config.mask_size {
            0 => 4 * self.mask_grid,
            size => size,
        }
    }

    /// Mask as covered shares of a `size × size` grid over SAM's padded square, or SAM 2's.
    pub(crate) fn mask_target(&self, mask: &Mask, size: usize) -> Vec<f32> {
        let side = self.mask_square;
        let [height, width] = self.size_in_square(mask);
        // Scale from pixels to cells. Cells that contain both padding and picture are covered in
        // part.
        let down = (height * size) as f32 / (mask.height() * side) as f32;
        let across = (width * size) as f32 / (mask.width() * side) as f32;
        let mut target = vec![0.0; size * size];
        for (x, y) in mask.pixels() {
            for (row, tall) in overlaps(y, down, size) {
                for (column, wide) in overlaps(x, across, size) {
                    target[row * size + column] += tall * wide;
                }
            }
        }
        target
    }

    /// Mask like [`mask_target`](Self::mask_target), as a share of each cell's part in the picture:
    /// [`OUTSIDE`] for cells in the padding alone.
    pub(crate) fn scored_target(&self, mask: &Mask, size: usize) -> Vec<f32> {
        let mut target = self.mask_target(mask, size);
        let side = self.mask_square;
        let resized = self.size_in_square(mask);
        let [rows, columns] = resized.map(|length| (length * size) as f32 / side as f32);
        for (index, cell) in target.iter_mut().enumerate() {
            let inside = |cells: f32, at: usize| (cells - at as f32).clamp(0.0, 1.0);
            let share = inside(rows, index / size) * inside(columns, index % size);
            *cell = match share > 0.0 {
                true => *cell / share,
                false => OUTSIDE,
            };
        }
        target
    }
}

/// Cells that pixel `index` lies on, each with the length of the overlap.
fn overlaps(index: usize, scale: f32, cells: usize) -> impl Iterator<Item = (usize, f32)> {
    let (start, end) = (index as f32 * scale, (index + 1) as f32 * scale);
    (start as usize..(end.ceil() as usize).min(cells)).filter_map(move |cell| {
        let length = end.min((cell + 1) as f32) - start.max(cell as f32);
        (length > 0.0).then_some((cell, length))
    })
}

/// Float tensor from a host vector.
pub(crate) fn floats<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Tensor of indices from a host vector.
pub(crate) fn indices<B: Backend>(values: &[usize], device: &B::Device) -> Tensor<B, 1, Int> {
    let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
