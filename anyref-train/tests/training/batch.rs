//! Batches of instructions, compared with their scenes and answers.

use anyref_core::{Reference, Slot};
use anyref_data::scenes::{Instruction, Kind, KindWeights, Scene, Scenes, Split};
use anyref_train::losses::OUTSIDE;
use anyref_train::stages::{InstructBatch, SceneContext, StageContext};

use crate::support::context;

fn asked(context: &SceneContext, count: u64) -> Vec<(Scene, Vec<Instruction>)> {
    (0..count)
        .map(|index| {
            let scene = context.scenes.scene(Split::Train, index);
            let asked = context
                .scenes
                .instructions(&scene, &context.instructions, index);
            (scene, asked)
        })
        .collect()
}

#[test]
fn no_stage_and_no_seed_sees_the_scenes_of_another() {
    let mut context = context([64, 64], 2);
    let pictures = |context: &SceneContext, split| {
        let scene = |index| context.scene(split, index).image.into_raw();
        (0..4).map(scene).collect::<Vec<_>>()
    };
    let first = pictures(&context, Split::Train);
    let validation = pictures(&context, Split::Validation);
    context.begin_stage(1);
    let second = pictures(&context, Split::Train);
    assert_eq!(pictures(&context, Split::Validation), validation);
    context.begin_stage(0);
    assert_eq!(pictures(&context, Split::Train), first);
    let stage = StageContext::new(context.model.clone(), context.tokenizer.clone(), 2).unwrap();
    let scenes = Scenes::shapes(context.scenes.config().clone()).unwrap();
    let other = SceneContext::new(stage, scenes, context.instructions.clone());
    let third = pictures(&other, Split::Train);
    assert_eq!(pictures(&other, Split::Validation), validation);
    let mut all = [first, second, third].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 12);
}

#[test]
fn predictors_objects_and_references_agree_with_the_answers() {
    const PER_SCENE: usize = 6;
    let context = context([64, 64], PER_SCENE);
    let scenes = asked(&context, 6);
    let batch = InstructBatch::of_scenes(&context, &scenes, PER_SCENE, 16).unwrap();
    assert_eq!(batch.rows.len(), 6 * PER_SCENE);
    let image = batch.prefixes[0]
        .slots()
        .iter()
        .filter(|s| matches!(s, Slot::Image(_)))
        .count();
    assert_eq!(image, context.model.image_tokens());
    assert_eq!(
        batch.prefixes[0].slots().last(),
        Some(&Slot::Token(context.special.image_end.unwrap()))
    );

    let (mut pointed, mut absent, mut checked) = (0, 0, [0; 3]);
    for (row, layout) in batch.rows.iter().enumerate() {
        let (scene, instructions) = &scenes[row / PER_SCENE];
        let instruction = &instructions[row % PER_SCENE % instructions.len()];
        assert_eq!(batch.kinds[row], instruction.kind);

        let answer: Vec<(usize, u32)> = batch
            .predicted
            .iter()
            .filter(|predicted| predicted.row == row)
            .map(|predicted| (predicted.position, predicted.token as u32))
            .collect();
        let (last, words) = answer.split_last().unwrap();
        assert_eq!(*last, (layout.len() - 1, context.special.end));
        for (position, token) in words {
            assert_eq!(layout.slots()[position + 1], Slot::Token(*token));
        }
        let tokens: Vec<u32> = words.iter().map(|(_, token)| *token).collect();
        assert_eq!(
            context.tokenizer.decode(&tokens).unwrap().trim(),
            instruction.answer
        );

        let mut start = answer[0].0;
        let objects: Vec<_> = batch
            .objects
            .iter()
            .filter(|object| object.row == row)
            .collect();
        assert_eq!(objects.len(), instruction.targets.len());
        for object in objects {
            assert_eq!(
                layout.slots()[object.position + 1],
                Slot::Token(context.object)
            );
            assert_eq!(object.start, start);
            start = object.position + 1;
            pointed += 1;
        }
        let not_there = batch.absent.iter().find(|object| object.row == row);
        assert_eq!(not_there.is_some(), instruction.kind == Kind::Absent);
        if let Some(object) = not_there {
            assert_eq!(object.start, answer[0].0);
            let before = words.iter().filter(|(at, _)| *at < object.position);
            let before: Vec<u32> = before.map(|(_, token)| *token).collect();
            let said = context.tokenizer.decode(&before).unwrap();
            assert_eq!(Some(said.trim()), instruction.absent_phrase());
            absent += 1;
        }

        let spliced: Vec<usize> = layout
            .slots()
            .iter()
            .filter_map(|slot| match slot {
                Slot::Reference { index, part: 0 } => Some(*index),
                _ => None,
            })
            .collect();
        assert_eq!(spliced.len(), instruction.references.len());
        let ([index], [reference]) = (&spliced[..], &instruction.references[..]) else {
            continue;
        };
        let (images, boxes) = (batch.images.len(), batch.boxes.len());
        match reference {
            Reference::Image(_) => {
                assert!(*index < images);
                checked[0] += 1;
            }
            Reference::Box(region) => {
                let found = &batch.boxes[index - images];
                let size = [scene.image.width(), scene.image.height()].map(|side| side as f32);
                let corners = [
                    found.x0 * size[0],
                    found.y0 * size[1],
                    found.x1 * size[0],
                    found.y1 * size[1],
                ];
                assert_eq!(found.batch, row / PER_SCENE);
                assert!(
                    corners
                        .iter()
                        .zip(region)
                        .all(|(a, b)| (a - b).abs() < 1e-3)
                );
                checked[1] += 1;
            }
            Reference::Text(_) => panic!("words stand in the question"),
            Reference::Mask(_) => panic!("scenes have no masks as references"),
            Reference::Audio(_) => {
                assert!((images + boxes..images + boxes + batch.sounds.len()).contains(index));
                checked[2] += 1;
            }
        }
    }
    assert_eq!([batch.objects.len(), batch.absent.len()], [pointed, absent]);
    assert!(
        absent > 0 && pointed > 10 && checked.iter().all(|&count| count > 0),
        "{pointed} {checked:?}"
    );
}

#[test]
fn masks_lie_where_the_scene_lies_in_sams_square() {
    for size in [[64, 48], [48, 64], [64, 64]] {
        let context = context(size, 4);
        let side = context.mask_square;
        assert_eq!(side, 64);
        let scenes = asked(&context, 3);
        let batch = InstructBatch::of_scenes(&context, &scenes, 4, side).unwrap();
        let targets = scenes.iter().flat_map(|(scene, asked)| {
            let repeated = asked.iter().cycle().take(4);
            repeated.flat_map(move |asked| asked.targets.iter().map(move |t| t.mask(scene)))
        });
        let inside = |x: usize, y: usize| x < size[0] as usize && y < size[1] as usize;
        let mut masks = batch.masks.chunks_exact(side * side);
        for target in targets {
            let mask = masks.next().unwrap();
            for (index, &share) in mask.iter().enumerate() {
                let (x, y) = (index % side, index / side);
                let expected = match inside(x, y) {
                    true => f32::from(u8::from(target.get(x, y))),
                    false => OUTSIDE,
                };
                assert_eq!(share, expected, "{size:?} at {x},{y}");
            }
        }
        assert!(masks.next().is_none());
        // The picture lies in the same place, and the rest of the square is empty.
        for pixels in &batch.sam {
            for (index, &value) in pixels.data[..side * side].iter().enumerate() {
                assert!(inside(index % side, index / side) || value == 0.0);
            }
        }
    }
}

#[test]
fn masks_keep_their_area_at_any_resolution() {
    let context = context([100, 70], 4);
    let scenes = asked(&context, 3);
    let batch = InstructBatch::of_scenes(&context, &scenes, 4, 16).unwrap();
    let targets = scenes.iter().flat_map(|(scene, asked)| {
        let repeated = asked.iter().cycle().take(4);
        repeated.flat_map(move |asked| asked.targets.iter().map(move |t| t.mask(scene)))
    });
    // 100 x 70 becomes 64 x 45 in SAM's 64, and 16 x 11.25 cells.
    let cell = (16.0 / 100.0) * (11.25 / 70.0);
    for (target, mask) in targets.zip(batch.masks.chunks_exact(16 * 16)) {
        let area = target.area() as f32 * cell;
        let (inside, outside) = mask.split_at(12 * 16);
        // A quarter of the last row lies in the picture.
        let [above, last] =
            [&inside[..11 * 16], &inside[11 * 16..]].map(|rows| rows.iter().sum::<f32>());
        assert!((above + 0.25 * last - area).abs() < 1e-3 * area);
        assert!(
            inside
                .iter()
                .all(|&share| (0.0..=1.0 + 1e-4).contains(&share))
        );
        assert!(outside.iter().all(|&share| share == OUTSIDE));
    }
}

/// A name that is wrong on purpose has no loss; the `<obj>`, the end of the answer and the mask
/// have.
#[test]
fn misnamed_answers_teach_all_but_the_name() {
    const PER_SCENE: usize = 6;
    let mut context = context([64, 64], PER_SCENE);
    context.instructions.misnaming_probability = 0.5;
    context.instructions.made_up_probability = 0.5;
    let object = context.tokenizer.decode(&[context.object]).unwrap();
    for (kind, verdict) in [(Kind::Image, &*object), (Kind::Absent, "is not in")] {
        context.instructions.weights = KindWeights::only(kind);
        let scenes = asked(&context, 24);
        let batch = InstructBatch::of_scenes(&context, &scenes, PER_SCENE, 16).unwrap();
        let mut counts = [0; 2];
        for row in 0..batch.rows.len() {
            let (scene, instructions) = &scenes[row / PER_SCENE];
            let instruction = &instructions[row % PER_SCENE % instructions.len()];
            let learned = batch.predicted.iter().filter(|token| token.row == row);
            let learned: Vec<u32> = learned.map(|token| token.token as u32).collect();
            let learned = context.tokenizer.decode(&learned).unwrap();
            let begins = learned.trim_start().starts_with(verdict);
            assert_eq!(instruction.misnamed, begins, "{learned}");
            assert!(learned.contains(verdict), "{learned}");
            let pictured = matches!(instruction.references[..], [Reference::Image(_)]);
            assert!(pictured || !instruction.misnamed);
            counts[usize::from(instruction.misnamed)] += 1;
            let [target] = &instruction.targets[..] else {
                assert!(kind == Kind::Absent && instruction.targets.is_empty());
                continue;
            };
            assert_eq!(instruction.misnamed, target.phrase != target.noun);
            assert!(instruction.answer.starts_with(&target.phrase));
            let noun = |&object: &usize| scene.objects[object].noun == target.noun;
            assert!(target.objects.iter().all(noun));
        }
        assert!(counts.iter().all(|&count| count > 3), "{counts:?}");
    }
    // Splits that are not trained on have correct names.
    for split in [Split::Validation, Split::Test] {
        let scene = context.scenes.scene(split, 1);
        let asked = context
            .scenes
            .instructions(&scene, &context.instructions, 1);
        assert!(!asked.is_empty() && asked.iter().all(|asked| !asked.misnamed));
    }
}
