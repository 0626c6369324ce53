//! Names for sounds: ImageBind's audio embedding compared with its own text tower, over a
//! vocabulary of labels.
//!
//! ```text
//! labels ─prompt─▶ "A dog." ─ClipTokenizer─▶ ids ─ImageBindText─▶ [labels, 1024], once
//! sound ─AudioPreprocessor─▶ [3, 1, 128, 204] ─ImageBindAudio, mean of clips─▶ [1024]
//!   ─product─▶ logits ─softmax over the labels─▶ SoundRanking
//! ```
//!
//! Bridges a sound to a model that was trained on words alone, which is asked for the likeliest
//! labels.
//!
//! # Meaning of the numbers
//! [`SoundLabel::probability`] is the softmax of the published logits, which are 20 times the
//! learned scale of texts (100 at most) times the cosine. It sums to 1 over the vocabulary, so it
//! compares a label with the others and does not tell whether the sound is of that kind: a sound
//! outside the vocabulary still has likeliest labels, of several simultaneous sounds one may take
//! nearly all of the probability, and additional labels change it. The scale makes it sharp: a
//! label with a cosine larger by 0.01 is up to e²⁰ times likelier at a scale of 100.
//! [`SoundLabel::similarity`] is the cosine alone, which is independent of other labels. Neither is
//! calibrated.
//!
//! # Licences
//! ImageBind's weights may not be used commercially ([`IMAGEBIND_LICENCE`]). The labels of
//! [`SoundVocabulary::audioset`] are the display names of AudioSet's 527 classes in the order of
//! its `class_labels_indices.csv`, © Google, CC BY 4.0; they are taken from AudioSet's ontology,
//! which is under CC BY-SA 4.0.

mod cache;
mod embeddings;
mod labeller;
mod prompts;
mod ranking;
mod vocabulary;

pub use labeller::{SoundLabeller, SoundLabellerFiles, SoundLabellerOptions};
pub use ranking::{SoundLabel, SoundRanking};
pub use vocabulary::SoundVocabulary;

/// Template of the texts that labels are compared as, with `{}` for the label, from the authors'
/// example "A dog.".
pub const SOUND_PROMPT: &str = "A {}.";

/// Default minimum [`SoundLabel::probability`] of a label that is asked for.
pub const SOUND_THRESHOLD: f32 = 0.1;

/// Uses permitted by the licence of ImageBind's weights.
pub const IMAGEBIND_LICENCE: &str = "ImageBind's weights are for non-commercial use only (its README says CC BY-NC 4.0, its LICENSE \
     file CC BY-NC-SA 4.0)";
