//! Object head of LISA and GLaMM, which turns states of the mask token into prompts of SAM's.

use anyref_decoder::ObjectHeadConfig;
use anyref_weights::{LoadOptions, Rename};

use super::published::Published;
use super::shapes::Shapes;
use crate::Result;

/// Names of the only head of their list of heads, by this workspace's.
const OBJECT_HEAD: &[Rename] = &[(r"^0\.0\.", "fc1."), (r"^0\.2\.", "fc2.")];

/// Options of loading the object head of a LISA or GLaMM.
pub fn object_head_options() -> LoadOptions {
    LoadOptions::default()
        .with_prefix("model.text_hidden_fcs.")
        .with_renames(OBJECT_HEAD)
}

/// Widths of the head as the weights show them.
///
/// # Errors
/// When the weights have no such head.
pub fn object_head_config(published: &Published) -> Result<ObjectHeadConfig> {
    let shapes = Shapes::new(&published.checkpoint, &object_head_options())?;
    let [output, input] = shapes.get("fc2.weight")?;
    Ok(ObjectHeadConfig::new(input, output))
}
