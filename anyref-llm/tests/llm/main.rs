//! Behaviour of the crate, compared with transformers, peft and its own invariants.
#![recursion_limit = "256"]

mod beam;
mod cache;
mod cache_types;
mod chat_template;
mod clip_tokenizer;
mod conversation;
mod damaged_tokenizer;
mod generation;
mod gguf;
mod intern_lm2;
mod lora;
mod parity;
mod peft;
mod qwen2;
mod qwen3;
mod sentencepiece;
mod support;
mod tokenizer;
