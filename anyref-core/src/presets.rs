//! Configurations by name.

use anyref_audio::{AudioPreprocessorConfig, ImageBindAudioConfig};
use anyref_decoder::{MaskDecoderConfig, PromptEncoderConfig};
use anyref_llm::{LlamaConfig, LoraConfig, RopeScaling};
use anyref_vision::clip::ClipVisionConfig;
use anyref_vision::internvit::{InternVisionConfig, PixelShuffle, PixelShuffleVersion};
use anyref_vision::preprocess::ClipResize;
use anyref_vision::projector::ProjectorKind;
use anyref_vision::region_encoder::RegionEncoderConfig;
use anyref_vision::sam::SamVisionConfig;

use crate::candidates::CandidateConfig;
use crate::config::{AnyRefConfig, AudioConfig};
use crate::layout::ObjectState;
use crate::model::ReferencePooling;
use crate::prompt_config::{PromptConfig, Template};
use crate::sam::{MaskDecoderKindConfig, MaskImageEncoderConfig, Sam2Config};
use crate::tower::{TiledTowerConfig, TowerConfig};

impl AnyRefConfig {
    /// Paper's model: CLIP ViT-L/14 at 224, SAM ViT-H at 1024, ImageBind-Huge audio, LLaMA-7B with
    /// LoRA (He et al. 2024, section 4; numbers from the authors' `train.py`).
    pub fn anyref_7b() -> Self {
        let llm = LlamaConfig {
            vocab_size: 32_007,
            ..LlamaConfig::llama_7b()
        };
        Self {
            name: "anyref-7b".into(),
            vision_tower: ClipVisionConfig::vit_large_patch14().into(),
            vision_select_layer: -2,
            clip_resize: ClipResize::Squeeze,
            mm_projector: ProjectorKind::Linear,
            image_encoder: Some(SamVisionConfig::vit_huge().into()),
            region_encoder: None,
            audio: Some(AudioConfig {
                encoder: ImageBindAudioConfig::new(),
                preprocessor: AudioPreprocessorConfig::new(),
            }),
            llm,
            lora: Some(LoraConfig::default()),
            prompt_encoder: Some(PromptEncoderConfig::new()),
            mask_decoder: Some(MaskDecoderConfig::new().into()),
            reference_tokens: 4,
            reference_pooling: ReferencePooling::Strips,
            box_coordinates: false,
            refocus_lambda: 0.1,
            object_state: ObjectState::default(),
            max_new_tokens: 128,
            min_mask_score: 0.0,
            candidates: CandidateConfig::default(),
            max_history_turns: None,
            prompts: PromptConfig::default(),
        }
    }

    /// LISA-7B (Lai et al. 2024): the paper's parts without sounds and without refocusing, asked by
    /// words alone.
    pub fn lisa_7b() -> Self {
        Self {
            name: "lisa-7b".into(),
            clip_resize: ClipResize::CenterCrop,
            audio: None,
            llm: LlamaConfig {
                vocab_size: 32_003,
                ..LlamaConfig::llama_7b()
            },
            lora: None,
            refocus_lambda: 0.0,
            max_new_tokens: 512,
            prompts: PromptConfig::lisa(),
            ..Self::anyref_7b()
        }
    }

    /// LISA-13B: LISA-7B with LLaMA-13B's sizes (LLaMA 2's in `LISA-13B-llama2-v1`).
    pub fn lisa_13b() -> Self {
        let lisa = Self::lisa_7b();
        Self {
            name: "lisa-13b".into(),
            llm: LlamaConfig {
                hidden_size: 5120,
                intermediate_size: 13_824,
                num_hidden_layers: 40,
                num_attention_heads: 40,
                num_key_value_heads: None,
                ..lisa.llm.clone()
            },
            ..lisa
        }
    }

    /// LLaVA-7B (Liu et al. 2023): CLIP, projector and language model alone, which answers in words
    /// and makes no masks.
    pub fn llava_7b() -> Self {
        Self {
            name: "llava-7b".into(),
            image_encoder: None,
            prompt_encoder: None,
            mask_decoder: None,
            prompts: PromptConfig::llava(),
            ..Self::lisa_7b()
        }
    }

    /// Sa2VA-1B (Yuan et al. 2025, arXiv 2501.04001): InternViT-300M over tiles, Qwen2.5-0.5B and
    /// SAM 2 with Hiera large.
    pub fn sa2va_1b() -> Self {
        let sam = Sam2Config::hiera_large();
        Self {
            name: "sa2va-1b".into(),
            vision_tower: TowerConfig::InternVit(TiledTowerConfig {
                encoder: InternVisionConfig::vit_300m(),
                shuffle: PixelShuffle {
                    ps_version: PixelShuffleVersion::V2,
                    ..PixelShuffle::default()
                },
                max_tiles: 12,
            }),
            vision_select_layer: -1,
            clip_resize: ClipResize::default(),
            mm_projector: ProjectorKind::Mlp2xGelu,
            image_encoder: Some(MaskImageEncoderConfig::Sam2(sam.image_encoder)),
            region_encoder: None,
            audio: None,
            llm: LlamaConfig {
                vocab_size: 151_680,
                hidden_size: 896,
                intermediate_size: 4864,
                num_hidden_layers: 24,
                num_attention_heads: 14,
                num_key_value_heads: Some(2),
                max_position_embeddings: 32_768,
                rope_theta: 1_000_000.0,
                qkv_bias: true,
                ..LlamaConfig::default()
            },
            lora: None,
            prompt_encoder: Some(sam.prompt_encoder),
            mask_decoder: Some(MaskDecoderKindConfig::Sam2(sam.mask_decoder)),
            reference_tokens: 1,
            reference_pooling: ReferencePooling::Strips,
            box_coordinates: false,
            refocus_lambda: 0.0,
            object_state: ObjectState::Own,
            max_new_tokens: 512,
            min_mask_score: 0.0,
            candidates: CandidateConfig::default(),
            max_history_turns: None,
            prompts: PromptConfig::sa2va(Template::QwenChat),
        }
    }

    /// Sa2VA-8B: Sa2VA-1B with InternLM2.5-7B in the place of Qwen 2.5 (sizes of InternVL2.5-8B's
    /// `llm_config`, with Sa2VA's five tokens).
    pub fn sa2va_8b() -> Self {
        Self {
            name: "sa2va-8b".into(),
            llm: LlamaConfig {
                vocab_size: 92_558,
                hidden_size: 4096,
                intermediate_size: 14_336,
                num_hidden_layers: 32,
                num_attention_heads: 32,
                num_key_value_heads: Some(8),
                max_position_embeddings: 32_768,
                rms_norm_eps: 1e-5,
                rope_theta: 1_000_000.0,
                rope_scaling: Some(RopeScaling::dynamic(2.0)),
                ..LlamaConfig::default()
            },
            prompts: PromptConfig::sa2va(Template::Internlm2Chat),
            ..Self::sa2va_1b()
        }
    }

    /// GLaMM-7B (Rasheed et al. 2024): LISA's parts with CLIP at 336 pixels, a projector of two
    /// layers and an encoder of regions.
    pub fn glamm_7b() -> Self {
        let lisa = Self::lisa_7b();
        Self {
            name: "glamm-7b".into(),
            vision_tower: ClipVisionConfig {
                image_size: 336,
                ..ClipVisionConfig::vit_large_patch14()
            }
            .into(),
            mm_projector: ProjectorKind::Mlp2xGelu,
            region_encoder: Some(RegionEncoderConfig::default()),
            llm: LlamaConfig {
                vocab_size: 32_007,
                ..lisa.llm.clone()
            },
            prompts: PromptConfig::glamm(),
            ..lisa
        }
    }

    /// Small model with all parts, which this project trains and ships.
    pub fn nano() -> Self {
        let width = 192;
        Self {
            name: "nano".into(),
            vision_tower: ClipVisionConfig {
                hidden_size: width,
                intermediate_size: 4 * width,
                num_hidden_layers: 6,
                num_attention_heads: 4,
                image_size: 192,
                patch_size: 12,
                ..ClipVisionConfig::vit_large_patch14()
            }
            .into(),
            vision_select_layer: -2,
            clip_resize: ClipResize::Squeeze,
            mm_projector: ProjectorKind::Linear,
            image_encoder: Some(
                SamVisionConfig {
                    hidden_size: width,
                    mlp_dim: 4 * width,
                    num_hidden_layers: 6,
                    num_attention_heads: 4,
                    image_size: 256,
                    patch_size: 8,
                    output_channels: 128,
                    window_size: 8,
                    global_attn_indexes: vec![1, 2, 4, 5],
                    ..SamVisionConfig::vit_base()
                }
                .into(),
            ),
            region_encoder: None,
            audio: Some(AudioConfig {
                encoder: ImageBindAudioConfig::new()
                    .with_hidden_size(128)
                    .with_num_hidden_layers(4)
                    .with_num_attention_heads(4)
                    .with_stride(16)
                    .with_output_dim(128),
                preprocessor: AudioPreprocessorConfig::new(),
            }),
            llm: LlamaConfig {
                vocab_size: 1024,
                hidden_size: width,
                intermediate_size: 512,
                num_hidden_layers: 4,
                num_attention_heads: 4,
                num_key_value_heads: Some(4),
                max_position_embeddings: 1024,
                ..LlamaConfig::default()
            },
            lora: None,
            prompt_encoder: Some(PromptEncoderConfig::nano(128, 32).with_input_image_size(256)),
            mask_decoder: Some(
                MaskDecoderConfig::new()
                    .with_transformer_dim(128)
                    .with_num_heads(8)
                    .with_mlp_dim(512)
                    .with_iou_head_hidden_dim(128)
                    .into(),
            ),
            reference_tokens: 4,
            reference_pooling: ReferencePooling::Grid,
            box_coordinates: true,
            refocus_lambda: 0.1,
            object_state: ObjectState::default(),
            max_new_tokens: 48,
            min_mask_score: 0.03,
            candidates: CandidateConfig {
                count: 8,
                estimate_weight: 2.0,
                refusal_estimate: 0.25,
                picture_refusal_estimate: Some(0.03),
                listener_weight: 1.0,
                token_cost: 0.35,
            },
            // The training of nano has no conversations.
            max_history_turns: Some(0),
            prompts: PromptConfig::default(),
        }
    }

    /// Model for tests: every part, as small as possible.
    pub fn tiny() -> Self {
        Self {
            name: "tiny".into(),
            vision_tower: ClipVisionConfig {
                hidden_size: 32,
                intermediate_size: 64,
                num_hidden_layers: 2,
                num_attention_heads: 2,
                image_size: 32,
                patch_size: 8,
                ..ClipVisionConfig::vit_large_patch14()
            }
            .into(),
            image_encoder: Some(
                SamVisionConfig {
                    hidden_size: 32,
                    mlp_dim: 64,
                    num_hidden_layers: 2,
                    num_attention_heads: 2,
                    image_size: 64,
                    patch_size: 16,
                    output_channels: 32,
                    window_size: 3,
                    global_attn_indexes: vec![1],
                    ..SamVisionConfig::vit_base()
                }
                .into(),
            ),
            audio: Some(AudioConfig {
                encoder: ImageBindAudioConfig::tiny(),
                preprocessor: AudioPreprocessorConfig::new(),
            }),
            llm: LlamaConfig {
                hidden_size: 32,
                intermediate_size: 64,
                num_hidden_layers: 2,
                num_attention_heads: 4,
                num_key_value_heads: Some(2),
                vocab_size: 512,
                max_position_embeddings: 512,
                ..LlamaConfig::default()
            },
            prompt_encoder: Some(PromptEncoderConfig::nano(32, 4)),
            mask_decoder: Some(MaskDecoderConfig::nano(32).into()),
            max_new_tokens: 16,
            min_mask_score: 0.0,
            candidates: CandidateConfig::default(),
            max_history_turns: None,
            ..Self::nano()
        }
    }

    /// Preset of this name.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "nano" => Some(Self::nano()),
            "anyref-7b" => Some(Self::anyref_7b()),
            "lisa-7b" => Some(Self::lisa_7b()),
            "lisa-13b" => Some(Self::lisa_13b()),
            "llava-7b" => Some(Self::llava_7b()),
            "sa2va-1b" => Some(Self::sa2va_1b()),
            "sa2va-8b" => Some(Self::sa2va_8b()),
            "glamm-7b" => Some(Self::glamm_7b()),
            "tiny" => Some(Self::tiny()),
            _ => None,
        }
    }
}
