//! LLaMA with LoRA, KV cache, generation, tokenizer and conversation template, on any burn backend.
