//! Configuration of an ablation, as JSON.

use std::collections::BTreeSet;

use anyref_weights::local_path;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{AblationError, Result};
use crate::config::TrainConfig;
use anyref_eval::EvalKind;

/// Variants of a training run, each with several seeds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationConfig {
    /// Name of the ablation; its folder is `runs/NAME` by default.
    pub name: String,
    /// Training configuration that all variants change, or the path of its file.
    pub base: Value,
    /// Variants; all others are compared with the first.
    pub variants: Vec<Variant>,
    /// Seeds of weights and training scenes; every variant is trained once with each.
    pub seeds: Vec<u64>,
    /// Questions to the trained models.
    pub evaluation: Evaluation,
}

/// Change of the base configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Name of the variant, which is also the name of a folder.
    pub name: String,
    /// Title in the table; by default the name.
    #[serde(default)]
    pub title: Option<String>,
    /// Change as a JSON merge patch (RFC 7396) on the base with all its defaults written out.
    #[serde(default = "nothing")]
    pub changes: Value,
    /// Kinds of questions, a subset of the evaluation's; by default all of them.
    #[serde(default)]
    pub kinds: Option<Vec<EvalKind>>,
}

/// Questions about test scenes, as `anyref eval stamps` asks them. The scenes are those of the base
/// configuration, whatever a variant changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Kinds of questions.
    pub kinds: Vec<EvalKind>,
    /// Number of scenes a kind.
    pub scenes: usize,
}

impl Variant {
    /// Title in the table.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}

impl AblationConfig {
    /// Training configuration that all variants change.
    ///
    /// # Errors
    /// When its file cannot be read, or it is no training configuration.
    pub fn base(&self) -> Result<TrainConfig> {
        let (value, named) = match &self.base {
            Value::String(path) => {
                let text = std::fs::read_to_string(local_path(path.as_ref())?);
                let text = text.map_err(|source| AblationError::ReadBase {
                    path: path.clone(),
                    source,
                })?;
                let value = serde_json::from_str(&text);
                let value = value.map_err(|source| AblationError::BaseJson {
                    path: path.clone(),
                    source,
                })?;
                (value, path.as_str())
            }
            config => (config.clone(), "`base`"),
        };
        serde_json::from_value(value).map_err(|source| AblationError::Base {
            named: named.to_owned(),
            source,
        })
    }

    /// Training configuration of a variant with a seed.
    ///
    /// # Errors
    /// When the base or the changed configuration is no training configuration.
    pub fn training(&self, variant: &Variant, seed: u64) -> Result<TrainConfig> {
        let mut config = serde_json::to_value(self.base()?)?;
        json_patch::merge(&mut config, &variant.changes);
        let changed = serde_json::from_value(config);
        let mut config: TrainConfig = changed.map_err(|source| AblationError::Changes {
            name: variant.name.clone(),
            source,
        })?;
        config.name = format!("{}-{}-{seed}", self.name, variant.name);
        config.seed = seed;
        config.scenes.seed = seed;
        Ok(config)
    }

    /// Kinds of questions that a variant is asked.
    pub fn kinds(&self, variant: &Variant) -> Vec<EvalKind> {
        let asked = |kind: &EvalKind| variant.kinds.as_ref().is_none_or(|own| own.contains(kind));
        self.evaluation
            .kinds
            .iter()
            .copied()
            .filter(asked)
            .collect()
    }

    /// Checks everything that would otherwise fail after hours.
    ///
    /// # Errors
    /// When a list is empty or has duplicates, a name is no folder name, or a variant is no valid
    /// run.
    pub fn check(&self) -> Result<()> {
        let ensure = |holds: bool, otherwise: AblationError| match holds {
            true => Ok(()),
            false => Err(otherwise),
        };
        ensure(!self.variants.is_empty(), AblationError::NoVariants)?;
        ensure(!self.seeds.is_empty(), AblationError::NoSeeds)?;
        let seeds: BTreeSet<_> = self.seeds.iter().collect();
        ensure(seeds.len() == self.seeds.len(), AblationError::SameSeed)?;
        ensure(self.evaluation.scenes > 0, AblationError::NoEvaluation)?;
        let mut names = BTreeSet::new();
        for variant in &self.variants {
            let name = || variant.name.clone();
            let fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let begins = variant
                .name
                .starts_with(|c: char| c.is_ascii_alphanumeric());
            ensure(
                begins && variant.name.chars().all(fit),
                AblationError::VariantName { name: name() },
            )?;
            ensure(
                names.insert(&variant.name),
                AblationError::SameVariant { name: name() },
            )?;
            ensure(
                !self.kinds(variant).is_empty(),
                AblationError::NothingAsked { name: name() },
            )?;
            let training = self.training(variant, self.seeds[0])?;
            training.check().map_err(|error| AblationError::Variant {
                name: name(),
                source: Box::new(error),
            })?;
        }
        Ok(())
    }
}

fn nothing() -> Value {
    Value::Object(Default::default())
}
