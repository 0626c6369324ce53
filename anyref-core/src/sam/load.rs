//! Loading of published SAMs.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyref_vision::sam::SamImageEncoder;
use anyref_vision::sam2::Sam2ImageEncoder;
use anyref_weights::{
    Checkpoint, LoadOptions, TensorEntry, WeightMemory, WeightType, check_module, load_module,
    renamed_tensors, weight_memory,
};
use burn::module::Module;
use burn::tensor::Element;
use burn::tensor::backend::Backend;

use super::config::{Sam2Config, SamConfig};
use super::model::{Sam2Parts, SamForm, SamModel, SamParts};
use crate::encoder_blocks::{load_sam_blocks, sam_block_bytes};
use crate::encoder_format::EncoderFormat;
use crate::memory::{encoding_bytes, sam2_encoding_bytes};
use crate::memory_check::check_estimate;
use crate::official::{
    Kind, MaskParts, Published, Sam2MaskParts, decoder_options, encoder_options, sam_parts,
    sam2_checkpoint, sam2_decoder_options, sam2_encoder_options, sam2_parts,
};
use crate::{Error, MemoryEstimate, ModelOptions, Result};

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
        if options.quantize_vision.is_some() {
            let reason = "is a SAM 2, whose matrices cannot be quantised; use --dtype bf16";
            return Err(Error::folder(&published.path, reason));
        }
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

/// Tensors by the names of a module's parameters.
type Tensors<'a> = HashMap<String, &'a TensorEntry>;

/// Image encoder, of which some matrices may be in blocks.
trait InBlocks<B: Backend>: Module<B> {
    /// Bytes of the matrices in blocks, by the names of their tensors.
    fn block_bytes(&self, _: &Tensors<'_>, _: Option<EncoderFormat>) -> Vec<(String, u64)> {
        Vec::new()
    }

    /// Fills these matrices; returns the names of their tensors.
    fn load_blocks(
        &mut self,
        _: &Tensors<'_>,
        _: Option<EncoderFormat>,
    ) -> Result<BTreeSet<String>> {
        Ok(BTreeSet::new())
    }
}

impl<B: Backend> InBlocks<B> for SamImageEncoder<B> {
    fn block_bytes(
        &self,
        tensors: &Tensors<'_>,
        asked: Option<EncoderFormat>,
    ) -> Vec<(String, u64)> {
        sam_block_bytes(self, |name| tensors.get(name).copied(), asked)
    }

    fn load_blocks(
        &mut self,
        tensors: &Tensors<'_>,
        asked: Option<EncoderFormat>,
    ) -> Result<BTreeSet<String>> {
        load_sam_blocks(self, |name| tensors.get(name).copied(), asked)
    }
}

impl<B: Backend> InBlocks<B> for Sam2ImageEncoder<B> {}

/// Loads image encoder and the parts that make masks, each with its names in `checkpoint`, after
/// checking that there is memory for them and for `answering`.
fn loaded<B: Backend, E: InBlocks<B>, M: Module<B>>(
    checkpoint: &Checkpoint,
    (mut encoder, encoder_names): (E, LoadOptions),
    (mut masks, mask_names): (M, LoadOptions),
    answering: u64,
    options: ModelOptions,
    device: &B::Device,
) -> Result<(E, M)> {
    let tensors = renamed_tensors(checkpoint, &encoder_names)?;
    check_estimate::<B>(&options, |options| {
        let types = options.load_options::<B>(device)?;
        let blocks = encoder.block_bytes(&tensors, options.quantize_vision);
        let (names, bytes): (BTreeSet<_>, Vec<u64>) = blocks.into_iter().unzip();
        let names_and_types = typed(&types, encoder_names.clone());
        let parts = [
            weight_memory(&encoder, &checkpoint.without(&names), &names_and_types)?,
            weight_memory(&masks, checkpoint, &typed(&types, mask_names.clone()))?,
        ];
        let mut weights = together(parts);
        weights.held += bytes.iter().sum::<u64>();
        Ok(MemoryEstimate { weights, answering })
    })?;
    let types = options.load_options::<B>(device)?;
    let encoder_types = typed(&types, encoder_names);
    if options.quantize_vision.is_some() {
        // Ahead of values, and with the names of the whole.
        let report = check_module(&encoder, checkpoint, &encoder_types)?;
        if !report.is_complete() {
            return Err(anyref_weights::Error::Mismatch(Box::new(report)).into());
        }
        let names = encoder.load_blocks(&tensors, options.quantize_vision)?;
        load_module(&mut encoder, &checkpoint.without(&names), &encoder_types)?;
    } else {
        load_module(&mut encoder, checkpoint, &encoder_types)?;
    }
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

    use anyref_ops::blocks::BlockType;

    use super::*;
    use crate::Error;

    /// Embeddings are those of floats but for rounding, and SAM 2 is refused.
    #[test]
    fn matrices_are_rounded_as_they_are_read() {
        use anyref_ops::nn::LinearWeight;
        use anyref_ops::testing::random;
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let load = |file: &str, form| {
            let options = ModelOptions::new(WeightType::F32).with_quantize_vision(form);
            SamModel::<Flex>::load_with(&fixtures.join(file), options, &Default::default())
        };
        let encoder = |sam: SamModel<Flex>| match sam.form {
            SamForm::Sam(parts) => parts.image_encoder,
            SamForm::Sam2(_) => panic!("a SAM"),
        };
        let exact = encoder(load("sam_alone.pth", None).unwrap());
        let q8_0 = Some(BlockType::Q8_0.into());
        let rounded = encoder(load("sam_alone.pth", q8_0).unwrap());
        let layer = &rounded.layers[0];
        // The others have rows of 16 values.
        let formats = [&layer.mlp.lin2.weight, &layer.mlp.lin1.weight];
        let formats = formats.map(|weight| weight.block_type());
        assert_eq!(formats, [Some(BlockType::Q8_0), None]);
        let pixels = random::<Flex, 4>([1, 3, 128, 128], 3, &Default::default());
        let integers = encoder(load("sam_alone.pth", Some(EncoderFormat::Int8)).unwrap());
        let layer = &integers.layers[0];
        assert!(matches!(layer.mlp.lin2.weight, LinearWeight::Int8(_)));
        assert!(matches!(layer.mlp.lin1.weight, LinearWeight::Dense(_)));
        let all = [&rounded, &integers, &exact];
        let [found, of_integers, expected] = all.map(|encoder| encoder.forward(pixels.clone()));
        let size = |x: burn::tensor::Tensor<Flex, 4>| (x.clone() * x).mean().sqrt().into_scalar();
        for found in [found, of_integers] {
            let error = size(found - expected.clone()) / size(expected.clone());
            assert!(error > 0.0 && error < 0.05, "{error}");
        }
        let refused = load("sam2_authors/sam2_tiny.pt", q8_0);
        let refused = refused.err().unwrap().to_string();
        assert!(
            refused.contains("sam2_tiny.pt") && refused.contains("--dtype"),
            "{refused}"
        );
        assert!(!refused.contains('\n'));
    }

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
