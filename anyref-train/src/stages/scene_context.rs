//! Context of the stages that learn from scenes.

use std::collections::HashMap;
use std::ops::Deref;

use super::context::StageContext;
use anyref_data::scenes::mix;
use anyref_data::scenes::{InstructionConfig, Scene, Scenes, Split};

/// A run's context with its scenes, shared by all stages that learn from them.
#[derive(Debug)]
pub struct SceneContext {
    /// Context of every stage.
    stage: StageContext,
    /// The data set.
    pub scenes: Scenes,
    /// Questions asked about the scenes.
    pub instructions: InstructionConfig,
    names: HashMap<String, usize>,
    /// First training scene of the present stage.
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

    /// Goes on to a stage of the run. The training scenes are endless, and no two stages, nor runs
    /// of different seeds, see the same: what is learned by heart in one would be asked again in
    /// the next.
    pub fn begin_stage(&mut self, index: usize) {
        self.first = mix(mix(self.stage.seed) ^ index as u64);
    }

    /// A scene of the present stage, or of another split of the data set.
    pub fn scene(&self, split: Split, index: u64) -> Scene {
        let first = match split {
            Split::Train => self.first,
            Split::Validation | Split::Test | Split::Novel => 0,
        };
        self.scenes.scene(split, first.wrapping_add(index))
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
            .map(|index| self.scene(split, index))
            .collect()
    }
}
