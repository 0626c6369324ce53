//! Kind of a checkpoint, detected from the names of its tensors.

use std::fmt;

use anyref_weights::Checkpoint;

/// Kinds of checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Model folder of this project.
    AnyRef,
    /// PEFT adapter.
    Adapter,
    /// transformers' `LlavaForConditionalGeneration`.
    LlavaHuggingFace,
    /// LLaVA in its authors' layout.
    LlavaAuthors,
    /// LISA in its authors' layout: a LLaVA without its picture encoder, an object head and SAM.
    Lisa,
    /// GLaMM in its authors' layout: as LISA, with an encoder of regions.
    Glamm,
    /// Sa2VA in its authors' layout, over InternVL: InternViT, a language model and SAM 2.
    Sa2va,
    /// transformers' `LlamaForCausalLM`.
    Llama,
    /// transformers' `CLIPModel` or `CLIPVisionModel`.
    Clip,
    /// segment-anything's `.pth`.
    SamAuthors,
    /// transformers' `SamModel`.
    SamHuggingFace,
    /// SAM 2's `.pt`.
    Sam2Authors,
    /// transformers' `Sam2Model` or `Sam2VideoModel`.
    Sam2HuggingFace,
    /// `imagebind_huge.pth`.
    ImageBind,
}

/// A tensor that only one kind has. More specific kinds first.
const SIGNS: &[(&str, Kind)] = &[
    ("llm.model.embed_tokens.weight", Kind::AnyRef),
    (
        "multi_modal_projector.linear_1.weight",
        Kind::LlavaHuggingFace,
    ),
    (
        "model.multi_modal_projector.linear_1.weight",
        Kind::LlavaHuggingFace,
    ),
    (
        "model.visual_model.mask_decoder.iou_token.weight",
        Kind::Lisa,
    ),
    (
        "model.grounding_encoder.mask_decoder.iou_token.weight",
        Kind::Glamm,
    ),
    (
        "grounding_encoder.sam2_model.sam_mask_decoder.iou_token.weight",
        Kind::Sa2va,
    ),
    ("model.mm_projector.weight", Kind::LlavaAuthors),
    ("model.mm_projector.0.weight", Kind::LlavaAuthors),
    ("model.embed_tokens.weight", Kind::Llama),
    ("language_model.model.embed_tokens.weight", Kind::Llama),
    ("model.language_model.embed_tokens.weight", Kind::Llama),
    ("vision_model.embeddings.class_embedding", Kind::Clip),
    ("embeddings.class_embedding", Kind::Clip),
    ("image_encoder.patch_embed.proj.weight", Kind::SamAuthors),
    (
        "vision_encoder.patch_embed.projection.weight",
        Kind::SamHuggingFace,
    ),
    (
        "model.image_encoder.trunk.patch_embed.proj.weight",
        Kind::Sam2Authors,
    ),
    (
        "image_encoder.trunk.patch_embed.proj.weight",
        Kind::Sam2Authors,
    ),
    (
        "vision_encoder.backbone.patch_embed.projection.weight",
        Kind::Sam2HuggingFace,
    ),
    ("modality_preprocessors.audio.cls_token", Kind::ImageBind),
    (
        "modality_trunks.audio.blocks.0.attn.in_proj_weight",
        Kind::ImageBind,
    ),
    ("modality_heads.audio.2.weight", Kind::ImageBind),
];

impl Kind {
    /// Kind of a checkpoint, or `None` if it is unknown.
    pub fn of(checkpoint: &Checkpoint) -> Option<Self> {
        let has = |name: &str| checkpoint.get(name).is_some();
        if has(SIGNS[0].0) {
            return Some(Self::AnyRef);
        }
        if checkpoint
            .tensors()
            .any(|tensor| tensor.name.contains(".lora_A."))
        {
            return Some(Self::Adapter);
        }
        let sign = SIGNS.iter().find(|(name, _)| has(name));
        sign.map(|&(_, kind)| kind)
    }

    /// Returns whether the checkpoint has a language model.
    pub fn has_language(self) -> bool {
        matches!(
            self,
            Self::Llama | Self::LlavaHuggingFace | Self::LlavaAuthors | Self::Lisa | Self::Glamm
        )
    }

    /// Returns whether the checkpoint is a LLaVA, in any layout.
    pub fn is_llava(self) -> bool {
        matches!(self, Self::LlavaHuggingFace | Self::LlavaAuthors)
    }

    /// Returns whether the checkpoint is a model that answers, except for a CLIP that some leave to
    /// another repository.
    pub fn is_whole(self) -> bool {
        self.has_projector() || self == Self::Sa2va
    }

    /// Returns whether the checkpoint has a projector from CLIP's features to a language model.
    pub fn has_projector(self) -> bool {
        self.is_llava() || self.has_object_head()
    }

    /// Returns whether the checkpoint has a head from states of a language model to prompts of SAM.
    pub fn has_object_head(self) -> bool {
        matches!(self, Self::Lisa | Self::Glamm)
    }

    /// Returns whether the checkpoint has a SAM, in any layout, alone or among other parts.
    pub fn has_sam(self) -> bool {
        matches!(self, Self::SamAuthors | Self::SamHuggingFace) || self.has_object_head()
    }

    /// Returns whether the checkpoint is a SAM 2, in any layout.
    pub fn is_sam2(self) -> bool {
        matches!(self, Self::Sam2Authors | Self::Sam2HuggingFace)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnyRef => "an AnyRef model",
            Self::Adapter => "a PEFT adapter",
            Self::LlavaHuggingFace => "LLaVA (transformers)",
            Self::LlavaAuthors => "LLaVA (authors')",
            Self::Lisa => "LISA (authors')",
            Self::Glamm => "GLaMM (authors')",
            Self::Sa2va => "Sa2VA (authors')",
            Self::Llama => "LLaMA (transformers)",
            Self::Clip => "CLIP (transformers)",
            Self::SamAuthors => "SAM (authors')",
            Self::SamHuggingFace => "SAM (transformers)",
            Self::Sam2Authors => "SAM 2 (authors')",
            Self::Sam2HuggingFace => "SAM 2 (transformers)",
            Self::ImageBind => "ImageBind (authors')",
        })
    }
}
