//! Tokens around references in a question.

/// Around a sound.
pub(crate) const AUDIO: [&str; 2] = ["<aud_ref>", "</aud_ref>"];
/// Around a reference picture or a box, as AnyRef has them.
pub(crate) const REFERENCE: [&str; 2] = ["<img_ref>", "</img_ref>"];
/// Around the tokens of a region, as Sa2VA has them.
pub(crate) const VISUAL_PROMPT: [&str; 2] = ["<vp>", "</vp>"];
