//! Effect of λ on answers, and its absence.

use anyref_core::{Prompt, Reference};
use anyref_decoder::refocus::ObjectToken;
use anyref_ops::testing::{assert_close, max_abs_error, random};
use burn::tensor::Tensor;

use crate::common::{TestBackend, config, image, model, pointing, tokenizer};

#[test]
fn refocusing_adds_to_the_states_of_objects_and_to_nothing_else() {
    let device = Default::default();
    let model = model::<TestBackend>(&config(&tokenizer()), 5);
    let query = random::<TestBackend, 3>([2, 4, 8], 1, &device);
    let key = random([1, 2, 20, 8], 2, &device);
    let hidden = random::<TestBackend, 3>([1, 12, 32], 3, &device);
    let object = |start, position| ObjectToken {
        row: 0,
        position,
        start,
        end: position,
        context_start: 0,
    };
    let objects = vec![object(9, 12), object(13, 18)];
    let prompts = |lambda: f64| {
        let model = model.clone().with_refocus_lambda(lambda);
        assert_eq!(model.refocus_lambda(), lambda);
        model.object_prompts(
            query.clone(),
            key.clone(),
            hidden.clone(),
            8,
            objects.clone(),
        )
    };
    let states = Tensor::cat(
        [12, 18]
            .map(|p| hidden.clone().narrow(1, p - 8, 1).squeeze_dim::<2>(1))
            .to_vec(),
        0,
    );
    assert_close(
        &prompts(0.0),
        &model.mask_branch().text_hidden_fcs.forward(states),
        1e-6,
    );
    assert!(max_abs_error(&prompts(0.0), &prompts(0.1)) > 1e-4);
}

#[test]
fn without_refocusing_the_words_are_the_same_and_the_masks_are_not() {
    let mut anyref = pointing::<TestBackend>(2, 6);
    let picture = anyref.picture(&image(64, 64)).unwrap();
    let prompt = Prompt::new([Reference::Text("the red circle".into())]);
    let with = anyref.segment(&picture, &prompt).unwrap();
    anyref.model = anyref.model.with_refocus_lambda(0.0);
    let without = anyref.segment(&picture, &prompt).unwrap();
    assert_eq!(with.raw, without.raw);
    for (with, without) in with.masks.iter().zip(&without.masks) {
        assert!(
            (with.score - without.score).abs() > 1e-6,
            "{} {}",
            with.score,
            without.score
        );
    }
}
