//! Configuration of a model.

use anyref_audio::{AudioPreprocessorConfig, ImageBindAudioConfig};
use anyref_decoder::{ObjectHeadConfig, PromptEncoderConfig};
use anyref_llm::{LlamaConfig, LoraConfig};
use anyref_ops::nn::LinearConfig;
use anyref_vision::preprocess::ClipResize;
use anyref_vision::projector::ProjectorKind;
use anyref_vision::region_encoder::RegionEncoderConfig;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::candidates::CandidateConfig;
use crate::layout::ObjectState;
use crate::model::{AnyRefModel, ReferencePooling};
use crate::prompt_config::PromptConfig;
use crate::reference_kind::ReferenceKind;
use crate::region_form::RegionForm;
use crate::sam::{MaskDecoderKindConfig, MaskImageEncoderConfig};
use crate::tower::TowerConfig;
use crate::{Error, Result};

/// Configuration of the sound side of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AudioConfig {
    /// ImageBind's audio encoder.
    pub encoder: ImageBindAudioConfig,
    /// Preprocessing of waveforms.
    pub preprocessor: AudioPreprocessorConfig,
}

/// Configuration of an [`AnyRefModel`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnyRefConfig {
    /// Name of the preset.
    pub name: String,
    /// CLIP, or InternViT over tiles.
    pub vision_tower: TowerConfig,
    /// Hidden state of the tower that is used; negative counts from the end.
    pub vision_select_layer: i32,
    /// Conversion of a picture of any shape to CLIP's square.
    #[serde(default, skip_serializing_if = "is_squeeze")]
    pub clip_resize: ClipResize,
    /// Projection of the tower's features to the width of the language model. For tiles it has a
    /// layer normalisation ahead of its two layers.
    pub mm_projector: ProjectorKind,
    /// Image encoder of SAM or SAM 2; `None` for a model that answers in words alone, which has no
    /// prompt encoder and mask decoder either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_encoder: Option<MaskImageEncoderConfig>,
    /// Encoder of boxes by several hidden states of CLIP, for models that were trained with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_encoder: Option<RegionEncoderConfig>,
    /// Sounds, for models that hear.
    pub audio: Option<AudioConfig>,
    /// Language model.
    pub llm: LlamaConfig,
    /// Adapters of the language model, when it carries any.
    pub lora: Option<LoraConfig>,
    /// SAM's prompt encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_encoder: Option<PromptEncoderConfig>,
    /// Mask decoder of the image encoder's kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_decoder: Option<MaskDecoderKindConfig>,
    /// Tokens of one picture or box reference.
    pub reference_tokens: usize,
    /// Pooling of these tokens.
    pub reference_pooling: ReferencePooling,
    /// Adds a box's coordinates through a separate layer.
    pub box_coordinates: bool,
    /// Weight of the refocusing correction, λ (paper: 0.1).
    pub refocus_lambda: f64,
    /// State of the language model that prompts the mask decoder.
    #[serde(default, skip_serializing_if = "ObjectState::is_default")]
    pub object_state: ObjectState,
    /// Maximum tokens of an answer.
    pub max_new_tokens: usize,
    /// Lowest IoU estimated by the mask decoder with which a mask is kept, as `pred_iou_thresh` of
    /// SAM's automatic mask generator: below it the object is mostly absent. The paper has no such
    /// limit.
    #[serde(default)]
    pub min_mask_score: f32,
    /// Choice of an answer among several.
    #[serde(default)]
    pub candidates: CandidateConfig,
    /// Number of earlier turns that are read with a question; `None` reads all. A model that was
    /// trained on single questions alone takes earlier answers as hints for the next.
    #[serde(default)]
    pub max_history_turns: Option<usize>,
    /// Questions and references that it was trained with.
    #[serde(default, skip_serializing_if = "PromptConfig::is_default")]
    pub prompts: PromptConfig,
}

/// Returns whether the resizing is AnyRef's, which config files omit.
fn is_squeeze(resize: &ClipResize) -> bool {
    *resize == ClipResize::default()
}

impl AnyRefConfig {
    /// Tokens of the picture asked about; of a tower over tiles the most that a picture may have.
    ///
    /// # Panics
    /// When `vision_tower.patch_size` is 0.
    pub fn image_tokens(&self) -> usize {
        self.vision_tower.most_squares() * self.vision_tower.square_tokens()
    }

    /// Sets the most tiles of a picture.
    ///
    /// # Errors
    /// When the model reads pictures in one square.
    pub fn set_max_tiles(&mut self, tiles: usize) -> Result<()> {
        match &mut self.vision_tower {
            TowerConfig::InternVit(tower) => {
                tower.max_tiles = tiles;
                Ok(())
            }
            TowerConfig::Clip(_) => Err(Error::Config {
                field: "max_tiles",
                problem: "is for models that cut pictures into tiles, as Sa2VA; leave --tiles out"
                    .into(),
            }),
        }
    }

    /// Returns whether the model makes masks; a model without SAM answers in words alone.
    pub fn makes_masks(&self) -> bool {
        self.image_encoder.is_some() && self.prompt_encoder.is_some() && self.mask_decoder.is_some()
    }

    /// Checks that each part is valid and the parts fit one another.
    ///
    /// # Errors
    /// When they do not, naming the invalid field.
    pub fn validate(&self) -> Result<()> {
        self.vision_tower.validate()?;
        self.vision_tower.layers_until(self.vision_select_layer)?;
        self.vision_tower.check_projector(self.mm_projector)?;
        self.validate_references()?;
        if let Some(sam) = &self.image_encoder {
            sam.validate()?;
        }
        if let Some(audio) = &self.audio {
            audio.encoder.validate()?;
            audio.preprocessor.validate()?;
        }
        self.llm.validate()?;
        if let Some(prompts) = &self.prompt_encoder {
            prompts.validate()?;
        }
        if let Some(masks) = &self.mask_decoder {
            masks.validate()?;
        }
        self.candidates.validate()?;
        if let Some(lora) = &self.lora {
            lora.validate()?;
        }
        self.validate_masks()?;
        self.validate_region_encoder()?;
        if let Some(AudioConfig {
            encoder,
            preprocessor,
        }) = &self.audio
        {
            equal(
                "audio.preprocessor.num_mel_bins",
                preprocessor.num_mel_bins,
                "audio.encoder.num_mel_bins",
                encoder.num_mel_bins,
            )?;
            equal(
                "audio.preprocessor.target_length",
                preprocessor.target_length,
                "audio.encoder.target_length",
                encoder.target_length,
            )?;
            equal(
                "audio.encoder.num_clips",
                encoder.num_clips,
                "audio.preprocessor.num_clips",
                preprocessor.num_clips,
            )?;
        }
        self.validate_answers()?;
        let side = self.vision_tower.grid_size();
        let tokens = self.reference_tokens;
        let pooled = match self.reference_pooling {
            ReferencePooling::Strips => tokens > 0 && (side * side).is_multiple_of(tokens),
            ReferencePooling::Grid => {
                let cells = tokens.isqrt();
                cells > 0 && cells * cells == tokens && side.is_multiple_of(cells)
            }
        };
        if !pooled {
            return Err(Error::Config {
                field: "reference_tokens",
                problem: format!("is {tokens}, which does not divide {side}x{side} patches evenly"),
            });
        }
        Ok(())
    }

    /// Checks that the tower has features for the references that the prompts allow.
    fn validate_references(&self) -> Result<()> {
        let reads = |kind| self.prompts.reads(kind);
        let prompted = self.prompts.regions == RegionForm::VisualPrompt;
        let problem = match self.vision_tower.tiled() {
            None if prompted => {
                "has regions as visual prompts, which are tokens of a tile: leave `regions` out"
            }
            Some(_) if reads(ReferenceKind::Image) || (reads(ReferenceKind::Box) && !prompted) => {
                "has references that a tower over tiles has no features for: name `box` alone, with \
                 `regions` as visual_prompt"
            }
            _ => return Ok(()),
        };
        Err(Error::Config {
            field: "prompts",
            problem: problem.into(),
        })
    }

    /// Checks that the parts that make masks are either complete or absent, and fit one another.
    fn validate_masks(&self) -> Result<()> {
        let parts = (
            &self.image_encoder,
            &self.prompt_encoder,
            &self.mask_decoder,
        );
        let (sam, prompts, masks) = match parts {
            (Some(sam), Some(prompts), Some(masks)) => (sam, prompts, masks),
            (None, None, None) => return Ok(()),
            _ => {
                let missing = [
                    ("image_encoder", self.image_encoder.is_none()),
                    ("prompt_encoder", self.prompt_encoder.is_none()),
                    ("mask_decoder", self.mask_decoder.is_none()),
                ];
                let field = missing.into_iter().find(|(_, missing)| *missing);
                return Err(Error::Config {
                    field: field.map_or("image_encoder", |(field, _)| field),
                    problem: "is missing: masks need image_encoder, prompt_encoder and \
                              mask_decoder; give all of them, or none for a model without masks"
                        .into(),
                });
            }
        };
        if let (MaskImageEncoderConfig::Sam(_), MaskDecoderKindConfig::Sam2(_))
        | (MaskImageEncoderConfig::Sam2(_), MaskDecoderKindConfig::Sam(_)) = (sam, masks)
        {
            return Err(Error::Config {
                field: "mask_decoder",
                problem: "and image_encoder are of SAM and SAM 2: make their kinds equal".into(),
            });
        }
        equal(
            "prompt_encoder.embed_dim",
            prompts.embed_dim,
            "image_encoder.output_channels",
            sam.output_channels(),
        )?;
        equal(
            "mask_decoder.transformer_dim",
            masks.sizes().transformer_dim,
            "image_encoder.output_channels",
            sam.output_channels(),
        )?;
        equal(
            "prompt_encoder.input_image_size",
            prompts.input_image_size,
            "image_encoder.image_size",
            sam.image_size(),
        )?;
        equal(
            "prompt_encoder.image_embedding_size",
            prompts.image_embedding_size,
            "image_encoder's image_size / patch_size",
            sam.grid_size(),
        )
    }

    /// Checks that a region encoder fits CLIP and the language model.
    fn validate_region_encoder(&self) -> Result<()> {
        let Some(regions) = &self.region_encoder else {
            return Ok(());
        };
        regions.validate()?;
        if self.vision_tower.clip().is_none() {
            return Err(Error::Config {
                field: "region_encoder",
                problem: "reads hidden states of CLIP, which a tower over tiles does not \
                          have: leave it out"
                    .into(),
            });
        }
        let last = self.vision_tower.layers_until(self.vision_select_layer)?;
        regions.level_states(last)?;
        equal(
            "region_encoder.embed_dim",
            regions.embed_dim,
            "vision_tower.hidden_size",
            self.vision_tower.hidden_size(),
        )?;
        equal(
            "region_encoder.output_size",
            regions.output_size,
            "llm.hidden_size",
            self.llm.hidden_size,
        )
    }

    /// Checks the settings of answers and masks.
    fn validate_answers(&self) -> Result<()> {
        if self.max_new_tokens == 0 {
            return Err(Error::Config {
                field: "max_new_tokens",
                problem: "is 0: an answer needs at least 1".into(),
            });
        }
        let score = self.min_mask_score;
        if !(0.0..=1.0).contains(&score) {
            return Err(Error::Config {
                field: "min_mask_score",
                problem: format!("is {score}: make it 0 to 1"),
            });
        }
        Ok(())
    }

    /// Creates the model, its parameters not yet materialised.
    ///
    /// # Panics
    /// When a part's configuration is invalid, such as heads that do not divide a width:
    /// [`validate`](Self::validate) refuses it.
    pub fn init<B: Backend>(&self, device: &B::Device) -> AnyRefModel<B> {
        let hidden = self.llm.hidden_size;
        let (audio, masks) = (self.audio.as_ref(), self.mask_decoder.as_ref());
        AnyRefModel {
            vision_tower: self.vision_tower.init(device),
            mm_projector: (self.vision_tower).init_projector(self.mm_projector, hidden, device),
            image_encoder: self.image_encoder.as_ref().map(|sam| sam.init(device)),
            audio_encoder: audio.map(|audio| audio.encoder.init(device)),
            audio_projector: audio
                .map(|audio| LinearConfig::new(audio.encoder.output_dim, hidden).init(device)),
            box_projector: self
                .box_coordinates
                .then(|| LinearConfig::new(4, hidden).init(device)),
            region_encoder: self
                .region_encoder
                .as_ref()
                .map(|regions| regions.init(device)),
            llm: self.llm.init(device),
            text_hidden_fcs: masks.map(|masks| {
                ObjectHeadConfig::new(hidden, masks.sizes().transformer_dim).init(device)
            }),
            prompt_encoder: self
                .prompt_encoder
                .as_ref()
                .map(|prompts| prompts.init(device)),
            mask_decoder: masks.map(|masks| masks.init(device)),
            select_layer: self.vision_select_layer,
            reference_tokens: self.reference_tokens,
            square_pooling: self.reference_pooling == ReferencePooling::Grid,
            refocus_lambda: self.refocus_lambda,
        }
    }
}

/// Refuses two numbers of a config that differ.
fn equal(field: &'static str, value: usize, of: &str, expected: usize) -> Result<()> {
    if value == expected {
        return Ok(());
    }
    Err(Error::Config {
        field,
        problem: format!("is {value} and {of} {expected}: make them equal"),
    })
}

#[cfg(test)]
mod tests {
    use anyref_decoder::{MaskDecoderConfig, Sam2MaskDecoderConfig};
    use anyref_vision::clip::ClipVisionConfig;
    use anyref_vision::sam::SamVisionConfig;

    use super::*;

    #[test]
    fn the_preset_is_what_is_shipped_but_for_the_words_that_were_learned() {
        let shipped = include_str!("../../assets/nano/config.json");
        let mut shipped: AnyRefConfig = serde_json::from_str(shipped).unwrap();
        let preset = AnyRefConfig::nano();
        shipped.llm.vocab_size = preset.llm.vocab_size;
        let values = |config| serde_json::to_value(config).unwrap();
        assert_eq!(values(shipped), values(preset));
    }

    fn audio_of(config: &mut AnyRefConfig) -> &mut AudioConfig {
        config.audio.as_mut().unwrap()
    }

    fn part<T>(part: &mut Option<T>) -> &mut T {
        part.as_mut().unwrap()
    }

    fn clip(config: &mut AnyRefConfig) -> &mut ClipVisionConfig {
        match &mut config.vision_tower {
            TowerConfig::Clip(clip) => clip,
            TowerConfig::InternVit(_) => panic!("a CLIP"),
        }
    }

    fn sam(config: &mut AnyRefConfig) -> &mut SamVisionConfig {
        match part(&mut config.image_encoder) {
            MaskImageEncoderConfig::Sam(sam) => sam,
            MaskImageEncoderConfig::Sam2(_) => panic!("a SAM"),
        }
    }

    fn masks(config: &mut AnyRefConfig) -> &mut MaskDecoderConfig {
        match part(&mut config.mask_decoder) {
            MaskDecoderKindConfig::Sam(sam) => sam,
            MaskDecoderKindConfig::Sam2(_) => panic!("a SAM"),
        }
    }

    #[test]
    fn masks_need_all_their_parts_and_words_none() {
        let whole = AnyRefConfig::tiny();
        let without = AnyRefConfig {
            image_encoder: None,
            prompt_encoder: None,
            mask_decoder: None,
            ..whole.clone()
        };
        without.validate().unwrap();
        assert!(whole.makes_masks() && !without.makes_masks());
        let json = serde_json::to_string(&without).unwrap();
        assert!(
            !json.contains("mask_decoder") && !json.contains("image_encoder"),
            "{json}"
        );
        let read: AnyRefConfig = serde_json::from_str(&json).unwrap();
        assert!(!read.makes_masks());
        for (config, missing) in [
            (
                AnyRefConfig {
                    image_encoder: None,
                    ..whole.clone()
                },
                "image_encoder",
            ),
            (
                AnyRefConfig {
                    prompt_encoder: None,
                    ..whole.clone()
                },
                "prompt_encoder",
            ),
            (
                AnyRefConfig {
                    mask_decoder: None,
                    ..whole.clone()
                },
                "mask_decoder",
            ),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("config: {missing} is missing")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_region_encoder_needs_clip_and_fits_it() {
        let glamm = AnyRefConfig::glamm_7b();
        let sa2va = AnyRefConfig {
            region_encoder: glamm.region_encoder,
            ..AnyRefConfig::sa2va_1b()
        };
        let error = sa2va.validate().unwrap_err().to_string();
        assert!(
            error.contains("region_encoder reads hidden states of CLIP"),
            "{error}"
        );
        let mut narrow = glamm;
        narrow.llm = AnyRefConfig::lisa_13b().llm;
        let error = narrow.validate().unwrap_err().to_string();
        assert!(
            error.contains("region_encoder.output_size is 4096"),
            "{error}"
        );
    }

    #[test]
    fn presets_fit_together_and_a_broken_one_is_named() {
        for name in [
            "nano",
            "anyref-7b",
            "lisa-7b",
            "lisa-13b",
            "llava-7b",
            "sa2va-1b",
            "sa2va-8b",
            "glamm-7b",
            "tiny",
        ] {
            AnyRefConfig::preset(name).unwrap().validate().unwrap();
        }
        let refused = |change: fn(&mut AnyRefConfig), field: &str| {
            let mut config = AnyRefConfig::tiny();
            change(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        };
        refused(|config| config.reference_tokens = 3, "reference_tokens");
        refused(|config| config.reference_tokens = 0, "reference_tokens");
        refused(
            |config| clip(config).patch_size = 0,
            "CLIP config: `patch_size` is 0",
        );
        refused(|config| clip(config).patch_size = 33, "patch_size");
        refused(|config| clip(config).num_attention_heads = 3, "hidden_size");
        refused(|config| config.vision_select_layer = 9, "feature layer 9");
        refused(
            |config| sam(config).patch_size = 0,
            "SAM config: `patch_size`",
        );
        refused(|config| sam(config).patch_size = 30, "image_size");
        refused(
            |config| sam(config).global_attn_indexes = vec![2],
            "global_attn_indexes",
        );
        refused(|config| masks(config).num_heads = 0, "num_heads");
        refused(
            |config| masks(config).num_heads = 32,
            "attention_downsample_rate",
        );
        refused(
            |config| part(&mut config.prompt_encoder).mask_in_chans = 6,
            "mask_in_chans",
        );
        refused(|config| audio_of(config).encoder.stride = 0, "stride");
        refused(
            |config| audio_of(config).encoder.kernel_size = 999,
            "kernel_size",
        );
        refused(|config| audio_of(config).preprocessor.std = 0.0, "std");
        refused(
            |config| audio_of(config).preprocessor.sample_rate = 80,
            "sample_rate",
        );
        refused(|config| config.candidates.count = 0, "candidates.count");
        refused(
            |config| config.candidates.listener_weight = -1.0,
            "listener_weight",
        );
        refused(
            |config| config.candidates.refusal_estimate = 2.0,
            "refusal_estimate",
        );
        refused(
            |config| part(&mut config.prompt_encoder).embed_dim = 30,
            "prompt_encoder.embed_dim",
        );
        refused(|config| sam(config).image_size = 128, "input_image_size");
        refused(
            |config| {
                let sam = masks(config).clone();
                let sam2 = Sam2MaskDecoderConfig::of_sam(sam);
                config.mask_decoder = Some(MaskDecoderKindConfig::Sam2(sam2));
            },
            "mask_decoder and image_encoder are of SAM and SAM 2",
        );
        refused(
            |config| config.prompts.regions = RegionForm::VisualPrompt,
            "leave `regions` out",
        );
        refused(|config| config.llm.vocab_size = 0, "vocab_size");
        refused(
            |config| audio_of(config).encoder.num_clips = 2,
            "audio.encoder.num_clips",
        );
        refused(
            |config| audio_of(config).preprocessor.num_clips = 4,
            "audio.preprocessor.num_clips",
        );
        refused(|config| config.max_new_tokens = 0, "max_new_tokens");
        for score in [-0.1, 1.5, f32::NAN, f32::INFINITY] {
            let config = AnyRefConfig {
                min_mask_score: score,
                ..AnyRefConfig::tiny()
            };
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains("min_mask_score"), "{error}");
        }
    }
}
