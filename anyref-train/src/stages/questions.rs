//! Where the questions of a stage come from.

use anyhow::Result;

use super::context::StageContext;
use super::data_questions::DataSources;
use super::instruct_batch::InstructBatch;
use super::scene_context::SceneContext;
use crate::data::Split;
use crate::run::config::StageConfig;

/// Questions by step.
#[derive(Debug)]
pub(super) enum Questions<'a> {
    /// About scenes, several a scene.
    Scenes(&'a SceneContext),
    /// Of data sets, one a picture.
    Data {
        context: &'a StageContext,
        sources: &'a DataSources,
    },
}

impl<'a> Questions<'a> {
    pub(super) fn context(&self) -> &'a StageContext {
        match self {
            Self::Scenes(context) => context,
            Self::Data { context, .. } => context,
        }
    }

    /// The questions of a step; none where there is nothing to validate on.
    pub(super) fn batch(
        &self,
        config: &StageConfig,
        split: Split,
        step: u64,
    ) -> Result<Option<InstructBatch>> {
        let mask_size = self.context().mask_size(config);
        match self {
            Self::Scenes(context) => {
                let asked = |scene| {
                    let asked = &context.instructions;
                    let instructions = context.scenes.instructions(&scene, asked, step);
                    (scene, instructions)
                };
                let scenes = context.scenes_of(split, step, config.batch).into_iter();
                let scenes: Vec<_> = scenes.map(asked).collect();
                let per_scene = context.instructions.per_scene;
                InstructBatch::of_scenes(context, &scenes, per_scene, mask_size).map(Some)
            }
            Self::Data { context, sources } => {
                let Some(questions) = sources.of(split) else {
                    return Ok(None);
                };
                let asked = questions.asked(context, step, config.batch)?;
                InstructBatch::new(context, &asked, 1, mask_size).map(Some)
            }
        }
    }
}
