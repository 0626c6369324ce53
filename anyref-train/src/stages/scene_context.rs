//! Context of the stages that are trained on scenes.

use std::collections::HashMap;
use std::ops::Deref;

use super::context::StageContext;
use anyref_data::scenes::mix;
use anyref_data::scenes::{InstructionConfig, Scene, Scenes, Split};

/// Context of a run with its scenes, shared by all stages that are trained on them.
#[derive(Debug)]
pub struct SceneContext {
    /// Context of every stage.
    stage: StageContext,
    /// Data set of scenes.
    pub scenes: Scenes,
    /// Questions about the scenes.
    pub instructions: InstructionConfig,
    names: HashMap<String, usize>,
    /// Index of the first training scene of the current stage.
    first: u64,
}

impl Deref for SceneContext {
    type Target = StageContext;

    fn deref(&self) -> &StageContext {
        &self.stage
    }
}

impl SceneContext {
    /// Adds scenes, and the questions about them.
    pub fn new(stage: StageContext, scenes: Scenes, instructions: InstructionConfig) -> Self {
        let nouns = scenes.library().nouns(false).iter().cloned();
        let names = nouns.enumerate().map(|(i, noun)| (noun, i)).collect();
        let mut context = Self {
            stage,
            scenes,
            instructions,
            names,
            first: 0,
        };
        context.begin_stage(0);
        context
    }

    /// Prepares for a stage of the run. Training scenes are endless, and no two stages, nor runs
    /// with different seeds, see the same: memorised scenes would otherwise be asked about again in
    /// the next stage.
    pub fn begin_stage(&mut self, index: usize) {
        self.first = mix(mix(self.stage.seed) ^ index as u64);
    }

    /// Scene of the current stage, or of another split of the data set.
    pub fn scene(&self, split: Split, index: u64) -> Scene {
        let first = match split {
            Split::Train => self.first,
            Split::Validation | Split::Test | Split::Novel => 0,
        };
        self.scenes.scene(split, first.wrapping_add(index))
    }

    /// Number of names that the encoders are trained on.
    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    /// Names in order.
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

    /// Scenes of a step: `batch` different ones.
    pub(crate) fn scenes_of(&self, split: Split, step: u64, batch: usize) -> Vec<Scene> {
        let first = step * batch as u64;
        (first..first + batch as u64)
            .map(|index| self.scene(split, index))
            .collect()
    }
}
