//! Check that training computes the states of an answer as inference does.

use anyref_audio::Waveform;
use anyref_core::{AnyRef, Prompt, Reference, ReferenceImage};
use anyref_data::scenes::{Instruction, Kind, Split, Target};
use anyref_decoder::postprocess_masks;
use anyref_ops::testing::assert_close;
use anyref_train::stages::{InstructBatch, instruct_forward};
use anyref_vision::preprocess::SamPreprocessor;
use image::imageops::crop_imm;

use crate::common::{TestBackend, model, script, spoken, tone};
use crate::support::{TrainBackend, context};

#[test]
fn teacher_forcing_gives_the_masks_of_the_generated_answer() {
    let context = context([80, 60], 2);
    let device = Default::default();
    let network = model::<TestBackend>(&context.model, 8);
    let tokenizer = context.tokenizer.clone();
    let mut anyref = AnyRef::new(context.model.clone(), network, tokenizer, device).unwrap();
    let mut chain = spoken(&anyref.tokenizer, "the<obj>, the");
    chain.pop();
    script(&mut anyref, &chain);
    anyref.generation.max_new_tokens = 6;

    let scene = context.scenes.scene(Split::Train, 5);
    let question = "Can you segment the thing like {2}, left of {1}, that makes {3} in this image?";
    let region = [12.0, 8.0, 50.0, 41.0];
    let crop = crop_imm(&scene.image, 20, 10, 30, 24).to_image();
    let sound = tone(700.0).samples;
    let prompt = Prompt::new([
        Reference::Box(region),
        Reference::Image(ReferenceImage::new(crop.clone())),
        Reference::Audio(Waveform::new(sound.clone(), 16_000)),
    ])
    .with_question(question);
    let picture = anyref.picture(&scene.image).unwrap();
    let answer = anyref.segment(&picture, &prompt).unwrap();
    assert_eq!(answer.raw, "the<obj>, the<obj>,");

    // The same question in a batch of two scenes, beside shorter ones.
    let target = || Target::at(vec![0], "the".into(), "ring".into());
    let asked = Instruction {
        kind: Kind::Mixed,
        question: question.into(),
        references: vec![
            Reference::Box(region),
            Reference::Image(ReferenceImage::new(crop)),
            Reference::Audio(Waveform::new(sound, 16_000)),
        ],
        answer: answer.raw.clone(),
        targets: vec![target(), target()],
        described: None,
        misnamed: false,
    };
    let other = Instruction {
        kind: Kind::Absent,
        question: "is there a dog?".into(),
        references: Vec::new(),
        answer: "there is no dog.".into(),
        targets: Vec::new(),
        described: None,
        misnamed: false,
    };
    let second = context.scenes.scene(Split::Train, 6);
    let scenes = [
        (second, vec![other.clone(), other.clone()]),
        (scene, vec![other, asked]),
    ];
    let size = 4 * context.mask_grid;
    let batch = InstructBatch::of_scenes(&context, &scenes, 2, size).unwrap();
    let output = instruct_forward(&anyref.model, &batch, &device);

    // Words: every state predicts the token that was generated after it.
    let chosen = output.logits.clone().argmax(1).into_data();
    let chosen: Vec<usize> = chosen.iter::<i64>().map(|token| token as usize).collect();
    let of_answer: Vec<usize> = (0..chosen.len())
        .filter(|&index| batch.predicted[index].row == 3)
        .collect();
    let written: Vec<_> = of_answer
        .iter()
        .map(|&index| batch.predicted[index].token)
        .collect();
    let chosen: Vec<_> = of_answer.iter().map(|&index| chosen[index]).collect();
    assert_eq!(written.len(), 7);
    assert_eq!(chosen[..6], written[..6]);

    // Masks of the answer.
    let (logits, _) = output.masks.unwrap();
    assert_eq!(logits.dims(), [2, size, size]);
    let side = context.mask_square;
    let sam = SamPreprocessor::new(side).process(&scenes[1].0.image);
    let full = postprocess_masks(
        logits.clone().unsqueeze_dim(1),
        sam.resized_size,
        sam.original_size,
        side,
    );
    let full: Vec<f32> = full.into_data().iter::<f32>().collect();
    let estimates: Vec<f32> = output
        .estimates
        .unwrap()
        .into_data()
        .iter::<f32>()
        .collect();
    let mut areas = Vec::new();
    for (index, mask) in answer.masks.iter().enumerate() {
        let logits = &full[index * 80 * 60..][..80 * 60];
        for (&logit, inside) in logits.iter().zip(mask.rle.to_mask()) {
            assert!((logit > 0.0) == inside || logit.abs() < 1e-4, "{logit}");
        }
        assert!((estimates[index].clamp(0.0, 1.0) - mask.score).abs() < 1e-5);
        areas.push((mask.area(), estimates[index]));
    }
    // The test would be weak if every mask were empty or full, or every estimate outside of 0 to 1.
    assert!(
        areas.iter().all(|&(area, _)| (1..80 * 60).contains(&area)),
        "{areas:?}"
    );
    assert!(
        areas.iter().all(|&(_, score)| (0.0..1.0).contains(&score)),
        "{areas:?}"
    );

    // The autodiff backend computes the same.
    let mut network = model::<TrainBackend>(&context.model, 8);
    let head = anyref
        .model
        .llm
        .lm_head
        .as_ref()
        .unwrap()
        .weight
        .val()
        .into_data();
    let head = burn::tensor::Tensor::from_data(head, &device);
    network.llm.lm_head.as_mut().unwrap().weight = burn::module::Param::from_tensor(head).into();
    let tracked = instruct_forward(&network, &batch, &device);
    assert_close(&tracked.logits.inner(), &output.logits, 1e-3);
    assert_close(&tracked.masks.unwrap().0.inner(), &logits, 1e-4);
}
