//! Published relatives in tiny sizes, with random weights, on a backend and on the processor: Hiera
//! of SAM 2, InternViT over tiles, and a whole Sa2VA.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyref_core::{
    Answer, AnyRef, LowResMask, MaskPrediction, MaskPrompt, Multimask, PictureFeatures, Prompt,
    Reference, SamModel,
};
use anyref_vision::preprocess::{PixelValues, open_image};
use burn::backend::Flex;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::{difference, normal, on};

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Largest difference relative to the largest expected value.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = expected.iter().map(|x| x.abs()).fold(0.0, f32::max);
    difference / largest
}

/// The pooling attention of every stage, windows and their padding, the neck, and the mask decoder.
pub fn sam_2_answers_as_on_the_processor<B: Backend>(most: f32) {
    let picture = open_image(published("sa2va/picture.png")).unwrap();
    let prompts = [
        MaskPrompt::default().with_point(20.0, 12.0, true),
        MaskPrompt::default().with_region([10.0, 5.0, 40.0, 30.0]),
    ];
    fn answer<B: Backend>(
        picture: &image::RgbImage,
        prompts: &[MaskPrompt],
    ) -> (Vec<f32>, Vec<MaskPrediction>) {
        let sam = SamModel::<B>::load(&published("sam2"), &Default::default()).unwrap();
        let picture = sam.picture(picture).unwrap();
        let answers = sam.predict(&picture, prompts, Multimask::Always).unwrap();
        let embedding = picture.embedding().clone().into_data();
        (embedding.iter::<f32>().collect(), answers)
    }
    let (expected, answers) = answer::<Flex>(&picture, &prompts);
    let (found, found_answers) = answer::<B>(&picture, &prompts);
    let embedding = apart(&found, &expected);
    println!("SAM 2: embedding {embedding}");
    assert!(embedding < most, "{embedding}");
    for (found, expected) in found_answers.iter().zip(&answers) {
        assert_eq!(expected.candidates.len(), 3);
        for (found, expected) in found.candidates.iter().zip(&expected.candidates) {
            let masks = apart(found.low_res.logits(), expected.low_res.logits());
            let estimate = (found.estimate - expected.estimate).abs();
            println!("SAM 2: mask {masks}, estimate {estimate}");
            assert!(masks < most && estimate < most, "{masks} {estimate}");
        }
    }
}

fn sa2va<B: Backend>() -> AnyRef<B> {
    let mut anyref = AnyRef::load(&published("sa2va"), &Default::default()).unwrap();
    anyref.generation.max_new_tokens = 8;
    anyref
}

/// Layer scale, the class token, pixel shuffle and projector.
pub fn tiles_are_encoded_as_on_the_processor<B: Backend>(most: f32) {
    let (flex, gpu) = (sa2va::<Flex>(), sa2va::<B>());
    let tower = flex.config.vision_tower.tiled().unwrap();
    let picture = open_image(published("sa2va/picture.png")).unwrap();
    let tiles = tower.preprocessor().unwrap().process(&picture);
    let pixels = PixelValues::batch::<Flex>(&tiles, &Default::default());
    let found = gpu.model.tiled_features(on(&pixels), tiles.len());
    let PictureFeatures { grid, tokens, .. } = flex.model.tiled_features(pixels, tiles.len());
    let (tokens, grid) = (
        difference(found.tokens, tokens),
        difference(found.grid, grid),
    );
    println!("InternViT: tokens {tokens}, grid {grid}");
    assert!(tokens < most && grid < most, "{tokens} {grid}");
    // Qwen 2's biases and its few key heads.
    let states: Tensor<Flex, 3> = normal([1, 9, flex.config.llm.hidden_size]);
    let found = gpu
        .model
        .llm
        .forward(anyref_llm::LlamaInput::new(on(&states)), None);
    let expected = flex
        .model
        .llm
        .forward(anyref_llm::LlamaInput::new(states), None);
    let hidden = difference(found.hidden, expected.hidden);
    assert!(hidden < most, "{hidden}");
}

/// From a picture's file to words and two masks.
pub fn a_sa2va_answers_as_on_the_processor<B: Backend>(most: f32) {
    fn ask<B: Backend>() -> Answer {
        let anyref = sa2va::<B>();
        let image = open_image(published("sa2va/picture.png")).unwrap();
        let picture = anyref.picture(&image).unwrap();
        let prompt = Prompt::new([Reference::Text("the red dog".into())]);
        let mut chat = anyref.chat(&picture);
        chat.ask(prompt, &mut |_| ControlFlow::Continue(()))
            .unwrap()
    }
    let (expected, found) = (ask::<Flex>(), ask::<B>());
    assert_eq!(found.raw, expected.raw);
    assert_eq!((found.masks.len(), expected.masks.len()), (2, 2));
    let logits = |mask: &anyref_core::Mask| -> Vec<f32> {
        let logits = mask.low_res.as_ref().map(LowResMask::logits);
        logits.unwrap().to_vec()
    };
    for (found, expected) in found.masks.iter().zip(&expected.masks) {
        let masks = apart(&logits(found), &logits(expected));
        let score = (found.score - expected.score).abs();
        println!("Sa2VA: mask {masks}, score {score}");
        assert!(masks < most && score < most, "{masks} {score}");
        assert!(found.rle.iou(&expected.rle).unwrap() > 0.99);
    }
}
