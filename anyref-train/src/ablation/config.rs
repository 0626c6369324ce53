//! Configuration of an ablation, as JSON.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use anyref_weights::local_path;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
                let text = std::fs::read_to_string(local_path(path.as_ref())?)
                    .with_context(|| format!("`base`: cannot read {path}"))?;
                let value = serde_json::from_str(&text)
                    .with_context(|| format!("`base`: {path} is no JSON"))?;
                (value, path.as_str())
            }
            config => (config.clone(), "`base`"),
        };
        serde_json::from_value(value)
            .with_context(|| format!("{named} is no training configuration"))
    }

    /// Training configuration of a variant with a seed.
    ///
    /// # Errors
    /// When the base or the changed configuration is no training configuration.
    pub fn training(&self, variant: &Variant, seed: u64) -> Result<TrainConfig> {
        let mut config = serde_json::to_value(self.base()?)?;
        json_patch::merge(&mut config, &variant.changes);
        let mut config: TrainConfig = serde_json::from_value(config).with_context(|| {
            format!(
                "variant {:?} is no training configuration: check its `changes`",
                variant.name
            )
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
        ensure!(!self.variants.is_empty(), "the ablation has no `variants`");
        ensure!(!self.seeds.is_empty(), "the ablation has no `seeds`");
        ensure!(
            self.seeds.iter().collect::<BTreeSet<_>>().len() == self.seeds.len(),
            "a seed is listed twice in `seeds`"
        );
        ensure!(self.evaluation.scenes > 0, "`evaluation.scenes` is 0");
        let mut names = BTreeSet::new();
        for variant in &self.variants {
            let name = &variant.name;
            let fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            ensure!(
                name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fit),
                "variant {name:?} cannot name a folder: use letters, digits, '-', '_' and '.'"
            );
            ensure!(names.insert(name), "there are two variants {name:?}");
            ensure!(
                !self.kinds(variant).is_empty(),
                "variant {name:?} is asked nothing: its `kinds` are none of the evaluation's"
            );
            self.training(variant, self.seeds[0])?
                .check()
                .with_context(|| format!("variant {name:?}"))?;
        }
        Ok(())
    }
}

fn nothing() -> Value {
    Value::Object(Default::default())
}
