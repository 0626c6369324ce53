//! Known working models, with size, memory and licence.

use serde::Serialize;

use crate::reference_kind::ReferenceKind;

/// Published model, or parts that make one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownModel {
    /// Short name.
    pub name: &'static str,
    /// Argument of `--model`, or of the command that accepts it; empty for the built-in model.
    pub location: &'static str,
    /// Answers that the model gives.
    pub answers: &'static str,
    /// Bytes to download, including parts from other repositories; computed from the sizes of its
    /// parts, not read from the hub.
    pub download: u64,
    /// Memory in bytes on the processor, with weights in the type of their files; computed as in
    /// [`MemoryEstimate`](crate::MemoryEstimate).
    pub memory: u64,
    /// Kinds of references that the model was trained on.
    pub native: &'static [ReferenceKind],
    /// Kinds that are converted to words or to SAM prompts for it.
    pub bridged: &'static [ReferenceKind],
    /// Accepts points.
    pub points: bool,
    /// Makes masks; otherwise the model answers in words alone.
    pub masks: bool,
    /// Licences of the weights and of those that they derive from.
    pub licence: &'static str,
    /// Checks that were made in this repository.
    pub checked: &'static str,
    /// Checks that were not made.
    pub unchecked: &'static str,
}

use ReferenceKind::{Audio, Box, Image, Text};

/// Licence of LISA's weights.
const LISA_LICENCE: &str = "code Apache-2.0; weights derive from LLaMA (LLaMA's own licence, \
    non-commercial in its first version), LLaVA and CLIP";
const LISA_2_LICENCE: &str =
    "code Apache-2.0; weights derive from LLaMA 2 (its community licence), LLaVA and CLIP";
const SAM_LICENCE: &str = "Apache-2.0";
const LLAVA_LICENCE: &str = "weights derive from LLaMA or LLaMA 2 and CLIP: their licences apply";

const SA2VA_LICENCE: &str = "code Apache-2.0; weights derive from InternVL (MIT), Qwen2.5 (Apache-2.0) and SAM 2 \
    (Apache-2.0); see the model's card";
/// Licence of Sa2VA-4B, whose language model has another one.
const SA2VA_4B_LICENCE: &str = "code Apache-2.0; weights derive from InternVL 2.5 (MIT), Qwen2.5-3B (Qwen's research \
    licence, non-commercial) and SAM 2 (Apache-2.0); see the model's card";

/// Licence of Sa2VA-8B, whose language model has another one.
const SA2VA_8B_LICENCE: &str = "code Apache-2.0; weights derive from InternVL 2.5 (MIT), InternLM2.5-7B (free for academic \
    use, commercial use on application) and SAM 2 (Apache-2.0); see the model's card";

const SA2VA_CHECKED: &str = "picture and question to answer, words for a box, and masks on small random weights in the \
    published layout, against transformers' InternVL, Qwen 2 and SAM 2";
const SA2VA_8B_CHECKED: &str = "picture and question to answer, words for a box, and masks on small random weights in the \
    published layout, against transformers' InternVL and SAM 2, and its LLaMA with InternLM 2's rows";
const LISA_CHECKED: &str = "question to logits, answer and masks on small random weights in the published \
    layout, against the published formulas";
const SAM_CHECKED: &str = "image encoder and mask decoder in full size with random weights, against \
    transformers; prompts and automatic masks on small ones, against segment-anything";
const SAM2_CHECKED: &str = "image encoder and mask decoder in full size with random weights; \
    prompts and the choice of the single mask on small ones in both layouts, against transformers";
const GLAMM_CHECKED: &str = "question to logits, answer, phrases and masks, and regions to words, on small weights \
    in the published layout, against the published formulas";
const NOT_DOWNLOADED: &str = "the published weights: they could not be downloaded here";

/// LISA-7B, the base entry of its family.
const LISA_7B: KnownModel = KnownModel {
    name: "LISA-7B",
    location: "hf://xinlai/LISA-7B-v1",
    answers: "words and masks of anything, with reasoning",
    download: 16_500_000_000,
    memory: 17_000_000_000,
    native: &[Text],
    bridged: &[Box, Image, Audio],
    points: true,
    masks: true,
    licence: LISA_LICENCE,
    checked: LISA_CHECKED,
    unchecked: NOT_DOWNLOADED,
};

/// Sa2VA-1B, the base entry of its family.
const SA2VA_1B: KnownModel = KnownModel {
    name: "Sa2VA-1B",
    location: "hf://ByteDance/Sa2VA-1B",
    answers: "words and masks of anything, several in one answer, and words for a box",
    download: 2_330_000_000,
    memory: 3_300_000_000,
    native: &[Text, Box],
    bridged: &[Image, Audio],
    points: true,
    masks: true,
    licence: SA2VA_LICENCE,
    checked: SA2VA_CHECKED,
    unchecked: NOT_DOWNLOADED,
};

/// GLaMM-FullScope, the base entry of its family.
const GLAMM: KnownModel = KnownModel {
    name: "GLaMM-FullScope",
    location: "hf://MBZUAI/GLaMM-FullScope",
    answers: "words and masks of anything, words for boxes, captions with a mask for each phrase",
    download: 17_200_000_000,
    memory: 18_800_000_000,
    native: &[Text, Box],
    bridged: &[Image, Audio],
    points: true,
    masks: true,
    licence: "code Apache-2.0; weights derive from LLaMA (Vicuna), LLaVA, SAM and CLIP: their licences \
        apply",
    checked: GLAMM_CHECKED,
    unchecked: NOT_DOWNLOADED,
};

/// SAM ViT-B, the base entry of its family.
const SAM_BASE: KnownModel = KnownModel {
    name: "SAM ViT-B",
    location: "hf://facebook/sam-vit-base",
    answers: "masks alone",
    download: 375_000_000,
    memory: 600_000_000,
    native: &[Box],
    bridged: &[],
    points: true,
    masks: true,
    licence: SAM_LICENCE,
    checked: SAM_CHECKED,
    unchecked: NOT_DOWNLOADED,
};

/// SAM 2.1 tiny, the base entry of its family.
const SAM2_TINY: KnownModel = KnownModel {
    name: "SAM 2.1 Hiera tiny",
    location: "hf://facebook/sam2.1-hiera-tiny",
    answers: "masks alone",
    download: 156_000_000,
    memory: 695_000_000,
    native: &[Box],
    bridged: &[],
    points: true,
    masks: true,
    licence: SAM_LICENCE,
    checked: SAM2_CHECKED,
    unchecked: NOT_DOWNLOADED,
};

/// LLaVA-Lightning-7B, the base entry of its family.
const LLAVA_LIGHTNING: KnownModel = KnownModel {
    name: "LLaVA-Lightning-7B",
    location: "hf://liuhaotian/LLaVA-Lightning-7B-v1-1",
    answers: "words alone, no masks: chat, and words for a box; with a SAM a language model for \
            `anyref assemble --llm` and for files of parts",
    download: 13_500_000_000,
    memory: 15_200_000_000,
    native: &[Text],
    bridged: &[Box],
    points: false,
    masks: false,
    licence: LLAVA_LICENCE,
    checked: "layout of its authors, in full size with random weights",
    unchecked: NOT_DOWNLOADED,
};

/// All known models, smallest first in each family.
pub const KNOWN_MODELS: &[KnownModel] = &[
    KnownModel {
        name: "nano",
        location: "",
        answers: "words and masks, of the stamps that it was trained on alone",
        download: 0,
        memory: 83_000_000,
        native: &[Text, Box, Image, Audio],
        bridged: &[],
        points: false,
        masks: true,
        licence: "as this project; trained on Tux Paint's stamps (assets/nano/README.md)",
        checked: "accuracy on held-out scenes, every command",
        unchecked: "",
    },
    LISA_7B,
    KnownModel {
        name: "LISA-7B explanatory",
        location: "hf://xinlai/LISA-7B-v1-explanatory",
        answers: "as LISA-7B, and explains why",
        ..LISA_7B
    },
    KnownModel {
        name: "LISA-13B",
        location: "hf://xinlai/LISA-13B-llama2-v1",
        download: 29_100_000_000,
        memory: 30_000_000_000,
        licence: LISA_2_LICENCE,
        checked: "shapes alone",
        ..LISA_7B
    },
    KnownModel {
        name: "LISA-13B explanatory",
        location: "hf://xinlai/LISA-13B-llama2-v1-explanatory",
        answers: "as LISA-13B, and explains why",
        download: 29_100_000_000,
        memory: 30_000_000_000,
        licence: LISA_2_LICENCE,
        checked: "shapes alone",
        ..LISA_7B
    },
    SA2VA_1B,
    KnownModel {
        name: "Sa2VA-InternVL3-2B",
        location: "hf://ByteDance/Sa2VA-InternVL3-2B",
        download: 4_640_000_000,
        memory: 5_600_000_000,
        ..SA2VA_1B
    },
    KnownModel {
        name: "Sa2VA-4B",
        location: "hf://ByteDance/Sa2VA-4B",
        download: 7_880_000_000,
        memory: 8_900_000_000,
        licence: SA2VA_4B_LICENCE,
        ..SA2VA_1B
    },
    KnownModel {
        name: "Sa2VA-8B",
        location: "hf://ByteDance/Sa2VA-8B",
        download: 16_640_000_000,
        memory: 18_600_000_000,
        licence: SA2VA_8B_LICENCE,
        checked: SA2VA_8B_CHECKED,
        ..SA2VA_1B
    },
    KnownModel {
        name: "Sa2VA-InternVL3-8B",
        location: "hf://ByteDance/Sa2VA-InternVL3-8B",
        download: 16_370_000_000,
        memory: 17_700_000_000,
        ..SA2VA_1B
    },
    KnownModel {
        name: "Sa2VA-InternVL3-14B",
        location: "hf://ByteDance/Sa2VA-InternVL3-14B",
        download: 30_740_000_000,
        memory: 33_200_000_000,
        ..SA2VA_1B
    },
    GLAMM,
    KnownModel {
        name: "GLaMM-RefSeg",
        location: "hf://MBZUAI/GLaMM-RefSeg",
        answers: "masks of phrases, which it was tuned on alone",
        ..GLAMM
    },
    KnownModel {
        name: "GLaMM-GCG",
        location: "hf://MBZUAI/GLaMM-GCG",
        answers: "captions with a mask for each phrase, which it was tuned on alone",
        ..GLAMM
    },
    KnownModel {
        name: "GLaMM-RegCap-RefCOCOg",
        location: "hf://MBZUAI/GLaMM-RegCap-RefCOCOg",
        answers: "words for boxes, which it was tuned on alone, as RefCOCOg names things",
        ..GLAMM
    },
    KnownModel {
        name: "GLaMM-RegCap-VG",
        location: "hf://MBZUAI/GLaMM-RegCap-VG",
        answers: "words for boxes, which it was tuned on alone, as Visual Genome describes them",
        ..GLAMM
    },
    SAM_BASE,
    KnownModel {
        name: "SAM ViT-L",
        location: "hf://facebook/sam-vit-large",
        download: 1_250_000_000,
        memory: 1_500_000_000,
        checked: "shapes alone",
        ..SAM_BASE
    },
    KnownModel {
        name: "SAM ViT-H",
        location: "hf://facebook/sam-vit-huge",
        download: 2_560_000_000,
        memory: 2_900_000_000,
        ..SAM_BASE
    },
    SAM2_TINY,
    KnownModel {
        name: "SAM 2.1 Hiera small",
        location: "hf://facebook/sam2.1-hiera-small",
        download: 184_000_000,
        memory: 725_000_000,
        ..SAM2_TINY
    },
    KnownModel {
        name: "SAM 2.1 Hiera base-plus",
        location: "hf://facebook/sam2.1-hiera-base-plus",
        download: 324_000_000,
        memory: 940_000_000,
        ..SAM2_TINY
    },
    KnownModel {
        name: "SAM 2.1 Hiera large",
        location: "hf://facebook/sam2.1-hiera-large",
        download: 898_000_000,
        memory: 1_660_000_000,
        ..SAM2_TINY
    },
    LLAVA_LIGHTNING,
    KnownModel {
        name: "LLaVA-1.5-7B",
        location: "hf://llava-hf/llava-1.5-7b-hf",
        download: 14_100_000_000,
        memory: 15_300_000_000,
        checked: "layout of transformers, on small random weights",
        ..LLAVA_LIGHTNING
    },
    KnownModel {
        name: "parts of AnyRef-7B",
        location: "a file of parts: hf://openai/clip-vit-large-patch14, hf://facebook/sam-vit-huge, \
            imagebind_huge.pth, hf://liuhaotian/LLaVA-Lightning-7B-v1-1",
        answers: "nothing of use until it is trained: nobody published AnyRef's weights",
        download: 22_600_000_000,
        memory: 18_000_000_000,
        native: &[Text, Box, Image, Audio],
        bridged: &[],
        points: false,
        masks: true,
        licence: "those of its parts; ImageBind's is CC-BY-NC 4.0, non-commercial",
        checked: "each part in full size with random weights, and the whole",
        unchecked: "the published parts: they could not be downloaded here",
    },
];

impl KnownModel {
    /// Largest known model of words and masks, other than the built-in one, that fits into `free`
    /// bytes.
    pub fn that_fits(free: u64) -> Option<&'static Self> {
        let models = KNOWN_MODELS.iter().filter(|model| {
            model.on_hub()
                && model.masks
                && model.native.contains(&Text)
                && model.bridged.contains(&Box)
        });
        models
            .filter(|model| model.memory <= free)
            .max_by_key(|model| (model.memory, std::cmp::Reverse(model.name.len())))
    }

    /// Returns whether the model has a location on the hub.
    pub fn on_hub(&self) -> bool {
        self.location.starts_with("hf://")
    }
}
