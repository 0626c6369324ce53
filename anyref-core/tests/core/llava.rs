//! LLaVA in its authors' layout: equal to the reference from picture file and question to text,
//! without masks.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use anyref_core::official::Published;
use anyref_core::{
    AnyRef, AnyRefConfig, Assembly, Companions, Error, PictureMarkers, Prompt, Reference, Template,
};
use anyref_llm::LlamaInput;
use anyref_llm::conversation::llava_v1;
use anyref_ops::testing::assert_close;
use anyref_vision::preprocess::{ClipPreprocessor, ClipResize, open_image};
use anyref_weights::testing::Fixture;
use burn::tensor::{Int, Tensor, TensorData};

use crate::common::TestBackend;
use crate::parts::{copied, published};

fn companions() -> Companions {
    Companions {
        clip: Some(published("clip")),
        ..Companions::default()
    }
}

fn load(folder: &Path) -> anyref_core::Result<AnyRef<TestBackend>> {
    let (options, device) = (Default::default(), Default::default());
    let mut anyref = AnyRef::load_beside(folder, &companions(), options, &device)?;
    anyref.generation.max_new_tokens = 48;
    Ok(anyref)
}

fn llava() -> AnyRef<TestBackend> {
    load(&published("llava-v1.5")).unwrap()
}

fn expected() -> Fixture {
    Fixture::open(published("expected_llava.safetensors"))
}

fn questions() -> Vec<String> {
    let json = fs::read(published("expected_llava.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    serde_json::from_value(json["questions"].clone()).unwrap()
}

fn ids(expected: &Fixture, name: &str) -> Vec<u32> {
    let ids = expected.data(name);
    ids.iter::<i64>().map(|id| id as u32).collect()
}

#[test]
fn pictures_and_questions_become_the_references_logits() {
    let (anyref, expected, device) = (llava(), expected(), Default::default());
    let image = open_image(published("lisa/picture.png")).unwrap();
    let clip = ClipPreprocessor::new(32).with_resize(ClipResize::Pad);
    let pixels = clip.process(&image).to_tensor::<TestBackend>(&device);
    let pixels = pixels.unsqueeze::<4>();
    assert_close(&pixels, &expected.tensor("clip.pixels", &device), 1e-5);
    let features = anyref.model.picture_features(pixels).tokens;
    let llm = &anyref.model.llm;
    for (index, question) in questions().iter().enumerate() {
        let asked = llava_v1().ask(format!("<image>\n{question}"));
        let text = asked.open().prompt();
        let (before, after) = text.split_once("<image>").unwrap();
        let before = anyref.tokenizer.encode(before, true).unwrap();
        let after = anyref.tokenizer.encode(after, false).unwrap();
        assert_eq!(before, ids(&expected, &format!("{index}.before")));
        assert_eq!(after, ids(&expected, &format!("{index}.after")));
        let embed = |ids: Vec<u32>| {
            let (count, ids) = (ids.len(), ids.into_iter().map(|id| id as i32));
            let ids = TensorData::new(ids.collect::<Vec<_>>(), [1, count]);
            llm.embed(Tensor::<TestBackend, 2, Int>::from_data(ids, &device))
        };
        let input = Tensor::cat(vec![embed(before), features.clone(), embed(after)], 1);
        let hidden = llm.forward(LlamaInput::new(input), None).hidden;
        let last = hidden.dims()[1] - 1;
        let logits = llm.logits(hidden.narrow(1, last, 1));
        let logits = logits.squeeze_dims::<1>(&[0, 1]);
        let wanted = expected.tensor::<TestBackend, 1>(&format!("{index}.logits"), &device);
        assert_close(&logits, &wanted, 1e-4);
    }
}

#[test]
fn questions_are_answered_in_the_references_words() {
    let (anyref, expected) = (llava(), expected());
    let image = open_image(published("lisa/picture.png")).unwrap();
    let picture = anyref.picture(&image).unwrap();
    assert_eq!(picture.size(), image.dimensions());
    for (index, question) in questions().iter().enumerate() {
        let prompt = Prompt::new([]).with_question(question);
        let mut go_on = |_: &str| ControlFlow::Continue(());
        let answer = anyref.chat(&picture).ask(prompt.clone(), &mut go_on);
        let answer = answer.unwrap();
        let tokens = ids(&expected, &format!("{index}.tokens"));
        let text = anyref.tokenizer.decode(&tokens).unwrap();
        assert_eq!(answer.raw, text.trim());
        assert!(answer.masks.is_empty() && answer.bridges.is_empty());
        let described = anyref.describe(&picture, &prompt).unwrap();
        assert_eq!(described.raw, answer.raw);
    }
}

#[test]
fn it_says_that_it_makes_no_masks() {
    let anyref = llava();
    assert!(!anyref.config.makes_masks() && anyref.sam().is_none());
    let image = open_image(published("lisa/picture.png")).unwrap();
    let picture = anyref.picture(&image).unwrap();
    let boxed = Prompt::new([Reference::Box([20.0, 10.0, 50.0, 40.0])]);
    for prompt in [&boxed, &Prompt::new([Reference::Text("the tiger".into())])] {
        let refused = anyref.segment(&picture, prompt).unwrap_err();
        assert!(matches!(refused, Error::NoMasks), "{refused}");
        let explained = anyref.explain(&picture, prompt).unwrap_err();
        assert!(matches!(explained, Error::NoMasks), "{explained}");
        let line = refused.to_string();
        assert!(line.contains("hf://xinlai/LISA-7B-v1") && line.lines().count() == 1);
    }
    // The words for a box equal those for its crop.
    let described = anyref.describe(&picture, &boxed).unwrap();
    assert!(!described.text.is_empty() && described.masks.is_empty());
    assert_eq!(described.bridges.len(), 1);
    let other = Prompt::new([Reference::Box([60.0, 15.0, 85.0, 45.0])]);
    let other = anyref.describe(&picture, &other).unwrap();
    assert_ne!(described.text, other.text);
}

#[test]
fn written_as_a_model_folder_it_answers_the_same() {
    let out = tempfile::tempdir().unwrap();
    let folder = Published::open(&published("llava-v1.5")).unwrap();
    let assembly = Assembly::of_published(&folder, &companions()).unwrap();
    let assembled = assembly.write::<TestBackend>(out.path()).unwrap();
    assert!(assembled.fresh.is_empty(), "{:?}", assembled.fresh);
    let config = fs::read_to_string(out.path().join("config.json")).unwrap();
    assert!(!config.contains("mask_decoder"), "{config}");
    let read = AnyRefConfig::of_folder(out.path()).unwrap();
    assert_eq!(read.clip_resize, ClipResize::Pad);
    assert_eq!(read.prompts.picture_markers, PictureMarkers::None);
    let image = open_image(published("lisa/picture.png")).unwrap();
    let prompt = Prompt::new([]).with_question(&questions()[0]);
    let [one, other] = [load(out.path()).unwrap(), llava()].map(|anyref| {
        let picture = anyref.picture(&image).unwrap();
        anyref.describe(&picture, &prompt).unwrap().raw
    });
    assert_eq!(one, other);
}

#[test]
fn its_config_and_name_say_how_it_is_asked() {
    let config = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join(name);
        fs::rename(copied("llava-v1.5").keep(), &model).unwrap();
        let file = model.join("config.json");
        let mut json = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        change(&mut json);
        fs::write(&file, json.to_string()).unwrap();
        load(&model).map(|anyref| anyref.config)
    };
    let plain = config("llava-v1.5-7b", &|_| {}).unwrap();
    assert_eq!(plain.prompts.template, Template::LlavaV1);
    let llama_2 = config("llava-llama-2-13b-chat", &|_| {}).unwrap();
    assert_eq!(llama_2.prompts.template, Template::LlavaLlama2);
    let cropped = config("llava-v1", &|json| {
        json["image_aspect_ratio"] = serde_json::Value::Null;
    });
    assert_eq!(cropped.unwrap().clip_resize, ClipResize::CenterCrop);
    let refused = |field: &str, value: serde_json::Value, words: &str| {
        let change = |json: &mut serde_json::Value| json[field] = value.clone();
        let error = config("llava", &change).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    };
    refused(
        "image_aspect_ratio",
        "anyres".into(),
        "supported: square, pad",
    );
    // The tokenizer of a model with markers has them.
    refused("mm_use_im_start_end", true.into(), "<im_start>");
}
