//! Names of Hugging Face checkpoints as names of [`Llama`](crate::Llama)'s parameters.
//!
//! The modules are named as transformers' `LlamaForCausalLM` names them; only the projections, which
//! may carry an adapter, have one level more, `base_layer`, as they have in PEFT.

use anyref_weights::Rename;

/// Regular expressions and replacements that turn the names of a `LlamaForCausalLM` checkpoint (or of
/// the language model inside a LLaVA checkpoint of the original format) into parameter names, to be
/// applied in order.
pub const LLAMA: &[Rename] = &[
    // Models with pictures put the language model one level down, without its head in the latest.
    (r"^language_model\.", ""),
    (r"^model\.language_model\.", "model."),
    (
        r"^(model\.layers\.\d+\.(?:self_attn\.[qkvo]|mlp\.(?:gate|up|down))_proj)\.(weight|bias)$",
        "${1}.base_layer.${2}",
    ),
];

/// Regular expressions of names in such checkpoints that no parameter stands for: rotary frequencies,
/// which are computed.
pub const LLAMA_UNUSED: &[&str] = &[r"\.rotary_emb\.inv_freq$"];

/// The name of the output head, which a checkpoint may hold even when it is tied to the embeddings.
pub const LM_HEAD: &str = r"^lm_head\.weight$";

/// Regular expressions and replacements that turn the names of a PEFT adapter (`adapter_model.*`) on
/// such a model into parameter names, to be applied in order.
pub const PEFT: &[Rename] = &[
    (r"^base_model\.model\.", ""),
    (r"^language_model\.", ""),
    (r"^model\.language_model\.", "model."),
    // A whole copy, as it stands in the model that trains it.
    (r"\.modules_to_save(?:\.default)?\.", "."),
    (r"\.lora_A(?:\.default)?\.weight$", ".lora_a.weight"),
    (r"\.lora_B(?:\.default)?\.weight$", ".lora_b.weight"),
];

/// Regular expressions of names in PEFT adapters that no parameter stands for: the frozen original beside
/// a whole copy.
pub const PEFT_UNUSED: &[&str] = &[r"\.original_module\."];
