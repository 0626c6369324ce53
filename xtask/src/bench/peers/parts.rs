//! Parts that are measured, and the programs that they are compared with.

/// Candle's name among the programs.
pub(super) const CANDLE: &str = "candle";
/// Names of the other programs.
pub(super) const PROGRAMS: [&str; 4] = ["torch", "onnxruntime", "openvino", CANDLE];
/// Programs that are measured unless others are asked for: candle has to be compiled.
pub(super) const DEFAULT_PROGRAMS: [&str; 3] = ["torch", "onnxruntime", "openvino"];

/// Part of a model.
pub(super) struct Part {
    /// Name in options, for `peer_encoders.py` and for `candle_bench`.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Name for `parts_bench`.
    pub(super) ours: &'static str,
    pub(super) sam: &'static str,
    /// Whether its matrices can be in blocks.
    pub(super) in_blocks: bool,
    /// Whether candle has it.
    pub(super) in_candle: bool,
}

/// All parts.
pub(super) const PARTS: [Part; 6] = [
    Part {
        name: "clip",
        title: "CLIP ViT-L/14 and a projector, 224 px",
        ours: "clip",
        sam: "vit-b",
        in_blocks: true,
        in_candle: true,
    },
    Part {
        name: "sam-b",
        title: "SAM ViT-B, 1024 px",
        ours: "sam",
        sam: "vit-b",
        in_blocks: true,
        in_candle: true,
    },
    Part {
        name: "sam-h",
        title: "SAM ViT-H, 1024 px",
        ours: "sam",
        sam: "vit-h",
        in_blocks: true,
        in_candle: true,
    },
    Part {
        name: "prompt-mask",
        title: "SAM's mask decoder, one prompt",
        ours: "prompt-mask",
        sam: "vit-b",
        in_blocks: false,
        in_candle: false,
    },
    Part {
        name: "prompt-masks",
        title: "SAM's mask decoder, 64 prompts",
        ours: "prompt-masks",
        sam: "vit-b",
        in_blocks: false,
        in_candle: false,
    },
    Part {
        name: "imagebind",
        title: "ImageBind's audio encoder, one sound",
        ours: "imagebind",
        sam: "vit-b",
        in_blocks: true,
        in_candle: false,
    },
];
