//! Formats of a LLaMA's weights in blocks: which are, by default and by rules.

use anyref_ops::blocks::BlockType;
use regex::Regex;

use crate::error::{Error, Result};

/// Block format of a weight that holds its rows in whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitting {
    /// Block format, or `None` where the weight stays in floats.
    pub block_type: Option<BlockType>,
    /// Set if another format was requested.
    pub fell_back: bool,
}

impl Fitting {
    /// Chooses the format for rows of `columns` values: the requested one; `Q8_0` in place of
    /// formats whose blocks of 256 do not fit; floats if blocks of 32 do not fit either.
    pub fn new(asked: BlockType, columns: usize) -> Self {
        let fits = |block: &BlockType| columns > 0 && columns.is_multiple_of(block.values());
        let block_type = [asked, BlockType::Q8_0].into_iter().find(fits);
        Self {
            block_type,
            fell_back: block_type != Some(asked),
        }
    }
}

/// Formats of a language model's quantised weights.
///
/// By default the projections of all layers (`q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`,
/// `up_proj`, `down_proj`) get the requested type; embeddings, head, norms, biases and adapters
/// stay in floats. Rules by name take precedence and can also name embeddings and head.
#[derive(Debug, Clone)]
pub struct Quantization {
    default: BlockType,
    rules: Vec<(Regex, Option<BlockType>)>,
}

/// Formats to which weights can be quantised, by their names in options.
const WRITTEN: [(&str, BlockType); 3] = [
    ("q8_0", BlockType::Q8_0),
    ("q4_0", BlockType::Q4_0),
    ("q4_k", BlockType::Q4K),
];

/// Looks up a block format by its name in options: `q8_0`, `q4_0` or `q4_k`.
///
/// # Errors
/// When the format does not exist or is read-only.
pub fn written_block_type(name: &str) -> Result<BlockType, String> {
    let found = WRITTEN
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known));
    found
        .map(|(_, block)| *block)
        .ok_or_else(|| format!("weights cannot be quantised to {name:?}: use q8_0, q4_0 or q4_k"))
}

impl Quantization {
    /// Quantises the projections of all layers.
    pub fn new(block_type: BlockType) -> Self {
        Self {
            default: block_type,
            rules: Vec::new(),
        }
    }

    /// Format of projections that no rule names.
    pub fn block_type(&self) -> BlockType {
        self.default
    }

    /// Adds a rule `PATTERN=TYPE`: a regular expression on names such as
    /// `model.layers.0.mlp.down_proj.base_layer.weight` or `lm_head.weight`, and `q8_0`, `q4_0`,
    /// `q4_k` or `float`. The last matching rule applies.
    ///
    /// # Errors
    /// When the rule has another form.
    pub fn with_rule(mut self, rule: &str) -> Result<Self> {
        let fail = |reason: String| Error::Quantization {
            rule: rule.into(),
            reason,
        };
        let (pattern, format) = rule
            .rsplit_once('=')
            .ok_or_else(|| fail("has no `=`; give PATTERN=TYPE".into()))?;
        let pattern = Regex::new(pattern).map_err(|error| {
            let error = error.to_string();
            let line = error.lines().last().unwrap_or_default();
            fail(format!("is no regular expression ({})", line.trim()))
        })?;
        let format = match format {
            "float" => None,
            name => {
                Some(written_block_type(name).map_err(|error| fail(format!("{error} or float")))?)
            }
        };
        self.rules.push((pattern, format));
        Ok(self)
    }

    /// Form asked for a weight by its name in a [`Llama`](crate::Llama).
    pub fn of(&self, name: &str) -> AskedForm {
        let able = is_projection(name) || name == HEAD || name == TABLE;
        let mut rules = self.rules.iter().rev();
        match rules.find(|(pattern, _)| pattern.is_match(name)) {
            _ if !able => AskedForm::AsStored,
            Some((_, Some(block_type))) => AskedForm::Blocks(*block_type),
            Some((_, None)) => AskedForm::Floats,
            None if is_projection(name) => AskedForm::Blocks(self.default),
            None => AskedForm::AsStored,
        }
    }
}

/// Form requested for a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedForm {
    /// Form of the file.
    AsStored,
    /// Floats, also for a weight that the file stores in blocks.
    Floats,
    /// Blocks of this format, where they hold the rows whole.
    Blocks(BlockType),
}

pub(super) const TABLE: &str = "model.embed_tokens.weight";
pub(super) const HEAD: &str = "lm_head.weight";

fn is_projection(name: &str) -> bool {
    name.starts_with("model.layers.") && name.ends_with(".base_layer.weight")
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn formats_fall_back_by_the_length_of_rows() {
        let of = |asked, columns| {
            let fitting = Fitting::new(asked, columns);
            (fitting.block_type, fitting.fell_back)
        };
        assert_eq!(of(BlockType::Q4K, 512), (Some(BlockType::Q4K), false));
        assert_eq!(of(BlockType::Q4K, 192), (Some(BlockType::Q8_0), true));
        assert_eq!(of(BlockType::Q4_0, 192), (Some(BlockType::Q4_0), false));
        assert_eq!(of(BlockType::Q8_0, 20), (None, true));
    }

    #[test]
    fn rules_come_before_the_table_of_defaults() {
        let projection = "model.layers.3.mlp.down_proj.base_layer.weight";
        let plain = Quantization::new(BlockType::Q4_0);
        assert_eq!(plain.of(projection), AskedForm::Blocks(BlockType::Q4_0));
        for name in [
            HEAD,
            TABLE,
            "model.norm.weight",
            "model.layers.3.mlp.down_proj.lora_a.weight",
            "model.layers.3.mlp.down_proj.base_layer.bias",
        ] {
            assert_eq!(plain.of(name), AskedForm::AsStored, "{name}");
        }
        let ruled = plain.with_rule("down_proj=float").unwrap();
        let ruled = ruled.with_rule("^lm_head=q8_0").unwrap();
        let ruled = ruled.with_rule("layers.3.=q4_k").unwrap();
        assert_eq!(ruled.of(projection), AskedForm::Blocks(BlockType::Q4K));
        assert_eq!(ruled.of(&projection.replace('3', "2")), AskedForm::Floats);
        assert_eq!(ruled.of(HEAD), AskedForm::Blocks(BlockType::Q8_0));
        assert_eq!(ruled.of("model.norm.weight"), AskedForm::AsStored);
        for bad in ["lm_head", "(=q8_0", "lm_head=q6_k", "lm_head=q9"] {
            let error = Quantization::new(BlockType::Q8_0)
                .with_rule(bad)
                .unwrap_err();
            let line = error.to_string();
            assert!(line.contains(bad) && !line.contains('\n'), "{line}");
        }
    }
}
