//! Context of every stage: the model's configuration, tokenizer and preprocessing.

use anyref_audio::AudioPreprocessor;
use anyref_core::{AnyRefConfig, Error, SamConfig, SpecialTokens};
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
    /// Configuration of the model's SAM.
    pub sam: SamConfig,
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

    /// Preprocessor of CLIP's pictures.
    pub(crate) fn clip(&self) -> ClipPreprocessor {
        ClipPreprocessor::new(self.model.vision_tower.image_size())
            .with_resize(self.model.clip_resize)
    }

    /// Preprocessor of SAM's pictures.
    pub(crate) fn sam(&self) -> SamPreprocessor {
        SamPreprocessor::new(self.sam.image_encoder.image_size)
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
            0 => 4 * self.sam.prompt_encoder.image_embedding_size,
            size => size,
        }
    }

    /// Mask as covered shares of a `size × size` grid over SAM's padded square.
    pub(crate) fn mask_target(&self, mask: &Mask, size: usize) -> Vec<f32> {
        let side = self.sam.image_encoder.image_size;
        let [height, width] = self.sam().resized_size([mask.height(), mask.width()]);
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
