//! Estimate of a model's memory before its weights are read.

use std::collections::BTreeSet;

use anyref_ops::{StoredWeights, on_processor, stored_weights};
use anyref_weights::{Checkpoint, WeightType, weight_memory};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Element};

use crate::known_models::KnownModel;
use crate::memory::{
    RowLength, answer_bytes, encoding_bytes, region_bytes, sam2_encoding_bytes, tiles_bytes,
};
use crate::memory_estimate::{Gigabytes, MemoryEstimate, MemoryShortage};
use crate::model::AnyRefModel;
use crate::precision::ModelOptions;
use crate::quantization::LANGUAGE_MODEL;
use crate::sam::MaskImageEncoderConfig;
use crate::{AnyRefConfig, Error, Result};

/// Bytes below which models are loaded without checking the free memory.
const SMALL: u64 = 1 << 30;
/// Approximate positions of a question and of the template around a picture.
const QUESTION: usize = 128;

impl MemoryEstimate {
    /// Estimates the memory of a model loaded from `checkpoint`. No values are read, and no
    /// parameter of `model` is initialised.
    ///
    /// # Errors
    /// When the device does not support the requested type.
    pub fn new<B: Backend>(
        config: &AnyRefConfig,
        model: &AnyRefModel<B>,
        checkpoint: &Checkpoint,
        options: ModelOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let load = options.load_options::<B>(device)?;
        let llm = &model.llm;
        let blocks = llm.block_bytes(checkpoint, LANGUAGE_MODEL, options.quantize.as_ref());
        let encoders = model.encoder_block_bytes(checkpoint, options.encoder_blocks());
        let (names, bytes): (BTreeSet<_>, Vec<u64>) = blocks.into_iter().chain(encoders).unzip();
        let mut weights = weight_memory(model, &checkpoint.without(&names), &load)?;
        weights.held += bytes.iter().sum::<u64>();
        let values = match stored_weights::<B>(device) {
            StoredWeights::HalfOrMapped => B::FloatElem::dtype(),
            _ => load.cast.unwrap_or(DType::F32),
        };
        let row = RowLength {
            prefix: config.image_tokens(),
            question: QUESTION,
            answer: config.max_new_tokens,
        };
        let rows = config.candidates.count.max(1) as u64;
        let sam = config.image_encoder.as_ref();
        let sam = sam.map_or(0, |sam| match sam {
            MaskImageEncoderConfig::Sam(sam) => encoding_bytes(sam, values),
            MaskImageEncoderConfig::Sam2(sam) => sam2_encoding_bytes(sam, values),
        });
        // One after the other.
        let tiles = config.vision_tower.tiled();
        let encoding = sam.max(tiles.map_or(0, |tiles| tiles_bytes(tiles, values)));
        let regions = config.region_encoder.as_ref();
        let regions = regions.map_or(0, |regions| {
            region_bytes(regions, config.image_tokens(), values)
        });
        let answers = rows * answer_bytes(&config.llm, row, values, options.cache_type);
        let answering = encoding + regions + answers;
        Ok(Self { weights, answering })
    }
}

/// Rejects a model that takes more than [`ModelOptions::free_memory`], like [`check_estimate`].
pub(crate) fn check_memory<B: Backend>(
    config: &AnyRefConfig,
    model: &AnyRefModel<B>,
    checkpoint: &Checkpoint,
    options: &ModelOptions,
    device: &B::Device,
) -> Result<()> {
    check_estimate::<B>(options, |options| {
        MemoryEstimate::new(config, model, checkpoint, options.clone(), device)
    })
}

/// Rejects a model whose estimate exceeds [`ModelOptions::free_memory`], and names a smaller choice
/// that fits. Only the processor is checked, since burn does not report the memory of other
/// devices.
pub(crate) fn check_estimate<B: Backend>(
    options: &ModelOptions,
    estimated: impl Fn(&ModelOptions) -> Result<MemoryEstimate>,
) -> Result<()> {
    let Some(free) = options.free_memory else {
        return Ok(());
    };
    if !on_processor::<B>() {
        return Ok(());
    }
    let estimate = estimated(options)?;
    log::debug!("memory {estimate}; {} free", Gigabytes(free));
    if estimate.total() <= free || estimate.total() < SMALL {
        return Ok(());
    }
    let mut smaller = None;
    for dtype in [WeightType::Auto, WeightType::Bf16] {
        let other = ModelOptions {
            dtype,
            ..options.clone()
        };
        let bytes = estimated(&other)?.total();
        if bytes <= free {
            smaller = Some((dtype, bytes));
            break;
        }
    }
    let shortage = MemoryShortage {
        estimate,
        free,
        smaller_type: smaller,
        smaller_model: KnownModel::that_fits(free).map(|model| (model.location, model.memory)),
    };
    Err(Error::Memory(Box::new(shortage)))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use anyref_llm::LlamaConfig;
    use anyref_weights::{OutputTensor, parameters};
    use burn::backend::Flex;

    use super::*;
    use crate::known_models::KNOWN_MODELS;

    const GB: u64 = 1_000_000_000;

    fn lisa_13b() -> AnyRefConfig {
        AnyRefConfig {
            llm: LlamaConfig {
                hidden_size: 5120,
                intermediate_size: 13_824,
                num_hidden_layers: 40,
                num_attention_heads: 40,
                ..AnyRefConfig::lisa_7b().llm
            },
            ..AnyRefConfig::lisa_7b()
        }
    }

    /// Sa2VA over a larger Qwen 2.5: its width, layers, heads and width of its feed-forward
    /// network.
    fn sa2va(hidden_size: usize, layers: usize, heads: usize, inner: usize) -> AnyRefConfig {
        let config = AnyRefConfig::sa2va_1b();
        AnyRefConfig {
            llm: LlamaConfig {
                hidden_size,
                intermediate_size: inner,
                num_hidden_layers: layers,
                num_attention_heads: heads,
                ..config.llm.clone()
            },
            ..config
        }
    }

    fn with_kv_heads(kv_heads: usize, mut config: AnyRefConfig) -> AnyRefConfig {
        config.llm.num_key_value_heads = Some(kv_heads);
        config
    }

    /// Published model, described by the shapes of its tensors: CLIP in f32, the rest in bf16.
    struct Published {
        config: AnyRefConfig,
        model: AnyRefModel<Flex>,
        checkpoint: Checkpoint,
    }

    impl Published {
        fn new(config: AnyRefConfig) -> Self {
            let model = config.init::<Flex>(&Default::default());
            let clip = config.vision_tower.clip().is_some();
            let tensors = parameters(&model).into_iter().map(|(name, parameter)| {
                let dtype = match clip && name.starts_with("vision_tower.") {
                    true => DType::F32,
                    false => DType::BF16,
                };
                let read = || unreachable!("values are read");
                OutputTensor::new(name, dtype, parameter.shape, read)
            });
            let checkpoint = Checkpoint::of_tensors("published", tensors.collect()).unwrap();
            Self {
                config,
                model,
                checkpoint,
            }
        }

        fn bytes(&self, dtype: WeightType) -> u64 {
            let (options, device) = (ModelOptions::new(dtype), Default::default());
            MemoryEstimate::new(
                &self.config,
                &self.model,
                &self.checkpoint,
                options,
                &device,
            )
            .unwrap()
            .total()
        }

        fn check(&self, dtype: WeightType, free: Option<u64>) -> Result<()> {
            let options = ModelOptions::new(dtype).with_free_memory(free);
            let device = Default::default();
            check_memory(
                &self.config,
                &self.model,
                &self.checkpoint,
                &options,
                &device,
            )
        }

        fn shortage(&self, dtype: WeightType, free: u64) -> (MemoryShortage, String) {
            match self.check(dtype, Some(free)).unwrap_err() {
                Error::Memory(shortage) => {
                    let line = shortage.to_string();
                    assert_eq!(line.lines().count(), 1, "{line}");
                    assert!(line.contains("--ignore-memory"), "{line}");
                    (*shortage, line)
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn a_large_model_is_refused_with_the_type_that_fits() {
        let lisa = Published::new(AnyRefConfig::lisa_7b());
        let (half, full) = (lisa.bytes(WeightType::Auto), lisa.bytes(WeightType::F32));
        assert!((15 * GB..18 * GB).contains(&half), "{half}");
        assert!((30 * GB..34 * GB).contains(&full), "{full}");

        lisa.check(WeightType::Auto, Some(half)).unwrap();
        lisa.check(WeightType::F32, Some(full)).unwrap();
        lisa.check(WeightType::F32, None).unwrap();

        let (shortage, line) = lisa.shortage(WeightType::F32, 20 * GB);
        assert_eq!(shortage.smaller_type, Some((WeightType::Auto, half)));
        assert_eq!((shortage.free, shortage.estimate.total()), (20 * GB, full));
        assert!(
            line.contains("20.0 GB is free: use --dtype auto (1"),
            "{line}"
        );

        // CLIP is published in f32 and takes half as much in bf16.
        let (shortage, _) = lisa.shortage(WeightType::Auto, half - 1);
        assert_eq!(shortage.smaller_type.unwrap().0, WeightType::Bf16);

        let (shortage, line) = lisa.shortage(WeightType::Auto, 12 * GB);
        assert_eq!(
            (shortage.smaller_type, shortage.smaller_model),
            (None, None)
        );
        assert!(line.contains("`anyref models`"), "{line}");
    }

    #[test]
    fn a_model_that_no_type_makes_fit_is_refused_with_a_smaller_one() {
        let lisa = Published::new(lisa_13b());
        let (shortage, line) = lisa.shortage(WeightType::Bf16, 20 * GB);
        let smaller = "hf://xinlai/LISA-7B-v1";
        assert_eq!(shortage.smaller_type, None);
        assert_eq!(shortage.smaller_model.unwrap().0, smaller);
        assert!(line.contains(&format!("--model {smaller} (17.")), "{line}");
    }

    #[test]
    fn a_small_model_is_loaded_whatever_is_free() {
        let nano = Published::new(AnyRefConfig::nano());
        assert!(nano.bytes(WeightType::F32) < SMALL);
        nano.check(WeightType::F32, Some(0)).unwrap();
    }

    #[test]
    fn the_table_of_models_says_what_is_reckoned() {
        for (name, config) in [
            ("nano", AnyRefConfig::nano()),
            ("LISA-7B", AnyRefConfig::lisa_7b()),
            ("LISA-7B explanatory", AnyRefConfig::lisa_7b()),
            ("LISA-13B", lisa_13b()),
            ("LISA-13B explanatory", lisa_13b()),
            ("Sa2VA-1B", AnyRefConfig::sa2va_1b()),
            ("Sa2VA-InternVL3-2B", sa2va(1536, 28, 12, 8960)),
            ("Sa2VA-4B", sa2va(2048, 36, 16, 11_008)),
            ("Sa2VA-8B", AnyRefConfig::sa2va_8b()),
            (
                "Sa2VA-InternVL3-8B",
                with_kv_heads(4, sa2va(3584, 28, 28, 18_944)),
            ),
            (
                "Sa2VA-InternVL3-14B",
                with_kv_heads(8, sa2va(5120, 48, 40, 13_824)),
            ),
            ("GLaMM-FullScope", AnyRefConfig::glamm_7b()),
            ("GLaMM-RegCap-VG", AnyRefConfig::glamm_7b()),
        ] {
            let reckoned = Published::new(config).bytes(WeightType::Auto) as f64;
            let known = KNOWN_MODELS
                .iter()
                .find(|model| model.name == name)
                .unwrap();
            let share = known.memory as f64 / reckoned;
            assert!((0.97..1.03).contains(&share), "{name}: {reckoned}");
        }
    }
}
