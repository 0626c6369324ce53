//! Masks that observers receive while their answers are generated.

use std::ops::ControlFlow::{self, Break, Continue};

use anyref_core::{
    Answer, AnswerOptions, AnyRef, Cancel, Dialogue, Engine, EngineOptions, Goal, Mask,
    ModelSource, Observer, Prompt, Reference, Request, load_engine,
};
use burn::tensor::{DType, read_sync};
use image::RgbImage;

use crate::common::{TestBackend, image, pointing};
use crate::sa2va_whole::{dog, sa2va, shown};

/// Event of an answer: a piece of its text, or a mask with its number.
#[derive(Debug)]
enum Event {
    Text(String),
    Mask(usize, Mask),
}

/// Observer that notes the events of each question.
#[derive(Debug, Default)]
struct Notes {
    events: Vec<Vec<Event>>,
    /// Questions whose masks are wanted early.
    wanted: Vec<usize>,
    /// Largest number of pieces of text.
    most: Option<usize>,
}

impl Notes {
    fn new(questions: usize, wanted: &[usize]) -> Self {
        Self {
            events: (0..questions).map(|_| Vec::new()).collect(),
            wanted: wanted.to_vec(),
            most: None,
        }
    }

    fn masks(&self, question: usize) -> Vec<&Mask> {
        let events = self.events[question].iter();
        let masks = events.filter_map(|event| match event {
            Event::Mask(number, mask) => Some((*number, mask)),
            Event::Text(_) => None,
        });
        let (numbers, masks): (Vec<usize>, Vec<&Mask>) = masks.unzip();
        assert!(numbers.into_iter().eq(0..masks.len()), "numbered in order");
        masks
    }
}

impl Observer for Notes {
    fn text(&mut self, question: usize, piece: &str) -> ControlFlow<()> {
        self.events[question].push(Event::Text(piece.into()));
        let texts = self.events[question].iter();
        let texts = texts.filter(|event| matches!(event, Event::Text(_)));
        match self.most.is_some_and(|most| texts.count() >= most) {
            true => Break(()),
            false => Continue(()),
        }
    }

    fn wants_masks(&self, question: usize) -> bool {
        self.wanted.contains(&question)
    }

    fn mask(&mut self, question: usize, number: usize, mask: &Mask) {
        self.events[question].push(Event::Mask(number, mask.clone()));
    }
}

/// Engine of a model, with its limit of tokens.
fn engine(anyref: &AnyRef<TestBackend>) -> Box<dyn Engine> {
    let folder = tempfile::tempdir().unwrap();
    anyref.save(folder.path(), DType::F32).unwrap();
    let answers = AnswerOptions {
        max_new_tokens: Some(anyref.generation.max_new_tokens),
        ..AnswerOptions::default()
    };
    let options = EngineOptions {
        answers,
        ..EngineOptions::new(ModelSource::Path(folder.path().into()))
    };
    load_engine(&options).unwrap()
}

fn phrases() -> [Prompt; 3] {
    ["the red circle on the left", "dog", "the"]
        .map(|text| Prompt::new([Reference::Text(text.into())]))
}

/// Answers to the phrases about a picture, with an observer or without.
fn answers(engine: &dyn Engine, scene: &RgbImage, notes: Option<&mut Notes>) -> Vec<Answer> {
    let (picture, prompts) = (engine.encode(scene).unwrap(), phrases());
    let requests = prompts.each_ref().map(|prompt| Request {
        picture: &picture,
        prompt,
        goal: Goal::Chat,
    });
    let answers = match notes {
        Some(notes) => read_sync(engine.answer_observed_async(&requests, notes, &Cancel::new())),
        None => engine.answer(&requests),
    };
    answers.into_iter().map(Result::unwrap).collect()
}

/// Compares answers whose masks were decoded one by one with those decoded together, which differ
/// by rounding.
fn same(found: &Answer, expected: &Answer) {
    assert_eq!(found.raw, expected.raw);
    assert_eq!(found.text, expected.text);
    assert_eq!(found.masks.len(), expected.masks.len());
    for (found, expected) in found.masks.iter().zip(&expected.masks) {
        assert!((found.score - expected.score).abs() < 1e-5);
        assert_eq!(found.words, expected.words);
        let iou = found.rle.iou(&expected.rle).unwrap();
        assert!(iou > 0.999, "{iou}");
        let logits = |mask: &Mask| mask.low_res.clone().unwrap().logits().to_vec();
        let pairs = logits(found).into_iter().zip(logits(expected));
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-4, "{difference}");
    }
}

#[test]
fn masks_come_between_the_words_and_are_those_of_the_answer() {
    let engine = engine(&pointing::<TestBackend>(3, 6));
    let scene = image(64, 48);
    let expected = answers(&*engine, &scene, None);
    for wanted in [&[0, 1, 2][..], &[2], &[]] {
        let mut notes = Notes::new(3, wanted);
        let found = answers(&*engine, &scene, Some(&mut notes));
        for (question, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.masks.len(), 3);
            same(found, expected);
            let early = notes.masks(question);
            if !wanted.contains(&question) {
                assert!(early.is_empty());
                continue;
            }
            assert_eq!(early.len(), 3);
            for (early, last) in early.into_iter().zip(&found.masks) {
                assert_eq!(early.rle, last.rle);
                assert_eq!(early.score, last.score);
            }
            // Each mask follows the token that stands for it at once.
            let mut written = String::new();
            for event in &notes.events[question] {
                match event {
                    Event::Text(piece) => written.push_str(piece),
                    Event::Mask(number, _) => {
                        assert!(written.trim_end().ends_with("<obj>"), "{written}");
                        assert_eq!(written.matches("<obj>").count(), number + 1);
                    }
                }
            }
            assert_eq!(written.trim(), found.raw);
        }
    }
}

#[test]
fn masks_of_too_low_a_score_are_not_told() {
    let mut anyref = pointing::<TestBackend>(3, 6);
    let scene = image(64, 48);
    let all = answers(&*engine(&anyref), &scene, None);
    let mut scores: Vec<f32> = all[0].masks.iter().map(|mask| mask.score).collect();
    scores.sort_by(f32::total_cmp);
    anyref.config.min_mask_score = (scores[0] + scores[1]) / 2.0;
    let mut notes = Notes::new(3, &[0]);
    let found = answers(&*engine(&anyref), &scene, Some(&mut notes));
    assert_eq!((found[0].masks.len(), found[0].doubtful), (2, 1));
    let early: Vec<_> = notes.masks(0).into_iter().map(|mask| &mask.rle).collect();
    let masks: Vec<_> = found[0].masks.iter().map(|mask| &mask.rle).collect();
    assert_eq!(early, masks);
}

#[test]
fn an_answer_that_its_observer_ends_has_its_last_mask_too() {
    let engine = engine(&pointing::<TestBackend>(3, 6));
    let scene = image(64, 48);
    let all = answers(&*engine, &scene, None);
    let mut notes = Notes::new(3, &[0, 1, 2]);
    // The second piece is the token of the first mask.
    notes.most = Some(2);
    let found = answers(&*engine, &scene, Some(&mut notes));
    for (found, all) in found.iter().zip(&all) {
        assert_eq!(found.raw, "the<obj>");
        let iou = found.masks[0].rle.iou(&all.masks[0].rle).unwrap();
        assert!(iou > 0.999, "{iou}");
    }
}

#[test]
fn a_model_of_own_states_tells_a_mask_after_its_token_is_read() {
    let anyref = sa2va();
    let engine = engine(&anyref);
    let picture = engine.encode(&shown()).unwrap();
    let mut dialogue = Dialogue::new(picture.clone());
    let expected = engine.chat(&mut dialogue, dog(), &mut |_| Continue(()));
    let expected = expected.unwrap();
    assert!(!expected.masks.is_empty());
    let mut dialogue = Dialogue::new(picture);
    let mut notes = Notes::new(1, &[0]);
    let cancel = Cancel::new();
    let found = engine.chat_observed_async(&mut dialogue, dog(), &mut notes, &cancel);
    let found = read_sync(found).unwrap();
    same(&found, &expected);
    assert_eq!(dialogue.history().answered(), 1);
    let early = notes.masks(0);
    assert_eq!(early.len(), found.masks.len());
    for (early, last) in early.into_iter().zip(&found.masks) {
        assert_eq!(early.rle, last.rle);
    }
    assert!(
        matches!(notes.events[0].first(), Some(Event::Text(_))),
        "{:?}",
        notes.events[0].first()
    );
}
