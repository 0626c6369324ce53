//! An engine answers like the model that it holds.

use std::ops::ControlFlow::{self, Continue};
use std::path::Path;

use anyref_core::{
    Answer, AnswerOptions, AnyRef, AutomaticMaskConfig, Cancel, Dialogue, Engine, EngineOptions,
    Error, Goal, MaskPrediction, MaskPrompt, ModelSource, Multimask, OnText, Prompt, Reference,
    Request, load_engine,
};
use burn::tensor::{DType, read_sync};
use tempfile::TempDir;

use crate::answers::content;
use crate::common::{ONE, TestBackend, image, pointing, saying, tone};
use crate::sam_alone::{sam, structured, weights};

fn phrase(text: &str) -> Prompt {
    Prompt::new([Reference::Text(text.into())])
}

fn go_on(_text: &str) -> ControlFlow<()> {
    Continue(())
}

/// Saves a model to a folder.
fn saved(anyref: &AnyRef<TestBackend>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    anyref.save(folder.path(), DType::F32).unwrap();
    folder
}

fn options(folder: &Path) -> EngineOptions {
    EngineOptions::new(ModelSource::Path(folder.into()))
}

/// Engine of a model, limited to `tokens` tokens per answer.
fn engine(anyref: &AnyRef<TestBackend>) -> (Box<dyn Engine>, TempDir) {
    let folder = saved(anyref);
    let answers = AnswerOptions {
        max_new_tokens: Some(anyref.generation.max_new_tokens),
        ..AnswerOptions::default()
    };
    let options = EngineOptions {
        answers,
        ..options(folder.path())
    };
    (load_engine(&options).unwrap(), folder)
}

#[test]
fn an_engine_answers_as_its_model() {
    let anyref = pointing::<TestBackend>(2, 6);
    let (engine, _folder) = engine(&anyref);
    let scene = image(64, 48);
    let own = anyref.picture(&scene).unwrap();
    let picture = engine.encode(&scene).unwrap();
    assert_eq!(picture.size(), own.size());
    assert_eq!(picture.bytes(), own.bytes());
    let prompts = [
        phrase("the red circle"),
        Prompt::new([
            Reference::Box([4.0, 4.0, 30.0, 30.0]),
            Reference::Audio(tone(700.0)),
        ]),
        Prompt::new([]),
        phrase("the dog"),
    ];
    let requests = prompts.each_ref().map(|prompt| Request {
        picture: &picture,
        prompt,
        goal: Goal::Segment,
    });
    for (found, prompt) in engine.answer(&requests).into_iter().zip(&prompts) {
        match (found, anyref.segment(&own, prompt)) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found.raw, expected.raw);
                assert_eq!(found.masks.len(), 2);
                assert!(
                    found
                        .masks
                        .iter()
                        .zip(&expected.masks)
                        .all(|(a, b)| a.rle == b.rle)
                );
            }
            (found, expected) => {
                assert_eq!(
                    found.unwrap_err().to_string(),
                    expected.unwrap_err().to_string()
                );
            }
        }
    }
    let region = Prompt::new([Reference::Box([4.0, 4.0, 30.0, 30.0])]);
    let described = engine.describe(&picture, &region).unwrap();
    assert_eq!(
        content(&described),
        content(&anyref.describe(&own, &region).unwrap())
    );
    let (found, found_shares) = engine.explain(&picture, &region).unwrap();
    let (expected, shares) = anyref.explain(&own, &region).unwrap();
    assert_eq!(content(&found), content(&expected));
    assert_eq!(found_shares[1].patches, shares[1].patches);
}

#[test]
fn an_engine_keeps_a_dialogue() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let (engine, _folder) = engine(&anyref);
    let scene = image(60, 60);
    let own = anyref.picture(&scene).unwrap();
    let mut chat = anyref.chat(&own);
    let mut dialogue = Dialogue::new(engine.encode(&scene).unwrap());
    for question in ["the red circle", "the dog"] {
        let mut written = String::new();
        let found = engine.chat(&mut dialogue, phrase(question), &mut |text| {
            written.push_str(text);
            Continue(())
        });
        let found = found.unwrap();
        assert_eq!(written, found.raw);
        let expected = chat.ask(phrase(question), &mut go_on).unwrap();
        assert_eq!(content(&found), content(&expected));
    }
    assert_eq!(dialogue.history().answered(), 2);
    let empty = engine.chat(&mut dialogue, Prompt::new([]), &mut go_on);
    assert!(empty.is_err());
    assert_eq!(dialogue.history().answered(), 2);
    dialogue.clear();
    assert_eq!(dialogue.history().answered(), 0);
}

/// Question numbers of the answer pieces, in order of arrival.
fn order(engine: &dyn Engine, prompts: &[Prompt]) -> (Vec<usize>, Vec<Answer>) {
    let picture = engine.encode(&image(48, 48)).unwrap();
    let requests = prompts.iter().map(|prompt| Request {
        picture: &picture,
        prompt,
        goal: Goal::Segment,
    });
    let requests: Vec<_> = requests.collect();
    let mut order = Vec::new();
    let on_text: OnText = &mut |question, _| {
        order.push(question);
        Continue(())
    };
    let answers = read_sync(engine.answer_async(&requests, on_text, &Cancel::new()));
    (order, answers.into_iter().map(Result::unwrap).collect())
}

#[test]
fn memory_bounds_the_questions_of_a_batch() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let folder = saved(&anyref);
    let with = |batch_bytes| {
        let answers = AnswerOptions {
            batch_bytes,
            ..AnswerOptions::default()
        };
        let options = EngineOptions {
            answers,
            ..options(folder.path())
        };
        load_engine(&options).unwrap()
    };
    let prompts = [phrase("the red circle"), phrase("dog"), phrase("the")];
    let (together, expected) = order(&*with(None), &prompts);
    let (apart, found) = order(&*with(Some(1)), &prompts);
    // Together the answers progress concurrently, apart one after the other.
    assert!(!together.is_sorted(), "{together:?}");
    assert!(apart.is_sorted(), "{apart:?}");
    assert_eq!(apart.last(), Some(&2));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.raw, expected.raw);
        assert!(!found.masks.is_empty());
        assert!(
            found
                .masks
                .iter()
                .zip(&expected.masks)
                .all(|(a, b)| a.rle == b.rle)
        );
    }
}

#[test]
fn an_answer_is_cancelled_from_anywhere() {
    let (engine, _folder) = engine(&pointing::<TestBackend>(4, 2));
    let picture = engine.encode(&image(48, 48)).unwrap();
    let prompt = phrase("the red circle");
    let request = Request {
        picture: &picture,
        prompt: &prompt,
        goal: Goal::Segment,
    };
    let cancel = Cancel::new();
    let other = cancel.clone();
    let mut pieces = 0;
    let on_text: OnText = &mut |_, _| {
        pieces += 1;
        other.cancel();
        Continue(())
    };
    let requests = [request];
    let mut answers = read_sync(engine.answer_async(&requests, on_text, &cancel));
    assert!(matches!(answers.remove(0), Err(Error::Cancelled)));
    assert_eq!(pieces, 1);
    assert_eq!(engine.segment(&picture, &prompt).unwrap().masks.len(), 4);
}

#[test]
fn threads_share_an_engine_and_its_pictures() {
    let (engine, _folder) = engine(&saying::<TestBackend>(ONE, 1));
    let picture = engine.encode(&image(48, 48)).unwrap();
    let expected = engine.segment(&picture, &phrase("dog")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let found = engine.segment(&picture, &phrase("dog")).unwrap();
                assert_eq!(content(&found), content(&expected));
            });
        }
    });
}

#[test]
fn a_picture_belongs_to_its_engine() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let (one, folder) = engine(&anyref);
    let other = load_engine(&options(folder.path())).unwrap();
    let picture = one.encode(&image(48, 48)).unwrap();
    let error = other.segment(&picture, &phrase("dog")).unwrap_err();
    assert!(matches!(error, Error::ForeignPicture), "{error}");
}

#[test]
fn an_engine_tells_of_its_model() {
    let anyref = saying::<TestBackend>(ONE, 1);
    let (engine, folder) = engine(&anyref);
    let info = engine.info();
    assert_eq!(info.model, "tiny");
    assert!(info.hears());
    assert!(info.parts.iter().any(|part| part.name == "audio_encoder"));
    let file = std::fs::metadata(folder.path().join("model.safetensors")).unwrap();
    // The file consists of the values and their names.
    assert!(info.bytes() <= file.len() && info.bytes() * 10 > file.len() * 9);
    engine.check().unwrap();
    let none = load_engine(&options(Path::new("no such folder"))).unwrap_err();
    assert!(none.to_string().contains("no such folder"), "{none}");
    let mut options = options(folder.path());
    options.answers.min_mask_score = Some(2.0);
    let error = load_engine(&options).unwrap_err();
    assert!(error.to_string().contains("min_mask_score"), "{error}");
    options.answers.min_mask_score = None;
    options.device = Some(7);
    assert!(matches!(load_engine(&options), Err(Error::Backend(_))));
}

#[test]
fn a_sam_alone_is_an_engine_without_words() {
    let engine = load_engine(&options(&weights())).unwrap();
    assert!(!engine.info().speaks());
    assert_eq!(engine.info().model, "SAM");
    let image = structured(57, 90);
    let picture = engine.encode(&image).unwrap();
    assert_eq!(picture.size(), (90, 57));
    let prompts = [MaskPrompt::default().with_point(30.0, 20.0, true)];
    let found = engine.prompt_masks(&picture, &prompts, Multimask::default());
    let sam = sam();
    let own = sam.picture(&image).unwrap();
    let expected = sam.predict(&own, &prompts, Multimask::default()).unwrap();
    let rle = |found: &[MaskPrediction]| found[0].best().mask.rle.clone();
    assert_eq!(rle(&found.unwrap()), rle(&expected));
    let refused = engine
        .segment(&picture, &phrase("the red circle"))
        .unwrap_err();
    assert!(matches!(refused, Error::NoLanguageModel), "{refused}");
    let config = AutomaticMaskConfig::new()
        .with_points_per_side(3)
        .with_pred_iou_thresh(0.0)
        .with_stability_score_thresh(0.0);
    let mut asked = 0;
    let all = engine.automatic_masks(&image, &config, &mut |done, _| asked = done);
    assert!(!all.unwrap().is_empty());
    assert_eq!(asked, 9);
}

#[test]
fn a_whole_model_answers_clicks_by_its_own_sam() {
    let anyref = saying::<TestBackend>(ONE, 4);
    let (engine, _folder) = engine(&anyref);
    assert!(engine.info().speaks());
    let scene = image(64, 48);
    let picture = engine.encode(&scene).unwrap();
    let prompts = [MaskPrompt::default().with_region([5.0, 5.0, 40.0, 30.0])];
    let found = engine.prompt_masks(&picture, &prompts, Multimask::default());
    let sam = anyref.sam().unwrap();
    let own = sam.picture(&scene).unwrap();
    let expected = sam.predict(&own, &prompts, Multimask::default()).unwrap();
    assert_eq!(
        found.unwrap()[0].best().mask.rle,
        expected[0].best().mask.rle
    );
    // The decoder of a whole model was trained for one mask per prompt.
    let point = [MaskPrompt::default().with_point(30.0, 20.0, true)];
    let candidates = |multimask| {
        let found = engine.prompt_masks(&picture, &point, multimask).unwrap();
        found[0].candidates.len()
    };
    assert_eq!(candidates(Multimask::WhereAmbiguous), 1);
    assert_eq!(candidates(Multimask::Always), 3);
    let other = load_engine(&options(&weights())).unwrap();
    let foreign = other.prompt_masks(&picture, &prompts, Multimask::default());
    assert!(matches!(foreign, Err(Error::ForeignPicture)));
}
