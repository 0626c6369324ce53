//! Invalid input is rejected with a remedy, never with a panic.

use anyref_audio::Waveform;
use anyref_core::{AnyRef, Error, Prompt, Reference, ReferenceImage};
use image::RgbImage;

use crate::common::{NONE, TestBackend, config, image, model, saying, tokenizer, tone};

#[test]
fn boxes_must_lie_in_the_picture() {
    let anyref = saying::<TestBackend>(NONE, 1);
    let picture = anyref.picture(&image(60, 30)).unwrap();
    for bad in [
        [0.0, 0.0, 61.0, 10.0],
        [0.0, 0.0, 10.0, 31.0],
        [5.0, 5.0, 5.0, 9.0],
        [-1.0, 0.0, 5.0, 5.0],
    ] {
        let error = anyref
            .segment(&picture, &Prompt::new([Reference::Box(bad)]))
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::Box {
                    width: 60,
                    height: 30,
                    ..
                }
            ),
            "{error}"
        );
        let message = error.to_string();
        assert!(
            message.contains("0 <= x0 < x1 <= 60, 0 <= y0 < y1 <= 30"),
            "{message}"
        );
    }
    let edge = Prompt::new([Reference::Box([0.0, 0.0, 60.0, 30.0])]);
    assert!(anyref.segment(&picture, &edge).is_ok());
}

#[test]
fn prompts_must_ask_something_and_fit() {
    let anyref = saying::<TestBackend>(NONE, 1);
    let picture = anyref.picture(&image(40, 40)).unwrap();
    let refused = |prompt: Prompt| anyref.segment(&picture, &prompt).unwrap_err();
    assert!(matches!(refused(Prompt::new([])), Error::EmptyPrompt));
    let markers = Prompt::new([]).with_question("what is <img_ref></img_ref>?");
    assert!(matches!(refused(markers), Error::Placeholder { .. }));
    let long = Prompt::new([]).with_question("is there a dog? ".repeat(200));
    let context = anyref.config.llm.max_position_embeddings;
    let error = refused(long);
    let message = error.to_string();
    for word in ["turns before", "shorten", "--max-new-tokens", "/new"] {
        assert!(message.contains(word), "no {word} in {message}");
    }
    match error {
        Error::ContextFull {
            length,
            answer,
            context: limit,
        } => {
            assert!(limit == context && length > limit);
            assert_eq!(answer, anyref.generation.max_new_tokens);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_prompt_may_fill_the_context_to_the_last_position() {
    let mut anyref = saying::<TestBackend>(NONE, 1);
    let picture = anyref.picture(&image(40, 40)).unwrap();
    let prompt = Prompt::new([]).with_question("is there a dog?");
    anyref.generation.max_new_tokens = 10_000;
    let Err(Error::ContextFull {
        length,
        answer: 10_000,
        context,
    }) = anyref.segment(&picture, &prompt)
    else {
        panic!("10000 tokens fit");
    };
    anyref.generation.max_new_tokens -= length - context;
    assert_eq!(anyref.segment(&picture, &prompt).unwrap().text, NONE);
    anyref.generation.max_new_tokens += 1;
    assert!(anyref.segment(&picture, &prompt).is_err());
}

#[test]
fn pictures_and_sounds_must_hold_something() {
    let anyref = saying::<TestBackend>(NONE, 1);
    assert!(matches!(
        anyref.picture(&RgbImage::new(0, 5)),
        Err(Error::EmptyPicture)
    ));
    let picture = anyref.picture(&image(40, 40)).unwrap();
    let refused = |reference| {
        anyref
            .segment(&picture, &Prompt::new([reference]))
            .unwrap_err()
    };
    let empty = Reference::Image(ReferenceImage::new(RgbImage::new(0, 0)));
    assert!(matches!(refused(empty), Error::EmptyPicture));
    let silence = Reference::Audio(Waveform::new(vec![0.0; 16_000], 16_000));
    assert!(matches!(refused(silence), Error::Audio(_)));
}

#[test]
fn a_model_without_ears_refuses_sounds_only() {
    let tokenizer = tokenizer();
    let mut config = config(&tokenizer);
    config.audio = None;
    let model = model::<TestBackend>(&config, 1);
    let mut anyref = AnyRef::new(config, model, tokenizer, Default::default()).unwrap();
    anyref.generation.max_new_tokens = 2;
    let picture = anyref.picture(&image(40, 40)).unwrap();
    let ask = |reference| anyref.segment(&picture, &Prompt::new([reference]));
    assert!(matches!(
        ask(Reference::Audio(tone(440.0))),
        Err(Error::NoAudioEncoder)
    ));
    assert!(ask(Reference::Box([1.0, 1.0, 9.0, 9.0])).is_ok());
}
