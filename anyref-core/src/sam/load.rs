//! Loading of published SAMs.

use std::path::Path;

use anyref_weights::{
    Checkpoint, LoadOptions, WeightMemory, WeightType, load_module, weight_memory,
};
use burn::module::Module;
use burn::tensor::Element;
use burn::tensor::backend::Backend;

use super::config::{Sam2Config, SamConfig};
use super::model::{Sam2Parts, SamForm, SamModel, SamParts};
use crate::memory::{encoding_bytes, sam2_encoding_bytes};
use crate::memory_check::check_estimate;
use crate::official::{
    Kind, MaskParts, Published, Sam2MaskParts, decoder_options, encoder_options, sam_parts,
    sam2_checkpoint, sam2_decoder_options, sam2_encoder_options, sam2_parts,
};
use crate::{MemoryEstimate, ModelOptions, Result};

impl<B: Backend> SamModel<B> {
    /// Reads the authors' `.pth` or `.pt`, a folder of transformers' `SamModel`, `Sam2Model` or
    /// `Sam2VideoModel`, or the SAM in a LISA or GLaMM, of any size. Weights are converted to
    /// f32.
    ///
    /// # Errors
    /// When the file is missing, damaged or not a SAM, or a tensor is missing or unexpected.
    pub fn load(path: &Path, device: &B::Device) -> Result<Self> {
        Self::load_with(path, ModelOptions::new(WeightType::F32), device)
    }

    /// Reads like [`load`](Self::load), with weights as specified by the options.
    ///
    /// # Errors
    /// When the device does not support the requested type, or the free memory is insufficient;
    /// also see [`load`](Self::load).
    pub fn load_with(path: &Path, options: ModelOptions, device: &B::Device) -> Result<Self> {
        let published = Published::open_as(path, "SAM", |kind| kind.has_sam() || kind.is_sam2())?;
        Self::of_published(&published, options, device)
    }

    /// Reads an opened SAM.
    ///
    /// # Errors
    /// See [`load_with`](Self::load_with).
    pub fn of_published(
        published: &Published,
        options: ModelOptions,
        device: &B::Device,
    ) -> Result<Self> {
        if published.kind.is_some_and(Kind::is_sam2) {
            return Self::of_published_sam2(published, options, device);
        }
        let config: SamConfig = sam_parts(published)?;
        config.validate()?;
        let kind = published.kind;
        let masks = MaskParts::<B> {
            prompt_encoder: config.prompt_encoder.init(device),
            mask_decoder: config.mask_decoder.init(device),
        };
        let answering = encoding_bytes(&config.image_encoder, B::FloatElem::dtype());
        let (image_encoder, masks) = loaded(
            &published.checkpoint,
            (config.image_encoder.init(device), encoder_options(kind)),
            (masks, decoder_options(kind)),
            answering,
            options,
            device,
        )?;
        Ok(Self {
            form: SamForm::Sam(SamParts {
                image_encoder,
                mask_decoder: masks.mask_decoder,
            }),
            prompt_encoder: masks.prompt_encoder,
        })
    }

    /// Reads an opened SAM 2. Tensors that only videos need are unused.
    fn of_published_sam2(
        published: &Published,
        options: ModelOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let config: Sam2Config = sam2_parts(published)?;
        config.validate()?;
        let kind = published.kind;
        let masks = Sam2MaskParts::<B> {
            prompt_encoder: config.prompt_encoder.init(device),
            mask_decoder: config.mask_decoder.init(device),
        };
        let answering = sam2_encoding_bytes(&config.image_encoder, B::FloatElem::dtype());
        let (image_encoder, masks) = loaded(
            &sam2_checkpoint(published)?,
            (
                config.image_encoder.init(device),
                sam2_encoder_options(kind),
            ),
            (masks, sam2_decoder_options(kind)),
            answering,
            options,
            device,
        )?;
        Ok(Self {
            form: SamForm::Sam2(Sam2Parts {
                image_encoder,
                mask_decoder: masks.mask_decoder,
            }),
            prompt_encoder: masks.prompt_encoder,
        })
    }
}

/// Loads image encoder and the parts that make masks, each with its names in `checkpoint`, after
/// checking that there is memory for them and for `answering`.
fn loaded<B: Backend, E: Module<B>, M: Module<B>>(
    checkpoint: &Checkpoint,
    (mut encoder, encoder_names): (E, LoadOptions),
    (mut masks, mask_names): (M, LoadOptions),
    answering: u64,
    options: ModelOptions,
    device: &B::Device,
) -> Result<(E, M)> {
    check_estimate::<B>(&options, |options| {
        let types = options.load_options::<B>(device)?;
        let parts = [
            weight_memory(&encoder, checkpoint, &typed(&types, encoder_names.clone()))?,
            weight_memory(&masks, checkpoint, &typed(&types, mask_names.clone()))?,
        ];
        Ok(MemoryEstimate {
            weights: together(parts),
            answering,
        })
    })?;
    let types = options.load_options::<B>(device)?;
    load_module(&mut encoder, checkpoint, &typed(&types, encoder_names))?;
    load_module(&mut masks, checkpoint, &typed(&types, mask_names))?;
    Ok((encoder, masks))
}

/// Total memory of two parts.
fn together(parts: [WeightMemory; 2]) -> WeightMemory {
    WeightMemory {
        mapped: parts.iter().map(|part| part.mapped).sum(),
        held: parts.iter().map(|part| part.held).sum(),
    }
}

/// Combines the types of one with the names of the other.
fn typed(types: &LoadOptions, names: LoadOptions) -> LoadOptions {
    LoadOptions {
        prefix: names.prefix,
        rename: names.rename,
        allow_unused: names.allow_unused,
        ..types.clone()
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;

    use super::*;
    use crate::Error;

    #[test]
    fn too_little_memory_is_told_before_weights_are_read() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let load = |free| {
            let options = ModelOptions::new(WeightType::F32).with_free_memory(Some(free));
            SamModel::<Flex>::load_with(
                &fixtures.join("sam_alone.pth"),
                options,
                &Default::default(),
            )
        };
        // Small models are loaded regardless of the free memory.
        load(1).unwrap();
        let huge = |free| {
            let options = ModelOptions::new(WeightType::F32).with_free_memory(Some(free));
            let estimate = MemoryEstimate {
                weights: WeightMemory {
                    mapped: 2_500_000_000,
                    held: 0,
                },
                answering: 500_000_000,
            };
            check_estimate::<Flex>(&options, |_| Ok(estimate))
        };
        huge(4_000_000_000).unwrap();
        let error = huge(1_000_000_000).unwrap_err();
        assert!(matches!(error, Error::Memory(_)), "{error}");
    }
}
