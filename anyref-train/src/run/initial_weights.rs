//! Initial weights of a run, and which of them no stage trains.

use std::collections::BTreeSet;
use std::path::Path;

use anyref_weights::{local_path, parameters};
use burn::tensor::backend::AutodiffBackend;
use regex::Regex;

use super::checkpoint;
use super::error::Result;
use super::frozen_blocks::quantization;
use crate::config::{StageConfig, TrainConfig};
use crate::trainee::Trainee;

/// Names of the parameters that a run takes from `start` and `initial`.
#[derive(Debug, Clone, Default)]
pub(super) struct InitialParameters {
    names: BTreeSet<String>,
}

impl InitialParameters {
    /// Reads the weights that the configuration names.
    pub(super) fn load<B: AutodiffBackend>(
        config: &TrainConfig,
        mut trainee: Trainee<B>,
    ) -> Result<(Trainee<B>, Self)> {
        let mut names = BTreeSet::new();
        let mut read;
        if let Some(start) = &config.start {
            let rules = quantization(config);
            let start = local_path(start)?;
            (trainee, read) = checkpoint::load_start(&start, rules.as_ref(), trainee)?;
            names.extend(read);
        }
        for initial in &config.initial {
            let from = local_path(&initial.from)?;
            (trainee, read) = checkpoint::load_parts(&from, &initial.parts, trainee)?;
            names.extend(read);
        }
        Ok((trainee, Self { names }))
    }

    /// Reads a checkpoint, and first the weights that it leaves out.
    pub(super) fn restore<B: AutodiffBackend>(
        config: &TrainConfig,
        path: &Path,
        trainee: Trainee<B>,
    ) -> Result<(Trainee<B>, Self)> {
        let lacks = checkpoint::missing(path, &trainee)?;
        let (trainee, mut initial) = match lacks.is_empty() {
            true => (trainee, Self::default()),
            false => Self::load(config, trainee)?,
        };
        // Weights in the checkpoint were trained, whatever is trained from now on.
        initial.names.retain(|name| lacks.contains(name));
        let trainee = checkpoint::load_weights(path, trainee, &initial.names)?;
        Ok((trainee, initial))
    }

    /// Names of initial parameters that none of the stages trains.
    pub(super) fn frozen<B: AutodiffBackend>(
        &self,
        trainee: &Trainee<B>,
        stages: &[StageConfig],
    ) -> Result<BTreeSet<String>> {
        let trained = trained_names(trainee, stages)?;
        Ok(self.names.difference(&trained).cloned().collect())
    }
}

/// Names of the parameters that any of the stages trains.
pub(super) fn trained_names<B: AutodiffBackend>(
    trainee: &Trainee<B>,
    stages: &[StageConfig],
) -> Result<BTreeSet<String>> {
    let trainable: Vec<Regex> = stages
        .iter()
        .map(StageConfig::trainable_patterns)
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    let trained = |path: &str| trainable.iter().any(|pattern| pattern.is_match(path));
    let parameters = parameters::<B, _>(trainee).into_iter();
    Ok(parameters
        .filter(|(_, parameter)| trained(&parameter.path))
        .map(|(name, _)| name)
        .collect())
}
