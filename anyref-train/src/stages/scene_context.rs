//! What the stages need that learn from scenes.

use std::collections::HashMap;
use std::ops::Deref;

use super::context::StageContext;
use crate::data::{InstructionConfig, Scene, Scenes, Split};

/// A run's context with its scenes, shared by all stages that learn from them.
#[derive(Debug)]
pub struct SceneContext {
    /// What every stage needs.
    stage: StageContext,
    /// The data set.
    pub scenes: Scenes,
    /// What is asked.
    pub instructions: InstructionConfig,
    names: HashMap<String, usize>,
}

impl Deref for SceneContext {
    type Target = StageContext;

    fn deref(&self) -> &StageContext {
        &self.stage
    }
}

impl SceneContext {
    /// Adds scenes, and what is asked about them.
    pub fn new(stage: StageContext, scenes: Scenes, instructions: InstructionConfig) -> Self {
        let nouns = scenes.library().nouns(false).iter().cloned();
        let names = nouns.enumerate().map(|(i, noun)| (noun, i)).collect();
        Self {
            stage,
            scenes,
            instructions,
            names,
        }
    }

    /// Number of names that the encoders learn.
    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.scenes
            .library()
            .nouns(false)
            .iter()
            .map(String::as_str)
    }

    /// Index of a noun among the names.
    pub fn name(&self, noun: &str) -> Option<usize> {
        self.names.get(noun).copied()
    }

    /// The scenes of a step: `batch` of them, never one twice.
    pub(crate) fn scenes_of(&self, split: Split, step: u64, batch: usize) -> Vec<Scene> {
        let first = step * batch as u64;
        (first..first + batch as u64)
            .map(|index| self.scenes.scene(split, index))
            .collect()
    }
}
