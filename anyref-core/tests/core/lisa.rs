//! LISA in its authors' layout: the reference's numbers from a picture file and a question to text
//! and masks, and clear words about folders that are none.

use std::fs;
use std::path::Path;

use anyref_core::{
    AnyRef, Assembly, Companions, Layout, Prompt, PromptConfig, Reference, ReferenceBank, splice,
};
use anyref_llm::LlamaInput;
use anyref_llm::conversation::llava_v1;
use anyref_ops::testing::assert_close;
use anyref_vision::preprocess::{ClipPreprocessor, ClipResize, SamPreprocessor, open_image};
use anyref_weights::testing::Fixture;
use anyref_weights::{Checkpoint, OutputTensor, SaveOptions, write_checkpoint};
use burn::tensor::{DType, TensorData};
use image::{Rgb, RgbImage};

use crate::common::TestBackend;
use crate::parts::{assembly, copied, load, published};

const TOLERANCE: f64 = 1e-4;

pub fn lisa(folder: &Path) -> anyref_core::Result<AnyRef<TestBackend>> {
    let companions = Companions {
        clip: Some(published("clip")),
        ..Companions::default()
    };
    let mut anyref =
        AnyRef::load_beside(folder, &companions, Default::default(), &Default::default())?;
    anyref.generation.max_new_tokens = 64;
    Ok(anyref)
}

fn expected() -> Fixture {
    Fixture::open(published("expected_lisa.safetensors"))
}

fn questions() -> Vec<String> {
    let json = fs::read(published("expected_lisa.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    serde_json::from_value(json["questions"].clone()).unwrap()
}

fn integers(expected: &Fixture, name: &str) -> Vec<u32> {
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
        let logits = expected.data(&format!("{index}.masks"));
        let count = logits.shape[0];
        assert_eq!(answer.masks.len(), count);
        let logits: Vec<f32> = logits.iter::<f32>().collect();
        let logits = logits.chunks_exact(60 * 94);
        let scores = expected.data(&format!("{index}.scores"));
        let scores: Vec<f32> = scores.iter::<f32>().collect();
        for ((mask, logits), score) in answer.masks.iter().zip(logits).zip(scores) {
            let wrong =
                |(inside, logit): (&bool, &f32)| *inside != (*logit > 0.0) && logit.abs() > 1e-4;
            let pixels = mask.rle.to_mask();
            assert_eq!(
                pixels
                    .iter()
                    .zip(logits)
                    .filter(|&pair| wrong(pair))
                    .count(),
                0
            );
            assert!((mask.score - score.clamp(0.0, 1.0)).abs() < 1e-4);
        }
    }
}

#[test]
fn states_become_the_references_masks() {
    let (anyref, expected) = (lisa(&published("lisa")).unwrap(), expected());
    let (model, device) = (&anyref.model, Default::default());
    let image = open_image(published("lisa/picture.png")).unwrap();
    let pixels = SamPreprocessor::new(64).process(&image).pixels;
    let masks = model.mask_branch();
    let embedding = masks
        .image_encoder
        .forward(pixels.to_tensor(&device).unsqueeze());
    for index in 0..2 {
        let states = expected.tensor::<TestBackend, 2>(&format!("{index}.states"), &device);
        let prompts = masks.text_hidden_fcs.forward(states.clone());
        let embedding = embedding.clone().repeat_dim(0, states.dims()[0]);
        let masks = model.decode_masks(embedding, prompts).low_res_masks;
        let wanted = expected.tensor(&format!("{index}.low_res_masks"), &device);
        assert_close(&masks, &wanted, TOLERANCE);
    }
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

/// Loading a copy of the folder, changed, ends in one line with these words.
fn refused(change: impl FnOnce(&Path), words: &[&str]) {
    let folder = copied("lisa");
    change(folder.path());
    let message = lisa(folder.path()).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn folders_that_are_no_lisa_are_refused_with_the_remedy() {
    refused(
        |folder| {
            for file in ["added_tokens.json", "tokenizer_config.json"] {
                edit(&folder.join(file), "[SEG]", "[MASK]");
            }
        },
        &["no token \"[SEG]\""],
    );
    refused(
        |folder| edit(&folder.join("config.json"), "\"llava\"", "\"gpt2\""),
        &["config.json", "gpt2", "llava"],
    );
    refused(
        |folder| {
            let index = folder.join("pytorch_model.bin.index.json");
            edit(
                &index,
                "model.text_hidden_fcs.0.2.bias",
                "model.text_hidden_fcs.0.9.bias",
            );
        },
        &["pytorch_model"],
    );
    // Without CLIP, and none of the name that the config has.
    let folder = copied("lisa");
    let alone = AnyRef::<TestBackend>::load(folder.path(), &Default::default());
    let message = alone.unwrap_err().to_string();
    assert!(
        message.contains("openai/clip-vit-large-patch14"),
        "{message}"
    );
    assert!(message.contains("--clip"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn a_tower_of_another_width_is_refused() {
    let folder = copied("lisa");
    let other = copied("clip");
    let companions = Companions {
        clip: Some(other.path().into()),
        ..Companions::default()
    };
    edit(&folder.path().join("config.json"), "-2", "-9");
    let loaded = AnyRef::<TestBackend>::load_beside(
        folder.path(),
        &companions,
        Default::default(),
        &Default::default(),
    );
    let message = loaded.unwrap_err().to_string();
    assert!(message.contains("layer"), "{message}");
}

#[test]
fn a_head_that_does_not_fit_sam_is_refused() {
    let folder = copied("lisa");
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let tensors = checkpoint.tensors().map(|entry| match entry.name.as_str() {
        "model.text_hidden_fcs.0.2.weight" => {
            let values = TensorData::zeros::<f32, _>([20, 16]);
            OutputTensor::new(entry.name.clone(), DType::F32, [20, 16], move || {
                Ok(values.clone())
            })
        }
        _ => OutputTensor::from_entry(&entry.name, entry, None),
    });
    let whole = folder.path().join("model.safetensors");
    write_checkpoint(&whole, tensors.collect(), &SaveOptions::default()).unwrap();
    let message = lisa(folder.path()).unwrap_err().to_string();
    assert!(message.contains("from 16 to 20"), "{message}");
    assert!(message.contains("mask decoder of 16"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
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
    let assembly = Assembly::of_published(&published("lisa"), &companions).unwrap();
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
