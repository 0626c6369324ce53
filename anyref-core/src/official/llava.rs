//! Names of the parts inside a LLaVA checkpoint, as patterns of its tensors.

/// The picture encoder.
pub(super) const TOWER: &str = r"^(?:model\.)?vision_tower\.";
/// The language model.
pub(super) const LANGUAGE: &str =
    r"^(?:(?:model\.)?language_model\.|model\.(?:layers|embed_tokens|norm)\.|lm_head\.)";
/// LISA's parts that make masks.
pub(super) const MASKS: &str = r"^model\.(?:visual_model|text_hidden_fcs)\.";
/// The projector between the two.
pub(super) const PROJECTOR: &str = r"^(?:model\.)?(?:mm_projector|multi_modal_projector)\.";
