//! LISA in its authors' layout: the reference's numbers from a picture file and a question to text
//! and masks.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use anyref_core::official::Published;
use anyref_core::{
    AnyRef, Assembly, Companions, Layout, ModelOptions, Prompt, PromptConfig, Reference,
    ReferenceBank, splice,
};
use anyref_llm::LlamaInput;
use anyref_llm::conversation::llava_v1;
use anyref_ops::testing::assert_close;
use anyref_vision::preprocess::{ClipPreprocessor, ClipResize, open_image};
use anyref_weights::testing::Fixture;
use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::common::TestBackend;
use crate::parts::{assembly, assert_masks, assert_states_become_masks, load, published};

const TOLERANCE: f64 = 1e-4;

pub fn lisa(folder: &Path) -> anyref_core::Result<AnyRef<TestBackend>> {
    lisa_with(folder, Default::default())
}

pub fn lisa_with(folder: &Path, options: ModelOptions) -> anyref_core::Result<AnyRef<TestBackend>> {
    let companions = Companions {
        clip: Some(published("clip")),
        ..Companions::default()
    };
    let mut anyref = AnyRef::load_beside(folder, &companions, options, &Default::default())?;
    anyref.generation.max_new_tokens = 64;
    Ok(anyref)
}

pub fn expected() -> Fixture {
    Fixture::open(published("expected_lisa.safetensors"))
}

fn questions() -> Vec<String> {
    let json = fs::read(published("expected_lisa.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    serde_json::from_value(json["questions"].clone()).unwrap()
}

pub fn integers(expected: &Fixture, name: &str) -> Vec<u32> {
    expected
        .data(name)
        .iter::<i64>()
        .map(|id| id as u32)
        .collect()
}

#[test]
fn pictures_and_questions_become_the_references_input() {
    let (anyref, expected) = (lisa(&published("lisa")).unwrap(), expected());
    let device = Default::default();
    let image = open_image(published("lisa/picture.png")).unwrap();
    let clip = ClipPreprocessor::new(32).with_resize(ClipResize::CenterCrop);
    let pixels = clip.process(&image).to_tensor::<TestBackend>(&device);
    let wanted = expected.tensor("clip.pixels", &device);
    assert_close(&pixels.clone().unsqueeze::<4>(), &wanted, 1e-5);
    let features = anyref.model.picture_features(pixels.unsqueeze()).tokens;
    for (index, question) in questions().iter().enumerate() {
        let text = llava_v1()
            .ask(format!("<im_start><im_end>\n{question}"))
            .open()
            .prompt();
        let ids = anyref.tokenizer.encode(&text, true).unwrap();
        assert_eq!(ids, integers(&expected, &format!("{index}.ids")));
        let layout = Layout::new(&ids, anyref.special_tokens(), 16, &[]).unwrap();
        let llm = &anyref.model.llm;
        let bank = ReferenceBank::default();
        let input = splice(llm, &[layout], Some(features.clone()), &bank, 0, &device);
        let hidden = llm.forward(LlamaInput::new(input.embeddings), None).hidden;
        let last = hidden.dims()[1] - 1;
        let logits = llm
            .logits(hidden.narrow(1, last, 1))
            .squeeze_dims::<1>(&[0, 1]);
        let wanted = expected.tensor::<TestBackend, 1>(&format!("{index}.logits"), &device);
        assert_close(&logits, &wanted, TOLERANCE);
    }
}

#[test]
fn answers_and_masks_are_the_references() {
    let (anyref, expected) = (lisa(&published("lisa")).unwrap(), expected());
    let image = open_image(published("lisa/picture.png")).unwrap();
    let picture = anyref.picture(&image).unwrap();
    for (index, question) in questions().iter().enumerate() {
        let prompt = Prompt::new([]).with_question(question);
        let answer = anyref.segment(&picture, &prompt).unwrap();
        let tokens = integers(&expected, &format!("{index}.tokens"));
        let text = anyref.tokenizer.decode(&tokens).unwrap();
        assert_eq!(answer.raw, text.trim());
        assert_masks(&answer, &expected, index);
    }
}

#[test]
fn states_become_the_references_masks() {
    let (anyref, expected) = (lisa(&published("lisa")).unwrap(), expected());
    let image = open_image(published("lisa/picture.png")).unwrap();
    assert_states_become_masks(&anyref, &image, &expected, 2, TOLERANCE);
}

#[test]
fn a_phrase_is_asked_for_in_lisas_words() {
    let anyref = lisa(&published("lisa")).unwrap();
    let image = open_image(published("lisa/picture.png")).unwrap();
    let picture = anyref.picture(&image).unwrap();
    let phrase = Prompt::new([Reference::Text("the tiger".into())]);
    let own = Prompt::new([]).with_question(&questions()[0]);
    let [phrase, own] = [phrase, own].map(|prompt| anyref.segment(&picture, &prompt).unwrap());
    assert_eq!(phrase.raw, own.raw);
}

/// LISA learned conversations of several turns beside single questions (`VQADataset` of its code).
#[test]
fn a_chat_reads_the_turns_before() {
    let mut anyref = lisa(&published("lisa")).unwrap();
    anyref.generation.max_new_tokens = 16;
    let image = open_image(published("lisa/picture.png")).unwrap();
    let picture = anyref.picture(&image).unwrap();
    let ask = |history: &[usize]| {
        let mut chat = anyref.chat(&picture);
        let turns = history.iter().map(|question| {
            let prompt = Prompt::new([]).with_question(&questions()[*question]);
            chat.ask(prompt, &mut |_| ControlFlow::Continue(()))
                .unwrap()
        });
        let answers: Vec<String> = turns.map(|answer| answer.raw).collect();
        assert_eq!(chat.kept_turns(), history.len());
        answers
    };
    let (alone, second) = (ask(&[1]), ask(&[0, 1]));
    assert_eq!(ask(&[0])[0], second[0]);
    assert_ne!(alone[0], second[1], "the first turn is not read");
    // As the template writes it, one turn after the other.
    let text = llava_v1()
        .ask(format!("<im_start><im_end>\n{}", questions()[0]))
        .answer(&second[0])
        .ask(&questions()[1])
        .open()
        .prompt();
    let mut ids = anyref.tokenizer.encode(&text, true).unwrap();
    let special = anyref.special_tokens();
    let llm = &anyref.model.llm;
    let device = Default::default();
    let pixels = ClipPreprocessor::new(32).with_resize(ClipResize::CenterCrop);
    let pixels = pixels.process(&image).to_tensor::<TestBackend>(&device);
    let features = anyref.model.picture_features(pixels.unsqueeze()).tokens;
    let mut tokens = Vec::new();
    for _ in 0..16 {
        let layout = Layout::new(&ids, special, 16, &[]).unwrap();
        let bank = ReferenceBank::default();
        let input = splice(llm, &[layout], Some(features.clone()), &bank, 0, &device);
        let hidden = llm.forward(LlamaInput::new(input.embeddings), None).hidden;
        let last = hidden.dims()[1] - 1;
        let logits = llm.logits(hidden.narrow(1, last, 1));
        let next = logits.argmax(2).into_data().iter::<i64>().next().unwrap() as u32;
        tokens.push(next);
        ids.push(next);
        if next == special.end {
            break;
        }
    }
    let text = anyref.tokenizer.decode(&tokens).unwrap();
    assert_eq!(second[1], text.trim());
}

#[test]
fn pictures_of_any_shape_are_answered() {
    let mut anyref = lisa(&published("lisa")).unwrap();
    anyref.generation.max_new_tokens = 4;
    let prompt = Prompt::new([]).with_question(&questions()[0]);
    for (width, height) in [(1, 1), (20_000, 200)] {
        let image = RgbImage::from_pixel(width, height, Rgb([30, 90, 200]));
        let picture = anyref.picture(&image).unwrap();
        let answer = anyref.segment(&picture, &prompt).unwrap();
        for mask in &answer.masks {
            assert_eq!(mask.rle.size(), [height as usize, width as usize]);
        }
        let region = Reference::Box([0.0, 0.0, width as f32, height as f32]);
        let boxed = anyref.segment(&picture, &Prompt::new([region])).unwrap();
        assert_eq!(boxed.masks[0].rle.size(), [height as usize, width as usize]);
    }
}

#[test]
fn an_anyref_begins_with_lisas_weights() {
    let out = tempfile::tempdir().unwrap();
    let assembly = Assembly {
        clip: Some(published("clip")),
        sam: None,
        ..assembly(&published("lisa"))
    };
    let assembled = assembly.write::<TestBackend>(out.path()).unwrap();
    // Four tokens of references and the projection of sounds are new.
    assert_eq!(assembled.new_tokens, 4);
    let fresh: Vec<&str> = assembled.fresh.iter().map(String::as_str).collect();
    assert_eq!(fresh, ["audio_projector.bias", "audio_projector.weight"]);
    assert_eq!(assembled.config.prompts, PromptConfig::default());
    let begun = load(out.path());
    let lisa = lisa(&published("lisa")).unwrap();
    assert!(begun.config.refocus_lambda > 0.0);
    let weights =
        |anyref: &AnyRef<TestBackend>| anyref.model.mask_branch().text_hidden_fcs.fc1.weight.val();
    assert_eq!(weights(&begun).into_data(), weights(&lisa).into_data());
    let object = |anyref: &AnyRef<TestBackend>| anyref.special_tokens().object.unwrap();
    assert_eq!(object(&begun), object(&lisa));
}

#[test]
fn a_lisa_written_as_a_model_folder_answers_the_same() {
    let out = tempfile::tempdir().unwrap();
    let companions = Companions {
        clip: Some(published("clip")),
        ..Companions::default()
    };
    let folder = Published::open(&published("lisa")).unwrap();
    let assembly = Assembly::of_published(&folder, &companions).unwrap();
    let assembled = assembly.write::<TestBackend>(out.path()).unwrap();
    assert!(assembled.fresh.is_empty(), "{:?}", assembled.fresh);
    assert_eq!(assembled.new_tokens, 0);
    let mut written = AnyRef::<TestBackend>::load(out.path(), &Default::default()).unwrap();
    written.generation.max_new_tokens = 64;
    let published = lisa(&published("lisa")).unwrap();
    let image = open_image(crate::parts::published("lisa/picture.png")).unwrap();
    let prompt = Prompt::new([]).with_question(&questions()[0]);
    let [one, other] = [&written, &published].map(|anyref| {
        let picture = anyref.picture(&image).unwrap();
        anyref.segment(&picture, &prompt).unwrap()
    });
    assert_eq!(one.raw, other.raw);
    for (one, other) in one.masks.iter().zip(&other.masks) {
        assert_eq!(one.rle.to_mask(), other.rle.to_mask());
    }
}
