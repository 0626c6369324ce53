//! Source of a stage's questions: scenes or data sets.

use rayon::prelude::*;

use super::context::StageContext;
use super::data_questions::DataSources;
use super::example::Asked;
use super::instruct_batch::InstructBatch;
use super::scene_context::SceneContext;
use super::scene_questions::asked;
use crate::config::StageConfig;
use crate::stage_error::StageError;
use anyref_data::scenes::{Scene, Split};

/// Number of scenes tried in place of one that does not allow a question of the configured kinds.
const TRIES: u64 = 200;
/// Distance between the tried scenes, beyond the length of any run.
const STRIDE: u64 = 1 << 40;

/// Questions of each step.
#[derive(Debug)]
pub(super) enum Questions<'a> {
    /// Questions about scenes, several a scene.
    Scenes(&'a SceneContext),
    /// Questions of data sets; those about the same picture share it.
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

    /// Questions of a step; `None` when there is nothing to validate on.
    pub(super) fn batch(
        &self,
        config: &StageConfig,
        split: Split,
        step: u64,
    ) -> Result<Option<InstructBatch>, StageError> {
        let mask_size = self.context().mask_size(config);
        match self {
            Self::Scenes(context) => {
                let first = step * config.batch as u64;
                let (scenes, asked): (Vec<_>, Vec<_>) = (first..first + config.batch as u64)
                    .into_par_iter()
                    .map(|index| with_questions(context, split, index, step))
                    .collect::<Result<Vec<_>, StageError>>()?
                    .into_iter()
                    .unzip();
                let scenes: Vec<_> = scenes.iter().collect();
                let per_scene = context.instructions.per_scene;
                InstructBatch::of_asked(context, &scenes, &asked, per_scene, mask_size).map(Some)
            }
            Self::Data { context, sources } => {
                let Some(questions) = sources.of(split) else {
                    return Ok(None);
                };
                let asked = Asked::merge(questions.asked(context, step, config.batch)?);
                InstructBatch::new(context, &asked, None, mask_size).map(Some)
            }
        }
    }
}

/// Scene and the questions about it; a scene without any, such as one without a sound when only
/// sounds are asked about, is replaced deterministically by another.
fn with_questions(
    context: &SceneContext,
    split: Split,
    index: u64,
    step: u64,
) -> Result<(Scene, Asked), StageError> {
    for attempt in 0..TRIES {
        let scene = context.scene(split, index + attempt * STRIDE);
        let instructions = &context.instructions;
        let instructions = context.scenes.instructions(&scene, instructions, step);
        let asked = asked(context, &scene, &instructions)?;
        if !asked.examples.is_empty() {
            return Ok((scene, asked));
        }
    }
    Err(StageError::NoOccasion { scenes: TRIES })
}
