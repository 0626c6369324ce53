//! Positions of features in the language model's input, and gradients through them.

use anyref_core::{Layout, ReferenceBank, Slot, SpecialTokens, splice};
use anyref_ops::testing::{max_abs_error, random};
use anyref_vision::roi_align::RegionBox;
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};

use crate::common::{TestBackend, config, model, tokenizer};

type Differentiable = Autodiff<TestBackend>;

/// Two rows about two pictures: a box and a sound in the first, a reference picture in the second.
fn rows(special: &SpecialTokens) -> [Layout; 2] {
    let first = [
        1,
        special.image_start.unwrap(),
        special.image_end.unwrap(),
        40,
        special.reference_start.unwrap(),
        special.reference_end.unwrap(),
        special.audio_start.unwrap(),
        special.audio_end.unwrap(),
        41,
    ];
    let second = [
        1,
        special.image_start.unwrap(),
        special.image_end.unwrap(),
        special.reference_start.unwrap(),
        special.reference_end.unwrap(),
        42,
    ];
    [
        Layout::new(&first, special, 3, &[(2, 4), (1, 2)]).unwrap(),
        Layout::new(&second, special, 3, &[(0, 4)]).unwrap(),
    ]
}

#[test]
fn every_feature_stands_in_its_place() {
    let device = Default::default();
    let tokenizer = tokenizer();
    let special = SpecialTokens::of(&tokenizer).unwrap();
    let model = model::<TestBackend>(&config(&tokenizer), 1);
    let image = random::<TestBackend, 3>([2, 3, 32], 2, &device);
    let pictures = random::<TestBackend, 3>([1, 4, 32], 3, &device);
    let sounds = random::<TestBackend, 3>([1, 2, 32], 4, &device);
    let boxes = random::<TestBackend, 3>([1, 4, 32], 5, &device);
    let mut bank = ReferenceBank::default();
    assert_eq!(bank.push(pictures.clone()), 0);
    assert_eq!(bank.push(sounds.clone()), 1);
    assert_eq!(bank.push(boxes.clone()), 2);
    assert_eq!((bank.length(0), bank.length(1)), (4, 2));

    let rows = rows(&special);
    let past = 7;
    let spliced = splice(&model.llm, &rows, Some(image.clone()), &bank, past, &device);
    assert_eq!(spliced.lengths, [18, 13]);
    let table = model.llm.model.embed_tokens.weight.val();
    let references = [pictures, sounds, boxes];
    for (row, layout) in rows.iter().enumerate() {
        for (position, slot) in layout.slots().iter().enumerate() {
            let expected = match *slot {
                Slot::Token(id) => table.clone().narrow(0, id as usize, 1).unsqueeze(),
                Slot::Image(patch) => image.clone().narrow(0, row, 1).narrow(1, patch, 1),
                Slot::Reference { index, part } => references[index].clone().narrow(1, part, 1),
            };
            let found = spliced
                .embeddings
                .clone()
                .narrow(0, row, 1)
                .narrow(1, position, 1);
            assert_eq!(max_abs_error(&found, &expected), 0.0, "row {row}, {slot:?}");
        }
    }
    let padding: Vec<bool> = spliced
        .padding
        .unwrap()
        .into_data()
        .iter::<bool>()
        .collect();
    let expected = |length| (0..past + 18).map(move |position| position >= past + length);
    assert_eq!(
        padding,
        expected(18).chain(expected(13)).collect::<Vec<_>>()
    );
}

#[test]
fn rows_of_one_length_need_no_padding() {
    let device = Default::default();
    let tokenizer = tokenizer();
    let special = SpecialTokens::of(&tokenizer).unwrap();
    let model = model::<TestBackend>(&config(&tokenizer), 1);
    let row = Layout::new(&[1, 40, 41], &special, 0, &[]).unwrap();
    let bank = ReferenceBank::default();
    let spliced = splice(&model.llm, &[row.clone(), row], None, &bank, 0, &device);
    assert!(spliced.padding.is_none());
    assert_eq!(spliced.embeddings.dims(), [2, 3, 32]);
}

#[test]
fn gradients_reach_what_was_spliced_in() {
    let device = Default::default();
    let tokenizer = tokenizer();
    let special = SpecialTokens::of(&tokenizer).unwrap();
    let model = model::<Differentiable>(&config(&tokenizer), 1);
    let leaf = |shape, seed| random::<Differentiable, 3>(shape, seed, &device).require_grad();
    let (image, pictures) = (leaf([2, 3, 32], 2), leaf([1, 4, 32], 3));
    let (sounds, boxes) = (leaf([1, 2, 32], 4), leaf([1, 4, 32], 5));
    let mut bank = ReferenceBank::default();
    for features in [&pictures, &sounds, &boxes] {
        bank.push(features.clone());
    }
    let rows = rows(&special);
    let spliced = splice(&model.llm, &rows, Some(image.clone()), &bank, 0, &device);
    // Position p of row r has weight 100 r + p + 1, so each gradient identifies the position of its
    // feature.
    let weights: Vec<f32> = (0..2)
        .flat_map(|row| (0..18).map(move |p| (100 * row + p + 1) as f32))
        .collect();
    let weights = Tensor::from_data(TensorData::new(weights, [2, 18, 1]), &device);
    let gradients = (spliced.embeddings * weights).sum().backward();

    let column = |leaf: &Tensor<Differentiable, 3>| -> Vec<f32> {
        let gradient = leaf.grad(&gradients).unwrap();
        gradient.narrow(2, 0, 1).into_data().iter::<f32>().collect()
    };
    assert_eq!(column(&image), [3., 4., 5., 103., 104., 105.]);
    assert_eq!(column(&boxes), [9., 10., 11., 12.]);
    assert_eq!(column(&sounds), [15., 16.]);
    assert_eq!(column(&pictures), [108., 109., 110., 111.]);
    let table = model
        .llm
        .model
        .embed_tokens
        .weight
        .val()
        .grad(&gradients)
        .unwrap();
    let table: Vec<f32> = table.narrow(1, 0, 1).into_data().iter::<f32>().collect();
    // Padding uses the first row's first embedding, so that one is not compared.
    assert_eq!(
        (table[40], table[41], table[42], table[43]),
        (7., 18., 113., 0.)
    );
}

#[test]
fn gradients_pass_every_encoder_of_references() {
    let device = Default::default();
    let model = model::<Differentiable>(&config(&tokenizer()), 1);
    let pixels = random([2, 3, 32, 32], 2, &device);
    let picture = model.picture_features(pixels.clone());
    let region = RegionBox {
        batch: 1,
        x0: 0.1,
        y0: 0.2,
        x1: 0.7,
        y1: 0.9,
    };
    let boxes = model.box_reference(picture.grid, &[region]);
    assert_eq!(boxes.dims(), [1, 4, 32]);
    let weigh =
        |x: Tensor<Differentiable, 3>, seed| (x.clone() * random(x.dims(), seed, &device)).sum();

    let moved = |gradient: Option<Tensor<TestBackend, 2>>| {
        gradient.is_some_and(|gradient| gradient.abs().max().into_scalar() > 1e-6)
    };
    let patches = |gradients: &_| {
        model
            .vision_tower
            .clip()
            .embeddings
            .patch_embedding
            .weight
            .val()
            .grad(gradients)
            .is_some()
    };
    let gradients = weigh(boxes, 4).backward();
    let projector = model.box_projector.as_ref().unwrap();
    assert!(moved(projector.weight.val().grad(&gradients)) && patches(&gradients));
    let images = model.image_reference(pixels);
    assert_eq!(images.dims(), [2, 4, 32]);
    assert!(patches(&weigh(images, 5).backward()));
    let sounds = model
        .audio_reference(random([1, 3, 1, 128, 204], 3, &device))
        .unwrap();
    assert_eq!(sounds.dims(), [1, 3, 32]);
    let gradients = weigh(sounds, 6).backward();
    let projector = model.audio_projector.as_ref().unwrap();
    assert!(moved(projector.weight.val().grad(&gradients)) && !patches(&gradients));
}
