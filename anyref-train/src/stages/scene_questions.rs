//! Questions about scenes.

use anyref_core::Question;
use anyref_data::scenes::phrases::named;
use anyref_data::scenes::{Instruction, Scene};

use super::example::{Asked, Example, ExampleReference, ExampleTarget};
use super::scene_context::SceneContext;
use crate::stage_error::StageError;

/// Questions about a scene, without those whose sound is inaudible.
///
/// # Errors
/// When a reference or a question does not fit the model.
pub(super) fn asked(
    context: &SceneContext,
    scene: &Scene,
    instructions: &[Instruction],
) -> Result<Asked, StageError> {
    let mut examples = Vec::with_capacity(instructions.len());
    for instruction in instructions {
        let prepared: Result<Vec<_>, StageError> = instruction
            .references
            .iter()
            .map(|reference| ExampleReference::new(context, reference))
            .collect();
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(StageError::Sound(_)) => continue,
            Err(error) => return Err(error),
        };
        let noun = instruction.reference_noun(scene);
        let targets = instruction.targets.iter().map(|target| ExampleTarget {
            mask: target.mask(scene),
            name: context.name(&target.noun),
            all_of_name: target.made_up.is_none()
                && named(scene, &target.noun).len() == target.objects.len(),
        });
        examples.push(Example {
            kind: instruction.kind,
            question: Question::build(&instruction.question, &instruction.references)?,
            references: prepared,
            answer: instruction.answer.clone(),
            name_learned: !instruction.misnamed,
            targets: targets.collect(),
            absent: instruction.absent_phrase().map(str::to_owned),
            reference_name: noun.and_then(|noun| context.name(noun)),
        });
    }
    Ok(Asked {
        image: scene.image.clone(),
        examples,
    })
}
