//! References that LISA was not trained with: a box, another picture, a sound, and combinations.

use std::fs;
use std::ops::ControlFlow::Continue;
use std::path::Path;

use anyref_core::{
    Answer, AnyRef, BridgeWay, Companions, Error, MaskPrompt, ModelSource, Multimask, Picture,
    Prompt, Reference, ReferenceImage, ReferenceKind, SoundLabeller, SoundLabellerFiles,
    SoundLabellerOptions, SoundVocabulary,
};
use anyref_vision::preprocess::open_image;
use image::RgbImage;
use image::imageops::rotate180;

use crate::common::{TestBackend, tone};
use crate::lisa::lisa;
use crate::parts::{copied, published};

const REGION: [f32; 4] = [20.0, 10.0, 50.0, 40.0];
const OTHER: [f32; 4] = [55.0, 15.0, 85.0, 45.0];

fn photo() -> RgbImage {
    open_image(published("lisa/picture.png")).unwrap()
}

fn asked() -> (AnyRef<TestBackend>, Picture<TestBackend>) {
    let anyref = lisa(&published("lisa")).unwrap();
    let picture = anyref.picture(&photo()).unwrap();
    (anyref, picture)
}

fn segment(
    anyref: &AnyRef<TestBackend>,
    picture: &Picture<TestBackend>,
    reference: Reference,
) -> Answer {
    anyref.segment(picture, &Prompt::new([reference])).unwrap()
}

fn shown(image: &RgbImage) -> Reference {
    Reference::Image(ReferenceImage::new(image.clone()))
}

fn way(answer: &Answer) -> &BridgeWay {
    let [bridge] = &answer.bridges[..] else {
        panic!("{:?}", answer.bridges);
    };
    assert_eq!(bridge.reference, 1);
    &bridge.way
}

#[test]
fn a_box_is_a_prompt_of_sams_own() {
    let (anyref, picture) = asked();
    let answer = segment(&anyref, &picture, Reference::Box(REGION));
    assert_eq!(way(&answer), &BridgeWay::BoxPrompt);
    let sam = anyref.sam().unwrap();
    let alone = sam.picture(&photo()).unwrap();
    let prompt = MaskPrompt::default().with_region(REGION);
    let predicted = sam.predict(&alone, &[prompt], Multimask::Never).unwrap();
    let [mask] = &answer.masks[..] else {
        panic!("{} masks", answer.masks.len());
    };
    assert_eq!(mask.rle.to_mask(), predicted[0].best().mask.rle.to_mask());
    let other = segment(&anyref, &picture, Reference::Box(OTHER));
    assert_ne!(mask.rle.to_mask(), other.masks[0].rle.to_mask());
    let outside = Prompt::new([Reference::Box([90.0, 10.0, 100.0, 20.0])]);
    let error = anyref.segment(&picture, &outside).unwrap_err();
    assert!(error.to_string().contains("94x60"), "{error}");
}

#[test]
fn a_box_is_described_by_its_crop() {
    let (anyref, picture) = asked();
    let describe = |region| {
        let prompt = Prompt::new([Reference::Box(region)]);
        anyref.describe(&picture, &prompt).unwrap()
    };
    let (one, other) = (describe(REGION), describe(OTHER));
    let BridgeWay::Name { name } = way(&one) else {
        panic!("{:?}", one.bridges);
    };
    assert_eq!(name, &one.text);
    assert!(!name.is_empty());
    assert_ne!(one.text, other.text);
    assert!(one.masks.is_empty());
}

#[test]
fn another_picture_means_the_mask_that_looks_like_it() {
    let (mut anyref, picture) = asked();
    anyref.bridge.keep_all = true;
    let all = segment(&anyref, &picture, shown(&photo()));
    let BridgeWay::Lookalike {
        name,
        similarities,
        candidates,
    } = way(&all)
    else {
        panic!("{:?}", all.bridges);
    };
    assert_eq!(*candidates, all.masks.len());
    assert_eq!(similarities.len(), all.masks.len());
    assert!(similarities.len() > 1, "{similarities:?}");
    assert!(similarities.is_sorted_by(|a, b| a >= b), "{similarities:?}");
    assert!(similarities.iter().all(|s| (-1.0..=1.0).contains(s)));
    // The masks equal those for the picture's name.
    let named = segment(&anyref, &picture, Reference::Text(name.clone()));
    assert_eq!(all.raw, named.raw);

    anyref.bridge.keep_all = false;
    let best = segment(&anyref, &picture, shown(&photo()));
    assert_eq!(best.masks.len(), 1);
    assert_eq!(best.masks[0].rle.to_mask(), all.masks[0].rle.to_mask());

    let turned = segment(&anyref, &picture, shown(&rotate180(&photo())));
    assert_ne!(way(&turned), way(&best));
}

#[test]
fn a_sound_is_asked_for_by_its_labels() {
    let (mut anyref, picture) = asked();
    let sound = Prompt::new([Reference::Audio(tone(440.0))]);
    let error = anyref.segment(&picture, &sound).unwrap_err();
    assert!(matches!(
        error,
        Error::NotBridged {
            kind: ReferenceKind::Audio,
            ..
        }
    ));
    assert!(error.to_string().contains("--imagebind"), "{error}");

    let files = SoundLabellerFiles {
        imagebind: published("sounds/imagebind.pth"),
        clip: vocabulary(),
    };
    let labels = SoundVocabulary::new(["Dog", "Cat", "Violin"]).unwrap();
    let options = SoundLabellerOptions::default();
    let labeller = SoundLabeller::open(&files, labels, &options, &Default::default());
    anyref.sounds = Some(labeller.unwrap());
    anyref.bridge.sound_threshold = 1.0;
    let answer = anyref.segment(&picture, &sound).unwrap();
    let BridgeWay::Labels { labels, asked } = way(&answer) else {
        panic!("{:?}", answer.bridges);
    };
    let ranking = anyref.sounds.as_ref().unwrap().label(&tone(440.0)).unwrap();
    assert_eq!(asked, &[ranking.best().label.clone()]);
    assert_eq!(
        (&labels[0].label, labels[0].probability),
        (&ranking.best().label, ranking.best().probability)
    );
    let phrase = Reference::Text(ranking.best().label.to_lowercase());
    let named = segment(&anyref, &picture, phrase);
    assert_eq!(answer.raw, named.raw);
    assert_eq!(answer.masks.len(), named.masks.len());

    // All three labels, with their masks by descending score.
    anyref.bridge.sound_threshold = 0.0;
    let answer = anyref.segment(&picture, &sound).unwrap();
    let BridgeWay::Labels { asked, .. } = way(&answer) else {
        panic!("{:?}", answer.bridges);
    };
    assert_eq!(asked.len(), 3);
    let masks: usize = asked
        .iter()
        .map(|label| segment(&anyref, &picture, Reference::Text(label.to_lowercase())))
        .map(|answer| answer.masks.len())
        .sum();
    assert_eq!(answer.masks.len(), masks);
    assert!(answer.masks.is_sorted_by(|a, b| a.score >= b.score));
}

#[test]
fn mixtures_and_questions_have_names_in_the_place_of_references() {
    let (anyref, picture) = asked();
    let references = || [Reference::Text("the tiger".into()), Reference::Box(REGION)];
    let question = "Where are {1} and {2}?";
    let mixed = Prompt::new(references()).with_question(question);
    let answer = anyref.segment(&picture, &mixed).unwrap();
    let [bridge] = &answer.bridges[..] else {
        panic!("{:?}", answer.bridges);
    };
    assert_eq!((bridge.reference, bridge.kind), (2, ReferenceKind::Box));
    let BridgeWay::Name { name } = &bridge.way else {
        panic!("{bridge:?}");
    };
    let words = format!("Where are the tiger and {name}?");
    let own = Prompt::new([]).with_question(words);
    assert_eq!(answer.raw, anyref.segment(&picture, &own).unwrap().raw);
    assert!(bridge.to_string().contains(name.as_str()), "{bridge}");

    let mut chat = anyref.chat(&picture);
    let told = chat.ask(mixed.clone(), &mut |_| Continue(())).unwrap();
    assert_eq!(told.raw, answer.raw);
    assert_eq!(told.bridges, answer.bridges);
    let (explained, explanations) = anyref.explain(&picture, &mixed).unwrap();
    assert_eq!(explained.raw, answer.raw);
    assert_eq!(explanations.len(), explained.masks.len());

    // Together with others in one call, each answer in its place.
    let phrase = Prompt::new([Reference::Text("the dog".into())]);
    let region = Prompt::new([Reference::Box(REGION)]);
    let all = anyref.segment_all(&[(&picture, &region), (&picture, &phrase), (&picture, &mixed)]);
    let all: Vec<Answer> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(way(&all[0]), &BridgeWay::BoxPrompt);
    assert!(all[1].bridges.is_empty());
    assert_eq!(all[2].raw, answer.raw);
}

/// Folder with CLIP's vocabulary.
fn vocabulary() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-llm/tests/fixtures/clip")
}

#[test]
fn an_engine_has_ears_by_a_companion() {
    let clip = copied("clip");
    for file in ["vocab.json", "merges.txt"] {
        fs::copy(vocabulary().join(file), clip.path().join(file)).unwrap();
    }
    let labels = clip.path().join("labels.txt");
    fs::write(&labels, "Dog\nCat\n").unwrap();
    let mut companions = Companions {
        clip: Some(clip.path().into()),
        imagebind: Some(published("sounds/imagebind.pth")),
        sound_labels: Some(labels.clone()),
        cache: None,
    };
    let load = |companions: &Companions| {
        let source = ModelSource::Path(published("lisa"));
        source.load::<TestBackend>(companions, Default::default(), &Default::default())
    };
    let anyref = load(&companions).unwrap();
    assert!(anyref.sound_preprocessor().is_some());
    let sounds = anyref.sounds.as_ref().unwrap();
    assert_eq!(sounds.vocabulary().labels(), ["Dog", "Cat"]);

    fs::write(&labels, "Dog\n\nCat\n").unwrap();
    let message = load(&companions).unwrap_err().to_string();
    assert!(message.contains("labels.txt"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    companions.imagebind = None;
    assert!(load(&companions).unwrap().sounds.is_none());
}
