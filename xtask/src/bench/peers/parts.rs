//! Parts that are measured, and the programs that they are compared with.

/// Names of the other programs.
pub(super) const PROGRAMS: [&str; 3] = ["torch", "onnxruntime", "openvino"];

/// Part of a model.
pub(super) struct Part {
    /// Name in options and for `peer_encoders.py`.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Name for `parts_bench`.
    pub(super) ours: &'static str,
    pub(super) sam: &'static str,
    /// Whether its matrices can be in blocks.
    pub(super) in_blocks: bool,
}

/// All parts.
pub(super) const PARTS: [Part; 6] = [
    Part {
        name: "clip",
        title: "CLIP ViT-L/14 and a projector, 224 px",
        ours: "clip",
        sam: "vit-b",
        in_blocks: true,
    },
    Part {
        name: "sam-b",
        title: "SAM ViT-B, 1024 px",
        ours: "sam",
        sam: "vit-b",
        in_blocks: true,
    },
    Part {
        name: "sam-h",
        title: "SAM ViT-H, 1024 px",
        ours: "sam",
        sam: "vit-h",
        in_blocks: true,
    },
    Part {
        name: "prompt-mask",
        title: "SAM's mask decoder, one prompt",
        ours: "prompt-mask",
        sam: "vit-b",
        in_blocks: false,
    },
    Part {
        name: "prompt-masks",
        title: "SAM's mask decoder, 64 prompts",
        ours: "prompt-masks",
        sam: "vit-b",
        in_blocks: false,
    },
    Part {
        name: "imagebind",
        title: "ImageBind's audio encoder, one sound",
        ours: "imagebind",
        sam: "vit-b",
        in_blocks: true,
    },
];
