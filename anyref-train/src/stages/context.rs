//! Context of every stage: the model's configuration, tokenizer and pre-processing.

use anyref_audio::AudioPreprocessor;
use anyref_core::{AnyRefConfig, Error, SamConfig, SpecialTokens};
use anyref_llm::tokenizer::Tokenizer;
use anyref_vision::preprocess::{ClipPreprocessor, SamPreprocessor};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::config::StageConfig;
use crate::losses::OUTSIDE;
use anyref_data::scenes::Mask;

/// Shared by all stages of a run.
#[derive(Debug)]
pub struct StageContext {
    /// The model's config.
    pub model: AnyRefConfig,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Its special tokens.
    pub special: SpecialTokens,
    /// Id of the mask token.
    pub object: u32,
    /// The model's SAM.
    pub sam: SamConfig,
    /// Seed of the run.
    pub seed: u64,
}

impl StageContext {
    /// Puts the shared parts together. The authors' name of the mask token becomes `<obj>`
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
        let special = SpecialTokens::of(&tokenizer)?;
        let sam = model.sam().ok_or(Error::NoMasks)?;
        Ok(Self {
            model,
            tokenizer,
            object: special.object.ok_or(Error::NoMasks)?,
            special,
            sam,
            seed,
        })
    }

    /// CLIP's pre-processing.
    pub(crate) fn clip(&self) -> ClipPreprocessor {
        ClipPreprocessor::new(self.model.vision_tower.image_size())
            .with_resize(self.model.clip_resize)
    }

    /// SAM's pre-processing.
    pub(crate) fn sam(&self) -> SamPreprocessor {
        SamPreprocessor::new(self.sam.image_encoder.image_size)
    }

    /// The sound pre-processing, for models that hear.
    pub(crate) fn sound(&self) -> Option<AudioPreprocessor> {
        self.model
            .audio
            .as_ref()
            .map(|audio| AudioPreprocessor::new(audio.preprocessor.clone()))
    }

    /// Side of the grid on which masks are compared.
    pub(crate) fn mask_size(&self, config: &StageConfig) -> usize {
        match config.mask_size {
            0 => 4 * self.sam.prompt_encoder.image_embedding_size,
            size => size,
        }
    }

    /// A mask as shares of a `size × size` grid over SAM's padded square.
    pub(crate) fn mask_target(&self, mask: &Mask, size: usize) -> Vec<f32> {
        let side = self.sam.image_encoder.image_size;
        let [height, width] = self.sam().resized_size([mask.height(), mask.width()]);
        // Cells a pixel. Cells that the padding shares with the picture are covered in part.
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

    /// As [`mask_target`](Self::mask_target), of what each cell has of the picture: [`OUTSIDE`]
    /// where it lies in the padding alone.
    pub(crate) fn scored_target(&self, mask: &Mask, size: usize) -> Vec<f32> {
        let mut target = self.mask_target(mask, size);
        let side = self.sam.image_encoder.image_size;
        let resized = self.sam().resized_size([mask.height(), mask.width()]);
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

/// The cells that pixel `index` lies on, each with the length of it that does.
fn overlaps(index: usize, scale: f32, cells: usize) -> impl Iterator<Item = (usize, f32)> {
    let (start, end) = (index as f32 * scale, (index + 1) as f32 * scale);
    (start as usize..(end.ceil() as usize).min(cells)).filter_map(move |cell| {
        let length = end.min((cell + 1) as f32) - start.max(cell as f32);
        (length > 0.0).then_some((cell, length))
    })
}

/// A float tensor from a host vector.
pub(crate) fn floats<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Indices from a host vector.
pub(crate) fn indices<B: Backend>(values: &[usize], device: &B::Device) -> Tensor<B, 1, Int> {
    let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
