//! GLaMM in its authors' layout: the reference's numbers from a picture, words and boxes to text,
//! phrases and masks, and clear words about folders that are none.

use std::fs;
use std::path::Path;

use anyref_core::official::{Kind, Published, compare};
use anyref_core::{
    Answer, AnyRef, Assembly, Companions, Goal, Layout, ModelOptions, PictureMarkers, Prompt,
    PromptConfig, QuestionForm, Reference, ReferenceBank, Turn, splice,
};
use anyref_llm::LlamaInput;
use anyref_llm::conversation::llava_v1;
use anyref_ops::testing::assert_close;
use anyref_vision::preprocess::{ClipPreprocessor, ClipResize, open_image};
use anyref_vision::roi_align::RegionBox;
use anyref_weights::testing::Fixture;
use anyref_weights::{Checkpoint, OutputTensor, SaveOptions, WeightType, write_checkpoint};
use burn::tensor::Tensor;
use image::RgbImage;
use serde_json::Value;

use crate::common::TestBackend;
use crate::parts::{assert_masks, assert_states_become_masks, copied, published};

const TOLERANCE: f64 = 1e-4;
/// Height and width of the fixture's picture.
const SIZE: [usize; 2] = [30, 44];
/// Questions of the fixture whose answers point at things.
const POINTING: usize = 2;

fn glamm(folder: &Path) -> anyref_core::Result<AnyRef<TestBackend>> {
    let companions = Companions {
        clip: Some(published("clip_336")),
        ..Companions::default()
    };
    let mut anyref =
        AnyRef::load_beside(folder, &companions, Default::default(), &Default::default())?;
    anyref.generation.max_new_tokens = 40;
    Ok(anyref)
}

fn picture() -> RgbImage {
    open_image(published("glamm/picture.png")).unwrap()
}

fn expected() -> Fixture {
    Fixture::open(published("expected_glamm.safetensors"))
}

fn integers(expected: &Fixture, name: &str) -> Vec<u32> {
    let data = expected.data(name);
    data.iter::<i64>().map(|id| id as u32).collect()
}

/// A question of the fixture.
struct Asked {
    question: String,
    region: Option<[f32; 4]>,
    clean: String,
    phrases: Vec<String>,
}

fn asked() -> Vec<Asked> {
    let json = fs::read(published("expected_glamm.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let rows = json["questions"].as_array().unwrap().iter().enumerate();
    let asked = rows.map(|(index, question)| Asked {
        question: question.as_str().unwrap().to_owned(),
        region: serde_json::from_value(json["boxes"][index].clone()).unwrap(),
        clean: json["answers"][index]["clean"].as_str().unwrap().to_owned(),
        phrases: serde_json::from_value(json["answers"][index]["phrases"].clone()).unwrap(),
    });
    asked.collect()
}

impl Asked {
    /// As a person asks: boxes by number.
    fn prompt(&self) -> Prompt {
        let references = self.region.map(Reference::Box);
        Prompt::new(references).with_question(self.question.replace("<bbox>", "{1}"))
    }
}

#[test]
fn pictures_questions_and_regions_become_the_references_input() {
    let (anyref, expected) = (glamm(&published("glamm")).unwrap(), expected());
    let device = Default::default();
    let clip = ClipPreprocessor::new(336).with_resize(ClipResize::CenterCrop);
    let pixels = clip.process(&picture()).to_tensor::<TestBackend>(&device);
    let features = anyref.model.picture_features(pixels.unsqueeze());
    let encoder = anyref.model.region_encoder.as_ref().unwrap();
    let levels = encoder.fuse(features.states.clone());
    for (index, asked) in asked().iter().enumerate() {
        let lead = "The <im_start><im_end> provides an overview of the picture.";
        let text = llava_v1().ask(format!("{lead}\n{}", asked.question));
        let ids = anyref.tokenizer.encode(&text.open().prompt(), true);
        let ids = ids.unwrap();
        assert_eq!(ids, integers(&expected, &format!("{index}.ids")), "{index}");
        let mut bank = ReferenceBank::default();
        let mut references = Vec::new();
        if let Some([x0, y0, x1, y1]) = asked.region {
            let [height, width] = SIZE.map(|side| side as f32);
            let region = RegionBox {
                batch: 0,
                x0: x0 / width,
                y0: y0 / height,
                x1: x1 / width,
                y1: y1 / height,
            };
            let region = encoder.regions(&levels, &[region]);
            let wanted: Tensor<TestBackend, 2> =
                expected.tensor(&format!("{index}.region"), &device);
            assert_close(&region, &wanted, TOLERANCE);
            bank.push(region.unsqueeze_dim(0));
            references.push((0, 1));
        }
        let layout = Layout::new(&ids, anyref.special_tokens(), 576, &references).unwrap();
        let image = Some(features.tokens.clone());
        let llm = &anyref.model.llm;
        let input = splice(llm, &[layout], image, &bank, 0, &device);
        let hidden = llm.forward(LlamaInput::new(input.embeddings), None).hidden;
        let last = hidden.dims()[1] - 1;
        let logits = llm.logits(hidden.narrow(1, last, 1));
        let logits = logits.squeeze_dims::<1>(&[0, 1]);
        let wanted = expected.tensor::<TestBackend, 1>(&format!("{index}.logits"), &device);
        assert_close(&logits, &wanted, TOLERANCE);
    }
}

/// Compares an answer with the reference's text, and its masks with the reference's.
fn check(anyref: &AnyRef<TestBackend>, expected: &Fixture, index: usize, answer: &Answer) {
    let asked = &asked()[index];
    let tokens = integers(expected, &format!("{index}.tokens"));
    let text = anyref.tokenizer.decode(&tokens).unwrap();
    assert_eq!(answer.raw, text.trim());
    assert_eq!(answer.text, asked.clean);
    if index >= POINTING {
        assert!(answer.masks.is_empty());
        return;
    }
    assert_masks(answer, expected, index);
}

#[test]
fn answers_and_masks_are_the_references() {
    let (anyref, expected) = (glamm(&published("glamm")).unwrap(), expected());
    let picture = anyref.picture(&picture()).unwrap();
    let asked = asked();
    for (index, question) in asked.iter().enumerate() {
        let prompt = question.prompt();
        let answer = match index < POINTING {
            true => anyref.segment(&picture, &prompt),
            false => anyref.describe(&picture, &prompt),
        };
        check(&anyref, &expected, index, &answer.unwrap());
    }
    // All at once, of rows of several lengths.
    let prompts: Vec<Prompt> = asked.iter().map(Asked::prompt).collect();
    let questions: Vec<_> = prompts.iter().map(|prompt| (&picture, prompt)).collect();
    for (index, answer) in anyref.segment_all(&questions).into_iter().enumerate() {
        check(&anyref, &expected, index, &answer.unwrap());
    }
}

#[test]
fn matrices_in_half_precision_say_the_same() {
    let companions = Companions {
        clip: Some(published("clip_336")),
        ..Companions::default()
    };
    let options = ModelOptions::new(WeightType::Auto);
    let folder = published("glamm");
    let loaded = AnyRef::load_beside(&folder, &companions, options, &Default::default());
    let anyref: AnyRef<TestBackend> = loaded.unwrap();
    let picture = anyref.picture(&picture()).unwrap();
    for asked in asked() {
        let answer = anyref.segment(&picture, &asked.prompt()).unwrap();
        assert_eq!(answer.text, asked.clean);
    }
}

#[test]
fn masks_are_tied_to_their_phrases() {
    let anyref = glamm(&published("glamm")).unwrap();
    let picture = anyref.picture(&picture()).unwrap();
    let asked = asked();
    let caption = anyref.segment(&picture, &asked[0].prompt()).unwrap();
    let letters: Vec<char> = caption.text.chars().collect();
    let tied = caption.masks.iter().map(|mask| {
        let [start, end] = mask.words.expect("a phrase");
        letters[start..end].iter().collect::<String>()
    });
    let tied: Vec<String> = tied.collect();
    assert_eq!(tied, asked[0].phrases);
    assert!(tied.len() >= 2 && !caption.text.contains("<p>"), "{tied:?}");
    let plain = anyref.segment(&picture, &asked[1].prompt()).unwrap();
    assert!(plain.masks[0].words.is_none());
}

#[test]
fn states_become_the_references_masks() {
    let (anyref, expected) = (glamm(&published("glamm")).unwrap(), expected());
    assert_states_become_masks(&anyref, &picture(), &expected, POINTING, TOLERANCE);
}

#[test]
fn words_and_boxes_are_asked_for_in_glamms_words() {
    let anyref = glamm(&published("glamm")).unwrap();
    let picture = anyref.picture(&picture()).unwrap();
    let asked = asked();
    let phrase = Prompt::new([Reference::Text("the tiger".into())]);
    let phrase = anyref.segment(&picture, &phrase).unwrap();
    assert_eq!(phrase.text, asked[1].clean);
    for asked in &asked[POINTING..] {
        let region = Prompt::new([Reference::Box(asked.region.unwrap())]);
        let described = anyref.describe(&picture, &region).unwrap();
        assert_eq!(described.text, asked.clean);
        assert!(described.bridges.is_empty());
        // A mask of a box is SAM's own, which the model was not trained to make.
        let masked = anyref.segment(&picture, &region).unwrap();
        assert_eq!((masked.masks.len(), masked.bridges.len()), (1, 1));
        assert!(masked.text.is_empty());
    }
}

#[test]
fn boxes_outside_and_markers_without_a_box_are_refused() {
    let anyref = glamm(&published("glamm")).unwrap();
    let picture = anyref.picture(&picture()).unwrap();
    let outside = Prompt::new([Reference::Box([0.0, 0.0, 45.0, 30.0])]);
    assert!(anyref.describe(&picture, &outside).is_err());
    for token in ["<bbox>", "<p>", "</p>", "<im_start>"] {
        let alone = Prompt::new([]).with_question(format!("What is in {token}?"));
        let message = anyref.describe(&picture, &alone).unwrap_err().to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.contains("leave it out"), "{message}");
    }
}

#[test]
fn its_config_says_how_it_is_asked() {
    let anyref = glamm(&published("glamm")).unwrap();
    let config = &anyref.config;
    assert_eq!(config.prompts, PromptConfig::glamm());
    assert_eq!(config.prompts.picture_markers, PictureMarkers::Overview);
    let json = serde_json::to_string(&config.prompts).unwrap();
    for part in ["\"glamm\"", "\"overview\"", "\"bbox\"", "\"phrases\":true"] {
        assert!(json.contains(part), "no {part} in {json}");
    }
    let read: PromptConfig = serde_json::from_str(&json).unwrap();
    assert_eq!(read, config.prompts);
    // What other models leave out.
    let plain = serde_json::to_string(&PromptConfig::default()).unwrap();
    assert!(
        !plain.contains("phrases") && !plain.contains("lead"),
        "{plain}"
    );
    let turn = Turn::new(
        Prompt::new([Reference::Box([0.0; 4])]),
        Goal::Describe,
        &config.prompts,
    );
    assert!(turn.is_ok());
    assert!(QuestionForm::Glamm.description().contains("marked by {1}"));
}

#[test]
fn a_folder_is_told_and_held_against_its_config() {
    let published = Published::open(&published("glamm")).unwrap();
    assert_eq!(published.kind, Some(Kind::Glamm));
    let reports = compare::<TestBackend>(&published, None, &Default::default()).unwrap();
    let names: Vec<&str> = reports.iter().map(|(name, _)| *name).collect();
    assert!(
        names.contains(&"region encoder") && names.len() == 5,
        "{names:?}"
    );
    for (name, report) in reports {
        assert!(report.is_complete(), "{name}: {report}");
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Loading a copy of the folder, changed, ends in one line with these words.
fn refused(change: impl FnOnce(&Path), words: &[&str]) {
    let folder = copied("glamm");
    change(folder.path());
    let message = glamm(folder.path()).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
}

/// Writes the folder's weights anew, but for those whose names begin so.
fn without(folder: &Path, prefix: &str) {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let kept = checkpoint
        .tensors()
        .filter(|entry| !entry.name.starts_with(prefix));
    let kept = kept.map(|entry| OutputTensor::from_entry(&entry.name, entry, None));
    let whole = folder.join("model.safetensors");
    write_checkpoint(&whole, kept.collect(), &SaveOptions::default()).unwrap();
}

#[test]
fn folders_that_are_no_glamm_are_refused_with_the_remedy() {
    refused(
        |folder| {
            let config = folder.join("config.json");
            edit(&config, "\"GLaMMForCausalLM\"", "\"VideoGLaMMForCausalLM\"");
        },
        &["config.json", "VideoGLaMMForCausalLM", "GLaMMForCausalLM"],
    );
    refused(
        |folder| without(folder, "model.region_encoder."),
        &["without its region encoder", "MBZUAI/GLaMM-FullScope"],
    );
    refused(
        |folder| edit(&folder.join("added_tokens.json"), "<bbox>", "<box>"),
        &["no token \"<bbox>\""],
    );
    refused(
        |folder| {
            let config = folder.join("config.json");
            edit(&config, "\"out_dim\": 16", "\"out_dim\": 512");
        },
        &["out_dim", "512", "16"],
    );
    refused(
        |folder| {
            let config = folder.join("config.json");
            edit(
                &config,
                "\"num_level_reg_features\": 4",
                "\"num_level_reg_features\": 3",
            );
        },
        &["num_level_reg_features", "is 3"],
    );
    refused(
        |folder| {
            let config = folder.join("config.json");
            edit(
                &config,
                "\"mm_vision_select_layer\": -2",
                "\"mm_vision_select_layer\": 3",
            );
        },
        &["num_levels", "layers of CLIP"],
    );
    // Without CLIP, and none of the name that the config has.
    let folder = copied("glamm");
    let alone = AnyRef::<TestBackend>::load(folder.path(), &Default::default());
    let message = alone.unwrap_err().to_string();
    assert!(
        message.contains("openai/clip-vit-large-patch14-336"),
        "{message}"
    );
    assert!(message.contains("--clip"), "{message}");
}

#[test]
fn a_glamm_written_as_a_model_folder_answers_the_same() {
    let out = tempfile::tempdir().unwrap();
    let companions = Companions {
        clip: Some(published("clip_336")),
        ..Companions::default()
    };
    let assembly =
        Assembly::of_published(&Published::open(&published("glamm")).unwrap(), &companions)
            .unwrap();
    let assembled = assembly.write::<TestBackend>(out.path()).unwrap();
    assert!(assembled.fresh.is_empty(), "{:?}", assembled.fresh);
    assert_eq!(assembled.new_tokens, 0);
    let mut written = AnyRef::<TestBackend>::load(out.path(), &Default::default()).unwrap();
    written.generation.max_new_tokens = 40;
    let expected = expected();
    let picture = written.picture(&picture()).unwrap();
    for (index, question) in asked().iter().enumerate() {
        let answer = written.segment(&picture, &question.prompt()).unwrap();
        check(&written, &expected, index, &answer);
    }
}
