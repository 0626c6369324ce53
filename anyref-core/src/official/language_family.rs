//! Families of language models inside a Sa2VA, and the layouts of their tensors.

use anyref_llm::import::{INTERN_LM2, LLAMA};
use anyref_weights::Rename;

use super::config_file::Section;
use crate::Result;

/// Family of a Sa2VA's language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LanguageFamily {
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3.
    Qwen3,
    /// InternLM 2 and 2.5, whose queries, keys and values are in one matrix.
    InternLm2,
}

impl LanguageFamily {
    const ALL: [Self; 3] = [Self::Qwen2, Self::Qwen3, Self::InternLm2];

    /// Class in `architectures`, and `model_type`.
    fn names(self) -> [&'static str; 2] {
        match self {
            Self::Qwen2 => ["Qwen2ForCausalLM", "qwen2"],
            Self::Qwen3 => ["Qwen3ForCausalLM", "qwen3"],
            Self::InternLm2 => ["InternLM2ForCausalLM", "internlm2"],
        }
    }

    /// Family of an `llm_config`: by its class, as Sa2VA's code tells it, or else by its type.
    ///
    /// # Errors
    /// When it is another one, or class and type disagree.
    pub(super) fn of(section: &Section<'_>) -> Result<Self> {
        let class = section.json()["architectures"][0].as_str();
        let model_type = section.text("model_type");
        let named = |index: usize, name: &str| {
            let mut all = Self::ALL.into_iter();
            all.find(|family| family.names()[index] == name)
        };
        let found = match (class, model_type) {
            (Some(class), _) => named(0, class),
            (None, Some(model_type)) => named(1, model_type),
            // As it was before there were others.
            (None, None) => Some(Self::Qwen2),
        };
        let Some(family) = found else {
            let found = class.or(model_type).unwrap_or_default();
            let known = Self::ALL.map(|family| family.names()[0]).join(", ");
            let problem = format!("is {found}, which is not supported; supported: {known}");
            return Err(section.fail("architectures", &problem));
        };
        let [class, usual] = family.names();
        match model_type {
            Some(other) if other != usual => {
                let problem = format!(
                    "is {class}, and the model_type {other}; take the config.json that came with the weights"
                );
                Err(section.fail("architectures", &problem))
            }
            _ => Ok(family),
        }
    }

    /// `model_type` of its configs.
    pub(super) fn model_type(self) -> &'static str {
        self.names()[1]
    }

    /// Rename rules from the family's names to parameter names.
    pub(super) fn renames(self) -> &'static [Rename] {
        match self {
            Self::Qwen2 | Self::Qwen3 => LLAMA,
            Self::InternLm2 => INTERN_LM2,
        }
    }

    /// Returns whether the family's own tokenizer begins texts with a token.
    pub(super) fn begins_texts(self) -> bool {
        self == Self::InternLm2
    }
}
