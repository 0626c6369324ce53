//! Tokens around references in a question, and around phrases in an answer.

/// Tokens around a sound.
pub(crate) const AUDIO: [&str; 2] = ["<aud_ref>", "</aud_ref>"];
/// Tokens around a reference picture or a box in AnyRef.
pub(crate) const REFERENCE: [&str; 2] = ["<img_ref>", "</img_ref>"];
/// Tokens around the tokens of a region in Sa2VA.
pub(crate) const VISUAL_PROMPT: [&str; 2] = ["<vp>", "</vp>"];
/// Token that the feature of a box replaces in GLaMM.
pub(crate) const BBOX: [&str; 1] = ["<bbox>"];
/// Tokens around words that a mask stands for in GLaMM.
pub(crate) const PHRASE: [&str; 2] = ["<p>", "</p>"];
