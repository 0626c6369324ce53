//! Rename rules from Hugging Face checkpoints to the parameters of [`Llama`](crate::Llama).
//!
//! The modules are named as in transformers' `LlamaForCausalLM`; only the projections, which may
//! carry an adapter, have the additional level `base_layer`, as in PEFT.

use anyref_weights::Rename;

/// Rename rules, to be applied in order, from a `LlamaForCausalLM` checkpoint (or the language
/// model in a LLaVA checkpoint of the original format) to parameter names.
pub const LLAMA: &[Rename] = &[
    // Models with pictures nest the language model one level down; the latest ones without its
    // head.
    (r"^language_model\.", ""),
    (r"^model\.language_model\.", "model."),
    (
        r"^(model\.layers\.\d+\.(?:self_attn\.[qkvo]|mlp\.(?:gate|up|down))_proj)\.(weight|bias)$",
        "${1}.base_layer.${2}",
    ),
];

/// Rename rules, to be applied in order, from an `InternLM2ForCausalLM` (or the language model in
/// an InternVL over it) to parameter names, for a checkpoint with queries, keys and values
/// [apart](crate::intern_lm2_checkpoint).
pub const INTERN_LM2: &[Rename] = &[
    (r"^language_model\.", ""),
    (r"^model\.tok_embeddings\.", "model.embed_tokens."),
    (r"^output\.", "lm_head."),
    (
        r"\.attention\.w([qkvo])\.",
        ".self_attn.${1}_proj.base_layer.",
    ),
    (r"\.feed_forward\.w1\.", ".mlp.gate_proj.base_layer."),
    (r"\.feed_forward\.w3\.", ".mlp.up_proj.base_layer."),
    (r"\.feed_forward\.w2\.", ".mlp.down_proj.base_layer."),
    (r"\.attention_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
];

/// Patterns of tensors in such checkpoints without a parameter: rotary frequencies, which are
/// computed.
pub const LLAMA_UNUSED: &[&str] = &[r"\.rotary_emb\.inv_freq$"];

/// Name of the output head, by the rules above, which a checkpoint may contain even if it is tied
/// to the embeddings.
pub const LM_HEAD: &str = r"^lm_head\.weight$";

/// Rename rules, to be applied in order, from a PEFT adapter (`adapter_model.*`) on such a model to
/// parameter names.
pub const PEFT: &[Rename] = &[
    (r"^base_model\.model\.", ""),
    (r"^language_model\.", ""),
    (r"^model\.language_model\.", "model."),
    // A module saved whole, named as in the model that trains it.
    (r"\.modules_to_save(?:\.default)?\.", "."),
    (r"\.lora_A(?:\.default)?\.weight$", ".lora_a.weight"),
    (r"\.lora_B(?:\.default)?\.weight$", ".lora_b.weight"),
];

/// Patterns of tensors in PEFT adapters without a parameter: the frozen original beside a module
/// saved whole.
pub const PEFT_UNUSED: &[&str] = &[r"\.original_module\."];
