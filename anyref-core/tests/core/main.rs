//! Composed model through its public API, on seeded weights.

#![recursion_limit = "256"]

mod answers;
mod assemble;
mod automatic_masks;
mod batch;
mod bridge;
mod candidates;
mod chat;
mod common;
mod early_masks;
mod engine;
mod errors;
mod explain;
mod folder;
mod glamm;
mod lambda;
mod lisa;
mod lisa_bf16;
mod lisa_folders;
mod llava;
mod official;
mod parts;
mod parts_file;
mod precision;
mod quantization;
mod sa2va;
mod sa2va_intern_lm2;
mod sa2va_whole;
mod sam2_alone;
mod sam_alone;
mod sequence;
mod sound_labels;
mod splicing;
